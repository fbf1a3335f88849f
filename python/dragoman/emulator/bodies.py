"""Numbers, times and tables as JSON interfaces write them, and redirects: what most answers are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit

from dragoman.emulator.contract import HttpAnswer
from dragoman.plugin.values import IST

RowT = TypeVar("RowT")
Level = tuple[Decimal, Decimal, int]


def json_answer(body: Any, status: int = 200, *more: tuple[str, str]) -> HttpAnswer:
    """Answer with JSON; `more` are further headers."""
    return HttpAnswer(status, (("Content-Type", "application/json"), *more), json.dumps(body).encode())


def succeeded(data: Any, **more: Any) -> HttpAnswer:
    """Answer with data in the envelope that several brokers share; `more` stands beside it."""
    return json_answer({"status": "success", "data": data, **more})


def redirect(url: str, told: Sequence[tuple[str, str]]) -> HttpAnswer:
    """Send a browser to a registered URL, with `told` added to its query: the end of a login page."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(told))))
    return HttpAnswer(302, (("Location", urlunsplit(parts._replace(query=query))),))


def num(value: Decimal) -> int | float:
    """Return a decimal as the JSON number most brokers write: whole ones without a point."""
    whole = int(value)
    return whole if whole == value else float(value)


def cents(value: Decimal) -> int | float:
    """Return a decimal as a JSON number with two digits behind the point at most."""
    return num(round(value, 2))


def seconds(ns: int | None) -> int:
    """Return a time, ns UTC, in seconds; None is 0."""
    return (ns or 0) // 1_000_000_000


def stamp(ns: int | None, zone: tzinfo, form: str = "%Y-%m-%d %H:%M:%S") -> str | None:
    """Write a time, ns UTC, in `zone`; None stays None."""
    return None if ns is None else datetime.fromtimestamp(ns // 1_000_000_000, zone).strftime(form)


def ist(ns: int | None, form: str = "%Y-%m-%d %H:%M:%S") -> str | None:
    """Write a time, ns UTC, as Indian time without a zone; None stays None."""
    return stamp(ns, IST, form)


def rfc3339(ns: int | None) -> str | None:
    """Write a time, ns UTC, with nine digits and a Z; None stays None."""
    if ns is None:
        return None
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def shortest(value: Decimal | None) -> str | None:
    """Write a number as text without zeros at its end, nor an exponent; None stays None."""
    if value is None:
        return None
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") or "0" if "." in plain else plain


def fixed(value: Decimal, digits: int = 8) -> str:
    """Write a number with so many digits behind the point."""
    return format(round(value, digits), f".{digits}f")


def millis(ns: int | None) -> int:
    """Return a time, ns UTC, in milliseconds; None is 0."""
    return (ns or 0) // 1_000_000


def ladder(levels: Iterable[Level], rows: int, write: Callable[[Decimal, Decimal, int], RowT]) -> list[RowT]:
    """Write the best `rows` levels of one side of a book; levels that are missing are written as zeros."""
    best = list(levels)[:rows]
    nothing = (Decimal(0), Decimal(0), 0)
    return [write(*level) for level in best + [nothing] * (rows - len(best))]


def best(levels: Sequence[Level]) -> tuple[Decimal, Decimal]:
    """Return price and quantity of the first level of a side, zeros where it has none."""
    return levels[0][:2] if levels else (Decimal(0), Decimal(0))


def compact(message: Any) -> str:
    """Write JSON without spaces."""
    return json.dumps(message, separators=(",", ":"))
