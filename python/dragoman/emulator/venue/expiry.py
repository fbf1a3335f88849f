"""When contracts expire, by the exchanges' rules and without a holiday calendar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta


def next_months(today: date, expiry_of: Callable[[int, int], date], count: int) -> list[date]:
    """Return the next `count` monthly expiries, today's included; `expiry_of` takes year and month."""
    found: list[date] = []
    year, month = today.year, today.month
    while len(found) < count:
        expiry = expiry_of(year, month)
        if expiry >= today:
            found.append(expiry)
        year, month = year + month // 12, month % 12 + 1
    return found


def month_end(year: int, month: int) -> date:
    """Return the last day of a month."""
    return date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)


def last_tuesday(year: int, month: int) -> date:
    """Return the last Tuesday of a month."""
    end = month_end(year, month)
    return end - timedelta(days=(end.weekday() - 1) % 7)


def working_day(day: int, year: int, month: int) -> date:
    """Return a day of the month, or the Friday before it where it is on a weekend."""
    at = date(year, month, day)
    return at - timedelta(days=max(0, at.weekday() - 4))


def currency_expiry(year: int, month: int) -> date:
    """Return two working days before the last working day of a month."""
    day, left = month_end(year, month), 2
    while day.weekday() > 4:
        day -= timedelta(days=1)
    while left:
        day -= timedelta(days=1)
        left -= day.weekday() <= 4
    return day
