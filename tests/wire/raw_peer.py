"""A byte-level client for tests: writes what it is told, remembers what it hears."""

from __future__ import annotations

import asyncio
import gzip

from dragoman.runtime.base import Runtime
from dragoman.transport.ws_frames import FrameReader, encode_frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, section 1.3


class RawPeer(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = bytearray()
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._news = asyncio.Event()
        self.transport: asyncio.Transport

    @classmethod
    async def connect(cls, runtime: Runtime, port: int, host: str = "127.0.0.1") -> RawPeer:
        _, peer = await runtime.net.connect(cls, host, port, timeout=5)
        assert isinstance(peer, RawPeer)
        return peer

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._news.set()

    def connection_lost(self, exc) -> None:
        if not self.ended.done():
            self.ended.set_result(exc)
        self._news.set()

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    async def until(self, condition) -> None:
        """Wait until `condition()` holds, looking whenever bytes come; fail if the connection ends first."""
        while not condition():
            assert not self.ended.done(), f"the connection ended after {bytes(self.data[:200])!r}"
            self._news.clear()
            await self._news.wait()

    async def reply(self) -> tuple[int, dict[str, str], bytes]:
        """Read one HTTP reply with a Content-Length (or none) off the front of what was heard."""
        await self.until(lambda: b"\r\n\r\n" in self.data)
        head, _, _ = bytes(self.data).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        size = len(head) + 4 + int(headers.get("content-length", 0))
        await self.until(lambda: len(self.data) >= size)
        body = bytes(self.data[len(head) + 4 : size])
        del self.data[:size]
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return int(first.split()[1]), headers, body

    async def ask(
        self, method: str, target: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request and read its reply; underscores in header names become dashes."""
        self.send(request(method, target, body, **headers))
        return await self.reply()

    async def upgrade(self, target: str = "/stream", **headers: str) -> dict[str, str]:
        """Open a WebSocket."""
        fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13", **headers}
        status, answer, body = await self.ask("GET", target, Sec_WebSocket_Key=KEY, **fields)
        assert status == 101, (status, body)
        self._reader = FrameReader(client=True, max_frame_bytes=1 << 24)
        self._frames: list[tuple[int, bool, bytes]] = []
        return answer

    def send_frame(self, op: int, payload: bytes = b"", **options) -> None:
        self.send(encode_frame(op, payload, mask=b"\x01\x02\x03\x04", **options))

    async def frame(self) -> tuple[int, bytes]:
        """Read one whole frame."""
        pieces = b""
        first = None
        while True:
            while not self._frames:
                await self.until(lambda: bool(self.data))
                data = bytes(self.data)
                self.data.clear()
                self._frames += self._reader.feed(data)
            op, fin, payload = self._frames.pop(0)
            if op >= 8:
                return op, payload
            first = op if first is None else first
            pieces += payload
            if fin:
                return first, pieces

    async def close_code(self) -> int:
        """Read on until the close frame; return its code."""
        while True:
            op, payload = await self.frame()
            if op == 8:
                return int.from_bytes(payload[:2], "big")


def request(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1"]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
