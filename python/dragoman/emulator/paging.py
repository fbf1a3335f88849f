"""Rows in pages whose token is the number of the row that comes next.

Example
-------
>>> page("abcde", 2, 2), page("abcde", 4, 2)
((['c', 'd'], '4'), (['e'], None))
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

RowT = TypeVar("RowT")


def page(rows: Iterable[RowT], skip: int, limit: int) -> tuple[list[RowT], str | None]:
    """Return the rows of one page, and the token of the next: None where there is none. Reads no further."""
    found = list(islice(rows, skip, skip + limit + 1))
    return found[:limit], str(skip + limit) if len(found) > limit else None
