"""Rules of earlier runs: taken from the journal, and gone on with once orders and positions are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from dragoman.errors import DragomanError
from dragoman.market import InstrumentMaster
from dragoman.model.rules import RuleEvent, RuleStatus
from dragoman.orders import OrderService
from dragoman.rules.at_broker import AtBroker
from dragoman.rules.brackets import Brackets
from dragoman.rules.engine import Engine
from dragoman.rules.exits import Exits
from dragoman.rules.fitting import Fitting
from dragoman.rules.model import Bracket, PriceRule
from dragoman.rules.positions import Positions
from dragoman.rules.reading import restored
from dragoman.rules.statement import statement_of
from dragoman.rules.tracked import Tracked
from dragoman.runtime.base import Runtime
from dragoman.session.secrets import redact

_S = RuleStatus
_LOOK_S: Final = 0.05


class Resuming:
    """Takes up what earlier runs of an account left.

    Parameters
    ----------
    runtime : Runtime
    master : InstrumentMaster
    orders : OrderService
    positions : Positions
    exits : Exits
    engine : Engine
    fitting : Fitting
    brackets : Brackets
    at_broker : AtBroker
    publish : callable
        Gets each `RuleEvent`.
    """

    def __init__(
        self,
        runtime: Runtime,
        master: InstrumentMaster,
        orders: OrderService,
        positions: Positions,
        exits: Exits,
        engine: Engine,
        fitting: Fitting,
        brackets: Brackets,
        at_broker: AtBroker,
        publish: Callable[[RuleEvent], object],
    ) -> None:
        self._runtime = runtime
        self._master = master
        self._orders = orders
        self._positions = positions
        self._exits = exits
        self._engine = engine
        self._fitting = fitting
        self._brackets = brackets
        self._at_broker = at_broker
        self._publish = publish

    def came_back(self) -> None:
        """Take the journal's rules; called once it was read."""
        self._exits.recount()  # orders of earlier runs were entered, and nobody was told
        found = restored(self._orders.succession.rules)
        working = [rule for rule in found.values() if not rule.status.terminal]
        for name, rule in found.items():
            if rule.status.terminal:
                self._engine.rules.setdefault(name, rule)
                if isinstance(rule.rule, Bracket):
                    self._brackets.over(rule)  # it ended, and the cancel of its entry may never have left
        if working:
            self._runtime.spawn(self._resume(working), name="take the rules up again")

    async def _resume(self, working: Sequence[Tracked]) -> None:
        engine = self._engine
        for rule in working:
            rule.statement = statement_of(rule.rule, durable=rule.durable)
            engine.rules.setdefault(rule.rule_id, rule)
        while self._orders.complete_as_of is None or not self._positions.ready:
            await self._runtime.sleep(_LOOK_S)
            if engine.closed:
                return  # the next run takes them up
        self._exits.recount()
        for rule in working:
            if rule.status.terminal:
                continue  # somebody has cancelled it meanwhile
            try:
                await self._take_up(rule)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other rules are taken up
                words = redact(str(error)) if isinstance(error, DragomanError) else f"{type(error).__name__}: {error}"
                if not rule.status.terminal:
                    engine.settle(rule, _S.FAILED, f"it cannot be taken up again: {redact(words)}")

    async def _take_up(self, rule: Tracked) -> None:
        terms = rule.rule
        if isinstance(terms, PriceRule) and terms.where == "local":
            await self._fitting.follow(terms, self._master.resolve(terms.instrument_id))
        elif terms.where == "broker" and not rule.broker_id:
            self._at_broker.doubt(rule, "the last run ended before the broker had answered")
        if not rule.plans and not rule.status.watching:
            rule.status = _S.ARMED  # killed before it had stopped the account: it looks again
        now = self._runtime.clock.wall_ns()
        words = f"back from an earlier run; {rule.reason}"
        self._publish(RuleEvent(rule.rule_id, rule.status, None, words, rule.state(), now))
        self._engine.enter(rule)
