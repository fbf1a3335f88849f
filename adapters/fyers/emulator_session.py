"""Who may talk: login, tokens that carry the market feed's key, and when they die."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Final

from dragoman.emulator.parts import MINUTE, SECOND, App, AppRefusalError, HttpAnswer, HttpCall, Tokens, json_body
from dragoman.plugin.jwt_claims import jwt_claims

from .emulator_words import FyersError, success

IST_OFFSET: Final = 19_800 * SECOND
_TOKENS_DIE_AT: Final = 3 * 3600 * SECOND  # 03:00 Indian time (unverified)
CODE_LIFE: Final = 10 * MINUTE  # of a login's code (unverified)


class WebTokens(Tokens):
    """Access tokens as JSON web tokens that nobody signed: their expiry and the market feed's key in them."""

    def mint(self, kind: str, now_ns: int) -> str:
        plain = super().mint(kind, now_ns)
        if kind != "access":
            return plain
        key = hashlib.sha256(plain.encode()).hexdigest()
        claims = {"exp": self.expiry(now_ns) // SECOND, "hsm_key": key, "iss": "emulator"}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"{plain}.{body}.unsigned"


def tokens_of(seed: int) -> Tokens:
    return WebTokens(seed, offset_ns=IST_OFFSET, dies_at_ns=_TOKENS_DIE_AT, request_life_ns=CODE_LIFE)


class SessionDesk(App):
    """Login, logout, profile."""

    def login_page(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Send the browser to the registered URL, as the page does once the user has logged in."""
        query = dict(call.query)
        if query.get("client_id") != self.api_key or query.get("redirect_uri") != self.redirect_url:
            raise FyersError("-50", "client_id or redirect_uri mismatch")
        state = query.get("state")
        told = [("s", "ok"), ("code", "200"), *([("state", state)] if state else [])]
        return self.send_back("auth_code", told, now_ns)

    def exchange(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = json_body(call)
        form.choice("grant_type", ("authorization_code",))
        expected = hashlib.sha256(f"{self.api_key}:{self.secret}".encode()).hexdigest()
        try:
            token = self.redeem(self.api_key, form.text("code"), form.text("appIdHash"), expected, now_ns)
        except AppRefusalError as refusal:
            raise FyersError("-16", "invalid auth code or app id hash", 401) from refusal
        return success(access_token=token, refresh_token=self.tokens.mint("refresh", now_ns))

    def no_refresh(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        raise FyersError("-16", "refresh tokens are discontinued")

    def logout(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        self.tokens.end()
        return success(message="you are successfully logged out")

    def profile(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        data = {
            "fy_id": self.user_id,
            "name": "Emulated User",
            "display_name": "Emulated",
            "email_id": "emulator@example.com",
            "PAN": "*XXXX",
            "totp": True,
            "mtf_enabled": True,
            "ddpi_enabled": True,
        }
        return success(data=data)

    def check_header(self, call: HttpCall, now_ns: int) -> None:
        """Check ``app_id:token``; the lookup of symbols takes the bare token."""
        app, _, token = call.headers.get("authorization", "").rpartition(":")
        bare = call.path.endswith("/symbol-token") and not app
        if not self.admits(self.api_key if bare else app, token, now_ns):
            raise FyersError("-16", "Could not authenticate the user")

    def opens_feed(self, key: str, now_ns: int) -> bool:
        token = self.tokens.access
        return self.tokens.valid(token, now_ns) and bool(key) and jwt_claims(token).get("hsm_key") == key
