"""One connection to the emulator host: HTTP/1.1 until a client upgrades it, then a `ServerSocket`.

Requests are answered in the order they came, one at a time, whatever a client pipelines. Everything runs in callbacks:
`EmulatorHost` decides, this carries bytes.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools

from dragoman.emulator import host_replies as replies
from dragoman.emulator.contract import HttpAnswer, HttpCall
from dragoman.emulator.faults import Action, Fault, Plan
from dragoman.emulator.host_socket import ServerSocket
from dragoman.runtime.reset import reset
from dragoman.transport.ws_frames import accept_key

if TYPE_CHECKING:
    from dragoman.emulator.host import EmulatorHost

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024
_MAX_PIPELINED = 32
_RESET_AFTER_S = 0.01  # lets the half of a reply that was written reach the client before the reset overtakes it


@dataclass(frozen=True, slots=True)
class Request:
    call: HttpCall
    keep_alive: bool
    upgrade: bool = False
    refusal: HttpAnswer | None = None  # what is wrong with it, where it was not even read to its end


class HttpConnection(asyncio.Protocol):
    """A client's connection."""

    def __init__(self, host: EmulatorHost) -> None:
        self._host = host
        self._transport: asyncio.Transport | None = None
        self._socket: ServerSocket | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Request] = deque()
        self._timers: set[asyncio.TimerHandle] = set()
        self._busy = False
        self._pumping = False
        self._writable = True
        self._reading = True
        self._deaf = False  # what still arrives is not looked at
        self._upgrading = False
        self._tail = b""
        self._begin()

    # -- transport callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by class
        self._host.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        if self._socket is not None:
            self._socket.lost()
        self._host.disconnected(self)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._pump()

    def data_received(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.feed(data)
        elif self._upgrading:
            self._tail += data
            if len(self._tail) > MAX_BODY_BYTES:
                self._io.abort()
        elif not self._deaf:
            self._feed(data)
            self._pump()

    def close(self) -> None:
        """End the connection; a socket is told so first."""
        if self._socket is not None:
            self._socket.close(1001, "the emulator is shutting down")
        elif self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def _io(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    # -- parsing

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._body = bytearray()
        self._refusal: HttpAnswer | None = None

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as stop:
                data = data[stop.args[0] :]
                if self._upgrading:
                    self._tail = data
                    return
                # An offer of another protocol (h2c) is ignored, as RFC 9110 allows.
                self._parser = httptools.HttpRequestParser(self)
                if data:
                    continue
            except httptools.HttpParserError:
                if not self._deaf:
                    self._host.counters.bad_requests += 1
                    self._refuse(replies.plain(400, "this is not HTTP/1.1"))
            return

    def on_message_begin(self) -> None:
        self._begin()

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text
        self._count_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        announced = self._headers.get("content-length", "0")
        if self._refusal is None and announced.isdigit() and int(announced) > MAX_BODY_BYTES:
            self._refuse(replies.plain(413, f"a body of more than {MAX_BODY_BYTES} bytes"))
        if self._refusal is None and self._headers.get("expect", "").lower() == "100-continue" and not self._queue:
            self._io.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._refusal is not None:
            return
        self._body += body
        if len(self._body) > MAX_BODY_BYTES:
            self._refuse(replies.plain(413, f"a body of more than {MAX_BODY_BYTES} bytes"))

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        method = self._parser.get_method().decode("latin-1")
        wants = {word.strip().lower() for word in self._headers.get("upgrade", "").split(",")}
        upgrade = self._parser.should_upgrade() and method == "GET" and "websocket" in wants
        self._upgrading = upgrade
        self._take(Request(self._call(method), self._parser.should_keep_alive() or upgrade, upgrade))

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES and self._refusal is None:
            self._refuse(replies.plain(431, f"headers of more than {MAX_HEAD_BYTES} bytes"))

    def _refuse(self, answer: HttpAnswer) -> None:
        self._refusal = answer
        self._deaf = True
        self._take(Request(self._call("GET"), keep_alive=False, refusal=answer))

    def _call(self, method: str) -> HttpCall:
        target = self._target.decode("latin-1")
        if not target.startswith("/"):  # absolute form, as sent to proxies
            parts = urlsplit(target)
            target = f"{parts.path or '/'}?{parts.query}"
        path, _, query = target.partition("#")[0].partition("?")
        peer = self._io.get_extra_info("peername")
        return HttpCall(
            method=method,
            path=unquote(path),
            query=tuple(parse_qsl(query, keep_blank_values=True)),
            headers=self._headers,
            body=bytes(self._body),
            peer=str(peer[0]) if peer else "127.0.0.1",
            raw_query=query,
        )

    def _take(self, request: Request) -> None:
        self._queue.append(request)
        if len(self._queue) >= _MAX_PIPELINED and self._reading:
            self._reading = False
            self._io.pause_reading()

    # -- answering

    def _pump(self) -> None:
        if self._pumping or self._transport is None:
            return
        self._pumping = True
        try:
            while self._queue and not self._busy and self._writable and not self._transport.is_closing():
                request = self._queue.popleft()
                if not self._reading and len(self._queue) < _MAX_PIPELINED:
                    self._reading = True
                    self._transport.resume_reading()
                self._busy = True
                if request.refusal is not None:
                    self._reply(request, request.refusal, None)
                    continue
                plan = self._host.plan(request.call, upgrade=request.upgrade)
                if plan.delay_s:
                    self._later(plan.delay_s, self._process, request, plan)
                else:
                    self._process(request, plan)
        finally:
            self._pumping = False

    def _later(self, delay_s: float, step: Callable[..., None], *args: Any) -> None:
        def run() -> None:
            self._timers.discard(timer)
            step(*args)
            self._pump()

        timer = asyncio.get_running_loop().call_later(delay_s, run)
        self._timers.add(timer)

    def _process(self, request: Request, plan: Plan) -> None:
        answer: HttpAnswer | None
        fault = plan.fault
        match fault.action if fault is not None else None:
            case Action.DROP_REQUEST:
                return  # busy for ever: nothing on this connection is answered any more
            case Action.HOLD if fault is not None:
                asyncio.get_running_loop().call_later(fault.number, self._host.handle, request.call)
                return  # in the broker's queue, which does not know whether anybody waits
            case Action.RESET_REQUEST:
                return reset(self._io)
            case Action.CLOSE_REQUEST:
                return self._io.close()
            case Action.HTTP | Action.HTML | Action.EMPTY | Action.REDIRECT | Action.REFUSE_UPGRADE:
                answer = self._made_up(request, fault)
            case Action.LATE_HTTP | Action.LATE_HTML | Action.LATE_EMPTY | Action.BOMB:
                if not request.upgrade:
                    self._host.handle(request.call)
                answer = self._made_up(request, fault)
            case None if request.upgrade:
                answer = self._upgrade(request.call)
            case _:
                # A fault of the reply to an upgrade: the socket never opens, and what is said of it is not an upgrade.
                answer = replies.plain(101, "") if request.upgrade else self._host.handle(request.call)
        if answer is None:
            return
        if plan.reply_delay_s:
            self._later(plan.reply_delay_s, self._reply, request, answer, fault)
        else:
            self._reply(request, answer, fault)

    def _made_up(self, request: Request, fault: Fault | None) -> HttpAnswer:
        assert fault is not None
        match fault.action:
            case Action.HTML | Action.LATE_HTML:
                return replies.html(fault.resolved_code)
            case Action.EMPTY | Action.LATE_EMPTY:
                return HttpAnswer(fault.resolved_code)
            case Action.REDIRECT:
                return HttpAnswer(302, (("Location", fault.url),))
            case Action.BOMB:
                return replies.bomb(int(fault.number))
            case _:
                return self._host.error_answer(fault.resolved_code, request.call)

    def _reply(self, request: Request, answer: HttpAnswer, fault: Fault | None) -> None:
        io = self._io
        if io.is_closing():
            return
        action = fault.action if fault is not None else None
        if action is Action.DROP_REPLY:
            return
        if action is Action.RESET_REPLY:
            return reset(io)
        if action is Action.CLOSE_REPLY:
            return io.close()
        host = self._host
        accepted = request.call.headers.get("accept-encoding", "").lower()
        if host.emulator.gzip and "gzip" in accepted:
            answer = replies.compress(answer)
        body = answer.body
        claimed: int | None = len(body) if answer.status >= 200 and answer.status not in (204, 304) else None
        if action is Action.WRONG_LENGTH and fault is not None and claimed is not None:
            claimed = max(0, claimed + int(fault.number))
        head = replies.head(answer, host.now_ns(), keep_alive=request.keep_alive, length=claimed)
        if not replies.has_body(request.call.method, answer.status):
            body = b""
        if action in (Action.RESET_MID_REPLY, Action.TRUNCATE_REPLY):
            # Half the body; where there is none, half the head.
            io.write(head + body[: len(body) // 2] if len(body) > 1 else head[: len(head) // 2])
            if action is Action.RESET_MID_REPLY:
                self._later(_RESET_AFTER_S, reset, io)
            else:
                io.close()
            return
        io.write(head + body)
        host.counters.replies += 1
        if not request.keep_alive:
            io.close()
            return
        self._busy = False
        if self._upgrading and request.upgrade:  # refused: the connection speaks HTTP on
            self._upgrading = False
            self._parser = httptools.HttpRequestParser(self)
            data, self._tail = self._tail, b""
            if data:
                self._feed(data)

    # -- upgrading

    def _upgrade(self, call: HttpCall) -> HttpAnswer | None:
        """Open a socket and return None, or return the answer that refuses it."""
        key = call.headers.get("sec-websocket-key", "")
        if call.headers.get("sec-websocket-version") != "13":
            refusal = replies.plain(426, "WebSocket version 13 is spoken here")
            return HttpAnswer(426, (*refusal.headers, ("Sec-WebSocket-Version", "13")), refusal.body)
        if not _is_key(key):
            return replies.plain(400, "Sec-WebSocket-Key is not 16 bytes in base64")
        number = self._host.next_socket()
        answer = self._host.open_socket(call, number)
        if answer is not None:
            return answer
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_key(key)}",
        ]
        offered = [word.strip() for word in call.headers.get("sec-websocket-protocol", "").split(",")]
        if chosen := next((word for word in offered if word in self._host.emulator.subprotocols), None):
            lines.append(f"Sec-WebSocket-Protocol: {chosen}")
        self._io.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        self._socket = ServerSocket(self._host, self._io, number, call.path)
        self._host.opened(self._socket)
        data, self._tail = self._tail, b""
        if data:
            self._socket.feed(data)
        return None


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
