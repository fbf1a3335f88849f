"""An app that users log in to: a login page sends the browser back with a token, the app proves itself and trades it.

What most brokers call an API key or client id, its secret and its registered redirect URL; how the proof is computed
(a checksum, the secret itself, a signed token) is the broker's.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.emulator.bodies import redirect
from dragoman.emulator.contract import HttpAnswer
from dragoman.emulator.tokens import Tokens


class AppRefusalError(Exception):
    """A login or a token that is not accepted; the text says why, as brokers do."""


def same(found: str, expected: str) -> bool:
    """Compare two secrets in a time that tells nothing."""
    return hmac.compare_digest(found.encode(), expected.encode())


@dataclass(slots=True)
class App:
    """One app of one user: at most one live access token, as a new login ends the old one."""

    api_key: str
    secret: str
    user_id: str
    redirect_url: str
    tokens: Tokens

    def send_back(self, name: str, told: Sequence[tuple[str, str]], now_ns: int) -> HttpAnswer:
        """End the login page: redirect with `told`, and a fresh single-use token under `name`."""
        return redirect(self.redirect_url, [*told, (name, self.tokens.request(now_ns))])

    def redeem(self, api_key: str, request_token: str, proof: str, expected: str, now_ns: int) -> str:
        """Return the access token for a single-use one.

        Parameters
        ----------
        proof, expected : str
            What the app sent to prove itself, and what it had to send.

        Raises
        ------
        AppRefusalError
            For another app's key, a token that was used or is too old, a wrong proof.
        """
        if api_key != self.api_key:
            raise AppRefusalError("Invalid `api_key`.")
        if not self.tokens.usable(request_token, now_ns):
            raise AppRefusalError("Token is invalid or has expired.")
        if not same(proof, expected):
            raise AppRefusalError("Invalid `checksum`.")
        return self.tokens.exchange(request_token, now_ns)

    def admits(self, api_key: str | None, access_token: str | None, now_ns: int) -> bool:
        """Say whether the pair is this app's and alive."""
        return api_key == self.api_key and self.tokens.valid(access_token or "", now_ns)
