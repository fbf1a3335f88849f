"""Cancelling everything that works, turn by turn, until nothing does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from dragoman.checks.kill import KillSwitch
from dragoman.errors import DragomanError
from dragoman.model import KillState, Order, OrderUpdate
from dragoman.orders.store import OrderStore
from dragoman.session.session import AccountSession

_NS: Final = 1_000_000_000
_AT_ONCE: Final = 16
"""Cancels under way at the same time; the limits' lane for what lowers risk says how fast they leave."""
_AGAIN_S: Final = 0.25
_SELDOM_S: Final = 5.0
_TAKEN_S: Final = 2.0  # how long a cancel that the broker took may need
_ANSWERS_S: Final = 1.0
_FLATTEN_AFTER_S: Final = 3.0  # what cannot be cancelled must not keep positions open
_REMIND_S: Final = 60.0
_log = logging.getLogger("dragoman.orders")


@dataclass(frozen=True, slots=True)
class Left:
    """What closing positions has left so far.

    Attributes
    ----------
    positions : tuple of str or None
        Those that are not flat; None where positions are not known.
    problem : str
        Why one of them could not be closed; empty while exits run.
    wait_s : float
        There is nothing to do before.
    dust : str
        What stays because it is less than a lot, in words.
    """

    positions: tuple[str, ...] | None
    problem: str = ""
    wait_s: float = 0.0
    dust: str = ""


Flatten = Callable[[KillState], Awaitable[Left]]
Word = Literal["CANCELLED", "WORKING", "FLATTENED", "NOT_FLATTENED"]


