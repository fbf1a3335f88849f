"""A scripted WebSocket server for tests of the client: it answers as told and writes the bytes it is given."""

from __future__ import annotations

import asyncio
from pickle import PickleBuffer

from dragoman.runtime.base import Runtime
from dragoman.transport.ws_frames import FrameReader, accept_key, encode_frame


class Recorder:
    """A `WsHandler` that remembers, and fails where a test wants it to."""

    def __init__(self, fail_on: str = "") -> None:
        self.events: list[tuple] = []
        self.stamps: list[int] = []
        self.kept: list = []
        self.fail_on = fail_on
        self._news = asyncio.Event()

    def _note(self, *event) -> None:
        self.events.append(event)
        self._news.set()
        if self.fail_on == event[0]:
            raise ValueError("secret payload")

    def on_binary(self, data, ts_recv) -> None:
        self.stamps.append(ts_recv)
        if self.fail_on == "keep":
            self.kept.append(data)
        if self.fail_on == "buffer":
            self.kept.append(PickleBuffer(data))  # the plainest object that holds a buffer open
        self._note("binary", bytes(data))

    def on_text(self, data, ts_recv) -> None:
        self.stamps.append(ts_recv)
        self._note("text", data)

    def on_pong(self, ts_recv) -> None:
        self._note("pong")

    def on_closed(self, code, reason) -> None:
        self._note("closed", code, reason)

    async def until(self, count: int) -> list[tuple]:
        """Wait for so many events; return them all."""
        while len(self.events) < count:
            self._news.clear()
            await self._news.wait()
        return self.events

    async def closed(self) -> tuple[int, str]:
        """Wait for the end; return its code and reason."""
        while not self.events or self.events[-1][0] != "closed":
            self._news.clear()
            await self._news.wait()
        return self.events[-1][1:]


class WsServer:
    """Listens, and keeps the connections it got as `Link`s.

    Parameters
    ----------
    answer : bytes or None
        Written instead of a good 101; ``{accept}`` in it becomes the right accept key.
    greeting : bytes
        Written in one piece with the 101.
    """

    def __init__(self, runtime: Runtime, *, answer: bytes | None = None, greeting: bytes = b"", silent=False) -> None:
        self.runtime = runtime
        self.answer = answer
        self.greeting = greeting
        self.silent = silent
        self.links: list[Link] = []

    async def __aenter__(self) -> WsServer:
        self.listener = await self.runtime.net.listen(lambda: Link(self), "127.0.0.1", 0)
        self.port = self.listener.port
        self.url = f"ws://127.0.0.1:{self.port}/stream?token=emu_secret"
        return self

    async def __aexit__(self, *error) -> None:
        await self.listener.close()
        for link in self.links:
            link.transport.abort()
        await self.runtime.sleep(0.01)

    @property
    def link(self) -> Link:
        return self.links[-1]


class Link(asyncio.Protocol):
    def __init__(self, server: WsServer) -> None:
        self.server = server
        self.request = b""
        self.frames: list[tuple[int, bool, bytes]] = []
        self.ended = False
        self.transport: asyncio.Transport
        self._reader: FrameReader | None = None
        self._news = asyncio.Event()

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.server.links.append(self)

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            self.request += data
            if b"\r\n\r\n" not in self.request or self.server.silent:
                return
            self._reader = FrameReader(client=False, max_frame_bytes=1 << 24)
            self.transport.write(self._answer() + self.server.greeting)
            return
        self.frames += self._reader.feed(data)
        self._news.set()

    def _answer(self) -> bytes:
        accept = accept_key(self.header("sec-websocket-key"))
        if self.server.answer is not None:
            return self.server.answer.replace(b"{accept}", accept.encode())
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode()

    def connection_lost(self, exc) -> None:
        self.ended = True
        self._news.set()

    def header(self, name: str) -> str:
        for line in self.request.decode().split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name:
                return value
        raise AssertionError(f"no header {name} in {self.request!r}")

    def send(self, op: int, payload: bytes = b"", **options) -> None:
        self.transport.write(encode_frame(op, payload, **options))

    async def frame(self, op: int) -> bytes:
        """Wait for a frame with this opcode; return its payload."""
        while True:
            for position, (kind, _, payload) in enumerate(self.frames):
                if kind == op:
                    del self.frames[position]
                    return payload
            assert not self.ended, f"the client left without a frame of type {op}"
            self._news.clear()
            await self._news.wait()

    async def gone(self) -> None:
        while not self.ended:
            self._news.clear()
            await self._news.wait()
