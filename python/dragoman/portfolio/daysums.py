"""What the day made over all positions, without a look at each of them.

Theory. A position's profit of the day is its exact part (today's cash, the previous close, the cost of what is held)
plus its unrealised profit at the mark. The first changes with fills and closes alone and is added up as they come; the
second is a running total of the native marks. So the sum costs the same for a thousand positions as for one, but for
the look whether their marks are old.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

from dragoman.model import LivePosition
from dragoman.portfolio.lots import Lots
from dragoman.portfolio.marking import Marking
from dragoman.portfolio.money import MONEY_PLACES, Exact, exact, rounded
from dragoman.portfolio.net import PositionKey
from dragoman.portfolio.rows import DayMade, day_made

PLACES: Final = 4
"""Digits after the point of a sum: what a sum of marks in floating point is good for, and limits are made of."""
_UNIT: Final = 10**MONEY_PLACES
_GRAIN: Final = 10 ** (MONEY_PLACES - PLACES)
_HALF: Final = _GRAIN // 2


@dataclass(frozen=True, slots=True)
class _Part:
    """What one position adds: `fixed` in units of 10^-8 of the currency; None where the close is not known."""

    currency: str
    handle: int
    held: bool
    fixed: int | None
    odd: bool


@dataclass(slots=True)
class _Sum:
    """One currency: how many positions, the sum of their fixed parts, whose marks count, and who has no close.

    `fresh_until` is when the first of the marks becomes old, where none gets newer; `breaks` the gaps known by then.
    """

    parts: int = 0
    fixed: int = 0
    held: dict[PositionKey, int] = field(default_factory=dict)
    unclosed: set[PositionKey] = field(default_factory=set)
    fresh_until: int = -1
    breaks: int = 0


class DaySums:
    """The day's profit by currency.

    Parameters
    ----------
    marking : Marking
    """

    def __init__(self, marking: Marking) -> None:
        self._marking = marking
        self._parts: dict[PositionKey, _Part] = {}
        self._sums: dict[str, _Sum] = {}
        self._odd: set[PositionKey] = set()

    def keys(self) -> Iterable[PositionKey]:
        """Return the positions that are counted, those that are gone since included."""
        return self._parts.keys()

    def put(
        self,
        key: PositionKey,
        lots: Lots,
        handle: int,
        currency: str,
        multiplier: Decimal | None,
        close: Decimal | None,
    ) -> None:
        """Take in what a position is now, after the native marks have; `multiplier` is None where nobody knows it."""
        self._take_out(key)
        if lots.empty:
            return
        held = bool(lots.quantity)
        odd = multiplier is None or (held and (lots.blank or self._marking.slot(key) is None))
        fixed = None if odd or multiplier is None else _fixed(lots, close, exact(multiplier))
        part = self._parts[key] = _Part(currency, handle, held, fixed, odd)
        if odd:
            self._odd.add(key)
            return
        one = self._sums.setdefault(currency, _Sum())
        one.parts += 1
        if held:
            one.held[key] = handle
            one.fresh_until = min(one.fresh_until, self._marking.fresh_until((handle,)))
        if fixed is None:
            one.unclosed.add(key)
        else:
            one.fixed += part.fixed or 0

    def made(self, row: Callable[[PositionKey], LivePosition | None]) -> dict[str, DayMade]:
        """Return the sums, to `PLACES` digits; `row` is asked for positions that have to be looked at by themselves."""
        made = {currency: self._made(currency, one) for currency, one in self._sums.items() if one.parts}
        if not self._odd:
            return made
        apart = [found for key in self._odd if (found := row(key)) is not None]
        for currency, more in day_made(apart).items():
            mine = made.get(currency, DayMade(Decimal(0)))
            profit = rounded(exact(mine.profit) + exact(more.profit), PLACES)
            made[currency] = DayMade(profit, mine.unmarked + more.unmarked, mine.unclosed + more.unclosed)
        return made

    def _made(self, currency: str, one: _Sum) -> DayMade:
        marking = self._marking
        old = self._old(one)
        if not (old or one.unclosed or self._odd):
            # Nearly always, and asked before every order: whole numbers do.
            units = one.fixed + round(marking.total(currency) * _UNIT)
            return DayMade(Decimal((units + _HALF) // _GRAIN).scaleb(-PLACES))
        total = Fraction(one.fixed, _UNIT) + Fraction(marking.total(currency))
        apart = (key for key in self._odd if self._parts[key].currency == currency)
        for key in (*one.unclosed, *apart):
            if self._parts[key].held and math.isfinite(gain := marking.unrealised(key)):
                total -= Fraction(gain)  # counted natively, and told apart
        for key in old:
            fixed = self._parts[key].fixed
            if fixed is not None and not math.isfinite(marking.unrealised(key)):
                total -= Fraction(fixed, _UNIT)
        return DayMade(rounded(total, PLACES), tuple(key[0] for key in old), tuple(key[0] for key in one.unclosed))

    def _old(self, one: _Sum) -> list[PositionKey]:
        """Return the positions whose mark is old; all marks are looked at only when one may have become that."""
        marking = self._marking
        if marking.breaks == one.breaks and marking.now_ns() <= one.fresh_until:
            return []
        old = marking.old(one.held)
        one.breaks, one.fresh_until = marking.breaks, -1 if old else marking.fresh_until(one.held.values())
        return old

    def _take_out(self, key: PositionKey) -> None:
        part = self._parts.pop(key, None)
        if part is None:
            return
        if part.odd:
            self._odd.discard(key)
            return
        one = self._sums[part.currency]
        one.parts -= 1
        one.held.pop(key, None)
        one.unclosed.discard(key)
        one.fixed -= part.fixed or 0


def _fixed(lots: Lots, close: Decimal | None, times: Exact) -> int | None:
    """Return what the day made beside the unrealised profit of what is held, in 10^-8."""
    if close is None and lots.overnight_quantity:
        return None
    began = lots.overnight_quantity * exact(close) if close is not None else 0
    cash = lots.sold_value - lots.bought_value + lots.charged_value - lots.settled
    return round((cash - began + (lots.cost if lots.quantity else 0)) * times * _UNIT)
