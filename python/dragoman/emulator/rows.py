"""JSON as a broker writes it, as tables: each key beside what of a record stands there.

A text that starts with a dot is a path into the record (``.order.tag``; a dot alone is all of it); everything else
stands for itself. Decimals are written as JSON numbers. `Or` stands in for what is missing, `As` converts what a path
leads to, `Rows` writes each of several records, `Levels` one side of a book.

Example
-------
>>> from types import SimpleNamespace
>>> record = SimpleNamespace(quantity=5, price=Decimal("10.50"), side="buy")
>>> write({"qty": ".quantity", "cost": {"each": ".price"}, "side": As(".side", str.upper), "ttl": 0}, record)
{'qty': 5, 'cost': {'each': 10.5}, 'side': 'BUY', 'ttl': 0}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import islice
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

from dragoman.emulator.bodies import num

Table = dict[str, Any]
"""Key -> path, `As`, `Or`, `Rows`, `Levels`, a constant, or another table."""


@dataclass(frozen=True, slots=True)
class As:
    """What a path leads to, converted."""

    path: str
    convert: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Or:
    """What stands in a cell, or `other` where that is nothing: None, empty, 0."""

    path: Any
    other: Any


@dataclass(frozen=True, slots=True)
class Rows:
    """Each of the records that a path leads to, as a row of `table`."""

    path: str
    table: Table


@dataclass(frozen=True, slots=True)
class Levels:
    """The best `rows` levels that a path leads to, each a row of `table` over ``price``, ``quantity`` and ``orders``.

    Levels that are missing are written as zeros.
    """

    path: str
    rows: int
    table: Table


def write(table: Table, record: object) -> dict[str, Any]:
    """Write the row of a record. Raises AttributeError where a path leads nowhere."""
    return {key: read(cell, record) for key, cell in table.items()}


@cache
def _reader(path: str) -> Callable[[object], Any]:
    return attrgetter(path[1:]) if path != "." else lambda record: record


def read(cell: Any, record: object) -> Any:
    """Return what stands in one cell of a record's row."""
    if isinstance(cell, str) and cell.startswith("."):
        value = _reader(cell)(record)
        return num(value) if isinstance(value, Decimal) else value
    if isinstance(cell, As):
        return cell.convert(_reader(cell.path)(record))
    if isinstance(cell, Or):
        return read(cell.path, record) or cell.other
    if isinstance(cell, Rows):
        return [write(cell.table, one) for one in _reader(cell.path)(record)]
    if isinstance(cell, dict):
        return write(cell, record)
    if isinstance(cell, Levels):
        return _levels(cell, _reader(cell.path)(record))
    return cell


def _levels(cell: Levels, levels: Any) -> list[dict[str, Any]]:
    found = list(islice(levels, cell.rows))
    found += [(Decimal(0), 0, 0)] * (cell.rows - len(found))
    names = ("price", "quantity", "orders")
    return [write(cell.table, SimpleNamespace(**dict(zip(names, level, strict=True)))) for level in found]
