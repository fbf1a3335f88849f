"""Pairs and perpetuals on the venue: fractions of a coin, trades settled at once, orders that outlive the day."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.types import VenueOrder, VenueRejectError
from dragoman.emulator.venue.universe_crypto import crypto_universe
from dragoman.errors import ErrorKind
from dragoman.model import CanonicalId, OrderStatus, OrderType, Product, Segment, Side, TimeInForce
from dragoman.plugin.limits import period_ns

NOW = 1_767_254_400_000_000_000
BTC, PERP = "PLATFORM:BTC/USDT", "PLATFORM:BTC/USDT=PERP"
WALLET = Decimal(100_000)


@pytest.fixture
def venue():
    venue = Venue(7, NOW, latency_ns=0)
    for listing in crypto_universe("PLATFORM", seed=7, perpetuals="PLATFORMPERP"):
        venue.list(listing)
    venue.open_account("A", {Segment.ALL: WALLET, Segment.FO: WALLET})
    return venue


def submit(venue, side, quantity, *, instrument=BTC, product=Product.DELIVERY, **more):
    order = VenueOrder(
        instrument_id=instrument,
        side=side,
        quantity=Decimal(quantity),
        order_type=OrderType.LIMIT if more.get("price") else OrderType.MARKET,
        product=product,
        **more,
    )
    order_id = venue.submit("A", order, venue.now_ns)
    venue.advance(venue.now_ns)
    return venue.order("A", order_id)


def test_every_id_is_canonical_and_every_price_on_its_grid():
    listings = crypto_universe("PLATFORM", perpetuals="PLATFORMPERP")
    assert {str(CanonicalId.parse(one.instrument.instrument_id)) for one in listings} == {
        one.instrument.instrument_id for one in listings
    }
    for one in listings:
        assert one.reference % one.instrument.tick_size == 0
        assert one.depth_quantity % one.instrument.lot_size == 0


def test_a_fraction_bought_is_held_and_paid_at_once(venue):
    state = submit(venue, Side.BUY, "0.05")
    assert state.status is OrderStatus.FILLED
    held = {one.instrument_id: one.quantity for one in venue.holdings("A")}
    paid = sum(fill.quantity * fill.price for fill in venue.fills("A"))
    assert held == {BTC: Decimal("0.05")}
    assert venue.funds("A")[Segment.ALL].net == WALLET - paid
    assert venue.ledger("A")["problems"] == []


def test_what_a_sale_brought_can_be_spent_at_once(venue):
    submit(venue, Side.BUY, "0.5")
    before = venue.funds("A")[Segment.ALL].net
    submit(venue, Side.SELL, "0.2")
    assert venue.funds("A")[Segment.ALL].net > before + 15_000
    assert [one.quantity for one in venue.holdings("A")] == [Decimal("0.3")]
    assert venue.ledger("A")["problems"] == []


def test_more_coins_than_held_cannot_be_sold(venue):
    submit(venue, Side.BUY, "0.1")
    with pytest.raises(VenueRejectError) as refused:
        submit(venue, Side.SELL, "0.10001")
    assert refused.value.kind is ErrorKind.INSUFFICIENT_HOLDINGS


def test_a_perpetual_is_held_on_margin_in_its_own_wallet(venue):
    submit(venue, Side.SELL, "0.5", instrument=PERP, product=Product.MARGIN)
    assert [(one.instrument_id, one.quantity) for one in venue.positions("A")] == [(PERP, Decimal("-0.5"))]
    assert venue.funds("A")[Segment.ALL].net == WALLET
    assert 0 < venue.funds("A")[Segment.FO].used < WALLET / 10


def test_fill_or_kill_trades_whole_or_not_at_all(venue):
    market = venue.market(BTC)
    all_of_it = sum(quantity for _, quantity, _ in market.asks)
    assert all_of_it * market.asks[-1][0] > WALLET
    best, size, _ = market.asks[0]
    killed = submit(venue, Side.BUY, size + Decimal("0.00001"), price=best, time_in_force=TimeInForce.FOK)
    assert (killed.status, killed.filled_quantity) == (OrderStatus.CANCELED, 0)
    assert submit(venue, Side.BUY, size, price=best, time_in_force=TimeInForce.FOK).status is OrderStatus.FILLED


def test_post_only_never_takes(venue):
    best = venue.market(BTC).asks[0][0]
    assert submit(venue, Side.BUY, "0.01", price=best, post_only=True).status is OrderStatus.CANCELED
    tick = Decimal("0.01")
    assert submit(venue, Side.BUY, "0.01", price=best - tick, post_only=True).status is OrderStatus.OPEN


def test_good_till_canceled_outlives_the_day(venue):
    low = venue.market(BTC).band_low
    kept = submit(venue, Side.BUY, "0.01", price=low, time_in_force=TimeInForce.GTC)
    ended = submit(venue, Side.BUY, "0.01", price=low)
    venue.roll_day(venue.now_ns + period_ns("1d"))
    assert [venue.order("A", one.order_id).status for one in (kept, ended)] == [OrderStatus.OPEN, OrderStatus.EXPIRED]


@pytest.mark.parametrize(("side", "step"), [(Side.BUY, -100), (Side.SELL, 100)])
def test_an_order_if_touched_waits_for_the_better_price(venue, side, step):
    submit(venue, Side.BUY, "0.1")
    last = venue.market(BTC).last_price
    trigger = last + step
    order = VenueOrder(
        instrument_id=BTC,
        side=side,
        quantity=Decimal("0.01"),
        order_type=OrderType.MARKET_IF_TOUCHED,
        product=Product.DELIVERY,
        trigger_price=trigger,
    )
    order_id = venue.submit("A", order, venue.now_ns)
    venue.advance(venue.now_ns)
    waits = venue.order("A", order_id).status
    venue.set_price(BTC, trigger)
    venue.advance(venue.now_ns)
    assert (waits, venue.order("A", order_id).status) == (OrderStatus.TRIGGER_PENDING, OrderStatus.FILLED)
