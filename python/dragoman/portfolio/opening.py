"""What a day began with, from the broker's positions and the fills known of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from dragoman.model import Fill, Position, PriceBasis
from dragoman.portfolio.lots import Lots
from dragoman.portfolio.money import Exact, exact, ratio
from dragoman.portfolio.net import Discrepancy, PositionKey


@dataclass(frozen=True, slots=True)
class Opening:
    """The carried-over part of a position.

    Attributes
    ----------
    price : Exact or None
        What a unit cost; None where nobody says.
    source : str
        How it was found.
    difference : Discrepancy or None
        Where the broker's overnight part and its net less our fills differ: the net was believed.
    """

    quantity: Exact
    price: Exact | None
    basis: PriceBasis
    source: str
    difference: Discrepancy | None = None

    def lots(self) -> Lots:
        """Return the count that begins with it."""
        made = Lots()
        if self.quantity:
            made.receive(self.quantity, self.price)
        return made


@dataclass(slots=True)
class Traded:
    """What fills of one position and day come to."""

    net: Exact = 0
    bought: Exact = 0
    sold: Exact = 0
    bought_value: Exact = 0
    sold_value: Exact = 0

    @classmethod
    def sums(cls, fills: Iterable[Fill]) -> dict[PositionKey, Traded]:
        """Add fills up by position."""
        found: dict[PositionKey, Traded] = {}
        for fill in fills:
            one = found.setdefault((fill.instrument_id, fill.product, fill.position_side), cls())
            units = exact(fill.quantity)
            one.net += fill.side.sign * units
            if fill.side.sign > 0:
                one.bought += units
                one.bought_value += units * exact(fill.price)
            else:
                one.sold += units
                one.sold_value += units * exact(fill.price)
        return found


def opening_of(position: Position, traded: Mapping[PositionKey, Traded]) -> Opening:
    """Return what the position was before the day's trades.

    The broker's overnight part counts where it and our fills make the broker's net, or where the broker tells none of
    the day's trades its net less our fills. Where they contradict each other, the net is believed, and the difference
    told.
    """
    key: PositionKey = (position.instrument_id, position.product, position.position_side)
    day = traded.get(key) or Traded()
    carried = exact(position.quantity) - day.net
    told = exact(position.overnight_quantity)
    source, difference = "the broker's net less our fills", None
    if position.day_buy_quantity is not None:
        if told == carried:
            source = "the broker's overnight quantity"
        else:
            ours, theirs = Decimal(0) + position.quantity - _plain(day.net), position.overnight_quantity
            difference = Discrepancy(*key, "overnight_quantity", ours, theirs)
    if not carried:
        return Opening(0, 0, PriceBasis.FILLS, "", difference)
    price, basis = _price(position, day, carried)
    return Opening(carried, price, basis, source, difference)


def from_overnight(position: Position, quantity: Decimal) -> bool:
    """Whether converting `quantity` of a position takes what was carried over: today's part goes first if it suffices.

    Both count in the same unit, the broker's or ours.
    """
    held, carried = abs(position.quantity), position.overnight_quantity
    carried = min(abs(carried), held) if carried * position.quantity > 0 else Decimal(0)
    return quantity > held - carried


def _price(position: Position, day: Traded, carried: Exact) -> tuple[Exact | None, PriceBasis]:
    """Return what a carried-over unit cost, and how that is known."""
    if not day.bought and not day.sold:
        if position.average_price is not None:
            return exact(position.average_price), PriceBasis.BROKER
    elif carried > 0 and exact(position.buy_quantity) == carried + day.bought and position.buy_value:
        # The broker counts what was carried over into what was bought: the rest of its value is ours to divide.
        value = ratio(exact(position.buy_value), exact(position.multiplier)) - day.bought_value
        return ratio(value, carried), PriceBasis.DERIVED
    elif carried < 0 and exact(position.sell_quantity) == day.sold - carried and position.sell_value:
        value = ratio(exact(position.sell_value), exact(position.multiplier)) - day.sold_value
        return ratio(value, -carried), PriceBasis.DERIVED
    elif position.average_price is not None and not (day.sold if carried > 0 else day.bought):
        # Only added to today: its average is of both, weighted.
        total = exact(position.average_price) * exact(position.quantity)
        added = day.bought_value - day.sold_value
        return ratio(total - added, carried), PriceBasis.DERIVED
    elif position.average_price is not None and not (day.bought if carried > 0 else day.sold):
        return exact(position.average_price), PriceBasis.BROKER  # only reduced: the average has not moved
    if position.close_price is not None:
        return exact(position.close_price), PriceBasis.DERIVED
    return None, PriceBasis.BROKER


def _plain(value: Exact) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)
