"""What goes into requests, and the two ways a reply's ``data`` is taken."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from dragoman.plugin import Flow, Request
from dragoman.plugin.parts import Pairs, fetch, fetch_rows

from .words import RECORDS


def whole(value: Decimal | None) -> str | None:
    """Write a quantity. Raises UsageError for a fraction."""
    return None if value is None else written(value)


def written(value: Decimal) -> str:
    """Write a quantity that is there. Raises UsageError for a fraction."""
    text = str(value)
    return text if text.isdigit() else str(RECORDS.whole(value))


def data(path: str, query: Pairs = ()) -> Flow[Any]:
    """Read ``data`` of a path, decimals exact."""
    return (yield from fetch(RECORDS, Request(path=path, query=query), "data"))


def rows(path: str, query: Pairs = ()) -> Flow[list[Any]]:
    """Read a list. Raises DecodeError where it is none."""
    return (yield from fetch_rows(RECORDS, Request(path=path, query=query), "data"))
