"""One request, from the adapter's words to the broker's answer.

The order on the wire path is fixed: validate, limiter, journal (`before_send`), authorize, write. Authorization comes
last, on the connection that will carry the bytes, so that time and nonce are fresh and leave in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from dragoman._core import alike, copied, plain_form, record_spans
from dragoman.errors import (
    AuthRequired,
    DragomanError,
    Effect,
    ErrorKind,
    NotSent,
    OutcomeUnknown,
    UsageError,
    error_for,
)
from dragoman.plugin import Adapter, Failure, Reply, Request
from dragoman.runtime.base import Runtime
from dragoman.session.brokertime import BrokerClock
from dragoman.session.context import SessionContext
from dragoman.session.limiter import Grant, Limiter, retry_after_s
from dragoman.session.metrics import PHASES, Metrics
from dragoman.session.secrets import redact
from dragoman.session.wire import FORM, body_of, check_root, origin_of, wire_request
from dragoman.transport.base import HttpTransport, Line, Origin, WireRequest

if TYPE_CHECKING:
    from dragoman._core import Histogram

_NS: Final = 1_000_000_000
_log = logging.getLogger("dragoman.session")
_ENDS_SESSION: Final = (ErrorKind.AUTH_EXPIRED, ErrorKind.AUTH_INVALID)


BeforeSend = Callable[[Request], Awaitable[object] | None]
"""Called for a `mutates` request after the limiter and before the first byte: the journal. What it returns, unless that
is None, is awaited. What it raises means that nothing was sent."""


class Exchange(Protocol):
    """A connected feed that carries requests."""

    async def exchange(self, correlation: str, make: Callable[[], str | bytes], timeout_s: float) -> Reply:
        """Send one frame and return the reply with that correlation id."""
        ...


@dataclass(slots=True)
class SenderHooks:
    """What the session lends to the sender.

    Attributes
    ----------
    alive : callable
        Raises AuthRequired where the session in force is known to be over: zero bytes are sent with a dead token.
    auth_failed : callable
        Told of a reply that ends the session, with the generation of the login it was sent under.
    socket : callable
        Finds the connected feed of a name, or None.
    """

    alive: Callable[[], None] = lambda: None
    auth_failed: Callable[[AuthRequired, int], None] = lambda error, generation: None
    socket: Callable[[str], Exchange | None] = lambda name: None


@dataclass(slots=True, eq=False)
class Flight:
    """One request on its way to the wire, and what happened to it there.

    Attributes
    ----------
    asked_ns, granted_ns : int
        Monotonic: when it asked the limiter, and had its grant.
    prepared_ns : int
        Monotonic: when it had its connection; 0 before that.
    journal : awaitable, optional
        What `before_send` returned and nobody has awaited yet.
    generation : int
        Of the login it was authorized with.
    error : Exception, optional
        Why it could not be prepared.
    prepared : bool
    leaving : callable, optional
        The last look of whoever sends it, see `dragoman.session.launched.Run`.
    """

    request: Request
    root: str
    origin: Origin
    body: bytes
    content_type: str | None
    asked_ns: int = 0
    granted_ns: int = 0
    prepared_ns: int = 0
    grant: Grant | None = None
    journal: Awaitable[object] | None = None
    generation: int = -1
    error: Exception | None = None
    prepared: bool = False
    leaving: Callable[[Request], object] | None = None


_NONE: Final = Request()
_BY_REQUEST: Final = -1  # in place of the number of a login
_HEAD: Final = ("host", "path", "headers", "method", "query", "url", "meter", "auth")
"""What of a request its head depends on, beside the kind of its body and, before it is authorized, the login."""


class Flying(Protocol):
    """Whoever has begun a request, and is told how it ended; what `Sender.begin` knows of it is kept here.

    Attributes
    ----------
    request, grant, generation, asked_ns
        As a `Flight` has them, of the request in flight.
    """

    request: Request
    grant: Grant | None
    generation: int
    asked_ns: int
    deadline_ns: int

    def commit(self, request: Request) -> Awaitable[object] | None:
        """Make the request durable, as a `BeforeSend` does."""
        ...

    def landed(self, outcome: Reply | Exception) -> None:
        """Take how the exchange ended. It must not raise."""
        ...


@dataclass(frozen=True, slots=True)
class _Times:
    """The histograms of one meter's requests, as they are recorded together."""

    limiter: tuple[Histogram]
    connection: tuple[Histogram]
    begun: tuple[Histogram, Histogram]  # limiter, connection
    whole: tuple[Histogram]
    landed: tuple[Histogram, Histogram]  # first_byte, whole


