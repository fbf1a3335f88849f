"""How single values of a report look in a table: escaped, and as people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any, Final
from zoneinfo import ZoneInfo

from dragoman.model.figures import clock, counted, priced
from dragoman.report.style import table

ROWS: Final = 400
_UNITS: Final = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"))

Cell = Callable[[Mapping[str, Any]], str]


def text(name: str) -> Cell:
    """Return what reads a field of words."""
    return lambda row: escape(str(row[name]))


def amount(name: str) -> Cell:
    """Return what reads a field of money, or of a price."""
    return lambda row: money(row[name])


def total(name: str) -> Cell:
    """Return what reads a sum of money, to two digits after the point: the page's numbers have all of them."""
    return lambda row: "" if row[name] is None else f"{Decimal(row[name]):,.2f}"


def units(name: str) -> Cell:
    """Return what reads a quantity."""
    return lambda row: quantity(row[name])


def moment(name: str, zone: ZoneInfo) -> Cell:
    """Return what reads a time of day."""
    return lambda row: at(row[f"{name}_ns"], zone) if row[name] is not None else ""


def at(ns: int, zone: ZoneInfo) -> str:
    """Return a time of day to the ms."""
    return f"{clock(ns, zone)}.{ns // 1_000_000 % 1000:03d}"


def money(value: str | None) -> str:
    """Return an amount: two digits after the point, up to four where it has more; nothing where it is not known."""
    if value is None:
        return ""
    found = Decimal(value)
    return priced(found) if found.is_finite() else escape(value)


def quantity(value: str | None) -> str:
    """Return a quantity with all its digits."""
    if value is None:
        return ""
    found = Decimal(value)
    return counted(found) if found.is_finite() else escape(value)


def wait(ns: int | None) -> str:
    """Return a duration in the unit that suits it."""
    if ns is None:
        return ""
    for size, unit in _UNITS:
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 1000 * size else f"{ns / size:,.0f} {unit}"
    return f"{ns} ns"


def rows(
    columns: Mapping[str, Cell], found: Sequence[Mapping[str, Any]], *, numbers: Iterable[str] = (), empty: str
) -> str:
    """Return a table of `found`, or a sentence where there is nothing; a very long one ends, and says so."""
    if not found:
        return f'<p class="soft">{escape(empty)}</p>'
    right = frozenset(numbers)
    lines = ([cell(row) for cell in columns.values()] for row in found[:ROWS])
    places = [place for place, name in enumerate(columns) if name in right]
    more = len(found) - ROWS
    said = f'<p class="soft">{more} more are in the numbers of this page.</p>' if more > 0 else ""
    return table([escape(name) for name in columns], lines, places) + said
