"""Rows in pages whose token is the number of the row that comes next.

Example
-------
>>> page("abcde", 2, 2), page("abcde", 4, 2)
((['c', 'd'], '4'), (['e'], None))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

RowT = TypeVar("RowT")


def page(rows: Iterable[RowT], skip: int, limit: int) -> tuple[list[RowT], str | None]:
    """Return the rows of one page, and the token of the next: None where there is none. Reads no further."""
    found = list(islice(rows, skip, skip + limit + 1))
    return found[:limit], str(skip + limit) if len(found) > limit else None


def gathered(rows: Iterable[tuple[str, RowT]]) -> dict[str, list[RowT]]:
    """Return rows by the name each comes with, in their order."""
    found: dict[str, list[RowT]] = {}
    for name, row in rows:
        found.setdefault(name, []).append(row)
    return found


def page_after(rows: Sequence[Mapping[str, Any]], last: str | None, limit: int) -> list[Mapping[str, Any]]:
    """Return the rows of a page whose token is the ``id`` of the row before it; one of no row starts at the first."""
    starts = [at for at, row in enumerate(rows, 1) if row["id"] == last]
    first = starts[0] if starts else 0
    return list(rows[first : first + limit])
