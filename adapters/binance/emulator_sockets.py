"""The sockets: market streams, the WebSocket API with its user stream, and user streams on listen keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from dragoman.emulator.parts import (
    ZERO,
    Execution,
    Form,
    HttpAnswer,
    HttpCall,
    ListingName,
    NamedSocket,
    NamedSockets,
    OrderChanges,
    OrderState,
    Push,
    SessionAct,
    SignedSession,
    SocketRequest,
    StreamRoute,
    VenueEvent,
    compact,
    execution,
)
from dragoman.plugin import model

from .emulator_market import Message, market_of
from .emulator_words import SpotError, algo_row, is_algo, ms, note_trigger, order_row, text, trade_row
from .words import ALGO_EVENT, SPOT, USDM, Market

if TYPE_CHECKING:
    from .emulator import BinanceEmulator

S = model.OrderStatus
MOST_STREAMS: Final = 1024
_PUBLIC: Final = ("depth", "bookTicker", "trade")
"""Of futures. That trades are heard there is the word of a client library only (unverified)."""


def _is_public(stream: str) -> bool:
    return stream.partition("@")[2].partition("@")[0] in _PUBLIC


def _is_of_the_market(stream: str) -> bool:
    return not _is_public(stream)


_ROUTES: Final = {
    f"{root}/{kind}": StreamRoute(market, carries, combined=kind == "stream")
    for root, market, carries in (
        ("/streams", SPOT, lambda stream: True),
        ("/fstream", USDM, _is_public),
        ("/fstream/public", USDM, _is_public),
        ("/fstream/market", USDM, _is_of_the_market),
    )
    for kind in ("ws", "stream")
}
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


class Sockets(NamedSockets[Market]):
    """All sockets of the platform: what `account` is told, and is asked for, beside the market."""

    def __init__(self, account: BinanceEmulator, pace_ns: int) -> None:
        super().__init__(_ROUTES, MOST_STREAMS, pace_ns)
        self._account, self._market, self._names = account, account.market, account.names
        self._orders = OrderChanges(account.venue, account.account)
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

    def door(self, call: HttpCall, name: str, now_ns: int) -> NamedSocket[Market] | HttpAnswer:
        if call.path.rstrip("/") == "/ws-api/v3":
            return NamedSocket()
        if not call.path.startswith("/fstream/private"):
            return HttpAnswer(404)
        key = dict(call.query).get("listenKey") or name
        known = self._account.live_key(key, now_ns)
        return NamedSocket(key=key) if known else SpotError("-1125", "This listenKey does not exist.").answer()

    def invalid(self, what: str) -> dict[str, Any]:
        return {"code": 2, "msg": f"Invalid request: {what}"}

    # -- the market --------------------------------------------------------------------------------------------------

    def exists(self, market: Market, stream: str) -> bool:
        return self._market.stream(market, stream) is not None

    def first(self, market: Market, stream: str, now_ns: int) -> dict[str, Any] | None:
        named = self._market.stream(market, stream)
        return self._market.first(named, stream.partition("@")[2], now_ns) if named else None

    def messages(self, now_ns: int) -> Iterator[Message]:
        return self._market.messages(now_ns)

    # -- the WebSocket API -------------------------------------------------------------------------------------------

    def called(self, socket: NamedSocket[Market], request: SocketRequest, now_ns: int) -> dict[str, Any]:
        if socket.key:
            return {"result": None}
        found = SpotError.attempt(self._api, socket.session, request.method, request.named, now_ns)
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

    # -- what happens to the account ---------------------------------------------------------------------------------

    def events(self, now_ns: int) -> Iterator[Push]:
        """Yield what users hear; sockets whose listen key died are told, and are silent from then on."""
        for number, socket in self.sockets.items():
            if socket.key and not self._account.live_key(socket.key, now_ns):
                yield Push(number, compact({"e": "listenKeyExpired", "E": ms(now_ns), "listenKey": socket.key}))
                socket.key = ""
        for before, event in self._orders.events():
            note_trigger(event.order)
            named = self._names.by_id[event.order.order.instrument_id]
            spot = market_of(named) is SPOT
            for message in self._spot(event, before, named) if spot else self._futures(event, before, named):
                told = compact({"subscriptionId": 0, "event": message} if spot else message)
                for number, socket in self.sockets.items():
                    if socket.session.listening if spot else socket.key:
                        yield Push(number, told)

    def _spot(self, event: VenueEvent, before: OrderState | None, named: ListingName) -> Iterator[dict[str, Any]]:
        kind = execution(before, event)
        if kind is None:
            return
        state, fill, at = event.order, event.fill, ms(event.order.ts_updated)
        row = order_row(state, named, SPOT)
        trade = trade_row(fill, state, named, SPOT) if fill else {}
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
            "I": self._executions,
            "l": text(size),
            "L": text(price),
            "Y": text(size * price),
            "n": trade.get("commission", "0"),
            "N": trade.get("commissionAsset"),
            "t": trade.get("id", -1),
            "m": trade.get("isMaker", False),
            "M": False,
            "Q": "0.00000000",
            "W": at,
        }
        assets = {named.instrument.name, named.instrument.currency, fill.fee_asset if fill else ""}
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
            "n": trade.get("commission", "0"),
            "N": trade.get("commissionAsset", named.instrument.currency),
            "t": trade.get("id", 0),
            "m": trade.get("maker", False),
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
                for one in self._account.venue.positions(self._account.account)
                if one.instrument_id == named.instrument_id and one.product is state.order.product
            ]
            yield {"e": "ACCOUNT_UPDATE", "E": at, "T": at, "a": {"m": "ORDER", "B": balances, "P": positions}}
