"""The server's end of one WebSocket: messages in, frames out, and the faults between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from dragoman.emulator.faults import Action, Fault, Scope
from dragoman.runtime.reset import reset
from dragoman.transport.ws_frames import (
    Assembler,
    FrameReader,
    Op,
    ProtocolFault,
    encode_close,
    encode_frame,
    parse_close,
)

if TYPE_CHECKING:
    from dragoman.emulator.host import EmulatorHost

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_BUFFERED_BYTES = 1024 * 1024
_CLOSE_TIMEOUT_S = 2.0
_LINGER_S = 0.1


class ServerSocket:
    """An open socket of the emulator host.

    Frames a client does not read pile up to `MAX_BUFFERED_BYTES`; then it is closed with 1008, as brokers do.
    """

    def __init__(self, host: EmulatorHost, transport: asyncio.Transport, number: int, path: str) -> None:
        self.number = number
        self._host = host
        self._io = transport
        self._path = path
        self._reader = FrameReader(client=False, max_frame_bytes=MAX_MESSAGE_BYTES)
        self._assembler = Assembler(MAX_MESSAGE_BYTES)
        self._opened_ns = host.mono_ns()
        self._closing = False
        self._deaf = False  # the byte stream makes no sense any more
        self._timers: set[asyncio.TimerHandle] = set()
        # -- what faults left behind
        self._had: set[int] = set()
        self._muted = False
        self._held: bytes | None = None  # waits for the frame that will overtake it
        self._idle = False
        self._line: deque[bytes] = deque()  # delayed frames, and those behind them
        self._allowance = MAX_BUFFERED_BYTES

    @property
    def age_s(self) -> float:
        return (self._host.mono_ns() - self._opened_ns) / 1e9

    # -- in

    def feed(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._deaf:
            return
        try:
            for op, fin, payload in self._reader.feed(data):
                if op == Op.CLOSE:
                    self._client_closes(parse_close(payload)[0])
                    return
                if self._closing:
                    continue
                if op == Op.PING:
                    self._write(encode_frame(Op.PONG, payload))
                elif op != Op.PONG and (message := self._assembler.add(op, fin, payload)) is not None:
                    self._host.message(self, message if isinstance(message, str) else bytes(message))
        except ProtocolFault as fault:
            self._host.counters.protocol_faults += 1
            self._deaf = True
            self.close(fault.code, fault.text)
            # Not at once: closing over unread bytes resets the connection, and the close frame would be lost with it.
            self._later(_LINGER_S, self._io.close)

    def _client_closes(self, code: int) -> None:
        if not self._closing:
            self._closing = True
            self._io.write(encode_frame(Op.CLOSE, encode_close(code) if code != 1005 else b""))
        self._io.close()
        self._later(_CLOSE_TIMEOUT_S, self._io.abort)

    # -- out

    def push(self, data: str | bytes) -> None:
        """Send a message, as far as the faults let it."""
        if self._closing:
            return
        if self._muted:
            self._host.counters.frames_muted += 1
            return
        op, payload = (Op.TEXT, data.encode()) if isinstance(data, str) else (Op.BINARY, data)
        fault = self._host.faults.frame(self._path, self.age_s)
        self._idle = False
        match fault.action if fault is not None else None:
            case Action.DROP_FRAMES:
                return
            case Action.REORDER_FRAMES if self._held is None:
                self._held = encode_frame(op, payload)
                return
            case Action.DUP_FRAMES:
                self._line_up(encode_frame(op, payload) * 2)
            case Action.TRUNCATE_FRAMES:
                # Whole characters only: the frame is still text, the message in it is not whole any more.
                keep = data[: self._host.faults.below(max(1, len(data)))]
                self._line_up(encode_frame(op, keep.encode() if isinstance(keep, str) else keep))
            case Action.FRAGMENT_FRAMES:
                cut = len(payload) // 2
                self._line_up(
                    encode_frame(op, payload[:cut], fin=False)
                    + encode_frame(Op.PING, b"between")
                    + encode_frame(Op.CONTINUATION, payload[cut:])
                )
            case Action.DELAY_FRAMES if fault is not None:
                self._line.append(encode_frame(op, payload))
                self._later(fault.number, self._advance)
            case _:
                self._line_up(encode_frame(op, payload))
        if self._held is not None:
            held, self._held = self._held, None
            self._line_up(held)

    def _line_up(self, frame: bytes) -> None:
        """Send a frame, or put it behind the delayed ones: a delay holds up what follows, it does not reorder."""
        if self._line:
            self._line[-1] += frame
        else:
            self._write(frame)

    def _advance(self) -> None:
        self._write(self._line.popleft())

    def _write(self, frame: bytes) -> None:
        if self._io.is_closing():
            return
        self._io.write(frame)
        self._host.counters.frames_out += 1
        if self._io.get_write_buffer_size() > self._allowance and not self._closing:
            self._host.counters.slow_readers += 1
            self.close(1008, "the client reads too slowly")

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame; the connection ends when the client answers it, or after a short while."""
        if self._closing:
            return
        self._closing = True
        if not self._io.is_closing():
            self._io.write(encode_frame(Op.CLOSE, encode_close(code, reason)))
        self._later(_CLOSE_TIMEOUT_S, self._io.abort)

    def lost(self) -> None:
        """The connection is gone."""
        self._closing = True
        for timer in self._timers:
            timer.cancel()
        self._host.closed(self)

    # -- faults that need no frame to happen

    def tick(self) -> None:
        """Play the faults whose time has come, and let go of a frame that nothing overtook."""
        for fault in self._host.faults.due(Scope.SOCKET, self._path, self.age_s, self._had):
            if not self._closing:
                self._play(fault)
        if self._held is not None and self._idle and not self._closing:
            held, self._held = self._held, None
            self._line_up(held)
        self._idle = True

    def _play(self, fault: Fault) -> None:
        match fault.action:
            case Action.MUTE_SOCKET:
                self._muted = True
                if fault.number:
                    self._later(fault.number, self._unmute)
            case Action.SLOW_READER:
                self._io.pause_reading()
                if fault.number:
                    self._later(fault.number, self._read_on)
            case Action.CLOSE_SOCKET:
                self.close(fault.resolved_code, "fault")
            case Action.RESET_SOCKET:
                reset(self._io)
            case Action.OVERSIZE_FRAME:
                size = int(fault.number)
                self._allowance += size
                self._write(encode_frame(Op.BINARY, bytes(size)))
            case Action.BAD_UTF8:
                self._write(encode_frame(Op.TEXT, b"\xc3\x28\xff"))
            case Action.RSV_FRAME:
                self._write(encode_frame(Op.BINARY, b"reserved", rsv=0b100))
            case Action.BAD_OPCODE:
                self._write(encode_frame(0xB, b"unknown"))
            case other:
                raise AssertionError(f"{other} is not a fault of sockets")

    def _unmute(self) -> None:
        self._muted = False

    def _read_on(self) -> None:
        if not self._io.is_closing():
            self._io.resume_reading()

    def _later(self, delay_s: float, step: Callable[[], object]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            step()

        timer = asyncio.get_running_loop().call_later(delay_s, run)
        self._timers.add(timer)
