"""Candles: a history of any length in requests of the broker's span each, and today from a call of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Final
from urllib.parse import quote

from dragoman.plugin import Adapter, Context, Flow, Reply, Request, model, spans
from dragoman.plugin.history import check_stretch, history, read_rows
from dragoman.plugin.records import IST

from .words import RECORDS, refused, time_ns

# Letter -> the broker's unit, the counts it has, their length, and days of one request (None: any).
UNITS: Final = {
    "m": ("minutes", range(1, 301), timedelta(minutes=1), 89),
    "h": ("hours", range(1, 6), timedelta(hours=1), 89),
    "d": ("days", range(1, 2), timedelta(days=1), 3650),
    "w": ("weeks", range(1, 2), timedelta(weeks=1), None),
}
FINE: Final = (15, 28)
"""Up to so many minutes a request spans a calendar month only: the shortest has so many days."""
AT_ONCE: Final = 5
_INTERVAL: Final = re.compile(r"(\d{1,3})([mhdw])")
_DAY: Final = timedelta(days=1)


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
        if found is None or int(found[1]) not in UNITS[found[2]][1]:
            raise refused(f"there are no candles of {interval!r}", "use 1m to 300m, 1h to 5h, 1d or 1w")
        check_stretch(RECORDS, start, end)
        if continuous:
            raise refused("there are no continuous series", "leave continuous out")
        count, (unit, _, length, days) = int(found[1]), UNITS[found[2]]
        days = FINE[1] if unit == "minutes" and count <= FINE[0] else days
        head = f"/v3/historical-candle/{{}}{quote(instrument.broker_token, safe='')}/{unit}/{count}"
        paths = [
            f"{head.format('')}/{last:%Y-%m-%d}/{first:%Y-%m-%d}" for first, last in _days(start, end, days, ctx.now_ns)
        ]
        if _midnight(end) >= _midnight(_now(ctx)) and unit != "weeks":
            paths.append(head.format("intraday/"))

        def read(reply: Reply) -> Iterable[model.Candle]:
            rows = RECORDS.as_rows("candles", reply.json["data"], "candles")
            oi = instrument.expiry is not None
            found = read_rows(rows, instrument, interval, length * count, ctx, source="upstox", time_ns=time_ns, oi=oi)
            # Days are asked for whole; today's call may tell of an earlier one.
            return (one for one in found if _within(one.ts_open, start, end, unit))

        return (yield from history(RECORDS, [Request(path=path) for path in paths], read, at_once=AT_ONCE))


def _now(ctx: Context) -> datetime:
    return datetime.fromtimestamp(ctx.now_ns // 1_000_000_000, IST)


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.astimezone(IST).date(), time(0), IST)


def _days(start: datetime, end: datetime, longest: int | None, now_ns: int) -> list[tuple[datetime, datetime]]:
    """Return first and last days of requests to the history, which has nothing of today."""
    today = _midnight(datetime.fromtimestamp(now_ns // 1_000_000_000, IST))
    first, last = _midnight(start), min(_midnight(end), today - _DAY)
    if last < first:
        return []
    return [(first, last)] if longest is None else spans(first, last, timedelta(days=longest - 1) or _DAY, step=_DAY)


def _within(ts_ns: int, start: datetime, end: datetime, unit: str) -> bool:
    opens = datetime.fromtimestamp(ts_ns // 1_000_000_000, IST)
    first = start if unit in ("minutes", "hours") else _midnight(start)
    return first <= opens <= end
