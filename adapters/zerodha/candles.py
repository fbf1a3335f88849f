"""Candles: a history of any length, in requests of the broker's span each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from dragoman.plugin import Adapter, All, Context, Flow, Part, Request, in_turns, model, spans
from dragoman.plugin.records import IST

from .words import reading, refused, time_ns

# Interval -> the broker's word, its length, and the most days of one request.
INTERVALS: Final = {
    "1m": ("minute", timedelta(minutes=1), 60),
    "3m": ("3minute", timedelta(minutes=3), 100),
    "5m": ("5minute", timedelta(minutes=5), 100),
    "10m": ("10minute", timedelta(minutes=10), 100),
    "15m": ("15minute", timedelta(minutes=15), 200),
    "30m": ("30minute", timedelta(minutes=30), 200),
    "1h": ("60minute", timedelta(hours=1), 400),
    "1d": ("day", timedelta(days=1), 2000),
}
AT_ONCE: Final = 3
"""Requests between two reports of progress: what the broker takes in a second."""


class CandleFlows(Adapter):
    """The history's part of the adapter."""

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
        if interval not in INTERVALS:
            raise refused(f"there are no candles of {interval!r}", f"use one of {', '.join(INTERVALS)}")
        if start.tzinfo is None or end.tzinfo is None or end < start:
            raise refused(f"candles from {start} to {end}", "give times with a time zone, the earlier first")
        if continuous and (interval != "1d" or instrument.instrument_type is not model.InstrumentType.FUTURE):
            raise refused("continuous series are day candles of futures only", "leave continuous out")
        word, length, days = INTERVALS[interval]
        first, last = (moment.astimezone(IST).replace(microsecond=0) for moment in (start, end))
        pieces = spans(first, last, timedelta(days=days))
        found: dict[int, model.Candle] = {}
        for at in range(0, len(pieces), AT_ONCE):
            path = f"/instruments/historical/{instrument.broker_token}/{word}"
            flags = (("continuous", str(int(continuous))), ("oi", str(int(instrument.expiry is not None))))
            replies = yield All(
                [
                    Request(path=path, query=(("from", _ist(begin)), ("to", _ist(stop)), *flags), meter="candles")
                    for begin, stop in pieces[at : at + AT_ONCE]
                ]
            )
            with reading("candles"):
                rows = [row for reply in replies for row in reply.json["data"]["candles"]]
                read = yield from in_turns(_read(rows, instrument, interval, length, ctx))
            fresh = {one.ts_open: one for one in read if one.ts_open not in found}
            found |= fresh
            yield Part(list(fresh.values()), min(at + AT_ONCE, len(pieces)), len(pieces))
        return [found[ts] for ts in sorted(found)]


def _ist(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _read(
    rows: Iterable[Any], instrument: model.Instrument, interval: str, length: timedelta, ctx: Context
) -> Iterable[model.Candle]:
    lasts_ns = int(length.total_seconds()) * 1_000_000_000
    for row in rows:
        ts = time_ns(row[0])
        if ts is None:
            raise ValueError("a candle without a time")
        yield model.Candle(
            instrument_id=instrument.instrument_id,
            interval=interval,
            ts_open=ts,
            open=float(row[1]),
            high=float(row[2]),
            low=float(row[3]),
            close=float(row[4]),
            volume=float(row[5]),
            oi=float(row[6]) if len(row) > 6 else None,
            is_closed=ts + lasts_ns <= ctx.now_ns,
            source="zerodha",
        )
