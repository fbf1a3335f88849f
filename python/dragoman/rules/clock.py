"""When rules that go by the clock act, in the exchange's time zone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from dragoman.errors import UsageError
from dragoman.plugin import TradingHours
from dragoman.rules.model import TimeExit

_NS: Final = 1_000_000_000
_DAYS: Final = 8


def due_ns(rule: TimeExit, exchange: str, hours: Sequence[TradingHours], zone: ZoneInfo, now_ns: int) -> int:
    """Return the next time at which a rule acts, ns UTC.

    Raises
    ------
    UsageError
        It names no time, or its exchange never closes.
    """
    now = datetime.fromtimestamp(now_ns / _NS, UTC).astimezone(zone)
    if (rule.at is None) is (rule.before_close_s is None):
        raise UsageError(
            f"TimeExit at {rule.at!r}, {rule.before_close_s} s before the close",
            remedy="give at= or before_close_s=; nothing was armed",
        )
    if rule.at is not None:
        found = datetime.combine(now.date(), _clock_time(rule.at), zone)
        if found <= now:
            found = datetime.combine(now.date() + timedelta(days=1), found.timetz())
        return _ns(found)
    assert rule.before_close_s is not None
    if not 0 <= rule.before_close_s < 86_400:
        raise UsageError(f"before_close_s is {rule.before_close_s}", remedy="give 0 to 86,400 seconds")
    closes = [_close(one, exchange, now, rule.before_close_s) for one in hours if one.opens != one.closes]
    found_all = [one for one in closes if one is not None]
    if not found_all:
        raise UsageError(
            f"{exchange} has no close that the adapter knows", remedy="give at= instead; nothing was armed"
        )
    return _ns(min(found_all))


def _close(hours: TradingHours, exchange: str, now: datetime, before_s: float) -> datetime | None:
    if hours.exchanges and exchange not in hours.exchanges:
        return None
    for days in range(-1, _DAYS):
        opened = now.date() + timedelta(days=days)
        if opened.weekday() not in hours.weekdays:
            continue
        day = opened + timedelta(days=1) if hours.closes <= hours.opens else opened
        found = datetime.combine(day, hours.closes, now.tzinfo) - timedelta(seconds=before_s)
        if found > now:
            return found
    return None


def _clock_time(text: str) -> time:
    found: time | None = None
    with suppress(ValueError):
        found = time.fromisoformat(text)
    if found is None or found.tzinfo is not None or found.microsecond:
        raise UsageError(f"TimeExit at {text!r}", remedy="write HH:MM or HH:MM:SS, exchange time; nothing was armed")
    return found


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * _NS
