"""Rows and totals as they were shown last: what did not change is neither counted nor built again.

Theory. Most of a row changes with fills alone; `Terms` has what moves with the mark. Asking costs a look at the time
and price of each mark, natively, and work for the positions that changed or whose mark did. Sums are kept in whole
numbers, of what the rows show, so that they are exactly the sums of the rows in whatever order those came and went.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Final

from dragoman._core import copied
from dragoman.model import LivePosition, PnL
from dragoman.portfolio.marked import Ratio, Terms, decimal_of, units_of
from dragoman.portfolio.marking import Marking
from dragoman.portfolio.net import PositionKey

_NEVER: Final = -(2**63)
_SUMS: Final = ("realised", "unrealised", "m2m", "income", "charges", "value")


@dataclass(slots=True, eq=False)
class _Row:
    """One position: the row as it was built, what marks it, and what it adds to the sums at the mark held."""

    key: PositionKey
    handle: int
    built: LivePosition
    terms: Terms
    price: float
    ts: int
    stale: bool
    last: Decimal | None = None
    mark: Ratio | None = None
    shown: LivePosition | None = None
    unrealised: int | None = None
    value: int | None = None
    m2m: int | None = None

    def count(self) -> None:
        """Count what the mark moves."""
        self.last = Decimal(repr(self.price)) if self.ts != _NEVER else None
        self.mark = None if self.last is None else self.last.as_integer_ratio()
        self.unrealised = self.terms.unrealised(self.mark)
        self.value = self.terms.value(self.mark)
        self.m2m = self.terms.m2m(self.mark)

    @property
    def known(self) -> bool:
        """Whether every number is known that totals add up."""
        return None not in (self.unrealised, self.value, self.m2m, self.built.realised_pnl)

    def show(self) -> LivePosition:
        """Return the row at the mark held; the very same as before where nothing moved."""
        if self.shown is None:
            self.shown = copied(
                self.built,
                last_price=self.last,
                ts_mark=None if self.last is None else self.ts,
                stale=self.stale,
                unrealised_pnl=decimal_of(self.unrealised),
                fifo_unrealised_pnl=decimal_of(self.terms.fifo_unrealised(self.mark)),
                value=decimal_of(self.value),
                m2m=decimal_of(self.m2m),
            )
        return self.shown


class _Named:
    """Positions to be named in totals; in order once somebody asks, until there are others."""

    __slots__ = ("_changed", "_keys", "_named", "_names")

    def __init__(self) -> None:
        self._keys: set[PositionKey] = set()
        self._named: set[PositionKey] = set()
        self._names: tuple[str, ...] = ()
        self._changed = False

    def have(self, key: PositionKey, there: bool) -> None:
        if (key in self._keys) is not there:
            (self._keys.add if there else self._keys.remove)(key)
            self._changed = True

    def names(self) -> tuple[str, ...]:
        if self._changed and self._keys != self._named:  # one that is counted anew goes and comes
            self._named = self._keys.copy()
            self._names = tuple(key[0] for key in sorted(self._named))
        self._changed = False
        return self._names


@dataclass(slots=True)
class _Sum:
    """The positions of one currency together; money in `UNIT`."""

    rows: int = 0
    held: int = 0
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0))
    unknown: _Named = field(default_factory=_Named)
    unknown_charges: _Named = field(default_factory=_Named)
    stale: _Named = field(default_factory=_Named)
    elsewhere: dict[PositionKey, int] = field(default_factory=dict)

    def shown(self, currency: str) -> PnL:
        money = {name: decimal_of(units) for name, units in self.sums.items()}
        return PnL(
            currency=currency,
            positions=self.held,
            unknown=self.unknown.names(),
            unknown_charges=self.unknown_charges.names(),
            stale=self.stale.names(),
            **money,  # type: ignore[arg-type]
        )


class KeptRows:
    """The rows of one book.

    Parameters
    ----------
    marking : Marking
    """

    def __init__(self, marking: Marking) -> None:
        self._marking = marking
        self._rows: dict[PositionKey, _Row] = {}
        self._order: list[PositionKey] = []
        self._listed: list[_Row] | None = None
        self._handles: list[int] = []
        self._prices: list[float] = []
        self._times: list[int] = []
        self._apart: set[_Row] = set()  # looked at since all were
        self._sums: dict[str, _Sum] = {}
        self._breaks = 0
        self._any_stale = False

    def __iter__(self) -> Iterator[PositionKey]:
        return iter(self._order)

    def put(self, key: PositionKey, handle: int, built: LivePosition, terms: Terms) -> None:
        """Take in what a position is now, at whichever mark it was built."""
        marks, row = self._marking.marks, self._rows.get(key)
        price, ts = marks.price(handle), marks.time(handle)
        stale = terms.held and self._marking.is_old(handle, ts)
        if row is None:
            row = self._rows[key] = _Row(key, handle, built, terms, price, ts, stale)
            insort(self._order, key)
            self._listed = None
        else:
            self._add(row, -1)
            row.handle, row.built, row.terms, row.price, row.ts, row.stale = handle, built, terms, price, ts, stale
            row.shown = None
        self._apart.add(row)
        row.count()
        self._any_stale |= stale
        self._add(row, 1)

    def drop(self, key: PositionKey) -> None:
        """Take out a position of which there is nothing to tell any more."""
        row = self._rows.pop(key, None)
        if row is not None:
            self._add(row, -1)
            del self._order[bisect_left(self._order, key)]
            self._listed = None
            self._apart.discard(row)

    def get(self, key: PositionKey) -> LivePosition | None:
        """Return one row at the newest mark; None where there is nothing to tell."""
        row = self._rows.get(key)
        if row is None:
            return None
        marks = self._marking.marks
        ts = marks.time(row.handle)
        self._see(row, marks.price(row.handle), ts)
        self._judge(row, self._marking.is_old(row.handle, ts))
        self._apart.add(row)
        return row.show()

    def rows(self) -> list[LivePosition]:
        """Return all of them at the newest marks, by instrument, product and side."""
        return [row.shown or row.show() for row in self._looked()]

    def totals(self) -> dict[str, PnL]:
        """Return the sums of what `rows` shows, by currency."""
        self._looked()
        return {currency: one.shown(currency) for currency, one in self._sums.items()}

    def charges(self) -> dict[str, Decimal]:
        """Return the sums of what the positions were charged, by currency; no mark is looked at for that."""
        return {currency: _charged(one.sums["charges"]) for currency, one in self._sums.items()}

    # -- marks -------------------------------------------------------------------------------------------------------

    def _looked(self) -> list[_Row]:
        """Return all rows in order, up to date with the marks."""
        rows = self._listed
        if rows is None:
            rows = self._listed = [self._rows[key] for key in self._order]
            self._handles = [row.handle for row in rows]
            self._prices, self._times = [row.price for row in rows], [row.ts for row in rows]
            self._apart = set(rows)
        marking = self._marking
        prices, times = list(map(marking.marks.price, self._handles)), list(map(marking.marks.time, self._handles))
        if times != self._times or prices != self._prices:
            before = zip(self._times, self._prices, strict=True)
            for row, ts, price, (old_ts, old) in zip(rows, times, prices, before, strict=True):
                if ts != old_ts or (price != old and ts != _NEVER):
                    self._see(row, price, ts)
            self._times, self._prices = times, prices
        for row in self._apart:
            self._see(row, marking.marks.price(row.handle), marking.marks.time(row.handle))
        self._apart.clear()
        self._age(rows, times)
        return rows

    def _see(self, row: _Row, price: float, ts: int) -> None:
        """Take the mark of a position as it is now."""
        if ts != row.ts or (price != row.price and ts != _NEVER):
            row.shown, row.ts = None, ts
            if price != row.price:
                self._move(row, price)

    def _age(self, rows: Sequence[_Row], times: Sequence[int]) -> None:
        """Take note of which marks are old now."""
        marking = self._marking
        oldest = marking.oldest_ns()
        if not self._any_stale and marking.breaks == self._breaks and min(times, default=oldest) >= oldest:
            return  # nearly always: all of them came lately
        self._any_stale, self._breaks = False, marking.breaks
        for row, ts in zip(rows, times, strict=True):
            self._judge(row, marking.is_old(row.handle, ts, oldest))

    def _judge(self, row: _Row, old: bool) -> None:
        stale = row.terms.held and old
        self._any_stale |= stale
        if stale is not row.stale:
            row.stale, row.shown = stale, None
            self._sums[row.built.currency].stale.have(row.key, stale)

    def _move(self, row: _Row, price: float) -> None:
        """Put a position at another price into the sums, in place of what it was."""
        row.price = price
        one, terms = self._sums[row.built.currency], row.terms
        sums, was_known = one.sums, row.known
        before = (row.unrealised or 0, row.value or 0, row.m2m or 0)
        row.count()
        if not terms.held:
            return
        sums["unrealised"] += (row.unrealised or 0) - before[0]
        sums["value"] += (row.value or 0) - before[1]
        sums["m2m"] += (row.m2m or 0) - before[2]
        if row.known is not was_known:
            one.unknown.have(row.key, not row.known)

    # -- sums --------------------------------------------------------------------------------------------------------

    def _add(self, row: _Row, times: int) -> None:
        """Count a position in, or out with -1."""
        built, currency = row.built, row.built.currency
        one = self._sum(currency)
        parts = (
            None if built.realised_pnl is None else units_of(built.realised_pnl),
            row.unrealised,
            row.m2m,
            units_of(built.income),
            None if built.charges is None else units_of(built.charges),
            row.value,
        )
        for name, part in zip(_SUMS, parts, strict=True):
            if part:
                one.sums[name] += times * part
        one.rows += times
        one.held += times * row.terms.held
        traded = bool(built.day_buy_quantity or built.day_sell_quantity)
        one.unknown.have(row.key, times > 0 and not row.known)
        one.unknown_charges.have(row.key, times > 0 and built.charges is None and traded)
        one.stale.have(row.key, times > 0 and row.stale)
        for other, fees in built.charges_elsewhere:
            self._add_elsewhere(other, row.key, times * units_of(fees))
        if not one.rows and not one.elsewhere:
            del self._sums[currency]

    def _sum(self, currency: str) -> _Sum:
        return self._sums.setdefault(currency, _Sum())

    def _add_elsewhere(self, currency: str, key: PositionKey, fees: int) -> None:
        """Count fees that a position of another currency was charged in this one."""
        one = self._sum(currency)
        one.sums["charges"] += fees
        if key in one.elsewhere:
            del one.elsewhere[key]
        else:
            one.elsewhere[key] = fees
        if not one.rows and not one.elsewhere:
            del self._sums[currency]


@lru_cache(maxsize=64)
def _charged(units: int | None) -> Decimal:
    """Return an amount as a decimal; between two fills it is the same, and asked for before orders."""
    return decimal_of(units) or Decimal(0)
