"""Records of the venue as brokers show them: quantities as their wire counts them, sums made, sides split.

A broker's rows are tables of paths into these (`dragoman.emulator.rows`). Prices and money are `Decimal`, quantities
whole numbers of what the broker's wire counts (`ListingName.wire_quantity`), times ns UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from decimal import Decimal
from itertools import zip_longest
from typing import Any, Generic, TypeVar

from dragoman.emulator.forms import Form
from dragoman.emulator.listed import ListingName
from dragoman.emulator.sums import Security, Side, position_sums
from dragoman.emulator.venue.types import (
    ZERO,
    MarketView,
    OrderNeed,
    OrderState,
    VenueFill,
    VenueFunds,
    VenueOrder,
    VenuePosition,
)
from dragoman.model import OrderStatus, Product

NamedT = TypeVar("NamedT", bound=ListingName)


@dataclass(frozen=True, slots=True)
class OrderView(Generic[NamedT]):
    """One state of an order under one of the broker's statuses."""

    state: OrderState
    status: str
    named: NamedT
    account: str

    @property
    def order(self) -> VenueOrder:
        return self.state.order

    @property
    def extra(self) -> dict[str, Any]:
        return self.state.order.extra

    @property
    def quantity(self) -> int:
        return self.named.wire_quantity(self.order.quantity)

    @property
    def filled(self) -> int:
        return self.named.wire_quantity(self.state.filled_quantity)

    @property
    def left(self) -> int:
        """What may still be filled: 0 of an order that is over."""
        return 0 if self.state.status.terminal else self.named.wire_quantity(self.state.remaining)

    @property
    def canceled(self) -> int:
        return self.named.wire_quantity(self.state.canceled_quantity)

    @property
    def disclosed(self) -> int:
        return self.named.wire_quantity(self.order.display_quantity or ZERO)

    @property
    def price(self) -> Decimal:
        return self.order.price or ZERO

    @property
    def trigger(self) -> Decimal:
        return self.order.trigger_price or ZERO

    @property
    def average(self) -> Decimal:
        return self.state.average_price

    @property
    def text(self) -> str | None:
        """Why it was refused."""
        return self.state.reject_text

    @property
    def raw_text(self) -> str | None:
        """The same with the risk system before it, where that refused it."""
        text, refused = self.text, self.state.status is OrderStatus.REJECTED
        return f"RMS:{text}" if text and refused else text

    @property
    def changed(self) -> int:
        """When it changed last, ns UTC."""
        return self.state.ts_updated or self.state.ts_created

    @property
    def offline(self) -> bool:
        """Whether it was given for when markets open."""
        return bool(self.order.not_before)


@dataclass(frozen=True, slots=True)
class TradeView(Generic[NamedT]):
    """A fill, and the order it is of."""

    fill: VenueFill
    state: OrderState
    named: NamedT

    @property
    def order(self) -> VenueOrder:
        return self.state.order

    @property
    def quantity(self) -> int:
        return self.named.wire_quantity(self.fill.quantity)

    @property
    def value(self) -> Decimal:
        return self.fill.quantity * self.fill.price


@dataclass(frozen=True, slots=True)
class NeedView(Generic[NamedT]):
    """An order that is only reckoned with, the request it was read from, and what it would need."""

    form: Form
    named: NamedT
    order: VenueOrder
    need: OrderNeed


@dataclass(frozen=True, slots=True)
class SideView:
    """What was bought or sold: price per unit of the thing, money in `value` and `m2m`."""

    quantity: int
    price: Decimal
    value: Decimal
    m2m: Decimal


