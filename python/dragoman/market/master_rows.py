"""The rows of one instrument master, and the indexes that find them by each name a broker has for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import cached_property
from operator import attrgetter
from typing import Any

from dragoman.market.master_columns import Columns
from dragoman.market.search import SearchIndex, search_line
from dragoman.model import Instrument


class Rows:
    """The rows of one master and what finds them; each index is built when it is first asked for.

    A row stands either as an `Instrument`, or as None where `columns` can build it. Indexes hold places of rows.
    """

    def __init__(self, columns: Columns | None = None, count: int = 0) -> None:
        self.columns = columns
        self.stored = count  # rows from here on were added, and stand in `rows` only
        self.rows: list[Instrument | None] = [None] * count

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, at: int) -> Instrument:
        """Return the row at a place, building it where it was not yet."""
        found = self.rows[at]
        if found is None:
            assert self.columns is not None
            found = self.rows[at] = self.columns.row(at)
        return found

    def values(self, name: str) -> Iterable[Any]:
        """Return one field of every row, building none."""
        if self.columns is None:
            return map(attrgetter(name), self.rows)
        stored, added = self.columns.column(name, self.stored), self.rows[self.stored :]
        return itertools.chain(stored, map(attrgetter(name), added)) if added else stored

    @cached_property
    def ids(self) -> dict[str, int]:
        """By canonical id."""
        return dict(zip(self.values("instrument_id"), range(len(self)), strict=True))

    @cached_property
    def symbols(self) -> dict[tuple[str, str], int]:
        """By exchange and broker symbol."""
        pairs = zip(self.values("exchange"), self.values("broker_symbol"), strict=True)
        return {pair: at for at, pair in enumerate(pairs) if pair[1]}

    @cached_property
    def tokens(self) -> dict[str, int]:
        """By broker token."""
        return {token: at for at, token in enumerate(self.values("broker_token")) if token}

    @cached_property
    def exchange_tokens(self) -> dict[tuple[str, str], int | None]:
        """By exchange and its own number; None for one that several rows have."""
        found: dict[tuple[str, str], int | None] = {}
        for at, pair in enumerate(zip(self.values("exchange"), self.values("exchange_token"), strict=True)):
            if pair[1]:
                found[pair] = None if pair in found else at
        return found

    @cached_property
    def derivatives(self) -> dict[str, list[int]]:
        """By underlying, what expires."""
        found: dict[str, list[int]] = {}
        for at, (underlying, expiry) in enumerate(zip(self.values("underlying"), self.values("expiry"), strict=True)):
            if underlying and expiry:
                found.setdefault(underlying, []).append(at)
        return found

    @cached_property
    def search(self) -> SearchIndex:
        """By the words of a human."""
        lines = [search_line(row) for row in self.rows[self.stored :] if row is not None]
        if self.columns is not None:
            lines = [*self.columns.lines(), *lines] if lines else self.columns.lines()
        return SearchIndex(lines, self.row, self._roots)

    def _roots(self) -> Iterable[str | None]:
        pairs = zip(self.values("underlying"), self.values("expiry"), strict=True)
        return (None if expiry is None else underlying or "" for underlying, expiry in pairs)

    def changed(self) -> None:
        """Forget the indexes that are not kept up to date row by row."""
        for name in ("exchange_tokens", "derivatives", "search"):
            self.__dict__.pop(name, None)
