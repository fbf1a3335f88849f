"""Candles: a history of any length in requests of the broker's span each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Final

from dragoman.plugin import Adapter, Context, Flow, Reply, Request, model, spans
from dragoman.plugin.history import check_stretch, history, read_rows
from dragoman.plugin.records import IST, moment_ns

from .words import RECORDS, listed, refused, time_ns

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
_AHEAD_NS: Final = int(IST.utcoffset(None).total_seconds()) * 1_000_000_000


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
        check_stretch(RECORDS, start, end)
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
        low, high = moment_ns(first), moment_ns(end)
        # Days are stamped 00:00 UTC of their date: an Indian day began earlier.
        early_ns, oi = _AHEAD_NS if whole_days else 0, instrument.expiry is not None
        lasts = length * count

        def read(reply: Reply) -> Iterable[model.Candle]:
            rows = listed("candles", reply.json, "candles")
            found = read_rows(
                rows, instrument, interval, lasts, ctx, source="fyers", time_ns=time_ns, early_ns=early_ns, oi=oi
            )
            return (one for one in found if low <= one.ts_open <= high)

        return (yield from history(RECORDS, requests, read, at_once=AT_ONCE))


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.astimezone(IST).date(), time(0), IST)


def _stamp(moment: datetime, whole_days: bool) -> str:
    return f"{moment:%Y-%m-%d}" if whole_days else str(moment_ns(moment) // 1_000_000_000)
