"""Values in a broker's records: read exactly into ours, and written as its requests take them.

Numbers on the order path stay the decimals that stand on the wire. What is no such value raises LookupError, TypeError,
ValueError or ArithmeticError: read inside `Records.reading`, which names the place.

Example
-------
>>> given({"price": "101.05"}, "price"), given({}, "price")
(Decimal('101.05'), None)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, Final, TypeAlias

from dragoman.model import Side
from dragoman.plugin.codes import EnumMap

Row: TypeAlias = Mapping[str, Any]
Pairs: TypeAlias = tuple[tuple[str, str], ...]

IST: Final = timezone(timedelta(hours=5, minutes=30), "IST")
"""Indian time: it never had another offset since electronic trading began, so no time zone data is needed."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH_UNITS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))
_FRACTION: Final = re.compile(r"\.(\d{1,9})")

# -- reading -----------------------------------------------------------------------------------------------------------


def number(value: Any) -> Decimal:
    """Return a number exactly: a JSON number, or text of one; absent and empty read as 0, see `needed`.

    Raises
    ------
    TypeError, ValueError, ArithmeticError
        For what is none, or not finite.
    """
    if value is None or value == "":
        return Decimal(0)
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str | float):
        raise TypeError(f"{value!r} is not a number")
    result = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not result.is_finite():
        raise ValueError(f"{value!r} is not a finite number")
    return result


def needed(row: Row, key: str) -> Decimal:
    """Return the number at `key`, which has to be there: a price or quantity nobody told is not 0.

    Raises
    ------
    LookupError, TypeError, ValueError, ArithmeticError
        It is absent, null, empty, or no number.
    """
    value = row[key]
    if value is None or value == "":
        raise ValueError(f"{key} is {value!r}, expected a number")
    return number(value)


def side_of(words: EnumMap[Side | None], word: Any) -> Side:
    """Return the side a word names: of an order or a fill it has to be known.

    Raises
    ------
    ValueError
        It is another word.
    """
    side = words.read(str(word))
    if side is None:
        raise ValueError(f"side {word!r} is none of {', '.join(words.inward)}")
    return side


def given(row: Row, key: str) -> Decimal | None:
    """Return the number at `key`, None where the broker sent none."""
    return None if row.get(key) in (None, "") else number(row[key])


def nonzero(row: Row, key: str) -> Decimal | None:
    """Return the number at `key`, None where it is 0: the way of many brokers to say there is no such price."""
    return number(row.get(key)) or None


def float_at(row: Row, key: str) -> float | None:
    """Return the float64 nearest to the number at `key`, None where the broker sent none."""
    value = given(row, key)
    return None if value is None else float(value)


def text_or_none(value: Any) -> str | None:
    """Return text, None for an absent or empty one."""
    return None if value is None or value == "" else str(value)


def moment_ns(moment: datetime) -> int:
    """Return ns UTC of a moment with a time zone, exact to the microsecond."""
    return (moment - _EPOCH) // _MICROSECOND * 1000


def local_ns(text: Any, zone: tzinfo) -> int | None:
    """Return ns UTC of ISO 8601 text, in `zone` where it names none; None where it is empty.

    Raises
    ------
    ValueError, TypeError
        For other text.
    """
    if text is None or text == "":
        return None
    moment = datetime.fromisoformat(text)
    return moment_ns(moment.replace(tzinfo=zone) if moment.tzinfo is None else moment)


def rfc3339_ns(text: Any) -> int | None:
    """Return ns UTC of RFC 3339 text with its offset, all of up to nine digits kept; None where it is empty.

    Raises
    ------
    ValueError, TypeError
        For other text, and for a time without an offset.
    """
    if text is None or text == "":
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no offset from UTC")
    fraction = _FRACTION.search(text)
    below = int(fraction[1].ljust(9, "0")) if fraction else 0
    return moment_ns(moment.replace(microsecond=0)) + below


def day_start(now_ns: int, zone: tzinfo) -> datetime:
    """Return when the day of a moment (ns UTC) began in `zone`."""
    now = datetime.fromtimestamp(now_ns // 1_000_000_000, zone)
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def epoch_ns(value: int) -> int:
    """Return ns UTC of an epoch time in whatever unit, told by its size: seconds, ms, us or ns; good from 1973 on."""
    return next((value * unit for limit, unit in _EPOCH_UNITS if value < limit), value)


def next_time_ns(now_ns: int, at: time, zone: tzinfo) -> int:
    """Return ns UTC of the next time of day `at` in `zone` after `now_ns`: when tokens die, mostly."""
    now = datetime.fromtimestamp(now_ns // 1_000_000_000, zone)
    then = now.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    if then <= now:
        then += timedelta(days=1)
    return moment_ns(then)


# -- writing -----------------------------------------------------------------------------------------------------------


def plain(value: Decimal | None) -> str | None:
    """Write a decimal without an exponent."""
    return None if value is None else digits(value)


def digits(value: Decimal) -> str:
    """Write a decimal that is there without an exponent."""
    text = str(value)
    return format(value, "f") if "E" in text else text


def rfc3339(ns: int) -> str:
    """Write ns UTC as RFC 3339 text of whole seconds."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pairs(**fields: str | None) -> Pairs:
    """Return the fields that are given, for a query or a form."""
    return tuple([(name, value) for name, value in fields.items() if value is not None])


def wire_tag(wire_id: str, tag: str | None, room: int) -> str | None:
    """Return what goes into a broker's tag: our wire id, then the user's where all of it fits and is alphanumeric."""
    if not tag:
        return wire_id or None
    fits = len(wire_id) + len(tag) <= room and tag.isascii() and tag.isalnum()
    return (wire_id + tag if fits else wire_id) or None


def json_number(value: Decimal | None) -> int | float:
    """Return a decimal as the JSON number requests carry, 0 for none: whole ones without a point.

    A price of up to 15 digits is written with exactly its digits.
    """
    if value is None:
        return 0
    whole = int(value)
    return whole if whole == value else float(value)
