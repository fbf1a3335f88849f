"""One HTTP connection: writes a request in one piece, reads its reply, and knows how it ended.

Theory: a connection is idle or carries exactly one request. Whatever ends the request is told once, at once: a whole
reply, or an `OutcomeUnknown` that says how it was lost. From the moment `exchange` wrote, nothing here is NOT_SENT.
After anything but a clean reply the connection is closed, never reused: a late reply on it would be taken for the
answer to the next request. Bytes on an idle connection close it for the same reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from dragoman._core import HttpExchange
from dragoman.errors import ErrorKind, NotSent, OutcomeUnknown
from dragoman.plugin import Reply
from dragoman.runtime.base import Clock
from dragoman.transport.base import HttpOptions, OnEnd, Origin, Prepare, WireRequest
from dragoman.transport.http_body import BadReplyError
from dragoman.transport.http_encode import RequestEncoder, body_of, label
from dragoman.transport.http_parse import ReplyParser, Sink

_REPLY = Reply(0, {}, b"")
_LOOK_FIRST = "look at the broker's own books before acting; do not send it again"


class HttpConnection(asyncio.Protocol):
    """A connection of a pool.

    Parameters
    ----------
    origin : Origin
        Named in errors.
    encoder : RequestEncoder
    on_free, on_gone : callable
        Told when the connection may carry another request, and, once, when it never will.

    Attributes
    ----------
    unread : callable
        Whether bytes wait that `data_received` has not seen; set by the pool. Not to be asked of a closing transport.
    left : bool
        The pool has been told that it will carry nothing more.
    taken_at : float
        On the loop's clock: when the pool last gave it away.
    """

    __slots__ = (
        "_deadline",
        "_encoder",
        "_exchange",
        "_first_ns",
        "_loop",
        "_mono_ns",
        "_on_free",
        "_on_gone",
        "_origin",
        "_parser",
        "_request",
        "_silence_s",
        "_sink",
        "_timeout_s",
        "_timer",
        "_timer_at",
        "_wall_ns",
        "data_received",
        "idle_since",
        "left",
        "lost",
        "taken_at",
        "transport",
        "unread",
    )

    data_received: Callable[[bytes], object]  # type: ignore[assignment]  # the exchange's own: no step between
    transport: asyncio.Transport
    unread: Callable[[], object]

    def __init__(
        self,
        clock: Clock,
        origin: Origin,
        options: HttpOptions,
        encoder: RequestEncoder,
        on_free: Callable[[HttpConnection], None],
        on_gone: Callable[[HttpConnection], None],
    ) -> None:
        self._mono_ns, self._wall_ns = clock.mono_ns, clock.wall_ns
        self._origin = origin
        self._encoder = encoder
        self._on_free = on_free
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._parser = ReplyParser(options.max_header_bytes, options.max_body_bytes)
        self._exchange = HttpExchange(
            clock.mono_ns,
            clock.wall_ns,
            _REPLY,
            self._finished,
            self._take_otherwise,
            options.max_header_bytes,
            options.max_body_bytes,
        )
        self.data_received = self._exchange.data_received
        self._request: WireRequest | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._silence_s: float | None = None
        self.left = False
        self._deadline = 0.0
        self._timer_at = 0.0
        self._first_ns = 0
        self._timeout_s = 0.0
        self.idle_since = self.taken_at = 0.0
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @property
    def gone(self) -> bool:
        """Whether this connection will carry no further request."""
        return self.left or self.transport.is_closing()

    def release(self) -> None:
        """Give back a connection that was taken and carried nothing."""
        self._on_free(self)

    def send(
        self,
        prepare: Prepare,
        on_end: OnEnd,
        *,
        timeout_s: float,
        deadline: float,
        sink: Sink | None = None,
    ) -> None:
        """Prepare a request and write it, in one step; `on_end` is told how it ended.

        Where this raises, nothing was written, `on_end` is not called and the connection is free again.

        Parameters
        ----------
        prepare : callable
            Makes the request; what it raises is passed on.
        on_end : callable
            Called once, with the whole reply or with the error.
        timeout_s : float
            The caller's; with a sink, the longest silence.
        deadline : float
            On the loop's clock: when the whole reply must be here, where there is no sink.
        sink : callable, optional
            Takes the body of a 2xx reply.

        Raises
        ------
        NotSent
            The deadline has passed.
        """
        try:
            self.taken_at = now = self._loop.time()
            if now >= deadline:
                raise NotSent(
                    f"the deadline of {timeout_s:g} s passed before the request to {self._origin} was written"
                )
            request = prepare()
        except BaseException:
            self._on_free(self)
            raise
        self.carry(request, on_end, timeout_s, deadline, sink)

    def carry(
        self,
        request: WireRequest,
        on_end: OnEnd,
        timeout_s: float,
        deadline: float | None = None,
        sink: Sink | None = None,
    ) -> None:
        """Write a request that is ready, as `send` does, in the step in which the connection was taken.

        Parameters
        ----------
        deadline : float, optional
            `timeout_s` from when the connection was taken, unless given.

        Raises
        ------
        UsageError
            It cannot be sent as it stands; as with `send`, nothing was written.
        TypeError
            Its body is none; the same.
        """
        try:
            head = request.head or self._encoder.head(request)
        except BaseException:
            self._on_free(self)
            raise
        self._request = request
        plain = sink is None and request.method != "HEAD"
        if not plain:
            self._first_ns = 0
            self._parser.begin(head=request.method == "HEAD", sink=sink)
        exchange = self._exchange
        try:
            exchange.carry(self.transport.write, head, body_of(request), on_end, plain)
        except BaseException:
            if exchange.on_end is None:
                self._on_free(self)  # it was not begun
            else:
                exchange.on_end = None  # nobody knows how much of it left; whoever asked is told by this
                self._drop()
            raise
        # It is on its way; nothing of the reply is seen before the loop has its turn.
        self._timeout_s = timeout_s
        self._silence_s = None if sink is None else timeout_s
        if deadline is None or sink is not None:
            deadline = self.taken_at + timeout_s
        self._deadline = deadline
        # The timer of the last request is left to fire and to look again: with requests in a row it is set once in a
        # while, not once each.
        if self._timer is None or self._timer_at > deadline:
            self._set_timer(deadline)

    def abandon(self) -> None:
        """Close at once; a request under way ends as on a lost connection."""
        self._end_with(OutcomeUnknown(f"{self._name()}: the connection was closed by us", remedy=_LOOK_FIRST))

    def retire(self) -> None:
        """Close an idle connection in good order."""
        self.transport.close()
        self._leave()

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: uvloop's transports are none by inheritance.
        self.transport = cast(asyncio.Transport, transport)
        # A request leaves when it is written, not when the loop has run everything else: what is done after the write
        # costs it nothing.
        self.transport.set_write_buffer_limits(high=0)

    def _take_otherwise(self, data: bytes) -> None:
        """Take bytes that are no whole, plain reply."""
        exchange = self._exchange
        if exchange.on_end is None:
            self._drop()
            return
        if exchange.plain:
            self._begin_reading()
        if not self._first_ns:
            self._first_ns = self._mono_ns()
        if self._silence_s is not None:
            self._deadline = self._loop.time() + self._silence_s
        try:
            done = self._parser.feed(data)
        except BadReplyError as error:
            self._bad_reply(error)
        except Exception as error:  # noqa: BLE001 (the sink's: it goes to the caller)
            self._end_with(error)
        else:
            if done:
                self._complete_parsed()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        self._leave()
        self._exchange.close()  # it calls this, and this holds it
        if not self.lost.done():
            self.lost.set_result(None)

    # Endings

    def _end(self, exc: Exception | None) -> None:
        exchange = self._exchange
        if exchange.on_end is None:
            return
        if exchange.plain:
            self._begin_reading()
        if exc is None:
            try:
                if self._parser.end(tls=self.transport.get_extra_info("ssl_object") is not None):
                    self._complete_parsed()
                    return
            except BadReplyError as error:
                self._bad_reply(error)
                return
        if self._parser.started:
            self._bad_reply(BadReplyError("the connection was lost before the end of the body"), exc)
            return
        lost = OutcomeUnknown(
            f"{self._name()}: the connection was lost after the request was written, before a reply came",
            remedy=_LOOK_FIRST,
        )
        lost.__cause__ = exc
        self._end_with(lost)

    def _begin_reading(self) -> None:
        """Make the parser ready for a plain reply, once it is known to be needed."""
        self._exchange.plain = False
        self._first_ns = 0
        self._parser.begin(head=False, sink=None)

    def _complete_parsed(self) -> None:
        exchange, parser, recv_ns = self._exchange, self._parser, self._mono_ns()
        on_end, exchange.on_end = exchange.on_end, None
        assert on_end is not None
        first_ns = self._first_ns or recv_ns
        body, now, sent_ns = parser.take_body(), self._wall_ns(), exchange.sent_ns
        reply = Reply(
            parser.status,
            parser.headers,
            body,
            now,
            mono_sent_ns=sent_ns,
            mono_first_ns=first_ns,
            mono_recv_ns=recv_ns,
        )
        if parser.reusable:
            self._finished()
        else:
            self._request = None
            self._drop()
        on_end(reply)

    def _finished(self) -> None:
        """Be free again, before whoever waits is told: it may send the next request at once."""
        self._request = None
        if self.left or self.transport.is_closing():
            self._drop()
        else:
            self._on_free(self)

    def _bad_reply(self, error: BadReplyError, cause: BaseException | None = None) -> None:
        unknown = OutcomeUnknown(f"{self._name()}: {error}", kind=ErrorKind.BAD_RESPONSE, remedy=_LOOK_FIRST)
        unknown.__cause__ = cause
        self._end_with(unknown)

    def _end_with(self, error: Exception) -> None:
        """End the request that is under way, if any, and the connection with it."""
        exchange = self._exchange
        on_end, exchange.on_end, self._request = exchange.on_end, None, None
        exchange.plain = False
        self._drop()
        if on_end is not None:
            on_end(error)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._on_timer)
        self._timer_at = when

    def _on_timer(self) -> None:
        self._timer = None
        if self._exchange.on_end is None:
            return
        if self._deadline > self._loop.time():
            self._set_timer(self._deadline)
            return
        if self._exchange.plain:
            self._begin_reading()
        what = "no reply" if not self._parser.started else "no end of the reply"
        self._end_with(
            OutcomeUnknown(
                f"{self._name()}: {what} within {self._timeout_s:g} s", kind=ErrorKind.TIMEOUT, remedy=_LOOK_FIRST
            )
        )

    def _drop(self) -> None:
        self.transport.abort()
        self._leave()

    def _leave(self) -> None:
        if not self.left:
            self.left = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._on_gone(self)

    def _name(self) -> str:
        return f"{'a request' if self._request is None else label(self._request)} to {self._origin}"
