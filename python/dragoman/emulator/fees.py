"""Taxes and fees of a trade from a table of rates: the arithmetic every broker's calculator shares."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from dragoman.model import Side

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rates:
    """Fractions of turnover; brokerage is `brokerage` of turnover, at most `brokerage_cap` where there is one."""

    tax_name: str
    tax_buy: Decimal = ZERO
    tax_sell: Decimal = ZERO
    exchange: Decimal = ZERO
    regulator: Decimal = ZERO
    stamp_buy: Decimal = ZERO
    brokerage: Decimal = ZERO
    brokerage_cap: Decimal | None = None
    service_tax: Decimal = Decimal("0.18")


@dataclass(frozen=True, slots=True)
class Fees:
    """Money, each for one order. `service_tax` is charged on brokerage and on what exchange and regulator take."""

    tax: Decimal
    exchange: Decimal
    regulator: Decimal
    stamp: Decimal
    brokerage: Decimal
    service_tax: Decimal

    @property
    def total(self) -> Decimal:
        return self.tax + self.exchange + self.regulator + self.stamp + self.brokerage + self.service_tax


def fees(rates: Rates, side: Side, turnover: Decimal) -> Fees:
    """Return what a trade of `turnover` costs."""
    buys = side is Side.BUY
    brokerage = rates.brokerage * turnover
    if rates.brokerage_cap is not None:
        brokerage = min(brokerage, rates.brokerage_cap)
    exchange, regulator = rates.exchange * turnover, rates.regulator * turnover
    return Fees(
        tax=(rates.tax_buy if buys else rates.tax_sell) * turnover,
        exchange=exchange,
        regulator=regulator,
        stamp=rates.stamp_buy * turnover if buys else ZERO,
        brokerage=brokerage,
        service_tax=rates.service_tax * (brokerage + exchange + regulator),
    )
