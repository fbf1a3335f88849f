"""How large positions are, as exits ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Final, Protocol

from dragoman.model import LivePosition
from dragoman.portfolio.book import PositionBook
from dragoman.portfolio.net import PositionKey

ZERO: Final = Decimal(0)


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

    def rows(self) -> Sequence[LivePosition]:
        """Return all of them, marked."""
        ...

    def profit(self, currency: str) -> Decimal | None:
        """Return the day's profit in a currency, realised and unrealised; None where nothing was traded in it."""
        ...

    def listen(self, callback: Callable[[PositionKey], object]) -> Callable[[], None]:
        """Call `callback` after each change of one; returns what ends it."""
        ...


class BookPositions:
    """Live positions as the position book counts them.

    Parameters
    ----------
    book : PositionBook
    read : bool
        Whether the broker's positions are read at all; where it has none, the fills are all there is.
    """

    def __init__(self, book: PositionBook, *, read: bool = True) -> None:
        self._book = book
        self._read = read

    @property
    def ready(self) -> bool:
        return self._book.seeded or not self._read

    def keys(self) -> list[PositionKey]:
        return self._book.keys()

    def quantity(self, key: PositionKey) -> Decimal:
        row = self._book.row(key)
        return ZERO if row is None else row.quantity

    def average(self, key: PositionKey) -> Decimal | None:
        row = self._book.row(key)
        return None if row is None else row.average_price

    def rows(self) -> list[LivePosition]:
        return self._book.rows()

    def profit(self, currency: str) -> Decimal | None:
        found = self._book.totals().get(currency)
        return None if found is None else found.realised + found.unrealised

    def listen(self, callback: Callable[[PositionKey], object]) -> Callable[[], None]:
        return self._book.listen(callback)
