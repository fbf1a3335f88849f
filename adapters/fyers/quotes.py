"""Quotes of fifty symbols in a call, and the book of one symbol in a call of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dragoman.plugin import Adapter, All, Context, Flow, Request, model
from dragoman.plugin.records import Row, float_at

from .words import RECORDS, reading, refused, time_ns

MOST_SYMBOLS: Final = 50
_QUOTE: Final = {
    "last_price": "lp",
    "open": "open_price",
    "high": "high_price",
    "low": "low_price",
    "previous_close": "prev_close_price",
    "average_price": "atp",
    "volume": "volume",
    "net_change": "ch",
}
_BOOK: Final = {
    "last_price": "ltp",
    "last_quantity": "ltq",
    "open": "o",
    "high": "h",
    "low": "l",
    "previous_close": "c",
    "average_price": "atp",
    "volume": "v",
    "total_buy_quantity": "totalbuyqty",
    "total_sell_quantity": "totalsellqty",
    "net_change": "ch",
    "oi": "oi",
    "price_band_low": "lower_ckt",
    "price_band_high": "upper_ckt",
}


class QuoteFlows(Adapter):
    """The part of the adapter for the market now."""

    def quotes(
        self, instruments: Sequence[model.Instrument], mode: model.Mode, ctx: Context
    ) -> Flow[list[model.Quote]]:
        if mode is model.Mode.DEEP:
            raise refused(f"there are no quotes in mode {mode}", "50 levels are streamed only; use mode full")
        if mode is model.Mode.FULL:
            replies = yield All([_book_request(one) for one in instruments])
            found = [_book(reply.json, one) for reply, one in zip(replies, instruments, strict=True)]
            return [quote for quote in found if quote is not None]
        symbols = [one.broker_symbol for one in instruments]
        replies = yield All(
            [
                Request(path="/data/quotes", query=(("symbols", ",".join(symbols[at : at + MOST_SYMBOLS])),))
                for at in range(0, len(symbols), MOST_SYMBOLS)
            ]
        )
        with reading("quotes"):
            # A symbol the broker does not list is an error of its own among the others.
            rows = {
                row["n"]: row["v"]
                for reply in replies
                for row in RECORDS.as_rows("quotes", reply.json, "d")
                if row["s"] == "ok"
            }
            return [read_quote(rows[one.broker_symbol], one, mode) for one in instruments if one.broker_symbol in rows]

    def depth(self, instrument: model.Instrument, ctx: Context) -> Flow[model.Quote]:
        reply = yield _book_request(instrument)
        found = _book(reply.json, instrument)
        if found is None:
            raise RECORDS.unlisted(instrument)
        return found


def _book_request(instrument: model.Instrument) -> Request:
    return Request(path="/data/depth", query=(("symbol", instrument.broker_symbol), ("ohlcv_flag", "1")))


def _book(body: Any, instrument: model.Instrument) -> model.Quote | None:
    with reading("depth"):
        row = body["d"].get(instrument.broker_symbol)
        return read_book(row, instrument) if row else None


def read_quote(row: Row, instrument: model.Instrument, mode: model.Mode) -> model.Quote:
    """Read one value of a quote reply. Raises DecodeError."""
    with reading(f"quote of {instrument.broker_symbol}"):
        values: dict[str, Any] = {name: float_at(row, word) for name, word in _QUOTE.items()}
        return model.Quote(
            instrument_id=instrument.instrument_id,
            mode=mode,
            ts_event=time_ns(row.get("tt")),
            raw=row,
            **values,
        )


def read_book(row: Row, instrument: model.Instrument) -> model.Quote:
    """Read one value of a depth reply; bids are under ``bids`` and asks under ``ask``. Raises DecodeError."""
    with reading(f"depth of {instrument.broker_symbol}"):
        values: dict[str, Any] = {name: float_at(row, word) for name, word in _BOOK.items()}
        if not row.get("oiflag", instrument.expiry is not None):
            values["oi"] = None
        last = time_ns(row.get("ltt"))
        return model.Quote(
            instrument_id=instrument.instrument_id,
            mode=model.Mode.FULL,
            bids=_levels(row.get("bids") or ()),
            asks=_levels(row.get("ask") or ()),
            last_trade_time=last,
            ts_event=last,
            raw=row,
            **values,
        )


def _levels(rows: Any) -> tuple[model.DepthLevel, ...]:
    levels = (model.DepthLevel(float(row["price"]), float(row["volume"]), int(row["ord"])) for row in rows)
    return tuple(level for level in levels if level.price or level.quantity)
