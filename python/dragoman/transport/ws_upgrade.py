"""The opening of a WebSocket: one request, one answer, and the exact difference between refused and not sent."""

from __future__ import annotations

import asyncio
import re
from typing import cast

import httptools

from dragoman.errors import DecodeError, DragomanError, Effect, NotSent, Retry
from dragoman.plugin import Reply
from dragoman.runtime.base import Clock
from dragoman.transport.base import HandshakeRefusedError, Origin
from dragoman.transport.ws_connection import Wire
from dragoman.transport.ws_frames import ProtocolFault

MAX_HEAD_BYTES = 16 * 1024
MAX_REFUSAL_BYTES = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")


class Upgrade(asyncio.Protocol):
    """Sends the request through the wire, and reads up to the answer's end: of its head if it is 101, of all of it if
    it is a refusal.

    Attributes
    ----------
    answered : Future
        The bytes behind the head of a 101 whose head is in order; or the error.
    """

    def __init__(self, clock: Clock, origin: Origin, wire: Wire, subprotocol: str | None) -> None:
        self._clock = clock
        self._origin = origin
        self._wire = wire
        self._subprotocol = subprotocol
        self._data = bytearray()
        self._refusal: _Refusal | None = None
        self.transport: asyncio.Transport
        self.answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are none by class
        self._wire.open(self.transport)

    def data_received(self, data: bytes) -> None:
        if self.answered.done():
            return
        try:
            if self._refusal is None:
                self._data += data
                self._read_head()
            else:
                self._refusal.feed(data)
        except DragomanError as error:
            self.answered.set_exception(error)
            return
        except ProtocolFault as fault:
            self.answered.set_exception(self._bad(fault.text))
            return
        if self._refusal is not None and self._refusal.done:
            self._refuse(self._refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answered.done():
            return
        if self._refusal is not None and self._refusal.status:
            self._refuse(self._refusal)
            return
        lost = NotSent(
            f"{self._origin} closed the connection before it answered the upgrade",
            remedy="no socket was opened, so trying again is safe",
        )
        lost.__cause__ = exc
        self.answered.set_exception(lost)

    def _read_head(self) -> None:
        while True:
            head, blank, rest = bytes(self._data).partition(b"\r\n\r\n")
            found = _STATUS.match(head + b"\r")
            if found is None and (blank or len(head) > 16):
                raise self._bad("is not HTTP/1.1")
            if len(head) > MAX_HEAD_BYTES:
                raise self._bad(f"has a head of more than {MAX_HEAD_BYTES} bytes")
            if not blank or found is None:
                return
            status = int(found[1])
            if 100 <= status < 200 and status != 101:
                self._data = bytearray(rest)
                continue
            if status == 101:
                self._accept(head, rest)
            else:
                self._refusal = _Refusal(self._origin)
                self._refusal.feed(bytes(self._data))
            return

    def _accept(self, head: bytes, rest: bytes) -> None:
        headers = _headers(head)
        if headers.get("upgrade", "").lower() != "websocket":
            raise self._bad("has no 'Upgrade: websocket'")
        if "upgrade" not in [word.strip().lower() for word in headers.get("connection", "").split(",")]:
            raise self._bad("has no 'Connection: Upgrade'")
        if "sec-websocket-extensions" in headers:
            raise self._bad("turns on an extension that was not offered")
        if headers.get("sec-websocket-protocol", self._subprotocol) != self._subprotocol:
            raise self._bad("selects a subprotocol that was not offered")
        # Frames that come from here on wait until the caller holds the connection.
        self.transport.pause_reading()
        self._wire.accept(self.transport, head + b"\r\n\r\n", headers)
        self.answered.set_result(rest)

    def _refuse(self, refusal: _Refusal) -> None:
        reply = Reply(refusal.status, refusal.headers, bytes(refusal.body), self._clock.wall_ns())
        self.answered.set_exception(HandshakeRefusedError(reply))

    def _bad(self, what: str) -> DecodeError:
        return bad_answer(self._origin, what)


def bad_answer(origin: Origin, what: str) -> DecodeError:
    """Make the error for an answer that neither upgrades nor refuses."""
    return DecodeError(
        f"the answer of {origin} to the WebSocket upgrade {what}", effect=Effect.NONE, retry=Retry.BACKOFF
    )


class _Refusal:
    """Reads a reply that is not 101, its body up to a cap; what is longer is cut there."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.done = False

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.done and not self.status:
                raise bad_answer(self._origin, "is not HTTP/1.1") from None
            self.done = True  # what was read of the refusal is worth more than a complaint about its end

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.body += body[: MAX_REFUSAL_BYTES - len(self.body)]
        self.done = len(self.body) >= MAX_REFUSAL_BYTES

    def on_message_complete(self) -> None:
        self.done = True


def _headers(head: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        key, text = name.strip().lower(), value.strip()
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
