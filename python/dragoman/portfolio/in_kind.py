"""Commission in the coin that is traded: where a pair's fee is taken out of what was bought.

A unit of a pair is a unit of its base asset, so a fee in that asset makes what is held smaller, as no other fee does.
Canonical ids name both assets of a pair; what is no pair has no such fee.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Final

from dragoman.errors import UsageError
from dragoman.model import CanonicalId, Fill, IdKind
from dragoman.portfolio.money import Exact, exact

ZERO: Final = Decimal(0)


@lru_cache(maxsize=4096)
def assets_of(instrument_id: str) -> tuple[str, str] | None:
    """Return base and quote asset of a pair that is traded for immediate delivery; None of anything else."""
    try:
        found = CanonicalId.parse(instrument_id)
    except UsageError:
        return None  # a fill of what nobody lists is told of elsewhere
    return (found.symbol, found.quote or "") if found.kind is IdKind.PAIR else None


def charged(fill: Fill) -> Decimal:
    """Return how many units of what it traded a fill's commission took; below 0 where units were given."""
    if not fill.fee or not fill.fee_currency:
        return ZERO
    assets = assets_of(fill.instrument_id)
    return fill.fee if assets is not None and assets[0] == fill.fee_currency.upper() else ZERO


def charged_units(fill: Fill) -> Exact:
    """Return the same as a number that loses nothing."""
    return exact(charged(fill)) if fill.fee else 0
