"""Accounts whose calls show a pair of keys, or a bearer token: nobody logs in, and nothing expires."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dragoman.emulator.apps import same
from dragoman.emulator.contract import HttpCall


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The credentials of one account.

    Attributes
    ----------
    headers : (str, str)
        Where a call shows key and secret.
    bearer_key : str
        What stands for the key where the token is shown as its secret.
    """

    key: str
    secret: str
    token: str
    headers: tuple[str, str]
    bearer_key: str = "oauth"

    def accepts(self, key: str, secret: str) -> bool:
        """Say whether a pair is the account's."""
        if key == self.bearer_key:
            return self.bears(secret)
        return same(key, self.key) and same(secret, self.secret)

    def bears(self, token: str) -> bool:
        return same(token, self.token)

    def pair(self, call: HttpCall) -> tuple[str, str]:
        """Return the key and the secret a call shows, empty where it shows none."""
        key, secret = (call.headers.get(name, "") for name in self.headers)
        return key, secret

    def shown(self, call: HttpCall) -> bool:
        """Say whether a call shows the account's pair, or its token as ``Bearer``."""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        return self.bears(token) if scheme == "Bearer" else self.accepts(*self.pair(call))


Accepts = Callable[[str, str], bool]
"""(key, secret) -> whether they are the account's."""
