"""The server's side of HTTP wire tests, as a script: wait for a request, send bytes, drop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dragoman.plugin import Reply
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.transport.base import HttpOptions, Origin, WireRequest
from dragoman.transport.http import HttpClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

T = TypeVar("T")
Script = Callable[["PeerConnection"], Awaitable[None]]


class PeerConnection(asyncio.Protocol):
    """One accepted connection; `number` counts from 0."""

    def __init__(self, peer: Peer, number: int) -> None:
        self.number = number
        self.received = bytearray()
        self.lost = asyncio.Event()
        self._peer = peer
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._task = asyncio.get_running_loop().create_task(self._peer.script(self), name=f"peer-{self.number}")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self._news.set()

    async def request(self) -> bytes:
        """Wait for a whole request; a connection that ends before ends the script."""
        while True:
            head, blank, rest = bytes(self.received).partition(b"\r\n\r\n")
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            if blank and len(rest) >= length:
                request = head + blank + rest[:length]
                del self.received[: len(request)]
                self._peer.requests.append(request)
                return request
            if self.lost.is_set():
                raise asyncio.CancelledError
            self._news.clear()
            await self._news.wait()

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def close(self) -> None:
        self.transport.close()

    def reset(self) -> None:
        self._peer.runtime.net.links[self.number].reset()


class Peer:
    """A listening address whose connections all run `script`."""

    def __init__(self, runtime: VirtualRuntime, script: Script) -> None:
        self.runtime = runtime
        self.script = script
        self.requests: list[bytes] = []
        self.connections: list[PeerConnection] = []

    def accept(self) -> PeerConnection:
        connection = PeerConnection(self, len(self.connections))
        self.connections.append(connection)
        return connection

    async def start(self, port: int = 80) -> Origin:
        listener = await self.runtime.net.listen(self.accept, "127.0.0.1", port)
        return Origin("http", "127.0.0.1", listener.port)


async def answer_all(connection: PeerConnection) -> None:
    """Script: answer every request with `OK`."""
    while True:
        await connection.request()
        connection.send(OK)


def get(target: str = "/", *headers: tuple[str, str]) -> Callable[[], WireRequest]:
    return lambda: WireRequest("GET", target, headers)


def post(target: str = "/orders", body: bytes = b"quantity=1") -> Callable[[], WireRequest]:
    return lambda: WireRequest("POST", target, (("Authorization", "token key:secret"),), body)


def play(
    script: Script,
    client: Callable[[HttpClient, Origin, Peer], Awaitable[T]],
    *,
    seed: int = 0,
    options: HttpOptions | None = None,
) -> T:
    """Run `client` against a peer that follows `script`, in memory."""
    runtime = VirtualRuntime(seed)

    async def main() -> T:
        peer = Peer(runtime, script)
        origin = await peer.start()
        http = HttpClient(runtime, options)
        try:
            return await client(http, origin, peer)
        finally:
            await http.close()

    with runtime:
        result = runtime.run(main())
    assert runtime.loop.unhandled == []
    return result


def reply_to(
    reply: bytes, *, then_close: bool = False, method: str = "GET", options: HttpOptions | None = None, seed: int = 0
) -> Reply:
    """Return what the client makes of one reply."""

    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(reply)
        if then_close:
            connection.close()

    async def client(http: HttpClient, origin: Origin, peer: Peer) -> Reply:
        return await http.send(origin, lambda: WireRequest(method, "/", ()), timeout_s=5)

    return play(script, client, options=options, seed=seed)
