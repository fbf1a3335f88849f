"""The HTTP side that emulators share: a table of routes, and what a call must pass before one of them answers it.

A broker's emulator gives the table (`RestEmulator.serve`), says how a token is shown (`authenticate`), which errors are
its own (`errors`), and what has to move with time (`wake`); its sockets are a `SocketSide`. Limits are counted on the
broker's calendar, before the token is looked at, as gateways do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Protocol

from dragoman.emulator.contract import Emulator, HttpAnswer, HttpCall, Post, Push
from dragoman.emulator.counting import CalendarCounter, Meter
from dragoman.emulator.postbacks import Postbacks
from dragoman.emulator.refusals import ApiError
from dragoman.emulator.routes import Gate, Route
from dragoman.emulator.tokens import Tokens
from dragoman.emulator.venue.types import VenueProtocol
from dragoman.model import Segment


@dataclass(frozen=True, slots=True)
class Rule:
    """What a call must pass: the meters it counts on, a token, an address that is registered."""

    meters: tuple[Meter, ...] = ()
    token: bool = True
    registered: bool = False


class SocketSide(Protocol):
    """All sockets of a broker: what the contract asks of them, see `Emulator`; `open` may raise the broker's errors."""

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None: ...

    def hear(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]: ...

    def close(self, socket: int) -> None: ...

    def poll(self, now_ns: int) -> Sequence[Push]: ...


class RestEmulator(Emulator):
    """Base of emulators of one account whose HTTP side is a table of routes.

    Class attributes
    ----------------
    errors : type of ApiError
        The broker's errors: how they are worded, and which calls hear them.

    Parameters
    ----------
    account : str
        The venue's account.
    tokens : Tokens
        `expire_tokens` ends them.
    offset_ns : int
        The broker's time zone: local time less UTC, for when its day turns.
    allowed_ips : tuple of str, optional
        Addresses that routes with a `registered` rule are answered to; None answers any.
    accounts : mapping of str to funds
        What to open on the venue; a venue that already has the account gives none.

    Attributes
    ----------
    streams : SocketSide, optional
        All sockets; an emulator without one answers upgrades itself.
    postbacks : Postbacks, optional
        What is posted to the user's own URL.
    """

    errors: ClassVar[type[ApiError]]
    streams: SocketSide | None = None
    postbacks: Postbacks | None = None

    def __init__(
        self,
        venue: VenueProtocol,
        *,
        seed: int,
        account: str,
        tokens: Tokens,
        offset_ns: int = 0,
        allowed_ips: tuple[str, ...] | None = None,
        accounts: Mapping[str, Mapping[Segment, Decimal]] | None = None,
    ) -> None:
        super().__init__(venue, seed=seed)
        for name, funds in (accounts or {}).items():
            venue.open_account(name, dict(funds))
        self.account = account
        self.tokens = tokens
        self._counter = CalendarCounter(offset_ns)
        self._allowed_ips = allowed_ips
        self._moving: Sequence[Callable[[int], object]] = ()

    def serve(self, routes: Iterable[Route[Rule]], moving: Sequence[Callable[[int], object]] = ()) -> None:
        """Take the table, and what is called with the time before every call and every poll, in this order."""
        self._gate = Gate(routes, self._counter, self.unserved)
        self._moving = moving

    # -- what a broker says ------------------------------------------------------------------------------------------

    def authenticate(self, call: HttpCall, now_ns: int) -> None:
        """Raise the broker's error where the call shows no live token."""
        raise TypeError(f"{type(self).__name__} does not define authenticate")

    def headers(self, now_ns: int) -> Sequence[tuple[str, str]]:
        """Return what stands in the headers of every answer; asked once for each call."""
        return ()

    def unserved(self, status: int, meter: Meter | None) -> Exception:
        """Return the broker's error: 404, 405, 429 with the meter that is full, 403 for an unregistered address."""
        return self.errors.gated(status, meter)

    def worded(self, error: Exception) -> HttpAnswer | None:
        """Return the answer of an error that is the broker's, None of a bug in the emulator."""
        meant = self.errors.meant(error)
        return None if meant is None else meant.answer()

    def frames(self, now_ns: int) -> Sequence[Push]:
        """Return the frames that became due; everything has been moved to `now_ns`."""
        return self.streams.poll(now_ns) if self.streams else ()

    # -- the contract ------------------------------------------------------------------------------------------------

    def wake(self, now_ns: int) -> None:
        """Move the market and everything that follows it."""
        self.venue.advance(now_ns)
        for move in self._moving:
            move(now_ns)

    def handle(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        self.wake(now_ns)
        answer = self._answer(call, now_ns)
        return HttpAnswer(answer.status, (*answer.headers, *self.headers(now_ns)), answer.body)

    def _answer(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        try:
            route, groups = self._gate.admit(call, now_ns)
            if route.rule.token:
                self.authenticate(call, now_ns)
            if route.rule.registered and self._allowed_ips is not None and call.peer not in self._allowed_ips:
                raise self.unserved(403, None)
            return route.handler(call, now_ns, **groups)
        except Exception as error:
            answer = self.worded(error)
            if answer is None:
                raise
            return answer

    def poll(self, now_ns: int) -> Sequence[Push]:
        self.wake(now_ns)
        return self.frames(now_ns)

    def error_answer(self, status: int, call: HttpCall) -> HttpAnswer:
        return self.errors.failing(status).answer()

    def open_socket(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        if self.streams is None:
            return self.errors.gated(404, None).answer()
        try:
            return self.streams.open(call, socket, now_ns)
        except Exception as error:
            answer = self.worded(error)
            if answer is None:
                raise
            return answer

    def on_message(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        return self.streams.hear(socket, data, now_ns) if self.streams else ()

    def on_close(self, socket: int) -> None:
        if self.streams:
            self.streams.close(socket)

    def posts(self) -> Sequence[Post]:
        return self.postbacks.take() if self.postbacks else ()

    def expire_tokens(self) -> None:
        self.tokens.end()

    def ledger(self) -> dict[str, object]:
        return self.venue.ledger(self.account)
