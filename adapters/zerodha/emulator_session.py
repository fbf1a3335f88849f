"""Who may talk: login, tokens, and when they die."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

from dragoman.emulator.parts import SECOND, AppSession, Form, HttpAnswer, HttpCall, LoginPage

from .emulator_words import KiteError, ist, success

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
        return success(_PROFILE | told)

    def logout(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        query = dict(call.query)
        alive = self.admits(query.get("api_key"), query.get("access_token"), now_ns)
        KiteError.when(not alive, "TokenException", "Invalid `api_key` or `access_token`.")
        self.tokens.end()
        return success(True)

    def profile(self, call: HttpCall, now_ns: int, full: str | None = None) -> HttpAnswer:
        return success({"user_id": self.user_id, **_PROFILE, **(_FULL if full else {})})
