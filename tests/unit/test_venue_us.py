"""The United States universe: fractions of shares, options by the contract, one product, shorts on margin."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.types import VenueOrder, VenueRejectError
from dragoman.emulator.venue.universe_crypto import crypto_universe
from dragoman.emulator.venue.universe_us import us_universe
from dragoman.model import CanonicalId, InstrumentType, OrderType, Product, Segment, Side

START = 1_700_000_000_000_000_000
AAPL = "US:AAPL"


@pytest.fixture
def venue():
    venue = Venue(7, START)
    for listing in us_universe(START):
        venue.list(listing)
    for listing in crypto_universe("ALPACA", quote="USD"):
        venue.list(replace(listing, margined=True, settles_at_once=False))
    venue.open_account("A", {Segment.ALL: Decimal(100_000)})
    venue.calm()
    return venue


def order(instrument_id, side, quantity):
    return VenueOrder(
        instrument_id=instrument_id,
        side=side,
        quantity=Decimal(quantity),
        order_type=OrderType.MARKET,
        product=Product.DELIVERY,
    )


def settle(venue, *orders):
    for one in orders:
        venue.submit("A", one, venue.now_ns)
    venue.advance(venue.now_ns + 1_000_000_000)


def test_ids_are_canonical_and_agree_with_their_terms():
    for listing in us_universe(START):
        one = listing.instrument
        ident = CanonicalId.parse(one.instrument_id)
        assert (str(ident), ident.venue) == (one.instrument_id, "US")
        assert (ident.expiry, ident.strike, ident.option_type) == (one.expiry, one.strike, one.option_type)
        assert one.multiplier == (100 if one.instrument_type is InstrumentType.OPTION else 1)


def test_a_fraction_of_a_share_trades_to_the_billionth(venue):
    settle(venue, order(AAPL, Side.BUY, "1.234567891"))
    (position,) = venue.positions("A")
    assert position.quantity == Decimal("1.234567891")
    assert venue.ledger("A")["problems"] == []


def test_makers_quote_whole_shares(venue):
    market = venue.market(AAPL)
    assert all(quantity % 1 == 0 for _, quantity, _ in (*market.bids, *market.asks))
    assert len(market.bids) == 5


def test_shares_are_sold_short_on_margin_and_carried_over_night(venue):
    settle(venue, order(AAPL, Side.SELL, 10))
    venue.roll_day(venue.now_ns)
    (position,) = venue.positions("A")
    assert (position.quantity, position.overnight_quantity) == (-10, -10)
    assert not venue.holdings("A")
    assert venue.ledger("A")["problems"] == []


def test_a_share_ties_up_its_value_and_an_option_that_of_a_hundred_shares(venue):
    option = next(one for one in venue.listings() if one.instrument.expiry is not None)
    settle(venue, order(AAPL, Side.BUY, 10), order(option.instrument.instrument_id, Side.BUY, 2))
    share, bought = (fill for fill in venue.fills("A"))
    used = venue.funds("A")[Segment.ALL].used
    assert used == share.price * 10 + bought.price * 200


def test_a_margined_pair_is_a_position_and_takes_its_full_value(venue):
    settle(venue, order("ALPACA:BTC/USD", Side.BUY, "0.01"))
    (position,) = venue.positions("A")
    assert (position.quantity, position.instrument_id) == (Decimal("0.01"), "ALPACA:BTC/USD")


def test_an_order_beyond_the_money_is_refused(venue):
    with pytest.raises(VenueRejectError, match="Insufficient funds"):
        venue.submit("A", order(AAPL, Side.BUY, 5000), venue.now_ns)
