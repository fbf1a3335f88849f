"""The broker's side of Kite Connect 3 over a simulated exchange: what `dragoman emulate zerodha` serves.

One app of one user. Read in this order: `emulator_session` (login, tokens, limits), `emulator_orders` (what is taken
and refused), `emulator_more` (the rest of the API), `emulator_words` (bodies), `emulator_ticks` (the socket),
`emulator_names` (tokens, symbols, lots).

Alerts and mutual funds are answered as the real broker answers an app without the permission.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator.contract import Emulator, HttpAnswer, HttpCall, Push, Roots
from dragoman.emulator.counting import DAY, MINUTE, CalendarCounter, Meter
from dragoman.emulator.forms import FieldError, Form
from dragoman.emulator.history import StretchError
from dragoman.emulator.routes import Gate, Handler, Route
from dragoman.emulator.venue import Venue, default_universe
from dragoman.emulator.venue.types import VenueProtocol
from dragoman.plugin import model

from .emulator_more import MoreDesk
from .emulator_names import SEGMENT_CODE, NameTable
from .emulator_orders import OrderDesk
from .emulator_session import IST_OFFSET, SessionDesk
from .emulator_ticks import Ticker
from .emulator_words import (
    KiteError,
    funds_row,
    order_row,
    position_row,
    quote_row,
    spell,
    status_word,
    success,
    trade_row,
)

API_KEY: Final = "emu_api_key"
API_SECRET: Final = "emu_api_secret"  # noqa: S105 (the emulator's own, marked as such)
USER_ID: Final = "emu_ZZ0001"
REDIRECT_URL: Final = "http://127.0.0.1:5010/"
FUNDS: Final = {
    model.Segment.EQUITY: Decimal(2_000_000),
    model.Segment.COMMODITY: Decimal(1_000_000),
}
QUOTE_CAPS: Final = {"quote": 500, "ohlc": 1000, "ltp": 1000}
SEGMENTS: Final = {"equity": model.Segment.EQUITY, "commodity": model.Segment.COMMODITY}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a call must pass before it is answered; the broker's limits count on the calendar second of its clock."""

    meters: tuple[Meter, ...] = (Meter("others", 10),)
    token: bool = True


DAILY_ORDERS: Final = Meter("orders a day", 5000, DAY)
ANY: Final = Rule()
OPEN: Final = Rule(token=False)
PAGE: Final = Rule((), token=False)
QUOTES: Final = Rule((Meter("quote", 1),))
CANDLES: Final = Rule((Meter("historical", 3),))
GTTS: Final = Rule((Meter("others", 10), Meter("triggers", 10)))
"""Reading and placing triggers; from the registered address only (unverified)."""
ORDERS: Final = Rule((Meter("orders", 10), Meter("orders a minute", 400, MINUTE), DAILY_ORDERS))


