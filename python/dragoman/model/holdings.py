"""What is owned: holdings of securities, and balances of assets."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from dragoman.model.enums import Product
from dragoman.model.shown import Shown

ZERO = Decimal(0)


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
