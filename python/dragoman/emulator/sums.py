"""What brokers report of a position, from what the venue knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from dragoman.emulator.venue.types import MarketView, VenuePosition


@dataclass(slots=True)
class Side:
    """Bought or sold: units, what they cost, and what they cost with the overnight part at the previous close."""

    quantity: Decimal
    value: Decimal
    m2m: Decimal

    @property
    def price(self) -> Decimal:
        return self.value / self.quantity if self.quantity else Decimal(0)


@dataclass(frozen=True, slots=True)
class PositionSums:
    """Both sides of a position and its profit; prices are money a unit, so a multiplier is still in them."""

    bought: Side
    sold: Side
    quantity: Decimal
    average: Decimal
    pnl: Decimal
    m2m: Decimal


def position_sums(position: VenuePosition, market: MarketView, multiplier: Decimal, *, net: bool) -> PositionSums:
    """Add up a position, with what was carried over night (`net`) or without it.

    ``pnl = sold value - bought value + quantity x last price x multiplier``.
    """
    bought = Side(position.day_buy_quantity, position.day_buy_value, position.day_buy_value)
    sold = Side(position.day_sell_quantity, position.day_sell_value, position.day_sell_value)
    overnight = position.overnight_quantity
    if net and overnight:
        carried = bought if overnight > 0 else sold
        carried.quantity += abs(overnight)
        carried.value += abs(overnight) * position.overnight_price * multiplier
        carried.m2m += abs(overnight) * market.close * multiplier
    quantity = bought.quantity - sold.quantity
    worth = quantity * market.last_price * multiplier
    average = (bought if quantity > 0 else sold).price if quantity else Decimal(0)
    pnl, m2m = (getattr(sold, name) - getattr(bought, name) + worth for name in ("value", "m2m"))
    return PositionSums(bought, sold, quantity, average, pnl, m2m)
