"""Taxes and fees of a trade by a broker's table of rates: the arithmetic of its calculators, in decimals.

The library counts the same table with exact fractions, so that the two can disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Final

from dragoman.model import Instrument, Product, Side
from dragoman.plugin import ChargeRow, ChargesTable

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """Money, each for one order. `transaction` is the exchange's own, `tax_name` what the tax is called."""

    tax: Decimal = ZERO
    tax_name: str = ""
    transaction: Decimal = ZERO
    protection: Decimal = ZERO
    clearing: Decimal = ZERO
    regulator: Decimal = ZERO
    stamp: Decimal = ZERO
    brokerage: Decimal = ZERO
    service_tax: Decimal = ZERO

    @property
    def exchange(self) -> Decimal:
        """What notes show as the exchange's: with its protection fund and what the clearing member takes."""
        return self.transaction + self.protection + self.clearing

    @property
    def total(self) -> Decimal:
        return self.tax + self.exchange + self.regulator + self.stamp + self.brokerage + self.service_tax


def fees(
    table: ChargesTable,
    instrument: Instrument,
    product: Product,
    side: Side,
    units: Decimal,
    turnover: Decimal,
    day: date,
) -> Fees:
    """Return what an order costs on a day; nothing where the table lacks it. What is charged by day is not in it."""
    rows = table.rows_for(instrument, product, side, day=day)
    paid: dict[str, Decimal] = {}
    for charge, row in rows.items():
        if not row.on:
            paid[charge] = _capped(row, row.rate * turnover + row.per_unit * units + row.per_order)
    for charge, row in rows.items():
        if row.on:
            paid[charge] = _capped(row, row.rate * sum((paid.get(one, ZERO) for one in row.on), ZERO))
    tax = rows.get("transaction_tax")
    return Fees(
        tax=paid.get("transaction_tax", ZERO),
        tax_name="" if tax is None else tax.name,
        transaction=paid.get("exchange_fee", ZERO),
        protection=paid.get("protection_fund", ZERO),
        clearing=paid.get("clearing_fee", ZERO),
        regulator=paid.get("regulator_fee", ZERO),
        stamp=paid.get("stamp_duty", ZERO),
        brokerage=paid.get("brokerage", ZERO),
        service_tax=paid.get("gst", ZERO),
    )


def _capped(row: ChargeRow, amount: Decimal) -> Decimal:
    if row.at_most is not None:
        amount = min(amount, row.at_most)
    if row.round_up is not None:
        amount = (amount / row.round_up).to_integral_value(ROUND_CEILING) * row.round_up
    return amount
