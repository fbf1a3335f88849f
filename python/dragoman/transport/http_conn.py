"""One HTTP connection: writes a request in one piece, reads its reply, and knows how it ended.

Theory: a connection is idle or carries exactly one request. Whatever ends the request settles its future once: a whole
reply, or an `OutcomeUnknown` that says how it was lost. From the moment `exchange` wrote, nothing here is NOT_SENT.
After anything but a clean reply the connection is closed, never reused: a late reply on it would be taken for the
answer to the next request. Bytes on an idle connection close it for the same reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from dragoman.errors import ErrorKind, OutcomeUnknown
from dragoman.runtime.base import Clock
from dragoman.transport.base import HttpOptions, Origin, WireReply
from dragoman.transport.http_body import BadReplyError
from dragoman.transport.http_parse import ReplyParser, Sink

_LOOK_FIRST = "look at the broker's own books before acting; do not send it again"


class HttpConnection(asyncio.Protocol):
    """A connection of a pool.

    Parameters
    ----------
    origin : Origin
        Named in errors.
    on_free, on_gone : callable
        Told when the connection may carry another request, and, once, when it never will.
    """

    __slots__ = (
        "_clock",
        "_deadline",
        "_first_ns",
        "_gone",
        "_label",
        "_loop",
        "_on_free",
        "_on_gone",
        "_origin",
        "_parser",
        "_sent_ns",
        "_silence_s",
        "_timeout_s",
        "_timer",
        "_timer_at",
        "_waiter",
        "idle_since",
        "lost",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(
        self,
        clock: Clock,
        origin: Origin,
        options: HttpOptions,
        on_free: Callable[[HttpConnection], None],
        on_gone: Callable[[HttpConnection], None],
    ) -> None:
        self._clock = clock
        self._origin = origin
        self._on_free = on_free
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._parser = ReplyParser(options.max_header_bytes, options.max_body_bytes)
        self._waiter: asyncio.Future[WireReply] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._silence_s: float | None = None
        self._gone = False
        self._deadline = 0.0
        self._timer_at = 0.0
        self._label = ""
        self._sent_ns = 0
        self._first_ns = 0
        self._timeout_s = 0.0
        self.idle_since = 0.0
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @property
    def gone(self) -> bool:
        """Whether this connection will carry no further request."""
        return self._gone or self.transport.is_closing()

    def exchange(
        self, data: bytes, label: str, *, head: bool, deadline: float, timeout_s: float, sink: Sink | None = None
    ) -> asyncio.Future[WireReply]:
        """Write a request and return the future of its reply.

        Parameters
        ----------
        data : bytes
            Head and body.
        label : str
            Names the request in errors.
        head : bool
            Whether it is a HEAD.
        deadline : float
            On the loop's clock; without a sink, when the whole reply must be here.
        timeout_s : float
            The caller's; with a sink, the longest silence.
        sink : callable or None
            Takes the body of a 2xx reply.
        """
        waiter: asyncio.Future[WireReply] = self._loop.create_future()
        self._waiter = waiter
        self._label = label
        self._timeout_s = timeout_s
        self._silence_s = timeout_s if sink is not None else None
        self._parser.begin(head=head, sink=sink)
        if sink is not None:
            deadline = self._loop.time() + timeout_s
        self._deadline = deadline
        # The timer of the last request is left to fire and to look again: with requests in a row it is set once in a
        # while, not once each.
        if self._timer is None or self._timer_at > deadline:
            self._set_timer(deadline)
        self._first_ns = 0
        self._sent_ns = self._clock.mono_ns()
        self.transport.write(data)
        return waiter

    def abandon(self) -> None:
        """Close at once; a request under way ends as on a lost connection."""
        self._settle(OutcomeUnknown(f"{self._name()}: the connection was closed by us", remedy=_LOOK_FIRST))
        self._drop()

    def retire(self) -> None:
        """Close an idle connection in good order."""
        self.transport.close()
        self._leave()

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: uvloop's transports are none by inheritance.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self._drop()
            return
        if not self._first_ns:
            self._first_ns = self._clock.mono_ns()
        if self._silence_s is not None:
            self._deadline = self._loop.time() + self._silence_s
        try:
            done = self._parser.feed(data)
        except BadReplyError as error:
            self._bad_reply(error)
        except Exception as error:  # noqa: BLE001 (the sink's: it goes to the caller)
            self._settle(error)
            self._drop()
        else:
            if done:
                self._complete()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        self._leave()
        if not self.lost.done():
            self.lost.set_result(None)

    # Endings

    def _end(self, exc: Exception | None) -> None:
        if self._waiter is None:
            return
        if exc is None:
            try:
                if self._parser.end(tls=self.transport.get_extra_info("ssl_object") is not None):
                    self._complete()
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
        self._settle(lost)
        self._drop()

    def _complete(self) -> None:
        parser = self._parser
        recv_ns = self._clock.mono_ns()
        wall_ns, first_ns = self._clock.wall_ns(), self._first_ns or recv_ns
        reply = WireReply(parser.status, parser.headers, parser.take_body(), wall_ns, self._sent_ns, recv_ns, first_ns)
        self._settle(reply)
        if parser.reusable and not self.gone:
            self._on_free(self)
        else:
            self._drop()

    def _bad_reply(self, error: BadReplyError, cause: BaseException | None = None) -> None:
        unknown = OutcomeUnknown(f"{self._name()}: {error}", kind=ErrorKind.BAD_RESPONSE, remedy=_LOOK_FIRST)
        unknown.__cause__ = cause
        self._settle(unknown)
        self._drop()

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._on_timer)
        self._timer_at = when

    def _on_timer(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._deadline > self._loop.time():
            self._set_timer(self._deadline)
            return
        what = "no reply" if not self._parser.started else "no end of the reply"
        self._settle(
            OutcomeUnknown(
                f"{self._name()}: {what} within {self._timeout_s:g} s", kind=ErrorKind.TIMEOUT, remedy=_LOOK_FIRST
            )
        )
        self._drop()

    def _settle(self, outcome: WireReply | Exception) -> None:
        """End the request, once."""
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():  # done: the caller was cancelled
            return
        if isinstance(outcome, WireReply):
            waiter.set_result(outcome)
        else:
            waiter.set_exception(outcome)

    def _drop(self) -> None:
        self.transport.abort()
        self._leave()

    def _leave(self) -> None:
        if not self._gone:
            self._gone = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._on_gone(self)

    def _name(self) -> str:
        return f"{self._label} to {self._origin}"
