"""What a wallet holds beside what fills say of it, where trades for cash are settled in balances.

A wallet holds more than was traded here, so it is the change that is compared: what came to a coin's balance since it
was first read, with what came to the positions in it. Other things move a balance: deposits, a commission that another
trade paid with this coin, another terminal's order that nobody reported. Each is told, and none is guessed at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from dragoman.model import Balance, LivePosition, Product
from dragoman.portfolio.in_kind import assets_of
from dragoman.portfolio.net import Discrepancy, PositionKey

ZERO: Final = Decimal(0)
_LAST_DIGIT: Final = Decimal("1e-8")  # of the balances that are known to be rounded


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the wallet found.

    Attributes
    ----------
    differing : tuple of Discrepancy
        Positions that are not what their coin's balance says, with both sides.
    short : mapping
        By how much the whole balance is less than a position in its coin, below 0.
    """

    differing: tuple[Discrepancy, ...] = ()
    short: Mapping[PositionKey, Decimal] = field(default_factory=dict)


class Wallets:
    """Balances of one account as they were first read, less the positions of then."""

    def __init__(self) -> None:
        self._beside: dict[str, Decimal] | None = None

    @property
    def begun(self) -> bool:
        """Whether balances were read once."""
        return self._beside is not None

    def begin(self, balances: Iterable[Balance], rows: Iterable[LivePosition]) -> None:
        """Take what the wallet holds at a moment of which `rows` are the positions."""
        held = {asset: sum((row.quantity for row in some), ZERO) for asset, some in _by_asset(rows).items()}
        totals = {one.asset.upper(): one.total for one in balances}
        self._beside = {asset: totals.get(asset, ZERO) - held.get(asset, ZERO) for asset in totals.keys() | held.keys()}

    def look(self, balances: Iterable[Balance], rows: Iterable[LivePosition]) -> Seen:
        """Compare the wallet of now with positions; `begin` came before."""
        beside = self._beside or {}
        totals = {one.asset.upper(): one.total for one in balances}
        differing: list[Discrepancy] = []
        short: dict[PositionKey, Decimal] = {}
        for asset, some in _by_asset(rows).items():
            largest = max(some, key=lambda row: abs(row.quantity))
            key: PositionKey = (largest.instrument_id, largest.product, largest.position_side)
            total = totals.get(asset, ZERO)
            off = total - beside.get(asset, ZERO) - sum((row.quantity for row in some), ZERO)
            if abs(off) > _LAST_DIGIT:
                differing.append(Discrepancy(*key, "quantity", largest.quantity, largest.quantity + off))
            if total < largest.quantity:
                short[key] = total - largest.quantity
        return Seen(tuple(differing), short)


def held_in_wallets(rows: Iterable[LivePosition]) -> list[LivePosition]:
    """Return the positions that are balances of a coin."""
    return [row for row in rows if row.product is Product.CASH and assets_of(row.instrument_id) is not None]


def _by_asset(rows: Iterable[LivePosition]) -> dict[str, list[LivePosition]]:
    found: dict[str, list[LivePosition]] = {}
    for row in held_in_wallets(rows):
        assets = assets_of(row.instrument_id)
        assert assets is not None  # it is held in a wallet
        found.setdefault(assets[0], []).append(row)
    return found
