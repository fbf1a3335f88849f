"""A byte stream between two protocols in memory: segments, windows, half-closing, resets.

Theory: a `Link` is two `Pipe`s, one per direction. What a transport writes is cut into segments at seeded points, each
with a seeded delay, never overtaking the one before; what arrives together may be handed over together. So a parser
sees the bytes split and joined in every way a network may do it, and the same way again for the same seed. A pipe holds
at most a window of bytes that its reader has not taken; the rest stays in the writer's buffer, where the water marks of
asyncio's flow control apply.

As with real sockets: bytes that reach a closed end are answered with a reset, closing with unread bytes is a reset, and
a reader that is paused notices neither bytes nor end of stream.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dragoman.runtime.virtual_loop import VirtualLoop

Address = tuple[str, int]
Chunking = Literal["random", "whole"]

_NS = 1_000_000_000
_WINDOW = 256 * 1024


@dataclass(slots=True)
class Shape:
    """How a network carries bytes.

    Attributes
    ----------
    latency_s : tuple of float
        Bounds of the one-way delay of a segment, drawn anew for each.
    chunking : {"random", "whole"}
        Cut writes at random points and join what arrives together, or hand each write over as it is.
    """

    latency_s: tuple[float, float] = (0.000_1, 0.001)
    chunking: Chunking = "random"

    def delay_ns(self, rng: random.Random) -> int:
        low, high = self.latency_s
        return round(rng.uniform(low, high) * _NS)

    def cut(self, data: bytes, rng: random.Random) -> Iterator[bytes]:
        """Split at points of every magnitude: single bytes and whole messages are both likely."""
        if self.chunking == "whole":
            yield data
            return
        at = 0
        while at < len(data):
            size = rng.randint(1, 1 << rng.randrange(1, 17))
            yield data[at : at + size]
            at += size


@dataclass(slots=True)
class Segment:
    arrival_ns: int
    kind: Literal["data", "fin", "rst"]
    data: bytes = b""


@dataclass(eq=False)
class Pipe:
    """One direction of a link. The attributes are its faults; they may be set at any time.

    Attributes
    ----------
    reset_after : int or None
        Once this many bytes were delivered, the next one resets the link instead.
    mute_after : int or None
        Once this many bytes were delivered, everything after them vanishes, ends of stream and resets too: the two
        sides of a half-open connection each believe that it stands.
    delay_s : float
        Added to the latency of what is written from now on.
    """

    name: str
    link: Link
    loop: VirtualLoop
    shape: Shape
    rng: random.Random
    reset_after: int | None = None
    mute_after: int | None = None
    delay_s: float = 0.0
    delivered: int = 0
    pending: int = 0  # bytes the writer has let go of and the reader has not taken
    source: VirtualTransport = field(init=False)
    sink: VirtualTransport = field(init=False)
    _segments: deque[Segment] = field(default_factory=deque)
    _timer: asyncio.TimerHandle | None = None

    @property
    def room(self) -> int:
        """Bytes the window still takes."""
        return _WINDOW - self.pending

    @property
    def unread(self) -> bool:
        """Whether something has arrived that the reader has not been handed."""
        return bool(self._segments) and self._segments[0].arrival_ns <= self.loop.now_ns

    def push(self, data: bytes) -> None:
        self.pending += len(data)
        for piece in self.shape.cut(data, self.rng):
            self._send("data", piece)

    def push_end(self, kind: Literal["fin", "rst"]) -> None:
        self._send(kind, b"")

    def _send(self, kind: Literal["data", "fin", "rst"], data: bytes) -> None:
        delay_ns = self.shape.delay_ns(self.rng) + round(self.delay_s * _NS)
        # Only the head of the queue is ever looked at, so a segment that is faster than the one before waits for it.
        self._segments.append(Segment(self.loop.now_ns + delay_ns, kind, data))
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._segments:
            self._timer = self.loop.call_at(self._segments[0].arrival_ns / _NS, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.deliver()

    def deliver(self) -> None:
        """Hand over what has arrived, as far as the reader takes it."""
        while self.unread:
            if self._segments[0].kind == "rst":
                self._segments.popleft()
                if not self._muted:
                    self.sink.lose(connection_reset())
            elif self.sink.ended:
                self._answer_dead_letter()
            elif self.sink.paused:
                return  # `resume_reading` comes back here
            elif self._segments[0].kind == "fin":
                self._segments.popleft()
                if not self._muted:
                    self.sink.take_eof()
            else:
                self._deliver_data(self._segments.popleft().data)
        self._arm()

    @property
    def _muted(self) -> bool:
        return self.mute_after is not None and self.delivered >= self.mute_after

    def _answer_dead_letter(self) -> None:
        segment = self._segments.popleft()
        self.pending -= len(segment.data)
        if segment.kind == "data" and not self._muted:
            self.sink.outgoing.push_end("rst")

    def _deliver_data(self, data: bytes) -> None:
        while self.unread and self._segments[0].kind == "data" and self.shape.chunking == "random":
            if self.rng.random() < 0.5:
                break
            data += self._segments.popleft().data
        limits = [limit for limit in (self.mute_after, self.reset_after) if limit is not None]
        allowed = max(0, min([len(data), *(limit - self.delivered for limit in limits)]))
        # Bytes that vanish stay in the window: nobody acknowledges them, so the writer's buffer fills up.
        self.pending -= allowed
        self.delivered += allowed
        if allowed:
            piece = data[:allowed]
            self.loop.trace.add(self.loop.now_ns, f"{self.link.number}{self.name} {allowed} {zlib.crc32(piece):08x}")
            self.sink.take_data(piece)
            self.source.pump()
        if allowed < len(data) and not self._muted:
            self.link.reset()

    def clear(self) -> None:
        """Forget everything under way."""
        self._segments.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Link:
    """A connection with its two directions, for tests to look at and to break.

    Attributes
    ----------
    number : int
        Counts connections of this net from 1.
    client, server : tuple of str and int
        Addresses of both ends.
    to_server, to_client : Pipe
    """

    def __init__(
        self, number: int, client: Address, server: Address, loop: VirtualLoop, shape: Shape, rng: random.Random
    ) -> None:
        self.number = number
        self.client = client
        self.server = server
        self.to_server = Pipe(">", self, loop, shape, rng)
        self.to_client = Pipe("<", self, loop, shape, rng)

    def join(self, client: VirtualTransport, server: VirtualTransport) -> None:
        """Put the transports to the ends of the pipes."""
        self.to_server.source = self.to_client.sink = client
        self.to_server.sink = self.to_client.source = server

    @property
    def open(self) -> bool:
        """Whether at least one end believes that the connection stands."""
        return not (self.to_server.source.ended and self.to_server.sink.ended)

    def reset(self) -> None:
        """Break the connection now: both ends get a ConnectionResetError, what was under way is lost."""
        for pipe in (self.to_server, self.to_client):
            pipe.clear()
            pipe.sink.lose(connection_reset())

    def vanish(self) -> None:
        """Let both directions swallow everything from now on, ends of stream included (half-open)."""
        for pipe in (self.to_server, self.to_client):
            pipe.mute_after = pipe.delivered


class VirtualTransport(asyncio.Transport):
    """One end of a link."""

    def __init__(
        self,
        loop: VirtualLoop,
        protocol: asyncio.Protocol,
        outgoing: Pipe,
        incoming: Pipe,
        sockname: Address,
        peername: Address,
    ) -> None:
        super().__init__({"sockname": sockname, "peername": peername})
        self.outgoing = outgoing
        self.ended = False  # closed or lost: nothing is read or written any more, though a buffer may still drain
        self.paused = True  # until `connection_made` was called
        self._loop = loop
        self._protocol = protocol
        self._incoming = incoming
        self._buffer = bytearray()
        self._high, self._low = 64 * 1024, 16 * 1024
        self._writing_paused = False
        self._eof_written = False
        self._fin_sent = False
        self._lost = False

    def start(self) -> None:
        """Introduce the protocol; before, nothing is delivered to it."""
        self.paused = False
        if self._lost:
            return
        self._guarded(self._protocol.connection_made, self)
        self._incoming.deliver()

    # Writing

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data is {type(data).__name__}, expected bytes")
        if self._eof_written:
            raise RuntimeError("cannot write after write_eof")
        if self.ended or not data:
            return
        self._buffer += data
        self.pump()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def pump(self) -> None:
        """Move buffered bytes into the pipe, as far as its window reaches."""
        if self._lost:
            return
        room = self.outgoing.room
        if self._buffer and room > 0:
            piece = bytes(self._buffer[:room])
            del self._buffer[:room]
            self.outgoing.push(piece)
        self._apply_water_marks()
        if not self._buffer and (self._eof_written or self.ended):
            if not self._fin_sent:
                self._fin_sent = True
                self.outgoing.push_end("fin")
            if self.ended:
                self._finish(None)

    def _apply_water_marks(self) -> None:
        size = len(self._buffer)
        if size > self._high and not self._writing_paused:
            self._writing_paused = True
            self._guarded(self._protocol.pause_writing)
        elif size <= self._low and self._writing_paused:
            self._writing_paused = False
            self._guarded(self._protocol.resume_writing)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._eof_written and not self.ended:
            self._eof_written = True
            self.pump()

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = 64 * 1024 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not 0 <= low <= high:
            raise ValueError(f"high is {high} and low is {low}, expected high >= low >= 0")
        self._high, self._low = high, low
        self._apply_water_marks()

    # Reading

    def is_reading(self) -> bool:
        return not self.paused and not self.ended

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        if self.paused and not self.ended:
            self.paused = False
            self._loop.call_soon(self._incoming.deliver)

    def take_data(self, data: bytes) -> None:
        """Hand arrived bytes to the protocol."""
        self._guarded(self._protocol.data_received, data)

    def take_eof(self) -> None:
        """Tell the protocol that the peer will write no more; close unless it wants to go on writing."""
        if not self._guarded(self._protocol.eof_received):
            self.close()

    @property
    def unread(self) -> bool:
        """Whether something has arrived that the protocol has not been told of."""
        return self.ended or self._incoming.unread

    # Ending

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self._incoming.unread:
            self._reset_peer()
        else:
            self.pump()

    def abort(self) -> None:
        if self._lost:
            return
        self.ended = True
        self._buffer.clear()
        if self._incoming.unread:
            self._reset_peer()
        else:
            self.pump()

    def _reset_peer(self) -> None:
        self._buffer.clear()
        self._incoming.clear()
        self.outgoing.push_end("rst")
        self._finish(None)

    def lose(self, error: OSError) -> None:
        """Take a reset from outside."""
        self.ended = True
        self._buffer.clear()
        self._finish(error)

    def _finish(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._protocol_lost, error)

    def _protocol_lost(self, error: Exception | None) -> None:
        self._protocol.connection_lost(error)

    def _guarded(self, callback: Any, *args: Any) -> Any:
        """Call the protocol; what it raises is reported and ends the connection, as asyncio's transports do."""
        try:
            return callback(*args)
        except Exception as error:  # noqa: BLE001 (reported to the loop's handler below)
            self._loop.call_exception_handler(
                {
                    "message": f"{type(self._protocol).__qualname__}.{callback.__name__} failed",
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            if not self._lost:
                self.ended = True
                self._buffer.clear()
                self.outgoing.push_end("rst")
                self._finish(error)
            return None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError(f"{type(protocol).__name__} is no asyncio.Protocol: the virtual net carries streams only")
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def __repr__(self) -> str:
        state = "lost" if self._lost else "closing" if self.ended else "open"
        return f"<VirtualTransport {self.get_extra_info('sockname')} -> {self.get_extra_info('peername')} {state}>"


def connection_reset() -> ConnectionResetError:
    """Make the error a reset connection ends with."""
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
