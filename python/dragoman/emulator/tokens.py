"""One user's tokens: single-use ones that a login page hands out, and one access token at a time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from dragoman.emulator.counting import DAY, SECOND


class Tokens:
    """Mints and checks tokens. They are a hash of the seed and a count, so that a run repeats.

    Parameters
    ----------
    seed : int
    offset_ns : int
        The broker's time zone: local time less UTC.
    dies_at_ns : int
        Time of day, local, at which every access token dies.
    request_life_ns : int
        How long a single-use token lives.
    """

    def __init__(self, seed: int, *, offset_ns: int, dies_at_ns: int, request_life_ns: int) -> None:
        self._seed = seed
        self._shift = offset_ns - dies_at_ns
        self._request_life_ns = request_life_ns
        self._minted = 0
        self._requests: dict[str, int] = {}
        self._access: tuple[str, int] | None = None

    def mint(self, kind: str, now_ns: int) -> str:
        """Return a new token that nothing here remembers."""
        self._minted += 1
        told = f"{self._seed}/{kind}/{self._minted}/{now_ns}".encode()
        return "emu_" + hashlib.sha256(told).hexdigest()[:28]

    def request(self, now_ns: int) -> str:
        """Return a single-use token."""
        token = self.mint("request", now_ns)
        self.remember(token, now_ns + self._request_life_ns)
        return token

    def remember(self, request_token: str, dies_ns: int) -> None:
        """Take a single-use token that came from elsewhere."""
        self._requests[request_token] = dies_ns

    def usable(self, request_token: str, now_ns: int) -> bool:
        return self._requests.get(request_token, 0) > now_ns

    def exchange(self, request_token: str, now_ns: int) -> str:
        """Return the access token for a usable request token; the one before it dies."""
        del self._requests[request_token]
        token = self.mint("access", now_ns)
        self._access = token, self.expiry(now_ns)
        return token

    def expiry(self, issued_ns: int) -> int:
        """Return when a token issued now dies, ns UTC."""
        return ((issued_ns + self._shift) // DAY + 1) * DAY - self._shift

    def valid(self, access_token: str, now_ns: int) -> bool:
        if self._access is None or not access_token:
            return False
        token, dies = self._access
        return now_ns < dies and hmac.compare_digest(token.encode(), access_token.encode())

    @property
    def access(self) -> str:
        """The access token of now, empty where there is none."""
        return self._access[0] if self._access else ""

    def end(self) -> None:
        """End the session now, whatever the clock says."""
        self._access = None


class WebTokens(Tokens):
    """Access tokens as JSON web tokens that nobody signed, with their expiry in them."""

    def claims(self, plain: str) -> dict[str, object]:
        """Return what a token tells beside its expiry; `plain` is unique to it."""
        raise TypeError(f"{type(self).__name__} does not define claims")

    def mint(self, kind: str, now_ns: int) -> str:
        plain = super().mint(kind, now_ns)
        if kind != "access":
            return plain
        told = {"exp": self.expiry(now_ns) // SECOND, **self.claims(plain)}
        body = base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")
        return f"{plain}.{body}.unsigned"


class Lease:
    """One token at a time that lives for a while, and longer where it is extended: what opens a user's stream.

    Parameters
    ----------
    life_ns : int
        From when it was asked for or extended last.

    Attributes
    ----------
    token : str
        The last one, dead or alive; empty where there is none.
    dies_ns : int
        ns UTC.
    """

    def __init__(self, tokens: Tokens, life_ns: int) -> None:
        self._tokens = tokens
        self._life_ns = life_ns
        self.token = ""
        self.dies_ns = 0

    def open(self, now_ns: int) -> str:
        """Return the live token, for its whole life again, or a new one."""
        if not self.alive(self.token, now_ns):
            self.token = self._tokens.mint("lease", now_ns)
        self.dies_ns = now_ns + self._life_ns
        return self.token

    def alive(self, token: str, now_ns: int) -> bool:
        return bool(token) and token == self.token and now_ns < self.dies_ns

    def extend(self, now_ns: int) -> str | None:
        """Return the live token, for its whole life again; None where there is none."""
        return self.open(now_ns) if self.alive(self.token, now_ns) else None

    def end(self) -> None:
        self.token = ""
