"""A process that takes orders: it answers at once, with replies made before, and keeps what it was sent.

Run as ``python -m benchmarks.taker [FILE]``; it prints its port. FILE is the instrument master it serves, gzipped. The
last requests stand under ``/sent`` as they came, oldest first, a line of hexadecimal digits each. This makes the
replies and becomes ``native/taker.cpp``: an interpreter that answers would take longer than most of what is measured.
"""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import sys
import time
from email.utils import formatdate

from benchmarks.build import program

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


def replies(master: bytes) -> dict[bytes, bytes]:
    """Return the reply to each path; that to all others stands under none."""
    return {
        b"/instruments": message(master or gzip.compress(_MASTER, 1), b"text/csv", b"Content-Encoding: gzip\r\n"),
        b"/user/profile": message(json.dumps({"status": "success", "data": _PROFILE}).encode()),
        b"": message(json.dumps(_EMPTY).encode()),
    }


def become(master: bytes) -> None:
    """Replace this process by the server."""
    table = os.memfd_create("replies", 0)
    with os.fdopen(table, "wb", closefd=False) as file:
        for piece in (piece for pair in replies(master).items() for piece in pair):
            file.write(len(piece).to_bytes(4, "little") + piece)
    server = str(program("taker"))
    os.execv(server, [server, str(table)])


if __name__ == "__main__":
    become(pathlib.Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else b"")
