"""How much money a position and its open orders tie up: one stated rule, exact.

The rule, per account, instrument and product; *value* is price x quantity x multiplier and *rate* the listing's
`margin_rate` of the product:

==========================  =========================================================
what                        ties up
==========================  =========================================================
delivery, long              rate x value (the rate is 1: paid in full)
delivery, short             nothing: it is covered by holdings (`risk` sees to that)
delivery of a margined one  as anything else
option, long                value: the premium, paid in full
option, short               rate x strike x quantity x multiplier (span-like)
anything else               rate x value, long or short
==========================  =========================================================

A position counts at its average cost, so what it ties up does not move with the market. With open orders, the
requirement is the worst of three outcomes: nothing fills, all buys fill, all sells fill. Orders that close the
position come first in order of arrival and need nothing. An order counts at its limit price, a stop market order at
its trigger, a market order at the best opposite price when it came; one with a change in flight at the larger
quantity and the higher price. `used` is what the position alone ties up, `blocked` the rest of the requirement: both
are never negative, and `blocked` is 0 without open orders.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from dragoman.emulator.venue.market import Market
from dragoman.model import InstrumentType, Product

NOTHING = Fraction(0)
_PLACES = 8


def to_decimal(value: Fraction) -> Decimal:
    """Return `value` as the shortest decimal, rounded half to even at 8 places where it has more."""
    scaled, places = round(value * 10**_PLACES), _PLACES
    while places and scaled % 10 == 0:
        scaled, places = scaled // 10, places - 1
    return Decimal(scaled).scaleb(-places)


@dataclass(frozen=True, slots=True)
class Requirement:
    """Money tied up, exact. `premium` and `delivery` are the parts of `used` that are paid rather than pledged."""

    used: Fraction = NOTHING
    blocked: Fraction = NOTHING
    premium: Fraction = NOTHING
    delivery: Fraction = NOTHING


@dataclass(frozen=True, slots=True)
class Terms:
    """The rule for one instrument and product, as factors on tick-lots.

    Attributes
    ----------
    unit : Fraction
        Money in one tick x lot.
    long : Fraction
        Factor on the value of a long.
    short : Fraction
        Factor on the value of a short; 0 where `short_lot` says it.
    short_lot : Fraction
        Money for each lot short, whatever its price.
    paid : bool
        Whether a long is paid in full, so that its loss is already covered.
    delivery : bool
        Whether a short is a sale out of holdings.
    """

    unit: Fraction
    long: Fraction
    short: Fraction
    short_lot: Fraction
    paid: bool
    delivery: bool

    @classmethod
    def of(cls, market: Market, product: Product) -> Terms:
        """Return the terms; the listing must offer `product`."""
        instrument = market.listing.instrument
        rate = Fraction(market.listing.margin_rate[product])
        unit = Fraction(market.tick) * Fraction(market.lot) * Fraction(instrument.multiplier)
        if product is Product.DELIVERY and not market.listing.margined:
            return cls(unit, rate, NOTHING, NOTHING, paid=True, delivery=True)
        if instrument.instrument_type is InstrumentType.OPTION and instrument.strike is not None:
            per_lot = rate * Fraction(instrument.strike) * Fraction(market.lot) * Fraction(instrument.multiplier)
            return cls(unit, Fraction(1), NOTHING, per_lot, paid=True, delivery=False)
        return cls(unit, rate, rate, NOTHING, paid=False, delivery=False)

    def held(self, lots: int, cost: Fraction) -> Fraction:
        """Return what a position of signed `lots` at signed `cost` (tick-lots) ties up."""
        if lots >= 0:
            return cost * self.unit * self.long
        return -cost * self.unit * self.short - lots * self.short_lot

    def require(
        self, lots: int, cost: Fraction, buys: Iterable[tuple[int, int]], sells: Iterable[tuple[int, int]]
    ) -> Requirement:
        """Apply the rule.

        Parameters
        ----------
        lots, cost
            The position: signed lots, and their signed cost in tick-lots.
        buys, sells
            Open orders as (lots left, ticks), in order of arrival.
        """
        used = self.held(lots, cost)
        all_buys = self._opened(1, max(0, -lots), buys) + (used if lots >= 0 else 0)
        all_sells = self._opened(-1, max(0, lots), sells) + (used if lots <= 0 else 0)
        return Requirement(
            used,
            max(used, all_buys, all_sells) - used,
            used if lots > 0 and self.paid and not self.delivery else NOTHING,
            used if self.delivery else NOTHING,
        )

    def _opened(self, sign: int, closing: int, orders: Iterable[tuple[int, int]]) -> Fraction:
        """Return what the orders of one side tie up beyond the first `closing` lots."""
        opened = value = 0
        for lots, ticks in orders:
            closed = min(closing, lots)
            closing -= closed
            opened += lots - closed
            value += (lots - closed) * ticks
        return self.held(sign * opened, Fraction(sign * value)) if opened else NOTHING
