"""The broker's side of the Developer API over a simulated exchange: what `dragoman emulate upstox` serves.

One app of one user. Read in this order: `emulator_session` (login, tokens, single-use URLs), `emulator_orders` (what is
taken and refused), `emulator_triggers` (GTT), `emulator_more` (the rest of the API), `emulator_words` (bodies),
`emulator_ticks` (the streams), `emulator_names` (keys and symbols). The order host is a root of its own here, too.

Left out, as the adapter has no use for it: IPO, mutual funds, news, fundamentals, payments, reports, past trades,
expired instruments, option chains, search, calendars, the kill switch, registered addresses and token requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    MINUTE,
    SECOND,
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
    listing,
    succeeded,
    write,
)

from .emulator_more import AccountDesk
from .emulator_names import NameTable
from .emulator_orders import OrderDesk
from .emulator_session import MARKET, PORTFOLIO, USER_ID, SessionDesk
from .emulator_ticks import Streams
from .emulator_triggers import GttDesk
from .emulator_words import HOLDING, ORDER, TRADE, UpstoxError
from .master import PATH

__all__ = ["USER_ID", "UpstoxEmulator", "make"]
ORDER_ROOT: Final = "/hft"
ASSETS_ROOT: Final = "/assets"


def _meters(name: str, per_second: int) -> tuple[Meter, ...]:
    spans = ((per_second, SECOND), (500, MINUTE), (2000, 30 * MINUTE))
    return tuple(Meter(f"{name}/{span}", count, span) for count, span in spans)


ANY: Final = Rule(_meters("others", 50))
OPEN: Final = Rule(ANY.meters, token=False)
ORDERS: Final = Rule(_meters("orders", 10), registered=True)


class UpstoxEmulator(AppEmulator):
    """Developer API v2 and v3: REST, login dialog, market feed and portfolio stream; set up as `AppEmulator` says."""

    name: ClassVar[str] = "upstox"
    errors: ClassVar = UpstoxError
    session_type: ClassVar = SessionDesk

    def __init__(self, venue: VenueProtocol, *, seed: int = 1, **options: Any) -> None:
        super().__init__(venue, seed=seed, **options)
        self.names, user = NameTable(venue.listings()), self.account
        self.orders = OrderDesk(venue, self.names, user)
        self.gtts = GttDesk(venue, self.names, user, self.orders)
        self.money = AccountDesk(venue, self.names, user, seed)
        self.streams = Streams(venue, self.names, self.session, self.money, self.gtts, self.pace_ns)
        self.serve(self._table(), (self.gtts.book.poll,))

    def roots(self, base_http: str, base_ws: str) -> Roots:
        self.session.base_ws = base_ws
        login = f"{base_http}/v2/login/authorization/dialog"
        return Roots(base_http, base_ws, login, {"order": base_http + ORDER_ROOT, "assets": base_http + ASSETS_ROOT})

    def _table(self) -> Sequence[Route[Rule]]:
        held, session, orders, gtts = self.money, self.session, self.orders, self.gtts
        both, key = r"/v(?P<version>[23])", r"(?P<key>[^/]{1,60})/(?P<unit>[a-z]+)/(?P<interval>\w+)"
        day, old = r"\d{4}-\d\d-\d\d", "/v2/login/authorization"
        rows: tuple[tuple[str, str, Handler, Rule], ...] = (
            ("GET", f"{old}/dialog", session.login_page, Rule(token=False)),
            ("POST", f"{old}/token", session.exchange, OPEN),
            ("DELETE", "/v2/logout", session.logout, ANY),
            ("GET", "/v2/user/profile", session.profile, ANY),
            ("GET", f"{both}/user/get-funds-and-margin", held.money, ANY),
            ("POST", f"{ORDER_ROOT}{both}/order/place", orders.place, ORDERS),
            ("PUT", f"{ORDER_ROOT}{both}/order/modify", orders.modify, ORDERS),
            ("DELETE", f"{ORDER_ROOT}{both}/order/cancel", orders.cancel, ORDERS),
            ("POST", "/v2/order/multi/place", orders.place_many, ORDERS),
            ("DELETE", "/v2/order/multi/cancel", orders.cancel_many, ORDERS),
            ("POST", "/v2/order/positions/exit", orders.exit_all, ORDERS),
            ("GET", "/v2/order/retrieve-all", listing(succeeded, ORDER, orders.orders), ANY),
            ("GET", "/v2/order/(?P<what>details|history)", self._states, ANY),
            ("GET", "/v2/order/trades/get-trades-for-day", listing(succeeded, TRADE, orders.trades), ANY),
            ("GET", "/v2/order/trades", self._trades, ANY),
            ("POST", "/v3/order/gtt/place", gtts.place, ORDERS),
            ("PUT", "/v3/order/gtt/modify", gtts.change, ORDERS),
            ("DELETE", "/v3/order/gtt/cancel", gtts.cancel, ORDERS),
            ("GET", "/v3/order/gtt", gtts.read, ANY),
            ("GET", r"/v(?P<version>2)/portfolio/short-term-positions", held.open, ANY),
            ("GET", r"/v(?P<version>3)/portfolio/mtf-positions", held.open, ANY),
            ("GET", "/v2/portfolio/long-term-holdings", listing(succeeded, HOLDING, held.holdings), ANY),
            ("PUT", "/v2/portfolio/convert-position", held.convert, ANY),
            ("POST", "/v2/charges/margin", held.margin, ANY),
            ("GET", "/v2/charges/brokerage", held.brokerage, ANY),
            ("GET", "/v3/market-quote/(?P<kind>ltp|ohlc|quotes|option-greek)", held.quotes, ANY),
            ("GET", "/v2/market-quote/(?P<kind>quotes)", held.quotes, ANY),
            ("GET", f"/v3/historical-candle/intraday/{key}", held.history, OPEN),
            ("GET", f"/v3/historical-candle/{key}/(?P<last>{day})(?:/(?P<first>{day}))?", held.history, OPEN),
            ("GET", "/v3/feed/market-data-feed/authorize", partial(session.authorise, stream=MARKET), ANY),
            ("GET", "/v2/feed/portfolio-stream-feed/authorize", partial(session.authorise, stream=PORTFOLIO), ANY),
            ("GET", ASSETS_ROOT + PATH, self._file, Rule(token=False)),
        )
        return [Route(*row) for row in rows]

    def _states(self, call: HttpCall, now_ns: int, what: str) -> HttpAnswer:
        """Answer with an order now, or with all its states; the history also by tag."""
        form = Form.query(call)
        tag, order_id = form.get("tag") if what == "history" else None, form.get("order_id")
        UpstoxError.when(tag is None and order_id is None, "UDAPI100059", "Either order_id or tag is required")
        if what == "details":
            return succeeded(write(ORDER, self.orders.order(self.orders.find(form.text("order_id")))))
        tagged = [one.state for one in self.orders.orders() if one.order.tag == tag]
        chosen = tagged if tag else [self.orders.find(form.text("order_id"))]
        return succeeded([write(ORDER, one) for state in chosen for one in self.orders.life(state.order_id)])

    def _trades(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        order_id = Form.query(call).text("order_id")
        return succeeded([write(TRADE, one) for one in self.orders.trades(order_id)])

    def _file(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return HttpAnswer(200, (("Content-Type", "application/gzip"),), self.names.file())


make = UpstoxEmulator.make
