"""Cancelling everything that works, turn by turn, until nothing does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
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
_log = logging.getLogger("dragoman.orders")

Flatten = Callable[[KillState], Awaitable[object]]
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
        Returns what closes positions, or None.
    tell : callable
        Takes a code of `KillEvent` and a sentence.
    clean : callable
        Told when nothing works any more.
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
        self._flat_after: int | None = None  # fills counted when positions were last closed
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
            self._cleaned()
            self._tell("CANCELLED", "nothing that was working works any more")

    async def _flatten_if(self, *, late: bool) -> None:
        """Close positions where that was asked for, once for each state of them; `late`: only if it has taken long."""
        if not self._holds or not self._switch.state().flatten or self._flat_after == self._fills:
            return
        if late and self._clock() - self._began < _FLATTEN_AFTER_S * _NS:
            return
        flatten = self._flatten_by()
        self._flat_after = self._fills
        if flatten is None:
            self._tell("NOT_FLATTENED", "positions stay as they are: this client has nothing that closes them")
            return
        try:
            await flatten(self._switch.state())
        except DragomanError as error:
            self._tell("NOT_FLATTENED", f"positions could not all be closed: {error}")
        else:
            self._tell("FLATTENED", "exits were sent for all positions")
