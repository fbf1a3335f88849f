"""How large positions are, as exits ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Protocol

from dragoman.portfolio.net import PositionKey


class Positions(Protocol):
    """Live positions of one account."""

    @property
    def ready(self) -> bool:
        """Whether they are known: until then nothing exits."""
        ...

    def keys(self) -> Iterable[PositionKey]:
        """Return the keys of all that are not flat."""
        ...

    def quantity(self, key: PositionKey) -> Decimal:
        """Return how large one is, signed, in units; 0 where there is none."""
        ...

    def average(self, key: PositionKey) -> Decimal | None:
        """Return the price it was entered at, where that is known."""
        ...

    def listen(self, callback: Callable[[PositionKey], object]) -> Callable[[], None]:
        """Call `callback` after each change of one; returns what ends it."""
        ...
