"""A WebSocket client connection without its framing: messages, liveness, closing, and a handler that may fail.

Theory: a `Wire` turns bytes into frames and back (picows on real sockets, wsproto in memory). Everything else is here,
once, so that both obey the same options. A connection is OPEN, then CLOSING (a close frame was sent; data is no longer
looked at), then CLOSED when the transport is lost, which is the only place that reports the end. Every way into
CLOSING starts a timer that aborts the transport, so CLOSED always comes.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from dragoman.errors import NotSent, UsageError
from dragoman.runtime.base import Runtime
from dragoman.transport.base import Origin, WsHandler, WsOptions
from dragoman.transport.ws_frames import Assembler, Op, ProtocolFault, encode_close, is_close_code, parse_close

_log = logging.getLogger("dragoman.transport.websocket")
_REPEAT_NS = 60_000_000_000
_LINGER_S = 0.01  # closing over unread bytes resets the connection; this lets the close frame arrive before


class Wire(Protocol):
    """The framing below a connection."""

    def open(self, transport: asyncio.Transport) -> None:
        """Write the upgrade request."""
        ...

    def accept(self, transport: asyncio.Transport, head: bytes, headers: dict[str, str]) -> None:
        """Take over a transport whose peer answered 101 with `head`; reading is paused. Raises ProtocolFault."""
        ...

    def begin(self, connection: Connection, rest: bytes) -> None:
        """Hand frames to `connection` from now on, those in `rest` first."""
        ...

    def send(self, op: int, payload: bytes) -> None: ...

    def buffered(self) -> int:
        """Return the bytes the kernel has not taken yet."""
        ...

    def end(self) -> None:
        """Close the transport once what was written is sent."""
        ...

    def abort(self) -> None: ...


class Intake(Protocol):
    """What takes a handler's whole binary messages natively, past `WsHandler.on_binary`: its attribute `intake`.

    A handler that has one gives what it takes the same effect as `on_binary` has, which still gets messages of several
    frames and those of wires that know no short cut.
    """

    at_rest: bool

    def tap(
        self, slow: Callable[[Any, Any], object], complain: Callable[[Exception], object], *, max_bytes: int
    ) -> Callable[[Any, Any], None]:
        """Return what the wire's library calls with each frame; see `dragoman._core.Intake.tap`."""
        ...


class State(enum.Enum):
    OPEN = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()


