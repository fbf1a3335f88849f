"""One position counted two ways at once: at average cost, and first in first out.

Theory. Let *cost* be what the units held now were acquired for (negative for a short) and *paid* what was laid out on
balance since the day began, the opening position's cost included. Buying raises both by the same amount; selling what
is held lowers *paid* by what was received and *cost* by what those units had cost. So the profit realised today is
``cost - paid`` at any moment, in either way of counting: nothing is added up that could drift. The two ways differ in
which units a sale takes, hence in *cost*.

Values here are price x quantity; times the multiplier they are money.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dragoman.portfolio.money import Exact, bounded, ratio, size

Lot = tuple[Exact, Exact]
"""Signed quantity, and price."""


@dataclass(slots=True)
class Lots:
    """The running count of one instrument and product.

    Attributes
    ----------
    quantity : Exact
        Net, signed.
    cost, paid : Exact
        At average cost; see the module.
    lots : list of Lot
        What is held, oldest first.
    fifo_cost, fifo_paid : Exact
        The same two, first in first out.
    overnight_quantity, overnight_cost : Exact
        What the day began with.
    bought, bought_value, sold, sold_value : Exact
        The day's trades; what was converted to this product counts in, what was converted away counts out.
    charged, charged_value : Exact
        Units that commissions took today, and what they were worth at the prices of their trades.
    settled : Exact
        Value of the units taken (+) or given (-) without a trade, at an expiry or assignment.
    income : Exact
        Dividends of the day, per unit times units: not part of what was realised.
    blank : bool
        What some of the units held cost is not known.
    realised_blank : bool
        Some of them were sold today: what that realised is not known either.
    traded : int
        Fills and external trades of the day.
    """

    quantity: Exact = 0
    cost: Exact = 0
    paid: Exact = 0
    lots: list[Lot] = field(default_factory=list)
    fifo_cost: Exact = 0
    fifo_paid: Exact = 0
    overnight_quantity: Exact = 0
    overnight_cost: Exact = 0
    bought: Exact = 0
    bought_value: Exact = 0
    sold: Exact = 0
    sold_value: Exact = 0
    charged: Exact = 0
    charged_value: Exact = 0
    settled: Exact = 0
    income: Exact = 0
    blank: bool = False
    realised_blank: bool = False
    traded: int = 0

    def copy(self) -> Lots:
        """Return an independent copy."""
        return replace(self, lots=self.lots.copy())

    @property
    def realised(self) -> Exact:
        """Profit of the day at average cost."""
        return self.cost - self.paid

    @property
    def fifo_realised(self) -> Exact:
        """Profit of the day, first in first out."""
        return self.fifo_cost - self.fifo_paid

    @property
    def figures(self) -> tuple[Exact, ...]:
        """What is equal as long as the position is the same: what is held and what it cost, and the day's trades."""
        return self.quantity, self.cost, self.paid, self.overnight_quantity, self.bought, self.sold, self.charged

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell: no position, and no trade today."""
        return not (self.quantity or self.overnight_quantity or self.traded or self.settled or self.income)

    # -- what happens to it ------------------------------------------------------------------------------------------

    def trade(self, quantity: Exact, price: Exact, charged: Exact = 0) -> None:
        """Buy (+) or sell (-) at a price. One that goes through zero closes all there is, and opens the rest.

        Of what is traded, `charged` units are kept as commission. They leave at the price of the trade, so they are no
        part of any profit: what they were worth is a charge.
        """
        self.traded += 1
        value = quantity * price
        if quantity > 0:
            self.bought += quantity
            self.bought_value += value
        else:
            self.sold -= quantity
            self.sold_value -= value
        if charged:
            self.charged += charged
            self.charged_value += charged * price
            quantity -= charged
            value = quantity * price
        self._book(quantity, price, value)

    def settle(self, quantity: Exact, price: Exact) -> None:
        """Take or give units at a price without a trade."""
        value = quantity * price
        self.settled += value
        self._book(quantity, price, value)

    def _book(self, quantity: Exact, price: Exact, value: Exact) -> None:
        """Take or give units at a price, together `value`, against what is held first."""
        self.paid += value
        self.fifo_paid += value
        held = self.quantity
        closing: Exact = 0
        if held and (held > 0) != (quantity > 0):
            closing = quantity if size(quantity) <= size(held) else -held
            cost, fifo = self._shed(-closing)
            self.cost -= cost
            self.fifo_cost -= fifo
            self.realised_blank |= self.blank
        opening = quantity - closing
        self.quantity = held + quantity
        if not held + closing:
            self.blank = False
        if opening:
            value = opening * price if closing else value
            self.cost += value
            self.fifo_cost += value
            self.lots.append((opening, price))

    def _shed(self, quantity: Exact) -> tuple[Exact, Exact]:
        """Return what `quantity` units of those held (signed as they are) cost, both ways; the lots lose them."""
        left = bounded(ratio(self.cost * (self.quantity - quantity), self.quantity))
        return self.cost - left, sum(units * price for units, price in self._take(quantity))

    def _take(self, quantity: Exact, *, newest: bool = False) -> list[Lot]:
        """Take units (signed as the position) out of the lots, the oldest first or the newest; they stay in order."""
        taken: list[Lot] = []
        lots, at = self.lots, -1 if newest else 0
        while quantity:
            units, price = lots[at]
            if size(units) > size(quantity):
                lots[at] = units - quantity, price
                taken.append((quantity, price))
                break
            lots.pop(at)
            taken.append((units, price))
            quantity -= units
        return taken[::-1] if newest else taken

    def receive(self, quantity: Exact, price: Exact | None) -> None:
        """Take in units that were not bought today and cost `price` each (None: nobody knows): nothing is realised.

        They must not close what is held; they count as carried over.
        """
        value = 0 if price is None else quantity * price
        self.quantity += quantity
        self.cost += value
        self.paid += value
        self.fifo_cost += value
        self.fifo_paid += value
        self.lots.append((quantity, 0 if price is None else price))
        self.overnight_quantity += quantity
        self.overnight_cost += value
        self.blank |= price is None

    def release(self, quantity: Exact) -> None:
        """Let go of units (signed as the position, no more than it) at what they cost: nothing is realised.

        They come out of what was carried over as far as that reaches.
        """
        carried = self._carried(quantity)
        cost, fifo = self._shed(quantity)
        self.cost -= cost
        self.paid -= cost
        self.fifo_cost -= fifo
        self.fifo_paid -= fifo
        self.quantity -= quantity
        if carried:
            self.overnight_cost -= ratio(self.overnight_cost * carried, self.overnight_quantity)
            self.overnight_quantity -= carried
        if not self.quantity:
            self.blank = False

    def _carried(self, quantity: Exact) -> Exact:
        over = self.overnight_quantity
        if not over or (over > 0) != (quantity > 0):
            return 0
        return quantity if size(quantity) <= size(over) else over

    def convert_to(self, target: Lots, quantity: Exact, *, overnight: bool) -> None:
        """Move units (signed as the position, no more than it) to another product at what they cost.

        Carried-over units leave as the oldest, today's as the newest. Where the target is held the other way round
        they close that, at what they cost.
        """
        cost = ratio(self.cost * quantity, self.quantity)
        moved = self._take(quantity, newest=not overnight)
        fifo = sum(units * price for units, price in moved)
        blank = self.blank
        self.cost -= cost
        self.paid -= cost
        self.fifo_cost -= fifo
        self.fifo_paid -= fifo
        self.quantity -= quantity
        if not self.quantity:
            self.blank = False
        self._shift(target, quantity, cost, overnight=overnight)
        target._join(quantity, cost, moved)
        target.blank |= blank and bool(target.quantity)

    def _shift(self, target: Lots, quantity: Exact, cost: Exact, *, overnight: bool) -> None:
        """Move units between the day's counts, or between what was carried over."""
        if overnight and self._carried(quantity) == quantity:
            value = ratio(self.overnight_cost * quantity, self.overnight_quantity)
            self.overnight_quantity -= quantity
            self.overnight_cost -= value
            target.overnight_quantity += quantity
            target.overnight_cost += value
        elif quantity > 0:
            for row, sign in ((self, -1), (target, 1)):
                row.bought += sign * quantity
                row.bought_value += sign * cost
        else:
            for row, sign in ((self, -1), (target, 1)):
                row.sold -= sign * quantity
                row.sold_value -= sign * cost
        target.traded += 1

    def _join(self, quantity: Exact, cost: Exact, moved: list[Lot]) -> None:
        """Take in what another product gave away: at its average cost, and as its lots."""
        held = self.quantity
        if held and (held > 0) != (quantity > 0):
            closing = -held if size(quantity) > size(held) else quantity
            self.cost -= ratio(self.cost * -closing, held)
            self.cost += ratio(cost * (quantity - closing), quantity)
            self.realised_blank |= self.blank
            if not held + closing:
                self.blank = False
        else:
            self.cost += cost
        self.paid += cost
        for units, price in moved:
            self._join_lot(units, price)
        self.quantity = held + quantity

    def _join_lot(self, units: Exact, price: Exact) -> None:
        self.fifo_paid += units * price
        while units and self.lots and (self.lots[0][0] > 0) != (units > 0):
            first, _ = self.lots[0]
            closing = -units if size(units) <= size(first) else first
            self.fifo_cost -= sum(some * at for some, at in self._take(closing))
            units += closing
        if units:
            self.fifo_cost += units * price
            self.lots.append((units, price))

    def scale(self, factor: Exact) -> None:
        """Multiply all quantities, as a split or a bonus does; costs and values stay."""
        for name in ("quantity", "overnight_quantity", "bought", "sold", "charged"):
            setattr(self, name, getattr(self, name) * factor)
        self.lots = [(units * factor, ratio(price, factor)) for units, price in self.lots]

    def roll(self) -> None:
        """End the day: all that is held is carried over, and the day's counts begin at nothing."""
        self.overnight_quantity, self.overnight_cost = self.quantity, self.cost
        self.paid, self.fifo_paid = self.cost, self.fifo_cost
        self.bought = self.bought_value = self.sold = self.sold_value = 0
        self.charged = self.charged_value = self.settled = self.income = self.traded = 0
        self.realised_blank = False
