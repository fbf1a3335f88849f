"""Who may talk: login, tokens, and when they die."""

from __future__ import annotations

import hashlib
from typing import Final
from urllib.parse import parse_qsl

from dragoman.emulator.parts import SECOND, App, Form, HttpAnswer, HttpCall, Tokens

from .emulator_words import KiteError, ist, success

IST_OFFSET: Final = 19_800 * SECOND
_TOKENS_DIE_AT: Final = 6 * 3600 * SECOND  # 06:00 Indian time
REQUEST_TOKEN_LIFE: Final = 300 * SECOND  # "a few minutes"

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


def tokens_of(seed: int) -> Tokens:
    return Tokens(seed, offset_ns=IST_OFFSET, dies_at_ns=_TOKENS_DIE_AT, request_life_ns=REQUEST_TOKEN_LIFE)


class SessionDesk(App):
    """Login, logout and the user's profile."""

    def login_page(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Send the browser to the registered URL, as the page does once the user has logged in."""
        query = dict(call.query)
        if query.get("v") != "3" or query.get("api_key") != self.api_key:
            raise KiteError("InputException", "Invalid `api_key`.")
        echoed = parse_qsl(query.get("redirect_params", ""), keep_blank_values=True)
        told = [("action", "login"), ("type", "login"), ("status", "success"), *echoed]
        return self.send_back("request_token", told, now_ns)

    def exchange(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Give an access token for a request token; the one before it dies."""
        key, request_token, checksum = (Form.of(call).text(name) for name in ("api_key", "request_token", "checksum"))
        expected = hashlib.sha256(f"{self.api_key}{request_token}{self.secret}".encode()).hexdigest()
        token = self.redeem(key, request_token, checksum, expected, now_ns)
        return success(
            {
                **_PROFILE,
                "user_id": self.user_id,
                "api_key": self.api_key,
                "access_token": token,
                "public_token": self.tokens.mint("public", now_ns),
                "enctoken": self.tokens.mint("enc", now_ns),
                "refresh_token": "",
                "silo": "",
                "login_time": ist(now_ns),
            }
        )

    def no_refresh(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        raise KiteError("TokenException", "Invalid `refresh_token`. Refresh tokens are not issued to this app.")

    def logout(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        query = dict(call.query)
        if not self.admits(query.get("api_key"), query.get("access_token"), now_ns):
            raise KiteError("TokenException", "Invalid `api_key` or `access_token`.")
        self.tokens.end()
        return success(True)

    def profile(self, call: HttpCall, now_ns: int, full: str | None = None) -> HttpAnswer:
        return success({"user_id": self.user_id, **_PROFILE, **(_FULL if full else {})})

    def check_header(self, call: HttpCall, now_ns: int) -> None:
        """Check ``Authorization: token api_key:access_token``."""
        scheme, _, pair = call.headers.get("authorization", "").partition(" ")
        api_key, _, token = pair.partition(":")
        if scheme != "token" or not self.admits(api_key, token, now_ns):
            raise KiteError("TokenException", "Incorrect `api_key` or `access_token`.")
