"""Long runs of plain trades, counted in whole numbers: a late fill has a whole day counted again.

Theory. Units and prices of at most `SCALE` digits after the point are whole numbers once shifted, and so is every sum
of their products. Only the average cost has to be divided, and is kept as a numerator over a denominator of its own. So
a trade costs a few products and sums, where `Lots.trade`, which says what it means, takes fractions through their
common divisors at each step. Both come to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Final, Protocol

from dragoman.portfolio.lots import Lot, Lots
from dragoman.portfolio.money import COST_BITS, COST_PLACES, Exact, ratio

SCALE: Final = 18
"""Digits after the point of units and prices that are counted this way."""
_ONE: Final = 10**SCALE
_VALUE: Final = _ONE * _ONE
_WIDE: Final = 1 << COST_BITS
_FINE: Final = 10 ** (COST_PLACES - 2 * SCALE)


class Plain(Protocol):
    """A trade in whole numbers.

    Attributes
    ----------
    lot : Lot
        Signed quantity, and price.
    units, at : int or None
        Both, shifted by `SCALE` digits; None where that is not whole.
    """

    @property
    def lot(self) -> Lot: ...
    @property
    def units(self) -> int | None: ...
    @property
    def at(self) -> int | None: ...


def shifted(value: Exact) -> int | None:
    """Return a number with its point moved by `SCALE` digits; None where it has more of them."""
    if isinstance(value, int):
        return value * _ONE
    whole, left = divmod(value.numerator * _ONE, value.denominator)
    return None if left else whole


def count_run(lots: Lots, trades: Sequence[Plain]) -> int:
    """Let trades of one position happen one after the other, as `Lots.trade` does; return how many.

    It stops before the first that cannot be counted this way.
    """
    begun = held = shifted(lots.quantity)
    if begun is None or held is None or lots.blank:
        return 0
    top, bottom = _divided(lots.cost.numerator * _VALUE, lots.cost.denominator)
    queue, done = lots.lots, 0
    # Whole numbers of the lots, 0 where they were not needed yet; no tuples, for so many would have the collector of
    # garbage go over all there is.
    sizes, prices = [0] * len(queue), [0] * len(queue)
    first = rest = 0  # the oldest lot there still is, and how much of it where that is not all
    paid = fifo = bought = bought_value = 0
    for trade in trades:
        units, at = trade.units, trade.at
        if units is None or at is None:
            break
        value, after = units * at, held + units
        if not held or (held > 0) == (units > 0):
            top += value * bottom
            fifo += value
            queue.append(trade.lot)
            sizes.append(units)
            prices.append(at)
        else:
            crossed = (after > 0) != (held > 0)  # nothing is left of what was held
            wanted = held if crossed else -units
            before = fifo, first, rest
            while wanted:
                size = rest or sizes[first]
                if not size:
                    pair = _shifted(queue[first])
                    if pair is None:
                        break
                    size, prices[first] = pair
                    sizes[first] = size
                left = size - wanted
                if left and (left > 0) == (held > 0):
                    rest = left
                    fifo -= wanted * prices[first]
                    wanted = 0
                else:
                    fifo -= size * prices[first]
                    first, rest, wanted = first + 1, 0, -left
            if wanted:
                fifo, first, rest = before
                break
            if not crossed:
                if held > 0:
                    top, bottom = top * after, bottom * held
                else:
                    top, bottom = top * -after, bottom * -held
                if bottom > _WIDE:
                    top, bottom = _divided(top, bottom)
            else:
                top, bottom = 0, 1
                if after:
                    top = after * at
                    fifo += top
                    queue.append((ratio(after, _ONE), trade.lot[1]))
                    sizes.append(after)
                    prices.append(at)
        held = after
        paid += value
        if units > 0:
            bought += units
            bought_value += value
        done += 1
    if rest:
        queue[first] = ratio(rest, _ONE), queue[first][1]
    del queue[:first]
    lots.quantity = ratio(held, _ONE)
    lots.cost = ratio(top, bottom * _VALUE)
    lots.traded += done
    lots.bought += ratio(bought, _ONE)
    lots.sold += ratio(bought - (held - begun), _ONE)
    lots.bought_value += ratio(bought_value, _VALUE)
    lots.sold_value += ratio(bought_value - paid, _VALUE)
    laid = ratio(paid, _VALUE)
    lots.paid += laid
    lots.fifo_paid += laid
    lots.fifo_cost += ratio(fifo, _VALUE)
    return done


def _divided(top: int, bottom: int) -> tuple[int, int]:
    """Return a fraction in its least digits, or in fewer where they are many; see `money.bounded`."""
    part = gcd(top, bottom)
    top, bottom = top // part, bottom // part
    if bottom.bit_length() > COST_BITS:
        whole, left = divmod(top * _FINE, bottom)
        return whole + (2 * left >= bottom), _FINE
    return top, bottom


def _shifted(lot: Lot) -> tuple[int, int] | None:
    """Return a lot's quantity and price in whole numbers; None where one of them is not whole."""
    size, price = shifted(lot[0]), shifted(lot[1])
    return None if size is None or price is None else (size, price)