class Connection:
    """The `WebSocket` both implementations give."""

    def __init__(self, runtime: Runtime, origin: Origin, wire: Wire, handler: WsHandler, options: WsOptions) -> None:
        self._clock = runtime.clock
        self._wall_ns = runtime.clock.wall_ns
        self._loop = asyncio.get_running_loop()
        self._origin = origin
        self._wire = wire
        self._handler = handler
        self._on_binary = handler.on_binary
        self._options = options
        self._assembler = Assembler(options.max_message_bytes)
        self._state = State.OPEN
        self.intake: Intake | None = getattr(handler, "intake", None) if getattr(handler, "taps", True) else None
        self.at_rest = True  # open, and between two messages
        self._verdict: tuple[int, str] | None = None  # why we gave the connection up
        self._peer_close: tuple[int, str] | None = None
        self._over = asyncio.Event()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._pings = 0
        self._errors: Counter[tuple[str, type[Exception]]] = Counter()
        self._logged_ns: dict[tuple[str, type[Exception]], int] = {}

    def __repr__(self) -> str:
        return f"<WebSocket {self._origin} {self._state.name.lower()}>"

    # -- for callers

    @property
    def open(self) -> bool:
        return self._state is State.OPEN

    @property
    def handler_errors(self) -> int:
        """How many exceptions came out of the handler."""
        return self._errors.total()

    def send_text(self, data: str) -> None:
        """Send a text message.

        Raises
        ------
        NotSent
            The connection is closed or closing.
        UsageError
            The text holds a lone surrogate, which UTF-8 cannot carry.
        """
        try:
            payload = data.encode()
        except UnicodeEncodeError:
            raise UsageError(f"text for {self._origin} cannot be sent as UTF-8: it holds a lone surrogate") from None
        self._send(Op.TEXT, payload)

    def send_binary(self, data: bytes) -> None:
        """Send a binary message. Raises NotSent where the connection is closed or closing."""
        self._send(Op.BINARY, data)

    def ping(self) -> None:
        """Send a ping; `WsHandler.on_pong` hears of the answer. Raises NotSent like `send_text`."""
        self._pings += 1
        self._send(Op.PING, self._pings.to_bytes(8, "big"))

    async def close(self, code: int = 1000) -> None:
        """Close, and wait until the connection is gone: at most `close_timeout_s`, on a dead peer too.

        Raises
        ------
        UsageError
            If a close frame may not carry `code`.
        """
        if not is_close_code(code):
            raise UsageError(f"close code {code}, expected 1000, 1001, 1002, 1003, 1007 to 1014 or 3000 to 4999")
        self._start_closing(code, "")
        await self._over.wait()

    # -- for the wire

    def begin(self, rest: bytes) -> None:
        """Let frames in. Nothing reaches the handler before."""
        if self._options.ping_interval_s > 0:
            self._after("ping", self._options.ping_interval_s, self._send_ping)
        self._wire.begin(self, rest)

    def frame(self, op: int, fin: bool, payload: bytes | memoryview) -> None:
        """Take one frame whose header is in order."""
        if self._state is not State.OPEN:
            if op == Op.CLOSE:
                self._peer_closes(payload)
            return
        try:
            if op < Op.CLOSE:
                message = self._assembler.add(op, fin, payload)
                self._rest(not self._assembler.busy)
                if isinstance(message, str):
                    self._guard("on_text", self._handler.on_text, message, self._wall_ns())
                elif message is not None:
                    self.binary(message if isinstance(message, memoryview) else memoryview(message))
            elif op == Op.PING:
                if self._options.auto_pong:
                    self._send(Op.PONG, bytes(payload))
            elif op == Op.PONG:
                # Any pong is a sign of life: some brokers answer pings with a payload of their own.
                self._cancel("pong")
                self._guard("on_pong", self._handler.on_pong, self._wall_ns())
            else:
                self._peer_closes(payload)
        except ProtocolFault as fault:
            self.fail(fault.code, fault.text)

    def binary(self, view: memoryview) -> None:
        """Hand a whole binary message to the handler, and take it back afterwards.

        A wire may come here straight, past `frame`, with an unfragmented frame of at most `max_message_bytes` while
        the connection is `at_rest`: market data does, thousands of times a second.
        """
        try:
            self._on_binary(view, self._wall_ns())
        except Exception as error:  # noqa: BLE001 - foreign code; the connection outlives it
            self._complain("on_binary", error)
        # The bytes behind the view change with the next frame. Released, a view that was kept raises when it is read;
        # a buffer of it that is held open cannot be taken back, so that is counted as the handler's error. Slices and
        # arrays are views of their own: nobody can see those, which is why the seam says to copy.
        try:
            view.release()
        except BufferError as error:
            self._complain("on_binary kept its view, and", error)

    def fail(self, code: int, reason: str, *, deaf: bool = False) -> None:
        """Give the connection up; `deaf` where the byte stream makes no sense any more, so no answer can be awaited."""
        if self._state is State.OPEN:
            self._verdict = (code, reason)
        self._start_closing(code, reason)
        if deaf:
            self._after("linger", _LINGER_S, self._wire.end)

    def lost(self) -> None:
        """The transport is gone."""
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        self._rest(False)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._report()

    def binary_failed(self, error: Exception) -> None:
        """Note what the handler raised over a binary message that went past `binary`."""
        self._complain("on_binary", error)

    # -- inside

    def _rest(self, at_rest: bool) -> None:
        self.at_rest = at_rest
        if self.intake is not None:
            self.intake.at_rest = at_rest

    def _guard(self, where: str, call: Callable[..., None], *args: object) -> None:
        try:
            call(*args)
        except Exception as error:  # noqa: BLE001 - foreign code; the connection outlives it
            self._complain(where, error)

    def _complain(self, where: str, error: Exception) -> None:
        """Count an error of the handler, and log it: not its text, which may quote what a broker sent."""
        key = (where, type(error))
        self._errors[key] += 1
        now = self._clock.mono_ns()
        if key in self._logged_ns and now - self._logged_ns[key] < _REPEAT_NS:
            return
        self._logged_ns[key] = now
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
        _log.error(
            "%s: %s.%s raised %s at %s (%d so far); the connection lives on",
            self._origin,
            type(self._handler).__name__,
            where,
            type(error).__name__,
            place,
            self._errors[key],
        )

    def _send(self, op: int, payload: bytes) -> None:
        if self._state is not State.OPEN:
            raise NotSent(f"the WebSocket to {self._origin} is {self._state.name.lower()}")
        self._wire.send(op, payload)
        waiting = self._wire.buffered()
        if waiting > self._options.max_buffered_bytes:
            self.fail(1008, f"the peer does not read: {waiting} bytes wait, at most {self._options.max_buffered_bytes}")
            self._wire.abort()

    def _send_ping(self) -> None:
        self._after("ping", self._options.ping_interval_s, self._send_ping)
        if "pong" not in self._timers:
            self._after("pong", self._options.ping_timeout_s, self._no_pong)
        self.ping()

    def _no_pong(self) -> None:
        self.fail(1011, f"no pong within {self._options.ping_timeout_s:g} s")

    def _peer_closes(self, payload: bytes | memoryview) -> None:
        """Take a close frame: the first one counts, in answer to ours or on its own."""
        try:
            code, reason = parse_close(bytes(payload))
        except ProtocolFault as fault:
            if self._state is State.OPEN:
                raise
            code, reason = fault.code, fault.text
        if self._peer_close is None:
            self._peer_close = (code, reason)
        self._start_closing(1000 if code == 1005 else code, "")
        self._wire.end()

    def _start_closing(self, code: int, reason: str) -> None:
        if self._state is not State.OPEN:
            return
        self._state = State.CLOSING
        self._rest(False)
        self._cancel("ping")
        self._cancel("pong")
        self._after("close", self._options.close_timeout_s, self._wire.abort)
        self._wire.send(Op.CLOSE, encode_close(code, reason))

    def _report(self) -> None:
        code, reason = self._verdict or self._peer_close or (1006, "the connection was lost without a close frame")
        self._guard("on_closed", self._handler.on_closed, code, reason)
        self._over.set()

    def _after(self, name: str, delay_s: float, step: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.pop(name, None)
            step()

        self._cancel(name)
        self._timers[name] = self._loop.call_later(delay_s, run)

    def _cancel(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()
