"""What of a position moves with its mark, in whole numbers: profit on paper, value, and what the day made.

Everything else of a row changes with fills alone. So a mark that moves costs a few products of whole numbers, and none
of the fractions that a fill takes. They are rounded as `money` rounds: half to even, at `MONEY_PLACES` digits.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from dragoman.portfolio.lots import Lots
from dragoman.portfolio.money import MONEY_PLACES, Exact, exact

UNIT: Final = 10**MONEY_PLACES
"""Whole numbers here are this many to one unit of a currency."""

Ratio = tuple[int, int]
"""Numerator, and denominator above 0."""


class Terms:
    """The exact numbers of one position that its mark is set against, times its multiplier.

    Attributes
    ----------
    held : bool
        Whether any units are held: where none are, no mark changes anything.
    """

    __slots__ = ("_cash", "_cost", "_fifo", "_units", "held")

    def __init__(self, lots: Lots, close: Decimal | None, times: Exact) -> None:
        self.held = bool(lots.quantity)
        self._units = _ratio(lots.quantity * times)
        self._cost = None if lots.blank else _ratio(lots.cost * times)
        self._fifo = None if lots.blank else _ratio(lots.fifo_cost * times)
        self._cash: Ratio | None = None
        if close is not None or not lots.overnight_quantity:
            began = lots.overnight_quantity * exact(close) if close is not None else 0
            cash = lots.sold_value - lots.bought_value + lots.charged_value - lots.settled
            self._cash = _ratio((began - cash) * times)

    def value(self, mark: Ratio | None) -> int | None:
        """Return what is held is worth at a mark (None: there is none), in `UNIT`."""
        return self._gain(mark, _NOTHING)

    def unrealised(self, mark: Ratio | None) -> int | None:
        """Return the profit of what is held at average cost; None where the mark or the cost is not known."""
        return self._gain(mark, self._cost)

    def fifo_unrealised(self, mark: Ratio | None) -> int | None:
        """Return the same, first in first out."""
        return self._gain(mark, self._fifo)

    def m2m(self, mark: Ratio | None) -> int | None:
        """Return what the day made: today's cash, and what is held now against what was held at the previous close."""
        return self._gain(mark, self._cash)

    def _gain(self, mark: Ratio | None, less: Ratio | None) -> int | None:
        """Return units x mark - less."""
        if less is None:
            return None
        lost, part = less
        if not self.held:
            return rounded_ratio(-lost * UNIT, part)
        if mark is None:
            return None
        top, bottom = self._units[0] * mark[0], self._units[1] * mark[1]
        return rounded_ratio((top * part - lost * bottom) * UNIT, bottom * part)


_NOTHING: Final[Ratio] = (0, 1)


def rounded_ratio(top: int, bottom: int) -> int:
    """Divide by what is above 0, to the nearest whole number; half to even."""
    whole, left = divmod(top, bottom)
    left *= 2
    return whole + 1 if left > bottom or (left == bottom and whole & 1) else whole


def decimal_of(units: int | None) -> Decimal | None:
    """Return an amount in `UNIT` as the shortest decimal, as `money` shows it."""
    if units is None:
        return None
    places = MONEY_PLACES
    if not units % UNIT:
        return Decimal(units // UNIT)
    if not units % 10_000:
        units, places = units // 10_000, places - 4
    while not units % 10:
        units, places = units // 10, places - 1
    return Decimal(f"{units}E-{places}")


def units_of(shown: Decimal) -> int:
    """Return an amount that is shown, of at most `MONEY_PLACES` digits after the point, in `UNIT`."""
    top, bottom = shown.as_integer_ratio()
    return rounded_ratio(top * UNIT, bottom)


def _ratio(value: Exact) -> Ratio:
    return value.as_integer_ratio()
