"""The sockets: market streams, the WebSocket API with its user stream, and user streams on listen keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from dragoman.emulator.parts import (
    ZERO,
    Execution,
    Form,
    HttpAnswer,
    HttpCall,
    ListingName,
    NamedStreams,
    OrderChanges,
    OrderState,
    Push,
    SessionAct,
    SignedSession,
    SocketRequest,
    VenueEvent,
    VenueProtocol,
    execution,
    read_request,
)
from dragoman.plugin import model

from .emulator_market import MarketDesk, market_of, wire
from .emulator_orders import OrderDesk
from .emulator_words import Names, SpotError, algo_row, is_algo, ms, note_trigger, order_row, text, trade_row
from .words import ALGO_EVENT, SPOT, USDM, Market

S = model.OrderStatus
MOST_STREAMS: Final = 1024
_PUBLIC: Final = ("depth", "bookTicker", "trade")
"""Of futures. That trades are heard there is the word of a client library only (unverified)."""
_ROUTES: Final = {
    "/streams/ws": (SPOT, "all", False),
    "/streams/stream": (SPOT, "all", True),
    "/fstream/ws": (USDM, "public", False),
    "/fstream/stream": (USDM, "public", True),
    "/fstream/public/ws": (USDM, "public", False),
    "/fstream/public/stream": (USDM, "public", True),
    "/fstream/market/ws": (USDM, "market", False),
    "/fstream/market/stream": (USDM, "market", True),
}
"""Path -> market, which of its streams are heard there, and whether messages are wrapped with their stream's name."""
_ACTS: Final = {
    "session.logon": SessionAct.LOG_ON,
    "session.logout": SessionAct.LOG_OFF,
    "session.status": SessionAct.SHOW,
    "userDataStream.subscribe": SessionAct.LISTEN,
    "userDataStream.subscribe.signature": SessionAct.LISTEN,
    "userDataStream.unsubscribe": SessionAct.SILENCE,
}
_ALGO_NAMES: Final = {
    "clientOrderId": "clientAlgoId",
    "orderId": "algoId",
    "type": "orderType",
    "origQty": "quantity",
    "stopPrice": "triggerPrice",
    "status": "algoStatus",
    "avgPrice": "actualPrice",
    "executedQty": "actualQty",
}
_ALGO_LETTERS: Final = {_ALGO_NAMES.get(name, name): letter for name, letter in ALGO_EVENT.items() if letter != "T"}
"""Keys of a conditional order's record -> those of its event."""


class Account(Protocol):
    """What sockets ask of the account behind them."""

    @property
    def orders(self) -> OrderDesk: ...

    def check_params(self, params: Mapping[str, Any], now_ns: int) -> None: ...

    def live_key(self, key: str, now_ns: int) -> bool: ...

    def wallets(self, market: Market) -> list[dict[str, Any]]: ...

    def spot_account(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]: ...


@dataclass(slots=True)
class _Client:
    """One socket. `kind` is market, api or user."""

    kind: str
    market: Market
    route: str = "all"
    combined: bool = False
    streams: NamedStreams = field(default_factory=NamedStreams)
    listen_key: str = ""
    session: SignedSession = field(default_factory=SignedSession)


