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
    Commission,
    Emulator,
    Fault,
    Form,
    FundsView,
    HttpAnswer,
    HttpCall,
    Lease,
    Meter,
    Push,
    RecordedMarket,
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
    recorded_listings,
    seeded_ed25519,
    sorted_pairs,
    unsigned,
)
from dragoman.plugin import model

from .emulator_market import LIMITS, MarketDesk
from .emulator_orders import OrderDesk
from .emulator_sockets import Sockets
from .emulator_words import NO_KEY, Names, SpotError, error_of, is_algo, ms, position_row, text, worths
from .requests import KEY_HEADER
from .words import ALGO, MARKETS, PLATFORM, SPOT, USDM, Market, OrderKey

API_KEY: Final = "emu_api_key"
API_SECRET: Final = "emu_api_secret"  # noqa: S105 (the emulator's own, marked as such)
UID: Final = "354937868"
CASH: Final = "USDT"
COMMISSIONS: Final = {
    # Regular user; the discount is for spot fees paid in BNB (binance.com/en/fee/schedule, unverified).
    SPOT.exchange: Commission(maker=Decimal("0.001"), taker=Decimal("0.001"), discount=Decimal("0.75")),
    USDM.exchange: Commission(maker=Decimal("0.0002"), taker=Decimal("0.0005")),
}
FEE_COIN: Final = "BNB"
LISTEN_KEY_LIFE: Final = 60 * MINUTE
OPEN: Final = Rule(token=False)
SIGNED: Final = Rule()
Desk = Callable[[Form, Market, int], Any]
_FAULTS: Final = {
    Fault.SIGNATURE: ("-1022", "Signature for this request is not valid."),
    Fault.MALFORMED: ("-1102", "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed."),
    Fault.TIME: ("-1021", "Timestamp for this request is outside of the recvWindow."),
}
_ACCOUNT: Final[Mapping[str, Any]] = {
    "makerCommission": 10,
    "takerCommission": 10,
    "buyerCommission": 0,
    "sellerCommission": 0,
    "commissionRates": {"maker": "0.00100000", "taker": "0.00100000", "buyer": "0.00000000", "seller": "0.00000000"},
    "canTrade": True,
    "canWithdraw": False,
    "canDeposit": False,
    "accountType": "SPOT",
    "permissions": ["SPOT"],
}
_ONE_BRACKET: Final[Mapping[str, Any]] = {
    "bracket": 1,
    "initialLeverage": 20,
    "notionalCap": 10**9,
    "notionalFloor": 0,
    "maintMarginRatio": 0.004,
    "cum": 0.0,
}
"""Whatever the size."""


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
    errors = SpotError
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
        tokens = Tokens(seed, offset_ns=0, dies_at_ns=0, request_life_ns=0)
        super().__init__(venue, seed=seed, account=uid, tokens=tokens, accounts=accounts)
        self.credentials = {"api_key": api_key, "api_secret": api_secret, "uid": uid}
        self.key = SignedKey(api_key, api_secret)
        self._listen_key = Lease(self.tokens, LISTEN_KEY_LIFE)
        self.names = Names(venue.listings())
        self.orders = OrderDesk(venue, self.names, uid, hedge=hedge)
        self.market = MarketDesk(venue, self.names, seed)
        self.streams = Sockets(self, int(SECOND / tick_rate))
        self.serve(self._table(), [self.orders.lapse])

    def roots(self, base_http: str, base_ws: str) -> Roots:
        extra = {"futures": base_http, "ws_api": f"{base_ws}/ws-api/v3", "futures_ws": f"{base_ws}/fstream"}
        return Roots(base_http, f"{base_ws}/streams", base_http, extra)

    def order_name(self, order_id: str) -> str:
        state = SpotError.found(self.venue.order(self.account, order_id), "-2013", "Order does not exist.")
        named = self.names.by_id[state.order.instrument_id]
        letter = ALGO if is_algo(state) else MARKETS[named.exchange].letter
        return str(OrderKey(letter, named.symbol, str(int(order_id))))

    def fill_name(self, fill: VenueFill) -> tuple[str, str]:
        return self.order_name(fill.order_id), fill.trade_id

    def list_recorded(self, markets: Sequence[RecordedMarket]) -> None:
        found = recorded_listings(PLATFORM, markets, quote=CASH, perpetuals=USDM.exchange)
        self.names.admit(self.venue, found)

    def revoke(self) -> None:
        """Delete the key, as its owner does at the venue."""
        self.key.revoked = True

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def _table(self) -> Sequence[Route[Rule]]:
        orders, market = self.orders, self.market
        rows: tuple[tuple[str, str, Desk, Rule, int | None, int | None, int], ...] = (
            # method, path, what answers, rule; weight at spot and at futures (None: not there), orders it counts as
            ("GET", "/ping", market.ping, OPEN, 1, 1, 0),
            ("GET", "/time", market.time, OPEN, 1, 1, 0),
            ("GET", "/exchangeInfo", market.info, OPEN, 20, 1, 0),
            ("GET", "/depth", market.depth, OPEN, 50, 20, 0),
            ("GET", "/trades", market.trades, OPEN, 25, 5, 0),
            ("GET", "/klines", market.candles, OPEN, 2, 5, 0),
            ("GET", "/ticker/price", market.price, OPEN, 4, 2, 0),
            ("GET", "/ticker/bookTicker", market.top, OPEN, 4, 5, 0),
            ("GET", "/ticker/24hr", market.day, OPEN, 2, 1, 0),
            ("GET", "/premiumIndex", market.mark, OPEN, None, 1, 0),
            ("GET", "/order", orders.one, SIGNED, 4, 1, 0),
            ("POST", "/order", orders.place, SIGNED, 0, 0, 1),
            ("PUT", "/order", orders.modify, SIGNED, None, 0, 1),
            ("DELETE", "/order", orders.cancel, SIGNED, 0, 1, 0),
            ("POST", "/order/test", orders.test, SIGNED, 1, 1, 0),
            ("POST", "/order/cancelReplace", orders.replace, SIGNED, 0, None, 1),
            ("PUT", "/order/amend/keepPriority", orders.amend, SIGNED, 4, None, 0),
            ("GET", "/openOrders", orders.open, SIGNED, 80, 40, 0),
            ("DELETE", "/openOrders", orders.cancel_all, SIGNED, 0, None, 0),
            ("DELETE", "/allOpenOrders", orders.cancel_all, SIGNED, None, 1, 0),
            ("GET", "/allOrders", orders.every, SIGNED, 20, 5, 0),
            ("GET", "/myTrades", orders.trades, SIGNED, 20, None, 0),
            ("GET", "/userTrades", orders.trades, SIGNED, None, 5, 0),
            ("POST", "/algoOrder", orders.place_algo, SIGNED, None, 0, 1),
            ("GET", "/algoOrder", orders.one_algo, SIGNED, None, 1, 0),
            ("DELETE", "/algoOrder", orders.cancel_algo, SIGNED, None, 1, 0),
            ("GET", "/openAlgoOrders", orders.open_algos, SIGNED, None, 40, 0),
            ("GET", "/account", self.spot_account, SIGNED, 20, None, 0),
            ("GET", "/accountConfig", self._config, SIGNED, None, 5, 0),
            ("GET", "/positionSide/dual", self._config, SIGNED, None, 30, 0),
            ("POST", "/positionSide/dual", self._set_hedge, SIGNED, None, 1, 0),
            ("GET", "/leverageBracket", self._brackets, SIGNED, None, 1, 0),
            ("POST", "/listenKey", self._open_stream, SIGNED, None, 1, 0),
            ("PUT", "/listenKey", self._keep_stream, SIGNED, None, 1, 0),
            ("DELETE", "/listenKey", self._end_stream, SIGNED, None, 1, 0),
        )
        newer: tuple[tuple[str, Desk], ...] = (
            ("balance", self._futures_balance),
            ("account", self._futures_account),
            ("positionRisk", self._positions),
        )
        return [
            *(Route("GET", f"/fapi/v[23]/{name}", self._paid(desk, USDM, 5, 0), SIGNED) for name, desk in newer),
            *(
                Route(method, market_.root + path, self._paid(desk, market_, weight, count), rule)
                for method, path, desk, rule, spot, futures, count in rows
                for market_, weight in ((SPOT, spot), (USDM, futures))
                if weight is not None
            ),
        ]

    def _paid(self, desk: Desk, market: Market, weight: int, orders: int) -> Callable[..., HttpAnswer]:
        """Return a handler that counts a call as the venue does, and says in headers what is used."""
        meter = Meter(market.letter, LIMITS[market.letter][0], MINUTE)
        unit, number, most = LIMITS[market.letter][1][0]
        placing = Meter(f"{market.letter}orders", most, number * SECOND)

        def handle(call: HttpCall, now_ns: int) -> HttpAnswer:
            headers = [("X-MBX-USED-WEIGHT-1M", str(self._counter.spend(meter, weight, now_ns)))]
            if orders:
                count = self._counter.spend(placing, orders, now_ns)
                headers.append((f"X-MBX-ORDER-COUNT-{number}{unit[0]}", str(count)))
            return json_answer(desk(_fields(call), market, now_ns), 200, *headers)

        return handle

    def authenticate(self, call: HttpCall, now_ns: int) -> None:
        """Check key, time and signature, over the bytes that came."""
        key = call.headers.get(KEY_HEADER.lower(), "")
        SpotError.when(not key, "-2014", "API-key format invalid.")
        payload = unsigned(call.raw_query, call.body.decode("utf-8", "replace"))
        form = _fields(call)
        fields = {name: form.raw(name) for name in form.names}
        self._check(key, None if call.path.endswith("/listenKey") else payload, fields, now_ns)

    def check_params(self, params: Mapping[str, Any], now_ns: int) -> None:
        """Check a signed request of the WebSocket API."""
        self._check(str(params.get("apiKey", "")), sorted_pairs(params), params, now_ns)

    def _check(self, key: str, payload: str | None, fields: Mapping[str, Any], now_ns: int) -> None:
        """Raise the venue's error for a key or, where something was signed, a signature or a time that is wrong."""
        SpotError.when(not self.key.known(key), *NO_KEY)
        fault = None if payload is None else self.key.fault(payload, fields, now_ns)
        SpotError.when(fault, *_FAULTS[fault or Fault.TIME])

    def error_answer(self, status: int, call: HttpCall) -> HttpAnswer:
        """Answer a failure of the venue's own; a 5xx leaves open what became of an order."""
        answer = super().error_answer(status, call)
        return replace(answer, headers=(*answer.headers, ("Retry-After", "1"))) if status in (418, 429) else answer

    # -- wallets -----------------------------------------------------------------------------------------------------

    def wallets(self, market: Market) -> list[dict[str, Any]]:
        """Return the wallets of a market; at spot cash, and every asset that is owned."""
        if market is USDM:
            return self._futures_balance(Form({}), USDM, 0)
        cash = self.venue.funds(self.account)[model.Segment.ALL]
        coins = [
            (self.names.by_id[one.instrument_id].instrument.name, one.quantity - locked, locked)
            for one, locked in owned(self.venue, self.account)
        ]
        rows = [(CASH, cash.net, cash.blocked), *coins]
        return [{"asset": asset, "free": text(free), "locked": text(locked)} for asset, free, locked in rows]

    def spot_account(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        return {**_ACCOUNT, "updateTime": ms(now_ns), "balances": self.wallets(SPOT), "uid": int(self.account)}

    def _futures_balance(self, form: Form, market: Market, now_ns: int) -> list[dict[str, Any]]:
        funds = self._futures_funds()
        names = ("balance", "crossWalletBalance")
        free = worths(crossUnPnl=funds.unrealised, availableBalance=funds.net, maxWithdrawAmount=funds.net)
        row = {"accountAlias": "emu", "asset": CASH, **dict.fromkeys(names, text(funds.cleared))}
        return [row | free | {"marginAvailable": True, "updateTime": ms(now_ns)}]

    def _futures_account(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        funds = self._futures_funds()
        own = worths(
            initialMargin=funds.tied,
            maintMargin=funds.used / 10,
            walletBalance=funds.cleared,
            unrealizedProfit=funds.unrealised,
            marginBalance=funds.cleared + funds.unrealised,
            positionInitialMargin=funds.used,
            openOrderInitialMargin=funds.blocked,
            crossWalletBalance=funds.cleared,
            crossUnPnl=funds.unrealised,
        )
        totals = {f"total{name[0].upper()}{name[1:]}": value for name, value in own.items()}
        free = worths(availableBalance=funds.net, maxWithdrawAmount=funds.net)
        positions = self._positions(form, market, now_ns)
        return totals | free | {"assets": [{"asset": CASH, **own, **free}], "positions": positions}

    def _futures_funds(self) -> FundsView:
        return FundsView(self.venue.funds(self.account)[model.Segment.FO])

    def _positions(self, form: Form, market: Market, now_ns: int) -> list[dict[str, Any]]:
        held = [(one, self.names.by_id[one.instrument_id]) for one in self.venue.positions(self.account)]
        return [
            position_row(one, self.venue.market(one.instrument_id), named)
            for one, named in held
            if named.exchange == USDM.exchange and one.quantity and form.get("symbol") in (None, named.symbol)
        ]

    def _brackets(self, form: Form, market: Market, now_ns: int) -> list[dict[str, Any]]:
        return [{"symbol": one.symbol, "brackets": [_ONE_BRACKET]} for one in self.names.market(USDM)]

    def _config(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        return {"dualSidePosition": self.orders.hedge, "multiAssetsMargin": False, "canTrade": True, "feeTier": 0}

    def _set_hedge(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        held = self._positions(Form({}), market, now_ns)
        error_of(USDM).when(held, "-4068", "Position side cannot be changed if there exists position.")
        self.orders.hedge = form.choice("dualSidePosition", ("true", "false")) == "true"
        return {"code": 200, "msg": "success"}

    # -- sockets -----------------------------------------------------------------------------------------------------

    def live_key(self, key: str, now_ns: int) -> bool:
        """Say whether a listen key is alive."""
        return not self.key.revoked and self._listen_key.alive(key, now_ns)

    def _open_stream(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        return {"listenKey": self._listen_key.open(now_ns)}

    def _keep_stream(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        key = error_of(USDM).found(self._listen_key.extend(now_ns), "-1125", "This listenKey does not exist.")
        return {"listenKey": key}

    def _end_stream(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        self._listen_key.end()
        return {}

    def on_message(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        self.wake(now_ns)  # orders come over sockets too
        return super().on_message(socket, data, now_ns)


def _fields(call: HttpCall) -> Form:
    """Read a call's parameters, which may be in its query and its form."""
    return Form({**dict(call.form), **dict(call.query)})


def make(
    seed: int,
    now_ns: int,
    *,
    tick_rate: float = 10.0,
    redirect_port: int = 0,
    key_type: str = "hmac",
    fee_coins: str = "0",
    **options: Any,
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
    fee_coins : str
        How much BNB the spot account owns to pay its commissions with; "0": it pays with what its trades bring in.
    options
        Further parameters of `BinanceEmulator`.
    """
    if key_type == "ed25519":
        options.setdefault("api_secret", seeded_ed25519(seed))
    uid = str(options.get("uid", UID))
    venue = crypto_venue(PLATFORM, seed, now_ns, uid, quote=CASH, perpetuals=USDM.exchange, commissions=COMMISSIONS)
    coins, pair = (
        Decimal(fee_coins),
        venue.listing(str(model.CanonicalId(PLATFORM, FEE_COIN, model.IdKind.PAIR, quote=CASH))),
    )
    if coins and pair is not None:
        venue.set_holding(uid, pair.instrument.instrument_id, coins, pair.reference)
        venue.pay_fees_with(uid, pair.instrument.instrument_id)
    return BinanceEmulator(venue, seed=seed, tick_rate=tick_rate, **options)
