"""Candles: a history of any length, in requests of the broker's span each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from dragoman.plugin import Context, Request, model, spans
from dragoman.plugin.parts import DAY, IST, Interval, SpanCandles, Stretch

from .words import refused, time_ns

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


class CandleFlows(SpanCandles):
    """The history's part of the adapter."""

    intervals: ClassVar[Mapping[str, Interval]] = {
        name: Interval(word, length, timedelta(days=days)) for name, (word, length, days) in INTERVALS.items()
    }
    intervals_told = f"one of {', '.join(INTERVALS)}"
    candle_zone = IST
    candles_at_once = 3
    candle_oi = True

    def check_continuous(self, instrument: model.Instrument, interval: Interval) -> None:
        if not interval.whole_days or instrument.instrument_type is not model.InstrumentType.FUTURE:
            raise refused("continuous series are day candles of futures only", "leave continuous out")

    def candle_requests(self, asked: Stretch, ctx: Context) -> list[Request]:
        path = f"/instruments/historical/{asked.instrument.broker_token}/{asked.interval.word}"
        oi = ("oi", str(int(asked.instrument.expiry is not None)))
        flags = (("continuous", str(int(asked.continuous))), oi)
        first, last = (moment.replace(microsecond=0) for moment in (asked.start, asked.end))
        return [
            Request(path=path, query=(("from", _ist(begin)), ("to", _ist(stop)), *flags), meter="candles")
            for begin, stop in spans(first, last, asked.interval.longest or DAY)
        ]

    def candle_opens(self, stamp: Any, interval: Interval) -> int | None:
        return time_ns(stamp)


def _ist(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
