"""A toy broker for tests of the session: its adapter, its server side, and a transport that follows a script."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import time
from typing import Any
from urllib.parse import parse_qsl, urlencode

from dragoman.emulator.contract import Emulator, HttpAnswer, HttpCall, Push, Roots
from dragoman.errors import NotSent, OutcomeUnknown
from dragoman.model import AssetClass, Instrument, InstrumentType, Mode, Notice, QuantityUnit
from dragoman.plugin import (
    YES,
    Adapter,
    Capabilities,
    CodeTable,
    Context,
    Control,
    Credential,
    Endpoint,
    ErrorKind,
    Failure,
    Feed,
    Field,
    Flow,
    Framing,
    Key,
    Lane,
    PackedLayout,
    PackedStream,
    RateLimit,
    Raw,
    Ready,
    Redirect,
    Reply,
    Request,
    Scale,
    Scope,
    Select,
    Send,
    Session,
    SessionRules,
    StallRule,
    Want,
    Window,
    WirePart,
)
from dragoman.plugin.capabilities import FEATURES
from dragoman.session.brokertime import BrokerClock
from dragoman.session.context import SessionContext
from dragoman.session.driver import FlowDriver
from dragoman.session.limiter import Limiter
from dragoman.session.profiles import Profile
from dragoman.session.sender import Sender, SenderHooks
from dragoman.transport.base import Line, OnEnd, Origin, Prepare, WireRequest

CODES = {
    "expired": ErrorKind.AUTH_EXPIRED,
    "bad": ErrorKind.AUTH_INVALID,
    "ip": ErrorKind.IP_NOT_ALLOWED,
    "slow": ErrorKind.RATE_LIMITED,
    "margin": ErrorKind.INSUFFICIENT_MARGIN,
    "down": ErrorKind.SERVER_5XX,
}
TOKEN = "emu_token_1"
REDIRECT_PORT = 5099

STREAM = PackedStream(
    "toy",
    "big",
    Framing.counted(count=WirePart("u16", 0), header=2, length="u16", min_frame=4),
    Select.by_length(),
    layouts=(
        PackedLayout(
            "ltp",
            8,
            Key(WirePart("u32", 0)),
            (Field("last_price", "i32", 4, scaled=True),),
            scale=Scale.fixed(100),
            mode="ltp",
        ),
    ),
)


def tick_frame(*ticks: tuple[int, int]) -> bytes:
    """Frame of (token, price in hundredths)."""
    return struct.pack(">H", len(ticks)) + b"".join(struct.pack(">HIi", 8, *tick) for tick in ticks)


def instrument(token: int) -> Instrument:
    return Instrument(
        instrument_id=f"NSE:TOY{token}",
        symbol=f"TOY{token}",
        exchange="NSE",
        asset_class=AssetClass.EQUITY,
        instrument_type=InstrumentType.SPOT,
        broker_symbol=f"TOY{token}",
        broker_token=str(token),
    )


def want(token: int, mode: Mode = Mode.LTP) -> Want:
    return Want(instrument(token), mode)


class ToyFeed(Feed):
    kind = "market"
    layouts = STREAM
    stall = StallRule(any_frame_s=5.0)
    carries_orders = True

    def connect(self, ctx: Context) -> Flow[Endpoint]:
        yield from ()
        token = ctx.login["access_token"].reveal()
        return Endpoint(f"{ctx.hosts['ws']}?token={token}")

    def want(self, add: Sequence[Want], drop: Sequence[Want], ctx: Context) -> Sequence[Send]:
        frames = []
        if drop:
            frames.append(Send(json.dumps({"drop": [int(w.instrument.broker_token) for w in drop]})))
        if add:
            frames.append(Send(json.dumps({"add": [[int(w.instrument.broker_token), w.mode.value] for w in add]})))
        return frames

    def keys(self, instrument: Instrument) -> Sequence[int | bytes]:
        return (int(instrument.broker_token),)

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        message = json.loads(frame)
        match message["type"]:
            case "ready":
                return Control(events=(Ready(),))
            case "ask":
                return Control(send=(Send("answer"),))
            case "note":
                return Control(events=(Notice("info", message["text"]),))
        return Control(events=(Raw(message["type"], message),))


class ToyAdapter(Adapter):
    contract = 1
    name = "toy"
    title = "Toy"
    hosts = {
        "live": {"rest": "https://api.toy.example/v1", "ws": "wss://ws.toy.example", "login": "https://toy.example/in"},
        "emulator": {"rest": "", "ws": "", "login": ""},
    }
    headers = (("X-Toy-Version", "1"),)
    credentials = (
        Credential("api_key", needed_for="always"),
        Credential("api_secret"),
        Credential("user", secret=False, needed_for="always"),
    )
    capabilities = Capabilities(
        order_types=frozenset(),
        products=frozenset(),
        time_in_force=frozenset(),
        varieties=frozenset(),
        segments=frozenset(("NSE",)),
        modes=frozenset((Mode.LTP, Mode.QUOTE, Mode.FULL)),
        depth_levels=(),
        quantity_unit={"NSE": QuantityUnit.UNITS},
        features=dict.fromkeys(FEATURES, YES),
        modify_keeps_id=True,
        wire_id_carrier="tag",
        wire_id_length=20,
        market_orders="native",
        max_instruments_per_socket=5,
        max_sockets=1,
    )
    limits = (
        RateLimit("orders", 3, "1s", window=Window.ROLLING, reserve=1),
        RateLimit("orders", 2, scope=Scope.ORDER),
        RateLimit("default", 100, "1s"),
    )
    session = SessionRules(
        time_zone="Asia/Kolkata", expires_at=time(6), redirect_port=REDIRECT_PORT, redirect_path="/back"
    )
    codes = CodeTable(())
    feeds = (ToyFeed,)

    def __init__(self) -> None:
        self.stamps: list[int] = []

    def authorize(self, request: Request, body: bytes, ctx: Context) -> Request:
        self.stamps.append(ctx.now_ns)
        token = ctx.login["access_token"].reveal() if "access_token" in ctx.login else ""
        signed = ("X-Signature", f"{len(body)}:{body.decode('utf-8', 'replace')[:20].encode().hex()}")
        return replace(request, headers=(*request.headers, ("Authorization", f"token {token}"), signed))

    def classify(self, reply: Reply, request: Request) -> Failure | None:
        body = reply.json
        if 200 <= reply.status < 300 and body.get("ok"):
            return None
        code = body["error"]
        return Failure(CODES.get(code, ErrorKind.UNMAPPED), code, code, body.get("text"))

    def correlate(self, message: Any) -> str | None:
        return json.loads(message).get("id")

    def login(self, ctx: Context) -> Flow[Session]:
        answer = yield Redirect(f"{ctx.hosts['login']}?key={ctx.credentials['api_key'].reveal()}", state_param="state")
        form = (("code", answer["code"]), ("secret", ctx.credentials["api_secret"].reveal()))
        reply = yield Request(method="POST", path="/login", form=form, auth=False, mutates=True)
        return Session(
            reply.json["token"], "AC1", {"feed": "emu_feed", "name": "Toy User"}, secrets=frozenset(("feed",))
        )

    def import_token(self, token: str, ctx: Context) -> Flow[Session]:
        reply = yield Request(path="/me", headers=(("Authorization", f"token {token}"),), auth=False)
        return Session(token, reply.json["account"], {"name": "Toy User"})

    def logout(self, ctx: Context) -> Flow[None]:
        yield Request(method="DELETE", path="/login", mutates=True)


def get(path: str = "/orders", **more: Any) -> Flow[Any]:
    reply = yield Request(path=path, **more)
    return reply.json


def post(**more: Any) -> Flow[Any]:
    details = {"method": "POST", "path": "/orders", "mutates": True, "meter": "orders", "form": (("qty", "1"),)} | more
    reply = yield Request(**details)
    return reply.json["id"]


def risk(**more: Any) -> Flow[Any]:
    return post(lane=Lane.RISK, method="DELETE", form=None, **more)


# -- a transport that follows a script ---------------------------------------------------------------------------------

Step = Any


class ScriptedHttp:
    """`HttpTransport` that plays outcomes in order.

    A step is (status, json or bytes[, headers]); "refused": NotSent before the request is prepared; "lost" and
    "timeout": OutcomeUnknown after it was; a callable: awaited in the middle of the exchange, its result is the step.
    """

    def __init__(self, runtime: Any, steps: Sequence[Step] = ()) -> None:
        self._runtime = runtime
        self.steps = list(steps)
        self.sent: list[WireRequest] = []
        self.default: Step = None
        self.lines = False
        self.freed = 0
        self.abandoned = 0

    def take(self, origin: Origin) -> Line | None:
        """Everything goes the long way, unless `lines` is set."""
        return ScriptedLine(self) if self.lines else None

    async def send(self, origin: Origin, prepare: Prepare, *, timeout_s: float) -> Reply:
        step = self.next_step()
        if step == "refused":
            raise NotSent(f"{origin} refused the connection")
        self.sent.append(prepare())
        return await self.outcome(step)

    def next_step(self) -> Step:
        step = self.steps.pop(0) if self.steps else self.default
        if step is None:
            raise AssertionError("the script is over")
        return step

    async def outcome(self, step: Step) -> Reply:
        sent_ns = self._runtime.clock.mono_ns()
        await self._runtime.sleep(0.01)
        if callable(step):
            step = await step()
        if step == "lost":
            raise OutcomeUnknown("the connection was lost")
        if step == "timeout":
            raise OutcomeUnknown("no reply in time", kind=ErrorKind.TIMEOUT)
        status, body, *headers = step
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        clock = self._runtime.clock
        found = headers[0] if headers else {}
        return Reply(status, found, data, clock.wall_ns(), mono_sent_ns=sent_ns, mono_recv_ns=clock.mono_ns())

    async def download(
        self, origin: Origin, prepare: Prepare, sink: Callable[[bytes], None], *, timeout_s: float
    ) -> Reply:
        reply = await self.send(origin, prepare, timeout_s=timeout_s)
        if 200 <= reply.status < 300:
            for start in range(0, len(reply.body), 3):
                sink(reply.body[start : start + 3])
            reply.body = b""
        return reply

    async def warm(self, origin: Origin, connections: int = 1) -> None:
        return

    async def close(self) -> None:
        return


class ScriptedLine:
    """A warm connection of `ScriptedHttp`."""

    def __init__(self, http: ScriptedHttp) -> None:
        self._http = http

    def carry(self, request: WireRequest, on_end: OnEnd, timeout_s: float) -> None:
        self._http.sent.append(request)
        self._http._runtime.spawn(self._play(self._http.next_step(), on_end), name="scripted line")

    async def _play(self, step: Step, on_end: OnEnd) -> None:
        try:
            outcome: Reply | Exception = await self._http.outcome(step)
        except OutcomeUnknown as error:
            outcome = error
        on_end(outcome)
        self.release()

    def release(self) -> None:
        self._http.freed += 1

    def abandon(self) -> None:
        self._http.abandoned += 1


OK = (200, {"ok": True, "id": "1"})


class Rig:
    """A driver over a scripted transport, logged in, without a session around it."""

    def __init__(self, runtime: Any, steps: Sequence[Step] = (), *, adapter: Adapter | None = None) -> None:
        self.runtime = runtime
        self.adapter = adapter or ToyAdapter()
        profile = Profile(
            broker="toy", name="main", environment="live", hosts=self.adapter.hosts["live"], settings={"unit": "lots"}
        )
        self.clock = BrokerClock(runtime.clock)
        self.ctx = SessionContext(runtime, profile, self.clock, "/state")
        self.ctx.adopt(Session("canary-token-77", "AC1", {}))
        self.http = ScriptedHttp(runtime, steps)
        self.limiter = Limiter(runtime, self.adapter.limits, broker="toy", wall_ns=lambda: self.clock.now_ns)
        self.auth_failures: list[tuple[Any, int]] = []
        self.hooks = SenderHooks(auth_failed=lambda error, generation: self.auth_failures.append((error, generation)))
        self.sender = Sender(runtime, self.adapter, self.ctx, self.http, self.limiter, self.clock, self.hooks)
        self.driver = FlowDriver(runtime, self.sender, self.clock, broker="toy")

    async def run(self, flow: Flow[Any], timeout_s: float = 10.0, **more: Any) -> Any:
        return await self.driver.run(flow, timeout_s=timeout_s, **more)


# -- the server side ---------------------------------------------------------------------------------------------------


class ToyBroker(Emulator):
    """The other side: login page, tokens, one socket that pushes a tick of everything subscribed."""

    name = "toy"

    def __init__(self) -> None:
        self.credentials = {"api_key": "emu_key", "api_secret": "emu_secret", "user": "me"}
        self.tokens = {TOKEN}
        self.calls: list[HttpCall] = []
        self.placed = 0
        self.sockets: dict[int, dict[int, str]] = {}
        self.upgrades = 0
        self.heard: list[Any] = []
        self.refuse: HttpAnswer | None = None
        self.mute = False
        self.wrong_first = False
        self.outbox: list[Push] = []
        self._next_poll = 0

    def roots(self, base_http: str, base_ws: str) -> Roots:
        return Roots(rest=base_http, ws=base_ws + "/ws", login=base_http + "/page")

    def handle(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        self.calls.append(call)
        query = dict(call.query)
        if call.path == "/page":
            back = {"code": "c1", "state": query["state"]}
            target = f"http://127.0.0.1:{REDIRECT_PORT}/back?{urlencode(back)}"
            return HttpAnswer(302, (("Location", target),))
        if (call.method, call.path) == ("POST", "/login"):
            form = dict(parse_qsl(call.body.decode()))
            good = form == {"code": "c1", "secret": "emu_secret"}
            return _json(200, {"ok": True, "token": TOKEN}) if good else _json(403, {"error": "bad"})
        if call.headers.get("authorization", "").removeprefix("token ") not in self.tokens:
            return _json(403, {"error": "expired"})
        if call.method == "POST":
            self.placed += 1
        return _json(200, {"ok": True, "id": str(self.placed), "account": "AC1"})

    def open_socket(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        self.upgrades += 1
        if self.refuse is not None:
            return self.refuse
        if dict(call.query).get("token") not in self.tokens:
            return _json(403, {"error": "expired"})
        self.sockets[socket] = {}
        return None

    def on_message(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        message = json.loads(data) if data != "answer" else data
        self.heard.append(message)
        if isinstance(message, dict):
            for token, mode in message.get("add", ()):
                self.sockets[socket][token] = mode
            for token in message.get("drop", ()):
                self.sockets[socket].pop(token, None)
            if "id" in message:
                return [Push(socket, json.dumps({"ok": True, "id": message["id"]}))]
        return ()

    def on_close(self, socket: int) -> None:
        self.sockets.pop(socket, None)

    def poll(self, now_ns: int) -> Sequence[Push]:
        pushes, self.outbox = self.outbox, []
        if self.mute or now_ns < self._next_poll:
            return pushes
        self._next_poll = now_ns + 500_000_000
        for socket, tokens in self.sockets.items():
            pushes.append(Push(socket, tick_frame(*((token, 10_050) for token in tokens)) if tokens else b"\0"))
        return pushes


def _json(status: int, body: Any) -> HttpAnswer:
    return HttpAnswer(status, (("Content-Type", "application/json"),), json.dumps(body).encode())
