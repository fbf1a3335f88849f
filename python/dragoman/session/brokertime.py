"""The broker's clock, as far as it can be told from here, and when its sessions end."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from dragoman.plugin import SessionRules
from dragoman.runtime.base import Clock

_NS: Final = 1_000_000_000


class BrokerClock:
    """Wall clock of this machine, corrected by what the ``Date`` headers of replies say.

    A header counts whole seconds and its reply travelled for an unknown while, so one sample is worth about a second;
    the median of the last ones is used, and only where it is beyond `threshold_s`. Below that a machine whose clock is
    kept by NTP knows the time better than the header does; beyond it the machine's clock is wrong.

    Parameters
    ----------
    clock : Clock
    threshold_s : float
    samples : int
        How many are kept.
    """

    def __init__(self, clock: Clock, *, threshold_s: float = 2.0, samples: int = 15) -> None:
        self._wall_ns = clock.wall_ns
        self._threshold_ns = int(threshold_s * _NS)
        self._samples: deque[int] = deque(maxlen=samples)
        self._beyond = 0  # how many of them are beyond the threshold
        self.offset_ns = 0

    def read(self) -> int:
        """Return the broker's wall clock, ns UTC."""
        return self._wall_ns() + self.offset_ns

    @property
    def now_ns(self) -> int:
        return self._wall_ns() + self.offset_ns

    @property
    def measured_ns(self) -> int | None:
        """Median offset as measured, whether it is applied or not; None before the first sample."""
        return _median(self._samples) if self._samples else None

    def observe(self, date: str | None, sent_wall_ns: int, received_wall_ns: int) -> None:
        """Take one sample; a missing or unreadable header is none."""
        when = http_date_ns(date)
        if when is None or received_wall_ns < sent_wall_ns:
            return
        middle = sent_wall_ns + (received_wall_ns - sent_wall_ns) // 2
        # The header is cut down to its second: half a second is the expected rest.
        sample, samples = when + _NS // 2 - middle, self._samples
        if len(samples) == samples.maxlen and abs(samples[0]) > self._threshold_ns:
            self._beyond -= 1
        samples.append(sample)
        if abs(sample) > self._threshold_ns:
            self._beyond += 1
        if not self._beyond:
            self.offset_ns = 0  # where none is beyond it, neither is their median
            return
        median = _median(samples)
        # One odd sample (a cached page, a proxy's clock) must not move the clock by hours.
        enough = len(self._samples) >= 3
        self.offset_ns = median if enough and abs(median) > self._threshold_ns else 0


def _median(samples: Collection[int]) -> int:
    ordered = sorted(samples)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) // 2


@lru_cache(maxsize=256)
def http_date_ns(text: str | None) -> int | None:
    """Read an HTTP date as ns UTC; None where it is none."""
    if not text:
        return None
    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return int(when.timestamp()) * _NS
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def expiry_ns(rules: SessionRules, login_ns: int) -> int | None:
    """Return when a session begun at `login_ns` ends by the broker's rules; None where they do not say."""
    ends: list[int] = []
    if rules.life_s is not None:
        ends.append(login_ns + int(rules.life_s * _NS))
    if rules.expires_at is not None:
        zone = ZoneInfo(rules.time_zone)
        begun = datetime.fromtimestamp(login_ns / _NS, zone)
        end = begun.replace(
            hour=rules.expires_at.hour, minute=rules.expires_at.minute, second=rules.expires_at.second, microsecond=0
        )
        if end <= begun:
            # By the calendar, not by 24 hours: a day of a clock change is 23 or 25 of them.
            end = (end.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
        ends.append(int(end.timestamp()) * _NS)
    return min(ends, default=None)
