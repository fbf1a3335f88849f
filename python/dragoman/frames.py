"""Lists of model values as tables: pyarrow, polars or pandas where they are installed, and something to look at.

>>> orders = client.orders()                        # doctest: +SKIP
>>> dragoman.frames.to_polars(orders)               # doctest: +SKIP

Column types come from the model's fields, not from the rows, so a column without a value has its type all the same.
Nested values are flattened (``reject_kind``, ``available_cash``), times become timestamps in UTC, the broker's raw
words are left out. A native `Batch` needs none of this: those libraries read it as it is (``polars.DataFrame(batch)``).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import cache
from html import escape
from importlib import import_module
from typing import Any, Literal

from dragoman.errors import UsageError
from dragoman.model.shown import is_time, shown

__all__ = ["Table", "columns", "table", "to_pandas", "to_polars", "to_pyarrow"]

Kind = Literal["decimal", "time", "int", "float", "bool", "text", "date", "texts", "records"]
Decimals = Literal["float", "exact"]
Rows = Iterable[Any] | Mapping[Any, Any]
_KINDS: dict[type, Kind] = {Decimal: "decimal", bool: "bool", int: "int", float: "float", str: "text", date: "date"}


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    kind: Kind
    path: tuple[str, ...]

    def of(self, row: Any) -> Any:
        for step in self.path:
            if row is None:
                return None
            row = getattr(row, step)
        if isinstance(row, Enum):
            return str(row.value)
        if self.kind == "texts":
            return [str(one) for one in row]
        if self.kind == "records":
            return [one._asdict() for one in row]
        return row


@cache
def _columns(model: type, path: tuple[str, ...] = ()) -> tuple[_Column, ...]:
    hints = typing.get_type_hints(model)
    found: list[_Column] = []
    for field in fields(model):
        here = (*path, field.name)
        plain = _plain(hints[field.name])
        if is_dataclass(plain) and isinstance(plain, type):
            found.extend(_columns(plain, here))
        elif (kind := _kind(field.name, plain)) is not None:
            found.append(_Column("_".join(here), kind, here))
    return tuple(found)


def _plain(hint: Any) -> Any:
    """Return a type without its ``| None``."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        inner = [one for one in typing.get_args(hint) if one is not type(None)]
        return inner[0] if len(inner) == 1 else object
    return hint


def _kind(name: str, hint: Any) -> Kind | None:
    """Return what a field holds; None for what fits no column."""
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if isinstance(inner, type) and hasattr(inner, "_asdict"):
            return "records"
        return "texts" if inner is str else None
    if typing.get_origin(hint) is Literal:
        return "text"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "text"
    if hint is int and is_time(name):
        return "time"
    return _KINDS.get(hint)


def _read(rows: Rows, of: type | None) -> tuple[tuple[_Column, ...], list[Any]]:
    values = list(rows.values() if isinstance(rows, Mapping) else rows)
    model = of or (type(values[0]) if values else None)
    if model is None:
        return (), []
    if not is_dataclass(model):
        raise UsageError(
            f"rows of {model.__name__} cannot become a table, expected values of dragoman.model",
            remedy="a Batch goes to the library as it is: polars.DataFrame(batch), pyarrow.record_batch(batch)",
        )
    for value in values:
        if type(value) is not model:
            raise UsageError(
                f"rows of {model.__name__} and {type(value).__name__} in one table", remedy="make one table of each"
            )
    known: Any = model  # after `is_dataclass` a checker no longer knows that classes are hashable
    return _columns(known), values


def columns(rows: Rows, of: type | None = None) -> dict[str, list[Any]]:
    """Return rows as plain columns by name.

    Parameters
    ----------
    rows : iterable or mapping
        Values of one model class, such as what `Client.orders` returns; of a mapping, its values.
    of : type, optional
        The model class, for columns where there may be no rows.

    Raises
    ------
    UsageError
        For rows of several classes, or of none of the model's.
    """
    wanted, values = _read(rows, of)
    return {column.name: [column.of(value) for value in values] for column in wanted}


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise UsageError(f"{name} is not installed", remedy="pip install 'dragoman[frames]'") from None


def _scale(values: Sequence[Decimal | None]) -> int:
    """Return how many digits after the point the most exact value has."""
    exponents = [int(value.as_tuple().exponent) for value in values if value is not None and value.is_finite()]
    return max(0, -min(exponents, default=0))


def _floats(values: Sequence[Any]) -> list[float | None]:
    return [None if value is None else float(value) for value in values]


def to_pyarrow(rows: Rows, of: type | None = None, *, decimals: Decimals = "float") -> Any:
    """Return a ``pyarrow.Table``.

    Parameters
    ----------
    rows, of
        As `columns`.
    decimals : {"float", "exact"}
        Money and quantities as float64, or as decimals of 38 digits.

    Raises
    ------
    UsageError
        Where pyarrow is not installed, or the rows are not of one model class.
    """
    pa = _library("pyarrow")
    wanted, values = _read(rows, of)
    plain = {
        "time": pa.timestamp("ns", "UTC"),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "text": pa.string(),
        "date": pa.date32(),
        "texts": pa.list_(pa.string()),
    }
    arrays = {}
    for column in wanted:
        data = [column.of(value) for value in values]
        kind = plain.get(column.kind)
        if column.kind == "decimal":
            kind = pa.decimal128(38, _scale(data)) if decimals == "exact" else pa.float64()
            data = data if decimals == "exact" else _floats(data)
        arrays[column.name] = pa.array(data, type=kind)
    return pa.table(arrays)


