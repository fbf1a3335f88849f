"""The broker's side of the Trading API v2 and Market Data v2 over a simulated exchange: ``dragoman emulate alpaca``.

One paper account. Read in this order: `emulator_orders` (what is taken, refused, replaced, and told), `emulator_market`
(market data over REST), `emulator_streams` (the sockets), `emulator_words` (records).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    DAY,
    MINUTE,
    ZERO,
    AccountView,
    ContractFilter,
    Emulator,
    Form,
    Handler,
    HttpCall,
    KeyPair,
    Meter,
    Quota,
    RecordedMarket,
    RestEmulator,
    Roots,
    Route,
    Rule,
    Settings,
    SocketsByPath,
    Tokens,
    VenueFill,
    VenueProtocol,
    json_answer,
    listing,
    page,
    recorded_listings,
    replying,
    rfc3339,
    shortest,
    telling,
    us_venue,
    write,
)
from dragoman.plugin import model

from .emulator_market import NEW_YORK, MarketDesk
from .emulator_orders import OrderDesk
from .emulator_streams import ORDERS, PATHS, DataStreams, OrderStreams
from .emulator_words import ACCOUNT_ROW, CONTRACT, POSITION, AlpacaError, Assets, asset_row, made
from .words import CRYPTO, trade_id

API_KEY: Final = "emu_PKEMULATOR"
API_SECRET: Final = "emu_alpaca_secret"  # noqa: S105 (the emulator's own, marked as such)
ACCOUNT: Final = "emu_PA0001"
TRADING: Final = Rule((Meter("trading", 200, MINUTE),))
DATA: Final = Rule((Meter("data", 10_000, MINUTE),))
OPEN_DATA: Final = Rule((Meter("data", 10_000, MINUTE),), token=False)
"""Data of pairs is given to anybody."""
HEADERS: Final = ("apca-api-key-id", "apca-api-secret-key")
STOCKS: Final = "v2/stocks"
PAIRS: Final = "v1beta3/crypto/us"
OPTIONS: Final = "v1beta1/options"
EVERY_KIND: Final = (STOCKS, PAIRS, OPTIONS)
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
    errors = AlpacaError
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
        self.keys = KeyPair(api_key, api_secret, tokens.mint("oauth", 0), HEADERS)
        shown = {"api_key": api_key, "api_secret": api_secret, "oauth_token": self.keys.token}
        self.credentials = shown | {"account": account}
        self.assets = Assets(venue.listings())
        self.orders = OrderDesk(venue, self.assets, account, seed)
        self.markets = MarketDesk(venue, self.assets, seed)
        self.data = DataStreams(venue, self.assets, self.keys, tick_rate, symbol_limit)
        self.updates = OrderStreams(self.keys, self.orders.take_told)
        self.streams = SocketsByPath(
            {ORDERS: self.updates, **dict.fromkeys(PATHS, self.data)}, AlpacaError.gated(404, None).answer
        )
        self._quota = Quota(TRADING.meters[0])
        self.serve(self._table(), (self.orders.poll,))

    def roots(self, base_http: str, base_ws: str) -> Roots:
        return Roots(base_http, base_ws + ORDERS, base_http, {"data": base_http, "data_ws": base_ws})

    # --- HTTP -------------------------------------------------------------------------------------------------------

    def authenticate(self, call: HttpCall, now_ns: int) -> None:
        AlpacaError.when(not self.keys.shown(call), "40110000", "request is not authorized")

    def headers(self, now_ns: int) -> Sequence[tuple[str, str]]:
        told = [(f"X-Ratelimit-{name.title()}", str(value)) for name, value in self._quota.count(now_ns).items()]
        return *told, ("X-Request-ID", made("request", now_ns, self._quota.used).replace("-", ""))

    def _table(self) -> Sequence[Route[Rule]]:
        order, orders, markets = r"/v2/orders/(?P<order_id>[\w-]{1,64})", self.orders, self.markets
        settings = Settings(_CONFIGURATIONS, lambda name: AlpacaError("40010001", f"unknown configuration {name}"))
        past, newest = "(?P<what>bars|trades|quotes)", "(?P<what>bars|trades|quotes|orderbooks)"
        one = r"(?P<symbol>[A-Z0-9.]{1,21})"
        trading: tuple[tuple[str, str, Callable[..., Any]], ...] = (
            ("GET", "/v2/account/configurations", settings.read),
            ("PATCH", "/v2/account/configurations", settings.change),
            ("GET", "/v2/account/portfolio/history", self._history),
            ("GET", r"/v2/account/activities(?:/(?P<kind>[A-Z]+))?", orders.activities),
            ("POST", "/v2/orders", orders.place),
            ("GET", "/v2/orders", orders.many),
            ("DELETE", "/v2/orders", orders.cancel_all),
            ("GET", "/v2/orders:by_client_order_id", orders.by_client_id),
            ("GET", order, orders.one),
            ("PATCH", order, orders.replace),
            ("DELETE", order, orders.cancel),
            ("DELETE", "/v2/positions", self._close_all),
            ("DELETE", r"/v2/positions/(?P<name>[^?]+)", self._close),
            ("GET", "/v2/assets", self._assets),
            ("GET", "/v2/options/contracts", self._contracts),
            ("GET", "/v2/clock", self._clock),
            ("GET", "/v2/calendar", self._calendar),
        )
        account = partial(AccountView, self.venue, self.account)
        shown: tuple[tuple[str, Handler], ...] = (
            ("/v2/account", telling(json_answer, account, ACCOUNT_ROW)),
            ("/v2/positions", listing(json_answer, POSITION, orders.stakes)),
            (r"/v2/positions/(?P<name>[^?]+)", telling(json_answer, orders.stake, POSITION)),
            (r"/v2/assets/(?P<name>[^?]+)", telling(json_answer, self.assets.listed, asset_row)),
            (r"/v2/options/contracts/(?P<name>[^?]+)", telling(json_answer, self.assets.option, CONTRACT)),
        )
        data: tuple[tuple[tuple[str, ...], str, Callable[..., Any]], ...] = (
            (EVERY_KIND, past, markets.past),
            (EVERY_KIND, f"latest/{newest}", markets.latest),
            (EVERY_KIND, f"{newest}/latest", markets.latest),
            (EVERY_KIND, "snapshots", markets.snapshots),
            ((STOCKS,), f"{one}/{past}", markets.past),
            ((STOCKS,), f"{one}/{past}/latest", markets.latest),
            ((STOCKS,), f"{one}/snapshot", markets.snapshots),
            ((OPTIONS,), "snapshots/(?P<underlying>[A-Z0-9.]+)", markets.chain),
        )
        rows = [Route(method, path, replying(work), TRADING) for method, path, work in trading]
        rows += [Route("GET", path, handler, TRADING) for path, handler in shown]
        for kind, rule in ((STOCKS, DATA), (PAIRS, OPEN_DATA), (OPTIONS, DATA)):
            found = [(path, work) for kinds, path, work in data if kind in kinds]
            rows += [Route("GET", f"/(?P<kind>{kind})/{path}", replying(work), rule) for path, work in found]
        return rows

    # --- the account ------------------------------------------------------------------------------------------------

    def _history(self, query: Form, now_ns: int) -> Any:
        """Answer a flat line: this account has no yesterday."""
        opening, days = float(self.venue.funds(self.account)[model.Segment.ALL].opening), (2, 1, 0)
        return {
            "timestamp": [(now_ns // DAY - day) * 86_400 for day in days],
            "base_value": opening,
            "timeframe": query.get("timeframe") or "1D",
            "cashflow": {},
            "equity": [opening] * 3,
            **dict.fromkeys(("profit_loss", "profit_loss_pct"), [0.0] * 3),
        }

    def _close(self, query: Form, now_ns: int, name: str) -> Any:
        held = self.orders.stake(name)
        lot = held.named.instrument.lot_size
        part = held.size * query.number("percentage", Decimal(100)) / 100 // lot * lot
        order = {
            "symbol": held.named.symbol,
            "qty": shortest(query.number("qty", part)),
            "side": "sell" if held.quantity > 0 else "buy",
            "type": "market",
            "time_in_force": "gtc" if held.named.kind == "crypto" else "day",
        }
        return self.orders.place(Form(order), now_ns)

    def _close_all(self, query: Form, now_ns: int) -> Any:
        if query.flag("cancel_orders"):
            self.orders.cancel_all(query, now_ns)
        held = (one.named.symbol for one in self.orders.stakes())
        return json_answer(
            [{"symbol": one, "status": 200, "body": self._close(Form({}), now_ns, one)} for one in held], 207
        )

    # --- what is listed, and when ------------------------------------------------------------------------------------

    def _assets(self, query: Form, now_ns: int) -> Any:
        kind, exchange = query.get("asset_class") or "us_equity", query.get("exchange")
        active = query.get("status") in (None, "active")
        found = (one for one in self.assets.all if active and one.kind == kind and exchange in (None, one.place))
        return [asset_row(one) for one in found]

    def _contracts(self, query: Form, now_ns: int) -> Any:
        exact, right = query.day("expiration_date"), query.get("type")
        wanted = ContractFilter(
            roots=query.listed("underlying_symbols"),
            right=model.OptionType(query.choice("type", ("call", "put")).upper()) if right else None,
            first=exact or query.day("expiration_date_gte") or date.min,
            last=exact or query.day("expiration_date_lte") or date.max,
            lowest=query.number("strike_price_gte", ZERO),
            highest=query.number("strike_price_lte", Decimal(10**8)),
        )
        found = (write(CONTRACT, one) for one in wanted.of(self.assets.all))
        rows, token = page(found, query.integer("page_token", 0), min(query.integer("limit", 100), 10_000))
        return {"option_contracts": rows, "next_page_token": token}

    def _clock(self, query: Form, now_ns: int) -> Any:
        """Answer that the market is open: this one never closes."""
        opens, closes = (at.isoformat() for at in NEW_YORK.tomorrow(now_ns))
        return {"timestamp": rfc3339(now_ns), "is_open": True, "next_open": opens, "next_close": closes}

    def _calendar(self, query: Form, now_ns: int) -> Any:
        first = query.moment("start", UTC, NEW_YORK.local(now_ns))
        last = query.moment("end", UTC, first + timedelta(days=30))
        hours = {"open": "09:30", "close": "16:00", "session_open": "0400", "session_close": "2000"}
        return [{"date": day.isoformat()} | hours for day in NEW_YORK.between(first.date(), last.date(), 3660)]

    def list_recorded(self, markets: Sequence[RecordedMarket]) -> None:
        self.assets.admit(self.venue, recorded_listings(CRYPTO, markets, quote="USD"))

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
    venue = us_venue(seed, now_ns, CRYPTO, str(options.get("account", ACCOUNT)), options.pop("accounts", None))
    return AlpacaEmulator(venue, seed=seed, tick_rate=tick_rate, **options)
