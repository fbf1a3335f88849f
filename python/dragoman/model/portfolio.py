"""Positions: the broker's, ours as fills make them, their sums, and what changes them without a fill."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from dragoman.model.enums import AdjustmentKind, PriceBasis, Product, QuantityUnit
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
    as_of : int or None
        From when on the broker's own positions have a split or bonus in them, ns UTC. Needed where they were read at
        `ts_event` or later: what they say is multiplied once, or not at all.
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
    as_of: int | None = None
    source: str = "user"
