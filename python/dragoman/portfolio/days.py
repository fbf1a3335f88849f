"""Trading days by the clock of the broker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_NS: Final = 1_000_000_000


class TradingDays:
    """Tells of which day a time is, and when that day began. Asking again within one day costs two comparisons.

    Parameters
    ----------
    time_zone : str
        IANA name.
    now_ns : callable
        The broker's clock, ns UTC.
    """

    def __init__(self, time_zone: str, now_ns: Callable[[], int]) -> None:
        self._zone = ZoneInfo(time_zone)
        self._now_ns = now_ns
        self._name = ""
        self._start = self._end = 0

    def now_ns(self) -> int:
        """Return the broker's time now."""
        return self._now_ns()

    def day(self, ts: int | None = None) -> str:
        """Return the date (ISO 8601) at the exchange; None is now."""
        self._look(self._now_ns() if ts is None else ts)
        return self._name

    def start(self, ts: int | None = None) -> int:
        """Return when the day of that time began, ns UTC."""
        self._look(self._now_ns() if ts is None else ts)
        return self._start

    def began(self, day: str) -> int:
        """Return when a day, named by its date, began.

        Raises
        ------
        ValueError
            It is no date.
        """
        at = datetime.combine(datetime.fromisoformat(day).date(), time(), self._zone)
        return int(at.timestamp()) * _NS

    def _look(self, ts: int) -> None:
        if self._start <= ts < self._end:
            return
        today = datetime.fromtimestamp(ts // _NS, UTC).astimezone(self._zone).date()
        self._name = today.isoformat()
        self._start = self.began(self._name)
        self._end = self.began((today + timedelta(days=1)).isoformat())
