"""The broker's side of API v3 over a simulated exchange: what `dragoman emulate fyers` serves.

One app of one user. Read in this order: `emulator_session` (login, tokens), `emulator_orders` (what is taken and
refused, GTT, positions), `emulator_words` (bodies), `emulator_streams` (the sockets), `emulator_names` (symbols).

Left out: smart orders, alerts, screeners, reports of past days, multi-leg orders, expired contracts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    DAY,
    MINUTE,
    AppRefusalError,
    FieldError,
    Form,
    Handler,
    History,
    HttpAnswer,
    HttpCall,
    Meter,
    OrderState,
    Push,
    RestEmulator,
    Roots,
    Route,
    Rule,
    StretchError,
    VenueProtocol,
    default_venue,
    json_answer,
    json_body,
    num,
    securities,
)
from dragoman.plugin import model
from dragoman.plugin.records import IST, moment_ns

from .candles import UNITS, resolution_of
from .emulator_names import NameTable
from .emulator_orders import GttDesk, OrderDesk, PositionDesk
from .emulator_session import IST_OFFSET, SessionDesk, tokens_of
from .emulator_streams import DEEP_PATH, Streams
from .emulator_words import (
    STATUS,
    FyersError,
    book_body,
    funds_rows,
    holding_rows,
    holdings_body,
    order_row,
    position_row,
    positions_body,
    quote_item,
    success,
    trade_row,
)
from .master import FOLDER, INDEX_NAMES

APP_ID: Final = "emu_APP1-100"  # of the real length: the official client decodes it with the token behind it
APP_SECRET: Final = "emu_app_secret"  # noqa: S105 (the emulator's own, marked as such)
USER_ID: Final = "emu_XP0001"
REDIRECT_URI: Final = "http://127.0.0.1:5010/"
MOST_SYMBOLS: Final = 50
SEGMENTS: Final = ((10, 10), (10, 11), (10, 12), (10, 20), (11, 20), (12, 10), (12, 11), (12, 12))

METERS: Final = (Meter("second", 10), Meter("minute", 200, MINUTE), Meter("day", 100_000, DAY))
ANY: Final = Rule(METERS)
OPEN: Final = Rule(METERS, token=False)
ORDERS: Final = Rule(METERS, registered=True)
FILE: Final = Rule(token=False)
# A resolution -> its length, and the days of one request.
LENGTH: Final = {
    resolution_of(count, unit): (length * count, timedelta(days=days))
    for unit, (counts, length, days) in UNITS.items()
    for count in counts
} | {"D": (timedelta(days=1), timedelta(days=366))}


class FyersEmulator(RestEmulator):
    """API v3: REST, login page, market, depth and order sockets, symbol masters.

    Parameters
    ----------
    venue : VenueProtocol
        The exchange behind it; listings of exchanges this broker does not offer are left out.
    seed : int
        What tokens are made from.
    tick_rate : float
        Ticks per second per instrument, at most.
    app_id, app_secret, user_id, redirect_uri : str
    accounts : mapping of str to funds
        What to open on the venue; a venue that already has the account gives none.
    allowed_ips : tuple of str, optional
        Addresses orders are taken from; None takes them from any.
    """

    name: ClassVar[str] = "fyers"

    def __init__(
        self,
        venue: VenueProtocol,
        *,
        seed: int = 1,
        tick_rate: float = 5.0,
        app_id: str = APP_ID,
        app_secret: str = APP_SECRET,
        user_id: str = USER_ID,
        redirect_uri: str = REDIRECT_URI,
        accounts: Mapping[str, Mapping[model.Segment, Decimal]] | None = None,
        allowed_ips: tuple[str, ...] | None = None,
    ) -> None:
        self.session = SessionDesk(app_id, app_secret, user_id, redirect_uri, tokens_of(seed))
        super().__init__(
            venue,
            seed=seed,
            account=user_id,
            tokens=self.session.tokens,
            offset_ns=IST_OFFSET,
            allowed_ips=allowed_ips,
            accounts=accounts,
        )
        self.credentials = {
            "app_id": app_id,
            "app_secret": app_secret,
            "redirect_uri": redirect_uri,
            "redirect_url": redirect_uri,
            "user_id": user_id,
        }
        self._seed = seed
        self._ws = ""
        self.names = NameTable(venue.listings())
        self.orders = OrderDesk(venue, self.names, user_id)
        self.held = PositionDesk(venue, self.names, user_id)
        self.gtts = GttDesk(venue, self.names, user_id)
        self.streams = Streams(venue, self.names, self.session, user_id, tick_rate)
        self.serve(self._table(), (self.gtts.book.poll,))

    def roots(self, base_http: str, base_ws: str) -> Roots:
        self._ws = base_ws
        return Roots(base_http, base_ws, f"{base_http}/api/v3/generate-authcode", {"assets": base_http})

    # --- HTTP -------------------------------------------------------------------------------------------------------

    def authenticate(self, call: HttpCall, now_ns: int) -> None:
        self.session.check_header(call, now_ns)

    def worded(self, error: Exception) -> HttpAnswer | None:
        kinds = {FieldError: "-50", StretchError: "-50", AppRefusalError: "-16"}
        if type(error) in kinds:
            error = FyersError(kinds[type(error)], str(error))
        return error.answer() if isinstance(error, FyersError) else None

    def unserved(self, status: int, meter: Meter | None) -> FyersError:
        if status == 403:
            return FyersError("-373", "The IP address of this call is not registered for orders.", 403)
        return FyersError("-429", "request limit reached") if status == 429 else FyersError("-50", "no page", status)

    def error_answer(self, status: int, call: HttpCall) -> HttpAnswer:
        word, text = {
            401: ("-16", "Could not authenticate the user"),
            403: ("-373", "You do not have permission for this call"),
            429: ("-429", "request limit reached"),
        }.get(status, ("-96", "Something went wrong"))
        return FyersError(word, text, status).answer()

    def _table(self) -> Sequence[Route[Rule]]:
        session, orders, held, gtts = self.session, self.orders, self.held, self.gtts
        one, changes = r"/api/v3/orders/(?P<how>sync|async)", ("POST", "PATCH", "DELETE")
        rows: tuple[tuple[str, str, Handler, Rule], ...] = (
            ("GET", "/api/v3/generate-authcode", session.login_page, FILE),
            ("POST", "/api/v3/validate-authcode", session.exchange, OPEN),
            ("POST", "/api/v3/validate-refresh-token", session.no_refresh, OPEN),
            ("POST", "/api/v3/logout", session.logout, ANY),
            ("GET", "/api/v3/profile", session.profile, ANY),
            ("GET", "/api/v3/funds", self._funds, ANY),
            ("GET", "/api/v3/orders", self._book, ANY),
            ("GET", "/api/v3/tradebook", self._trades, ANY),
            *((method, one, orders.one, ORDERS) for method in changes),
            ("DELETE", r"/api/v3/orders/(?P<order_id>\w{1,40})/sync", orders.one, ORDERS),
            *((method, "/api/v3/multi-order/sync", orders.many, ORDERS) for method in changes),
            *((method, "/api/v3/gtt/orders/sync", gtts.one, ORDERS) for method in changes),
            ("GET", "/api/v3/gtt/orders", gtts.read, ANY),
            ("GET", "/api/v3/positions", self._positions, ANY),
            ("POST", "/api/v3/positions", held.convert, ORDERS),
            ("DELETE", "/api/v3/positions", held.leave, ORDERS),
            ("GET", "/api/v3/holdings", self._holdings, ANY),
            ("POST", "/api/v3/multiorder/margin", held.margin, ANY),
            ("POST", "/data/symbol-token", self._symbol_tokens, ANY),
            ("GET", "/data/quotes", self._quotes, ANY),
            ("GET", "/data/depth", self._depth, ANY),
            ("GET", "/data/history", self._history, ANY),
            ("GET", "/data/marketStatus", self._market_status, ANY),
            ("GET", "/indus/home/tbtws", self._deep_socket, ANY),
            ("GET", INDEX_NAMES, self._index_names, FILE),
            ("GET", rf"{FOLDER}/(?P<name>\w{{1,10}})_sym_master\.json", self._master, FILE),
        )
        return [Route(*row) for row in rows]

    def _row(self, state: OrderState) -> dict[str, Any]:
        return order_row(state, STATUS.now(state), self.names.by_id[state.order.instrument_id], self.account)

    def _book(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        query = dict(call.query)
        rows = [self._row(state) for state in self.venue.orders(self.account)]
        for name, key in (("id", "id"), ("order_tag", "orderTag")):
            rows = [row for row in rows if query.get(name) in (None, row[key])]
        if "id" in query and not rows:
            raise FyersError("-51", "Invalid order id")
        return success(orderBook=rows)

    def _trades(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        book = {state.order_id: state for state in self.venue.orders(self.account)}
        fills = self.venue.fills(self.account)
        rows = [trade_row(fill, self.names.by_id[fill.instrument_id], book[fill.order_id]) for fill in fills]
        tag = dict(call.query).get("order_tag")
        return success(tradeBook=[row for row in rows if tag in (None, row["orderTag"])])

    def _positions(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        held = self.venue.positions(self.account)
        return success(
            **positions_body(
                [
                    position_row(one, self.venue.market(one.instrument_id), self.names.by_id[one.instrument_id])
                    for one in held
                ]
            )
        )

    def _holdings(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        held = securities(self.venue, self.account)
        rows = [row for one in held for row in holding_rows(one, self.names.by_id[one.holding.instrument_id])]
        return success(**holdings_body(held, rows))

    def _funds(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success(fund_limit=funds_rows(self.venue.funds(self.account)))

    # --- market data ------------------------------------------------------------------------------------------------

    def _symbol_tokens(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        asked = json_body(call).raw("symbols")
        if not isinstance(asked, list):
            raise FyersError("-50", "symbols should be a list")
        known = {str(key): self.names.by_key[key].fy_token for key in asked if key in self.names.by_key}
        return success(validSymbol=known, invalidSymbol=[key for key in asked if key not in known])

    def _quotes(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        keys = Form(dict(call.query)).text("symbols").split(",")
        if len(keys) > MOST_SYMBOLS:
            raise FyersError("-50", f"A maximum of {MOST_SYMBOLS} symbols is allowed")
        items = [
            quote_item(self.venue.market(named.instrument_id), named)
            if (named := self.names.by_key.get(key))
            else {"n": key, "s": "error", "v": {"code": -300, "errmsg": "invalid symbol", "s": "error"}}
            for key in keys
        ]
        return success(d=items)

    def _depth(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        named = self.names.named(dict(call.query).get("symbol"))
        return success(d={named.key: book_body(self.venue.market(named.instrument_id), named)})

    def _history(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = Form(dict(call.query))
        named = self.names.named(form.text("symbol"))
        length, longest = LENGTH[form.choice("resolution", LENGTH)]
        first, last = (_moment(form, name) for name in ("range_from", "range_to"))
        bars = History.of(self._seed, named.listing).stretch(first, last, length, longest, now_ns)
        # Days are stamped 00:00 UTC of their date.
        shift = IST_OFFSET if length >= timedelta(days=1) else 0
        with_oi = form.get("oi_flag") == "1"
        rows = [
            [
                (moment_ns(bar.start) + shift) // 1_000_000_000,
                *map(num, (bar.open, bar.high, bar.low, bar.close)),
                bar.volume,
                *([bar.oi] if with_oi else []),
            ]
            for bar in bars
        ]
        return json_answer({"s": "ok" if rows else "no_data", "code": 200, "message": "", "candles": rows})

    def _market_status(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        rows = [
            {"exchange": exchange, "segment": segment, "market_type": "NORMAL", "status": "OPEN"}
            for exchange, segment in SEGMENTS
        ]
        return success(marketStatus=rows)

    def _deep_socket(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success(data={"socket_url": f"{self._ws}{DEEP_PATH}"})

    def _index_names(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return HttpAnswer(200, (("Content-Type", "application/json"),), self.names.index_names())

    def _master(self, call: HttpCall, now_ns: int, name: str) -> HttpAnswer:
        try:
            return HttpAnswer(200, (("Content-Type", "application/json"),), self.names.master(name))
        except LookupError:
            return HttpAnswer(404)

    # --- the streams ------------------------------------------------------------------------------------------------

    def open_socket(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        return self.streams.open(call, socket, now_ns)

    def on_message(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        return self.streams.hear(socket, data, now_ns)

    def on_close(self, socket: int) -> None:
        self.streams.close(socket)

    def frames(self, now_ns: int) -> Sequence[Push]:
        return self.streams.poll(now_ns)


def _moment(form: Form, name: str) -> datetime:
    """Read a time as epoch seconds, or (date_format 1) as a day; the last day counts whole."""
    if form.choice("date_format", ("0", "1")) == "0":
        return datetime.fromtimestamp(form.integer(name), IST)
    found = form.moment(name, IST)
    return found + timedelta(hours=23, minutes=59) if name == "range_to" else found


def make(seed: int, now_ns: int, *, tick_rate: float = 5.0, redirect_port: int = 5010, **options: Any) -> FyersEmulator:
    """Make the emulator on `default_venue`.

    Parameters
    ----------
    seed : int
        What prices, books and tokens come from: the same seed and times give the same run.
    now_ns : int
        The venue's first moment, ns UTC.
    tick_rate : float
        Ticks per second per instrument, at most.
    redirect_port : int
        Loopback port of the registered redirect URI.
    options
        Further parameters of `FyersEmulator`; ``accounts`` opens those instead of one funded account with shares.
    """
    options.setdefault("redirect_uri", f"http://127.0.0.1:{redirect_port}/")
    venue = default_venue(seed, now_ns, options.get("user_id", USER_ID), options.pop("accounts", None))
    return FyersEmulator(venue, seed=seed, tick_rate=tick_rate, **options)
