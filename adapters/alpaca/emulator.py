"""The broker's side of the Trading API v2 and Market Data v2 over a simulated exchange: ``dragoman emulate alpaca``.

One paper account. Read in this order: `emulator_orders` (what is taken, refused, replaced, and told), `emulator_market`
(market data over REST), `emulator_streams` (the sockets), `emulator_words` (records).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    DAY,
    MINUTE,
    ContractFilter,
    Emulator,
    Form,
    Handler,
    HttpAnswer,
    HttpCall,
    Meter,
    Push,
    Quota,
    RestEmulator,
    Roots,
    Route,
    Rule,
    Tokens,
    VenueFill,
    VenueProtocol,
    json_answer,
    json_body,
    page,
    rfc3339,
    same,
    shortest,
    us_venue,
)
from dragoman.plugin import model

from .emulator_market import NEW_YORK, MarketDesk
from .emulator_orders import OrderDesk
from .emulator_streams import ORDERS, PATHS, DataStreams, OrderStreams
from .emulator_words import AlpacaError, Assets, cents, identity, not_found, position_row, worded
from .words import CRYPTO, trade_id

API_KEY: Final = "emu_PKEMULATOR"
API_SECRET: Final = "emu_alpaca_secret"  # noqa: S105 (the emulator's own, marked as such)
ACCOUNT: Final = "emu_PA0001"
FUNDS: Final[Mapping[model.Segment, Decimal]] = {model.Segment.ALL: Decimal(1_000_000)}
TRADING: Final = Rule((Meter("trading", 200, MINUTE),))
DATA: Final = Rule((Meter("data", 10_000, MINUTE),))
OPEN_DATA: Final = Rule((Meter("data", 10_000, MINUTE),), token=False)
"""Data of pairs is given to anybody."""
_CONFIGURATIONS: Final[Mapping[str, Any]] = {
    "dtbp_check": "entry",
    "fractional_trading": True,
    "max_margin_multiplier": "4",
    "max_options_trading_level": None,
    "no_shorting": False,
    "pdt_check": "entry",
    "ptp_no_exception_entry": False,
    "suspend_trade": False,
    "trade_confirm_email": "all",
}


class AlpacaEmulator(RestEmulator):
    """Trading REST, market data REST, three data streams and the order stream.

    Parameters
    ----------
    venue : VenueProtocol
        The exchange behind it.
    seed : int
    tick_rate : float
        Messages of market data per second and socket, at most.
    api_key, api_secret, account : str
    accounts : mapping of str to funds
        What to open on the venue; a venue that already has the account gives none.
    symbol_limit : int, optional
        Of the data plan (30 on the free one); None takes any number.
    """

    name: ClassVar[str] = "alpaca"
    # Key pairs do not expire: only their owner revokes them.
    expire_tokens = Emulator.expire_tokens

    def __init__(
        self,
        venue: VenueProtocol,
        *,
        seed: int = 1,
        tick_rate: float = 5.0,
        api_key: str = API_KEY,
        api_secret: str = API_SECRET,
        account: str = ACCOUNT,
        accounts: Mapping[str, Mapping[model.Segment, Decimal]] | None = None,
        symbol_limit: int | None = None,
    ) -> None:
        tokens = Tokens(seed, offset_ns=0, dies_at_ns=0, request_life_ns=DAY)
        super().__init__(venue, seed=seed, account=account, tokens=tokens, accounts=accounts)
        oauth = tokens.mint("oauth", 0)
        self.credentials = {"api_key": api_key, "api_secret": api_secret, "account": account, "oauth_token": oauth}
        self.assets = Assets(venue.listings())
        self.orders = OrderDesk(venue, self.assets, account, seed)
        self.markets = MarketDesk(venue, self.assets, seed)
        self.data = DataStreams(venue, self.assets, self._accepts, tick_rate, symbol_limit)
        self.updates = OrderStreams(self._accepts, self._bearer)
        self._settings = dict(_CONFIGURATIONS)
        self._quota = Quota(TRADING.meters[0])
        self.serve(self._table(), (self.orders.poll,))

    def roots(self, base_http: str, base_ws: str) -> Roots:
        return Roots(base_http, base_ws + ORDERS, base_http, {"data": base_http, "data_ws": base_ws})

    def _accepts(self, key: str, secret: str) -> bool:
        if key == "oauth":
            return self._bearer(secret)
        return same(key, self.credentials["api_key"]) and same(secret, self.credentials["api_secret"])

    def _bearer(self, token: str) -> bool:
        return same(token, self.credentials["oauth_token"])

    # --- HTTP -------------------------------------------------------------------------------------------------------

    def authenticate(self, call: HttpCall, now_ns: int) -> None:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        pair = (call.headers.get(f"apca-api-{name}", "") for name in ("key-id", "secret-key"))
        AlpacaError.when(
            not (self._bearer(token) if scheme == "Bearer" else self._accepts(*pair)),
            "40110000",
            "request is not authorized",
        )

    def worded(self, error: Exception) -> HttpAnswer | None:
        return worded(error)

    def unserved(self, status: int, meter: Meter | None) -> Exception:
        if meter is not None:
            return AlpacaError("42910000", "too many requests.")
        return AlpacaError("40410000" if status == 404 else "40010001", "endpoint not found", status)

    def error_answer(self, status: int, call: HttpCall) -> HttpAnswer:
        words = {401: ("40110000", "request is not authorized"), 403: ("40310000", "forbidden")}
        word, told = words.get(
            status, (f"{status}10000", "internal server error occurred" if status >= 500 else "too many requests.")
        )
        return AlpacaError(word, told, status).answer()

    def handle(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        answer = super().handle(call, now_ns)
        told = [(f"X-Ratelimit-{name.title()}", str(value)) for name, value in self._quota.count(now_ns).items()]
        more = (*told, ("X-Request-ID", identity("request", now_ns, self._quota.used).replace("-", "")))
        return HttpAnswer(answer.status, (*answer.headers, *more), answer.body)

    def _table(self) -> Sequence[Route[Rule]]:
        order, orders, markets = r"/v2/orders/(?P<order_id>[\w-]{1,64})", self.orders, self.markets
        stocks, pairs, options = "/v2/stocks", "/v1beta3/crypto/us", "/v1beta1/options"
        past, newest = r"(?P<what>bars|trades|quotes)", r"(?P<what>bars|trades|quotes|orderbooks)"
        one = r"(?P<symbol>[A-Z0-9.]{1,21})"
        trading: tuple[tuple[str, str, Handler], ...] = (
            ("GET", "/v2/account", self._account),
            ("GET", "/v2/account/configurations", self._configurations),
            ("PATCH", "/v2/account/configurations", self._configurations),
            ("GET", "/v2/account/portfolio/history", self._history),
            ("GET", r"/v2/account/activities(?:/(?P<kind>[A-Z]+))?", self._activities),
            ("POST", "/v2/orders", orders.place),
            ("GET", "/v2/orders", orders.many),
            ("DELETE", "/v2/orders", orders.cancel_all),
            ("GET", "/v2/orders:by_client_order_id", orders.by_client_id),
            ("GET", order, orders.one),
            ("PATCH", order, orders.replace),
            ("DELETE", order, orders.cancel),
            ("GET", "/v2/positions", self._positions),
            ("DELETE", "/v2/positions", self._close_all),
            ("GET", r"/v2/positions/(?P<name>[^?]+)", self._position),
            ("DELETE", r"/v2/positions/(?P<name>[^?]+)", self._close),
            ("GET", "/v2/assets", self._assets),
            ("GET", r"/v2/assets/(?P<name>[^?]+)", self._asset),
            ("GET", "/v2/options/contracts", self._contracts),
            ("GET", r"/v2/options/contracts/(?P<name>[^?]+)", self._contract),
            ("GET", "/v2/clock", self._clock),
            ("GET", "/v2/calendar", self._calendar),
        )
        data: list[tuple[str, str, Handler]] = []
        for root, kind in ((stocks, "stocks"), (pairs, "crypto"), (options, "options")):
            snapshots = partial(markets.snapshots, kind=kind)
            data += [
                ("GET", f"{root}/{past}", markets.past),
                ("GET", f"{root}/latest/{newest}", markets.latest),
                ("GET", f"{root}/{newest}/latest", markets.latest),
                ("GET", f"{root}/snapshots", snapshots),
            ]
            if kind == "stocks":
                data += [
                    ("GET", f"{root}/{one}/{past}", markets.past),
                    ("GET", f"{root}/{one}/{past}/latest", markets.latest),
                    ("GET", f"{root}/{one}/snapshot", snapshots),
                ]
        data.append(("GET", rf"{options}/snapshots/(?P<underlying>[A-Z0-9.]+)", markets.chain))
        open_data = [Route(*row, OPEN_DATA if row[1].startswith(pairs) else DATA) for row in data]
        return [Route(*row, TRADING) for row in trading] + open_data

    # --- the account ------------------------------------------------------------------------------------------------

    def _account(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        funds = self.venue.funds(self.account)[model.Segment.ALL]
        held = self.venue.positions(self.account)
        values = [self._worth(one.instrument_id, one.quantity) for one in held]
        longs, shorts = (sum((value for value in values if sign * value > 0), Decimal(0)) for sign in (1, -1))
        equity = funds.opening + funds.payin + funds.realised + sum((one.unrealised for one in held), Decimal(0))
        spare = max(funds.net, Decimal(0))
        money = {
            "cash": equity - longs - shorts,
            "equity": equity,
            "portfolio_value": equity,
            "last_equity": funds.opening,
            "buying_power": spare,
            "regt_buying_power": spare,
            "non_marginable_buying_power": spare,
            "options_buying_power": spare,
            "long_market_value": longs,
            "position_market_value": longs + shorts,
            "short_market_value": shorts,
            "initial_margin": funds.used + funds.blocked,
            "maintenance_margin": funds.used * Decimal("0.6"),
            "last_maintenance_margin": Decimal(0),
            "sma": Decimal(0),
            "accrued_fees": Decimal(0),
        }
        flags = ("trading_blocked", "transfers_blocked", "account_blocked", "trade_suspended_by_user")
        return json_answer(
            {
                "id": identity("account", self.account),
                "account_number": self.account,
                "status": "ACTIVE",
                "crypto_status": "ACTIVE",
                "currency": "USD",
                "multiplier": "1",
                "shorting_enabled": True,
                "options_approved_level": 2,
                "options_trading_level": 2,
                "created_at": "2024-01-02T14:30:00.000000Z",
                **{name: cents(value) for name, value in money.items()},
                **dict.fromkeys(flags, False),
            }
        )

    def _worth(self, instrument_id: str, quantity: Decimal) -> Decimal:
        size = self.assets.by_id[instrument_id].instrument.multiplier
        return quantity * self.venue.market(instrument_id).last_price * size

    def _configurations(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        if call.method == "PATCH":
            form = json_body(call)
            asked = {name: form.raw(name) for name in form.names}
            if set(asked) - set(self._settings):
                raise AlpacaError("40010001", f"unknown configuration {sorted(set(asked) - set(self._settings))[0]}")
            self._settings |= asked
        return json_answer(self._settings)

    def _history(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Answer a flat line: this account has no yesterday."""
        opening = float(self.venue.funds(self.account)[model.Segment.ALL].opening)
        stamps = [now_ns // DAY * 86_400 - day * 86_400 for day in (2, 1, 0)]
        flat = {"equity": [opening] * 3, "profit_loss": [0.0] * 3, "profit_loss_pct": [0.0] * 3}
        frame = dict(call.query).get("timeframe", "1D")
        return json_answer({"timestamp": stamps, "base_value": opening, "timeframe": frame, "cashflow": {}} | flat)

    def _activities(self, call: HttpCall, now_ns: int, kind: str | None = None) -> HttpAnswer:
        query = Form(dict(call.query))
        kinds = {kind} if kind else set((query.get("activity_types") or "FILL").split(","))
        rows = self.orders.activities() if "FILL" in kinds else []
        for name, sign in (("after", 1), ("until", -1)):
            if query.get(name):
                edge = query.moment(name, UTC).timestamp()
                stamps = [datetime.fromisoformat(row["transaction_time"]).timestamp() for row in rows]
                rows = [row for row, at in zip(rows, stamps, strict=True) if sign * at > sign * edge]
        if query.get("direction") != "asc":
            rows.reverse()
        ids = [row["id"] for row in rows]
        token = query.get("page_token")
        start = ids.index(token) + 1 if token in ids else 0
        return json_answer(rows[start : start + min(query.integer("page_size", 100), 100)])

    def _positions(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return json_answer([self._position_row(one) for one in self.venue.positions(self.account) if one.quantity])

    def _position_row(self, position: Any) -> dict[str, Any]:
        name = position.instrument_id
        return position_row(position, self.assets.by_id[name], self.venue.market(name))

    def _position(self, call: HttpCall, now_ns: int, name: str) -> HttpAnswer:
        asset = self.assets.get(name)
        for one in self.venue.positions(self.account):
            if one.instrument_id == asset.instrument_id and one.quantity:
                return json_answer(self._position_row(one))
        raise not_found("position does")

    def _close(self, call: HttpCall, now_ns: int, name: str) -> HttpAnswer:
        asset, query = self.assets.get(name), Form(dict(call.query))
        held = self.orders.held(asset.instrument_id)
        if not held:
            raise not_found("position does")
        quantity = abs(held)
        if query.get("qty"):
            quantity = query.number("qty")
        elif query.get("percentage"):
            lot = asset.instrument.lot_size
            quantity = quantity * query.number("percentage") / 100 // lot * lot
        side = model.Side.SELL if held > 0 else model.Side.BUY
        times = "gtc" if asset.kind == "crypto" else "day"
        asked = {"symbol": asset.symbol, "qty": shortest(quantity), "side": side.lower(), "type": "market"}
        return self.orders.place(replace(call, body=json_answer(asked | {"time_in_force": times}).body), now_ns)

    def _close_all(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        if dict(call.query).get("cancel_orders", "").lower() == "true":
            self.orders.cancel_all(call, now_ns)
        found = []
        for one in self.venue.positions(self.account):
            if one.quantity:
                symbol = self.assets.by_id[one.instrument_id].symbol
                answer = self._close(replace(call, query=()), now_ns, symbol)
                found.append({"symbol": symbol, "status": 200, "body": json.loads(answer.body)})
        return json_answer(found, 207)

    # --- what is listed, and when ------------------------------------------------------------------------------------

    def _assets(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        query = Form(dict(call.query))
        kind = query.get("asset_class") or "us_equity"
        rows = [asset.row() for asset in self.assets.all if asset.kind == kind]
        exchange = query.get("exchange")
        active = query.get("status") in (None, "active")
        return json_answer([row for row in rows if active and exchange in (None, row["exchange"])])

    def _asset(self, call: HttpCall, now_ns: int, name: str) -> HttpAnswer:
        asset = self.assets.find(name)
        if asset is None:
            raise not_found(f"asset {name}")
        return json_answer(asset.row())

    def _contracts(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        query = Form(dict(call.query))
        exact = query.day("expiration_date")
        wanted = ContractFilter(
            roots=set(filter(None, (query.get("underlying_symbols") or "").split(","))),
            right=model.OptionType(query.choice("type", ("call", "put")).upper()) if query.get("type") else None,
            first=exact or query.day("expiration_date_gte") or date.min,
            last=exact or query.day("expiration_date_lte") or date.max,
            lowest=query.number("strike_price_gte", Decimal(0)),
            highest=query.number("strike_price_lte", Decimal(10**8)),
        )
        found = (asset.contract(self.assets.get(asset.root).asset_id) for asset in wanted.of(self.assets.all))
        rows, token = page(found, query.integer("page_token", 0), min(query.integer("limit", 100), 10_000))
        return json_answer({"option_contracts": rows, "next_page_token": token})

    def _contract(self, call: HttpCall, now_ns: int, name: str) -> HttpAnswer:
        asset = self.assets.find(name)
        if asset is None or asset.kind != "us_option":
            raise not_found(f"option contract {name}")
        return json_answer(asset.contract(self.assets.get(asset.root).asset_id))

    def _clock(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Answer that the market is open: this one never closes."""
        now = datetime.fromtimestamp(now_ns // 1_000_000_000, NEW_YORK)
        ahead = (now + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
        times = {"next_open": ahead.replace(hour=9, minute=30), "next_close": ahead.replace(hour=16)}
        return json_answer(
            {"timestamp": rfc3339(now_ns), "is_open": True} | {k: v.isoformat() for k, v in times.items()}
        )

    def _calendar(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        query, today = Form(dict(call.query)), datetime.fromtimestamp(now_ns // 1_000_000_000, NEW_YORK).date()
        first = query.moment("start", UTC).date() if query.get("start") else today
        last = query.moment("end", UTC).date() if query.get("end") else first + timedelta(days=30)
        days = (first + timedelta(days=at) for at in range(min((last - first).days + 1, 3660)))
        hours = {"open": "09:30", "close": "16:00", "session_open": "0400", "session_close": "2000"}
        return json_answer([{"date": day.isoformat()} | hours for day in days if day.weekday() < 5])

    # --- sockets ----------------------------------------------------------------------------------------------------

    def open_socket(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        if call.path == ORDERS:
            self.updates.open(socket)
            return None
        if call.path in PATHS:
            return self.data.open(call, socket, now_ns)
        return AlpacaError("40410000", "endpoint not found").answer()

    def on_message(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        return (*self.data.hear(socket, data, now_ns), *self.updates.hear(socket, data))

    def on_close(self, socket: int) -> None:
        self.data.close(socket)
        self.updates.close(socket)

    def frames(self, now_ns: int) -> Sequence[Push]:
        told, self.orders.told = self.orders.told, []
        return [*self.updates.tell(told), *self.data.poll(now_ns)]

    # --- names ------------------------------------------------------------------------------------------------------

    def order_name(self, order_id: str) -> str:
        return self.orders.named(order_id)

    def fill_name(self, fill: VenueFill) -> tuple[str, str]:
        order_id, filled = self.orders.named_fill(fill)
        return order_id, trade_id(order_id, filled)


def make(seed: int, now_ns: int, *, tick_rate: float = 5.0, redirect_port: int = 0, **options: Any) -> AlpacaEmulator:
    """Make the emulator on a venue of US shares, options on a few of them, and pairs.

    Parameters
    ----------
    seed : int
        What prices, books and ids come from: the same seed and times give the same run.
    now_ns : int
        The venue's first moment, ns UTC.
    tick_rate : float
        Messages of market data per second and socket, at most.
    redirect_port : int
        Of no use: there is no login page.
    options
        Further parameters of `AlpacaEmulator`.
    """
    accounts = options.pop("accounts", None) or {str(options.get("account", ACCOUNT)): FUNDS}
    venue = us_venue(seed, now_ns, CRYPTO, accounts)
    return AlpacaEmulator(venue, seed=seed, tick_rate=tick_rate, **options)
