"""Positions, holdings, margins, balances."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from dragoman.model.enums import AdjustmentKind, PriceBasis, Product, QuantityUnit, Segment, Source
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
class LivePosition(Shown):
    """A position as the fills make it, marked at the newest usable price. What each number means: docs/semantics.md.

    Quantities are exact; money and prices are exact counts rounded for showing. A number that cannot be known (what a
    carried-over position cost where the broker does not say, anything at a mark where there is none) is None.

    Attributes
    ----------
    realised_pnl, unrealised_pnl : Decimal or None
        Of the day, and of what is held, at average cost; the ``fifo_...`` twins first in first out.
    m2m : Decimal or None
        Profit of the day as if everything carried over had been bought at `close_price`.
    value : Decimal or None
        Quantity x mark x multiplier, signed.
    income : Decimal
        Dividends of the day; in no other number.
    fee_quantity : Decimal
        Units that commissions of the day took out of what was traded: `quantity` is without them, what was bought and
        sold with them, and `charges` has what they were worth.
    charges : Decimal or None
        Estimate of the day's fees and taxes by the adapter's table, and what fills told of them, in `currency`; None
        where the table has none for the segment.
    charges_elsewhere : tuple of (str, Decimal)
        Fees that fills told in other currencies, by currency; in no other number.
    ts_mark : int or None
        When the mark arrived, ns UTC.
    stale : bool
        `last_price` is old, or its stream was interrupted since, or there is none: what hangs on it is not of now.
    opening_source : str
        Where the carried-over part comes from: "" where there is none.
    complete_as_of : int or None
        When the broker's positions were read that this began with; None: never, it is fills alone.
    quantity_unit : QuantityUnit
        Not UNITS: some of its fills could not be converted, and its money is not to be believed.
    """

    instrument_id: str
    product: Product
    quantity: Decimal
    position_side: Literal["NET", "LONG", "SHORT"] = "NET"
    account_id: str = ""
    broker: str = ""
    overnight_quantity: Decimal = ZERO
    overnight_price: Decimal | None = None
    day_buy_quantity: Decimal = ZERO
    day_buy_price: Decimal | None = None
    day_buy_value: Decimal = ZERO
    day_sell_quantity: Decimal = ZERO
    day_sell_price: Decimal | None = None
    day_sell_value: Decimal = ZERO
    average_price: Decimal | None = None
    average_price_basis: PriceBasis = PriceBasis.FILLS
    fifo_average_price: Decimal | None = None
    realised_pnl: Decimal | None = ZERO
    fifo_realised_pnl: Decimal | None = ZERO
    unrealised_pnl: Decimal | None = None
    fifo_unrealised_pnl: Decimal | None = None
    last_price: Decimal | None = None
    close_price: Decimal | None = None
    close_source: str = ""
    m2m: Decimal | None = None
    value: Decimal | None = None
    income: Decimal = ZERO
    fee_quantity: Decimal = ZERO
    charges: Decimal | None = None
    charges_elsewhere: tuple[tuple[str, Decimal], ...] = ()
    currency: str = "INR"
    multiplier: Decimal = Decimal(1)
    ts_event: int | None = None
    ts_mark: int | None = None
    stale: bool = True
    opening_source: str = ""
    complete_as_of: int | None = None
    quantity_unit: QuantityUnit = QuantityUnit.UNITS


@dataclass(frozen=True, slots=True, kw_only=True)
class PnL(Shown):
    """Profit of all positions of one currency.

    Attributes
    ----------
    realised, unrealised, m2m, income, charges, value : Decimal
        Sums of what the positions know; `charges` with fees that fills of other currencies were charged in this one.
    unknown : tuple of str
        Instruments with a number that is not known and hence not in the sums.
    unknown_charges : tuple of str
        Instruments that traded and whose charges are not known: `charges` is without them.
    stale : tuple of str
        Instruments whose mark is old; their last mark counts.
    """

    currency: str
    realised: Decimal = ZERO
    unrealised: Decimal = ZERO
    m2m: Decimal = ZERO
    income: Decimal = ZERO
    charges: Decimal = ZERO
    value: Decimal = ZERO
    positions: int = 0
    unknown: tuple[str, ...] = ()
    unknown_charges: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment(Shown):
    """A change of a position that no fill explains, said explicitly and with its source.

    Attributes
    ----------
    adjustment_id : str
        Unique: one given twice counts once.
    kind : AdjustmentKind
        What it does, and which of the following it needs, stands there.
    product : Product or None
        None: every product of the instrument (SPLIT, BONUS, DIVIDEND, EXPIRY).
    quantity : Decimal or None
        Signed units.
    price : Decimal or None
    numerator, denominator : Decimal
        Of a split: new units for old ones. Of a bonus: units given for units held.
    ts_event : int
        From when it counts, ns UTC: before all trades of that time.
    source : str
        Who said so.
    """

    adjustment_id: str
    kind: AdjustmentKind
    instrument_id: str
    ts_event: int
    product: Product | None = None
    position_side: Literal["NET", "LONG", "SHORT"] = "NET"
    quantity: Decimal | None = None
    price: Decimal | None = None
    numerator: Decimal = Decimal(1)
    denominator: Decimal = Decimal(1)
    source: str = "user"


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
class LiveHolding(Shown):
    """A holding at a price of now. Quantities are parts of `total_quantity`, whatever the broker's own sums are.

    Attributes
    ----------
    total_quantity : Decimal
        All that is owned: free, used, not delivered yet, and pledged.
    free_quantity : Decimal
        What can be sold today without anybody's leave but the depository's; see `sellable_quantity`.
    sellable_quantity : Decimal
        Of the free and not yet delivered units, what the depository may hand over: all where the broker needs no
        authorisation, else what was authorised.
    collateral : Decimal or None
        Of the pledged units at the price, after the haircut; None where no haircut is known.
    margin_funded : Decimal
        Units the broker lent the money for.
    pnl, day_change : Decimal or None
        Against what they cost, and against the previous close.
    """

    holding: Holding
    total_quantity: Decimal
    free_quantity: Decimal
    sellable_quantity: Decimal
    last_price: Decimal | None
    value: Decimal | None
    invested: Decimal | None
    pnl: Decimal | None
    day_change: Decimal | None
    collateral: Decimal | None = None
    haircut: Decimal | None = None
    margin_funded: Decimal = ZERO
    ts_mark: int | None = None
    stale: bool = True


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
