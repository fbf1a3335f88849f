"""Accounts: positions at average cost, holdings, and money per segment.

Everything is exact: tick-lots are whole numbers, average costs are fractions, and `Decimal` is made at the face. Totals
are kept as they change and equal what a recount from the fills gives (`ledger` recounts).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from dragoman.emulator.venue.commission import Charged
from dragoman.emulator.venue.margin import NOTHING, Requirement, Terms, to_decimal
from dragoman.emulator.venue.market import Market
from dragoman.emulator.venue.types import VenueEvent, VenueFill, VenueFunds, VenueHolding, VenuePosition
from dragoman.model import Product, Segment

if TYPE_CHECKING:
    from dragoman.emulator.venue.live_order import LiveOrder

Key = tuple[str, Product]
_COUNTED = "lots cost realised overnight_lots overnight_cost buy_lots buy_value sell_lots sell_value".split()


@dataclass(slots=True)
class Held:
    """One (instrument, product): net lots, their cost, what was realised. Costs are tick-lots, signed as the lots."""

    market: Market
    product: Product
    terms: Terms
    lots: int = 0
    cost: Fraction = NOTHING
    realised: Fraction = NOTHING
    overnight_lots: int = 0
    overnight_cost: Fraction = NOTHING
    buy_lots: int = 0
    buy_value: int | Fraction = 0
    sell_lots: int = 0
    sell_value: int | Fraction = 0
    orders: dict[str, LiveOrder] = field(default_factory=dict)
    need: Requirement = field(default_factory=Requirement)

    def apply(self, sign: int, lots: int, ticks: int | Fraction) -> Fraction:
        """Book a fill; return what it realised, in tick-lots."""
        if sign > 0:
            self.buy_lots += lots
            self.buy_value += lots * ticks
        else:
            self.sell_lots += lots
            self.sell_value += lots * ticks
        realised = NOTHING
        closing = min(lots, max(0, -sign * self.lots))
        if closing:
            part = self.cost * closing / abs(self.lots)
            realised = -sign * closing * ticks - part
            self.cost -= part
            self.lots += sign * closing
        self.cost += sign * (lots - closing) * ticks
        self.lots += sign * (lots - closing)
        self.realised += realised
        return realised

    def restore(self, before: Held) -> None:
        """Become again what `before`, a copy, says of lots and costs."""
        for name in _COUNTED:
            setattr(self, name, getattr(before, name))

    @property
    def unrealised(self) -> Fraction:
        """Profit of the net lots at the last price, in money."""
        return (self.lots * self.market.last - self.cost) * self.terms.unit

    @property
    def at_risk(self) -> bool:
        """Whether its loss comes out of free money: what is paid in full, or sold out of holdings, is not."""
        return not self.terms.delivery and not (self.terms.paid and self.lots > 0)

    def requirement(self) -> Requirement:
        buys: list[tuple[int, int]] = []
        sells: list[tuple[int, int]] = []
        for order in self.orders.values():
            (buys if order.sign > 0 else sells).append((order.reserved_lots, order.reserved_ticks))
        return self.terms.require(self.lots, self.cost, buys, sells)

    def view(self) -> VenuePosition:
        market, unit = self.market, self.terms.unit
        return VenuePosition(
            instrument_id=market.instrument_id,
            product=self.product,
            overnight_quantity=market.quantity(self.overnight_lots),
            overnight_price=self._average(self.overnight_lots, self.overnight_cost),
            day_buy_quantity=market.quantity(self.buy_lots),
            day_buy_value=to_decimal(self.buy_value * unit),
            day_sell_quantity=market.quantity(self.sell_lots),
            day_sell_value=to_decimal(self.sell_value * unit),
            average_price=self._average(self.lots, self.cost),
            realised=to_decimal(self.realised * unit),
            unrealised=to_decimal(self.unrealised),
        )

    def _average(self, lots: int, cost: Fraction) -> Decimal:
        return to_decimal(cost / lots * Fraction(self.market.tick)) if lots else Decimal(0)


@dataclass(slots=True)
class Pool:
    """Money of one segment."""

    segment: Segment
    opening: Fraction
    payin: Fraction = NOTHING
    collateral_cash: Fraction = NOTHING
    collateral_pledged: Fraction = NOTHING
    realised: Fraction = NOTHING
    fees: Fraction = NOTHING
    used: Fraction = NOTHING
    blocked: Fraction = NOTHING
    premium: Fraction = NOTHING
    delivery: Fraction = NOTHING
    held: dict[Key, Held] = field(default_factory=dict)

    @property
    def unrealised(self) -> Fraction:
        return sum((held.unrealised for held in self.held.values() if held.lots and held.at_risk), NOTHING)

    @property
    def net(self) -> Fraction:
        """Usable money now; `VenueFunds.net` is the same sum."""
        pledged = self.collateral_cash + self.collateral_pledged
        cash = self.opening + self.payin + pledged + self.realised - self.fees
        return cash + min(self.unrealised, NOTHING) - self.blocked - self.used

    def settle(self, held: Held) -> None:
        """Count the requirement of `held` anew after its position or its orders changed."""
        before, now = held.need, held.requirement()
        held.need = now
        self.used += now.used - before.used
        self.blocked += now.blocked - before.blocked
        self.premium += now.premium - before.premium
        self.delivery += now.delivery - before.delivery

    def view(self) -> VenueFunds:
        return VenueFunds(
            segment=self.segment,
            opening=to_decimal(self.opening),
            payin=to_decimal(self.payin),
            collateral_cash=to_decimal(self.collateral_cash),
            collateral_pledged=to_decimal(self.collateral_pledged),
            blocked=to_decimal(self.blocked),
            used=to_decimal(self.used),
            used_premium=to_decimal(self.premium),
            used_delivery=to_decimal(self.delivery),
            realised=to_decimal(self.realised),
            fees=to_decimal(self.fees),
            unrealised=to_decimal(self.unrealised),
        )


@dataclass(slots=True)
class HeldHolding:
    """Securities held: lots and their cost in tick-lots; of the lots, those not delivered yet and those pledged.

    Commissions leave parts of lots behind.
    """

    market: Market
    lots: int | Fraction = 0
    cost: Fraction = NOTHING
    t1_lots: int = 0
    pledged_lots: int = 0

    def view(self) -> VenueHolding:
        average = self.cost / self.lots * Fraction(self.market.tick) if self.lots else NOTHING
        return VenueHolding(
            instrument_id=self.market.instrument_id,
            quantity=to_decimal(self.lots * Fraction(self.market.lot)),
            average_price=to_decimal(average),
            t1_quantity=self.market.quantity(self.t1_lots),
            pledged_quantity=self.market.quantity(self.pledged_lots),
        )


class Account:
    """One customer: pools of money, positions, holdings, orders and what happened to them."""

    def __init__(self, name: str, funds: dict[Segment, Decimal]) -> None:
        self.name = name
        self.pools = {segment: Pool(segment, Fraction(amount)) for segment, amount in funds.items()}
        self.positions: dict[Key, Held] = {}
        self.holdings: dict[str, HeldHolding] = {}
        self.orders: dict[str, LiveOrder] = {}
        self.fills: list[VenueFill] = []
        self.events: list[VenueEvent] = []
        self.conversions: list[tuple[Market, Product, Product, int, Decimal]] = []
        self.settled_conversions = 0
        self.fee_coin: Market | None = None
        """Whose coin commissions are paid with where there is enough of it; None: nothing of the kind."""
        self.settled_fills = 0
        """Fills before the last day roll: their deliveries are holdings now."""

    def pool(self, segment: Segment) -> Pool | None:
        """Return the money an instrument of `segment` trades on: its own pool, else ALL, else EQUITY."""
        for name in (segment, Segment.ALL, Segment.EQUITY):
            if name in self.pools:
                return self.pools[name]
        return None

    def held(self, market: Market, product: Product) -> Held:
        """Return the position, made on first use. The account must have a pool for the segment."""
        key = (market.instrument_id, product)
        held = self.positions.get(key)
        if held is None:
            held = self.positions[key] = Held(market, product, Terms.of(market, product))
            pool = self.pool(market.listing.segment)
            assert pool is not None  # risk refused the order otherwise
            pool.held[key] = held
        return held

    def settle(self, held: Held) -> None:
        """Count anew what `held` ties up."""
        pool = self.pool(held.market.listing.segment)
        assert pool is not None
        pool.settle(held)

    def apply_fill(self, order: LiveOrder, lots: int, ticks: int) -> None:
        """Book a fill in the position and the pool; the order's own count has moved already."""
        held = self.held(order.market, order.state.order.product)
        realised = held.apply(order.sign, lots, ticks)
        pool = self.pool(order.market.listing.segment)
        assert pool is not None
        pool.realised += realised * held.terms.unit
        if order.market.listing.settles_at_once and held.terms.delivery:
            self._settle_delivery(pool, held)
            holding = self.holdings.get(order.market.instrument_id)
            if holding is not None:
                holding.t1_lots = 0
        pool.settle(held)

    def owned(self, market: Market) -> Decimal:
        """Return how much of a coin there is."""
        holding = self.holdings.get(market.instrument_id)
        return holding.view().quantity if holding is not None else Decimal(0)

    def charge(self, market: Market, charged: Charged) -> None:
        """Take the commission of a trade in `market`, which is booked already."""
        if charged.coin is None:
            pool = self.pool(market.listing.segment)
            assert pool is not None
            pool.fees += Fraction(charged.amount)
            return
        holding = self.holdings[charged.coin.instrument_id]
        lots = Fraction(charged.amount) / Fraction(charged.coin.lot)
        holding.cost -= holding.cost * lots / holding.lots
        holding.lots -= lots
        if not holding.lots:
            del self.holdings[charged.coin.instrument_id]

    def sellable(self, market: Market) -> int:
        """Return the lots a delivery order may still sell: holdings and today's buys, less sells that are open."""
        holding = self.holdings.get(market.instrument_id)
        lots = math.floor(holding.lots - holding.pledged_lots) if holding else 0
        held = self.positions.get((market.instrument_id, Product.DELIVERY))
        if held is not None:
            lots += held.lots - sum(order.reserved_lots for order in held.orders.values() if order.sign < 0)
        return lots

    def convert(self, market: Market, old: Product, new: Product, lots: int, *, overnight: bool) -> bool:
        """Move `lots` (signed) of a position to another product at its average cost; False where money is short.

        What is moved was never a trade of the new product: `conversions` remembers it for the recount.
        """
        source, target = self.held(market, old), self.held(market, new)
        pool = self.pool(market.listing.segment)
        assert pool is not None
        kept = replace(source), replace(target), pool.realised
        net = pool.net
        part = source.cost * lots / source.lots
        source.lots -= lots
        source.cost -= part
        if overnight:
            carried = source.overnight_cost * lots / source.overnight_lots
            source.overnight_lots -= lots
            source.overnight_cost -= carried
            target.overnight_lots += lots
            target.overnight_cost += carried
            target.lots += lots
            target.cost += part
        else:
            if lots > 0:
                source.buy_lots -= lots
                source.buy_value -= part
            else:
                source.sell_lots += lots
                source.sell_value += part
            pool.realised += target.apply(1 if lots > 0 else -1, abs(lots), part / lots) * target.terms.unit
        pool.settle(source)
        pool.settle(target)
        if pool.net < min(net, NOTHING):
            for held, before in zip((source, target), kept[:2], strict=True):
                held.restore(before)
                pool.settle(held)
            pool.realised = kept[2]
            return False
        self.conversions.append((market, old, new, lots, to_decimal(part * source.terms.unit)))
        return True

    def roll_day(self) -> None:
        """Settle the day.

        Realised profit and pay-ins become opening cash. Delivery positions become holdings, paid for or credited. Every
        other net position is carried at its average cost, intraday ones too: the venue squares nothing off.
        """
        for holding in self.holdings.values():
            holding.t1_lots = 0
        for pool in self.pools.values():
            for key, held in list(pool.held.items()):
                if held.terms.delivery:
                    self._settle_delivery(pool, held)
                held.overnight_lots, held.overnight_cost = held.lots, held.cost
                held.buy_lots = held.buy_value = held.sell_lots = held.sell_value = 0
                held.realised = NOTHING
                pool.settle(held)
                if not held.lots:
                    del pool.held[key], self.positions[key]
            pool.opening += pool.realised + pool.payin - pool.fees
            pool.realised = pool.payin = pool.fees = NOTHING
        self.settled_fills = len(self.fills)
        self.settled_conversions = len(self.conversions)

    def _settle_delivery(self, pool: Pool, held: Held) -> None:
        """Pay for what was bought, or take the money of what was sold; the securities change hands."""
        pool.opening -= held.cost * held.terms.unit
        market = held.market
        holding = self.holdings.setdefault(market.instrument_id, HeldHolding(market))
        if held.lots >= 0:
            holding.cost += held.cost
        elif holding.lots:
            holding.cost += holding.cost * held.lots / holding.lots
        holding.lots += held.lots
        holding.t1_lots = max(0, held.lots)
        if not holding.lots:
            del self.holdings[market.instrument_id]
        held.lots, held.cost = 0, NOTHING
