"""How large positions are, as exits ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Protocol

from dragoman.market import InstrumentMaster
from dragoman.model import LivePosition, Product
from dragoman.portfolio.book import PositionBook
from dragoman.portfolio.net import PositionKey
from dragoman.portfolio.rows import DayMade
from dragoman.rules.requests import worth_too_little

ZERO: Final = Decimal(0)


class Positions(Protocol):
    """Live positions of one account."""

    @property
    def ready(self) -> bool:
        """Whether they are known: until then nothing exits."""
        ...

    def keys(self) -> Iterable[PositionKey]:
        """Return the keys of all that can be closed: no dust, and no sale out of holdings."""
        ...

    def dust(self) -> Iterable[PositionKey]:
        """Return the keys of what no order takes, less than a lot or worth too little: commissions leave such."""
        ...

    def quantity(self, key: PositionKey) -> Decimal:
        """Return how large one is, signed, in units; 0 where there is none."""
        ...

    def agreed(self, key: PositionKey) -> Decimal:
        """Return how large it is at least: the smaller, while the broker's positions say something else."""
        ...

    def average(self, key: PositionKey) -> Decimal | None:
        """Return the price it was entered at, where that is known."""
        ...

    def rows(self) -> Sequence[LivePosition]:
        """Return all of them, marked."""
        ...

    def day_made(self, currency: str) -> DayMade | None:
        """Return the day's profit in a currency; None where nothing was held or traded in it."""
        ...

    def day_charges(self, currency: str) -> Decimal:
        """Return what the day was charged in a currency, as far as that is known."""
        ...

    def old(self) -> Sequence[str]:
        """Return the instruments of positions whose marks are old, or that have none."""
        ...

    def unrealised(self, currency: str) -> float:
        """Return what positions in a currency would make at their marks, as `watch` counts it."""
        ...

    def watch(self, currency: str, below: float) -> None:
        """Have `crossed` name a currency once `unrealised` is at `below` or under it; in place of the one before."""
        ...

    def crossed(self) -> Sequence[str]:
        """Return the currencies of which that has become so since the last call; each once, until watched again."""
        ...

    def closed(self, closes: Mapping[str, Decimal]) -> None:
        """Take previous closes that quotes have told, by instrument."""
        ...

    def polled(self, instrument_id: str, price: Decimal) -> None:
        """Mark an instrument at a price that was asked for."""
        ...

    def listen(self, callback: Callable[[PositionKey], object]) -> Callable[[], None]:
        """Call `callback` after each change of one; returns what ends it."""
        ...


class BookPositions:
    """Live positions as the position book counts them.

    Parameters
    ----------
    book : PositionBook
    master : InstrumentMaster
    wall_ns : callable
        Our clock, ns UTC.
    owned : callable
        Whether what is sold of a product in an instrument, known by its canonical id, comes out of holdings: it was
        owned, and buying it back closes nothing.
    read : bool
        Whether the broker's positions are read at all; where it has none, the fills are all there is.
    """

    def __init__(
        self,
        book: PositionBook,
        master: InstrumentMaster,
        wall_ns: Callable[[], int],
        *,
        owned: Callable[[str, Product], bool] = lambda instrument_id, product: False,
        read: bool = True,
    ) -> None:
        self._book = book
        self._master = master
        self._wall_ns = wall_ns
        self._owned = owned
        self._read = read

    @property
    def ready(self) -> bool:
        return self._book.seeded or not self._read

    def keys(self) -> list[PositionKey]:
        held = self._book.keys()
        return [
            key
            for key in held
            if (not self._owned(key[0], key[1]) or self._book.quantity(key) > 0) and not self._is_dust(key)
        ]

    def dust(self) -> list[PositionKey]:
        return list(filter(self._is_dust, self._book.keys()))

    def _is_dust(self, key: PositionKey) -> bool:
        instrument, held = self._master.get(key[0]), abs(self._book.quantity(key))
        if instrument is None or not held:
            return False
        if held < instrument.lot_size:
            return True
        price, _, stale = self._book.mark(key[0])
        if price is None or stale or not worth_too_little(instrument, held, price):
            return False
        # One odd price makes nothing worthless: what was paid has to say the same. Where it does not, an exit is sent,
        # and the broker says what is too little.
        paid = self.average(key)
        return paid is not None and worth_too_little(instrument, held, paid)

    def quantity(self, key: PositionKey) -> Decimal:
        return self._book.quantity(key)

    def agreed(self, key: PositionKey) -> Decimal:
        ours = self._book.quantity(key)
        theirs = ours + self._book.off(key)
        return ZERO if ours * theirs <= 0 else min(ours, theirs, key=abs)

    def average(self, key: PositionKey) -> Decimal | None:
        row = self._book.row(key)
        return None if row is None else row.average_price

    def rows(self) -> list[LivePosition]:
        return self._book.rows()

    def day_made(self, currency: str) -> DayMade | None:
        return self._book.day_made().get(currency)

    def day_charges(self, currency: str) -> Decimal:
        return self._book.day_charges().get(currency, ZERO)

    def old(self) -> list[str]:
        return [name for made in self._book.day_made().values() for name in made.unmarked]

    def unrealised(self, currency: str) -> float:
        return self._book.marking.total(currency)

    def watch(self, currency: str, below: float) -> None:
        self._book.marking.watch(currency, below)

    def crossed(self) -> list[str]:
        return self._book.marking.crossed()

    def closed(self, closes: Mapping[str, Decimal]) -> None:
        self._book.closed(closes, "the broker's quotes")

    def polled(self, instrument_id: str, price: Decimal) -> None:
        self._book.marking.polled(self._master.handle(self._master.resolve(instrument_id)), price, self._wall_ns())

    def listen(self, callback: Callable[[PositionKey], object]) -> Callable[[], None]:
        return self._book.listen(callback)