def to_polars(rows: Rows, of: type | None = None, *, decimals: Decimals = "float") -> Any:
    """Return a ``polars.DataFrame``; parameters and errors as `to_pyarrow`."""
    pl = _library("polars")
    wanted, values = _read(rows, of)
    plain = {
        "time": pl.Int64(),
        "int": pl.Int64(),
        "float": pl.Float64(),
        "bool": pl.Boolean(),
        "text": pl.String(),
        "date": pl.Date(),
        "texts": pl.List(pl.String()),
    }
    series = []
    for column in wanted:
        data = [column.of(value) for value in values]
        kind = plain.get(column.kind)
        if column.kind == "decimal":
            kind = pl.Decimal(38, _scale(data)) if decimals == "exact" else pl.Float64()
            data = data if decimals == "exact" else _floats(data)
        made = pl.Series(column.name, data, dtype=kind, strict=True)
        series.append(made.cast(pl.Datetime("ns", "UTC")) if column.kind == "time" else made)
    return pl.DataFrame(series)


def to_pandas(rows: Rows, of: type | None = None, *, decimals: Decimals = "float") -> Any:
    """Return a ``pandas.DataFrame``; parameters and errors as `to_pyarrow`. Exact decimals are objects there."""
    pd, np = _library("pandas"), _library("numpy")
    wanted, values = _read(rows, of)
    made = {}
    for column in wanted:
        data = [column.of(value) for value in values]
        match column.kind:
            case "time":
                # Never through floats, which have too few digits for ns.
                lacking = np.iinfo("int64").min  # reads as "not a time"
                stamps = np.array([lacking if one is None else one for one in data], dtype="int64")
                made[column.name] = pd.Series(stamps.view("datetime64[ns]")).dt.tz_localize("UTC")
            case "date":
                made[column.name] = pd.Series(np.array(data, dtype="datetime64[D]").astype("datetime64[s]"))
            case "int":
                made[column.name] = pd.Series(data, dtype="Int64")
            case "bool":
                made[column.name] = pd.Series(data, dtype="boolean")
            case "text":
                made[column.name] = pd.Series(data, dtype="string")
            case "float":
                made[column.name] = pd.Series(data, dtype="float64")
            case "decimal" if decimals == "float":
                made[column.name] = pd.Series(_floats(data), dtype="float64")
            case _:
                made[column.name] = pd.Series(data, dtype="object")
    return pd.DataFrame(made)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to look at, in a notebook or a rich terminal; `table` makes it."""

    title: str
    names: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    more: int

    def __str__(self) -> str:
        widths = [max(len(row[i]) for row in (self.names, *self.cells)) for i in range(len(self.names))]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (self.names, *self.cells)]
        return "\n".join([*lines, *self._rest()])

    def __repr__(self) -> str:
        return str(self)

    def _rest(self) -> Iterator[str]:
        if self.more:
            yield f"... and {self.more} more"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.names)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.cells)
        rest = "".join(f"<p>{escape(line)}</p>" for line in self._rest())
        return f"<table><caption>{escape(self.title)}</caption><tr>{head}</tr>{body}</table>{rest}"

    def __rich__(self) -> Any:
        from rich.markup import escape as literal
        from rich.table import Table as RichTable

        made = RichTable(title=literal(self.title), caption=" ".join(self._rest()) or None)
        for name in self.names:
            made.add_column(literal(name))
        for row in self.cells:
            made.add_row(*map(literal, row))
        return made


def table(rows: Rows, names: Sequence[str] | None = None, *, limit: int = 50) -> Table:
    """Return rows to look at.

    Parameters
    ----------
    rows : iterable or mapping
        As `columns`.
    names : sequence of str, optional
        Columns to show; by default those in which any row says something.
    limit : int
        Rows to show; how many there are beyond is said.

    Raises
    ------
    UsageError
        For a column there is none of, naming those there are.
    """
    found, values = _read(rows, None)
    wanted = [column for column in found if column.kind != "records"]
    if names is not None:
        by_name = {column.name: column for column in wanted}
        if unknown := [name for name in names if name not in by_name]:
            raise UsageError(f"no column {unknown[0]!r}", remedy=f"there are {', '.join(by_name)}")
        wanted = [by_name[name] for name in names]
    cells = [[shown(column.path[-1], _cell(column, value)) for column in wanted] for value in values[:limit]]
    full = [i for i, _ in enumerate(wanted) if names is not None or any(row[i] not in ("", "0") for row in cells)]
    title = f"{len(values)} x {type(values[0]).__name__}" if values else "nothing"
    return Table(
        title,
        tuple(wanted[i].name for i in full),
        tuple(tuple(row[i] for i in full) for row in cells),
        max(0, len(values) - limit),
    )


def _cell(column: _Column, value: Any) -> Any:
    found = column.of(value)
    return tuple(found) if isinstance(found, list) else found
