"""Options of one underlying and expiry, by strike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from dragoman.model import Instrument, OptionType


@dataclass(frozen=True, slots=True)
class ChainRow:
    strike: Decimal
    call: Instrument | None
    put: Instrument | None


@dataclass(frozen=True, slots=True)
class OptionChain:
    """Rows by rising strike; a strike that lists one side only has None for the other."""

    underlying: str
    expiry: date
    rows: tuple[ChainRow, ...]

    @classmethod
    def of(cls, underlying: str, expiry: date, options: Iterable[Instrument]) -> OptionChain:
        """Arrange options of one expiry by strike."""
        sides: dict[Decimal, dict[OptionType, Instrument]] = {}
        for option in options:
            if option.strike is not None and option.option_type is not None:
                sides.setdefault(option.strike, {})[option.option_type] = option
        rows = tuple(
            ChainRow(strike, pair.get(OptionType.CALL), pair.get(OptionType.PUT))
            for strike, pair in sorted(sides.items())
        )
        return cls(underlying, expiry, rows)

    def __iter__(self) -> Iterator[ChainRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def nearest(self, price: float | Decimal) -> ChainRow:
        """Return the row whose strike is nearest to `price`: at the money."""
        at = Decimal(str(price))
        return min(self.rows, key=lambda row: (abs(row.strike - at), row.strike))

    @property
    def instruments(self) -> list[Instrument]:
        return [side for row in self.rows for side in (row.call, row.put) if side is not None]