class Sweep:
    """The turns of one kill switch.

    Parameters
    ----------
    session : AccountSession
    store : OrderStore
    switch : KillSwitch
    targets : callable
        Returns the orders that are to be cancelled.
    cancel, refresh : callable
        Cancel one; read all.
    flatten : callable
        Returns what closes positions, or None: awaited again and again, for as long as one is left.
    tell : callable
        Takes a code of `KillEvent` and a sentence.
    clean : callable
        Told when nothing works any more, and no position is left where they are to be closed.
    """

    def __init__(
        self,
        session: AccountSession,
        store: OrderStore,
        switch: KillSwitch,
        *,
        targets: Callable[[], list[Order]],
        cancel: Callable[[Order], Awaitable[object]],
        refresh: Callable[[], Awaitable[object]],
        flatten: Callable[[], Flatten | None],
        tell: Callable[[Word, str], object],
        clean: Callable[[], object],
    ) -> None:
        self._broker = session.adapter.name
        self._clock = session.runtime.clock.mono_ns
        self._store = store
        self._switch = switch
        self._targets = targets
        self._cancel = cancel
        self._refresh = refresh
        self._flatten_by = flatten
        self._tell = tell
        self._cleaned = clean
        self._spawn = session.runtime.spawn
        self._flying: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._fills = 0
        self._mark = 0
        self._begin()

    def _begin(self) -> None:
        self._due: dict[str, int] = {}  # when each is to be tried again
        self._tries: dict[str, int] = {}
        self._complaints: set[str] = set()
        self._read = False
        self._looked = 0
        self._began = self._clock()
        self._flat_after: int | None = None  # fills counted when no position was left
        self._flattened = False  # told so
        self._told_ns: int | None = None  # when somebody was told of one that is left
        self._wait_s = 0.0
        self._clean = False

    async def turn(self) -> float | None:
        """Cancel what is due; return how long nothing is to be done, None for as long as nothing changes."""
        switch = self._switch
        if switch.mark != self._mark:
            self._mark = switch.mark
            self._begin()
        await self._ask_all()
        if not self._read or (self._targets() and self._clock() - self._looked >= _TAKEN_S * _NS):
            await self._flatten_if(late=True)
            await self._look()
        if not self._holds:
            return 0.0
        targets, unknown = self._targets(), [one for one in self._store.open if not one.order_id]
        if self._read and not targets and not unknown:
            self._tell_clean()
        await self._flatten_if(late=not self._read or bool(targets))
        if targets or not self._read:
            after = min((self._due.get(order.client_order_id, 0) for order in targets), default=0)
            return min(max((after - self._clock()) / _NS, _AGAIN_S), _SELDOM_S)
        if not self._flat:
            return min(max(self._wait_s, _AGAIN_S), _SELDOM_S)
        if self._clean:
            self._cleaned()
        return _SELDOM_S if unknown else None

    @property
    def _holds(self) -> bool:
        """Whether this is still the engagement that the turn began with: what was released is let alone."""
        return self._switch.engaged and self._switch.mark == self._mark

    async def _ask_all(self) -> None:
        """Ask for every cancel that is due, and wait a moment for the answers."""
        now = self._clock()
        due = [order for order in self._targets() if self._due.get(order.client_order_id, 0) <= now]
        for order in due:
            if (name := order.client_order_id) not in self._flying:
                self._clean = False
                self._flying[name] = task = self._spawn(self._ask(order), name=f"{self._broker} cancel by kill switch")
                task.add_done_callback(partial(self._landed, name))
        if self._flying:
            # One that hangs must not keep those from being cancelled that turn up meanwhile.
            await asyncio.wait(self._flying.values(), timeout=_ANSWERS_S)

    def _landed(self, name: str, _: asyncio.Task[None]) -> None:
        self._flying.pop(name, None)

    async def _ask(self, order: Order) -> None:
        """Ask for one cancel; what comes of it is judged by what the order is afterwards."""
        name, wait_s = order.client_order_id, _TAKEN_S
        tries = self._tries[name] = self._tries.get(name, 0) + 1
        try:
            async with self._room:
                known = self._store.get(name)
                if known is None or known.status.terminal or not self._holds:
                    return
                await self._cancel(known)
        except DragomanError as error:
            wait_s = max(min(_AGAIN_S * 2 ** min(tries - 1, 6), _SELDOM_S), error.retry_after_s or 0.0)
            known = self._store.get(name)
            if known is not None and not known.status.terminal and name not in self._complaints and tries > 2:
                self._complaints.add(name)
                self._tell("WORKING", f"order {name} still works, its cancel fails: {error}")
        self._due[name] = self._clock() + int(wait_s * _NS)

    async def _look(self) -> None:
        """Read all orders: also those nobody has told of."""
        try:
            await self._refresh()
        except DragomanError as error:
            _log.info("%s: orders cannot be read: %s", self._broker, error)
        else:
            self._read = True
        self._looked = self._clock()

    def on_order(self, update: OrderUpdate) -> None:
        """Take note of fills: they may have changed positions."""
        self._fills += len(update.fills)

    def _tell_clean(self) -> None:
        if not self._clean:
            self._clean = True
            self._tell("CANCELLED", "nothing that was working works any more")

    @property
    def _flat(self) -> bool:
        """Whether no position is left that is to be closed."""
        return self._flat_after == self._fills or not self._switch.state().flatten

    async def _flatten_if(self, *, late: bool) -> None:
        """Close positions where that was asked for and one may be left; `late`: only if it has taken long."""
        if not self._holds or self._flat:
            return
        if late and self._clock() - self._began < _FLATTEN_AFTER_S * _NS:
            return
        flatten = self._flatten_by()
        if flatten is None:
            self._flat_after = self._fills
            self._tell("NOT_FLATTENED", "positions stay as they are: this client has nothing that closes them")
            return
        try:
            left = await flatten(self._switch.state())
        except DragomanError as error:
            left = Left(None, str(error), _SELDOM_S)
        if not self._switch.engaged or self._switch.mark != self._mark:
            return  # released meanwhile, or engaged anew: the next turn begins again
        self._wait_s = left.wait_s
        if left.positions == ():
            self._flat_after = self._fills
            self._told_ns = None
            if not self._flattened:
                self._flattened = True
                dust = f" but dust, too little for an order each: {left.dust}" if left.dust else ""
                self._tell("FLATTENED", f"no position is left{dust}")
        elif left.problem:
            self._tell_left(left.problem)

    def _tell_left(self, problem: str) -> None:
        now = self._clock()
        if self._told_ns is None or now - self._told_ns >= _REMIND_S * _NS:
            self._told_ns = now
            self._flattened = False
            self._tell("NOT_FLATTENED", f"positions are left, and it is tried again: {problem}")
