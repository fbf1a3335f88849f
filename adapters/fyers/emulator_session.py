"""Who may talk: login, tokens that carry the market feed's key, and when they die."""

from __future__ import annotations

import hashlib
import re
from typing import ClassVar, Final

from dragoman.emulator.parts import (
    MINUTE,
    SECOND,
    AppRefusalError,
    AppSession,
    HttpAnswer,
    HttpCall,
    LoginPage,
    WebTokens,
    json_body,
)
from dragoman.plugin.jwt_claims import jwt_claims

from .emulator_words import FyersError, success

USER_ID: Final = "emu_XP0001"
_PROFILE: Final = {
    "name": "Emulated User",
    "display_name": "Emulated",
    "email_id": "emulator@example.com",
    "PAN": "*XXXX",
    "totp": True,
    "mtf_enabled": True,
    "ddpi_enabled": True,
}


class FeedTokens(WebTokens):
    """Access tokens with the market feed's key in them."""

    def claims(self, plain: str) -> dict[str, object]:
        return {"hsm_key": hashlib.sha256(plain.encode()).hexdigest(), "iss": "emulator"}


class SessionDesk(AppSession):
    """Login, logout, profile."""

    errors: ClassVar = FyersError
    options: ClassVar = {
        "app_id": "emu_APP1-100",  # of the real length: the official client decodes it with the token behind it
        "app_secret": "emu_app_secret",  # the emulator's own, marked as such
        "user_id": USER_ID,
        "redirect_uri": "http://127.0.0.1:5010/",
    }
    dies_at_ns: ClassVar = 3 * 3600 * SECOND  # 03:00 Indian time (unverified)
    code_life_ns: ClassVar = 10 * MINUTE  # of a login's code (unverified)
    tokens_type: ClassVar = FeedTokens
    header: ClassVar = re.compile("(?P<key>.*):(?P<token>[^:]*)")
    stranger: ClassVar = ("-16", "Could not authenticate the user")
    page: ClassVar = LoginPage(
        (({"client_id": ".api_key", "redirect_uri": ".redirect_url"}, ("-50", "client_id or redirect_uri mismatch")),),
        "auth_code",
        (("s", "ok"), ("code", "200")),
    )

    def exchange(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = json_body(call)
        form.choice("grant_type", ("authorization_code",))
        expected = hashlib.sha256(f"{self.api_key}:{self.secret}".encode()).hexdigest()
        with FyersError.turning({AppRefusalError: ("-16", "invalid auth code or app id hash", 401)}):
            token = self.redeem(self.api_key, form.text("code"), form.text("appIdHash"), expected, now_ns)
        return success(access_token=token, refresh_token=self.tokens.mint("refresh", now_ns))

    def logout(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        self.tokens.end()
        return success(message="you are successfully logged out")

    def profile(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success(data=_PROFILE | {"fy_id": self.user_id})

    def check_header(self, call: HttpCall, now_ns: int) -> None:
        """Check ``app_id:token``; the lookup of symbols takes the bare token."""
        bare = call.path.endswith("/symbol-token") and call.headers.get("authorization")
        if not self.admits(self.api_key, bare or None, now_ns):
            super().check_header(call, now_ns)


def feed_token(session: AppSession, key: str, now_ns: int) -> str | None:
    """Return the live token that a key of the market feed is in, None where it is in none."""
    token = session.tokens.access
    return token if session.tokens.valid(token, now_ns) and key and jwt_claims(token).get("hsm_key") == key else None
