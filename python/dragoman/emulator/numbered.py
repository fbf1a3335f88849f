"""Books told as numbered differences: each says which numbers it covers, and which number was told before it.

A snapshot names the last difference it contains, so that a client can join the two.

Example
-------
>>> books, one = NumberedBooks(), Decimal(1)
>>> change = books.update("X", {"bids": {one: one}, "asks": {}}, by_level=True)
>>> change.first, change.last, change.previous, books.update("X", {"bids": {one: one}, "asks": {}}, by_level=True)
(1001, 1001, 1000, None)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

Levels: TypeAlias = Mapping[Decimal, Decimal]
"""Price -> quantity."""
_FIRST = 1000
_FIRST_JUMP = 10_000
_JUMP = 17
_COVERED = 5


@dataclass(frozen=True, slots=True)
class BookChange:
    """Numbers ``first .. last``, told after `previous`; by side what changed, with quantity 0 where it is gone."""

    first: int
    last: int
    previous: int
    levels: Mapping[str, Levels]


class NumberedBooks:
    """The books of one broker as told so far, by name."""

    def __init__(self) -> None:
        self._told: dict[str, Mapping[str, Levels]] = {}
        self._last: dict[str, int] = {}
        self._jumps = _FIRST_JUMP

    def last(self, name: str) -> int:
        """Return the number of the last difference of a book."""
        return self._last.get(name, _FIRST)

    def update(self, name: str, book: Mapping[str, Levels], *, by_level: bool) -> BookChange | None:
        """Number what changed in a book since it was looked at; None where nothing did.

        Parameters
        ----------
        by_level : bool
            Whether numbers rise by one with every level that changed; they jump otherwise, as where one count serves
            all books.
        """
        before = self._told.get(name, {})
        changes = {side: _changed(before.get(side, {}), levels) for side, levels in book.items()}
        self._told[name] = book
        previous, count = self.last(name), sum(map(len, changes.values()))
        if not count:
            return None
        self._jumps += _JUMP
        first, last = (previous + 1, previous + count) if by_level else (self._jumps - _COVERED, self._jumps)
        self._last[name] = last
        return BookChange(first, last, previous, changes)


def _changed(old: Levels, new: Levels) -> dict[Decimal, Decimal]:
    gone = {price: Decimal(0) for price in old if price not in new}
    return {price: size for price, size in new.items() if old.get(price) != size} | gone
