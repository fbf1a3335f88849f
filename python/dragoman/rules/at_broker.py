"""Follow the rules that rest at the broker: handed over, looked at, and taken away with the position they guard."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final

from dragoman.errors import DragomanError, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import Side
from dragoman.model.rules import RuleStatus
from dragoman.orders import OrderService
from dragoman.portfolio.net import PositionKey
from dragoman.rules.engine import Engine
from dragoman.rules.model import PriceRule
from dragoman.rules.native import NativeRules, in_the_way
from dragoman.rules.positions import Positions
from dragoman.rules.tracked import Tracked
from dragoman.session.secrets import redact
from dragoman.session.session import AccountSession

_S = RuleStatus
_NS: Final = 1_000_000_000
_LOOK_AT_BROKER_S: Final = 15.0
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
        engine.looking.each.append(self.look)
        engine.orphaned = self.orphaned

    async def hand_over(self, tracked: Tracked, timeout_s: float) -> None:
        """Let the broker keep a rule that is written down. Where that fails it is over, and says why."""
        rule = tracked.rule
        assert isinstance(rule, PriceRule)
        assert tracked.key is not None
        instrument = self._master.resolve(rule.instrument_id)
        try:
            last = self._price_of(instrument.instrument_id) or await self._engine.watch.price(instrument)
            if last is None:
                raise UsageError(f"{instrument.instrument_id} has no price", remedy="nothing was sent")
            size = abs(self._positions.quantity(tracked.key))
            tracked.broker_id = await self._native.place(tracked, instrument, size, last, timeout_s)
        except DragomanError as error:
            # Where zero bytes were sent nothing is in doubt: it was never there.
            status = _S.CANCELED if isinstance(error, UsageError) else _S.FAILED
            self._engine.settle(tracked, status, f"the broker did not take it: {redact(str(error))}")
            raise
        await self._orders.recorder.durable_rule(tracked.record("armed"))

    def withdraw(self, key: PositionKey, side: Side, wanted: Decimal) -> Awaitable[object] | None:
        """Take triggers from the broker that would exit more than another exit leaves."""
        rules = in_the_way(tuple(self._engine.rules.values()), key, side)
        if not rules:
            return None
        left = abs(self._positions.quantity(key)) - wanted
        over = [rule for rule in rules if (getattr(rule.rule, "quantity", None) or abs(left) + 1) > left]
        return self._native.withdraw_all(over) if over else None

    def look(self, tracked: Tracked) -> None:
        """Ask now and then what became of a rule at the broker."""
        now = self._session.runtime.clock.mono_ns()
        if tracked.broker_id and now >= tracked.pause_until_ns:
            tracked.pause_until_ns = now + int(_LOOK_AT_BROKER_S * _NS)
            self._session.runtime.spawn(self._follow_up(tracked, gone=False), name=f"look at {tracked.rule_id}")

    def orphaned(self, tracked: Tracked) -> None:
        tracked.pause_until_ns = self._session.runtime.clock.mono_ns() + int(_LOOK_AT_BROKER_S * _NS)
        self._session.runtime.spawn(self._follow_up(tracked, gone=True), name=f"end {tracked.rule_id}")

    async def _follow_up(self, tracked: Tracked, *, gone: bool) -> None:
        try:
            word, words = await self._native.fate(tracked)
            if gone and word == "working":
                await self._native.withdraw(tracked)
                word, words = "over", "the position it guards is gone; it was withdrawn from the broker"
        except DragomanError as error:
            text = f"rule {tracked.rule_id} rests at the broker, and cannot be looked at: {redact(str(error))}"
            _log.warning("%s", text)
            tracked.pause_until_ns = 0  # again with the next look
            return
        if not tracked.status.watching or word == "working":
            return
        if word == "fired":
            tracked.firing = 1
            self._engine.settle(tracked, _S.FIRED, words)
            self._engine.settle(tracked, _S.DONE, words)
        else:
            self._engine.settle(tracked, _S.CANCELED, words)
