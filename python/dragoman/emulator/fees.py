"""Taxes and fees of a trade from a table of rates: the arithmetic every broker's calculator shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeAlias

from dragoman.model import Instrument, Product, Side

ZERO = Decimal(0)
Brokerage: TypeAlias = Mapping[str, tuple[Decimal, Decimal | None]]
"""Kind of `INDIAN` -> a broker's fraction of turnover, and its cap; a kind that is missing is free."""


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


INDIAN = {
    # What state and exchanges take in India (unverified to the last digit); a broker adds its brokerage.
    "delivery": Rates(
        "stt",
        tax_buy=Decimal("0.001"),
        tax_sell=Decimal("0.001"),
        exchange=Decimal("0.0000297"),
        regulator=Decimal("0.000001"),
        stamp_buy=Decimal("0.00015"),
    ),
    "intraday": Rates(
        "stt",
        tax_sell=Decimal("0.00025"),
        exchange=Decimal("0.0000297"),
        regulator=Decimal("0.000001"),
        stamp_buy=Decimal("0.00003"),
    ),
    "future": Rates(
        "stt",
        tax_sell=Decimal("0.0002"),
        exchange=Decimal("0.0000173"),
        regulator=Decimal("0.000001"),
        stamp_buy=Decimal("0.00002"),
    ),
    "option": Rates(
        "stt",
        tax_sell=Decimal("0.001"),
        exchange=Decimal("0.0003503"),
        regulator=Decimal("0.000001"),
        stamp_buy=Decimal("0.00003"),
    ),
    "commodity": Rates(
        "ctt",
        tax_sell=Decimal("0.0001"),
        exchange=Decimal("0.000021"),
        regulator=Decimal("0.000001"),
        stamp_buy=Decimal("0.00002"),
    ),
}


def indian_rates(instrument: Instrument, product: Product, brokerage: Brokerage) -> Rates:
    """Return the rates of an order at an Indian broker."""
    if instrument.exchange in ("MCX", "CDS", "BCD"):
        kind = "commodity"
    elif instrument.expiry is not None:
        kind = "option" if instrument.option_type else "future"
    else:
        kind = "intraday" if product is Product.INTRADAY else "delivery"
    share, cap = brokerage.get(kind, (ZERO, None))
    if instrument.exchange in ("CDS", "BCD"):  # currency derivatives: neither tax is levied
        return replace(INDIAN[kind], tax_sell=ZERO, brokerage=share, brokerage_cap=cap)
    return replace(INDIAN[kind], brokerage=share, brokerage_cap=cap)
