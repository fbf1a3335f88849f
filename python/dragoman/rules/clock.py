"""When rules that go by the clock act, in the exchange's time zone."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Final

from dragoman.errors import UsageError
from dragoman.rules.model import TimeExit
from dragoman.session.calendar import TradingCalendar

_NS: Final = 1_000_000_000
_DAYS: Final = 16


def due_ns(rule: TimeExit, exchange: str, calendar: TradingCalendar) -> int:
    """Return the next time at which a rule acts, ns UTC: always one at which its exchange is open.

    Before a close means before the end of continuous trading: a closing auction fills no exit for sure. A day of which
    the calendar knows nothing counts by the hours of the week, and where no hours are told of an exchange any day is
    as good.

    Raises
    ------
    UsageError
        It names no time, or its exchange never closes, or is closed then on every day.
    """
    now = datetime.fromtimestamp(calendar.now_ns() / _NS, UTC).astimezone(calendar.zone)
    if (rule.at is None) is (rule.before_close_s is None):
        raise UsageError(
            f"TimeExit at {rule.at!r}, {rule.before_close_s} s before the close",
            remedy="give at= or before_close_s=; nothing was armed",
        )
    if rule.at is not None:
        return _next(_clock_time(rule.at), exchange, calendar, now)
    assert rule.before_close_s is not None
    if not 0 <= rule.before_close_s < 86_400:
        raise UsageError(f"before_close_s is {rule.before_close_s}", remedy="give 0 to 86,400 seconds")
    if calendar.is_endless(exchange) or not calendar.has_hours(exchange):
        raise UsageError(
            f"{exchange} has no close that the adapter knows", remedy="give at= instead; nothing was armed"
        )
    for days in range(-1, _DAYS):
        for _, closes in calendar.continuous(exchange, now.date() + timedelta(days=days)):
            found = closes - round(rule.before_close_s * _NS)
            if found > calendar.now_ns():
                return found
    raise UsageError(f"{exchange} is closed for {_DAYS} days", remedy="nothing was armed; try again nearer to it")


def _next(at: time, exchange: str, calendar: TradingCalendar, now: datetime) -> int:
    for days in range(_DAYS):
        found = datetime.combine(now.date() + timedelta(days=days), at, now.tzinfo)
        if found > now and (not calendar.has_hours(exchange) or calendar.open_at(exchange, _ns(found))):
            return _ns(found)
    raise UsageError(
        f"{exchange} is closed at {at} on every day",
        remedy=f"give a time at which it trades, in the zone {now.tzinfo}; nothing was armed",
    )


def _clock_time(text: str) -> time:
    found: time | None = None
    with suppress(ValueError):
        found = time.fromisoformat(text)
    if found is None or found.tzinfo is not None or found.microsecond:
        raise UsageError(f"TimeExit at {text!r}", remedy="write HH:MM or HH:MM:SS, exchange time; nothing was armed")
    return found


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * _NS
