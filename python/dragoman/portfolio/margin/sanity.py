"""Whether a broker's margin can be true: what is looked at before it is believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from typing import Final

from dragoman.model import Margin
from dragoman.plugin import MarginTerms
from dragoman.portfolio.margin.rule import ZERO

_SPARE: Final = Decimal("0.01")
_NEVER_NEGATIVE: Final = (
    *("span", "exposure", "option_premium", "delivery", "var"),
    *("collateral_cash", "collateral_pledged"),
)
_MAY_ADD: Final = ("m2m_realised", "m2m_unrealised", "holding_sales", "payout")


def numbers(margin: Margin) -> Iterator[tuple[str, Decimal]]:
    """Yield every amount a margin tells, by name."""
    for part, holder in (("available", margin.available), ("used", margin.used)):
        for item in fields(holder):
            value = getattr(holder, item.name)
            if value is not None:
                yield f"{part}.{item.name}", value
    for name in ("net", "blocked", "initial", "maintenance", "leverage"):
        value = getattr(margin, name)
        if value is not None:
            yield name, value


def unusable(margin: Margin) -> str:
    """Return why nothing can be counted with a margin: an amount that is no number. Empty where there is none."""
    return ", ".join(f"{name} is {value}" for name, value in numbers(margin) if not value.is_finite())


def contradictions(margin: Margin, terms: MarginTerms) -> str:
    """Return what in a margin cannot be true beside the rest of it; empty where nothing speaks against it.

    Only what the broker tells is looked at: an absent part says nothing. A negative `net` is a loss, and may be.
    """
    found = []
    used, available = margin.used, margin.available
    if used.total is not None and used.total < 0 and not terms.profit_in_used:
        found.append(f"used.total is {used.total}")
    for name in _NEVER_NEGATIVE:
        part = getattr(used, name)
        if part is not None and part < 0:
            found.append(f"used.{name} is {part}")
    if margin.blocked is not None and margin.blocked < 0:
        found.append(f"blocked is {margin.blocked}")
    own = available.opening_balance if available.opening_balance is not None else available.cash
    if margin.net is not None and own is not None:
        collateral = (available.collateral_cash or ZERO) + (available.collateral_pledged or ZERO)
        worth = own + max(collateral, available.collateral or ZERO)
        worth += (available.intraday_payin or ZERO) + (available.adhoc or ZERO)
        worth += sum((abs(getattr(used, name) or ZERO) for name in _MAY_ADD), ZERO)
        # Profit is told in many ways; what lies within what is taken may be one of them.
        most = (margin.leverage or Decimal(1)) * (worth + abs(used.total or ZERO))
        live = available.live_balance
        if margin.net > most + abs(most) * _SPARE and (live is None or margin.net > live * (margin.leverage or 1)):
            found.append(f"net is {margin.net}, more than all that is there: {most}")
    return ", ".join(found)