class ZerodhaEmulator(Emulator):
    """Kite Connect 3: REST, login page and ticker.

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
        start_ns: int | None = None,
        api_key: str = API_KEY,
        api_secret: str = API_SECRET,
        user_id: str = USER_ID,
        redirect_url: str = REDIRECT_URL,
        accounts: Mapping[str, Mapping[model.Segment, Decimal]] | None = None,
        allowed_ips: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(venue, seed=seed)
        for account, funds in (accounts or {}).items():
            venue.open_account(account, dict(funds))
        if start_ns is not None:
            venue.advance(start_ns)
        self.credentials = {
            "api_key": api_key,
            "api_secret": api_secret,
            "user_id": user_id,
            "redirect_url": redirect_url,
        }
        self._account = user_id
        self._allowed_ips = allowed_ips
        self.names = NameTable(venue.listings())
        self.session = SessionDesk(
            seed=seed, api_key=api_key, api_secret=api_secret, user_id=user_id, redirect_url=redirect_url
        )
        self.orders = OrderDesk(venue, self.names, user_id)
        self.more = MoreDesk(venue, self.names, user_id, seed)
        self.ticker = Ticker(venue, self.names, self.session, user_id, tick_rate)
        self._gate = Gate(self._table(), CalendarCounter(IST_OFFSET), _unserved)

    def roots(self, base_http: str, base_ws: str) -> Roots:
        login = f"{base_http}/connect/login?v=3&api_key={self.session.api_key}"
        return Roots(base_http, base_ws, login)

    # --- HTTP -------------------------------------------------------------------------------------------------------

    def handle(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        self.venue.advance(now_ns)
        try:
            self.orders.chains.poll(now_ns)
            self.more.gtts.poll(now_ns)
            return self._answer(call, now_ns)
        except KiteError as error:
            return error.answer()
        except (FieldError, StretchError) as error:
            return KiteError("InputException", str(error)).answer()

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

    def _answer(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        route, groups = self._gate.admit(call, now_ns)
        if route.rule.token:
            self.session.check_header(call, now_ns)
        if route.rule in (ORDERS, GTTS) and self._allowed_ips is not None and call.peer not in self._allowed_ips:
            raise KiteError("PermissionException", f"IP {call.peer} is not whitelisted for orders.")
        return route.handler(call, now_ns, **groups)

    def _table(self) -> Sequence[Route[Rule]]:
        order, variety = r"(?P<order_id>[\w-]{1,40})", r"(?P<variety>[\w-]{1,20})"
        more, trigger = self.more, r"/gtt/triggers/(?P<number>\d{1,12})"
        rows: tuple[tuple[str, str, Handler, Rule], ...] = (
            ("GET", "/connect/login", self.session.login_page, PAGE),
            ("POST", "/session/token", lambda call, now: self.session.exchange(Form.of(call), now), OPEN),
            ("DELETE", "/session/token", lambda call, now: self.session.logout(dict(call.query), now), OPEN),
            ("POST", "/session/refresh_token", self._no_refresh, OPEN),
            ("GET", "/user/profile", lambda call, now: self.session.profile(), ANY),
            ("GET", "/user/margins", self._margins, ANY),
            ("GET", r"/user/margins/(?P<segment>\w+)", self._margins, ANY),
            ("GET", "/orders", self._orders, ANY),
            ("GET", f"/orders/{order}", self._history, ANY),
            ("GET", f"/orders/{order}/trades", self._trades, ANY),
            ("POST", f"/orders/{variety}", self._place, ORDERS),
            ("PUT", f"/orders/{variety}/{order}", self._modify, ORDERS),
            ("DELETE", f"/orders/{variety}/{order}", self._cancel, ORDERS),
            ("GET", "/trades", self._trades, ANY),
            ("GET", "/portfolio/positions", self._positions, ANY),
            ("PUT", "/portfolio/positions", more.convert, ANY),
            ("GET", "/portfolio/holdings", more.holdings, ANY),
            ("GET", "/portfolio/holdings/compact", more.compact, ANY),
            ("GET", "/portfolio/holdings/auctions", more.auctions, ANY),
            ("POST", "/portfolio/holdings/authorise", more.authorise, ANY),
            ("GET", r"/instruments(?:/(?P<exchange>[A-Z]+))?", self._instruments, ANY),
            ("GET", r"/instruments/historical/(?P<token>\d{1,10})/(?P<interval>\w+)", more.candles, CANDLES),
            ("GET", r"/instruments/trigger_range/(?P<side>buy|sell)", more.trigger_range, ANY),
            ("POST", "/margins/orders", more.margins, ANY),
            ("POST", "/margins/basket", more.basket, ANY),
            ("POST", "/charges/orders", more.charges, ANY),
            ("GET", "/gtt/triggers", more.gtt_list, ANY),
            ("POST", "/gtt/triggers", more.gtt, GTTS),
            ("GET", trigger, more.gtt, ANY),
            ("PUT", trigger, more.gtt, GTTS),
            ("DELETE", trigger, more.gtt, GTTS),
            ("GET", r"/quote(?:/(?P<mode>ohlc|ltp))?", self._quotes, QUOTES),
            *((method, r"/(?:alerts|mf)(?:/.*)?", _not_permitted, ANY) for method in ("GET", "POST", "PUT", "DELETE")),
        )
        return [Route(*row) for row in rows]

    def _no_refresh(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        raise KiteError("TokenException", "Invalid `refresh_token`. Refresh tokens are not issued to this app.")

    def _margins(self, call: HttpCall, now_ns: int, segment: str | None = None) -> HttpAnswer:
        funds = self.venue.funds(self._account)
        rows = {word: funds_row(funds[one]) for word, one in SEGMENTS.items() if one in funds}
        if segment is None:
            return success(rows)
        if segment not in rows:
            raise KiteError("InputException", f"Invalid `segment`. It should be one of {', '.join(rows)}.")
        return success(rows[segment])

    def _place(self, call: HttpCall, now_ns: int, variety: str) -> HttpAnswer:
        return success(self.orders.place(variety, Form.of(call), now_ns))

    def _modify(self, call: HttpCall, now_ns: int, variety: str, order_id: str) -> HttpAnswer:
        return success({"order_id": self.orders.modify(variety, order_id, Form.of(call), now_ns)})

    def _cancel(self, call: HttpCall, now_ns: int, variety: str, order_id: str) -> HttpAnswer:
        return success({"order_id": self.orders.cancel(variety, order_id, now_ns)})

    def _orders(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        by_id = self.names.by_id
        return success(
            [
                order_row(state, status_word(state), by_id[state.order.instrument_id], self._account)
                for state in self.venue.orders(self._account)
            ]
        )

    def _history(self, call: HttpCall, now_ns: int, order_id: str) -> HttpAnswer:
        if self.venue.order(self._account, order_id) is None:
            raise KiteError("InputException", "Couldn't find that `order_id`.")
        states = self.venue.history(self._account, order_id)
        named = self.names.by_id[states[0].order.instrument_id]
        return success(
            [
                order_row(after, status, named, self._account)
                for before, after in zip((None, *states), states, strict=False)
                for status in spell(before, after)
            ]
        )

    def _trades(self, call: HttpCall, now_ns: int, order_id: str | None = None) -> HttpAnswer:
        if order_id is not None and self.venue.order(self._account, order_id) is None:
            raise KiteError("InputException", "Couldn't find that `order_id`.")
        ordered = {state.order_id: state.ts_created for state in self.venue.orders(self._account)}
        return success(
            [
                trade_row(fill, self.names.by_id[fill.instrument_id], ordered[fill.order_id])
                for fill in self.venue.fills(self._account, order_id)
            ]
        )

    def _positions(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        held = [
            (one, self.venue.market(one.instrument_id), self.names.by_id[one.instrument_id])
            for one in self.venue.positions(self._account)
        ]
        return success(
            {
                "net": [position_row(*one, net=True) for one in held],
                "day": [
                    position_row(*one, net=False) for one in held if one[0].day_buy_quantity or one[0].day_sell_quantity
                ],
            }
        )

    def _instruments(self, call: HttpCall, now_ns: int, exchange: str | None = None) -> HttpAnswer:
        if exchange is not None and exchange not in SEGMENT_CODE:
            raise KiteError("InputException", "Invalid `exchange`.")
        return HttpAnswer(200, (("Content-Type", "text/csv"),), self.names.csv(exchange))

    def _quotes(self, call: HttpCall, now_ns: int, mode: str | None = None) -> HttpAnswer:
        mode = mode or "quote"
        keys = [value for name, value in call.query if name == "i"]
        if not keys:
            raise KiteError("InputException", "Missing or empty field `i`")
        if len(keys) > QUOTE_CAPS[mode]:
            raise KiteError("InputException", f"Only {QUOTE_CAPS[mode]} instruments can be asked for at once.")
        found = {key: named for key in keys if (named := self.names.find(key))}
        return success(
            {key: quote_row(self.venue.market(named.instrument_id), named, mode) for key, named in found.items()}
        )

    # --- the ticker -------------------------------------------------------------------------------------------------

    def open_socket(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        return self.ticker.open(call, socket, now_ns)

    def on_message(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        return self.ticker.hear(socket, data)

    def on_close(self, socket: int) -> None:
        self.ticker.close(socket)

    def poll(self, now_ns: int) -> Sequence[Push]:
        self.venue.advance(now_ns)
        self.orders.chains.poll(now_ns)
        self.more.gtts.poll(now_ns)
        self.ticker.drop_dead(now_ns)
        return self.ticker.poll(now_ns)

    # --- for judges, demos and faults -------------------------------------------------------------------------------

    def expire_tokens(self) -> None:
        self.session.tokens.end()

    def ledger(self) -> Mapping[str, Any]:
        return self.venue.ledger(self._account)


def make(
    seed: int, now_ns: int, *, tick_rate: float = 5.0, redirect_port: int = 5010, **options: Any
) -> ZerodhaEmulator:
    """Make the emulator on a fresh venue with the default universe and one funded account that holds some shares.

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
        Further parameters of `ZerodhaEmulator`.
    """
    venue = Venue(seed, now_ns)
    for listing in default_universe(now_ns, seed=seed):
        venue.list(listing)
    options.setdefault("redirect_url", f"http://127.0.0.1:{redirect_port}/")
    accounts = options.pop("accounts", None)
    funds = accounts or {options.get("user_id", USER_ID): FUNDS}
    emulator = ZerodhaEmulator(venue, seed=seed, tick_rate=tick_rate, accounts=funds, **options)
    if accounts is None:  # of 100 shares 10 are not delivered yet and 30 pledged
        held = {"t1_quantity": Decimal(10), "pledged_quantity": Decimal(30)}
        venue.set_holding(emulator.credentials["user_id"], "NSE:SBIN", Decimal(100), Decimal(800), **held)
    return emulator


def _unserved(status: int, meter: Meter | None) -> KiteError:
    if meter is None:
        return KiteError("GeneralException", "Route not found" if status == 404 else "Method not allowed", status)
    daily = meter is DAILY_ORDERS
    return KiteError("NetworkException", "Maximum allowed orders per day exceeded." if daily else "Too many requests")


def _not_permitted(call: HttpCall, now_ns: int) -> HttpAnswer:
    raise KiteError("PermissionException", "Insufficient permission for that call.")
