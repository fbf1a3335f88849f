"""An instrument master as columns of bytes: written at once, read a row at a time.

Theory: of a hundred thousand instruments a program uses a few hundred. So nothing is built that nobody asks for: a
column is read when a name is first looked up in it, an `Instrument` when its row is first returned. Values that repeat
(exchange, expiry, strike, lot) are stored once, with a number of two bytes for each row; the others as one JSON array.
Every value comes back as it was, its text too: ``0.050`` does not become ``0.05``.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import Any, Final, cast

import orjson

from dragoman.model import AssetClass, Instrument, InstrumentType, OptionType

FIELDS: Final = tuple(item.name for item in fields(Instrument))
SCHEMA: Final = [*FIELDS, sys.byteorder]
"""What a reader must have in common with the writer."""
LINES: Final = "lines"
"""The column of search lines."""

_DECIMALS: Final = frozenset(
    ("strike", "tick_size", "lot_size", "multiplier", "freeze_quantity", "price_band_low", "price_band_high")
)
_ENUMS: Final = {"asset_class": AssetClass, "instrument_type": InstrumentType, "option_type": OptionType}
_CODES: Final = "H"
_MOST_CODES: Final = 1 << 16
_WORTH: Final = 4  # a value must stand in so many rows, on average, for numbers to be shorter than text

Token = str | bool | None


class NotStorableError(ValueError):
    """A value of this master would not come back as it is."""


def _token(name: str, value: Any) -> Token:
    """Return what stands for `value` in the file."""
    if value is None:
        return None
    if name in _DECIMALS and type(value) is Decimal:
        return str(value)
    if name in _ENUMS and type(value) is _ENUMS[name]:
        return str(value.value)
    if name == "expiry" and type(value) is date:
        return value.isoformat()
    if name == "extra":
        try:
            text = orjson.dumps(value).decode()
        except TypeError as error:
            raise NotStorableError(f"extra: {error}") from error
        if orjson.loads(text) != value:
            raise NotStorableError("extra holds values that JSON changes")
        return text
    if (name == "tradable" and type(value) is bool) or (type(value) is str and name not in _DECIMALS):
        return value
    raise NotStorableError(f"{name} is {type(value).__name__}")


def _reader(name: str) -> Callable[[Any], Any] | None:
    """Return what turns a token, not None, into its value; None where it is the value."""
    if name in _DECIMALS:
        return Decimal
    if name == "expiry":
        return date.fromisoformat
    if name == "extra":
        return orjson.loads
    return _ENUMS.get(name)


class Column:
    """One column as it lies in the file; `values[row]` reads one value."""

    __slots__ = ("_codes", "_every", "_fresh", "_read", "_tokens", "_values")

    def __init__(self, name: str, form: Mapping[str, Any], data: memoryview, rows: int) -> None:
        self._read = _reader(name)
        self._fresh = name == "extra"  # a dict of its own for every row
        self._codes: memoryview | None = None
        self._values: list[Any] = []
        self._tokens: memoryview | list[Token] = data
        self._every = False
        if form["form"] == "values":
            self._values = form["values"] if self._fresh else [self._value(token) for token in form["values"]]
            self._every = len(self._values) == 1
            if not self._every:
                self._codes = data.cast(_CODES)
                if len(self._codes) != rows:
                    raise ValueError(f"column {name} has {len(self._codes)} rows, expected {rows}")

    def _value(self, token: Any) -> Any:
        return token if token is None or self._read is None else self._read(token)

    def __getitem__(self, row: int) -> Any:
        if self._every:
            value = self._values[0]
        elif self._codes is not None:
            value = self._values[self._codes[row]]
        else:
            return self._value(self.tokens()[row])
        return self._value(value) if self._fresh else value

    def tokens(self) -> list[Token]:
        """Return all values as they are stored; only for a column of texts."""
        tokens = self._tokens
        if isinstance(tokens, memoryview):
            self._tokens = tokens = cast("list[Token]", orjson.loads(tokens))
        return tokens

    def all(self, rows: int) -> Iterable[Any]:
        """Return the values of the first `rows` rows."""
        if self._every:
            return [self[0] for _ in range(rows)]
        if self._codes is not None:
            return (
                [self[row] for row in range(rows)] if self._fresh else map(self._values.__getitem__, self._codes[:rows])
            )
        tokens = self.tokens()[:rows]
        return tokens if self._read is None else map(self._value, tokens)


class Columns:
    """The rows of a master that lie in a buffer.

    Parameters
    ----------
    table : mapping
        As `encode` made it.
    data : memoryview
        What `encode` made of the columns.

    Raises
    ------
    ValueError, KeyError, TypeError
        Where they do not fit together.
    """

    def __init__(self, table: Mapping[str, Any], data: memoryview) -> None:
        self.rows = int(table["rows"])
        self._columns: dict[str, Column] = {}
        for form in table["columns"]:
            name, start, size = form["name"], form["start"], form["size"]
            if start + size > len(data):
                raise ValueError(f"column {name} ends at {start + size}, after the end at {len(data)}")
            self._columns[name] = Column(name, form, data[start : start + size], self.rows)
        self._ordered = [self._columns[name] for name in FIELDS]
        self.lines: Callable[[], list[Any]] = self._columns[LINES].tokens
        found = len(self._columns["instrument_id"].tokens())
        if found != self.rows:
            raise ValueError(f"there are {found} ids, expected {self.rows}")

    def row(self, at: int) -> Instrument:
        """Build the instrument of one row."""
        return Instrument(*[column[at] for column in self._ordered])

    def column(self, name: str, rows: int) -> Iterable[Any]:
        """Return one field of the first `rows` rows."""
        return self._columns[name].all(rows)


def encode(rows: Sequence[Instrument], lines: Sequence[str]) -> tuple[dict[str, Any], list[bytes]]:
    """Turn instruments into columns.

    Parameters
    ----------
    rows : sequence of Instrument
    lines : sequence of str
        The search line of the first rows; there may be fewer.

    Returns
    -------
    tuple
        The table that `Columns` takes, and the pieces of its data.

    Raises
    ------
    NotStorableError
        A value would not come back as it is.
    """
    table: list[dict[str, Any]] = []
    pieces: list[bytes] = []
    start = 0
    for name, tokens in _tokens(rows):
        form, data = _encoded(name, tokens)
        table.append({"name": name, "start": start, "size": len(data), **form})
        pieces.append(data)
        start += len(data)
    data = orjson.dumps(list(lines))
    table.append({"name": LINES, "form": "texts", "start": start, "size": len(data)})
    pieces.append(data)
    return {"rows": len(rows), "columns": table}, pieces


def _tokens(rows: Sequence[Instrument]) -> Iterator[tuple[str, list[Token]]]:
    for name in FIELDS:
        yield name, [_token(name, getattr(row, name)) for row in rows]


def _encoded(name: str, tokens: list[Token]) -> tuple[dict[str, Any], bytes]:
    distinct = {token: code for code, token in enumerate(dict.fromkeys(tokens))}
    if name != "instrument_id" and len(distinct) < _MOST_CODES and len(distinct) * _WORTH <= max(len(tokens), _WORTH):
        codes = b"" if len(distinct) < 2 else array(_CODES, map(distinct.__getitem__, tokens)).tobytes()
        return {"form": "values", "values": list(distinct)}, codes
    return {"form": "texts"}, orjson.dumps(tokens)
