"""Who may talk: login, tokens and when they die, registered addresses, and URLs of streams that work once."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from dragoman.emulator.parts import (
    MINUTE,
    SECOND,
    AppRefusalError,
    AppSession,
    Form,
    HttpAnswer,
    HttpCall,
    LoginPage,
    json_answer,
    succeeded,
)

from .emulator_words import UpstoxError

USER_ID: Final = "emu_4PAA01"
URL_LIFE: Final = MINUTE  # of a stream's URL (unverified)
MARKET, PORTFOLIO = "market", "portfolio"
PATHS: Final = {
    MARKET: "/market-data-feeder/v3/upstox-developer-api/feeds",
    PORTFOLIO: "/portfolio-stream-feeder/v1/upstox-developer-api/order-updates/feed",
}
DIRECT: Final = {"/v3/feed/market-data-feed": MARKET, "/v2/feed/portfolio-stream-feed": PORTFOLIO}
UPDATE_TYPES: Final = ("order", "position", "holding", "gtt_order")

_PROFILE: Final = {
    "email": "emulator@example.com",
    "exchanges": ["NSE", "NFO", "BSE", "BFO", "CDS", "BCD", "MCX"],
    "products": ["D", "I", "MTF"],
    "broker": "UPSTOX",
    "user_name": "Emulated User",
    "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
    "user_type": "individual",
    "poa": False,
    "is_active": True,
}


_ELSEWHERE: Final = ("UDAPI100070", "The redirect URI does not match the registered one.", 401)
_STRANGER: Final = (
    "UDAPI100068",
    "Check your 'client_id' and 'redirect_uri'; one or both are incorrect.",
    401,
)


class SessionDesk(AppSession):
    """Login, logout, profile, and the way to the streams."""

    errors: ClassVar = UpstoxError
    options: ClassVar = {
        "client_id": "emu_client",
        "client_secret": "emu_client_secret",  # the emulator's own, marked as such
        "user_id": USER_ID,
        "redirect_uri": "http://127.0.0.1:5010/",
    }
    dies_at_ns: ClassVar = (3 * 3600 + 1800) * SECOND  # 03:30 Indian time
    code_life_ns: ClassVar = 10 * MINUTE  # of a login's code (unverified)
    header: ClassVar = re.compile("Bearer (?P<token>.*)")
    stranger: ClassVar = ("UDAPI100050", "Invalid token used to access API")
    page: ClassVar = LoginPage(
        (
            ({"response_type": "code", "client_id": ".api_key"}, _STRANGER),
            ({"redirect_uri": ".redirect_url"}, _ELSEWHERE),
        ),
        "code",
    )
    base_ws = ""

    def exchange(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Give an access token for a code, which is used up whatever comes of it."""
        form = Form.of(call)
        code, client, secret = (form.text(name) for name in ("code", "client_id", "client_secret"))
        form.choice("grant_type", ("authorization_code",))
        UpstoxError.when(form.text("redirect_uri") != self.redirect_url, *_ELSEWHERE)
        try:
            token = self.redeem(client, code, secret, self.secret, now_ns)
        except AppRefusalError as refusal:
            self.tokens.remember(code, 0)
            raise UpstoxError("UDAPI100057", "Invalid Auth code", 401) from refusal
        extended = self.tokens.mint("extended", now_ns)
        told = {"user_id": self.user_id, "access_token": token, "extended_token": extended}
        return json_answer(_PROFILE | told)  # the only reply without an envelope

    def logout(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        self.tokens.end()
        return succeeded(True)

    def profile(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return succeeded(_PROFILE | {"user_id": self.user_id})

    # -- streams -----------------------------------------------------------------------------------------------------

    def authorise(self, call: HttpCall, now_ns: int, stream: str) -> HttpAnswer:
        url = self.base_ws + self.single_use(stream, call, now_ns)
        return succeeded({"authorized_redirect_uri": url, "authorizedRedirectUri": url})

    def single_use(self, stream: str, call: HttpCall, now_ns: int) -> str:
        """Return path and query of a URL that opens one socket, once."""
        code = self.tokens.mint("stream", now_ns)
        self.tokens.remember(code, now_ns + URL_LIFE)
        asked = dict(call.query).get("update_types", "order")
        types = "" if stream == MARKET else "&update_types=" + "%2C".join(updates_of(asked))
        return f"{PATHS[stream]}?requestId={now_ns}&code={code}{types}"

    def admit(self, call: HttpCall, now_ns: int) -> HttpAnswer | str:
        """Say which stream an upgrade opens, or answer it: at the documented address with a redirect."""
        if call.path in DIRECT:
            try:
                self.check_header(call, now_ns)
                where = self.single_use(DIRECT[call.path], call, now_ns)
            except UpstoxError as refusal:
                return refusal.answer()
            # Who came by the broker's name came through a tunnel that ends TLS, and must go on through it.
            host = call.headers.get("host", "")
            base = self.base_ws if host in self.base_ws else f"wss://{host}"
            return HttpAnswer(302, (("Location", base + where),))
        stream = next((name for name, path in PATHS.items() if path == call.path), None)
        if stream is None:
            return UpstoxError("UDAPI100060", "Resource not Found.").answer()
        code = dict(call.query).get("code", "")
        if not self.tokens.usable(code, now_ns):
            return HttpAnswer(403)
        self.tokens.remember(code, 0)
        return stream


def updates_of(text: str) -> list[str]:
    """Return the kinds of updates a query asks for."""
    found = text.split(",")
    known = set(found) <= set(UPDATE_TYPES)
    UpstoxError.when(not known, "UDAPI100036", "Invalid update_types", path="update_types", value=text)
    return found
