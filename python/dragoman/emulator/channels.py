"""Who listens to what on a socket with named channels of symbols, and what it has not been told yet.

Changes are conflated: at every beat of the pace a listener is told the latest of each symbol that changed.

Example
-------
>>> listener = Listener()
>>> listener.wanted = listener.asked({"trades": ["AAPL"]}, more=True)
>>> listener.wants("trades", "AAPL"), listener.news("trades", "AAPL", 1), listener.news("trades", "AAPL", 1)
(True, True, False)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

ALL = "*"
Sides: TypeAlias = Mapping[str, Mapping[float, float]]
"""Side -> price -> quantity."""


@dataclass
class Listener:
    """One socket.

    Attributes
    ----------
    wanted : dict of str to set of str
        Channel -> symbols; ``*`` stands for all.
    """

    wanted: dict[str, set[str]] = field(default_factory=dict)
    _dirty: dict[str, None] = field(default_factory=dict)
    _told: dict[tuple[str, str], Any] = field(default_factory=dict)
    _next_ns: int = 0

    def wants(self, channel: str, symbol: str) -> bool:
        names = self.wanted.get(channel, ())
        return symbol in names or ALL in names

    def asked(self, channels: Mapping[str, Iterable[str]], *, more: bool) -> dict[str, set[str]]:
        """Return what would be wanted after subscribing (`more`) or unsubscribing `channels`; nothing changes."""
        wanted = {name: set(symbols) for name, symbols in self.wanted.items()}
        for name, symbols in channels.items():
            held = wanted.get(name, set())
            wanted[name] = held | set(symbols) if more else held - set(symbols)
        return wanted

    def refresh(self, channels: Mapping[str, Iterable[str]], symbols: Iterable[str]) -> None:
        """Forget what was told on `channels`, so that `symbols` are told again at once."""
        for name, names in channels.items():
            for symbol in names:
                self._told.pop((name, symbol), None)
        self._dirty |= dict.fromkeys(symbols)

    def changed(self, symbols: Iterable[str]) -> None:
        """Note which symbols changed; those nobody here wants are left out."""
        self._dirty |= {name: None for name in symbols if any(self.wants(one, name) for one in self.wanted)}

    def due(self, now_ns: int, pace_ns: int) -> list[str]:
        """Return the symbols to tell of now, in order of change; none before the pace allows it."""
        if not self._dirty or now_ns < self._next_ns:
            return []
        self._next_ns = now_ns + pace_ns
        found = list(self._dirty)
        self._dirty.clear()
        return found

    def news(self, channel: str, symbol: str, seen: Any) -> bool:
        """Say whether a wanted channel of a symbol has not been told yet, and take it for told."""
        if not self.wants(channel, symbol) or self._told.get((channel, symbol)) == seen:
            return False
        self._told[channel, symbol] = seen
        return True

    def book(self, channel: str, symbol: str, book: Sides) -> tuple[bool, Sides] | None:
        """Return (whether it is whole, levels) of a book to tell: all of it first, then what changed, 0 where gone."""
        before = self._told.get((channel, symbol))
        if not self.news(channel, symbol, book):
            return None
        return (True, book) if before is None else (False, book_changes(before, book))


def book_changes(before: Sides, now: Sides) -> Sides:
    """Return the levels whose quantity is another, with quantity 0 where they are gone."""
    return {
        side: {
            price: rows.get(price, 0.0)
            for price in {**rows, **before[side]}
            if rows.get(price) != before[side].get(price)
        }
        for side, rows in now.items()
    }
