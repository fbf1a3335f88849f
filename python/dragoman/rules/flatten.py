"""Closing every position, for the kill switch: followed to the end, and tried again for as long as one is left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from dragoman.errors import DragomanError
from dragoman.model import KillState
from dragoman.orders import OrderService
from dragoman.orders.sweep import Left
from dragoman.portfolio.net import PositionKey
from dragoman.rules.exit import Exit
from dragoman.rules.exits import Exits
from dragoman.rules.model import Send
from dragoman.rules.positions import Positions
from dragoman.session.secrets import redact

_NS: Final = 1_000_000_000
_LOOK_S: Final = 1.0  # how long one call follows the exits
_FIRST_S: Final = 1.0
_LONGEST_S: Final = 300.0
"""Pauses double up to this: a market that is closed for the night is not asked every second."""
_READ_S: Final = 3.0
_PATIENCE_S: Final = 5.0  # a client that has just connected reads them anyway
_AT_ALL_COSTS: Final = Send(clears="all")
_log = logging.getLogger("dragoman.rules")


class Begin(Protocol):
    """Reads what live positions begin with; whether that succeeded."""

    def __call__(self, on_error: Callable[[DragomanError], object], *, timeout_s: float) -> Awaitable[bool]: ...


@dataclass(slots=True)
class _Try:
    """How far one position has come."""

    exit: Exit | None = None
    failed: int = 0
    due_ns: int = 0
    problem: str = ""


class Flattening:
    """Closes all positions of an account; each call goes on from where the last one stopped.

    A position that cannot be exited keeps no other from it.

    Parameters
    ----------
    orders : OrderService
    exits : Exits
    positions : Positions
    begin : callable
        Reads what live positions begin with.
    mono_ns : callable
        A clock that only goes forward, ns.
    run : str
        Tells this process from every other one: what it tries a second time has a name of its own.
    """

    def __init__(
        self,
        orders: OrderService,
        exits: Exits,
        positions: Positions,
        begin: Begin,
        mono_ns: Callable[[], int],
        run: str,
    ) -> None:
        self._orders = orders
        self._exits = exits
        self._positions = positions
        self._begin = begin
        self._now = mono_ns
        self._run = run
        self._engagement = ""
        self._tries: dict[PositionKey, _Try] = {}
        self._unknown_ns: int | None = None  # since when positions are not known

    def held(self) -> tuple[str, ...] | None:
        """Return what is not flat, in words; None where positions are not known."""
        if not self._positions.ready:
            return None
        return tuple(_words(key) for key in sorted(self._positions.keys()))

    async def __call__(self, state: KillState) -> Left:
        """Exit what is held, watch it for a second at most, and tell what is left and why.

        Parameters
        ----------
        state : KillState
            The engagement that asks for it: orders are named after it.
        """
        if state.engagement != self._engagement:
            self._engagement = state.engagement
            self._tries.clear()
        now = self._now()
        problem = await self._know()
        if problem:
            if self._unknown_ns is None:
                self._unknown_ns = now
            patient = self._now() - self._unknown_ns < _PATIENCE_S * _NS
            return Left(None, "" if patient else problem)
        self._unknown_ns = None
        for key in tuple(self._positions.keys()):
            if self._of(key).due_ns <= now:
                self._exit(key, state)
        running = [one.exit.ended for one in self._tries.values() if one.exit is not None]
        if running:
            await asyncio.wait(running, timeout=_LOOK_S)
        return self._left()

    async def _know(self) -> str:
        """Return why positions are not known, if they are not."""
        if self._positions.ready:
            return ""
        if self._orders.stale:
            return "orders are not known yet"
        problems: list[str] = []
        if await self._begin(lambda error: problems.append(redact(str(error))), timeout_s=_READ_S):
            return ""
        return "; ".join(problems) or "positions are not known yet"

    def _of(self, key: PositionKey) -> _Try:
        return self._tries.setdefault(key, _Try())

    def _exit(self, key: PositionKey, state: KillState) -> None:
        one, place = self._of(key), ".".join(key).replace("/", "_")
        if one.exit is not None and not one.exit.done:
            return
        # The first name is every run's, so that a next one goes on with its orders; a name is one order for ever.
        name, again = f"KILL{state.engagement}.{place}", 1
        while self._exits.spent(name):
            # Its orders have all ended: counted once more, their refusals would end the next try before it began.
            again += 1
            name = f"KILL{state.engagement}-{self._run}-{again}.{place}"
        try:
            one.exit = self._exits.reduce(key, None, f"killed: {state.why}", name=name, send=_AT_ALL_COSTS)
        except Exception as error:  # noqa: BLE001 - also a defect in one exit keeps no other position open
            if not isinstance(error, DragomanError):
                _log.exception("%s could not be exited", _words(key))
            self._failed(one, redact(str(error)))

    def _failed(self, one: _Try, problem: str) -> None:
        one.exit = None
        one.problem = problem
        one.due_ns = self._now() + int(min(_FIRST_S * 2.0 ** min(one.failed, 16), _LONGEST_S) * _NS)
        one.failed += 1

    def _left(self) -> Left:
        keys = set(self._positions.keys())
        for key in tuple(self._tries):
            one = self._tries[key]
            report = None if one.exit is None else one.exit.report
            if key not in keys:
                if one.exit is None or report is not None:
                    del self._tries[key]
            elif report is not None:
                self._failed(one, report.reason)
        stuck = {key: one for key, one in self._tries.items() if key in keys and one.problem}
        problem = "; ".join(f"{_words(key)}: {one.problem}" for key, one in stuck.items())
        now = self._now()
        waits = [(one.due_ns - now) / _NS if one.exit is None else 0.0 for one in self._tries.values()]
        dust = ", ".join(f"{_words(key)} {self._positions.quantity(key)}" for key in sorted(self._positions.dust()))
        return Left(self.held(), problem, max(min(waits, default=0.0), 0.0), dust)


def _words(key: PositionKey) -> str:
    return f"{key[0]} {key[1]}" if key[2] == "NET" else f"{key[0]} {key[1]} {key[2]}"
