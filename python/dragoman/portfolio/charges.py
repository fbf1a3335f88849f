"""What trades cost: an adapter's table of rates applied to orders, exactly.

A rate counts per order: a flat fee and a cap do, and brokers charge by executed order. So an estimate of a position is
the sum over the day's orders. Each part is exact and rounded for showing alone (half to even, 8 digits), but for what
a row says is rounded up. What a contract note rounds over the whole day (a tax to the nearest rupee) is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from dragoman.model import Charges, Fill, Instrument, Liquidity, Product, Side
from dragoman.plugin import ChargeRow, ChargesTable
from dragoman.portfolio.money import Exact, exact, money

Parts = dict[str, Exact]
_FIELDS = ("transaction_tax", "exchange_fee", "regulator_fee", "brokerage", "stamp_duty", "gst")


@dataclass(slots=True)
class _Traded:
    """What one order traded as maker, taker or either."""

    turnover: Exact = 0
    units: Exact = 0


def charges_of(table: ChargesTable, instrument: Instrument, fills: Iterable[Fill]) -> Charges | None:
    """Return what fills of one instrument cost together; None where the table has nothing for some of them.

    A fill that says its own fee, in the same currency, counts with that as its brokerage.
    """
    currency = table.currency or instrument.currency
    orders: dict[tuple[str, Product, Side, Liquidity], _Traded] = {}
    told: Exact = 0
    for fill in fills:
        if fill.fee is not None:
            if fill.fee_currency not in (None, currency):
                return None
            told += exact(fill.fee)
            continue
        one = orders.setdefault((fill.order_id, fill.product, fill.side, fill.liquidity), _Traded())
        units = exact(fill.quantity)
        one.units += units
        one.turnover += units * exact(fill.price) * exact(instrument.multiplier)
    sums: Parts = {"brokerage": told} if told else {}
    names = set()
    for (_, product, side, liquidity), traded in orders.items():
        rows = table.rows_for(instrument, product, side, liquidity)
        if not rows:
            return None
        for name, amount in _order(rows.values(), traded).items():
            sums[name] = sums.get(name, 0) + amount
        if "transaction_tax" in rows:
            names.add(rows["transaction_tax"].name)
    shown: dict[str, Decimal] = {name: money(sums[name]) for name in _FIELDS if name in sums}
    return Charges(
        total=money(sum(sums.values())),
        instrument_id=instrument.instrument_id,
        currency=currency,
        transaction_tax_type=names.pop() if len(names) == 1 else "",
        **shown,
    )


def _order(rows: Iterable[ChargeRow], traded: _Traded) -> Parts:
    """Return the parts of one order's charges; taxes on other parts come last."""
    parts: Parts = {}
    for row in sorted(rows, key=lambda one: bool(one.on)):
        base = sum((parts.get(name, 0) for name in row.on), 0) if row.on else traded.turnover
        amount = exact(row.rate) * base + exact(row.per_unit) * traded.units + exact(row.per_order)
        if row.at_most is not None:
            amount = min(amount, exact(row.at_most))
        if row.round_up is not None:
            step = exact(row.round_up)
            amount = -(-amount // step) * step
        parts[row.charge] = amount
    return parts
