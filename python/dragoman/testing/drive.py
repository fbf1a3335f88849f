"""Drive a flow with scripted replies.

A flow is a generator over effects, so a list of answers is all it takes to run one: what the session would have got
from the broker or the human stands in the list, in the order in which the flow asks. Where an adapter is given, every
reply passes through its `classify`, and every request through its `authorize`, as in a session.

Example
-------
>>> run = drive(adapter.place(order, instrument, ctx), [{"data": {"order_id": "1"}}], adapter=adapter, ctx=ctx)
>>> run.result.order_id
'1'
>>> dict(run.requests[0].form)["quantity"]
'10'
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeAlias, TypeVar

import orjson

from dragoman.errors import DragomanError, error_for
from dragoman.model import Instrument, Order
from dragoman.plugin import (
    Adapter,
    All,
    Context,
    Download,
    Downloaded,
    Effect,
    Flow,
    Part,
    Prompt,
    Redirect,
    Reply,
    Request,
    Wait,
)
from dragoman.session.secrets import Secret
from dragoman.session.wire import body_of

T = TypeVar("T")

Answer: TypeAlias = Any
"""A `Reply`; a dict or list (its JSON, status 200); bytes or str (a body, status 200); a `DragomanError` to throw into
the flow; a callable that takes the request and returns one of these. For `Download` also an iterable of pieces of
bytes. For `Prompt` the typed text, for `Redirect` the dict of its query."""

NOW_NS: Final = 1_767_254_400_000_000_000  # 2026-01-01 08:00 UTC


class ScriptError(AssertionError):
    """The flow and the script do not fit: too few answers, too many, or of the wrong kind."""


def reply(json: Any = None, *, status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
    """Make a reply as the transport would return it. Header names are lower case."""
    if json is not None:
        body = orjson.dumps(json)
    return Reply(status, dict(headers or {}), body)


class ScriptedInstruments:
    """An `InstrumentLookup` over a few instruments; their position is their handle."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._all = tuple(instruments)

    def get(self, instrument_id: str) -> Instrument | None:
        return next((item for item in self._all if item.instrument_id == instrument_id), None)

    def by_broker_symbol(self, exchange: str, broker_symbol: str) -> Instrument | None:
        wanted = (exchange, broker_symbol)
        return next((item for item in self._all if (item.exchange, item.broker_symbol) == wanted), None)

    def by_broker_token(self, broker_token: str) -> Instrument | None:
        return next((item for item in self._all if item.broker_token == broker_token), None)

    def by_handle(self, handle: int) -> Instrument | None:
        return self._all[handle] if 0 <= handle < len(self._all) else None


class ScriptedContext:
    """A `Context` that stands still: the same time, nonces counting from 1, bytes counting from 0.

    Parameters
    ----------
    credentials, login : mapping
        Plain values; those of `credentials`, and of `login` those named in `secrets`, are wrapped.
    """

    def __init__(
        self,
        *,
        credentials: Mapping[str, str] | None = None,
        login: Mapping[str, Any] | None = None,
        secrets: Iterable[str] = ("access_token",),
        instruments: Iterable[Instrument] = (),
        hosts: Mapping[str, str] | None = None,
        environment: str = "live",
        account: str = "",
        settings: Mapping[str, Any] | None = None,
        orders: Iterable[Order] = (),
        now_ns: int = NOW_NS,
    ) -> None:
        hidden = frozenset(secrets)
        self.now_ns = now_ns
        self.environment = environment
        self.hosts: Mapping[str, str] = dict(hosts or {})
        self.account = account
        self.credentials = {name: Secret(value) for name, value in (credentials or {}).items()}
        self.login = {name: Secret(value) if name in hidden else value for name, value in (login or {}).items()}
        self.instruments = ScriptedInstruments(instruments)
        self.settings: Mapping[str, Any] = dict(settings or {})
        self.orders: Sequence[Order] = tuple(orders)
        self._nonces = 0
        self._bytes = 0

    def nonce(self) -> int:
        self._nonces += 1
        return self._nonces

    def random_bytes(self, n: int) -> bytes:
        start, self._bytes = self._bytes, self._bytes + n
        return bytes(i & 0xFF for i in range(start, start + n))


@dataclass(slots=True)
class Driven(Generic[T]):
    """What became of a flow.

    Attributes
    ----------
    result : T
        What it returned.
    effects : list
        Everything it asked for, in order.
    requests : list of Request
        Every request, as `authorize` made it where an adapter was given; those of `All` one by one.
    bodies : list of bytes
        Their final bodies.
    rows : list
        Rows of `Part` and `Download`, in order.
    waited_s : float
        Sum of all `Wait` by seconds.
    """

    result: T
    effects: list[Effect] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)
    waited_s: float = 0.0


