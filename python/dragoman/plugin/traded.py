"""What was bought and sold in a day, for positions of brokers that do not tell it: summed from the day's fills."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from dragoman.model import Fill, Side


@dataclass(frozen=True, slots=True)
class Traded:
    """One side of a day: units, and their price times units, before any multiplier."""

    quantity: Decimal
    worth: Decimal

    @classmethod
    def of(cls, fills: Iterable[Fill], side: Side) -> Traded:
        """Sum the fills of a side."""
        found = [(fill.quantity, fill.price) for fill in fills if fill.side is side]
        return cls(
            sum((quantity for quantity, _ in found), Decimal(0)),
            sum((quantity * price for quantity, price in found), Decimal(0)),
        )

    @property
    def price(self) -> Decimal:
        """The average price, 0 of nothing."""
        return self.worth / self.quantity if self.quantity else Decimal(0)
