"""From a rule to what it watches: its position, its entry order, its prices and its time, as they are then."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from dragoman.checks.inputs import text
from dragoman.errors import ErrorKind, StaleData, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import Instrument, Order
from dragoman.model.rules import RuleStatus
from dragoman.orders import OrderService
from dragoman.rules.clock import due_ns
from dragoman.rules.engine import Engine
from dragoman.rules.model import Bracket, Oco, PositionRule, PriceRule, Rule, TimeExit, TrailingStop
from dragoman.rules.positions import Positions
from dragoman.rules.terms import exit_side, legs_of, needs_reference
from dragoman.rules.tracked import Tracked
from dragoman.rules.watch import cannot_follow
from dragoman.session.session import AccountSession

_S = RuleStatus
_LOOK_S: Final = 0.02
_log = logging.getLogger("dragoman.rules")


class Fitting:
    """Fits rules about positions to the account they are added to.

    Parameters
    ----------
    session : AccountSession
    master : InstrumentMaster
    orders : OrderService
    positions : Positions
    engine : Engine
    price_of : callable
        Returns the last price of an instrument's canonical id where a stream has told one that is not old.
    kind_at_broker : callable
        Says what a rule would be at the broker, or raises UsageError.
    """

    def __init__(
        self,
        session: AccountSession,
        master: InstrumentMaster,
        orders: OrderService,
        positions: Positions,
        engine: Engine,
        price_of: Callable[[str], Decimal | None],
        kind_at_broker: Callable[[Rule], str],
    ) -> None:
        self._session = session
        self._master = master
        self._orders = orders
        self._positions = positions
        self._engine = engine
        self._price_of = price_of
        self._kind_at_broker = kind_at_broker

    async def known(self, timeout_s: float) -> None:
        """Return once positions are known.

        Raises
        ------
        StaleData
            They are not in time; zero bytes were sent.
        """
        ends_ns = self._session.runtime.clock.mono_ns() + int(timeout_s * 1e9)
        while not self._positions.ready:
            if self._session.runtime.clock.mono_ns() >= ends_ns:
                broker = self._session.adapter.name
                raise StaleData(
                    f"{broker}: positions are not known yet", broker=broker, remedy="read orders(), then try again"
                )
            await self._session.runtime.sleep(_LOOK_S)

    async def fit(self, tracked: Tracked, rule: PositionRule, timeout_s: float) -> None:
        """Work out what a rule about a position watches, from the position as it is now."""
        await self.known(timeout_s)
        instrument = self._master.resolve(rule.instrument_id)
        can, broker = self._session.adapter.capabilities, self._session.adapter.name
        can.require_value("product", rule.product, frozenset(can.products), broker)
        tracked.key = (instrument.instrument_id, rule.product, rule.position_side)
        if rule.where == "broker":
            self._kind_at_broker(rule)
        if isinstance(rule, Bracket):
            self._entry(rule)
        else:
            self._guards(tracked, rule, instrument)
        if isinstance(rule, PriceRule):
            if rule.where == "local":
                await self.follow(rule, instrument)
            if not isinstance(rule, Bracket):
                await self.arm(tracked, rule, instrument, rule.reference)
        elif isinstance(rule, TimeExit):
            tracked.due_ns = due_ns(rule, instrument.exchange, self._session.calendar)

    def _guards(self, tracked: Tracked, rule: PositionRule, instrument: Instrument) -> None:
        """Look at the position a rule is about.

        Raises
        ------
        UsageError
            It is flat, or smaller than the rule.
        """
        assert tracked.key is not None
        where = f"{rule.kind} of {instrument.instrument_id} {rule.product}"
        held = self._positions.quantity(tracked.key)
        if not held:
            raise UsageError(
                f"{where}: there is no such position",
                kind=ErrorKind.POSITION_ALREADY_FLAT,
                remedy="open it first, or use a Bracket for an entry order; nothing was armed",
            )
        if rule.quantity is not None and not 0 < rule.quantity <= abs(held):
            raise UsageError(
                f"{where}: a quantity of {rule.quantity}, and the position is {held}",
                kind=ErrorKind.INVALID_QUANTITY,
                remedy=f"give more than 0, at most {abs(held)}; nothing was armed",
            )
        tracked.side = exit_side(held)

    def _entry(self, rule: Bracket) -> Order:
        found = self._orders.store.get(text("rule.entry", rule.entry))
        if found is None or found.instrument_id != self._master.resolve(rule.instrument_id).instrument_id:
            raise UsageError(
                f"Bracket of {rule.instrument_id}: no entry order {rule.entry!r} in it is known",
                kind=ErrorKind.ORDER_NOT_FOUND,
                remedy="place it first, and give its client_order_id; nothing was armed",
            )
        return found

    async def follow(self, rule: PriceRule, instrument: Instrument) -> None:
        """See to it that prices come: by the stream, or by quotes.

        Raises
        ------
        UsageError
            By neither. Quotes tell last prices alone.
        """
        can_poll = rule.poll and rule.source == "last" and bool(self._session.adapter.capabilities.features["quotes"])
        try:
            followed = self._engine.watch.follow(instrument, rule.source)
        except UsageError as error:
            if not can_poll:
                raise cannot_follow(instrument, error) from error
            _log.warning("%s is watched by polling alone: %s", instrument.instrument_id, error)
            return
        if not followed and not can_poll:
            raise cannot_follow(instrument, UsageError("there is no market stream"))

    async def arm(self, tracked: Tracked, rule: PriceRule, instrument: Instrument, reference: Decimal | None) -> None:
        """Work out the prices a rule watches; `reference` is what its terms count from, where they say so."""
        assert tracked.key is not None
        assert tracked.side is not None
        if reference is None and needs_reference(rule):
            reference = self._positions.average(tracked.key)
        last = None
        if (isinstance(rule, TrailingStop) and rule.start is None) or (isinstance(rule, Oco) and rule.trailing):
            last = self._price_of(instrument.instrument_id) or await self._engine.watch.price(instrument)
        size = abs(self._positions.quantity(tracked.key))
        tracked.legs = list(legs_of(rule, tracked.side, instrument, size=size, reference=reference, last=last))
