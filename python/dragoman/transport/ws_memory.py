"""WebSocket frames over any byte stream of the runtime, wsproto underneath: the twin that runs in memory."""

from __future__ import annotations

import asyncio
import base64

from dragoman.runtime.base import Runtime
from dragoman.transport.base import Origin, WsOptions
from dragoman.transport.ws_connection import Connection
from dragoman.transport.ws_frames import FrameReader, ProtocolFault, accept_key, encode_frame


class MemoryWire(asyncio.Protocol):
    """`Wire` over `Runtime.net`: frames are cut by wsproto, masks and keys come from the runtime's own bytes, so that
    a run of the virtual runtime repeats to the byte."""

    def __init__(
        self, runtime: Runtime, origin: Origin, target: str, headers: list[tuple[str, str]], options: WsOptions
    ) -> None:
        self._random_bytes = runtime.random_bytes
        self._key = base64.b64encode(runtime.random_bytes(16)).decode("ascii")
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {origin.authority}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {self._key}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        self._request = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self._reader = FrameReader(client=True, max_frame_bytes=options.max_frame_bytes)
        self._deaf = False
        self._gone = False
        self._connection: Connection | None = None
        self._io: asyncio.Transport

    def open(self, transport: asyncio.Transport) -> None:
        transport.write(self._request)
        self._request = b""  # it may carry a token; it is not kept

    def accept(self, transport: asyncio.Transport, head: bytes, headers: dict[str, str]) -> None:
        if headers.get("sec-websocket-accept") != accept_key(self._key):
            raise ProtocolFault(1002, "has a wrong Sec-WebSocket-Accept")
        self._io = transport
        transport.set_protocol(self)

    def begin(self, connection: Connection, rest: bytes) -> None:
        self._connection = connection
        if rest:
            self.data_received(rest)
        if self._gone:  # while the caller was being told that it is open
            connection.lost()
        elif not self._io.is_closing():
            self._io.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._connection is None:
            return
        try:
            for op, fin, payload in self._reader.feed(data):
                self._connection.frame(op, fin, payload)
        except ProtocolFault as fault:
            self._deaf = True
            self._connection.fail(fault.code, fault.text, deaf=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        if self._connection is not None:
            self._connection.lost()

    def send(self, op: int, payload: bytes) -> None:
        self._io.write(encode_frame(op, payload, mask=self._random_bytes(4)))

    def buffered(self) -> int:
        return self._io.get_write_buffer_size()

    def end(self) -> None:
        self._io.close()

    def abort(self) -> None:
        self._io.abort()
