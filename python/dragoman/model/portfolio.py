"""Positions, holdings, margins, balances."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from dragoman.model.enums import PriceBasis, Product, QuantityUnit, Segment, Source
from dragoman.model.shown import Shown

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position(Shown):
    """Net position of one instrument in one product. `quantity` is signed, in units; money in `currency`.

    `position_side` is LONG or SHORT where the account keeps both sides of an instrument apart, each a position.

    What was bought and sold today (`day_...`) is None where the broker does not say.

    `quantity_unit` is not UNITS where the quantities could not be converted, see `Order`; `multiplier` fits them.
    """

    instrument_id: str
    product: Product
    quantity: Decimal
    position_side: Literal["NET", "LONG", "SHORT"] = "NET"
    account_id: str = ""
    broker: str = ""
    overnight_quantity: Decimal = ZERO
    buy_quantity: Decimal = ZERO
    buy_price: Decimal = ZERO
    buy_value: Decimal = ZERO
    sell_quantity: Decimal = ZERO
    sell_price: Decimal = ZERO
    sell_value: Decimal = ZERO
    day_buy_quantity: Decimal | None = None
    day_buy_price: Decimal | None = None
    day_buy_value: Decimal | None = None
    day_sell_quantity: Decimal | None = None
    day_sell_price: Decimal | None = None
    day_sell_value: Decimal | None = None
    average_price: Decimal | None = None
    average_price_basis: PriceBasis = PriceBasis.BROKER
    last_price: Decimal | None = None
    close_price: Decimal | None = None
    multiplier: Decimal = Decimal(1)
    realised_pnl: Decimal | None = None
    unrealised_pnl: Decimal | None = None
    pnl: Decimal | None = None
    m2m: Decimal | None = None
    value: Decimal | None = None
    margin_used: Decimal | None = None
    currency: str = "INR"
    ts_event: int | None = None
    ts_recv: int | None = None
    complete_as_of: int | None = None
    quantity_unit: QuantityUnit = QuantityUnit.UNITS
    raw: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MtfHolding:
    """The part of a holding that the broker lent the money for."""

    quantity: Decimal
    used_quantity: Decimal = ZERO
    average_price: Decimal | None = None
    value: Decimal | None = None
    initial_margin: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding(Shown):
    """Securities held in the demat or custody account.

    `quantity`, `t1_quantity` (bought, not delivered yet) and `pledged_quantity` are parts beside each other, as the
    broker reports them; `used_quantity` is what was sold out of `quantity` today.
    """

    instrument_id: str
    quantity: Decimal
    isin: str | None = None
    account_id: str = ""
    broker: str = ""
    product: Product = Product.DELIVERY
    t1_quantity: Decimal = ZERO
    used_quantity: Decimal = ZERO
    authorised_quantity: Decimal = ZERO
    pledged_quantity: Decimal = ZERO
    collateral_type: str | None = None
    average_price: Decimal | None = None
    last_price: Decimal | None = None
    close_price: Decimal | None = None
    pnl: Decimal | None = None
    day_change: Decimal | None = None
    mtf: MtfHolding | None = None
    settled_quantity: Decimal | None = None
    opening_quantity: Decimal | None = None
    short_quantity: Decimal = ZERO
    day_change_percent: Decimal | None = None
    discrepancy: bool = False
    auction_number: str | None = None
    ts_authorised: int | None = None
    raw: Any = field(default=None, compare=False, repr=False)


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
    """Taxes and fees of one order or basket, in `currency`. `gst` is the tax on the broker's and exchange's fees."""

    total: Decimal
    transaction_tax: Decimal | None = None
    transaction_tax_type: str = ""
    exchange_fee: Decimal | None = None
    regulator_fee: Decimal | None = None
    brokerage: Decimal | None = None
    stamp_duty: Decimal | None = None
    gst: Decimal | None = None
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
class HoldingsSummary(Shown):
    """All holdings together, as the broker adds them up.

    `pnl_percent` is of `invested`, `day_change_percent` of what they were worth at the previous close.
    """

    broker: str = ""
    account_id: str = ""
    invested: Decimal
    current_value: Decimal
    pnl: Decimal
    pnl_percent: Decimal | None = None
    day_change: Decimal | None = None
    day_change_percent: Decimal | None = None
    raw: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingsAuthorisation:
    """Where the account holder allows the depository to hand over securities that are to be sold."""

    request_id: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerRange:
    """Between which prices the trigger of a cover order may lie now."""

    instrument_id: str
    lower: Decimal
    upper: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance(Shown):
    """One asset of a cash or crypto account."""

    asset: str
    total: Decimal
    free: Decimal
    locked: Decimal = ZERO
    borrowed: Decimal = ZERO
    interest: Decimal = ZERO
    in_orders: Decimal | None = None
    account_id: str = ""
    ts_event: int | None = None
    complete_as_of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSummary(Shown):
    """Account totals, each absent where the broker has none."""

    currency: str
    equity: Decimal | None = None
    cash: Decimal | None = None
    buying_power: Decimal | None = None
    initial_margin: Decimal | None = None
    maintenance_margin: Decimal | None = None
