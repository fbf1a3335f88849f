"""Quotes as requests return them: records, levels, and the book of an instrument that a quote brings along."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dragoman.model import DepthLevel, Instrument, Mode, Quote
from dragoman.plugin.adapter import Adapter
from dragoman.plugin.context import Context
from dragoman.plugin.effects import Flow
from dragoman.plugin.records import Records
from dragoman.plugin.row_tables import RowTable
from dragoman.plugin.values import Row


def read_levels(
    rows: Iterable[Row] | None, price: str = "price", quantity: str = "quantity", orders: str = "orders"
) -> tuple[DepthLevel, ...]:
    """Return the levels of one side as they stand, without the empty ones that fill up a book of fixed length.

    Raises
    ------
    LookupError, TypeError, ValueError
        For rows of another shape: read inside `Records.reading`.
    """
    levels = (DepthLevel(float(row[price]), float(row[quantity]), int(row[orders])) for row in rows or ())
    return tuple(level for level in levels if level.price or level.quantity)


def _nothing(row: Row, instrument: Instrument) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteRows:
    """How one broker's quotes are read.

    Attributes
    ----------
    records : Records
        In whose name errors are.
    table : RowTable
        The numbers.
    time_ns : callable
        Reads a time as ns UTC, None where there is none.
    traded, told : str
        Keys of the last trade's time and of the record's own; "", as of the sides, where the broker tells none.
    book : str
        Key of the object that holds the two sides; "" where the record itself does.
    bids, asks : str
        Keys of the sides.
    level : tuple of str
        Keys of a level's price, quantity and number of orders.
    what : str
        Names a record in errors.
    more : callable
        Returns the fields that no key holds, of a record and its instrument.
    """

    records: Records
    table: RowTable[Quote]
    time_ns: Callable[[Any], int | None]
    traded: str = "last_trade_time"
    told: str = "timestamp"
    book: str = ""
    bids: str = "buy"
    asks: str = "sell"
    level: tuple[str, str, str] = ("price", "quantity", "orders")
    what: str = "quote"
    more: Callable[[Row, Instrument], dict[str, Any]] = _nothing

    def read(self, row: Row, instrument: Instrument, mode: Mode) -> Quote:
        """Read one record. Raises DecodeError."""
        with self.records.reading(f"{self.what} of {instrument.broker_symbol}"):
            book = (row.get(self.book) or {}) if self.book else row
            told: dict[str, Any] = {
                "instrument_id": instrument.instrument_id,
                "mode": mode,
                "bids": read_levels(book.get(self.bids), *self.level),
                "asks": read_levels(book.get(self.asks), *self.level),
                "last_trade_time": self.time_ns(row.get(self.traded)),
                "ts_event": self.time_ns(row.get(self.told)),
            }
            return self.table.read(row, **(told | self.more(row, instrument)))


class QuotedDepth(Adapter):
    """An adapter whose quotes in mode FULL hold the book: `depth` is one of them."""

    def depth(self, instrument: Instrument, ctx: Context) -> Flow[Quote]:
        quotes = yield from self.quotes([instrument], Mode.FULL, ctx)
        if not quotes:
            raise Records(self.name).unlisted(instrument)
        return quotes[0]