class Sockets:
    """All sockets of the platform."""

    def __init__(
        self, venue: VenueProtocol, names: Names, market: MarketDesk, uid: str, pace_ns: int, account: Account
    ) -> None:
        self._venue, self._names, self._market, self._account = venue, names, market, account
        self._uid, self._pace_ns = uid, pace_ns
        self._clients: dict[int, _Client] = {}
        self._next_ns = 0
        self._orders = OrderChanges(venue, uid)
        self._executions = 0
        orders = account.orders
        self._calls = {
            "order.place": orders.place,
            "order.test": orders.test,
            "order.cancel": orders.cancel,
            "order.cancelReplace": orders.replace,
            "order.amend.keepPriority": orders.amend,
            "order.status": orders.one,
            "openOrders.status": orders.open,
            "openOrders.cancelAll": orders.cancel_all,
            "allOrders": orders.every,
            "myTrades": orders.trades,
            "account.status": account.spot_account,
        }
        """Methods of the WebSocket API that are about orders and the account."""

    # -- opening -----------------------------------------------------------------------------------------------------

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        path, query = call.path.rstrip("/"), dict(call.query)
        head, _, name = path.rpartition("/")
        market, route, combined = _ROUTES.get(path) or _ROUTES.get(head) or (None, "", False)
        key = query.get("listenKey") or name
        if path == "/ws-api/v3":
            self._clients[socket] = _Client("api", SPOT)
        elif path.startswith("/fstream/private"):
            if not self._account.live_key(key, now_ns):
                return SpotError("-1125", "This listenKey does not exist.").answer()
            self._clients[socket] = _Client("user", USDM, listen_key=key)
        elif market is None:
            return HttpAnswer(404)
        else:
            alone = path not in _ROUTES and not name.isdigit()
            streams = NamedStreams([name] if alone else query.get("streams", "").split("/"), MOST_STREAMS)
            self._clients[socket] = _Client("market", market, route, combined, streams)
        return None

    def close(self, socket: int) -> None:
        self._clients.pop(socket, None)

    # -- what clients say --------------------------------------------------------------------------------------------

    def hear(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        client = self._clients.get(socket)
        if client is None:
            return ()
        request = read_request(data)
        if request is None:
            return (Push(socket, wire({"code": 2, "msg": "Invalid request: invalid JSON"})),)
        if client.kind == "market":
            return list(self._subscribe(client, socket, request, now_ns))
        told = self._answer(client, request, now_ns) if client.kind == "api" else {"result": None}
        return (Push(socket, wire({"id": request.id, **told})),)

    def _subscribe(self, client: _Client, socket: int, request: SocketRequest, now_ns: int) -> Iterator[Push]:
        if request.method == "LIST_SUBSCRIPTIONS":
            yield Push(socket, wire({"result": list(client.streams.names), "id": request.id}))
            return
        wrong = client.streams.wrong(request, lambda one: self._market.stream(client.market, one) is not None)
        if wrong is not None:
            error = {"code": 2, "msg": f"Invalid request: {request.method} {wrong}"}
            yield Push(socket, wire({"error": error, "id": request.id}))
            return
        yield Push(socket, wire({"result": None, "id": request.id}))
        for one in client.streams.take(request):
            named = self._market.stream(client.market, one)
            first = self._market.first(named, one.partition("@")[2], now_ns) if named else None
            if first is not None and self._carries(client, one):
                yield self._told(client, socket, one, first)

    def _answer(self, client: _Client, request: SocketRequest, now_ns: int) -> dict[str, Any]:
        """Answer a request of the WebSocket API."""
        found = SpotError.attempt(self._api, client.session, request.method, request.named, now_ns)
        if isinstance(found, SpotError):
            return {"status": found.status, "error": dict(found.body()), "rateLimits": []}
        return {"status": 200, "result": found, "rateLimits": []}

    def _api(self, session: SignedSession, method: str, params: dict[str, Any], now_ns: int) -> Any:
        def check(fields: Mapping[str, Any]) -> None:
            self._account.check_params(fields, now_ns)

        if method in _ACTS:
            session.act(_ACTS[method], params, check)
            shown = {"apiKey": session.key or None, "serverTime": ms(now_ns), "userDataStream": session.listening}
            listens = {"subscriptionId": 0} if session.listening else {}
            return shown if method.startswith("session.") else listens
        if method in ("ping", "time"):
            return {} if method == "ping" else {"serverTime": ms(now_ns)}
        call = SpotError.found(self._calls.get(method), "-1102", f"Unknown method {method!r}")
        session.admit(params, check, signed=False)
        return call(Form(params), SPOT, now_ns)

    # -- what clients hear -------------------------------------------------------------------------------------------

    def poll(self, now_ns: int) -> Sequence[Push]:
        """Return what became due."""
        return list(self._due(now_ns))

    def _due(self, now_ns: int) -> Iterator[Push]:
        """Yield what became due; sockets whose listen key died are told, and are silent from then on."""
        for socket, client in self._clients.items():
            if client.listen_key and not self._account.live_key(client.listen_key, now_ns):
                expired = {"e": "listenKeyExpired", "E": ms(now_ns), "listenKey": client.listen_key}
                client.listen_key = ""
                yield Push(socket, wire(expired))
        yield from self._account_events(now_ns)
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + self._pace_ns
        listening = [
            (socket, one) for socket, one in self._clients.items() if one.kind == "market" and one.streams.names
        ]
        for market, stream, message in self._market.messages(now_ns):
            for socket, client in listening:
                if client.market is market and stream in client.streams.names and self._carries(client, stream):
                    yield self._told(client, socket, stream, message)

    @staticmethod
    def _carries(client: _Client, stream: str) -> bool:
        """Whether a route carries a stream: what it does not is accepted, and silent."""
        kind = stream.partition("@")[2].partition("@")[0]
        return client.route == "all" or (client.route == "public") is (kind in _PUBLIC)

    @staticmethod
    def _told(client: _Client, socket: int, stream: str, message: dict[str, Any]) -> Push:
        return Push(socket, wire({"stream": stream, "data": message} if client.combined else message))

    def _account_events(self, now_ns: int) -> Iterator[Push]:
        for before, event in self._orders.events():
            note_trigger(event.order)
            named = self._names.by_id[event.order.order.instrument_id]
            spot = market_of(named) is SPOT
            for message in self._spot(event, before, named) if spot else self._futures(event, before, named):
                told = wire({"subscriptionId": 0, "event": message} if spot else message)
                for socket, client in self._clients.items():
                    if client.session.listening if spot else client.listen_key:
                        yield Push(socket, told)

    def _spot(self, event: VenueEvent, before: OrderState | None, named: ListingName) -> Iterator[dict[str, Any]]:
        kind = execution(before, event)
        if kind is None:
            return
        state, fill, at = event.order, event.fill, ms(event.order.ts_updated)
        row = order_row(state, named, SPOT)
        price, size = (fill.price, fill.quantity) if fill else (ZERO, ZERO)
        by_user = kind is Execution.ENDED and row["status"] == "CANCELED"
        self._executions += 1
        yield {
            "e": "executionReport",
            "E": at,
            **{letter: row[name] for name, letter in SPOT.events.items() if name in row},
            "c": state.order.extra.get("cancel", f"emuc{self._executions}") if by_user else row["clientOrderId"],
            "C": row["clientOrderId"] if by_user else "",
            "x": {Execution.AMENDED: "REPLACED", Execution.ENDED: row["status"]}.get(kind, kind.value),
            "r": "NONE",
            "g": -1,
            "I": self._executions,
            "l": text(size),
            "L": text(price),
            "Y": text(size * price),
            "n": "0",
            "N": named.instrument.currency if fill else None,
            "t": int(fill.trade_id) if fill else -1,
            "m": False,
            "M": False,
            "Q": "0.00000000",
            "W": at,
            "V": "EXPIRE_MAKER",
        }
        assets = {named.instrument.name, named.instrument.currency}
        told = [one for one in self._account.wallets(SPOT) if one["asset"] in assets]
        balances = [{"a": one["asset"], "f": one["free"], "l": one["locked"]} for one in told]
        yield {"e": "outboundAccountPosition", "E": at, "u": at, "B": balances}

    def _futures(self, event: VenueEvent, before: OrderState | None, named: ListingName) -> Iterator[dict[str, Any]]:
        state, fill, at = event.order, event.fill, ms(event.order.ts_updated)
        if is_algo(state):
            algo = algo_row(state, named)
            if before is None or algo_row(before, named)["algoStatus"] != algo["algoStatus"]:
                told = {letter: algo[name] for name, letter in _ALGO_LETTERS.items() if name in algo}
                more = {"ps": algo["positionSide"], "at": "CONDITIONAL", "R": algo["reduceOnly"]}
                yield {"e": "ALGO_UPDATE", "T": at, "E": at, "o": told | more}
            if state.status in (S.ACCEPTED, S.TRIGGER_PENDING) or not state.order.extra.get("made"):
                return
        kind = execution(before, event)
        if kind is None:
            return
        row = order_row(state, named, USDM)
        trade = trade_row(fill, state, named, USDM) if fill else {}
        order = {letter: row[name] for name, letter in USDM.events.items() if name in row} | {
            "x": {Execution.AMENDED: "AMENDMENT", Execution.ENDED: row["status"]}.get(kind, kind.value),
            "T": at,
            "l": trade.get("qty", "0"),
            "L": trade.get("price", "0"),
            "n": "0",
            "N": named.instrument.currency,
            "t": trade.get("id", 0),
            "m": False,
            "R": row["reduceOnly"],
            "wt": "CONTRACT_PRICE",
            "cp": False,
            "rp": "0",
            "er": "2" if row["status"] == "EXPIRED" else "0",
        }
        yield {"e": "ORDER_TRADE_UPDATE", "E": at, "T": at, "o": order}
        if fill is not None:
            wallets = self._account.wallets(USDM)
            balances = [{"a": one["asset"], "wb": one["balance"], "cw": one["balance"], "bc": "0"} for one in wallets]
            positions = [
                {"s": named.symbol, "pa": text(one.quantity), "ep": text(one.average_price), "ps": row["positionSide"]}
                for one in self._venue.positions(self._uid)
                if one.instrument_id == named.instrument_id and one.product is state.order.product
            ]
            yield {"e": "ACCOUNT_UPDATE", "E": at, "T": at, "a": {"m": "ORDER", "B": balances, "P": positions}}
