"""Candles: a history of any length in requests of the broker's span each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Any, Final

from dragoman.plugin import Adapter, All, Context, Flow, Part, Request, in_turns, model, spans
from dragoman.plugin.records import IST, float_at, moment_ns

from .words import listed, reading, refused, time_ns

_MINUTES: Final = (1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 120, 180, 240)
# Letter -> the counts the broker has, their length, days of one request.
UNITS: Final = {
    "s": ((5, 10, 15, 30, 45), timedelta(seconds=1), 30),
    "m": (_MINUTES, timedelta(minutes=1), 100),
    "h": ((1, 2, 3, 4), timedelta(hours=1), 100),
    "d": ((1,), timedelta(days=1), 366),
    "w": ((1,), timedelta(weeks=1), 366),
}
AT_ONCE: Final = 5
_INTERVAL: Final = re.compile(r"(\d{1,3})([smhdw])")
_DAY: Final = timedelta(days=1)


def resolution_of(count: int, unit: str) -> str:
    """Return the broker's name of an interval: minutes are bare, hours are minutes."""
    return {"s": f"{count}S", "m": f"{count}", "h": f"{count * 60}"}.get(unit, f"{count}{unit.upper()}")


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
        found = _INTERVAL.fullmatch(interval)
        if found is None or int(found[1]) not in UNITS[found[2]][0]:
            raise refused(f"there are no candles of {interval!r}", "use 5s to 45s, 1m to 240m, 1h to 4h, 1d or 1w")
        if start.tzinfo is None or end.tzinfo is None or end < start:
            raise refused(f"candles from {start} to {end}", "give times with a time zone, the earlier first")
        count, unit = int(found[1]), found[2]
        _, length, days = UNITS[unit]
        whole_days = length >= _DAY
        first, last = (_midnight(start), _midnight(end)) if whole_days else (start, end)
        pieces = spans(first, last, timedelta(days=days) - _DAY, step=_DAY if whole_days else timedelta(seconds=1))
        requests = [
            Request(
                path="/data/history",
                query=(
                    ("symbol", instrument.broker_symbol),
                    ("resolution", resolution_of(count, unit)),
                    ("date_format", str(int(whole_days))),
                    ("range_from", _stamp(since, whole_days)),
                    ("range_to", _stamp(until, whole_days)),
                    ("cont_flag", str(int(continuous))),
                    ("oi_flag", str(int(instrument.expiry is not None))),
                ),
            )
            for since, until in pieces
        ]
        known: dict[int, model.Candle] = {}
        low, high = moment_ns(first), moment_ns(end)
        for at in range(0, len(requests), AT_ONCE):
            replies = yield All(requests[at : at + AT_ONCE])
            with reading("candles"):
                rows = [row for reply in replies for row in listed("candles", reply.json, "candles")]
                read = yield from in_turns(_read(rows, instrument, interval, length * count, ctx))
                fresh = {one.ts_open: one for one in read if low <= one.ts_open <= high and one.ts_open not in known}
            known |= fresh
            yield Part([fresh[ts] for ts in sorted(fresh)], min(at + AT_ONCE, len(requests)), len(requests))
        return [known[ts] for ts in sorted(known)]


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.astimezone(IST).date(), time(0), IST)


def _stamp(moment: datetime, whole_days: bool) -> str:
    return f"{moment:%Y-%m-%d}" if whole_days else str(moment_ns(moment) // 1_000_000_000)


def _read(
    rows: list[Any], instrument: model.Instrument, interval: str, length: timedelta, ctx: Context
) -> Iterator[model.Candle]:
    lasts_ns = int(length.total_seconds()) * 1_000_000_000
    # Days are stamped 00:00 UTC of their date: an Indian day began earlier.
    early_ns = int(IST.utcoffset(None).total_seconds()) * 1_000_000_000 if length >= _DAY else 0
    for row in rows:
        ts = time_ns(int(row[0]))
        if ts is None:
            raise ValueError("a candle without a time")
        ts -= early_ns
        values: dict[str, Any] = dict(
            zip(("open", "high", "low", "close", "volume"), map(float, row[1:6]), strict=True)
        )
        yield model.Candle(
            instrument_id=instrument.instrument_id,
            interval=interval,
            ts_open=ts,
            oi=float_at({"oi": row[6]}, "oi") if len(row) > 6 and instrument.expiry else None,
            is_closed=ts + lasts_ns <= ctx.now_ns,
            source="fyers",
            **values,
        )
