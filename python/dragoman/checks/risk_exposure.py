"""What is at stake: positions and working orders, kept as they change, so that a check costs the same at any number.

For each instrument the worse of two futures counts: all its working buys fill, or all its working sells do. An order
that is on its way, or of which nobody knows whether it is live, counts as working.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from dragoman.model import Instrument, Order, OrderUpdate, Origin, Pending, Side

_ZERO: Final = Decimal(0)


@dataclass(slots=True)
class Stake:
    """One instrument.

    Attributes
    ----------
    position : Decimal
        Net, short below 0.
    buys, sells : Decimal
        Units that working orders may still trade.
    orders : int
        How many work.
    price : Decimal
        What it was counted at last, times the multiplier; 0 where nobody knew.
    value : Decimal
        What it added to the account.
    underlying : str
    """

    position: Decimal = _ZERO
    buys: Decimal = _ZERO
    sells: Decimal = _ZERO
    orders: int = 0
    price: Decimal = _ZERO
    value: Decimal = _ZERO
    underlying: str = ""

    @property
    def worst(self) -> Decimal:
        """The largest absolute position that working orders can make of it."""
        return max(abs(self.position + self.buys), abs(self.position - self.sells), abs(self.position))


class Exposure:
    """Positions and working orders of one account.

    Parameters
    ----------
    instrument : callable
        Finds an instrument by id, or None.
    price : callable
        Returns the last price of an instrument, or None.
    """

    def __init__(
        self, instrument: Callable[[str], Instrument | None], price: Callable[[Instrument], Decimal | None]
    ) -> None:
        self._instrument = instrument
        self._price = price
        self._stakes: dict[str, Stake] = {}
        self._working: dict[str, tuple[str, bool, Decimal]] = {}  # of each order: instrument, buys, units left
        self._expected: dict[str, Decimal] = {}
        self.by_underlying: dict[str, Decimal] = {}
        self.total = _ZERO
        self.orders = 0

    def stake(self, instrument_id: str) -> Stake:
        """Return what is at stake in an instrument."""
        found = self._stakes.get(instrument_id)
        if found is None:
            found = self._stakes[instrument_id] = Stake()
            known = self._instrument(instrument_id)
            found.underlying = instrument_id if known is None else underlying_of(known)
        return found

    def on_order(self, update: OrderUpdate) -> None:
        """Take a change of an order in."""
        self.see(update.order)

    def see(self, order: Order) -> None:
        """Count an order as it is now."""
        name, works = order.client_order_id, order.status.working
        if order.origin is Origin.US:
            for order_id in order.order_ids:  # it was seen before anybody knew whose it is
                if (seen := self._working.pop(f"EXT-{order_id}", None)) is not None:
                    self._put(*seen, sign=-1)
        before = self._working.get(name)
        left = max(order.quantity - order.filled_quantity, _ZERO)
        if name in self._expected:
            if order.pending is Pending.MODIFY:
                left = max(left, self._expected[name])
            else:
                del self._expected[name]
        if before is not None:
            if works and before == (order.instrument_id, order.side is Side.BUY, left):
                return
            del self._working[name]
            self._put(*before, sign=-1)
        if works:
            now = (order.instrument_id, order.side is Side.BUY, left)
            self._working[name] = now
            self._put(*now, sign=1)

    def expect(self, client_order_id: str, left: Decimal) -> None:
        """Count an order at least so large from its next report on, until the change that is asked for is over."""
        self._expected[client_order_id] = left

    def _put(self, instrument_id: str, buys: bool, left: Decimal, *, sign: int) -> None:
        stake = self.stake(instrument_id)
        stake.orders += sign
        self.orders += sign
        if buys:
            stake.buys += sign * left
        else:
            stake.sells += sign * left
        self._value(instrument_id, stake)

    def hold(self, instrument_id: str, position: Decimal) -> None:
        """Take a net position in."""
        stake = self.stake(instrument_id)
        if stake.position != position:
            stake.position = position
            self._value(instrument_id, stake)

    def _value(self, instrument_id: str, stake: Stake) -> None:
        """Count an instrument anew, at its price now where there is one."""
        known = self._instrument(instrument_id)
        price = None if known is None else self._price(known)
        if known is not None and price is not None:
            stake.price = price * known.multiplier
        value = stake.worst * stake.price
        change = value - stake.value
        if change:
            stake.value = value
            self.total += change
            self.by_underlying[stake.underlying] = self.by_underlying.get(stake.underlying, _ZERO) + change


def underlying_of(instrument: Instrument) -> str:
    """Return the symbol of what an instrument stands for: its underlying, or itself, on whatever exchange."""
    name = instrument.underlying or instrument.symbol or instrument.instrument_id
    return name.rpartition(":")[2].partition("=")[0]
