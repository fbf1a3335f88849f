"""How commands print: JSON for programs, tables for people.

JSON has the model's field names. Money and quantities of the order path are strings, so that no digit is lost; a time
is ISO 8601 in UTC, and the same name with ``_ns`` is the integer of ns it was made from; the broker's raw words are
left out. A table is made for the width it is shown at: the columns that matter least go first, nothing is cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

import orjson

from dragoman.model import Order, figures
from dragoman.model.figures import priced
from dragoman.model.plain import iso as iso
from dragoman.model.plain import plain as plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    print(orjson.dumps(plain(value), option=orjson.OPT_INDENT_2).decode())


def print_line(value: Any) -> None:
    """Print one JSON line, at once."""
    print(orjson.dumps(plain(value)).decode(), flush=True)


# -- tables ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
        The head, and of a mapping the key.
    rank : int
        Columns of the highest rank go first where there is no room; those of rank 0 always stay.
    money : bool
        Its values are prices or sums: see `amount`.
    exact : bool
        They are steps of prices, see `step`.
    """

    name: str
    rank: int = 0
    justify: Literal["left", "right"] = "left"
    key: str = ""
    money: bool = False
    exact: bool = False

    def of(self, row: Any) -> str:
        key = self.key or self.name
        value = row.get(key) if isinstance(row, Mapping) else getattr(row, key)
        return step(value) if self.exact else amount(value) if self.money else cell(value)


def text(name: str, rank: int = 0, key: str = "") -> Column:
    """Return a column of words."""
    return Column(name, rank, "left", key)


def number(name: str, rank: int = 0, key: str = "") -> Column:
    """Return a column of numbers."""
    return Column(name, rank, "right", key)


def money(name: str, rank: int = 0, key: str = "") -> Column:
    """Return a column of prices or sums."""
    return Column(name, rank, "right", key, money=True)


def ticks(name: str, rank: int = 0, key: str = "") -> Column:
    """Return a column of price steps."""
    return Column(name, rank, "right", key, exact=True)


def step(value: object) -> str:
    """Return the text of a price step: all its digits, at least two after the point; nothing where there is none."""
    if not isinstance(value, Decimal) or not value:
        return "" if value == 0 else cell(value)
    value = value.normalize()
    return f"{value:.{max(2, -int(value.as_tuple().exponent))}f}"


def amount(value: object) -> str:
    """Return the text of a price or a sum: two digits after the point, up to four where it has more."""
    if isinstance(value, float):
        value = Decimal(repr(value))
    if not isinstance(value, Decimal):
        return cell(value)
    return priced(value, "") if value.is_finite() else ""


def order_kind(order: Order) -> str:
    """Return the type of an order in words: what was asked for, and as what the broker works it."""
    asked = order.asked_type
    return order.order_type.value if asked is order.order_type else f"{asked.value} as {order.order_type.value}"


def cell(value: object) -> str:
    """Return the text of one value for a table."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, Enum):
        return str(value.value)
    return str(value)


def clock(ns: int | None, zone: Any = UTC) -> str:
    """Return the time of day of ns since the epoch."""
    return "" if ns is None else figures.clock(ns, zone)


def moment(ns: int | None, zone: Any = UTC) -> str:
    """Return date and time of ns since the epoch, and the zone."""
    if ns is None:
        return ""
    return (_EPOCH + timedelta(microseconds=ns // 1000)).astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")


def fitted(console: Console, title: str, columns: Sequence[Column], rows: Iterable[Any]) -> Table:
    """Return a table no wider than the console: without columns that say nothing, then without the least of them."""
    from rich.markup import escape

    cells = [[column.of(row) for column in columns] for row in rows]
    shown = [i for i, column in enumerate(columns) if not cells or column.rank == 0 or any(row[i] for row in cells)]
    while True:
        table = _table(escape(title))
        for i in shown:
            table.add_column(escape(columns[i].name), justify=columns[i].justify, overflow="fold")
        for row in cells:
            table.add_row(*(escape(row[i]) for i in shown))
        highest = max((columns[i].rank for i in shown), default=0)
        if highest == 0 or _width(console, table) <= console.width:
            return table
        last = max(i for i in shown if columns[i].rank == highest)
        shown.remove(last)


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)


def show(title: str, columns: Sequence[Column], rows: Iterable[Any], *, empty: str = "", fields: bool = False) -> None:
    """Print a table, or a sentence where it would be empty.

    With `fields`, a table that is wider than the terminal, although only what must stay is left of it, is printed as
    one line for each field of each row instead.
    """
    from rich.console import Console

    listed, console = list(rows), Console()
    if not listed:
        console.print(empty or f"no {title.lower()}", highlight=False)
        return
    table = fitted(console, title, columns, listed)
    if fields and _width(console, table) > console.width:
        head = max(len(column.name) for column in columns)
        for number, row in enumerate(listed, 1):
            print(f"{title} {number} of {len(listed)}")
            for column in columns:
                print(f"  {column.name:{head}}  {column.of(row)}".rstrip())
        return
    console.print(table)


def _width(console: Console, table: Table) -> int:
    from rich.measure import Measurement

    return Measurement.get(console, console.options.update(max_width=10_000), table).maximum
