"""What trading ties up and costs: margins, and charges."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from dragoman.model.enums import Segment, Source
from dragoman.model.shown import Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginAvailable:
    cash: Decimal | None = None
    opening_balance: Decimal | None = None
    live_balance: Decimal | None = None
    adhoc: Decimal | None = None
    collateral: Decimal | None = None
    collateral_cash: Decimal | None = None
    collateral_pledged: Decimal | None = None
    intraday_payin: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginUsed:
    """What is taken, in parts. `collateral_cash` and `collateral_pledged` say which of it collateral pays for."""

    total: Decimal | None = None
    span: Decimal | None = None
    exposure: Decimal | None = None
    option_premium: Decimal | None = None
    delivery: Decimal | None = None
    var: Decimal | None = None
    m2m_realised: Decimal | None = None
    m2m_unrealised: Decimal | None = None
    payout: Decimal | None = None
    holding_sales: Decimal | None = None
    turnover: Decimal | None = None
    collateral_cash: Decimal | None = None
    collateral_pledged: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin(Shown):
    """Margin of one account in one segment. A part the broker does not give is None, never 0.

    Attributes
    ----------
    net : Decimal or None
        What can still be used; it may be below 0.
    leverage : Decimal or None
        How much of `net` one unit of free money makes, where the broker counts its loan in it.
    error_bound : Decimal or None
        By how much `net` and `used.total` may be off, in `currency`: 0 of a figure that the broker has just told, None
        where nobody looked.
    stale : bool
        Whether it is older than it should be, or what it was counted from is.
    ts_event, ts_polled : int or None
        Which moment the figures are of, and when the broker told them last; ns UTC.
    """

    segment: Segment
    net: Decimal | None
    available: MarginAvailable = field(default_factory=MarginAvailable)
    used: MarginUsed = field(default_factory=MarginUsed)
    blocked: Decimal | None = None
    initial: Decimal | None = None
    maintenance: Decimal | None = None
    enabled: bool = True
    account_id: str = ""
    broker: str = ""
    currency: str = "INR"
    leverage: Decimal | None = None
    source: Source = Source.POLLED
    error_bound: Decimal | None = None
    stale: bool = False
    ts_event: int | None = None
    ts_polled: int | None = None
    ts_recv: int | None = None
    raw: Any = field(default=None, compare=False, repr=False)

    @property
    def utilisation(self) -> Decimal | None:
        """Used over used plus usable, in [0, 1]; None where either is unknown or both are 0."""
        if self.net is None or self.used.total is None or self.net + self.used.total == 0:
            return None
        return self.used.total / (self.net + self.used.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charges(Shown):
    """Taxes and fees of one order, basket or position, in `currency`.

    Attributes
    ----------
    exchange_fee : Decimal or None
        With what goes to the exchange's investor protection fund and to the clearing member.
    depository_fee : Decimal or None
        For shares that leave the depository: once for an instrument and day.
    gst : Decimal or None
        The tax on the broker's and exchange's fees.
    elsewhere : tuple of (str, Decimal)
        Fees told in other currencies, by currency: `total` is without them.
    unverified : tuple of str
        Of an estimate by a table: what of its rates no document confirms, in words. See ``docs/charges.md``.
    as_of : date or None
        Of an estimate: the day the oldest source of its rates was read.
    """

    total: Decimal
    transaction_tax: Decimal | None = None
    transaction_tax_type: str = ""
    exchange_fee: Decimal | None = None
    regulator_fee: Decimal | None = None
    brokerage: Decimal | None = None
    stamp_duty: Decimal | None = None
    depository_fee: Decimal | None = None
    gst: Decimal | None = None
    elsewhere: tuple[tuple[str, Decimal], ...] = ()
    unverified: tuple[str, ...] = ()
    as_of: date | None = None
    instrument_id: str = ""
    currency: str = "INR"
    raw: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderMargin(Shown):
    """What an order would need, before it is placed. `detail` itemises `charges`."""

    total: Decimal
    span: Decimal | None = None
    exposure: Decimal | None = None
    premium: Decimal | None = None
    additional: Decimal | None = None
    charges: Decimal | None = None
    leverage: Decimal | None = None
    var: Decimal | None = None
    cash: Decimal | None = None
    realised_pnl: Decimal | None = None
    unrealised_pnl: Decimal | None = None
    instrument_id: str = ""
    detail: Charges | None = None
    raw: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BasketMargin(Shown):
    """What several orders would need together: `initial` added up, `final` once hedges count."""

    initial: OrderMargin
    final: OrderMargin
    orders: tuple[OrderMargin, ...] = ()
    charges: Charges | None = None
    raw: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerRange:
    """Between which prices the trigger of a cover order may lie now."""

    instrument_id: str
    lower: Decimal
    upper: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSummary(Shown):
    """Account totals, each absent where the broker has none."""

    currency: str
    equity: Decimal | None = None
    cash: Decimal | None = None
    buying_power: Decimal | None = None
    initial_margin: Decimal | None = None
    maintenance_margin: Decimal | None = None
