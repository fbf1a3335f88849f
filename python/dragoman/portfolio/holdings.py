"""Holdings at a price: what they are worth, what of them can be sold, and what pledged ones are good for.

All exact; money is rounded for showing alone, half to even.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Holding, LiveHolding
from dragoman.portfolio.money import Exact, exact, money, quantity

_ALL: Final = Decimal(1)


def collateral(holding: Holding, haircut: Decimal, price: Decimal) -> Decimal:
    """Return what the pledged units are good for as margin.

    Parameters
    ----------
    holding : Holding
    haircut : Decimal
        Fraction of the value that does not count, in [0, 1].
    price : Decimal
        Of one unit.

    Raises
    ------
    UsageError
        The haircut is no fraction, or the price is below 0.
    """
    if not 0 <= haircut <= _ALL:
        raise UsageError(
            f"haircut {haircut} is no fraction between 0 and 1",
            kind=ErrorKind.BAD_REQUEST,
            remedy="give 12.5 percent as 0.125",
        )
    if price < 0:
        raise UsageError(f"price {price} is below 0", kind=ErrorKind.BAD_REQUEST, remedy="give what a unit is worth")
    return money(exact(holding.pledged_quantity) * exact(price) * (1 - exact(haircut)))


def live_holding(
    holding: Holding,
    mark: tuple[Decimal | None, int | None, bool] = (None, None, True),
    *,
    haircut: Decimal | None = None,
    needs_authorisation: bool = False,
) -> LiveHolding:
    """Return a holding at a mark, or where there is none at the price that came with it, which is stale.

    Parameters
    ----------
    holding : Holding
    mark : tuple
        Price, when it arrived (ns UTC), whether it is stale; see `Marking.read`.
    haircut : Decimal, optional
        Of its pledged units, in [0, 1].
    needs_authorisation : bool
        Whether the depository hands over only what was authorised.
    """
    last, ts_mark, stale = mark
    if last is None:
        last, stale = holding.last_price, True
    settled, t1, pledged = (exact(n) for n in (holding.quantity, holding.t1_quantity, holding.pledged_quantity))
    whole = settled + t1 + pledged
    free = max(settled - exact(holding.used_quantity), 0)
    allowed = min(exact(holding.authorised_quantity), free) if needs_authorisation else free
    cost = None if holding.average_price is None else whole * exact(holding.average_price)
    worth = None if last is None else whole * exact(last)
    return LiveHolding(
        holding=holding,
        total_quantity=quantity(whole),
        free_quantity=quantity(free),
        sellable_quantity=quantity(allowed + t1),
        last_price=last,
        value=None if worth is None else money(worth),
        invested=None if cost is None else money(cost),
        pnl=_less(worth, cost),
        day_change=_less(worth, None if holding.close_price is None else whole * exact(holding.close_price)),
        collateral=None if haircut is None or last is None else collateral(holding, haircut, last),
        haircut=haircut,
        margin_funded=holding.mtf.quantity if holding.mtf is not None else Decimal(0),
        ts_mark=ts_mark,
        stale=stale,
    )


def _less(one: Exact | None, other: Exact | None) -> Decimal | None:
    return None if one is None or other is None else money(one - other)


def haircut_of(holding: Holding, haircuts: Mapping[str, Decimal]) -> Decimal | None:
    """Return the haircut of a holding: of its instrument, else of its ISIN, else of its `collateral_type`."""
    names = (holding.instrument_id, holding.isin, holding.collateral_type)
    return next((haircuts[name] for name in names if name is not None and name in haircuts), None)
