"""Becoming the one that writes to an account: its journal, and all that earlier runs have left in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from dragoman.errors import AccountBusy, DragomanError, ErrorKind, Rejected
from dragoman.model import Notice, Order, OrderAlert, OrderStatus
from dragoman.orders.identity import IdMint
from dragoman.orders.intents import Intents
from dragoman.orders.journal import Record
from dragoman.orders.reading import OrderReader
from dragoman.orders.recorder import Recorder
from dragoman.orders.recovery import Recovered, recover
from dragoman.orders.resolver import Resolver
from dragoman.orders.writer import Writer
from dragoman.session.session import AccountSession

_LOOKED_BACK_NS: Final = 10 * 86_400 * 1_000_000_000
"""How far before the last record a start reads the journal back. What works longer is carried from start to start."""


class Succession:
    """Takes an account over from whoever wrote to it before.

    Parameters
    ----------
    session : AccountSession
    writer : Writer
    reader : OrderReader
    intents : Intents
    recorder : Recorder
    resolver : Resolver
    alert : callable
    mints : callable
        Takes what mints wire ids from then on.

    Attributes
    ----------
    rules : dict of str to dict
        What earlier runs wrote down of rules, see `Recovered`.
    changes : list of dict
        What changed positions without a fill, see `Recovered`.
    on_rules, on_changes : callable or None
        Told when `rules` and `changes` are known.
    """

    def __init__(
        self,
        session: AccountSession,
        writer: Writer,
        reader: OrderReader,
        intents: Intents,
        recorder: Recorder,
        resolver: Resolver,
        alert: Callable[[OrderAlert], object],
        mints: Callable[[IdMint], object],
    ) -> None:
        self._session = session
        self._writer = writer
        self._reader = reader
        self._store = reader.store
        self._intents = intents
        self._recorder = recorder
        self._resolver = resolver
        self._alert = alert
        self._mints = mints
        self._taking: asyncio.Task[None] | None = None
        self.rules: dict[str, dict[str, Any]] = {}
        self.changes: list[dict[str, Any]] = []
        self.on_rules: Callable[[], object] | None = None
        self.on_changes: Callable[[], object] | None = None

    async def begin(self) -> None:
        """Take over where nobody else writes; where somebody does, this process reads."""
        try:
            await self.take_over()
        except AccountBusy as busy:
            self._session.announce(Notice("info", str(busy), code=busy.kind))

    async def take_over(self) -> None:
        """Open the journal, enter what it knows, and look for what it does not. Whoever asks meanwhile waits for it.

        Raises
        ------
        AccountBusy
            Another process writes.
        Rejected, UsageError
            The journal cannot be opened or read: nothing was taken, and the next act tries again.
        """
        if self._taking is None or self._taking.done():
            self._taking = self._session.runtime.spawn(
                self._take_over(), name=f"{self._session.adapter.name} takes the journal over"
            )
        # Its end does not hang on who began it.
        await asyncio.shield(self._taking)

    async def _take_over(self) -> None:
        if self._writer.ready:
            return
        journal = await self._writer.open()
        try:
            began = min(journal.last_ns, self._session.runtime.clock.wall_ns()) - _LOOKED_BACK_NS
            records = await journal.recent(began)
            found = await self._read(records)
            if not found.carried and records and records[0].sequence > 1:
                # No start since then has written down what worked: all of it counts.
                records = await journal.recent()
                found = await self._read(records)
            self._enter(found)
        except BaseException as error:
            await journal.close()
            if isinstance(error, OSError):
                raise Rejected(
                    f"{self._session.adapter.name}: the journal cannot be read: {error.strerror or error}",
                    kind=ErrorKind.LOCAL_DENIED,
                    broker=self._session.adapter.name,
                    remedy=f"look at {self._writer.folder}; nothing was sent",
                ) from error
            raise
        if journal.last_ns and (not records or records[0].sequence > 1):
            self._intents.older = journal.named
        self._store.journal_ids = frozenset(journal.journal_ids)
        self._mints(IdMint(journal.journal_id))
        self._recorder.journal = journal
        journal.on_failed = journal.on_slow = self._failed
        journal.unreadable = found.unreadable
        # Last: from here on acts go out.
        self._writer.journal = journal
        now = self._session.runtime.clock.wall_ns()
        for damage in journal.damage:
            self._alert(OrderAlert("JOURNAL_DAMAGED", str(damage), subject=damage, ts=now))
        if found.unreadable:
            text = f"{found.unreadable} records of the journal cannot be read; look with: dragoman journal show"
            self._alert(OrderAlert("JOURNAL_DAMAGED", text, ts=now))
        # So that no later start has to look back further than to this one.
        rules = found.working_rules
        self._recorder.carry([order for order in self._store if not order.status.terminal], tuple(rules.values()))
        self._look_for(found)
        self.rules, self.changes = found.rules, found.changes
        if self.on_changes is not None:
            self.on_changes()
        if self.on_rules is not None:
            self.on_rules()

    async def close(self) -> None:
        """End a take-over that runs."""
        task, self._taking = self._taking, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,))

    async def _read(self, records: list[Record]) -> Recovered:
        """Read records by a worker: there may be very many."""
        return await self._session.runtime.in_worker(lambda: recover(records, self._session.adapter.name))

    def _enter(self, found: Recovered) -> None:
        for intent in found.intents.values():
            self._intents.add(intent)
        for name, order in found.orders.items():
            if self._store.get(name) is None:
                self._store.restore(order, found.fills.get(name, ()))

    async def recall(self, name: str) -> bool:
        """Enter what the journal has of a name from long ago; False where it has nothing."""
        older = self._intents.older
        found = recover(await older(name), self._session.adapter.name) if older is not None else Recovered()
        self._enter(found)
        return name in found.intents

    def _look_for(self, found: Recovered) -> None:
        """Let readings tell what became of everything that had no outcome."""
        for (name, _), amendment in found.changing.items():
            changing = self._store.get(name)
            if changing is None or changing.status.terminal:
                continue
            self._store.ask(name, amendment.pending, amendment.terms)
            if amendment.answered:
                self._store.answered(name)
            self._reader.doubt(name, amendment.pending)
        self._resolver.watch_lost(found.lost.items())
        for name, intent in found.intents.items():
            known = self._store.get(name)
            if known is not None and outcome_unknown(known):
                self._resolver.watch(intent)
        if self._reader.in_doubt:
            self._resolver.wake()

    def _failed(self, error: DragomanError) -> None:
        now = self._session.runtime.clock.wall_ns()
        self._alert(OrderAlert("JOURNAL_FAILED", str(error), subject=error, ts=now))


def outcome_unknown(order: Order) -> bool:
    """Whether nobody knows if the broker has an order. One whose status has an unmapped word is known to be there."""
    return order.status is OrderStatus.UNKNOWN and not order.order_id
