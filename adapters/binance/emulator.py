"""The venue's side of spot and USD-M futures over a simulated exchange: what `dragoman emulate binance` serves.

One account with an HMAC key (or Ed25519, ``key_type``). Read in this order: this file (routes, keys, weights),
`emulator_orders`, `emulator_market`, `emulator_sockets`, `emulator_words` (bodies). One host serves what the venue
spreads over several; market sockets of spot are below ``/streams``,
those of futures below ``/fstream``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    MINUTE,
    SECOND,
    Emulator,
    Fault,
    Form,
    HttpAnswer,
    HttpCall,
    Lease,
    Meter,
    Push,
    RestEmulator,
    Roots,
    Route,
    Rule,
    SignedKey,
    Tokens,
    VenueFill,
    VenueProtocol,
    crypto_venue,
    json_answer,
    owned,
    seeded_ed25519,
    sorted_pairs,
    unsigned,
)
from dragoman.plugin import model

from .emulator_market import LIMITS, MarketDesk
from .emulator_orders import OrderDesk
from .emulator_sockets import Sockets
from .emulator_words import Names, SpotError, error_of, is_algo, ms, position_row, text, worded
from .requests import KEY_HEADER
from .words import ALGO, MARKETS, PLATFORM, SPOT, USDM, Market, OrderKey

API_KEY: Final = "emu_api_key"
API_SECRET: Final = "emu_api_secret"  # noqa: S105 (the emulator's own, marked as such)
UID: Final = "354937868"
CASH: Final = "USDT"
LISTEN_KEY_LIFE: Final = 60 * MINUTE
OPEN: Final = Rule(token=False)
SIGNED: Final = Rule()
Desk = Callable[[Form, Market, int], Any]
_NO_KEY: Final = ("-2015", "Invalid API-key, IP, or permissions for action.")
_FAULTS: Final = {
    Fault.SIGNATURE: ("-1022", "Signature for this request is not valid."),
    Fault.MALFORMED: ("-1102", "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed."),
    Fault.TIME: ("-1021", "Timestamp for this request is outside of the recvWindow."),
}
_NO_ANSWER: Final = (
    "-1007",
    "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
)
_FAILURES: Final = {
    401: _NO_KEY,
    403: _NO_KEY,
    408: ("-1007", "Timeout waiting for response from backend server."),
    429: ("-1003", "Too many requests."),
    503: ("-1000", "Unknown error, please check your request or try again later."),
}
"""The venue's words for failures of its own, by HTTP status."""


