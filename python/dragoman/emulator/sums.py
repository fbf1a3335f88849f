"""What brokers report of positions and holdings, from what the venue knows of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from dragoman.emulator.venue.types import MarketView, VenueHolding, VenuePosition, VenueProtocol
from dragoman.model import Product


@dataclass(slots=True)
class Side:
    """Bought or sold: units, what they cost, and what they cost with the overnight part at the previous close."""

    quantity: Decimal
    value: Decimal
    m2m: Decimal

    @property
    def price(self) -> Decimal:
        return self.value / self.quantity if self.quantity else Decimal(0)


@dataclass(frozen=True, slots=True)
class PositionSums:
    """Both sides of a position and its profit; prices are money a unit, so a multiplier is still in them."""

    bought: Side
    sold: Side
    quantity: Decimal
    average: Decimal
    pnl: Decimal
    m2m: Decimal


def position_sums(position: VenuePosition, market: MarketView, multiplier: Decimal, *, net: bool) -> PositionSums:
    """Add up a position, with what was carried over night (`net`) or without it.

    ``pnl = sold value - bought value + quantity x last price x multiplier``.
    """
    bought = Side(position.day_buy_quantity, position.day_buy_value, position.day_buy_value)
    sold = Side(position.day_sell_quantity, position.day_sell_value, position.day_sell_value)
    overnight = position.overnight_quantity
    if net and overnight:
        carried = bought if overnight > 0 else sold
        carried.quantity += abs(overnight)
        carried.value += abs(overnight) * position.overnight_price * multiplier
        carried.m2m += abs(overnight) * market.close * multiplier
    quantity = bought.quantity - sold.quantity
    worth = quantity * market.last_price * multiplier
    average = (bought if quantity > 0 else sold).price if quantity else Decimal(0)
    pnl, m2m = (getattr(sold, name) - getattr(bought, name) + worth for name in ("value", "m2m"))
    return PositionSums(bought, sold, quantity, average, pnl, m2m)


@dataclass(frozen=True, slots=True)
class Security:
    """What an account owns of one instrument: delivered, sold out of it today, and bought on the broker's money.

    `funded` is the MTF position that was carried over; today's is still a position only.
    """

    holding: VenueHolding
    market: MarketView
    sold_today: Decimal
    funded: VenuePosition | None = None

    @property
    def funded_quantity(self) -> Decimal:
        return self.funded.overnight_quantity if self.funded else Decimal(0)

    @property
    def invested(self) -> Decimal:
        funded = self.funded_quantity * self.funded.overnight_price if self.funded else Decimal(0)
        return self.holding.quantity * self.holding.average_price + funded

    @property
    def quantity(self) -> Decimal:
        """All of it, whoever paid."""
        return self.holding.quantity + self.funded_quantity


def securities(venue: VenueProtocol, account: str) -> list[Security]:
    """Return what the account holds, and what it carries on margin funding, by instrument."""
    positions = {(one.instrument_id, one.product): one for one in venue.positions(account)}
    carried = {name: one for (name, product), one in positions.items() if product is Product.MTF}
    carried = {name: one for name, one in carried.items() if one.overnight_quantity > 0}
    held = {one.instrument_id: one for one in venue.holdings(account)}
    nothing = Decimal(0)
    found = []
    for name in held | carried:
        delivery = positions.get((name, Product.DELIVERY))
        holding = held.get(name) or VenueHolding(instrument_id=name, quantity=nothing, average_price=nothing)
        sold = max(nothing, -delivery.quantity) if delivery else nothing
        found.append(Security(holding, venue.market(name), sold, carried.get(name)))
    return found


@dataclass(frozen=True, slots=True)
class Worth:
    """Holdings together: what they cost, what they are worth, and were worth at the previous close."""

    invested: Decimal
    current: Decimal
    previous: Decimal

    @property
    def profit(self) -> Decimal:
        return self.current - self.invested

    @property
    def profit_today(self) -> Decimal:
        return self.current - self.previous

    @property
    def profit_percent(self) -> float:
        """Of what was paid, 0 where that is nothing."""
        return self._percent(self.profit, self.invested)

    @property
    def profit_today_percent(self) -> float:
        """Of yesterday's worth, 0 where that is nothing."""
        return self._percent(self.profit_today, self.previous)

    @staticmethod
    def _percent(profit: Decimal, of: Decimal) -> float:
        return float(profit / of * 100) if of else 0.0


def worth(items: Iterable[Security]) -> Worth:
    """Add holdings up."""
    rows = [(one.invested, one.quantity * one.market.last_price, one.quantity * one.market.close) for one in items]
    zero = Decimal(0)
    return Worth(*(sum(column, zero) for column in zip(*rows, strict=True))) if rows else Worth(zero, zero, zero)


def owned(venue: VenueProtocol, account: str) -> list[tuple[VenueHolding, Decimal]]:
    """Return what an account holds, each with the units of it that open sell orders lock."""
    locked: dict[str, Decimal] = {}
    for state in venue.orders(account):
        if not state.status.terminal and state.order.side.sign < 0:
            name = state.order.instrument_id
            locked[name] = locked.get(name, Decimal(0)) + state.remaining
    return [(one, locked.get(one.instrument_id, Decimal(0))) for one in venue.holdings(account)]
