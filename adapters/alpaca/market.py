"""Quotes, books and candles: three kinds of instruments, each with paths and words of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from dragoman.plugin import All, Context, Flow, Reply, Request, model
from dragoman.plugin.parts import (
    Interval,
    Pairs,
    QuotedDepth,
    Row,
    batches,
    by_token,
    check_stretch,
    float_at,
    interval_of,
    moment_ns,
    pages,
    pairs,
    rfc3339,
    rfc3339_ns,
)

from .words import KINDS, PAIRS, RECORDS, STOCKS, kind_of, reading

BATCH: Final = 100
"""Symbols of one request: the most that option snapshots take; others name no limit."""
PAGE: Final = 10_000
INTERVALS: Final = {
    **{f"{n}m": Interval(f"{n}Min", timedelta(minutes=n)) for n in range(1, 60)},
    **{f"{n}h": Interval(f"{n}Hour", timedelta(hours=n)) for n in range(1, 24)},
    "1d": Interval("1Day", timedelta(days=1)),
    "1w": Interval("1Week", timedelta(weeks=1)),
}
_BOOKS: Final = "/v1beta3/crypto/us/latest/orderbooks"


class MarketFlows(QuotedDepth):
    """The market data's part of the adapter."""

    def quotes(
        self, instruments: Sequence[model.Instrument], mode: model.Mode, ctx: Context
    ) -> Flow[list[model.Quote]]:
        groups = {kind: [item.broker_symbol for item in instruments if kind_of(item) is kind] for kind in KINDS}
        requests = [
            _data(f"{kind.root}/snapshots", pairs(symbols=",".join(part), feed=kind.source(ctx)))
            for kind, names in groups.items()
            for part in batches(names, BATCH)
        ]
        if mode.has_depth:
            requests += [_data(_BOOKS, pairs(symbols=",".join(part))) for part in batches(groups[PAIRS], BATCH)]
        replies = yield All(requests)
        found: dict[str, Row] = {}
        books: dict[str, Row] = {}
        with reading("snapshots"):
            for request, reply in zip(requests, replies, strict=True):
                if request.path == _BOOKS:
                    books |= reply.json["orderbooks"]
                else:
                    found |= reply.json.get("snapshots", reply.json)
            return [
                read_snapshot(found[item.broker_symbol], books.get(item.broker_symbol), item, mode)
                for item in instruments
                if found.get(item.broker_symbol)
            ]

    def candles(
        self,
        instrument: model.Instrument,
        interval: str,
        start: datetime,
        end: datetime,
        ctx: Context,
        *,
        continuous: bool = False,
    ) -> Flow[list[model.Candle]]:
        asked = interval_of(RECORDS, INTERVALS, interval, "1m to 59m, 1h to 23h, 1d or 1w")
        check_stretch(RECORDS, start, end)
        RECORDS.check((continuous, "continuous series are of futures, and there are none", "leave continuous out"))
        kind, symbol = kind_of(instrument), instrument.broker_symbol
        query = pairs(
            symbols=symbol,
            timeframe=asked.word,
            start=rfc3339(moment_ns(start)),
            end=rfc3339(moment_ns(end)),
            limit=str(PAGE),
            sort="asc",
            feed=kind.source(ctx) if kind is STOCKS else None,
            adjustment="raw" if kind is STOCKS else None,
        )

        def read(reply: Reply) -> list[model.Candle]:
            rows = (reply.json.get("bars") or {}).get(symbol) or ()
            return [_candle(row, instrument, interval, asked.length, ctx) for row in rows]

        following = by_token("next_page_token", "page_token")
        return (yield from pages(RECORDS, _data(f"{kind.root}/bars", query), following, read=read, tell=True))


def _data(path: str, query: Pairs) -> Request:
    return Request(path=path, host="data", query=query, meter="data")


def _candle(row: Row, instrument: model.Instrument, interval: str, length: timedelta, ctx: Context) -> model.Candle:
    ts = rfc3339_ns(row["t"])
    if ts is None:
        raise ValueError("a bar without a time")
    return model.Candle(
        instrument_id=instrument.instrument_id,
        interval=interval,
        ts_open=ts,
        open=float(row["o"]),
        high=float(row["h"]),
        low=float(row["l"]),
        close=float(row["c"]),
        volume=float_at(row, "v"),
        trades=int(row["n"]) if row.get("n") is not None else None,
        vwap=float_at(row, "vw"),
        is_closed=ts + int(length.total_seconds()) * 1_000_000_000 <= ctx.now_ns,
        source="alpaca",
    )


def read_snapshot(row: Row, book: Row | None, instrument: model.Instrument, mode: model.Mode) -> model.Quote:
    """Read a snapshot, with the whole book of a pair where it was asked for."""
    with reading(f"snapshot of {instrument.broker_symbol}"):
        trade, quote = row.get("latestTrade") or {}, row.get("latestQuote") or {}
        day, before = row.get("dailyBar") or {}, row.get("prevDailyBar") or {}
        sides: list[list[tuple[Any, Any]]] = [[(quote.get(f"{side}p"), quote.get(f"{side}s"))] for side in "ba"]
        if book is not None:
            sides = [[(level["p"], level["s"]) for level in book.get(side) or ()] for side in "ba"]
        times = [ns for part in (trade, quote) if (ns := rfc3339_ns(part.get("t")))]
        return model.Quote(
            instrument_id=instrument.instrument_id,
            mode=mode,
            last_price=float_at(trade, "p"),
            last_quantity=float_at(trade, "s"),
            average_price=float_at(day, "vw"),
            volume=float_at(day, "v"),
            open=float_at(day, "o"),
            high=float_at(day, "h"),
            low=float_at(day, "l"),
            previous_close=float_at(before, "c"),
            bids=_levels(sides[0], -1),
            asks=_levels(sides[1], 1),
            last_trade_time=rfc3339_ns(trade.get("t")),
            ts_event=max(times, default=None),
            raw=row,
        )


def _levels(rows: Iterable[tuple[Any, Any]], sign: int) -> tuple[model.DepthLevel, ...]:
    levels = [model.DepthLevel(float(price), float(size or 0), 0) for price, size in rows if price and size]
    return tuple(sorted(levels, key=lambda level: sign * level.price))
