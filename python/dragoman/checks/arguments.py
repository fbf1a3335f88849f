"""Arguments that are no part of an order: times, days, counts and callbacks, read kindly or refused by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from dragoman.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

Moment: TypeAlias = datetime | date | str
"""A time with its zone, or a whole day at the exchange; either also as ISO 8601 text."""

_FIRST_YEAR, _LAST_YEAR = 1900, 2200
_WRITE = "write a date for a whole day of the exchange, or a datetime with its tzinfo"


def moment(name: str, value: Moment, zone: ZoneInfo, *, end: bool = False) -> datetime:
    """Return a time with its zone; a date is the first second of that day in `zone`, or with `end` the last one.

    Raises
    ------
    UsageError
        It is no time, has no zone, or lies where no market has a history.
    """
    read = _iso(name, value) if isinstance(value, str) else value
    if not isinstance(read, date):
        raise UsageError(f"{name} {value!r} is no time", remedy=_WRITE)
    if not _FIRST_YEAR <= read.year <= _LAST_YEAR:
        raise UsageError(
            f"{name} {read} is not within the years {_FIRST_YEAR} to {_LAST_YEAR}", remedy="for until now, give today"
        )
    if not isinstance(read, datetime):
        return datetime.combine(read, time(23, 59, 59) if end else time(), zone)
    if read.tzinfo is None or read.utcoffset() is None:
        raise UsageError(f"{name} {read} has no time zone", remedy=_WRITE)
    return read


def span(start: Moment, end: Moment, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return from when until when; errors as `moment`, and where the end lies before the start."""
    first, last = moment("start", start, zone), moment("end", end, zone, end=True)
    if last < first:
        raise UsageError(f"the end, {last}, is before the start, {first}", remedy="give the earlier time first")
    return first, last


def day(name: str, value: date | str) -> date:
    """Return a date; of a datetime its date. UsageError for what is none."""
    read = _iso(name, value) if isinstance(value, str) else value
    if isinstance(read, datetime):
        return read.date()
    if isinstance(read, date):
        return read
    raise UsageError(f"{name} {value!r} is no date", remedy=f"write {name}=date(2026, 12, 24), or '2026-12-24'")


def _iso(name: str, value: str) -> date:
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(value)
        except ValueError:
            continue
    raise UsageError(f"{name} {value!r} is no time", remedy="write 2026-11-22 or 2026-11-22T09:15+05:30")


def count(name: str, value: int) -> int:
    """Return how many of something: a whole number, 0 or above. UsageError for anything else."""
    try:
        found = value.__index__() if type(value) is not bool else -1
    except (AttributeError, TypeError):
        found = -1
    if found < 0:
        raise UsageError(f"{name} {value!r} is no number of things", remedy="give a whole number, such as 10")
    return found


def function(name: str, value: F) -> F:
    """Return a callback; UsageError for what cannot be called, and for a coroutine function: nobody would await it."""
    if callable(value) and not inspect.iscoroutinefunction(value):
        return value
    found = "a coroutine function" if callable(value) else f"{value!r}"
    raise UsageError(f"{name} is {found}, expected a plain callable", remedy="give a function that returns at once")
