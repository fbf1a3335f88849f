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
from dragoman.session.calendar import TradingCalendar

_NS: Final = 1_000_000_000
_DAYS: Final = 8


def due_ns(rule: TimeExit, exchange: str, hours: Sequence[TradingHours], zone: ZoneInfo, now_ns: int) -> int:
    """Return the next time at which a rule acts, ns UTC: always one at which its exchange is open.

    Holidays are not in the hours of adapters. Where none are told of an exchange, any day is as good.

    Raises
    ------
    UsageError
        It names no time, or its exchange never closes, or is closed then on every day.
    """
    now = datetime.fromtimestamp(now_ns / _NS, UTC).astimezone(zone)
    if (rule.at is None) is (rule.before_close_s is None):
        raise UsageError(
            f"TimeExit at {rule.at!r}, {rule.before_close_s} s before the close",
            remedy="give at= or before_close_s=; nothing was armed",
        )
    if rule.at is not None:
        return _next(_clock_time(rule.at), exchange, hours, now)
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


def _next(at: time, exchange: str, hours: Sequence[TradingHours], now: datetime) -> int:
    known = [one for one in hours if not one.exchanges or exchange in one.exchanges]
    for days in range(_DAYS + 1):
        found = datetime.combine(now.date() + timedelta(days=days), at, now.tzinfo)
        if found > now and (not known or _is_open(exchange, known, found)):
            return _ns(found)
    raise UsageError(
        f"{exchange} is closed at {at} on every day",
        remedy=f"give a time at which it trades, in the zone {now.tzinfo}; nothing was armed",
    )


def _is_open(exchange: str, hours: Sequence[TradingHours], moment: datetime) -> bool:
    return TradingCalendar(hours, str(moment.tzinfo), lambda: _ns(moment)).open_for_s((exchange,)) is not None


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
