"""A broker for tests of the host: it echoes, counts, pushes a tick each poll, and fails when asked to."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dragoman.emulator.contract import Emulator, HttpAnswer, HttpCall, Push, Roots


class EchoBroker(Emulator):
    name = "echo"
    subprotocols = ("ticks.v2",)

    def __init__(self, *, ticking: bool = False) -> None:
        self.credentials = {"token": "emu_echo"}
        self.calls: list[HttpCall] = []
        self.sockets: dict[int, HttpCall] = {}
        self.closed: list[int] = []
        self.heard: list[str | bytes] = []
        self.outbox: list[Push] = []
        self.times: list[int] = []
        self.ticking = ticking
        self.ticks = 0
        self.expired = 0
        self.fail_poll = False

    def roots(self, base_http: str, base_ws: str) -> Roots:
        return Roots(rest=base_http + "/api", ws=base_ws + "/stream", login=base_http + "/login")

    def handle(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        self.calls.append(call)
        self.times.append(now_ns)
        if call.path == "/fail":
            raise ZeroDivisionError("asked to")
        if call.path == "/big":
            return HttpAnswer(200, (("Content-Type", "text/plain"),), b"tick " * 2000)
        if call.path == "/nothing":
            return HttpAnswer(204)
        body = {"method": call.method, "path": call.path, "query": call.query, "body": call.body.decode("latin-1")}
        return HttpAnswer(200, (("Content-Type", "application/json"),), json.dumps(body).encode())

    def open_socket(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        if ("token", "bad") in call.query:
            return HttpAnswer(403, (("Content-Type", "application/json"),), b'{"error":"bad token"}')
        if ("token", "fail") in call.query:
            raise ZeroDivisionError("asked to")
        self.sockets[socket] = call
        return None

    def on_message(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        self.heard.append(data)
        if data == "fail":
            raise ZeroDivisionError("asked to")
        if data == "leave":
            return [Push(socket, "bye", close_code=4001)]
        return [Push(socket, data)]

    def on_close(self, socket: int) -> None:
        self.closed.append(socket)

    def poll(self, now_ns: int) -> Sequence[Push]:
        if self.fail_poll:
            self.fail_poll = False
            raise ZeroDivisionError("asked to")
        out, self.outbox = self.outbox, []
        if self.ticking:
            self.ticks += 1
            out += [Push(socket, f"tick {self.ticks}") for socket in self.sockets]
        return out

    def expire_tokens(self) -> None:
        self.expired += 1

    def error_answer(self, status: int, call: HttpCall) -> HttpAnswer:
        return HttpAnswer(status, (("Content-Type", "application/json"),), b'{"error":"injected"}')
