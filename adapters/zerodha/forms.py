"""What goes into requests, and the two ways a reply's ``data`` is taken."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from dragoman.plugin import Flow, Request
from dragoman.plugin.records import Pairs

from .words import RECORDS, loads, reading


def whole(value: Decimal | None) -> str | None:
    """Write a quantity. Raises UsageError for a fraction."""
    return None if value is None else written(value)


def written(value: Decimal) -> str:
    """Write a quantity that is there. Raises UsageError for a fraction."""
    text = str(value)
    return text if text.isdigit() else str(RECORDS.whole(value))


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
    return RECORDS.as_rows(path, (yield from data(path, query)))
