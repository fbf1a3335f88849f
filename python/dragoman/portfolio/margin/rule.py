"""What positions and open orders tie up: one stated rule, for every broker.

Per account, instrument and product; *value* is price x quantity x multiplier, *rate* what `rates` knows:

=====================  ===============================================
kind                   ties up
=====================  ===============================================
PAID, long             value: it is paid in full
PAID, short            nothing: it is sold out of holdings
PREMIUM, long          value: the premium
PREMIUM, short         rate x units
PLEDGED                rate x value, long or short
WALLET                 nothing: it is settled trade by trade
=====================  ===============================================

A position counts at its average cost. With open orders the requirement is the worst of three outcomes: nothing fills,
all buys fill, all sells fill. Orders that close the position come first, in their order, and need nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final

from dragoman.model import AssetClass, Instrument, InstrumentType, Margin, Product, Segment
from dragoman.plugin import MarginTerms

ZERO: Final = Decimal(0)
_DATED: Final = (InstrumentType.FUTURE, InstrumentType.OPTION, InstrumentType.PERP)


class Kind(Enum):
    """By which line of the rule a position counts."""

    PAID = "paid"
    PREMIUM = "premium"
    PLEDGED = "pledged"
    WALLET = "wallet"

    @property
    def fixed(self) -> bool:
        """Whether its rate is known without asking."""
        return self in (Kind.PAID, Kind.WALLET)

    def at_risk(self, quantity: Decimal) -> bool:
        """Whether the loss of such a position comes out of what is free: what is paid in full has none to take."""
        return self is Kind.PLEDGED or (self is Kind.PREMIUM and quantity < 0)


def kind_of(instrument: Instrument | None, product: Product, terms: MarginTerms) -> Kind:
    """Return by which line positions of `product` in `instrument` count; one that is not known is PLEDGED."""
    if product is Product.CASH:
        return Kind.WALLET
    if instrument is None:
        return Kind.PLEDGED
    if instrument.instrument_type is InstrumentType.OPTION:
        return Kind.PREMIUM
    if product is Product.DELIVERY and not terms.delivery_margined and instrument.instrument_type not in _DATED:
        return Kind.PAID
    return Kind.PLEDGED


def segment_of(instrument: Instrument | None, held: Mapping[Segment, Margin]) -> Segment | None:
    """Return the segment whose money an instrument trades on: its own, else ALL, else EQUITY; None for none of them.

    An instrument in another currency than the segment's draws on money that `held` does not tell.
    """
    own = Segment.EQUITY
    if instrument is not None:
        if instrument.asset_class is AssetClass.COMMODITY:
            own = Segment.COMMODITY
        elif instrument.asset_class is AssetClass.CURRENCY:
            own = Segment.CURRENCY
        elif instrument.instrument_type in _DATED:
            own = Segment.FO
    for segment in (own, Segment.ALL, Segment.EQUITY):
        if segment in held and (instrument is None or instrument.currency == held[segment].currency):
            return segment
    return None


@dataclass(frozen=True, slots=True)
class Working:
    """What is left of an open order: `sign` of its side, units, and the price it is reserved at.

    `sure` is False while nobody knows whether the broker has it, or on which terms.
    """

    sign: int
    quantity: Decimal
    price: Decimal
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """The position in one instrument and product, at its average cost, and its open orders in order of arrival."""

    kind: Kind
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    multiplier: Decimal = Decimal(1)
    orders: tuple[Working, ...] = ()

    def sure(self) -> Group:
        """The same without orders that nobody is sure of."""
        if not self.orders or all(order.sure for order in self.orders):
            return self
        kept = tuple(order for order in self.orders if order.sure)
        return Group(self.kind, self.quantity, self.price, self.multiplier, kept)

    def tied(self, sign: int, units: Decimal, cost: Decimal, rate: Decimal) -> Decimal:
        """Return what `units` on one side ties up; `cost` is their price x quantity."""
        if self.kind is Kind.WALLET:
            return cost * self.multiplier if sign > 0 else ZERO
        if self.kind is Kind.PAID:
            return cost * self.multiplier * rate if sign > 0 else ZERO
        if self.kind is Kind.PREMIUM:
            return (cost if sign > 0 else units * rate) * self.multiplier
        return cost * self.multiplier * rate

    def need(self, rate: Decimal) -> Need:
        """Apply the rule."""
        used = ZERO
        if self.kind is not Kind.WALLET and self.quantity:
            sign = 1 if self.quantity > 0 else -1
            used = self.tied(sign, abs(self.quantity), abs(self.quantity) * self.price, rate)
        if not self.orders:
            return Need(used, ZERO)
        buys = self._opened(1, max(ZERO, -self.quantity), rate) + (used if self.quantity >= 0 else ZERO)
        sells = self._opened(-1, max(ZERO, self.quantity), rate) + (used if self.quantity <= 0 else ZERO)
        return Need(used, max(used, buys, sells) - used)

    def _opened(self, sign: int, closing: Decimal, rate: Decimal) -> Decimal:
        """Return what the orders of one side tie up beyond the first `closing` units."""
        units = cost = ZERO
        for order in self.orders:
            if order.sign != sign:
                continue
            closed = min(closing, order.quantity)
            closing -= closed
            units += order.quantity - closed
            cost += (order.quantity - closed) * order.price
        return self.tied(sign, units, cost, rate) if units else ZERO


@dataclass(frozen=True, slots=True)
class Need:
    """What a group ties up: by its position, and beyond that by its orders."""

    used: Decimal
    blocked: Decimal

    @property
    def total(self) -> Decimal:
        return self.used + self.blocked
