"""What goes into requests, and the two ways a reply's ``data`` is taken."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from dragoman.plugin import ErrorKind, Flow, Request, UsageError, errors

from .words import loads, reading

Pairs = tuple[tuple[str, str], ...]


def pairs(**fields: str | None) -> Pairs:
    """Return a form of the fields that are given."""
    return tuple((name, value) for name, value in fields.items() if value is not None)


def plain(value: Decimal | None) -> str | None:
    """Write a decimal without an exponent."""
    return None if value is None else digits(value)


def digits(value: Decimal) -> str:
    """Write a decimal that is there without an exponent."""
    text = str(value)
    return format(value, "f") if "E" in text else text


def whole(value: Decimal | None) -> str | None:
    """Write a quantity. Raises UsageError for a fraction."""
    return None if value is None else written(value)


def written(value: Decimal) -> str:
    """Write a quantity that is there. Raises UsageError for a fraction."""
    text = str(value)
    if text.isdigit():
        return text
    number = value.to_integral_value()
    if value != number:
        raise refused(f"quantity {value} is not a whole number", "give whole units", kind=ErrorKind.INVALID_QUANTITY)
    return format(number, "f")


def refused(what: str, remedy: str, *, kind: ErrorKind = ErrorKind.BAD_REQUEST) -> UsageError:
    """Return the error of what this broker does not take; zero bytes were sent."""
    return UsageError(f"zerodha: {what}", kind=kind, broker="zerodha", remedy=remedy)


def fetch(request: Request) -> Flow[Any]:
    """Send a request and return its ``data``, decimals exact."""
    reply = yield request
    with reading(request.path):
        return loads(reply.body)["data"]


def data(path: str, query: Pairs = ()) -> Flow[Any]:
    """Read ``data`` of a path."""
    return (yield from fetch(Request(path=path, query=query)))


def rows(path: str, query: Pairs = ()) -> Flow[list[Any]]:
    """Read a list. Raises DecodeError where it is none."""
    found = yield from data(path, query)
    return as_rows(path, found)


def as_rows(path: str, found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise errors.DecodeError(f"zerodha: {path}: data is {type(found).__name__}, expected a list", broker="zerodha")
    return found
