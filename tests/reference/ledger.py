"""A second opinion on the venue's money: exact fractions, straight from definitions, nothing incremental.

The venue keeps running totals in ticks and lots. Here every number is worked out again from the list of fills and
open orders, in money and units, by the plainest reading of the rule in ``dragoman.emulator.venue.margin``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

ZERO = Fraction(0)


@dataclass(frozen=True)
class Deal:
    """A fill, or an open order at its limit: `quantity` in units, signed, at `price`."""

    quantity: Fraction
    price: Fraction


@dataclass(frozen=True)
class Standing:
    """Where a list of fills leads: net quantity, its cost (signed like the quantity), what was realised."""

    quantity: Fraction
    cost: Fraction
    realised: Fraction


def stand(deals: Iterable[Deal]) -> Standing:
    """Apply fills one after the other at moving average cost, in price x quantity (no multiplier)."""
    quantity, average, realised = ZERO, ZERO, ZERO
    for deal in deals:
        if quantity * deal.quantity >= 0:
            total = quantity + deal.quantity
            average = (quantity * average + deal.quantity * deal.price) / total
            quantity = total
            continue
        closed = min(abs(deal.quantity), abs(quantity))
        direction = 1 if quantity > 0 else -1
        realised += direction * closed * (deal.price - average)
        opened = abs(deal.quantity) - closed
        quantity += deal.quantity
        if opened:
            average = deal.price
    return Standing(quantity, quantity * average, realised)


def cash_flow(deals: Iterable[Deal]) -> Fraction:
    """Return money received less money paid."""
    return -sum((deal.quantity * deal.price for deal in deals), ZERO)


@dataclass(frozen=True)
class Rule:
    """The margin rule's words for one instrument and product."""

    rate: Fraction
    multiplier: Fraction = Fraction(1)
    delivery: bool = False
    strike: Fraction | None = None

    def held(self, quantity: Fraction, cost: Fraction) -> Fraction:
        if self.strike is not None:
            tied = cost if quantity > 0 else -quantity * self.strike * self.rate
        elif self.delivery:
            tied = cost * self.rate if quantity > 0 else ZERO
        else:
            tied = abs(cost) * self.rate
        return tied * self.multiplier

    def opening(self, deal: Deal) -> Fraction:
        return self.held(deal.quantity, deal.quantity * deal.price)

    def requirement(self, standing: Standing, orders: Sequence[Deal]) -> tuple[Fraction, Fraction]:
        """Return (used, blocked): the worst of no fill, all buys, all sells."""
        used = self.held(standing.quantity, standing.cost)
        worst = used
        for direction in (1, -1):
            # What is held on the other side is closed by the first orders, which need nothing.
            free = max(ZERO, -direction * standing.quantity)
            tied = used if direction * standing.quantity >= 0 else ZERO
            for deal in orders:
                if deal.quantity * direction <= 0:
                    continue
                size = abs(deal.quantity)
                closing = min(free, size)
                free -= closing
                if size > closing:
                    tied += self.opening(Deal(direction * (size - closing), deal.price))
            worst = max(worst, tied)
        return used, worst - used
