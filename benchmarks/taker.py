"""A process that takes orders: it answers at once, with replies made before, and keeps what it was sent.

Run as ``python -m benchmarks.taker [FILE]``; it prints its port. FILE is the instrument master it serves, gzipped. The
last requests stand under ``/sent`` as they came, oldest first, in base 64.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import pathlib
import sys
import time
from collections import deque
from email.utils import formatdate
from typing import cast

from dragoman.runtime.loops import new_event_loop

_KEPT = 16
_JSON = b"application/json"
_MASTER = b"""instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,\
instrument_type,segment,exchange
408065,1594,INFY,INFOSYS,0.0,,0.0,0.05,1,EQ,NSE,NSE
"""
_EMPTY = {"status": "success", "data": []}
_PROFILE = {
    "user_id": "EMU001",
    "user_name": "Bench",
    "email": "bench@example.com",
    "broker": "ZERODHA",
    "exchanges": ["NSE"],
    "products": ["CNC"],
    "order_types": ["LIMIT"],
}


def message(body: bytes, kind: bytes = _JSON, more: bytes = b"") -> bytes:
    """Return a whole reply as the broker's gateway writes it."""
    date = formatdate(time.time(), usegmt=True).encode()
    return (
        b"HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: %s\r\n%sContent-Length: %d\r\nConnection: keep-alive\r\n\r\n%s"
        % (
            date,
            kind,
            more,
            len(body),
            body,
        )
    )


class Taker(asyncio.Protocol):
    """One connection. Requests come one at a time and, being short, whole; a body may come after its head."""

    sent: deque[bytes] = deque(maxlen=_KEPT)
    orders = 0
    placed = b""
    made_at = 0.0
    fixed: dict[bytes, bytes]

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self._data = data
            return
        if data.startswith(b"POST"):
            at = data.find(b"Content-Length:", 0, end) + 15  # as every client here spells it
            if len(data) < end + int(data[at : data.index(b"\r", at)]):
                self._data = data
                return
        self._data = b""
        if data.startswith(b"POST /orders/"):
            self.sent.append(data)
            self._transport.write(self.order())
            return
        path = data[4 : data.index(b" ", 4)]
        if path == b"/sent":
            kept = [base64.b64encode(one).decode() for one in self.sent]
            self._transport.write(message(json.dumps(kept).encode()))
        else:
            self._transport.write(self.fixed.get(path.partition(b"?")[0], self.fixed[b""]))

    @classmethod
    def order(cls) -> bytes:
        """Return the next reply to an order: a new id in bytes that stand ready, dated within the second."""
        cls.orders += 1
        now = time.monotonic()
        if now - cls.made_at > 1:
            cls.made_at = now
            body = json.dumps({"status": "success", "data": {"order_id": "151220000000000"}}).encode()
            cls.placed = message(body).removesuffix(b'000000000"}}')
        return cls.placed + b'%09d"}}' % cls.orders


async def serve(master: bytes) -> None:
    zipped = master or gzip.compress(_MASTER, 1)
    Taker.fixed = {
        b"/instruments": message(zipped, b"text/csv", b"Content-Encoding: gzip\r\n"),
        b"/user/profile": message(json.dumps({"status": "success", "data": _PROFILE}).encode()),
        b"": message(json.dumps(_EMPTY).encode()),
    }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Taker, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until whoever started this is gone


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(pathlib.Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else b""))
