"""Books told as differences by place: the first time all of it, then what changed at each row of either side.

Example
-------
>>> socket = PlacedSocket("token")
>>> socket.change("X", [[(101, 5, 1)], [(100, 7, 2)]]).whole
True
>>> socket.change("X", [[(101, 4, 1)], []])
BookDifference(number=2, whole=False, sides=[{0: (None, 4, None)}, {0: (0, 0, 0)}])
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TypeAlias

Row: TypeAlias = tuple[int, ...]
"""Price, quantity and orders, as the wire counts them."""
_GONE: Row = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class BookDifference:
    """One message about a book: its number, and by side what is new by place; None stands for what is as it was."""

    number: int
    whole: bool
    sides: list[dict[int, tuple[int | None, ...]]]


@dataclass(slots=True)
class PlacedSocket:
    """One socket: its symbols by channel, the channels that are on, and what was told of each symbol."""

    token: str
    next_ns: int = 0
    symbols: dict[str, str] = field(default_factory=dict)
    on: set[str] = field(default_factory=set)
    told: dict[str, Sequence[Sequence[Row]]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    dirty: set[str] = field(default_factory=set)

    def forget(self, symbol: str) -> None:
        self.symbols.pop(symbol, None)
        self.told.pop(symbol, None)

    def subscribe(self, symbol: str, channel: str) -> None:
        self.symbols[symbol] = channel
        self.dirty.add(symbol)

    def due(self, changed: Collection[str], now_ns: int, pace_ns: int) -> list[str]:
        """Return the symbols to tell of now; `changed` are those whose market did since the last call."""
        self.dirty |= {symbol for symbol in changed if symbol in self.symbols}
        due = sorted(one for one in self.dirty if self.symbols.get(one) in self.on)
        if not due or now_ns < self.next_ns:
            return []
        self.next_ns = now_ns + pace_ns
        self.dirty.difference_update(due)
        return due

    def change(self, symbol: str, book: Sequence[Sequence[Row]]) -> BookDifference:
        """Take a book, a list of rows for each side, for told; return how it differs from what was told before."""
        whole = symbol not in self.told
        before = self.told.get(symbol, [()] * len(book))
        self.told[symbol] = book
        number = self.numbers[symbol] = self.numbers.get(symbol, 0) + 1
        sides = [_changes(old, new) for old, new in zip(before, book, strict=True)]
        return BookDifference(number, whole, sides)


def _changes(old: Sequence[Row], new: Sequence[Row]) -> dict[int, tuple[int | None, ...]]:
    found: dict[int, tuple[int | None, ...]] = {}
    for place, (was, now) in enumerate(zip_longest(old, new)):
        if was != now:
            cells = zip(now or _GONE, was or (None, None, None), strict=True)
            found[place] = tuple(None if value == then else value for value, then in cells)
    return found
