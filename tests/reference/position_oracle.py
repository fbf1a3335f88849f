"""Positions counted the slow way, from the whole list of what happened: `fractions` and single lots, nothing kept.

Written from the rules in docs/semantics.md and not from the book: every number is worked out anew from a list of
parcels, each a signed number of units with a price for either way of counting. At average cost all parcels of a
position become one whenever units come in; first in first out each keeps its own price.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

ZERO = Fraction(0)
ORDER = {"roll": 0, "adjust": 1, "trade": 2, "convert": 3}


@dataclass
class Side:
    """One product, one way of counting: parcels of [units, price], and what was realised today."""

    averaging: bool
    parcels: list[list[Fraction]] = field(default_factory=list)
    realised: Fraction = ZERO

    @property
    def units(self) -> Fraction:
        return sum((units for units, _ in self.parcels), ZERO)

    @property
    def average(self) -> Fraction | None:
        units = self.units
        return sum((a * b for a, b in self.parcels), ZERO) / units if units else None

    def spread(self) -> None:
        """Make one parcel of all, where that is the way of counting."""
        average = self.average
        if self.averaging and average is not None:
            self.parcels = [[self.units, average]]

    def take_out(self, units: Fraction, last_in_first_out: bool = False) -> list[list[Fraction]]:
        """Remove `units` (of the parcels' sign) and return the parcels they were."""
        out: list[list[Fraction]] = []
        wanted = abs(units)
        while wanted:
            parcel = self.parcels[-1 if last_in_first_out else 0]
            part = min(wanted, abs(parcel[0]))
            sign = 1 if parcel[0] > 0 else -1
            out.append([sign * part, parcel[1]])
            parcel[0] -= sign * part
            if not parcel[0]:
                self.parcels.remove(parcel)
            wanted -= part
        return out[::-1] if last_in_first_out else out

    def put_in(self, units: Fraction, price: Fraction) -> None:
        """Bring units in: those that close something realise a profit, the others are held."""
        held = self.units
        if held * units < 0:
            closing = min(abs(held), abs(units))
            for had, cost in self.take_out(closing if held > 0 else -closing):
                self.realised += had * (price - cost)
            units += closing if held > 0 else -closing
        if units:
            self.parcels.append([units, price])
            self.spread()


@dataclass
class Product:
    """Both ways of counting, and the day's sums."""

    average: Side = field(default_factory=lambda: Side(True))
    fifo: Side = field(default_factory=lambda: Side(False))
    carried: Fraction = ZERO
    bought: Fraction = ZERO
    bought_value: Fraction = ZERO
    sold: Fraction = ZERO
    sold_value: Fraction = ZERO
    income: Fraction = ZERO
    charged: Fraction = ZERO
    charged_value: Fraction = ZERO
    """Units that commissions took, and what they were worth when they did."""
    settled: Fraction = ZERO
    """Money of units that an expiry took, received (+) or paid (-)."""

    @property
    def units(self) -> Fraction:
        return self.average.units

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.average, self.fifo

    def trade(self, units: Fraction, price: Fraction, fee: Fraction) -> None:
        if units > 0:
            self.bought, self.bought_value = self.bought + units, self.bought_value + units * price
        else:
            self.sold, self.sold_value = self.sold - units, self.sold_value - units * price
        self.charged, self.charged_value = self.charged + fee, self.charged_value + fee * price
        for side in self.sides:
            side.put_in(units - fee, price)


def replay(events: list[dict], opening: dict[str, tuple[Fraction, Fraction]]) -> dict[str, Product]:
    """Count one instrument's events, given in any order, from its opening (units, price) by product."""
    products: dict[str, Product] = {}
    for name, (units, price) in opening.items():
        product = products.setdefault(name, Product())
        product.carried = units
        for side in product.sides:
            side.put_in(units, price)
            side.realised = ZERO
    for event in sorted(events, key=lambda one: (one["ts"], ORDER[one["what"]], one["number"])):
        _happen(products, event)
    return products


def _happen(products: dict[str, Product], event: dict) -> None:
    match event["what"]:
        case "trade":
            products.setdefault(event["product"], Product()).trade(event["units"], event["price"], event["fee"])
        case "convert":
            _convert(products, event)
        case "roll":
            for name in [name for name, product in products.items() if not product.units]:
                del products[name]
            for product in products.values():
                product.carried = product.units
                product.bought = product.bought_value = product.sold = product.sold_value = ZERO
                product.income = product.settled = product.charged = product.charged_value = ZERO
                for side in product.sides:
                    side.realised = ZERO
        case "adjust":
            for name, product in products.items():
                if event.get("product") in (None, name):
                    _adjust(product, event)


def _adjust(product: Product, event: dict) -> None:
    match event["kind"]:
        case "SPLIT" | "BONUS":
            factor = event["factor"]
            product.carried *= factor
            product.bought *= factor
            product.sold *= factor
            product.charged *= factor
            for side in product.sides:
                side.parcels = [[units * factor, price / factor] for units, price in side.parcels]
        case "DIVIDEND":
            product.income += product.units * event["price"]
        case "EXPIRY":
            product.settled += product.units * event["price"]
            for side in product.sides:
                side.put_in(-side.units, event["price"])


def _convert(products: dict[str, Product], event: dict) -> None:
    source = products.setdefault(event["old"], Product())
    held = source.units
    if held * event["units"] <= 0:
        return
    sign = 1 if held > 0 else -1
    moved = sign * min(abs(held), abs(event["units"]))
    target = products.setdefault(event["new"], Product())
    average = source.average.average
    assert average is not None
    overnight = event["overnight"]
    source.average.take_out(moved)
    parcels = source.fifo.take_out(moved, last_in_first_out=not overnight)
    target.average.put_in(moved, average)
    for units, price in parcels:
        target.fifo.put_in(units, price)
    if overnight and source.carried * sign >= abs(moved):
        source.carried -= moved
        target.carried += moved
    elif moved > 0:
        source.bought, source.bought_value = source.bought - moved, source.bought_value - moved * average
        target.bought, target.bought_value = target.bought + moved, target.bought_value + moved * average
    else:
        source.sold, source.sold_value = source.sold + moved, source.sold_value + moved * average
        target.sold, target.sold_value = target.sold - moved, target.sold_value - moved * average
