"""The broker's side of Kite Connect 3 over a simulated exchange: what `dragoman emulate zerodha` serves.

One app of one user. This module holds login, tokens, limits and routes; read on in `emulator_orders` (what is taken
and refused), `emulator_triggers` and `emulator_more` (the rest of the API), `emulator_words`
(bodies), `emulator_ticks` (the socket), `emulator_names` (tokens, symbols, lots).

Mutual funds are answered as the real broker answers an app without the permission.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

from dragoman.emulator.parts import (
    DAY,
    FUNDS,
    MINUTE,
    SECOND,
    AppEmulator,
    AppSession,
    Form,
    Handler,
    HttpAnswer,
    HttpCall,
    LoginPage,
    Meter,
    OrderState,
    Postbacks,
    Roots,
    Route,
    Rule,
    VenueProtocol,
    ist,
    listing,
    refusing,
    succeeded,
    telling,
)

from .emulator_more import SUMMARY, AccountDesk
from .emulator_names import SEGMENT_CODE, NameTable
from .emulator_orders import KiteOrders
from .emulator_ticks import Ticker
from .emulator_triggers import GttDesk, KiteAlerts
from .emulator_words import COMPACT, HOLDING, TRADE, KiteError, order_row, quote_row, update_row

__all__ = ["API_KEY", "API_SECRET", "FUNDS", "REDIRECT_URL", "USER_ID", "ZerodhaEmulator", "make"]

API_KEY: Final = "emu_api_key"
API_SECRET: Final = "emu_api_secret"  # noqa: S105 (the emulator's own, marked as such)
USER_ID: Final = "emu_ZZ0001"
REDIRECT_URL: Final = "http://127.0.0.1:5010/"
_PROFILE: Final = {
    "user_type": "individual",
    "email": "emulator@example.com",
    "user_name": "Emulated User",
    "user_shortname": "Emulated",
    "broker": "ZERODHA",
    "exchanges": ["NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX"],
    "products": ["CNC", "NRML", "MIS", "MTF"],
    "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
    "avatar_url": None,
    "meta": {"demat_consent": "consent"},
}
_FULL: Final = {
    "twofa_type": "totp",
    "phone": "*0000",
    "bank_accounts": [{"name": "EMULATED BANK", "branch": "", "account": "*0000"}],
    "dp_ids": ["0000000000000000"],
    "pan": "*XXXX",
    "tags": [],
    "password_timestamp": "1970-01-01 00:00:00",
    "twofa_timestamp": "1970-01-01 00:00:00",
    "meta": {"poa": "", "silo": "", "account_blocks": []},
}
QUOTE_CAPS: Final = {"quote": 500, "ohlc": 1000, "ltp": 1000}
POSTED: Final = ("COMPLETE", "CANCELLED", "REJECTED", "UPDATE")

ANY: Final = Rule((Meter("others", 10),))
OPEN: Final = Rule((Meter("others", 10),), token=False)
PAGE: Final = Rule(token=False)
QUOTES: Final = Rule((Meter("quote", 1),))
CANDLES: Final = Rule((Meter("historical", 3),))
GTTS: Final = Rule((Meter("others", 10), Meter("triggers", 10)), registered=True)
"""Reading and placing triggers; from the registered address only (unverified)."""
ORDERS: Final = Rule(
    (Meter("orders", 10), Meter("orders a minute", 400, MINUTE), Meter("orders a day", 5000, DAY)), registered=True
)
_NO_REFRESH: Final = "Invalid `refresh_token`. Refresh tokens are not issued to this app."


class SessionDesk(AppSession):
    """Login, logout and the user's profile."""

    errors: ClassVar = KiteError
    options: ClassVar = {
        "api_key": API_KEY,
        "api_secret": API_SECRET,
        "user_id": USER_ID,
        "redirect_url": REDIRECT_URL,
    }
    dies_at_ns: ClassVar = 6 * 3600 * SECOND  # 06:00 Indian time
    code_life_ns: ClassVar = 300 * SECOND  # "a few minutes"
    header: ClassVar = re.compile("token (?P<key>[^:]*):(?P<token>.*)")
    stranger: ClassVar = ("TokenException", "Incorrect `api_key` or `access_token`.")
    page: ClassVar = LoginPage(
        (({"v": "3", "api_key": ".api_key"}, ("InputException", "Invalid `api_key`.")),),
        "request_token",
        (("action", "login"), ("type", "login"), ("status", "success")),
    )

    def echoed(self, query: Mapping[str, str]) -> list[tuple[str, str]]:
        return parse_qsl(query.get("redirect_params", ""), keep_blank_values=True)

    def exchange(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Give an access token for a request token; the one before it dies."""
        key, request_token, checksum = (Form.of(call).text(name) for name in ("api_key", "request_token", "checksum"))
        expected = hashlib.sha256(f"{self.api_key}{request_token}{self.secret}".encode()).hexdigest()
        told: dict[str, Any] = {
            "user_id": self.user_id,
            "api_key": self.api_key,
            "access_token": self.redeem(key, request_token, checksum, expected, now_ns),
            "public_token": self.tokens.mint("public", now_ns),
            "enctoken": self.tokens.mint("enc", now_ns),
            "refresh_token": "",
            "silo": "",
            "login_time": ist(now_ns),
        }
        return succeeded(_PROFILE | told)

    def logout(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        query = Form.query(call)
        alive = self.admits(query.get("api_key"), query.get("access_token"), now_ns)
        KiteError.when(not alive, "TokenException", "Invalid `api_key` or `access_token`.")
        self.tokens.end()
        return succeeded(True)

    def profile(self, call: HttpCall, now_ns: int, full: str | None = None) -> HttpAnswer:
        return succeeded({"user_id": self.user_id, **_PROFILE, **(_FULL if full else {})})


class ZerodhaEmulator(AppEmulator):
    """Kite Connect 3: REST, login page, ticker and postbacks; set up as `AppEmulator` says.

    Parameters
    ----------
    postback_url : str
        Where the app is registered to be told of its orders: ``http`` on loopback; empty, it is told nothing.
    """

    name: ClassVar[str] = "zerodha"
    errors: ClassVar = KiteError
    session_type: ClassVar = SessionDesk

    def __init__(self, venue: VenueProtocol, *, postback_url: str = "", seed: int = 1, **options: Any) -> None:
        super().__init__(venue, seed=seed, **options)
        self.names, user = NameTable(venue.listings()), self.account
        self.orders = KiteOrders(venue, self.names, user)
        self.held = AccountDesk(venue, self.names, user, seed)
        self.gtts = GttDesk(venue, self.names, user)
        self.alerts = KiteAlerts(venue, self.names, user, seed)
        self.ticker = self.streams = Ticker(venue, self.names, self.session, self.pace_ns)
        self.postbacks = Postbacks(venue, user, postback_url, self._postback)
        self.serve(self._table(), (self.orders.chains.poll, self.gtts.book.poll, self.alerts.book.poll))

    def roots(self, base_http: str, base_ws: str) -> Roots:
        return Roots(base_http, base_ws, f"{base_http}/connect/login?v=3&api_key={self.session.api_key}")

    def _table(self) -> Sequence[Route[Rule]]:
        order, variety = r"(?P<order_id>[\w-]{1,40})", r"(?P<variety>[\w-]{1,20})"
        orders, held, session, alerts = self.orders, self.held, self.session, self.alerts
        trigger, alert = r"/gtt/triggers/(?P<number>\d{1,12})", r"/alerts/(?P<uuid>[\w-]{1,40})"
        no_refresh = refusing(KiteError, "TokenException", _NO_REFRESH)
        no_funds = refusing(KiteError, "PermissionException", "Insufficient permission for that call.")
        rows: tuple[tuple[str, str, Handler, Rule], ...] = (
            ("GET", "/connect/login", session.login_page, PAGE),
            ("POST", "/session/token", session.exchange, OPEN),
            ("DELETE", "/session/token", session.logout, OPEN),
            ("POST", "/session/refresh_token", no_refresh, OPEN),
            ("GET", r"/user/profile(?P<full>/full)?", session.profile, ANY),
            ("GET", r"/user/margins(?:/(?P<segment>\w+))?", held.money, ANY),
            ("GET", "/orders", listing(succeeded, order_row, orders.orders), ANY),
            ("GET", f"/orders/{order}", listing(succeeded, order_row, orders.life), ANY),
            ("GET", f"/orders/{order}/trades", listing(succeeded, TRADE, orders.trades), ANY),
            ("POST", f"/orders/{variety}", orders.place, ORDERS),
            ("PUT", f"/orders/{variety}/{order}", orders.modify, ORDERS),
            ("DELETE", f"/orders/{variety}/{order}", orders.cancel, ORDERS),
            ("GET", "/trades", listing(succeeded, TRADE, orders.trades), ANY),
            ("GET", "/portfolio/positions", held.all, ANY),
            ("PUT", "/portfolio/positions", held.convert, ANY),
            ("GET", "/portfolio/holdings", listing(succeeded, HOLDING, held.holdings), ANY),
            ("GET", "/portfolio/holdings/summary", telling(succeeded, held.worth, SUMMARY), ANY),
            ("GET", "/portfolio/holdings/compact", listing(succeeded, COMPACT, held.holdings), ANY),
            ("GET", "/portfolio/holdings/auctions", held.auctions, ANY),
            ("POST", "/portfolio/holdings/authorise", held.authorise, ANY),
            ("GET", r"/instruments(?:/(?P<exchange>[A-Z]+))?", self._instruments, ANY),
            ("GET", r"/instruments/historical/(?P<token>\d{1,10})/(?P<interval>\w+)", held.history, CANDLES),
            ("GET", r"/instruments/trigger_range/(?P<side>buy|sell)", held.trigger_range, ANY),
            ("POST", "/margins/orders", held.margins, ANY),
            ("POST", "/margins/basket", held.basket, ANY),
            ("POST", "/charges/orders", held.charges, ANY),
            ("GET", "/gtt/triggers", self.gtts.every, ANY),
            ("POST", "/gtt/triggers", self.gtts.one, GTTS),
            ("GET", trigger, self.gtts.one, ANY),
            ("PUT", trigger, self.gtts.one, GTTS),
            ("DELETE", trigger, self.gtts.one, GTTS),
            ("GET", "/alerts", listing(succeeded, alerts.row, alerts.book.kept), ANY),
            ("POST", "/alerts", alerts.one, ANY),
            ("DELETE", "/alerts", alerts.delete, ANY),
            ("GET", alert, alerts.one, ANY),
            ("PUT", alert, alerts.one, ANY),
            ("GET", f"{alert}/history", alerts.history, ANY),
            ("GET", r"/quote(?:/(?P<mode>ohlc|ltp))?", self._quotes, QUOTES),
            *((method, r"/mf(?:/.*)?", no_funds, ANY) for method in ("GET", "POST", "PUT", "DELETE")),
        )
        return [Route(*row) for row in rows]

    def _instruments(self, call: HttpCall, now_ns: int, exchange: str | None = None) -> HttpAnswer:
        KiteError.when(exchange not in (None, *SEGMENT_CODE), "InputException", "Invalid `exchange`.")
        return HttpAnswer(200, (("Content-Type", "text/csv"),), self.names.csv(exchange))

    def _quotes(self, call: HttpCall, now_ns: int, mode: str | None = None) -> HttpAnswer:
        found = self.names.asked(call, "i", QUOTE_CAPS[mode or "quote"])
        return succeeded({key: quote_row(self.orders.quote(named), mode or "quote") for key, named in found.items()})

    # --- the postbacks ----------------------------------------------------------------------------------------------

    def _postback(self, before: OrderState | None, after: OrderState) -> Iterator[bytes]:
        """Write what the app's own URL is told: ends of orders, and what changed of open ones."""
        for one in self.orders.between(before, after):
            row = update_row(one)
            told = f"{row['order_id']}{row['order_timestamp']}{self.session.secret}"
            added = {
                "user_id": self.account,
                "app_id": 1234,
                "unfilled_quantity": row["quantity"] - row["filled_quantity"],
                "checksum": hashlib.sha256(told.encode()).hexdigest(),
            }
            if row["status"] in POSTED:
                yield json.dumps(row | added).encode()


make = ZerodhaEmulator.make
