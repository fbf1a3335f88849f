"""The broker's side of API v3 over a simulated exchange: what `dragoman emulate fyers` serves.

One app of one user. Read in this order: `emulator_session` (login, tokens), `emulator_orders` (what is taken and
refused, GTT, positions), `emulator_words` (bodies), `emulator_streams` (the sockets), `emulator_names` (symbols).

Left out: smart orders, alerts, screeners, reports of past days, multi-leg orders, expired contracts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    DAY,
    MINUTE,
    AppEmulator,
    Form,
    Handler,
    HttpAnswer,
    HttpCall,
    Meter,
    Roots,
    Route,
    Rule,
    VenueProtocol,
    json_answer,
    json_body,
    listing,
    matching,
    refusing,
    seconds,
    telling,
    write,
)
from dragoman.plugin.values import IST, moment_ns

from .emulator_names import NameTable
from .emulator_orders import GTT, FyersOrders, GttDesk
from .emulator_session import USER_ID, SessionDesk
from .emulator_streams import DEEP_PATH, Streams
from .emulator_words import (
    DEPTH,
    ORDER,
    POSITION,
    QUOTE,
    TRADE,
    FyersError,
    funds_answer,
    holdings_answer,
    positions_answer,
    success,
)
from .market import MOST_SYMBOLS, UNITS, resolution_of
from .master import FOLDER, INDEX_NAMES
from .money import SEGMENTS as FUNDED

__all__ = ["USER_ID", "FyersEmulator", "make"]
SEGMENTS: Final = [
    {"exchange": place, "segment": part, "market_type": "NORMAL", "status": "OPEN"}
    for place, part in ((10, 10), (10, 11), (10, 12), (10, 20), (11, 20), (12, 10), (12, 11), (12, 12))
]
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


class FyersEmulator(AppEmulator):
    """API v3: REST, login page, market, depth and order sockets, symbol masters; set up as `AppEmulator` says."""

    name: ClassVar[str] = "fyers"
    errors: ClassVar = FyersError
    session_type: ClassVar = SessionDesk

    def __init__(self, venue: VenueProtocol, *, seed: int = 1, **options: Any) -> None:
        super().__init__(venue, seed=seed, **options)
        self._ws = ""
        self.names = NameTable(venue.listings())
        self.orders = FyersOrders(venue, self.names, self.account, seed)
        self.gtts = GttDesk(venue, self.names, self.account)
        self.streams: Streams = Streams(venue, self.names, self.session, self.pace_ns)
        self.serve(self._table(), (self.gtts.book.poll,))

    def roots(self, base_http: str, base_ws: str) -> Roots:
        self._ws = base_ws
        return Roots(base_http, base_ws, f"{base_http}/api/v3/generate-authcode", {"assets": base_http})

    def _table(self) -> Sequence[Route[Rule]]:
        session, orders, gtts = self.session, self.orders, self.gtts
        one, changes = r"/api/v3/orders/(?P<how>sync|async)", ("POST", "PATCH", "DELETE")
        no_refresh = refusing(FyersError, "-16", "refresh tokens are discontinued")
        rows: tuple[tuple[str, str, Handler, Rule], ...] = (
            ("GET", "/api/v3/generate-authcode", session.login_page, FILE),
            ("POST", "/api/v3/validate-authcode", session.exchange, OPEN),
            ("POST", "/api/v3/validate-refresh-token", no_refresh, OPEN),
            ("POST", "/api/v3/logout", session.logout, ANY),
            ("GET", "/api/v3/profile", session.profile, ANY),
            ("GET", "/api/v3/funds", telling(funds_answer, lambda: [orders.funds(one) for one in FUNDED]), ANY),
            ("GET", "/api/v3/orders", self._book, ANY),
            ("GET", "/api/v3/tradebook", self._trades, ANY),
            *((method, one, orders.one, ORDERS) for method in changes),
            ("DELETE", r"/api/v3/orders/(?P<order_id>\w{1,40})/sync", orders.one, ORDERS),
            *((method, "/api/v3/multi-order/sync", orders.many, ORDERS) for method in changes),
            *((method, "/api/v3/gtt/orders/sync", gtts.one, ORDERS) for method in changes),
            (
                "GET",
                "/api/v3/gtt/orders",
                listing(lambda rows: success(orderBook=rows), GTT, lambda: gtts.since(0)),
                ANY,
            ),
            ("GET", "/api/v3/positions", listing(positions_answer, POSITION, orders.positions), ANY),
            ("POST", "/api/v3/positions", orders.convert, ORDERS),
            ("DELETE", "/api/v3/positions", orders.exit, ORDERS),
            ("GET", "/api/v3/holdings", telling(holdings_answer, orders.holdings), ANY),
            ("POST", "/api/v3/multiorder/margin", orders.margin, ANY),
            ("POST", "/data/symbol-token", self._symbol_tokens, ANY),
            ("GET", "/data/quotes", self._quotes, ANY),
            ("GET", "/data/depth", self._depth, ANY),
            ("GET", "/data/history", self._history, ANY),
            ("GET", "/data/marketStatus", lambda call, now_ns: success(marketStatus=SEGMENTS), ANY),
            ("GET", "/indus/home/tbtws", lambda call, now_ns: success(data={"socket_url": self._ws + DEEP_PATH}), ANY),
            ("GET", INDEX_NAMES, telling(json_answer, self.names.index_names), FILE),
            ("GET", rf"{FOLDER}/(?P<name>\w{{1,10}})_sym_master\.json", telling(json_answer, self.names.master), FILE),
        )
        return [Route(*row) for row in rows]

    def _book(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        query, rows = dict(call.query), [write(ORDER, one) for one in self.orders.orders()]
        found = matching(rows, query, {"id": "id", "order_tag": "orderTag"})
        FyersError.when("id" in query and not found, "-51", "Invalid order id")
        return success(orderBook=found)

    def _trades(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        rows = [write(TRADE, one) for one in self.orders.trades()]
        return success(tradeBook=matching(rows, dict(call.query), {"order_tag": "orderTag"}))

    # --- market data ------------------------------------------------------------------------------------------------

    def _symbol_tokens(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        asked = json_body(call).raw("symbols")
        FyersError.when(not isinstance(asked, list), "-50", "symbols should be a list")
        known = {str(key): self.names.by_key[key].fy_token for key in asked if key in self.names.by_key}
        return success(validSymbol=known, invalidSymbol=[key for key in asked if key not in known])

    def _quotes(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        keys = Form.query(call).text("symbols").split(",")
        FyersError.when(len(keys) > MOST_SYMBOLS, "-50", f"A maximum of {MOST_SYMBOLS} symbols is allowed")
        items = [
            {"n": key, "s": "ok", "v": write(QUOTE, self.orders.quote(named))}
            if (named := self.names.by_key.get(key))
            else {"n": key, "s": "error", "v": {"code": -300, "errmsg": "invalid symbol", "s": "error"}}
            for key in keys
        ]
        return success(d=items)

    def _depth(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        named = self.names.named(dict(call.query).get("symbol"))
        return success(d={named.key: write(DEPTH, self.orders.quote(named))})

    def _history(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = Form.query(call)
        named, length = self.names.of(form), LENGTH[form.choice("resolution", LENGTH)]
        # Days are stamped 00:00 UTC of their date.
        shift = self.session.offset_ns if length[0] >= timedelta(days=1) else 0
        rows = self.orders.candles(
            named,
            (_moment(form, "range_from"), _moment(form, "range_to")),
            length,
            lambda start: seconds(moment_ns(start) + shift),
            now_ns,
            oi=form.get("oi_flag") == "1",
        )
        return json_answer({"s": "ok" if rows else "no_data", "code": 200, "message": "", "candles": rows})


def _moment(form: Form, name: str) -> datetime:
    """Read a time as epoch seconds, or (date_format 1) as a day; the last day counts whole."""
    if form.choice("date_format", ("0", "1")) == "0":
        return datetime.fromtimestamp(form.integer(name), IST)
    found = form.moment(name, IST)
    return found + timedelta(hours=23, minutes=59) if name == "range_to" else found


make = FyersEmulator.make
