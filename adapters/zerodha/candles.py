"""Candles: a history of any length, in requests of the broker's span each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from dragoman.plugin import Adapter, Context, Flow, Reply, Request, model, spans
from dragoman.plugin.history import check_stretch, history, read_rows
from dragoman.plugin.records import IST

from .words import RECORDS, refused, time_ns

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
        check_stretch(RECORDS, start, end)
        if continuous and (interval != "1d" or instrument.instrument_type is not model.InstrumentType.FUTURE):
            raise refused("continuous series are day candles of futures only", "leave continuous out")
        word, length, days = INTERVALS[interval]
        first, last = (moment.astimezone(IST).replace(microsecond=0) for moment in (start, end))
        pieces = spans(first, last, timedelta(days=days))
        path = f"/instruments/historical/{instrument.broker_token}/{word}"
        flags = (("continuous", str(int(continuous))), ("oi", str(int(instrument.expiry is not None))))
        requests = [
            Request(path=path, query=(("from", _ist(begin)), ("to", _ist(stop)), *flags), meter="candles")
            for begin, stop in pieces
        ]

        def read(reply: Reply) -> Iterable[model.Candle]:
            rows = RECORDS.as_rows("candles", reply.json["data"], "candles")
            return read_rows(rows, instrument, interval, length, ctx, source="zerodha", time_ns=time_ns)

        return (yield from history(RECORDS, requests, read, at_once=AT_ONCE))


def _ist(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