@dataclass(slots=True)
class SenderCounters:
    requests: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    unmapped: int = 0
    usage_errors: int = 0


class Sender:
    """Sends single requests; it retries nothing."""

    def __init__(
        self,
        runtime: Runtime,
        adapter: Adapter,
        ctx: SessionContext,
        http: HttpTransport,
        limiter: Limiter,
        clock: BrokerClock,
        hooks: SenderHooks | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._runtime = runtime
        self._adapter = adapter
        self._ctx = ctx
        self._http = http
        self._limiter = limiter
        self._clock = clock
        self._hooks = hooks or SenderHooks()
        self._places: dict[str, tuple[str, Origin]] = {}
        self.metrics = metrics or Metrics(adapter.name, lambda: ctx.account)
        self.counters = SenderCounters()
        self._reads_usage = type(adapter).usage is not Adapter.usage
        self._recorders: dict[str, _Times] = {}
        self._mono_ns = runtime.clock.mono_ns
        # The last request whose head holds for the next one, and what it became.
        self._last, self._last_wire = _NONE, WireRequest("", "", ())
        self._last_kind: str | None = ""  # no kind of any body
        self._last_generation = _BY_REQUEST

    async def send(
        self,
        request: Request,
        deadline_ns: int,
        before_send: BeforeSend | None = None,
        begun: Flight | None = None,
        leaving: Callable[[Request], object] | None = None,
    ) -> Reply:
        """Send one request and return its reply, once that means success or an answer.

        Parameters
        ----------
        request : Request
        deadline_ns : int
            Monotonic.
        before_send : callable, optional
        begun : Flight, optional
            Where `begin` has left off with the same request.
        leaving : callable, optional
            Called immediately before the first byte, after everything that was waited for.

        Raises
        ------
        DragomanError
            Of the class of the failure's kind; for what the transport can tell, see `HttpTransport.send`.
        """
        flight = begun or self._flight(request)
        flight.leaving = leaving
        reply = await self._perform(flight, deadline_ns, before_send, None)
        return self._judge(request, reply, flight.generation)

    async def download(self, request: Request, deadline_ns: int, sink: Callable[[bytes], None]) -> Reply:
        """The same, handing the body of a success to `sink` as it arrives; the reply's own body is empty then."""
        if request.mutates or request.via != "http":
            raise UsageError(f"{self._label(request)}: a download is a read over HTTP")
        flight = self._flight(request)
        reply = await self._perform(flight, deadline_ns, None, sink)
        streamed = 200 <= reply.status < 300
        return reply if streamed else self._judge(request, reply, flight.generation)

    def begin(self, request: Request, flying: Flying) -> Line | Flight:
        """Send one request in a single step, where a connection is warm and nothing has to wait.

        Parameters
        ----------
        request : Request
        flying : Flying
            Committed as `before_send` of `send` is; its `landed` is told once, later, how the exchange ended: `landed`
            of this makes the reply of it.

        Returns
        -------
        Line or Flight
            The connection it was written to; or, where something has to wait, what `send` goes on from.

        Raises
        ------
        DragomanError
            As `send`: zero bytes were sent, and `landed` is not called.
        """
        if request.via != "http":
            return self._flight(request)
        place = self._places.get(request.host) if request.url is None else None
        root, origin = self._where(request) if place is None else place
        form, body = request.form, None
        content_type: str | None = FORM
        if form is not None and request.json is None and request.body is None:
            body = plain_form(form)  # nothing in most needs encoding
        if body is None:
            body, content_type = body_of(request)
        if request.auth:
            self._hooks.alive()
        line = self._http.take(origin)
        if line is None:
            return Flight(request, root, origin, body, content_type)
        mono_ns = self._mono_ns
        flying.request, flying.asked_ns, flying.grant, prepared = request, (asked_ns := mono_ns()), None, False
        try:
            flying.grant = grant = self._limiter.take(request)
            if grant is None:
                line.release()
                return Flight(request, root, origin, body, content_type, asked_ns=asked_ns)
            granted_ns = mono_ns()
            if request.mutates and (journal := flying.commit(request)) is not None:
                line.release()
                return Flight(
                    request, root, origin, body, content_type, asked_ns, granted_ns, grant=grant, journal=journal
                )
            timeout_s = (flying.deadline_ns - granted_ns) / _NS
            if not 0 < timeout_s <= request.timeout_s:
                timeout_s = self._time_left(request, flying.deadline_ns)
            # Nothing was waited for since the session was found alive.
            prepared_ns = mono_ns()
            flying.generation = generation = self._ctx.generation
            wire = self._signed(request, root, body, content_type, generation)
            prepared = True
            self.counters.requests += 1
            line.carry(wire, flying.landed, timeout_s)
        except BaseException as error:  # noqa: BLE001 - goes on its way below
            if not prepared:
                line.release()
            self._raise(request, flying.grant, prepared, error)
        # It is on its way: what is only measured is noted while the broker works.
        times = self._recorders.get(request.meter) or self._times(request.meter)
        record_spans(times.begun, asked_ns, granted_ns, granted_ns, prepared_ns)
        return line

    def landed(self, flying: Flying, outcome: Reply | Exception) -> Reply:
        """Return the reply to a request that was begun, as `send` does.

        Raises
        ------
        DragomanError
            As `send`.
        """
        request = flying.request
        if not isinstance(outcome, Reply):
            self._raise(request, flying.grant, True, outcome)
        reply = outcome
        times = self._recorders.get(request.meter) or self._times(request.meter)
        self._timed(times, reply, flying.asked_ns, reply.mono_recv_ns)
        if self._reads_usage:
            self._learn_usage(request, reply)
        try:  # as `_judge`, in one step with the rest
            failure = self._adapter.classify(reply, request)
        except Exception as misread:  # noqa: BLE001 - as `classify`
            failure = unreadable(reply, misread)
        return reply if failure is None else self._failed(request, reply, failure, flying.generation)

    # -- the wire path -----------------------------------------------------------------------------------------------

    def _flight(self, request: Request) -> Flight:
        root, origin = self._where(request)
        body, content_type = body_of(request)
        if request.auth:
            self._hooks.alive()
        return Flight(request, root, origin, body, content_type)

    async def _perform(
        self, flight: Flight, deadline_ns: int, before_send: BeforeSend | None, sink: Callable[[bytes], None] | None
    ) -> Reply:
        request, mono_ns = flight.request, self._runtime.clock.mono_ns
        times = self._times(request.meter)
        fresh = flight.grant is None
        if flight.grant is None:
            flight.asked_ns = flight.asked_ns or mono_ns()
            flight.grant = await self._limiter.acquire(request, deadline_ns)
            flight.granted_ns = mono_ns()
        record_spans(times.limiter, flight.asked_ns, flight.granted_ns)
        try:
            if fresh and before_send is not None and request.mutates:
                flight.journal = before_send(request)
            if flight.journal is not None:
                await self._written_down(flight.journal, request, deadline_ns)
            timeout_s = self._time_left(request, deadline_ns)
            self.counters.requests += 1
            if request.via == "socket":
                return await self._over_socket(flight, timeout_s)
            prepare = partial(self._prepare, flight)
            try:
                if sink is None:
                    reply = await self._http.send(flight.origin, prepare, timeout_s=timeout_s)
                else:
                    reply = await self._http.download(flight.origin, prepare, sink, timeout_s=timeout_s)
            finally:
                if flight.prepared_ns:
                    record_spans(times.connection, flight.granted_ns, flight.prepared_ns)
        except BaseException as error:  # noqa: BLE001 - goes on its way below
            self._raise(request, flight.grant, flight.prepared, error, flight.error)
        self._timed(times, reply, flight.asked_ns, mono_ns())
        return reply

    def _raise(
        self,
        request: Request,
        grant: Grant | None,
        prepared: bool,
        error: BaseException,
        unprepared: Exception | None = None,
    ) -> NoReturn:
        """Raise what ended a request after its grant, once what it took and did not use is given back.

        Parameters
        ----------
        prepared : bool
        unprepared : Exception, optional
            Why it could not be prepared, where that is known: it is raised instead.
        """
        if grant is not None and (not prepared or isinstance(error, (NotSent, UsageError))):
            self._limiter.refund(grant)
        if unprepared is not None and unprepared is not error:
            raise unprepared from unprepared.__cause__
        if isinstance(error, DragomanError) and (final := self._translated(request, error)) is not error:
            raise final from error
        raise error

    def _times(self, meter: str) -> _Times:
        found = self._recorders.get(meter)
        if found is None:
            limiter, connection, first_byte, whole = (self.metrics.phase(meter, phase) for phase in PHASES)
            found = _Times((limiter,), (connection,), (limiter, connection), (whole,), (first_byte, whole))
            self._recorders[meter] = found
        return found

    def _where(self, request: Request) -> tuple[str, Origin]:
        if request.via == "socket":
            return "", Origin("ws", request.socket, 0)
        if request.url is not None:
            check_root(self._label(request), request.url, self._ctx.environment)
            return request.url, origin_of(self._label(request), request.url)
        place = self._places.get(request.host)
        if place is None:
            root = self._ctx.hosts.get(request.host)
            if root is None:
                raise UsageError(
                    f"{self._label(request)}: no host {request.host!r} in environment {self._ctx.environment}",
                    broker=self._adapter.name,
                    remedy=f"known: {', '.join(sorted(self._ctx.hosts))}",
                )
            place = self._places[request.host] = root, origin_of(f"host {request.host}", root)
        return place

    async def _written_down(self, journal: Awaitable[object], request: Request, deadline_ns: int) -> None:
        """Wait for the journal, but no longer than the request may take: a disk can hang without failing."""
        try:
            async with asyncio.timeout((deadline_ns - self._mono_ns()) / _NS):
                await journal
        except TimeoutError as error:
            raise NotSent(
                f"{self._label(request)}: the deadline passed before the journal had written it down",
                broker=self._adapter.name,
                remedy="look at the journal's disk; nothing was sent",
            ) from error

    def _time_left(self, request: Request, deadline_ns: int) -> float:
        left = (deadline_ns - self._mono_ns()) / _NS
        if left <= 0:
            raise NotSent(
                f"{self._label(request)}: the deadline passed before it could be sent",
                broker=self._adapter.name,
                remedy="allow more time; nothing was sent",
            )
        return min(request.timeout_s, left)

    def _prepare(self, flight: Flight) -> WireRequest:
        """Authorize a request, on its connection: what leaves is made here, immediately before the write."""
        request = flight.request
        flight.prepared_ns = self._mono_ns()
        try:
            flight.generation = self._ctx.generation
            if flight.leaving is not None:
                flight.leaving(request)
            if request.auth:
                self._hooks.alive()  # once more: the session may have ended while this waited for its turn
            wire = self._signed(request, flight.root, flight.body, flight.content_type, flight.generation)
        except Exception as error:
            flight.error = error
            raise
        flight.prepared = True
        return wire

    def _signed(self, request: Request, root: str, content: bytes, kind: str | None, generation: int) -> WireRequest:
        """Return an authorized request as it stands on the wire. Orders in a row differ in their bodies alone."""
        if self._last_generation == generation and self._last_kind == kind and alike(request, self._last, _HEAD):
            return copied(self._last_wire, body=content)
        authorized = self._authorized(request, content) if request.auth else request
        by_login = self._adapter.authorizes_by_login
        if (
            authorized.form is not request.form
            or authorized.json is not request.json
            or authorized.body is not request.body
        ):
            # A nonce inside the body is minted here, last, so that nonces leave in order.
            content, kind = body_of(authorized)
            by_login = False  # whatever the adapter says: a body that is written anew is the next one's own, too
        keep = generation if by_login else _BY_REQUEST
        as_before = keep == self._last_generation == _BY_REQUEST and self._last_kind == kind
        if as_before and alike(authorized, self._last, _HEAD):
            return copied(self._last_wire, body=content)
        wire = wire_request(root, authorized, content, kind, self._adapter.headers)
        # Only now: what could not be written is not what the next one is like.
        self._last_wire, self._last, self._last_kind = wire, request if by_login else authorized, kind
        self._last_generation = keep
        return wire

    def _authorized(self, request: Request, body: bytes) -> Request:
        try:
            return self._adapter.authorize(request, body, self._ctx)
        except DragomanError:
            raise
        except Exception as error:
            raise UsageError(
                f"{self._label(request)}: authorize raised {type(error).__name__}", broker=self._adapter.name
            ) from error

    async def _over_socket(self, flight: Flight, timeout_s: float) -> Reply:
        request = flight.request
        if request.correlation is None:
            raise UsageError(f"{self._label(request)}: a request over a socket needs a correlation id")
        socket = self._hooks.socket(request.socket)
        if socket is None:
            raise NotSent(
                f"{self._label(request)}: the {request.socket or 'only'} stream is not connected",
                broker=self._adapter.name,
                remedy="open the stream and wait until it is ready",
            )

        def make() -> str | bytes:
            try:
                flight.generation = self._ctx.generation
                if flight.leaving is not None:
                    flight.leaving(request)
                authorized = request
                if request.auth:
                    self._hooks.alive()
                    authorized = self._authorized(request, flight.body)
                # Here a signature may stand inside the message, so the message is written once more.
                final, _ = body_of(authorized)
                text = final if authorized.body is not None else final.decode("utf-8")
            except Exception as error:
                flight.error = error
                raise
            flight.prepared = True
            return text

        started = self._runtime.clock.mono_ns()
        reply = await socket.exchange(request.correlation, make, timeout_s)
        # A frame comes whole, so its first byte is there with its last.
        now = self._runtime.clock.mono_ns()
        record_spans(self._times(request.meter).landed, started, now, flight.granted_ns, now)
        return reply

    def _translated(self, request: Request, error: DragomanError) -> DragomanError:
        """Name the broker, and for a read turn an outcome nobody knows into an answer nobody has."""
        error.broker = error.broker or self._adapter.name
        if request.mutates or not isinstance(error, OutcomeUnknown):
            return error
        return error_for(
            error.kind, str(error), mutates=False, code=error.code, text=error.text, broker=self._adapter.name
        )

    # -- the reply ---------------------------------------------------------------------------------------------------

    def _timed(self, times: _Times, reply: Reply, asked_ns: int, ended_ns: int) -> None:
        """Note how long a reply took, and what its date says of the broker's clock."""
        sent_ns, recv_ns, ts_recv = reply.mono_sent_ns, reply.mono_recv_ns, reply.ts_recv
        if sent_ns and recv_ns:
            record_spans(times.landed, sent_ns, reply.mono_first_ns or recv_ns, asked_ns, ended_ns)
            self._clock.observe(reply.headers.get("date"), ts_recv - recv_ns + sent_ns, ts_recv)
        else:
            record_spans(times.whole, asked_ns, ended_ns)

    def _judge(self, request: Request, reply: Reply, generation: int) -> Reply:
        if self._reads_usage:
            self._learn_usage(request, reply)
        failure = self.classify(reply, request)
        return reply if failure is None else self._failed(request, reply, failure, generation)

    def _failed(self, request: Request, reply: Reply, failure: Failure, generation: int) -> Reply:
        """Return the reply where its failure is an answer to this request; else raise its error."""
        if failure.code is not None and failure.code in request.answers:
            reply.code = failure.code
            return reply
        self._limiter.learn(request, reply, failure)
        error = self.error(request, failure, reply)
        self.counters.failures[error.kind] = self.counters.failures.get(error.kind, 0) + 1
        if error.kind is ErrorKind.UNMAPPED:
            self.counters.unmapped += 1
        if isinstance(error, AuthRequired) and error.kind in _ENDS_SESSION and request.auth:
            self._hooks.auth_failed(error, generation)
        raise error

    def _learn_usage(self, request: Request, reply: Reply) -> None:
        try:
            used = self._adapter.usage(reply, request)
        except Exception as error:  # noqa: BLE001 - any headers may have come, and adapters are third-party code
            self.counters.usage_errors += 1
            _log.debug("%s: usage cannot be read: %s", self._adapter.name, type(error).__name__)
        else:
            self._limiter.observe(used)

    def classify(self, reply: Reply, request: Request) -> Failure | None:
        """Ask the adapter what a reply means; a reply it cannot read is a failure of its own, never a success."""
        try:
            return self._adapter.classify(reply, request)
        except Exception as error:  # noqa: BLE001 - any bytes may have come, and adapters are third-party code
            return unreadable(reply, error)

    def error(self, request: Request, failure: Failure, reply: Reply) -> DragomanError:
        """Make the typed error of a failure. The broker's words pass through, secrets in them do not."""
        after = failure.retry_after_s
        if after is None:
            after = retry_after_s(reply.headers, self._clock.now_ns)
        details: dict[str, Any] = {
            "effect": failure.effect,
            "retry": failure.retry,
            "retry_after_s": after,
            "code": failure.code,
            "text": None if failure.text is None else redact(failure.text),
            "remedy": failure.remedy,
            "broker": self._adapter.name,
        }
        message = redact(f"{self._label(request)}: {failure.message}")
        return error_for(failure.kind, message, mutates=request.mutates, **details)

    def _label(self, request: Request) -> str:
        return f"{self._adapter.name}: {request.method} {request.path.partition('?')[0]}"


def unreadable(reply: Reply, error: Exception) -> Failure:
    """Classify a reply by its status alone."""
    kind = ErrorKind.BAD_RESPONSE
    if reply.status == 429:
        kind = ErrorKind.RATE_LIMITED
    elif reply.status >= 500:
        kind = ErrorKind.SERVER_5XX
    found = reply.headers.get("content-type", "no content type")
    return Failure(
        kind,
        f"status {reply.status} cannot be read ({type(error).__name__}): {found}, {len(reply.body)} bytes",
        str(reply.status),
        reply.body[:200].decode("utf-8", "replace"),
        effect=None if kind is not ErrorKind.RATE_LIMITED else Effect.NONE,
    )
