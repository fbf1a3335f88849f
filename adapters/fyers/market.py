"""Quotes of fifty symbols in a call, the book of one symbol in a call of its own, and candles by the broker's spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from dragoman.plugin import All, Context, Flow, Reply, Request, model, spans
from dragoman.plugin.parts import (
    DAY,
    IST,
    Interval,
    QuotedDepth,
    QuoteRows,
    RowTable,
    SpanCandles,
    Stretch,
    batches,
    float_at,
    moment_ns,
)

from .words import RECORDS, listed, reading, refused, time_ns

MOST_SYMBOLS: Final = 50
_AHEAD_NS: Final = int(IST.utcoffset(None).total_seconds()) * 1_000_000_000
_QUOTE: Final = RowTable(
    model.Quote,
    last_price="lp",
    open="open_price",
    high="high_price",
    low="low_price",
    previous_close="prev_close_price",
    average_price="atp",
    volume="volume",
    net_change="ch",
)
_BOOK: Final = RowTable(
    model.Quote,
    last_price="ltp",
    last_quantity="ltq",
    open="o",
    high="h",
    low="l",
    previous_close="c",
    average_price="atp",
    volume="v",
    total_buy_quantity="totalbuyqty",
    total_sell_quantity="totalsellqty",
    net_change="ch",
    price_band_low="lower_ckt",
    price_band_high="upper_ckt",
)
QUOTE: Final = QuoteRows(records=RECORDS, table=_QUOTE, time_ns=time_ns, traded="", told="tt", bids="", asks="")
BOOK: Final = QuoteRows(
    records=RECORDS,
    table=_BOOK,
    time_ns=time_ns,
    traded="ltt",
    told="ltt",
    bids="bids",
    asks="ask",
    level=("price", "volume", "ord"),
    what="depth",
    more=lambda row, one: {"oi": float_at(row, "oi") if row.get("oiflag", one.expiry is not None) else None},
)
# Letter -> the counts the broker has, their length, days of one request.
UNITS: Final = {
    "s": ((5, 10, 15, 30, 45), timedelta(seconds=1), 30),
    "m": ((1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 120, 180, 240), timedelta(minutes=1), 100),
    "h": ((1, 2, 3, 4), timedelta(hours=1), 100),
    "d": ((1,), timedelta(days=1), 366),
    "w": ((1,), timedelta(weeks=1), 366),
}


def resolution_of(count: int, unit: str) -> str:
    """Return the broker's name of an interval: minutes are bare, hours are minutes."""
    return {"s": f"{count}S", "m": f"{count}", "h": f"{count * 60}"}.get(unit, f"{count}{unit.upper()}")


class MarketFlows(QuotedDepth, SpanCandles):
    """The market data's part of the adapter."""

    intervals: ClassVar[Mapping[str, Interval]] = {
        f"{count}{letter}": Interval(resolution_of(count, letter), length * count, timedelta(days=days - 1))
        for letter, (counts, length, days) in UNITS.items()
        for count in counts
    }
    intervals_told = "5s to 45s, 1m to 240m, 1h to 4h, 1d or 1w"
    candle_zone = IST

    def quotes(
        self, instruments: Sequence[model.Instrument], mode: model.Mode, ctx: Context
    ) -> Flow[list[model.Quote]]:
        if mode is model.Mode.DEEP:
            raise refused(f"there are no quotes in mode {mode}", "50 levels are streamed only; use mode full")
        if mode is model.Mode.FULL:
            return (yield from _books(instruments))
        symbols = [one.broker_symbol for one in instruments]
        replies = yield All(
            [
                Request(path="/data/quotes", query=(("symbols", ",".join(some)),))
                for some in batches(symbols, MOST_SYMBOLS)
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
            return [QUOTE.read(rows[one.broker_symbol], one, mode) for one in instruments if one.broker_symbol in rows]

    def candle_requests(self, asked: Stretch, ctx: Context) -> list[Request]:
        """Return requests by seconds, or by days for candles that last some."""
        days, instrument = asked.interval.whole_days, asked.instrument
        step, longest = DAY if days else timedelta(seconds=1), asked.interval.longest or DAY
        return [
            Request(
                path="/data/history",
                query=(
                    ("symbol", instrument.broker_symbol),
                    ("resolution", asked.interval.word),
                    ("date_format", str(int(days))),
                    ("range_from", _stamp(since, days)),
                    ("range_to", _stamp(until, days)),
                    ("cont_flag", str(int(asked.continuous))),
                    ("oi_flag", str(int(instrument.expiry is not None))),
                ),
            )
            for since, until in spans(asked.first, asked.last, longest, step=step)
        ]

    def candle_rows(self, reply: Reply) -> list[Any]:
        return listed("candles", reply.json, "candles")

    def candle_opens(self, stamp: Any, interval: Interval) -> int | None:
        """Days are stamped 00:00 UTC of their date: an Indian day began earlier."""
        opens = time_ns(stamp)
        return opens - _AHEAD_NS if opens is not None and interval.whole_days else opens

    def check_continuous(self, instrument: model.Instrument, interval: Interval) -> None:
        """Nothing to refuse: the broker has them of every length."""


def _stamp(moment: datetime, whole_days: bool) -> str:
    return f"{moment:%Y-%m-%d}" if whole_days else str(moment_ns(moment) // 1_000_000_000)


def _books(instruments: Sequence[model.Instrument]) -> Flow[list[model.Quote]]:
    replies = yield All(
        [Request(path="/data/depth", query=(("symbol", one.broker_symbol), ("ohlcv_flag", "1"))) for one in instruments]
    )
    with reading("depth"):
        rows = [(reply.json["d"].get(one.broker_symbol), one) for reply, one in zip(replies, instruments, strict=True)]
        return [BOOK.read(row, one, model.Mode.FULL) for row, one in rows if row]
