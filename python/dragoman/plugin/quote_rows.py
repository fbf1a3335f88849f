"""Quotes and books as requests return them: levels, and the book of an instrument that a quote brings along."""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.model import DepthLevel, Instrument, Mode, Quote
from dragoman.plugin.adapter import Adapter
from dragoman.plugin.context import Context
from dragoman.plugin.effects import Flow
from dragoman.plugin.records import Records, Row


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


class QuotedDepth(Adapter):
    """An adapter whose quotes in mode FULL hold the book: `depth` is one of them."""

    def depth(self, instrument: Instrument, ctx: Context) -> Flow[Quote]:
        quotes = yield from self.quotes([instrument], Mode.FULL, ctx)
        if not quotes:
            raise Records(self.name).unlisted(instrument)
        return quotes[0]
