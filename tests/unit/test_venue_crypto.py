"""Pairs and perpetuals on the venue: fractions of a coin, trades settled at once, orders that outlive the day."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.commission import Commission
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


# -- commissions -------------------------------------------------------------------------------------------------------

RATES = {
    "PLATFORM": Commission(maker=Decimal("0.0005"), taker=Decimal("0.001"), discount=Decimal("0.75")),
    "PLATFORMPERP": Commission(maker=Decimal("0.0002"), taker=Decimal("0.0005")),
}
COIN = "PLATFORM:BNB/USDT"


@pytest.fixture
def charging():
    venue = Venue(7, NOW, latency_ns=0, commissions=RATES)
    for listing in crypto_universe("PLATFORM", seed=7, perpetuals="PLATFORMPERP"):
        venue.list(listing)
    venue.open_account("A", {Segment.ALL: WALLET, Segment.FO: WALLET})
    venue.calm()
    return venue


def owned(venue):
    return {one.instrument_id: one.quantity for one in venue.holdings("A")}


def test_a_buyer_is_charged_in_coins_and_a_seller_in_money(charging):
    submit(charging, Side.BUY, "0.05")
    assert owned(charging) == {BTC: Decimal("0.04995")}
    paid = sum(fill.quantity * fill.price for fill in charging.fills("A"))
    assert charging.funds("A")[Segment.ALL].net == WALLET - paid
    with pytest.raises(VenueRejectError) as refused:  # what was bought is more than what there is
        submit(charging, Side.SELL, "0.05")
    assert refused.value.kind is ErrorKind.INSUFFICIENT_HOLDINGS
    submit(charging, Side.SELL, "0.04995")
    assert owned(charging) == {}
    sales = [fill for fill in charging.fills("A") if fill.side is Side.SELL]
    assert [(fill.fee_asset, fill.fee) for fill in sales] == [
        ("USDT", round(fill.quantity * fill.price / 1000, 8)) for fill in sales
    ]
    got = sum(fill.quantity * fill.price - fill.fee for fill in sales)
    assert charging.funds("A")[Segment.ALL].net == WALLET - paid + got
    ledger = charging.ledger("A")
    assert (ledger["problems"], ledger["cash_flow"]) == ([], got - paid)
    assert ledger["fees"]["BTC"] == Decimal("0.00005")
    charging.roll_day(charging.now_ns)
    assert charging.funds("A")[Segment.ALL].net == WALLET - paid + got


def test_what_commissions_leave_of_a_lot_is_owned_and_cannot_be_sold(charging):
    submit(charging, Side.BUY, "0.01234")
    assert owned(charging) == {BTC: Decimal("0.01232766")}
    with pytest.raises(VenueRejectError):
        submit(charging, Side.SELL, "0.01233")
    submit(charging, Side.SELL, "0.01232")
    assert owned(charging) == {BTC: Decimal("0.00000766")}


def test_who_waits_in_the_book_pays_as_a_maker(charging):
    price = charging.market(BTC).last_price * Decimal("0.99") // 1
    submit(charging, Side.BUY, "0.02", price=price, time_in_force=TimeInForce.GTC)
    charging.set_price(BTC, price - 1)
    (fill,) = charging.fills("A")
    assert (fill.maker, fill.fee, fill.fee_asset) == (True, Decimal("0.00001"), "BTC")


def test_the_venues_own_coin_pays_at_a_discount_as_long_as_there_is_enough_of_it(charging):
    charging.set_holding("A", COIN, Decimal("0.01"), Decimal(800))
    charging.pay_fees_with("A", COIN)
    submit(charging, Side.BUY, "0.05")
    (fill, *rest), coin = charging.fills("A"), charging.market(COIN).last_price
    assert not rest
    assert fill.fee == round(fill.quantity * fill.price * Decimal("0.00075") / coin, 8)
    assert owned(charging) == {BTC: Decimal("0.05"), COIN: Decimal("0.01") - fill.fee}
    submit(charging, Side.BUY, "0.5")  # more than is left of it
    assert charging.fills("A")[-1].fee_asset == "BTC"
    assert owned(charging)[COIN] == Decimal("0.01") - charging.ledger("A")["fees"]["BNB"] >= 0
    submit(charging, Side.BUY, "0.01", instrument=PERP, product=Product.MARGIN)  # from a wallet that has none of it
    assert charging.fills("A")[-1].fee_asset == "USDT"


def test_a_perpetual_is_charged_in_the_money_of_its_wallet(charging):
    submit(charging, Side.BUY, "0.1", instrument=PERP, product=Product.MARGIN)
    fees = sum(fill.fee for fill in charging.fills("A"))
    value = sum(fill.quantity * fill.price for fill in charging.fills("A"))
    funds = charging.funds("A")[Segment.FO]
    assert fees == value * Decimal("0.0005")
    assert (funds.fees, funds.net) == (fees, WALLET - fees - funds.used + min(funds.unrealised, 0))