class PositionView(Generic[NamedT]):
    """A position with what was carried over night (`net`), or without.

    Attributes
    ----------
    bought, sold, day_bought, day_sold : SideView
    multiplier : Decimal
        Money for one point of price of one of what the wire counts.
    average : Decimal
        Of what is open; 0 where nothing is.
    """

    def __init__(self, position: VenuePosition, market: MarketView, named: NamedT, *, net: bool = True) -> None:
        self.position, self.market, self.named = position, market, named
        contract = named.instrument.multiplier
        both = position_sums(position, market, contract, net=net)
        today = position_sums(position, market, contract, net=False)
        self.bought, self.sold, self.day_bought, self.day_sold = (
            self._side(one, contract) for one in (both.bought, both.sold, today.bought, today.sold)
        )
        self.quantity = named.wire_quantity(both.quantity)
        self.carried = named.wire_quantity(position.overnight_quantity) if net else 0
        self.carried_value = abs(position.overnight_quantity) * position.overnight_price * contract
        self.multiplier = named.unit * contract
        self.average = both.average / contract
        self.value = both.sold.value - both.bought.value
        self.pnl, self.m2m = both.pnl, both.m2m
        self.realised, self.unrealised = position.realised, both.pnl - position.realised

    def _side(self, one: Side, contract: Decimal) -> SideView:
        return SideView(self.named.wire_quantity(one.quantity), one.price / contract, one.value, one.m2m)

    @property
    def carried_long(self) -> int:
        return max(self.carried, 0)

    @property
    def carried_short(self) -> int:
        return max(-self.carried, 0)

    @property
    def carried_bought_value(self) -> Decimal:
        return self.carried_value if self.carried > 0 else ZERO

    @property
    def carried_sold_value(self) -> Decimal:
        return self.carried_value if self.carried < 0 else ZERO

    @property
    def sign(self) -> int:
        return (self.quantity > 0) - (self.quantity < 0)

    @property
    def size(self) -> int:
        return abs(self.quantity)


@dataclass(frozen=True, slots=True)
class HoldingPart:
    """Securities that are delivered, or still on their way (`fresh`)."""

    fresh: bool
    quantity: int
    sold: int
    pledged: int
    price: Decimal
    cost: Decimal

    @property
    def left(self) -> int:
        return self.quantity - self.sold

    @property
    def value(self) -> Decimal:
        return self.price * self.quantity

    @property
    def profit(self) -> Decimal:
        return (self.price - self.cost) * self.quantity


class HoldingView(Generic[NamedT]):
    """Securities of an instrument in parts: `t1` on its way, `pledged`, `sold` today, `settled`, `free` of all that."""

    def __init__(self, owned: Security, named: NamedT) -> None:
        self.owned, self.holding, self.market, self.named = owned, owned.holding, owned.market, named
        wire = named.wire_quantity
        self.quantity, self.t1 = wire(self.holding.quantity), wire(self.holding.t1_quantity)
        self.pledged, self.sold = wire(self.holding.pledged_quantity), wire(owned.sold_today)
        self.settled = self.quantity - self.t1
        self.free = self.settled - self.pledged - self.sold
        self.change, self.change_percent = change(self.market)
        self.profit = (self.market.last_price - self.holding.average_price) * self.holding.quantity

    @property
    def parts(self) -> list[HoldingPart]:
        """What is delivered and what is on its way, those of them there are: today's sale is out of the first."""
        prices = self.market.last_price, self.holding.average_price
        both = (
            HoldingPart(False, self.settled, self.sold, self.pledged, *prices),
            HoldingPart(True, self.t1, 0, 0, *prices),
        )
        return [part for part in both if part.quantity]

    @property
    def funded(self) -> int:
        """What was bought on the broker's money and carried over."""
        return self.named.wire_quantity(self.owned.funded_quantity)

    @property
    def funded_sold(self) -> int:
        sold = self.owned.funded.day_sell_quantity if self.owned.funded else ZERO
        return self.named.wire_quantity(min(sold, self.owned.funded_quantity))

    @property
    def funded_price(self) -> Decimal:
        return self.owned.funded.overnight_price if self.owned.funded else ZERO

    @property
    def funded_value(self) -> Decimal:
        return self.owned.funded_quantity * self.funded_price

    @property
    def funded_margin(self) -> Decimal:
        """The account's own part of `funded_value`."""
        return self.funded_value * self.named.listing.margin_rate.get(Product.MTF, Decimal(1))


_MONEY = (*(one.name for one in fields(VenueFunds) if one.name != "segment"), "net")


