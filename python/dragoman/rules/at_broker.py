"""Follow the rules that rest at the broker: handed over, looked at, and taken away with the position they guard.

A trigger has no name of ours. Before the broker is asked to keep a rule it is written down which triggers that look
the same are there already; so a process that dies before it has the answer, and one that gets none, finds the new one
later. Where there is none once nothing can be on its way any more, the broker is asked again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final

from dragoman.errors import DragomanError, Effect, StaleData, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import GttStatus, Side
from dragoman.model.rules import RuleStatus
from dragoman.orders import OrderService
from dragoman.portfolio.net import PositionKey
from dragoman.rules.engine import Engine
from dragoman.rules.model import PriceRule
from dragoman.rules.native import NativeRules, in_the_way
from dragoman.rules.positions import Positions
from dragoman.rules.terms import exit_side
from dragoman.rules.tracked import Tracked
from dragoman.session.secrets import redact
from dragoman.session.session import AccountSession

_S = RuleStatus
_NS: Final = 1_000_000_000
_LOOK_AT_BROKER_S: Final = 15.0
_SEEK_S: Final = 2.0
_AGAIN_S: Final = 10.0
_log = logging.getLogger("dragoman.rules")


class AtBroker:
    """Rules of one account that the broker keeps.

    Parameters
    ----------
    session : AccountSession
    master : InstrumentMaster
    orders : OrderService
    positions : Positions
    engine : Engine
    native : NativeRules
    price_of : callable
        Returns the last price of an instrument's canonical id where a stream has told one that is not old.
    """

    def __init__(
        self,
        session: AccountSession,
        master: InstrumentMaster,
        orders: OrderService,
        positions: Positions,
        engine: Engine,
        native: NativeRules,
        price_of: Callable[[str], Decimal | None],
    ) -> None:
        self._session = session
        self._master = master
        self._orders = orders
        self._positions = positions
        self._engine = engine
        self._native = native
        self._price_of = price_of
        self._busy: set[str] = set()  # rules of which the broker is being asked
        engine.looking.each.append(self.look)
        engine.orphaned = self.orphaned

    async def prepare(self, tracked: Tracked, timeout_s: float) -> None:
        """Look what is at the broker before it is asked to keep a rule. Errors as `gtts`."""
        tracked.strangers = await self._native.alike(tracked, timeout_s=timeout_s)
        tracked.asked_ns = self._session.runtime.clock.wall_ns()

    async def hand_over(self, tracked: Tracked, timeout_s: float) -> None:
        """Let the broker keep a rule that is written down. Where that fails it is over, and says why."""
        self._busy.add(tracked.rule_id)
        try:
            await self._place(tracked, timeout_s)
        except DragomanError as error:
            if error.effect is Effect.UNKNOWN:
                self.doubt(tracked, redact(str(error)))
                self._engine.enter(tracked)
                raise
            # Where zero bytes were sent nothing is in doubt: it was never there.
            status = _S.CANCELED if isinstance(error, UsageError) else _S.FAILED
            self._engine.settle(tracked, status, f"the broker did not take it: {redact(str(error))}")
            raise
        finally:
            self._busy.discard(tracked.rule_id)
        await self._orders.recorder.durable_rule(tracked.record("armed"))

    async def _place(self, tracked: Tracked, timeout_s: float) -> None:
        rule = tracked.rule
        assert isinstance(rule, PriceRule)
        assert tracked.key is not None
        instrument = self._master.resolve(rule.instrument_id)
        last = self._price_of(instrument.instrument_id) or await self._engine.watch.price(instrument)
        if last is None:
            raise UsageError(f"{instrument.instrument_id} has no price", remedy="nothing was sent")
        size = abs(self._positions.quantity(tracked.key))
        tracked.broker_id = await self._native.place(tracked, instrument, size, last, timeout_s)

    # -- in doubt ----------------------------------------------------------------------------------------------------

    def doubt(self, tracked: Tracked, why: str) -> None:
        """Suspend a rule of which nobody knows whether the broker has it; from here on it is looked for."""
        if tracked.status is _S.ARMED:
            self._engine.settle(tracked, _S.SUSPENDED, f"whether the broker has it is not known yet: {why}")

    async def take_back(self, tracked: Tracked) -> None:
        """Withdraw a rule that its owner ends.

        Raises
        ------
        StaleData
            Whether the broker has it is not known yet.
        DragomanError
            As `cancel`, or as `delete_gtt`.
        """
        if not tracked.broker_id:
            busy = tracked.rule_id in self._busy
            found = [] if busy else await self._native.find(tracked, self._others(tracked))
            if not found and (busy or not self._absent(tracked)):
                raise StaleData(
                    f"whether the broker has rule {tracked.rule_id} is not known yet",
                    broker=self._session.adapter.name,
                    remedy=f"it is looked for: ask again within {self._session.adapter.session.queue_time_s:.0f} s",
                )
            tracked.broker_id = found[0] if found else ""
        if tracked.broker_id:
            await self._native.withdraw(tracked)

    def _absent(self, tracked: Tracked) -> bool:
        """Whether nothing that was sent for a rule can still be on its way."""
        queue_ns = int(self._session.adapter.session.queue_time_s * _NS)
        return self._session.runtime.clock.wall_ns() >= tracked.asked_ns + queue_ns

    def _others(self, tracked: Tracked) -> set[str]:
        return {rule.broker_id for rule in self._engine.rules.values() if rule is not tracked and rule.broker_id}

    async def _seek(self, tracked: Tracked) -> bool:
        """Look for a rule whose name at the broker is not known; whether it was found."""
        found = await self._native.find(tracked, self._others(tracked))
        if found:
            tracked.broker_id = found[0]
            if tracked.status is _S.SUSPENDED:
                self._engine.settle(tracked, _S.ARMED, "the broker has it")
            await self._orders.recorder.durable_rule(tracked.record("armed"))
            return True
        if not self._absent(tracked) or tracked.status.terminal:
            return False
        if self._gone(tracked):
            self._engine.settle(tracked, _S.CANCELED, "it never arrived at the broker, and its position is gone")
            return False
        tracked.again, tracked.asked_ns = True, self._session.runtime.clock.wall_ns()
        await self._orders.recorder.durable_rule(tracked.record("asked again"))
        try:
            await self._place(tracked, _AGAIN_S)
        except DragomanError as error:
            if error.effect is not Effect.UNKNOWN:
                self._engine.settle(tracked, _S.FAILED, f"the broker did not take it: {redact(str(error))}")
            return False
        self._engine.settle(tracked, _S.ARMED, "it never arrived at the broker, which was asked again")
        await self._orders.recorder.durable_rule(tracked.record("armed"))
        return True

    async def _one_of(self, tracked: Tracked) -> None:
        """Withdraw what stands for a rule a second time: the first request had arrived after all."""
        for extra in await self._native.find(tracked, self._others(tracked), (GttStatus.ACTIVE,)):
            if extra != tracked.broker_id:
                _log.warning("rule %s is at the broker twice: %s is withdrawn", tracked.rule_id, extra)
                await self._native.delete(extra)

    def _gone(self, tracked: Tracked) -> bool:
        """Whether the position that a rule guards is gone, where positions are known."""
        assert tracked.key is not None
        held = self._positions.quantity(tracked.key)
        return self._positions.ready and (not held or exit_side(held) is not tracked.side)

    # -- with its position -------------------------------------------------------------------------------------------

    def withdraw(self, key: PositionKey, side: Side, wanted: Decimal) -> Awaitable[object] | None:
        """Take triggers from the broker that would exit more than another exit leaves."""
        rules = in_the_way(tuple(self._engine.rules.values()), key, side)
        if not rules:
            return None
        left = abs(self._positions.quantity(key)) - wanted
        over = [rule for rule in rules if (getattr(rule.rule, "quantity", None) or abs(left) + 1) > left]
        return self._native.withdraw_all(over) if over else None

    def look(self, tracked: Tracked) -> None:
        """Ask now and then what became of a rule at the broker; sooner, where nobody knows whether it is there."""
        if tracked.rule.where != "broker" or tracked.rule_id in self._busy:
            return
        now = self._session.runtime.clock.mono_ns()
        if now >= tracked.pause_until_ns:
            wait_s = _LOOK_AT_BROKER_S if tracked.broker_id else _SEEK_S
            tracked.pause_until_ns = now + int(wait_s * _NS)
            self._session.runtime.spawn(self._follow_up(tracked), name=f"look at {tracked.rule_id}")

    def orphaned(self, tracked: Tracked) -> None:
        """Look at once at a rule whose position is gone."""
        tracked.pause_until_ns = 0
        self.look(tracked)

    async def _follow_up(self, tracked: Tracked) -> None:
        self._busy.add(tracked.rule_id)
        try:
            if not tracked.broker_id and not await self._seek(tracked):
                return
            if tracked.again:
                await self._one_of(tracked)
            word, words = await self._native.fate(tracked)
            if word == "working" and self._gone(tracked):
                await self._native.withdraw(tracked)
                word, words = "over", "the position it guards is gone; it was withdrawn from the broker"
        except DragomanError as error:
            text = f"rule {tracked.rule_id} rests at the broker, and cannot be looked at: {redact(str(error))}"
            _log.warning("%s", text)
            tracked.pause_until_ns = 0  # again with the next look
            return
        finally:
            self._busy.discard(tracked.rule_id)
        if not tracked.status.watching or word == "working":
            return
        if word == "fired":
            tracked.firing = 1
            self._engine.settle(tracked, _S.FIRED, words)
            self._engine.settle(tracked, _S.DONE, words)
        else:
            self._engine.settle(tracked, _S.CANCELED, words)
