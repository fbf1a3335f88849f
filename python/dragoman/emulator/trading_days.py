"""The days of a market that trades from Monday to Friday, as brokers tell its hours; holidays are not known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dragoman.emulator.counting import SECOND


@dataclass(frozen=True, slots=True)
class TradingDays:
    """Hours in a time zone."""

    zone: ZoneInfo
    opens: time
    closes: time

    def local(self, now_ns: int) -> datetime:
        """Return a time, ns UTC, in whole seconds of the zone."""
        return datetime.fromtimestamp(now_ns // SECOND, self.zone)

    def tomorrow(self, now_ns: int) -> tuple[datetime, datetime]:
        """Return when the hours of the day after start and end."""
        day = self.local(now_ns) + timedelta(days=1)
        return datetime.combine(day, self.opens, self.zone), datetime.combine(day, self.closes, self.zone)

    def between(self, first: date, last: date, most: int) -> list[date]:
        """Return the days of trading from `first` to `last`, of at most `most` days of the calendar."""
        days = (first + timedelta(days=at) for at in range(min((last - first).days + 1, most)))
        return [day for day in days if day.weekday() < 5]
