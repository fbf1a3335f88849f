"""What a day began with, from the broker's positions and the fills known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from dragoman.model import Fill, Position, PriceBasis
from dragoman.portfolio.lots import Lots
from dragoman.portfolio.money import Exact, exact, quantity, ratio
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


def opening_of(position: Position, day: Traded, moved: Exact, *, converted: bool = False) -> Opening:
    """Return what the position was before the day's trades.

    A broker that tells the day's trades is believed about the overnight part too: a fill that it counts and we do not
    know is late, and no part of the opening. Unless units were `converted` before we were there to see it, or the
    broker tells none of the day's trades: then it is its net less what happened since, as far as we know.

    Parameters
    ----------
    position : Position
    day : Traded
        What our fills of the day come to.
    moved : Exact
        By how much the position changed today: fills, and conversions and adjustments that were told.
    converted : bool
        The broker's products together changed as ours did, but this one did not.
    """
    key: PositionKey = (position.instrument_id, position.product, position.position_side)
    told, net = exact(position.overnight_quantity), exact(position.quantity) - moved
    source, carried, difference = "the broker's net less our fills", net, None
    if position.day_buy_quantity is not None:
        if converted and net != told:
            ours, theirs = position.quantity - quantity(moved), position.overnight_quantity
            difference = Discrepancy(*key, "overnight_quantity", ours, theirs)
        else:
            source, carried = "the broker's overnight quantity", told
    if not carried:
        return Opening(0, 0, PriceBasis.FILLS, "", difference)
    price, basis = _price(position, day, carried)
    return Opening(carried, price, basis, source, difference)


def of_today(
    held: Iterable[Fill], traded: Mapping[PositionKey, Traded], positions: Iterable[Position]
) -> Callable[[Fill], bool | None]:
    """Return what says whether corrections of trades that nobody told are of today, by what the broker counts.

    A broker that tells the day's trades has them among those, or nobody knows yet; one that does not, has them in its
    net, and so in what the day began with.

    Parameters
    ----------
    held : iterable of Fill
        The corrections.
    traded : mapping
        What our fills of the day come to without them.
    positions : iterable of Position
    """
    sums, theirs = Traded.sums(held), {(one.instrument_id, one.product, one.position_side): one for one in positions}

    def known(fill: Fill) -> bool | None:
        key: PositionKey = (fill.instrument_id, fill.product, fill.position_side)
        position, ours = theirs.get(key), traded.get(key) or Traded()
        if position is None or position.day_buy_quantity is None or position.day_sell_quantity is None:
            return False
        if fill.side.sign > 0:
            more, mine = exact(position.day_buy_quantity) - ours.bought, sums[key].bought
        else:
            more, mine = exact(position.day_sell_quantity) - ours.sold, sums[key].sold
        return True if mine and more == mine else None

    return known


def day_change(position: Position) -> Exact:
    """Return by how much a position changed today, as the broker has it."""
    return exact(position.quantity) - exact(position.overnight_quantity)


def from_overnight(position: Position, units: Decimal) -> bool:
    """Whether converting `units` of a position takes what was carried over: today's part goes first if it suffices.

    Both count in the same unit, the broker's or ours.
    """
    held, carried = abs(position.quantity), position.overnight_quantity
    carried = min(abs(carried), held) if carried * position.quantity > 0 else Decimal(0)
    return units > held - carried


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
