"""The broker's side of the Developer API over a simulated exchange: what `dragoman emulate upstox` serves.

One app of one user. Read in this order: `emulator_session` (login, tokens, single-use URLs), `emulator_orders` (what is
taken and refused), `emulator_triggers` (GTT), `emulator_more` (the rest of the API), `emulator_words` (bodies),
`emulator_ticks` (the streams), `emulator_names` (keys and symbols). The order host is a root of its own here, too.

Left out, as the adapter has no use for it: IPO, mutual funds, news, fundamentals, payments, reports, past trades,
expired instruments, option chains, search, calendars, the kill switch, registered addresses and token requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    MINUTE,
    SECOND,
    AppRefusalError,
    FieldError,
    Form,
    Handler,
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
)
from dragoman.plugin import model

from .emulator_more import DataDesk, MoneyDesk
from .emulator_names import NameTable
from .emulator_orders import OrderDesk
from .emulator_session import IST_OFFSET, MARKET, PORTFOLIO, SessionDesk, tokens_of
from .emulator_ticks import Streams
from .emulator_triggers import GttDesk
from .emulator_words import STATUS, UpstoxError, order_row, success, trade_row
from .master import PATH

CLIENT_ID: Final = "emu_client"
CLIENT_SECRET: Final = "emu_client_secret"  # noqa: S105 (the emulator's own, marked as such)
USER_ID: Final = "emu_4PAA01"
REDIRECT_URI: Final = "http://127.0.0.1:5010/"
ORDER_ROOT: Final = "/hft"
ASSETS_ROOT: Final = "/assets"


def _meters(name: str, per_second: int) -> tuple[Meter, ...]:
    spans = ((per_second, SECOND), (500, MINUTE), (2000, 30 * MINUTE))
    return tuple(Meter(f"{name}/{span}", count, span) for count, span in spans)


ANY: Final = Rule(_meters("others", 50))
OPEN: Final = Rule(ANY.meters, token=False)
ORDERS: Final = Rule(_meters("orders", 10), registered=True)


class UpstoxEmulator(RestEmulator):
    """Developer API v2 and v3: REST, login dialog, market feed and portfolio stream.

    Parameters
    ----------
    venue : VenueProtocol
        The exchange behind it; listings of exchanges this broker does not offer are left out.
    seed : int
        What tokens are made from.
    tick_rate : float
        Ticks per second per instrument, at most.
    client_id, client_secret, user_id, redirect_uri : str
    accounts : mapping of str to funds
        What to open on the venue; a venue that already has the account gives none.
    allowed_ips : tuple of str, optional
        Addresses orders are taken from; None takes them from any.
    """

    name: ClassVar[str] = "upstox"

    def __init__(
        self,
        venue: VenueProtocol,
        *,
        seed: int = 1,
        tick_rate: float = 5.0,
        client_id: str = CLIENT_ID,
        client_secret: str = CLIENT_SECRET,
        user_id: str = USER_ID,
        redirect_uri: str = REDIRECT_URI,
        accounts: Mapping[str, Mapping[model.Segment, Decimal]] | None = None,
        allowed_ips: tuple[str, ...] | None = None,
    ) -> None:
        self.session = SessionDesk(client_id, client_secret, user_id, redirect_uri, tokens_of(seed))
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
            "client_id": client_id,
            "client_secret": client_secret,
            "redirect_uri": redirect_uri,
            "redirect_url": redirect_uri,
            "user_id": user_id,
        }
        self.names = NameTable(venue.listings())
        self.orders = OrderDesk(venue, self.names, user_id)
        self.gtts = GttDesk(venue, self.names, user_id, self.orders)
        self.money = MoneyDesk(venue, self.names, user_id, self.orders)
        self.data = DataDesk(venue, self.names, seed)
        self.streams = Streams(venue, self.names, self.session, self.money, self.gtts, tick_rate)
        self.serve(self._table(), (self.gtts.book.poll,))

    def roots(self, base_http: str, base_ws: str) -> Roots:
        self.session.base_ws = base_ws
        login = f"{base_http}/v2/login/authorization/dialog"
        return Roots(base_http, base_ws, login, {"order": base_http + ORDER_ROOT, "assets": base_http + ASSETS_ROOT})

    # --- HTTP -------------------------------------------------------------------------------------------------------

    def authenticate(self, call: HttpCall, now_ns: int) -> None:
        self.session.check_header(call, now_ns)

    def worded(self, error: Exception) -> HttpAnswer | None:
        kinds = {FieldError: "UDAPI100036", StretchError: "UDAPI1148", AppRefusalError: "UDAPI100016"}
        if type(error) in kinds:
            error = UpstoxError(kinds[type(error)], str(error))
        return error.answer() if isinstance(error, UpstoxError) else None

    def unserved(self, status: int, meter: Meter | None) -> UpstoxError:
        if status == 403:
            return UpstoxError("UDAPI1154", "Access from this IP address is not allowed for orders.")
        if status == 429:
            return UpstoxError("UDAPI10005", "Too Many Request Sent")
        return UpstoxError("UDAPI100060", "Resource not Found.", status)

    def error_answer(self, status: int, call: HttpCall) -> HttpAnswer:
        code, text = {
            401: ("UDAPI100050", "Invalid token used to access API"),
            403: ("UDAPI100050", "Invalid token used to access API"),
            423: ("UDAPI100072", "The service is accessible from 5:30 AM to 12:00 AM IST daily."),
            429: ("UDAPI10005", "Too Many Request Sent"),
        }.get(status, ("UDAPI100500", "Something went wrong, please contact us."))
        return UpstoxError(code, text, status).answer()

    def _table(self) -> Sequence[Route[Rule]]:
        held, data, session, orders = self.money, self.data, self.session, self.orders
        both, key = r"/v(?P<version>[23])", r"(?P<key>[^/]{1,60})/(?P<unit>[a-z]+)/(?P<interval>\w+)"
        day, old = r"\d{4}-\d\d-\d\d", "/v2/login/authorization"
        rows: tuple[tuple[str, str, Handler, Rule], ...] = (
            ("GET", f"{old}/dialog", session.login_page, Rule(token=False)),
            ("POST", f"{old}/token", session.exchange, OPEN),
            ("DELETE", "/v2/logout", session.logout, ANY),
            ("GET", "/v2/user/profile", session.profile, ANY),
            ("GET", f"{both}/user/get-funds-and-margin", held.funds, ANY),
            ("POST", f"{ORDER_ROOT}{both}/order/place", orders.place, ORDERS),
            ("PUT", f"{ORDER_ROOT}{both}/order/modify", orders.modify, ORDERS),
            ("DELETE", f"{ORDER_ROOT}{both}/order/cancel", orders.cancel, ORDERS),
            ("POST", "/v2/order/multi/place", orders.place_many, ORDERS),
            ("DELETE", "/v2/order/multi/cancel", orders.cancel_many, ORDERS),
            ("POST", "/v2/order/positions/exit", orders.exit_all, ORDERS),
            ("GET", "/v2/order/retrieve-all", self._book, ANY),
            ("GET", "/v2/order/(?P<what>details|history)", self._states, ANY),
            ("GET", "/v2/order/trades/get-trades-for-day", self._trades, ANY),
            ("GET", "/v2/order/trades", partial(self._trades, one=True), ANY),
            ("POST", "/v3/order/gtt/place", self.gtts.place, ORDERS),
            ("PUT", "/v3/order/gtt/modify", self.gtts.change, ORDERS),
            ("DELETE", "/v3/order/gtt/cancel", self.gtts.change, ORDERS),
            ("GET", "/v3/order/gtt", self.gtts.read, ANY),
            ("GET", r"/v(?P<version>2)/portfolio/short-term-positions", held.positions, ANY),
            ("GET", r"/v(?P<version>3)/portfolio/mtf-positions", held.positions, ANY),
            ("GET", "/v2/portfolio/long-term-holdings", held.holdings, ANY),
            ("PUT", "/v2/portfolio/convert-position", held.convert, ANY),
            ("POST", "/v2/charges/margin", held.margin, ANY),
            ("GET", "/v2/charges/brokerage", held.brokerage, ANY),
            ("GET", "/v3/market-quote/(?P<kind>ltp|ohlc|quotes|option-greek)", data.quotes, ANY),
            ("GET", "/v2/market-quote/(?P<kind>quotes)", data.quotes, ANY),
            ("GET", f"/v3/historical-candle/intraday/{key}", data.candles, OPEN),
            ("GET", f"/v3/historical-candle/{key}/(?P<last>{day})(?:/(?P<first>{day}))?", data.candles, OPEN),
            ("GET", "/v3/feed/market-data-feed/authorize", partial(session.authorise, stream=MARKET), ANY),
            ("GET", "/v2/feed/portfolio-stream-feed/authorize", partial(session.authorise, stream=PORTFOLIO), ANY),
            ("GET", ASSETS_ROOT + PATH, self._file, Rule(token=False)),
        )
        return [Route(*row) for row in rows]

    def _row(self, state: OrderState, status: str) -> dict[str, Any]:
        return order_row(state, status, self.names.by_id[state.order.instrument_id], self.account)

    def _book(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success([self._row(state, STATUS.now(state)) for state in self.venue.orders(self.account)])

    def _states(self, call: HttpCall, now_ns: int, what: str) -> HttpAnswer:
        """Answer with an order now, or with all its states; the history also by tag."""
        form = Form(dict(call.query))
        tag = form.get("tag") if what == "history" else None
        if tag is not None:
            chosen = [state for state in self.venue.orders(self.account) if state.order.tag == tag]
        elif form.get("order_id") is None:
            raise UpstoxError("UDAPI100059", "Either order_id or tag is required")
        else:
            chosen = [self.orders.known(form.text("order_id"))]
        if what == "details":
            return success(self._row(chosen[0], STATUS.now(chosen[0])))
        lives = (self.venue.history(self.account, state.order_id) for state in chosen)
        return success([self._row(state, status) for life in lives for state, status in STATUS.history(life)])

    def _trades(self, call: HttpCall, now_ns: int, *, one: bool = False) -> HttpAnswer:
        order_id = self.orders.known(Form(dict(call.query)).text("order_id")).order_id if one else None
        book = {state.order_id: state for state in self.venue.orders(self.account)}
        fills = self.venue.fills(self.account, order_id)
        return success([trade_row(fill, self.names.by_id[fill.instrument_id], book[fill.order_id]) for fill in fills])

    def _file(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return HttpAnswer(200, (("Content-Type", "application/gzip"),), self.names.file())

    # --- the streams ------------------------------------------------------------------------------------------------

    def open_socket(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        return self.streams.open(call, socket, now_ns)

    def on_message(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        return self.streams.hear(socket, data, now_ns)

    def on_close(self, socket: int) -> None:
        self.streams.close(socket)

    def frames(self, now_ns: int) -> Sequence[Push]:
        return self.streams.poll(now_ns)


def make(
    seed: int, now_ns: int, *, tick_rate: float = 5.0, redirect_port: int = 5010, **options: Any
) -> UpstoxEmulator:
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
        Further parameters of `UpstoxEmulator`; ``accounts`` opens those instead of one funded account with shares.
    """
    options.setdefault("redirect_uri", f"http://127.0.0.1:{redirect_port}/")
    venue = default_venue(seed, now_ns, options.get("user_id", USER_ID), options.pop("accounts", None))
    return UpstoxEmulator(venue, seed=seed, tick_rate=tick_rate, **options)
