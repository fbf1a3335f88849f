"""Which rows a pane shows, and in which order: the ways that `f` and `s` go through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

from dragoman.cli.watch.rows import OrderRow, PositionRow, PriceRow
from dragoman.model import OrderStatus

T = TypeVar("T")
_LEAST: Final = Decimal("-Infinity")
_BAD: Final = (OrderStatus.REJECTED, OrderStatus.DENIED, OrderStatus.EXPIRED, OrderStatus.UNKNOWN)
MOST: Final = 200
"""So many rows a pane shows; the others are counted in its title."""


@dataclass(frozen=True, slots=True)
class Way(Generic[T]):
    """One way to filter or sort rows. `of` says whether a row is shown, or what rows are sorted by."""

    name: str
    of: Callable[[T], Any]


class Arranged(Generic[T]):
    """A filter and an order of rows, each one of several.

    Parameters
    ----------
    filters, sorts : sequence of Way
    """

    def __init__(self, filters: Sequence[Way[T]], sorts: Sequence[Way[T]]) -> None:
        self._filters, self._sorts = filters, sorts
        self._filter = self._sort = 0

    def next_filter(self) -> str:
        """Go to the next filter; return its name."""
        self._filter = (self._filter + 1) % len(self._filters)
        return self._filters[self._filter].name

    def next_sort(self) -> str:
        """Go to the next order; return its name."""
        self._sort = (self._sort + 1) % len(self._sorts)
        return self._sorts[self._sort].name

    def rows(self, rows: Sequence[T]) -> list[T]:
        """Return what is shown of `rows`, at most `MOST`."""
        kept = [row for row in rows if self._filters[self._filter].of(row)]
        return sorted(kept, key=self._sorts[self._sort].of)[:MOST]

    def words(self, shown: int, known: int) -> str:
        """Return what a title says of it: how many of how many, and which."""
        ways = f"{self._filters[self._filter].name}, by {self._sorts[self._sort].name}"
        return f"{shown} of {known}, {ways}" if shown != known else f"{known}, by {self._sorts[self._sort].name}"


def order_ways() -> Arranged[OrderRow]:
    """Return the ways for orders: those that work come first, then the newest."""
    return Arranged(
        [
            Way("all", lambda row: True),
            Way("working", lambda row: row.working),
            Way("refused or unknown", lambda row: row.status in _BAD),
        ],
        [
            Way("life", lambda row: (not row.working, -(row.ts or 0))),
            Way("newest", lambda row: -(row.ts or 0)),
            Way("instrument", lambda row: (row.instrument_id, -(row.ts or 0))),
        ],
    )


def position_ways() -> Arranged[PositionRow]:
    """Return the ways for positions."""
    return Arranged(
        [Way("all", lambda row: True), Way("open", lambda row: bool(row.quantity))],
        [
            Way("instrument", lambda row: row.key),
            Way("worst first", lambda row: row.unrealised if row.unrealised is not None else _LEAST),
            Way("size", lambda row: -abs(row.value) if row.value is not None else _LEAST),
        ],
    )


def price_ways() -> Arranged[PriceRow]:
    """Return the ways for the watch list."""
    return Arranged(
        [Way("all", lambda row: True)],
        [
            Way("list", lambda row: 0),
            Way("instrument", lambda row: row.instrument_id),
            Way("change", lambda row: -(row.change or 0.0)),
        ],
    )
