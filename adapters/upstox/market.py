"""Quotes in three calls, and candles: a history in requests of the broker's span each, today by a call of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final
from urllib.parse import quote

from dragoman.plugin import All, Context, Flow, Request, model, spans
from dragoman.plugin.parts import (
    DAY,
    IST,
    Interval,
    QuotedDepth,
    QuoteRows,
    Row,
    RowTable,
    SpanCandles,
    Stretch,
    batches,
    float_at,
    midnight,
)

from .words import RECORDS, reading, refused, time_ns

MOST_KEYS: Final = 500
QUOTE_PATHS: Final = {
    model.Mode.LTP: ("/v3/market-quote/ltp", ()),
    model.Mode.QUOTE: ("/v3/market-quote/ohlc", (("interval", "1d"),)),
    model.Mode.FULL: ("/v2/market-quote/quotes", ()),
}
QUOTE: Final = RowTable(
    model.Quote,
    last_price="last_price",
    last_quantity="ltq",
    average_price="average_price",
    total_buy_quantity="total_buy_quantity",
    total_sell_quantity="total_sell_quantity",
    net_change="net_change",
    oi="oi",
    oi_high="oi_day_high",
    oi_low="oi_day_low",
    price_band_low="lower_circuit_limit",
    price_band_high="upper_circuit_limit",
)
# Letter -> the broker's unit, the counts it has, their length, and days of one request (None: any).
UNITS: Final = {
    "m": ("minutes", range(1, 301), timedelta(minutes=1), 89),
    "h": ("hours", range(1, 6), timedelta(hours=1), 89),
    "d": ("days", range(1, 2), timedelta(days=1), 3650),
    "w": ("weeks", range(1, 2), timedelta(weeks=1), None),
}
FINE: Final = (15, 28)
"""Up to so many minutes a request spans a calendar month only: the shortest has so many days."""


def _interval(unit: str, count: int, length: timedelta, days: int | None) -> Interval:
    most = FINE[1] if unit == "minutes" and count <= FINE[0] else days
    return Interval(f"{unit}/{count}", length * count, None if most is None else max(timedelta(days=most - 1), DAY))


class MarketFlows(QuotedDepth, SpanCandles):
    """The market data's part of the adapter."""

    intervals: ClassVar[Mapping[str, Interval]] = {
        f"{count}{letter}": _interval(unit, count, length, days)
        for letter, (unit, counts, length, days) in UNITS.items()
        for count in counts
    }
    intervals_told = "1m to 300m, 1h to 5h, 1d or 1w"
    candle_zone = IST

    def quotes(
        self, instruments: Sequence[model.Instrument], mode: model.Mode, ctx: Context
    ) -> Flow[list[model.Quote]]:
        if mode not in QUOTE_PATHS:
            raise refused(f"there are no quotes in mode {mode}", "30 levels are streamed only; use mode full")
        path, query = QUOTE_PATHS[mode]
        keys = [item.broker_token for item in instruments]
        replies = yield All(
            [
                Request(path=path, query=(("instrument_key", ",".join(some)), *query))
                for some in batches(keys, MOST_KEYS)
            ]
        )
        with reading("quotes"):
            # Replies are keyed by another spelling of the instrument: its token inside joins them.
            found = {row["instrument_token"]: row for reply in replies for row in reply.json["data"].values() if row}
            return [
                read_quote(found[item.broker_token], item, mode) for item in instruments if item.broker_token in found
            ]

    def candle_requests(self, asked: Stretch, ctx: Context) -> list[Request]:
        """Return requests by days of the past, of which the history has nothing of today, and one for today."""
        word, longest = asked.interval.word, asked.interval.longest
        head = f"/v3/historical-candle/{{}}{quote(asked.instrument.broker_token, safe='')}/{word}"
        today = midnight(datetime.fromtimestamp(ctx.now_ns // 1_000_000_000, IST), IST)
        first, end = midnight(asked.first, IST), midnight(asked.last, IST)
        last = min(end, today - DAY)
        days = [(first, last)] if longest is None or last < first else spans(first, last, longest, step=DAY)
        paths = [f"{head.format('')}/{till:%Y-%m-%d}/{since:%Y-%m-%d}" for since, till in days if since <= till]
        if end >= today and not word.startswith("weeks"):
            paths.append(head.format("intraday/"))
        return [Request(path=path) for path in paths]

    def candle_opens(self, stamp: Any, interval: Interval) -> int | None:
        return time_ns(stamp)


def _more_of(row: Row, instrument: model.Instrument) -> dict[str, Any]:
    day = row.get("live_ohlc") or row.get("ohlc") or {}
    close = float_at(row, "cp") or float_at(row.get("prev_ohlc") or {}, "close")
    change = float_at(row, "net_change")
    if close is None and change is not None:
        # The full quote tells the change since the previous close, and in its ohlc today's close.
        close = round(float(row["last_price"]) - change, 4)
    volume = float_at(row, "volume")
    return {name: float_at(day, name) for name in ("open", "high", "low")} | {
        "volume": float_at(day, "volume") if volume is None else volume,
        "previous_close": close,
        "ts_event": time_ns(row.get("timestamp")) or time_ns(day.get("ts")),
    }


read_quote: Final = QuoteRows(records=RECORDS, table=QUOTE, time_ns=time_ns, book="depth", more=_more_of).read
"""Of one entry of a quote reply, in any of the three modes."""
