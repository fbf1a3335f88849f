"""Brackets: armed by what their entry fills, and over only once that can fill nothing more.

A bracket whose position is gone, because its owner or somebody else has closed it, ends with its entry: what that
fills until its cancel has arrived is guarded like everything before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from dragoman.errors import DragomanError
from dragoman.market import InstrumentMaster
from dragoman.model import Instrument, Order, OrderUpdate
from dragoman.model.rules import RuleStatus
from dragoman.orders import OrderService
from dragoman.portfolio.in_kind import charged as charged_in_kind
from dragoman.rules.entries import Entries
from dragoman.rules.model import Bracket, PriceRule
from dragoman.rules.positions import ZERO, Positions
from dragoman.rules.terms import exit_side
from dragoman.rules.tracked import Planned, Tracked
from dragoman.runtime.base import Runtime
from dragoman.session.secrets import redact

if TYPE_CHECKING:
    from dragoman.rules.engine import Engine

_S = RuleStatus

Arm = Callable[[Tracked, PriceRule, Instrument, Decimal | None], Awaitable[None]]
"""Works out what a rule watches, from the price that its terms count from."""


class Brackets:
    """The brackets of one account that are not over.

    Parameters
    ----------
    runtime : Runtime
    master : InstrumentMaster
    orders : OrderService
    positions : Positions
    engine : Engine
    entries : Entries
        Cancels what works of entries.
    arm : callable
    """

    def __init__(
        self,
        runtime: Runtime,
        master: InstrumentMaster,
        orders: OrderService,
        positions: Positions,
        engine: Engine,
        entries: Entries,
        arm: Arm,
    ) -> None:
        self._runtime = runtime
        self._master = master
        self._store = orders.store
        self._positions = positions
        self._engine = engine
        self._entries = entries
        self._arm = arm
        self._by_entry: dict[str, list[Tracked]] = {}
        self._unlisten: Callable[[], None] | None = None  # orders are listened to while there are entries
        self._closed = False
        self._gone: set[str] = set()  # rules whose position is gone, and whose entry may still fill

    def enter(self, rule: Tracked) -> None:
        """Follow the entry of a bracket."""
        assert isinstance(rule.rule, Bracket)
        self._by_entry.setdefault(rule.rule.entry, []).append(rule)
        if self._unlisten is None and not self._closed:
            self._unlisten = self._store.listen(self._on_order)
        asyncio.get_running_loop().call_soon(self._moved, rule)

    def close(self) -> None:
        """Follow no entry any more, nor any that comes."""
        self._closed = True
        self._listen_no_more()

    def _listen_no_more(self) -> None:
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None

    def _on_order(self, update: OrderUpdate) -> None:
        """Look whether an order is an entry, and at its brackets once everybody has been told of it."""
        name = update.order.client_order_id
        for rule in self._by_entry.get(name, ()):
            asyncio.get_running_loop().call_soon(self._moved, rule)
        if name in self._by_entry:
            self._by_entry = {entry: left for entry, rules in self._by_entry.items() if (left := _still(rules))}
            if not self._by_entry:
                self._listen_no_more()

    def over(self, rule: Tracked) -> None:
        """Cancel what works of the entry of a bracket that has ended: nothing guards what it would fill."""
        self._gone.discard(rule.rule_id)
        self._entries.end(rule)

    def share(self, rule: Tracked, share: Decimal | None) -> Decimal | None:
        """Return how much of the position is a bracket's: what its entry filled and it has not exited."""
        entry = self._entry(rule)
        if entry is None:
            return share
        charged = sum(map(charged_in_kind, self._store.fills.of(entry.client_order_id)), ZERO)
        filled = entry.filled_quantity - charged - rule.exited
        return filled if share is None else min(share, filled)

    def may_come(self, rule: Tracked) -> bool:
        """Whether a bracket's position may still come, or come back, though there is none: its entry may fill.

        Once it has filled something it is cancelled: whoever closed the position wants no more of it.
        """
        if not isinstance(rule.rule, Bracket):
            return False
        if not rule.legs:
            return True
        if not self._entries.end(rule):
            self._gone.discard(rule.rule_id)
            return False
        if rule.rule_id not in self._gone:
            self._gone.add(rule.rule_id)
            self._engine.settle_again(rule, f"its position is gone; its entry {rule.rule.entry} is cancelled first")
        return True

    def late(self, rule: Tracked) -> bool:
        """Exit what a bracket's entry has filled since the bracket fired; whether there is, or may be, any."""
        terms = rule.rule
        if not isinstance(terms, Bracket) or rule.key is None or not rule.legs or rule.waiting or rule.problems:
            return False
        rest = self.share(rule, None if terms.quantity is None else terms.quantity - rule.exited)
        rest = ZERO if rest is None else rest - sum((plan.wanted for plan in rule.plans), ZERO)
        held = self._positions.quantity(rule.key)
        if rest > 0 and held and exit_side(held) is rule.side:
            plan = Planned(f"{rule.rule_id}.late{rule.firing}", rule.key, exit_side(held), min(rest, abs(held)))
            self._engine.fire_plans(rule, "its entry went on filling after it had fired", [plan])
            return True
        return self._entries.end(rule)

    def activate(self, rule: Tracked) -> None:
        """Arm a bracket once its entry has filled something; end it once it never will."""
        entry = self._entry(rule)
        if entry is None or rule.legs or not rule.status.watching:
            return
        if entry.filled_quantity > 0:
            self._runtime.spawn(self._activated(rule, entry), name=f"arm {rule.rule_id}")
        elif entry.status.terminal:
            words = f"its entry {entry.client_order_id} is {entry.status} with nothing filled"
            self._engine.settle(rule, _S.CANCELED, words)

    async def _activated(self, rule: Tracked, entry: Order) -> None:
        terms = rule.rule
        assert isinstance(terms, Bracket)
        if rule.legs:
            return
        instrument = self._master.resolve(terms.instrument_id)
        rule.side = entry.side.opposite
        try:
            await self._arm(rule, terms, instrument, terms.reference or entry.average_price)
        except DragomanError as error:
            if not rule.legs and rule.status.watching:
                self._engine.settle(rule, _S.FAILED, redact(str(error)))
            return
        if rule.status.terminal:
            rule.void()  # its owner has ended it meanwhile
            return
        self._engine.settle_again(rule, f"its entry {terms.entry} has filled")
        for leg in rule.waiting:
            self._engine.arm(rule, leg)

    def _moved(self, rule: Tracked) -> None:
        """Look at a bracket whose entry has changed."""
        if rule.status.terminal or self._engine.closed:
            return
        if not rule.legs:
            self.activate(rule)
        elif rule.waiting:
            if rule.rule_id in self._gone and rule.key is not None:
                self._engine.check_position(rule.key)
        elif rule.plans:
            self.late(rule)
        else:
            self._engine.go_on(rule, "done")

    def held(self, rule: Tracked) -> None:
        """Take note that a bracket's position is there."""
        self._gone.discard(rule.rule_id)

    def _entry(self, rule: Tracked) -> Order | None:
        assert isinstance(rule.rule, Bracket)
        return self._store.get(rule.rule.entry)


def _still(rules: list[Tracked]) -> list[Tracked]:
    """Return the brackets that are not over: what their entry fills is theirs."""
    return [rule for rule in rules if not rule.status.terminal]