class FundsView:
    """The money of one segment, or of several together, as `VenueFunds` names it; what is missing is 0."""

    def __init__(self, *funds: VenueFunds) -> None:
        self._funds = funds

    def __getattr__(self, name: str) -> Decimal:
        if name not in _MONEY:
            raise AttributeError(f"money of an account has no {name!r}, expected one of {' '.join(_MONEY)}")
        return sum((getattr(one, name) for one in self._funds), ZERO)

    @property
    def collateral(self) -> Decimal:
        return self.collateral_cash + self.collateral_pledged

    @property
    def own(self) -> Decimal:
        """What is free without collateral."""
        return self.net - self.collateral

    @property
    def tied(self) -> Decimal:
        """What positions use and open orders block."""
        return self.used + self.blocked

    @property
    def margin(self) -> Decimal:
        """What is tied beside premiums and securities."""
        return self.tied - self.used_premium - self.used_delivery

    @property
    def span(self) -> Decimal:
        """What positions use beside premiums and securities."""
        return self.used - self.used_premium - self.used_delivery

    @property
    def tied_pledged(self) -> Decimal:
        """What of that pledged securities stand for: they come first, and buy neither options nor securities."""
        return min(max(self.margin, ZERO), self.collateral_pledged)

    @property
    def tied_collateral_cash(self) -> Decimal:
        """What of the rest liquid funds stand for."""
        return min(max(self.margin, ZERO) - self.tied_pledged, self.collateral_cash)

    @property
    def debits(self) -> Decimal:
        return self.opening + self.payin + self.collateral - self.net

    @property
    def cleared(self) -> Decimal:
        return self.opening + self.payin + self.realised - self.fees

    @property
    def total(self) -> Decimal:
        return self.net + self.tied


@dataclass(frozen=True, slots=True)
class PairView:
    """One place of both sides of a book."""

    bid: Decimal
    bid_quantity: int
    ask: Decimal
    ask_quantity: int


class QuoteView(Generic[NamedT]):
    """The market of one instrument as the wire counts it; `bids` and `asks` are levels of it."""

    def __init__(self, market: MarketView, named: NamedT) -> None:
        self.market, self.named = market, named
        wire = named.wire_quantity
        self.volume, self.last_quantity = wire(market.volume), wire(market.last_quantity)
        self.buy_quantity, self.sell_quantity = wire(market.total_buy_quantity), wire(market.total_sell_quantity)
        self.oi, self.oi_high, self.oi_low = (wire(Decimal(one)) for one in (market.oi, market.oi_high, market.oi_low))
        self.change, self.change_percent = change(market)

    @property
    def bids(self) -> Iterator[tuple[Decimal, int, int]]:
        return self._levels(self.market.bids)

    @property
    def asks(self) -> Iterator[tuple[Decimal, int, int]]:
        return self._levels(self.market.asks)

    @property
    def pairs(self) -> Iterator[PairView]:
        """The levels of both sides, place by place; zeros where a side has none."""
        nothing = (ZERO, 0, 0)
        both = zip_longest(self.bids, self.asks, fillvalue=nothing)
        return (PairView(bid, bid_size, ask, ask_size) for (bid, bid_size, _), (ask, ask_size, _) in both)

    @property
    def bid(self) -> Decimal:
        """The best one; 0 where there is none."""
        return self.market.bids[0][0] if self.market.bids else ZERO

    @property
    def ask(self) -> Decimal:
        return self.market.asks[0][0] if self.market.asks else ZERO

    @property
    def spread(self) -> Decimal:
        return self.ask - self.bid

    @property
    def average(self) -> Decimal:
        return round(self.market.average_price, self.named.decimals)

    def _levels(self, side: Iterable[tuple[Decimal, Decimal, int]]) -> Iterator[tuple[Decimal, int, int]]:
        return ((price, self.named.wire_quantity(quantity), orders) for price, quantity, orders in side)


def change(market: MarketView) -> tuple[Decimal, float]:
    """Return how far the last price is from the previous close, and that in percent."""
    moved = market.last_price - market.close
    return moved, float(moved / market.close * 100) if market.close else 0
