"""When a broker's markets are open, by its clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from dragoman.plugin import TradingHours

_NS: Final = 1_000_000_000
_DAY_S: Final = 86_400.0


class TradingCalendar:
    """The trading hours of one adapter. Holidays are not in it: whoever asks has to see whether data come.

    Parameters
    ----------
    hours : sequence of TradingHours
    time_zone : str
    now_ns : callable
        The broker's clock, ns UTC.
    """

    def __init__(self, hours: Sequence[TradingHours], time_zone: str, now_ns: Callable[[], int]) -> None:
        self._hours = tuple(hours)
        self._zone = ZoneInfo(time_zone)
        self._now_ns = now_ns

    def open_for_s(self, exchanges: Collection[str] = ()) -> float | None:
        """Return for how many seconds one of these exchanges (empty: any) has been open; None while all are closed."""
        now = datetime.fromtimestamp(self._now_ns() / _NS, UTC).astimezone(self._zone)
        found = [
            since
            for hours in self._hours
            if not hours.exchanges or not exchanges or not hours.exchanges.isdisjoint(exchanges)
            if (since := _open_for_s(hours, now)) is not None
        ]
        return max(found, default=None)


def _open_for_s(hours: TradingHours, now: datetime) -> float | None:
    if hours.opens == hours.closes:
        return _DAY_S if now.weekday() in hours.weekdays else None
    for day in (now, now - timedelta(days=1)):  # a session may run past midnight
        if day.weekday() not in hours.weekdays:
            continue
        opened = datetime.combine(day.date(), hours.opens, now.tzinfo)
        closed = datetime.combine(day.date(), hours.closes, now.tzinfo)
        if closed <= opened:
            closed = datetime.combine(day.date() + timedelta(days=1), hours.closes, now.tzinfo)
        if opened <= now < closed:
            return (now - opened).total_seconds()
    return None
