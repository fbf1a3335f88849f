"""The broker's side of Kite Connect 3 over a simulated exchange: what `dragoman emulate zerodha` serves.

One app of one user. Read in this order: `emulator_session` (login, tokens, limits), `emulator_orders` (what is taken
and refused), `emulator_triggers` and `emulator_more` (the rest of the API), `emulator_words`
(bodies), `emulator_ticks` (the socket), `emulator_names` (tokens, symbols, lots).

Mutual funds are answered as the real broker answers an app without the permission.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    DAY,
    FUNDS,
    MINUTE,
    AppRefusalError,
    FieldError,
    Handler,
    HttpAnswer,
    HttpCall,
    Meter,
    OrderState,
    Post,
    Postbacks,
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

from .emulator_more import MoreDesk, PortfolioDesk
from .emulator_names import SEGMENT_CODE, NameTable
from .emulator_orders import OrderDesk
from .emulator_session import IST_OFFSET, SessionDesk, tokens_of
from .emulator_ticks import Ticker
from .emulator_triggers import AlertDesk, GttDesk
from .emulator_words import STATUS, KiteError, order_row, quote_row, success, trade_row, update_word

API_KEY: Final = "emu_api_key"
API_SECRET: Final = "emu_api_secret"  # noqa: S105 (the emulator's own, marked as such)
USER_ID: Final = "emu_ZZ0001"
__all__ = ["API_KEY", "API_SECRET", "FUNDS", "REDIRECT_URL", "USER_ID", "ZerodhaEmulator", "make"]
REDIRECT_URL: Final = "http://127.0.0.1:5010/"
QUOTE_CAPS: Final = {"quote": 500, "ohlc": 1000, "ltp": 1000}
POSTED: Final = ("COMPLETE", "CANCELLED", "REJECTED", "UPDATE")

DAILY_ORDERS: Final = Meter("orders a day", 5000, DAY)
ANY: Final = Rule((Meter("others", 10),))
OPEN: Final = Rule((Meter("others", 10),), token=False)
PAGE: Final = Rule(token=False)
QUOTES: Final = Rule((Meter("quote", 1),))
CANDLES: Final = Rule((Meter("historical", 3),))
GTTS: Final = Rule((Meter("others", 10), Meter("triggers", 10)), registered=True)
"""Reading and placing triggers; from the registered address only (unverified)."""
ORDERS: Final = Rule((Meter("orders", 10), Meter("orders a minute", 400, MINUTE), DAILY_ORDERS), registered=True)


class ZerodhaEmulator(RestEmulator):
    """Kite Connect 3: REST, login page, ticker and postbacks.

    Parameters
    ----------
    venue : VenueProtocol
        The exchange behind it; listings of exchanges this broker does not offer are left out.
    seed : int
        What tokens are made from.
    tick_rate : float
        Ticks per second per instrument, at most.
    api_key, api_secret, user_id : str
    redirect_url : str
        Where the app is registered to be sent after login.
    postback_url : str
        Where the app is registered to be told of its orders: ``http`` on loopback; empty, it is told nothing.
    accounts : mapping of str to funds
        What to open on the venue; a venue that already has the account gives none.
    allowed_ips : tuple of str, optional
        Addresses orders are taken from; None takes them from any.
    """

    name: ClassVar[str] = "zerodha"

    def __init__(
        self,
        venue: VenueProtocol,
        *,
        seed: int = 1,
        tick_rate: float = 5.0,
        api_key: str = API_KEY,
        api_secret: str = API_SECRET,
        user_id: str = USER_ID,
        redirect_url: str = REDIRECT_URL,
        postback_url: str = "",
        accounts: Mapping[str, Mapping[model.Segment, Decimal]] | None = None,
        allowed_ips: tuple[str, ...] | None = None,
    ) -> None:
        self.session = SessionDesk(api_key, api_secret, user_id, redirect_url, tokens_of(seed))
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
            "api_key": api_key,
            "api_secret": api_secret,
            "user_id": user_id,
            "redirect_url": redirect_url,
        }
        self.names = NameTable(venue.listings())
        self.orders = OrderDesk(venue, self.names, user_id)
        self.portfolio = PortfolioDesk(venue, self.names, user_id)
        self.more = MoreDesk(venue, self.names, user_id, seed)
        self.gtts = GttDesk(venue, self.names, user_id)
        self.alerts = AlertDesk(venue, self.names, user_id, seed)
        self.ticker = Ticker(venue, self.names, self.session, user_id, tick_rate)
        self.postbacks = Postbacks(venue, user_id, postback_url, self._postback)
        self.serve(self._table(), (self.orders.chains.poll, self.gtts.book.poll, self.alerts.book.poll))

    def roots(self, base_http: str, base_ws: str) -> Roots:
        login = f"{base_http}/connect/login?v=3&api_key={self.session.api_key}"
        return Roots(base_http, base_ws, login)

    # --- HTTP -------------------------------------------------------------------------------------------------------

    def authenticate(self, call: HttpCall, now_ns: int) -> None:
        self.session.check_header(call, now_ns)

    def worded(self, error: Exception) -> HttpAnswer | None:
        kinds = {FieldError: "InputException", StretchError: "InputException", AppRefusalError: "TokenException"}
        if type(error) in kinds:
            error = KiteError(kinds[type(error)], str(error))
        return error.answer() if isinstance(error, KiteError) else None

    def unserved(self, status: int, meter: Meter | None) -> KiteError:
        if status == 403:
            return KiteError("PermissionException", "The IP address of this call is not whitelisted for orders.")
        if meter is None:
            text = "Route not found" if status == 404 else "Method not allowed"
            return KiteError("GeneralException", text, status)
        daily = meter is DAILY_ORDERS
        text = "Maximum allowed orders per day exceeded." if daily else "Too many requests"
        return KiteError("NetworkException", text)

    def error_answer(self, status: int, call: HttpCall) -> HttpAnswer:
        """Answer a failure of the broker's own: 502 and 504 are its order system's, the rest its API's."""
        kind, text = {
            403: ("TokenException", "Incorrect `api_key` or `access_token`."),
            429: ("NetworkException", "Too many requests"),
            502: ("DataException", "Couldn't parse the response of the order management system."),
            503: ("NetworkException", "Couldn't connect to the order management system."),
            504: ("DataException", "The order management system did not answer in time."),
        }.get(status, ("GeneralException", "Something unexpected went wrong."))
        return KiteError(kind, text, status).answer()

    def _table(self) -> Sequence[Route[Rule]]:
        order, variety = r"(?P<order_id>[\w-]{1,40})", r"(?P<variety>[\w-]{1,20})"
        more, held, session = self.more, self.portfolio, self.session
        trigger, alert = r"/gtt/triggers/(?P<number>\d{1,12})", r"/alerts/(?P<uuid>[\w-]{1,40})"
        rows: tuple[tuple[str, str, Handler, Rule], ...] = (
            ("GET", "/connect/login", session.login_page, PAGE),
            ("POST", "/session/token", session.exchange, OPEN),
            ("DELETE", "/session/token", session.logout, OPEN),
            ("POST", "/session/refresh_token", session.no_refresh, OPEN),
            ("GET", r"/user/profile(?P<full>/full)?", session.profile, ANY),
            ("GET", r"/user/margins(?:/(?P<segment>\w+))?", held.margins, ANY),
            ("GET", "/orders", self._orders, ANY),
            ("GET", f"/orders/{order}", self._history, ANY),
            ("GET", f"/orders/{order}/trades", self._trades, ANY),
            ("POST", f"/orders/{variety}", self.orders.place, ORDERS),
            ("PUT", f"/orders/{variety}/{order}", self.orders.modify, ORDERS),
            ("DELETE", f"/orders/{variety}/{order}", self.orders.cancel, ORDERS),
            ("GET", "/trades", self._trades, ANY),
            ("GET", "/portfolio/positions", held.positions, ANY),
            ("PUT", "/portfolio/positions", held.convert, ANY),
            ("GET", "/portfolio/holdings", held.holdings, ANY),
            ("GET", "/portfolio/holdings/summary", held.summary, ANY),
            ("GET", "/portfolio/holdings/compact", held.compact, ANY),
            ("GET", "/portfolio/holdings/auctions", held.auctions, ANY),
            ("POST", "/portfolio/holdings/authorise", held.authorise, ANY),
            ("GET", r"/instruments(?:/(?P<exchange>[A-Z]+))?", self._instruments, ANY),
            ("GET", r"/instruments/historical/(?P<token>\d{1,10})/(?P<interval>\w+)", more.candles, CANDLES),
            ("GET", r"/instruments/trigger_range/(?P<side>buy|sell)", more.trigger_range, ANY),
            ("POST", "/margins/orders", more.margins, ANY),
            ("POST", "/margins/basket", more.basket, ANY),
            ("POST", "/charges/orders", more.charges, ANY),
            ("GET", "/gtt/triggers", self.gtts.every, ANY),
            ("POST", "/gtt/triggers", self.gtts.one, GTTS),
            ("GET", trigger, self.gtts.one, ANY),
            ("PUT", trigger, self.gtts.one, GTTS),
            ("DELETE", trigger, self.gtts.one, GTTS),
            ("GET", "/alerts", self.alerts.every, ANY),
            ("POST", "/alerts", self.alerts.one, ANY),
            ("DELETE", "/alerts", self.alerts.delete, ANY),
            ("GET", alert, self.alerts.one, ANY),
            ("PUT", alert, self.alerts.one, ANY),
            ("GET", f"{alert}/history", self.alerts.history, ANY),
            ("GET", r"/quote(?:/(?P<mode>ohlc|ltp))?", self._quotes, QUOTES),
            *((method, r"/mf(?:/.*)?", _not_permitted, ANY) for method in ("GET", "POST", "PUT", "DELETE")),
        )
        return [Route(*row) for row in rows]

    def _orders(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        book = self.venue.orders(self.account)
        return success([self._row(state, STATUS.now(state)) for state in book])

    def _row(self, state: OrderState, status: str) -> dict[str, Any]:
        return order_row(state, status, self.names.by_id[state.order.instrument_id], self.account)

    def _history(self, call: HttpCall, now_ns: int, order_id: str) -> HttpAnswer:
        self.orders.known(order_id)
        states = self.venue.history(self.account, order_id)
        return success([self._row(state, status) for state, status in STATUS.history(states)])

    def _trades(self, call: HttpCall, now_ns: int, order_id: str | None = None) -> HttpAnswer:
        if order_id is not None:
            self.orders.known(order_id)
        ordered = {state.order_id: state.ts_created for state in self.venue.orders(self.account)}
        return success(
            [
                trade_row(fill, self.names.by_id[fill.instrument_id], ordered[fill.order_id])
                for fill in self.venue.fills(self.account, order_id)
            ]
        )

    def _instruments(self, call: HttpCall, now_ns: int, exchange: str | None = None) -> HttpAnswer:
        if exchange is not None and exchange not in SEGMENT_CODE:
            raise KiteError("InputException", "Invalid `exchange`.")
        return HttpAnswer(200, (("Content-Type", "text/csv"),), self.names.csv(exchange))

    def _quotes(self, call: HttpCall, now_ns: int, mode: str | None = None) -> HttpAnswer:
        mode = mode or "quote"
        found = self.names.asked(call, "i", QUOTE_CAPS[mode])
        return success(
            {key: quote_row(self.venue.market(named.instrument_id), named, mode) for key, named in found.items()}
        )

    # --- the ticker and the postbacks -------------------------------------------------------------------------------

    def open_socket(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        return self.ticker.open(call, socket, now_ns)

    def on_message(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        return self.ticker.hear(socket, data)

    def on_close(self, socket: int) -> None:
        self.ticker.sockets.close(socket)

    def frames(self, now_ns: int) -> Sequence[Push]:
        return self.ticker.poll(now_ns)

    def posts(self) -> Sequence[Post]:
        return self.postbacks.take()

    def _postback(self, before: OrderState | None, after: OrderState) -> Iterator[bytes]:
        """Write what the app's own URL is told: ends of orders, and what changed of open ones."""
        for status in STATUS.between(before, after):
            word = update_word(status, after)
            if word in POSTED:
                row = self._row(after, word)
                told = f"{row['order_id']}{row['order_timestamp']}{self.credentials['api_secret']}"
                added = {
                    "user_id": self.account,
                    "app_id": 1234,
                    "unfilled_quantity": row["quantity"] - row["filled_quantity"],
                    "checksum": hashlib.sha256(told.encode()).hexdigest(),
                }
                yield json.dumps(row | added).encode()


def make(
    seed: int, now_ns: int, *, tick_rate: float = 5.0, redirect_port: int = 5010, **options: Any
) -> ZerodhaEmulator:
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
        Loopback port of the registered redirect URL.
    options
        Further parameters of `ZerodhaEmulator`; ``accounts`` opens those instead of one funded account with shares.
    """
    options.setdefault("redirect_url", f"http://127.0.0.1:{redirect_port}/")
    venue = default_venue(seed, now_ns, options.get("user_id", USER_ID), options.pop("accounts", None))
    return ZerodhaEmulator(venue, seed=seed, tick_rate=tick_rate, **options)


def _not_permitted(call: HttpCall, now_ns: int) -> HttpAnswer:
    raise KiteError("PermissionException", "Insufficient permission for that call.")