def drive(
    flow: Flow[T],
    answers: Iterable[Answer] = (),
    *,
    adapter: Adapter | None = None,
    ctx: Context | None = None,
    sink: Callable[[Sequence[Any]], object] | None = None,
) -> Driven[T]:
    """Run `flow` to its end.

    Parameters
    ----------
    flow : generator
    answers : iterable
        One for each request (those of `All` one by one), download, prompt and redirect. See `Answer`.
    adapter : Adapter, optional
        Classify replies and authorize requests with it.
    ctx : Context, optional
        For `authorize`.
    sink : callable, optional
        Takes the rows instead of `Driven.rows`, for masters that would not fit.

    Returns
    -------
    Driven

    Raises
    ------
    ScriptError
        Where flow and script do not fit.
    DragomanError
        Whatever the flow lets through.
    """
    return _Drive[T](flow, iter(answers), adapter, ctx, sink).run()


class _Drive(Generic[T]):
    def __init__(
        self,
        flow: Flow[T],
        answers: Iterator[Answer],
        adapter: Adapter | None,
        ctx: Context | None,
        sink: Callable[[Sequence[Any]], object] | None,
    ) -> None:
        self._flow = flow
        self._answers = answers
        self._adapter = adapter
        self._ctx = ctx
        self._effects: list[Effect] = []
        self._requests: list[Request] = []
        self._bodies: list[bytes] = []
        self._rows: list[Any] = []
        self._sink = sink or self._rows.extend
        self._waited_s = 0.0

    def run(self) -> Driven[T]:
        result: Any = None
        error: DragomanError | None = None
        try:
            while True:
                effect = self._flow.send(result) if error is None else self._flow.throw(error)
                result = error = None
                self._effects.append(effect)
                try:
                    result = self._perform(effect)
                except DragomanError as thrown:
                    error = thrown
        except StopIteration as end:
            left = sum(1 for _ in self._answers)
            if left:
                raise ScriptError(
                    f"the flow ended after {len(self._effects)} effects with {left} answers left"
                ) from None
            return Driven(end.value, self._effects, self._requests, self._bodies, self._rows, self._waited_s)
        finally:
            self._flow.close()

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Request():
                return self._exchange(effect)
            case All(requests):
                if any(request.mutates for request in requests):
                    raise ScriptError("All may not hold requests that mutate: only one of those is ever in flight")
                return [self._exchange(request) for request in requests]
            case Download(request, parser):
                return self._download(request, parser)
            case Part(rows):
                self._sink(rows)
            case Wait():
                self._waited_s += effect.seconds
            case Prompt() | Redirect():
                return self._next(effect)
            case _:
                raise ScriptError(f"the flow yielded {effect!r}, which is no effect")
        return None

    def _next(self, effect: Effect) -> Answer:
        try:
            answer = next(self._answers)
        except StopIteration:
            raise ScriptError(f"no answer left for effect {len(self._effects)}: {effect!r}") from None
        if callable(answer):
            answer = answer(self._requests[-1] if isinstance(effect, Request | Download) else effect)
        if isinstance(answer, DragomanError):
            raise answer
        return answer

    def _send(self, request: Request) -> None:
        if self._adapter is not None and self._ctx is not None:
            request = self._adapter.authorize(request, body_of(request)[0], self._ctx)
        self._requests.append(request)
        self._bodies.append(body_of(request)[0])

    def _exchange(self, request: Request) -> Reply:
        self._send(request)
        answer = self._next(request)
        if isinstance(answer, str):
            answer = answer.encode()
        if isinstance(answer, bytes):
            answer = reply(body=answer)
        elif not isinstance(answer, Reply):
            answer = reply(answer)
        return self._classified(answer, request)

    def _classified(self, answer: Reply, request: Request) -> Reply:
        failure = self._adapter.classify(answer, request) if self._adapter else None
        if failure is None:
            return answer
        if failure.code in request.answers:
            return replace(answer, code=failure.code)
        raise error_for(
            failure.kind,
            failure.message,
            mutates=request.mutates,
            effect=failure.effect,
            retry=failure.retry,
            retry_after_s=failure.retry_after_s,
            code=failure.code,
            text=failure.text,
            remedy=failure.remedy,
            broker=self._adapter.name if self._adapter else None,
        )

    def _download(self, request: Request, parser: Any) -> Downloaded:
        self._send(request)
        answer = self._next(request)
        headers: Mapping[str, str] = {}
        if isinstance(answer, Reply):
            if not 200 <= answer.status < 300:
                self._classified(answer, request)
            headers, answer = answer.headers, answer.body
        pieces = (answer,) if isinstance(answer, bytes) else answer
        rows = size = 0
        for piece in _ended(pieces):
            found = list(parser.close() if piece is None else parser.feed(piece))
            rows, size = rows + len(found), size + len(piece or b"")
            self._sink(found)
        return Downloaded(rows, size, headers)


def _ended(pieces: Iterable[bytes]) -> Iterator[bytes | None]:
    yield from pieces
    yield None