class BinanceEmulator(RestEmulator):
    """Spot and USD-M futures: REST, market streams, the WebSocket API and user streams.

    Parameters
    ----------
    venue : VenueProtocol
        The exchange behind it.
    seed : int
        What histories and listen keys are made from.
    tick_rate : float
        Rounds of market messages a second, at most.
    api_key, api_secret : str
        The secret is an HMAC secret, or an Ed25519 private key in PEM.
    uid : str
    hedge : bool
        Whether the futures account keeps long and short positions apart.
    accounts : mapping of str to funds
        What to open on the venue; a venue that already has the account gives none.
    """

    name: ClassVar[str] = "binance"
    expire_tokens = Emulator.expire_tokens  # keys do not expire: `revoke` is what a human does at the venue

    def __init__(
        self,
        venue: VenueProtocol,
        *,
        seed: int = 1,
        tick_rate: float = 10.0,
        api_key: str = API_KEY,
        api_secret: str = API_SECRET,
        uid: str = UID,
        hedge: bool = False,
        accounts: Mapping[str, Mapping[model.Segment, Decimal]] | None = None,
    ) -> None:
        super().__init__(
            venue,
            seed=seed,
            account=uid,
            tokens=Tokens(seed, offset_ns=0, dies_at_ns=0, request_life_ns=0),
            accounts=accounts,
        )
        self.credentials = {"api_key": api_key, "api_secret": api_secret, "uid": uid}
        self.key = SignedKey(api_key, api_secret)
        self._listen_key = Lease(self.tokens, LISTEN_KEY_LIFE)
        self.names = Names(venue.listings())
        self.orders = OrderDesk(venue, self.names, uid, hedge=hedge)
        self.market = MarketDesk(venue, self.names, seed)
        calls: dict[str, Desk] = {
            "order.place": self.orders.place,
            "order.test": self.orders.test,
            "order.cancel": self.orders.cancel,
            "order.cancelReplace": self.orders.replace,
            "order.amend.keepPriority": self.orders.amend,
            "order.status": self.orders.one,
            "openOrders.status": self.orders.open,
            "openOrders.cancelAll": self.orders.cancel_all,
            "allOrders": self.orders.every,
            "myTrades": self.orders.trades,
            "account.status": self._spot_account,
        }
        self.sockets = Sockets(
            venue,
            self.names,
            self.market,
            uid,
            int(SECOND / tick_rate),
            calls,
            self._check_params,
            lambda key, now_ns: not self.key.revoked and self._listen_key.alive(key, now_ns),
            lambda market: self._balances() if market is SPOT else self._futures_balance(Form({}), USDM, 0),
        )
        self.serve(self._table())

    def roots(self, base_http: str, base_ws: str) -> Roots:
        extra = {"futures": base_http, "ws_api": f"{base_ws}/ws-api/v3", "futures_ws": f"{base_ws}/fstream"}
        return Roots(base_http, f"{base_ws}/streams", base_http, extra)

    def order_name(self, order_id: str) -> str:
        state = self.venue.order(self.account, order_id)
        assert state is not None
        named = self.names.by_id[state.order.instrument_id]
        letter = ALGO if is_algo(state) else MARKETS[named.exchange].letter
        return str(OrderKey(letter, named.symbol, str(int(order_id))))

    def fill_name(self, fill: VenueFill) -> tuple[str, str]:
        return self.order_name(fill.order_id), fill.trade_id

    def revoke(self) -> None:
        """Delete the key, as its owner does at the venue."""
        self.key.revoked = True

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def _table(self) -> Sequence[Route[Rule]]:
        orders, market = self.orders, self.market
        both: tuple[tuple[str, str, Desk, Rule, int, int, int], ...] = (
            # method, path, what answers, rule; weight at spot and at futures, orders it counts as
            ("GET", "/ping", market.ping, OPEN, 1, 1, 0),
            ("GET", "/time", market.time, OPEN, 1, 1, 0),
            ("GET", "/exchangeInfo", market.info, OPEN, 20, 1, 0),
            ("GET", "/depth", market.depth, OPEN, 50, 20, 0),
            ("GET", "/trades", market.trades, OPEN, 25, 5, 0),
            ("GET", "/klines", market.candles, OPEN, 2, 5, 0),
            ("GET", "/ticker/price", market.price, OPEN, 4, 2, 0),
            ("GET", "/ticker/bookTicker", market.top, OPEN, 4, 5, 0),
            ("GET", "/ticker/24hr", market.day, OPEN, 2, 1, 0),
            ("GET", "/order", orders.one, SIGNED, 4, 1, 0),
            ("POST", "/order", orders.place, SIGNED, 0, 0, 1),
            ("POST", "/order/test", orders.test, SIGNED, 1, 1, 0),
            ("DELETE", "/order", orders.cancel, SIGNED, 0, 1, 0),
            ("GET", "/openOrders", orders.open, SIGNED, 80, 40, 0),
            ("GET", "/allOrders", orders.every, SIGNED, 20, 5, 0),
        )
        spot: tuple[tuple[str, str, Desk, Rule, int, int], ...] = (
            ("GET", "/account", self._spot_account, SIGNED, 20, 0),
            ("DELETE", "/openOrders", orders.cancel_all, SIGNED, 0, 0),
            ("POST", "/order/cancelReplace", orders.replace, SIGNED, 0, 1),
            ("PUT", "/order/amend/keepPriority", orders.amend, SIGNED, 4, 0),
            ("GET", "/myTrades", orders.trades, SIGNED, 20, 0),
        )
        futures: tuple[tuple[str, str, Desk, Rule, int, int], ...] = (
            ("GET", "/fapi/v[23]/balance", self._futures_balance, SIGNED, 5, 0),
            ("GET", "/fapi/v[23]/account", self._futures_account, SIGNED, 5, 0),
            ("GET", "/fapi/v[23]/positionRisk", self._positions, SIGNED, 5, 0),
            ("GET", "/fapi/v1/accountConfig", self._config, SIGNED, 5, 0),
            ("GET", "/fapi/v1/positionSide/dual", self._config, SIGNED, 30, 0),
            ("POST", "/fapi/v1/positionSide/dual", self._set_hedge, SIGNED, 1, 0),
            ("GET", "/fapi/v1/leverageBracket", self._brackets, SIGNED, 1, 0),
            ("GET", "/fapi/v1/premiumIndex", market.mark, OPEN, 1, 0),
            ("PUT", "/fapi/v1/order", orders.modify, SIGNED, 0, 1),
            ("DELETE", "/fapi/v1/allOpenOrders", orders.cancel_all, SIGNED, 1, 0),
            ("GET", "/fapi/v1/userTrades", orders.trades, SIGNED, 5, 0),
            ("POST", "/fapi/v1/algoOrder", orders.place_algo, SIGNED, 0, 1),
            ("GET", "/fapi/v1/algoOrder", orders.one_algo, SIGNED, 1, 0),
            ("DELETE", "/fapi/v1/algoOrder", orders.cancel_algo, SIGNED, 1, 0),
            ("GET", "/fapi/v1/openAlgoOrders", orders.open_algos, SIGNED, 40, 0),
            ("POST", "/fapi/v1/listenKey", self._open_stream, SIGNED, 1, 0),
            ("PUT", "/fapi/v1/listenKey", self._keep_stream, SIGNED, 1, 0),
            ("DELETE", "/fapi/v1/listenKey", self._end_stream, SIGNED, 1, 0),
        )
        rows = [(one[0], SPOT.root + one[1], one[2], one[3], SPOT, one[4], one[6]) for one in both]
        rows += [(one[0], USDM.root + one[1], one[2], one[3], USDM, one[5], one[6]) for one in both]
        rows += [(one[0], SPOT.root + one[1], one[2], one[3], SPOT, one[4], one[5]) for one in spot]
        rows += [(*one[:4], USDM, *one[4:]) for one in futures]
        return [
            Route(method, path, self._paid(desk, market_, weight, count), rule)
            for method, path, desk, rule, market_, weight, count in rows
        ]

    def _paid(self, desk: Desk, market: Market, weight: int, orders: int) -> Callable[..., HttpAnswer]:
        """Return a handler that counts a call as the venue does, and says in headers what is used."""

        meter = Meter(market.letter, LIMITS[market.letter][0], MINUTE)
        unit, number, most = LIMITS[market.letter][1][0]
        placing = Meter(f"{market.letter}orders", most, number * SECOND)

        def handle(call: HttpCall, now_ns: int) -> HttpAnswer:
            used = self._counter.spend(meter, weight, now_ns)
            headers = [("X-MBX-USED-WEIGHT-1M", str(used))]
            if orders:
                count = self._counter.spend(placing, orders, now_ns)
                headers.append((f"X-MBX-ORDER-COUNT-{number}{unit[0]}", str(count)))
            return json_answer(desk(Form({**dict(call.form), **dict(call.query)}), market, now_ns), 200, *headers)

        return handle

    def authenticate(self, call: HttpCall, now_ns: int) -> None:
        """Check key, time and signature, over the bytes that came."""
        key = call.headers.get(KEY_HEADER.lower(), "")
        if not key:
            raise SpotError("-2014", "API-key format invalid.")
        body = call.body.decode("utf-8", "replace")
        payload = None if call.path.endswith("/listenKey") else unsigned(call.raw_query, body)
        self._check(key, payload, {**dict(call.form), **dict(call.query)}, now_ns)

    def _check_params(self, params: Mapping[str, Any], now_ns: int) -> None:
        """Check a signed request of the WebSocket API."""
        self._check(str(params.get("apiKey", "")), sorted_pairs(params), params, now_ns)

    def _check(self, key: str, payload: str | None, fields: Mapping[str, Any], now_ns: int) -> None:
        """Raise the venue's error for a key or, where something was signed, a signature or a time that is wrong."""
        if not self.key.known(key):
            raise SpotError(*_NO_KEY)
        fault = None if payload is None else self.key.fault(payload, fields, now_ns)
        if fault is not None:
            raise SpotError(*_FAULTS[fault])

    def worded(self, error: Exception) -> HttpAnswer | None:
        return worded(error)

    def unserved(self, status: int, meter: Meter | None) -> SpotError:
        return SpotError("-5000", "Path or method is invalid", status)

    def error_answer(self, status: int, call: HttpCall) -> HttpAnswer:
        """Answer a failure of the venue's own; a 5xx leaves open what became of an order."""
        code, words = _FAILURES.get(status, _NO_ANSWER)
        answer = SpotError(code, words, status).answer()
        return replace(answer, headers=(*answer.headers, ("Retry-After", "1"))) if status in (418, 429) else answer

    # -- wallets -----------------------------------------------------------------------------------------------------

    def _balances(self) -> list[dict[str, Any]]:
        """Return the spot wallet: cash, and every asset that is owned."""
        cash = self.venue.funds(self.account)[model.Segment.ALL]
        coins = [
            (self.names.by_id[one.instrument_id].instrument.name, one.quantity - locked, locked)
            for one, locked in owned(self.venue, self.account)
        ]
        rows = [(CASH, cash.net, cash.blocked), *coins]
        return [{"asset": asset, "free": text(free), "locked": text(locked)} for asset, free, locked in rows]

    def _spot_account(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        rates = dict.fromkeys(("maker", "taker", "buyer", "seller"), "0.00000000")
        return {
            "makerCommission": 0,
            "takerCommission": 0,
            "commissionRates": rates,
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": False,
            "accountType": "SPOT",
            "updateTime": ms(now_ns),
            "balances": self._balances(),
            "permissions": ["SPOT"],
            "uid": int(self.account),
        }

    def _futures_balance(self, form: Form, market: Market, now_ns: int) -> list[dict[str, Any]]:
        funds = self.venue.funds(self.account)[model.Segment.FO]
        wallet = text(funds.opening + funds.payin + funds.realised)
        row = {"accountAlias": "emu", "asset": CASH, "balance": wallet, "crossWalletBalance": wallet}
        more = {
            "crossUnPnl": text(funds.unrealised),
            "availableBalance": text(funds.net),
            "maxWithdrawAmount": text(funds.net),
        }
        return [row | more | {"marginAvailable": True, "updateTime": ms(now_ns)}]

    def _futures_account(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        funds = self.venue.funds(self.account)[model.Segment.FO]
        wallet = funds.opening + funds.payin + funds.realised
        values = {
            "InitialMargin": funds.used + funds.blocked,
            "MaintMargin": funds.used / 10,
            "WalletBalance": wallet,
            "UnrealizedProfit": funds.unrealised,
            "MarginBalance": wallet + funds.unrealised,
            "PositionInitialMargin": funds.used,
            "OpenOrderInitialMargin": funds.blocked,
            "CrossWalletBalance": wallet,
            "CrossUnPnl": funds.unrealised,
        }
        totals = {f"total{name}": text(value) for name, value in values.items()}
        own = {f"{name[0].lower()}{name[1:]}": text(value) for name, value in values.items()}
        free = {"availableBalance": text(funds.net), "maxWithdrawAmount": text(funds.net)}
        positions = self._positions(form, market, now_ns)
        return totals | free | {"assets": [{"asset": CASH, **own, **free}], "positions": positions}

    def _positions(self, form: Form, market: Market, now_ns: int) -> list[dict[str, Any]]:
        wanted = form.get("symbol")
        rows = []
        for one in self.venue.positions(self.account):
            named = self.names.by_id[one.instrument_id]
            if named.exchange == USDM.exchange and wanted in (None, named.symbol) and one.quantity:
                rows.append(position_row(one, self.venue.market(one.instrument_id), named))
        return rows

    def _brackets(self, form: Form, market: Market, now_ns: int) -> list[dict[str, Any]]:
        """One bracket, whatever the size."""
        only = {
            "bracket": 1,
            "initialLeverage": 20,
            "notionalCap": 10**9,
            "notionalFloor": 0,
            "maintMarginRatio": 0.004,
        }
        return [{"symbol": one.symbol, "brackets": [{**only, "cum": 0.0}]} for one in self.names.market(USDM)]

    def _config(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        return {"dualSidePosition": self.orders.hedge, "multiAssetsMargin": False, "canTrade": True, "feeTier": 0}

    def _set_hedge(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        if self._positions(Form({}), market, now_ns):
            raise error_of(USDM)("-4068", "Position side cannot be changed if there exists position.")
        self.orders.hedge = form.choice("dualSidePosition", ("true", "false")) == "true"
        return {"code": 200, "msg": "success"}

    # -- sockets -----------------------------------------------------------------------------------------------------

    def _open_stream(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        return {"listenKey": self._listen_key.open(now_ns)}

    def _keep_stream(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        key = self._listen_key.extend(now_ns)
        if key is None:
            raise error_of(USDM)("-1125", "This listenKey does not exist.")
        return {"listenKey": key}

    def _end_stream(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        self._listen_key.end()
        return {}

    def open_socket(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        return self.sockets.open(call, socket, now_ns)

    def on_message(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        self.wake(now_ns)
        return self.sockets.hear(socket, data, now_ns)

    def on_close(self, socket: int) -> None:
        self.sockets.close(socket)

    def frames(self, now_ns: int) -> Sequence[Push]:
        return list(self.sockets.poll(now_ns))


def make(
    seed: int, now_ns: int, *, tick_rate: float = 10.0, redirect_port: int = 0, key_type: str = "hmac", **options: Any
) -> BinanceEmulator:
    """Make the emulator on a crypto venue.

    Parameters
    ----------
    seed : int
        What prices, books and keys come from: the same seed and times give the same run.
    now_ns : int
        The venue's first moment, ns UTC.
    tick_rate : float
        Rounds of market messages a second, at most.
    redirect_port : int
        Not used: keys need no login page.
    key_type : {"hmac", "ed25519"}
    options
        Further parameters of `BinanceEmulator`.
    """
    if key_type == "ed25519":
        options.setdefault("api_secret", seeded_ed25519(seed))
    uid = str(options.get("uid", UID))
    venue = crypto_venue(PLATFORM, seed, now_ns, uid, quote=CASH, perpetuals=USDM.exchange)
    return BinanceEmulator(venue, seed=seed, tick_rate=tick_rate, **options)
