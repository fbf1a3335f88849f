"""The broker's clock, as far as it can be told from here, and when its sessions end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from dragoman._core import OffsetClock
from dragoman.plugin import SessionRules
from dragoman.runtime.base import Clock

_NS: Final = 1_000_000_000


class BrokerClock(OffsetClock):
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

    __slots__ = ()

    def __init__(self, clock: Clock, *, threshold_s: float = 2.0, samples: int = 15) -> None:
        super().__init__(clock.wall_ns, int(threshold_s * _NS), samples, http_date_ns)


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
