"""The base of emulators whose users log in to an app on a web page: set-up, login page, the app's session.

A broker's `AppSession` says what it calls the app's key, secret, user and redirect URL, when tokens die, what its login
page checks and how a call shows its token; `AppEmulator` is set up from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from dragoman.emulator.apps import App
from dragoman.emulator.contract import HttpAnswer, HttpCall
from dragoman.emulator.counting import SECOND
from dragoman.emulator.refusals import ApiError
from dragoman.emulator.rest import RestEmulator
from dragoman.emulator.rows import Table, write
from dragoman.emulator.tokens import Tokens
from dragoman.emulator.venue.ready import default_venue
from dragoman.emulator.venue.types import VenueProtocol
from dragoman.model import Segment

INDIA_NS = 19_800 * SECOND
"""Indian time less UTC."""


@dataclass(frozen=True, slots=True)
class LoginPage:
    """What a login page looks at, and what it tells the app it sends the browser back to.

    Attributes
    ----------
    checks : sequence of (table, words)
        Fields of the query with the values they must have, as paths into the session; and the error otherwise.
    token : str
        Name of the single-use token.
    told : sequence of (str, str)
        What is told before it.
    """

    checks: Sequence[tuple[Table, tuple[Any, ...]]]
    token: str
    told: Sequence[tuple[str, str]] = ()


class AppSession(App):
    """Who may talk: login, tokens and when they die.

    Class attributes
    ----------------
    options : mapping of str to str
        What the broker calls the app's key, its secret, the user and the redirect URL, in this order, and what they are
        where nothing else is said.
    dies_at_ns : int
        Time of day, local, at which access tokens die.
    code_life_ns : int
        How long a login's single-use token lives.
    header : re.Pattern
        How ``Authorization`` shows a token: a group ``token``, and ``key`` where the app's key goes with it.
    stranger : tuple
        The broker's error of a call that shows no live token: word and text.
    """

    errors: ClassVar[type[ApiError]]
    options: ClassVar[Mapping[str, str]]
    page: ClassVar[LoginPage]
    dies_at_ns: ClassVar[int]
    code_life_ns: ClassVar[int]
    offset_ns: ClassVar[int] = INDIA_NS
    tokens_type: ClassVar[type[Tokens]] = Tokens
    header: ClassVar[re.Pattern[str]]
    stranger: ClassVar[tuple[str, str]]

    @classmethod
    def of(cls, options: Mapping[str, str], seed: int) -> Self:
        """Return the session of an app, from `options` by the broker's names. Raises TypeError for other names."""
        if unknown := options.keys() - cls.options.keys():
            raise TypeError(f"unknown options {sorted(unknown)}, expected some of {list(cls.options)}")
        key, secret, user, redirect = (dict(cls.options) | dict(options)).values()
        life = {"dies_at_ns": cls.dies_at_ns, "request_life_ns": cls.code_life_ns}
        return cls(key, secret, user, redirect, cls.tokens_type(seed, offset_ns=cls.offset_ns, **life))

    @property
    def credentials(self) -> dict[str, str]:
        """What a client needs, under the broker's names; the redirect URL also as ``redirect_url``."""
        values = (self.api_key, self.secret, self.user_id, self.redirect_url)
        return dict(zip(self.options, values, strict=True)) | {"redirect_url": self.redirect_url}

    def login_page(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Send the browser to the registered URL, as the page does once the user has logged in."""
        query = dict(call.query)
        for expected, words in self.page.checks:
            wrong = any(query.get(name) != value for name, value in write(expected, self).items())
            self.errors.when(wrong, *words)
        return self.send_back(self.page.token, [*self.page.told, *self.echoed(query)], now_ns)

    def echoed(self, query: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return what of the page's query goes back to the app."""
        return [("state", query["state"])] if query.get("state") else []

    def check_header(self, call: HttpCall, now_ns: int) -> None:
        """Raise the broker's error where a call shows no live token."""
        self.errors.when(self.shown(call, now_ns) is None, *self.stranger)

    def shown(self, call: HttpCall, now_ns: int) -> str | None:
        """Return the live token a call shows, None where it shows none."""
        found = self.header.fullmatch(call.headers.get("authorization", ""))
        told = found.groupdict() if found else {}
        token = told.get("token")
        return token if self.admits(told.get("key", self.api_key), token, now_ns) else None

    def dead(self, token: str, now_ns: int) -> bool:
        return not self.tokens.valid(token, now_ns)


class AppEmulator(RestEmulator):
    """Base of emulators of one app of one user.

    Parameters
    ----------
    venue : VenueProtocol
        The exchange behind it; listings of exchanges the broker does not offer are left out.
    seed : int
        What tokens are made from.
    tick_rate : float
        Ticks per second per instrument, at most.
    accounts : mapping of str to funds
        What to open on the venue; a venue that already has the account gives none.
    allowed_ips : tuple of str, optional
        Addresses orders are taken from; None takes them from any.
    options
        The app's key, secret, user and redirect URL, by the names of `session_type.options`.

    Attributes
    ----------
    session : AppSession
    pace_ns : int
        Least time between two ticks of an instrument.
    """

    session_type: ClassVar[type[AppSession]]
    session: Any

    def __init__(
        self,
        venue: VenueProtocol,
        *,
        seed: int = 1,
        tick_rate: float = 5.0,
        accounts: Mapping[str, Mapping[Segment, Decimal]] | None = None,
        allowed_ips: tuple[str, ...] | None = None,
        **options: str,
    ) -> None:
        if tick_rate <= 0:
            raise ValueError(f"{self.name}: tick_rate is {tick_rate}, expected ticks per second above 0")
        self.session = self.session_type.of(options, seed)
        super().__init__(
            venue,
            seed=seed,
            account=self.session.user_id,
            tokens=self.session.tokens,
            offset_ns=self.session.offset_ns,
            allowed_ips=allowed_ips,
            accounts=accounts,
        )
        self.credentials = self.session.credentials
        self.pace_ns = int(SECOND / tick_rate)

    def authenticate(self, call: HttpCall, now_ns: int) -> None:
        self.session.check_header(call, now_ns)

    @classmethod
    def make(cls, seed: int, now_ns: int, *, tick_rate: float = 5.0, redirect_port: int = 5010, **options: Any) -> Self:
        """Make the emulator on `default_venue`.

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
            Further parameters of the emulator; ``accounts`` opens those instead of one funded account with shares.
        """
        _, _, user, redirect = cls.session_type.options
        options.setdefault(redirect, f"http://127.0.0.1:{redirect_port}/")
        account = options.get(user, cls.session_type.options[user])
        venue = default_venue(seed, now_ns, account, options.pop("accounts", None))
        return cls(venue, seed=seed, tick_rate=tick_rate, **options)
