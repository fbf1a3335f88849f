from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.types import VenueRejectError
from dragoman.errors import ErrorKind
from dragoman.model import OrderType, Product, Segment, Side, TimeInForce, Variety
from reference.venue_kit import (
    CALL,
    FUTURE,
    SHARE,
    SHARE_LISTING,
    START,
    limit,
    make,
    put,
    quiet_venue,
    refused,
    settle,
)

BUY, SELL = Side.BUY, Side.SELL


@pytest.mark.parametrize(
    ("order", "kind", "text"),
    [
        (limit(BUY, 10, "100.03"), ErrorKind.INVALID_PRICE_TICK, "multiple of the tick size 0.05"),
        (limit(BUY, 10, "110.05"), ErrorKind.PRICE_OUT_OF_BAND, "outside the circuit limits 90.00 to 110.00"),
        (limit(SELL, 10, "89.95"), ErrorKind.PRICE_OUT_OF_BAND, "89.95"),
        (limit(BUY, 0, "100"), ErrorKind.INVALID_QUANTITY, "positive multiple of the lot size 1"),
        (limit(BUY, -5, "100"), ErrorKind.INVALID_QUANTITY, "-5"),
        (limit(BUY, 75, "100", FUTURE), ErrorKind.INVALID_QUANTITY, "lot size 50"),
        (limit(BUY, 10, "NaN"), ErrorKind.BAD_REQUEST, "expected a positive number"),
        (limit(BUY, 10, "0"), ErrorKind.BAD_REQUEST, "price is 0"),
        (make(BUY, 10, OrderType.LIMIT), ErrorKind.BAD_REQUEST, "price is None"),
        (limit(BUY, 10**40, "100"), ErrorKind.INVALID_QUANTITY, "positive multiple"),
        (limit(BUY, 10, "1e40"), ErrorKind.PRICE_OUT_OF_BAND, "outside"),
        (limit(BUY, 5001, "100"), ErrorKind.FREEZE_QTY_EXCEEDED, "freeze quantity 5000"),
        (limit(BUY, 10, "100", product=Product.CARRY), ErrorKind.NOT_SUPPORTED, "offered: DELIVERY, INTRADAY"),
        (limit(BUY, 10, "100", display_quantity=D(11)), ErrorKind.INVALID_QUANTITY, "disclosed quantity 11"),
        (limit(BUY, 10, "100", "NSE:NOWHERE"), ErrorKind.INSTRUMENT_NOT_FOUND, "'NSE:NOWHERE'"),
        (limit(BUY, 10, "100", time_in_force=TimeInForce.GTD), ErrorKind.NOT_SUPPORTED, "use DAY, GTC, IOC or FOK"),
        (limit(BUY, 10, "100", variety=Variety.AUCTION), ErrorKind.NOT_SUPPORTED, "AUCTION"),
        (make(BUY, 10, OrderType.TRAILING_STOP_MARKET), ErrorKind.NOT_SUPPORTED, "TRAILING_STOP_MARKET"),
        (make(BUY, 10, OrderType.MARKET, protection=D(101)), ErrorKind.BAD_REQUEST, "at most 100"),
        (make(BUY, 10, OrderType.STOP_MARKET), ErrorKind.BAD_REQUEST, "trigger price is None"),
        (
            make(BUY, 10, OrderType.STOP_MARKET, trigger_price=D("100.01")),
            ErrorKind.INVALID_PRICE_TICK,
            "trigger price 100.01",
        ),
        (
            make(BUY, 10, OrderType.STOP_LIMIT, trigger_price=D("102"), price=D("101.95")),
            ErrorKind.BAD_REQUEST,
            "the price must be at or above the trigger",
        ),
        (
            make(SELL, 10, OrderType.STOP_LIMIT, trigger_price=D("98"), price=D("98.05")),
            ErrorKind.BAD_REQUEST,
            "the price must be at or below the trigger",
        ),
    ],
)
def test_malformed_order_is_refused_and_leaves_nothing(order, kind, text):
    found, words = refused(quiet_venue(), order)
    assert found is kind
    assert text in words


def test_prices_at_the_edges_of_the_band_are_taken():
    venue = quiet_venue()
    put(venue, limit(BUY, 1, "90"))
    put(venue, limit(SELL, 1, "110"))
    view = venue.market(SHARE)
    assert (view.bids[0][0], view.asks[0][0]) == (view.band_low, view.band_high) == (90, 110)


def test_market_orders_ignore_a_price():
    venue = quiet_venue()
    order_id = venue.submit("A", make(BUY, 1, OrderType.MARKET, price=D("0.01")), venue.now_ns)
    assert venue.order("A", order_id).order.price is None


def test_unknown_account_is_refused():
    venue = quiet_venue()
    with pytest.raises(VenueRejectError, match="no account 'Z'"):
        venue.submit("Z", limit(BUY, 1, "100"), venue.now_ns)


def test_segment_needs_a_pool():
    venue = Venue(1, START, quiet=True)
    venue.list(SHARE_LISTING)
    venue.open_account("A", {Segment.COMMODITY: D(1000)})
    kind, text = refused(venue, limit(BUY, 1, "100"))
    assert kind is ErrorKind.PERMISSION_DENIED
    assert "segment EQUITY is not enabled" in text


def test_contract_trades_through_its_last_day_and_not_after():
    last_day = int(datetime(2025, 12, 30, 18, 29, tzinfo=UTC).timestamp()) * 10**9  # a minute to midnight in India
    venue = quiet_venue()
    venue.submit("A", limit(BUY, 50, "99", FUTURE), last_day)
    venue.advance(last_day + 120 * 10**9)
    kind, text = refused(venue, limit(BUY, 50, "99", FUTURE))
    assert kind is ErrorKind.INSTRUMENT_NOT_TRADABLE
    assert "expired on 2025-12-30" in text


def test_missing_margin_is_refused_with_numbers():
    venue = quiet_venue(cash=D(1000))
    put(venue, limit(BUY, 20, "100"))  # 400 of 1000
    kind, text = refused(venue, limit(BUY, 31, "100"))
    assert kind is ErrorKind.INSUFFICIENT_MARGIN
    assert text == "Insufficient funds in EQUITY: required 620.00, available 600.00"
    assert refused(venue, limit(BUY, 30, "100.05"))[1].endswith("required 600.30, available 600.00")
    put(venue, limit(BUY, 30, "100"))
    assert venue.funds("A")[Segment.EQUITY].net == 0


def test_closing_orders_need_no_margin():
    venue = quiet_venue(cash=D(400))
    venue.place_external(SHARE, SELL, D(20), D("100"))
    put(venue, limit(BUY, 20, "100"))
    assert venue.funds("A")[Segment.EQUITY].net == 0
    put(venue, limit(SELL, 20, "101"))
    kind, _ = refused(venue, limit(SELL, 30, "100"))
    assert kind is ErrorKind.INSUFFICIENT_MARGIN


def test_growing_an_order_is_checked_for_margin():
    venue = quiet_venue(cash=D(1000))
    order_id = put(venue, limit(BUY, 40, "100"))
    with pytest.raises(VenueRejectError, match=r"required 220\.00, available 200\.00"):
        venue.modify("A", order_id, venue.now_ns, quantity=D(51))
    venue.modify("A", order_id, venue.now_ns, quantity=D(50))
    assert venue.funds("A")[Segment.EQUITY].blocked == 1000  # at once, while the change is in flight
    settle(venue)
    venue.modify("A", order_id, venue.now_ns, quantity=D(10))
    assert venue.funds("A")[Segment.EQUITY].blocked == 1000  # until the exchange has it
    settle(venue)
    assert venue.funds("A")[Segment.EQUITY].blocked == 200


def test_change_in_flight_counts_the_larger_quantity_at_the_higher_price():
    venue = quiet_venue(cash=D(205))
    order_id = put(venue, limit(BUY, 10, "100"))
    with pytest.raises(VenueRejectError, match=r"required 10\.00, available 5\.00"):
        venue.modify("A", order_id, venue.now_ns, quantity=D(5), price=D("105"))
    venue.modify("A", order_id, venue.now_ns, quantity=D(5), price=D("102"))
    assert venue.funds("A")[Segment.EQUITY].blocked == 204
    settle(venue)
    assert venue.funds("A")[Segment.EQUITY].blocked == 102


def test_losses_reduce_what_can_be_used():
    venue = quiet_venue(cash=D(1000))
    venue.place_external(SHARE, SELL, D(20), D("100"))
    put(venue, limit(BUY, 20, "100"))
    venue.set_price(SHARE, D("90"))
    funds = venue.funds("A")[Segment.EQUITY]
    assert (funds.used, funds.unrealised, funds.net) == (400, -200, 400)
    kind, text = refused(venue, limit(BUY, 21, "100"))
    assert kind is ErrorKind.INSUFFICIENT_MARGIN
    assert "available 400.00" in text


def test_delivery_sells_need_holdings_or_todays_buys():
    venue = quiet_venue()
    venue.set_holding("A", SHARE, D(10), D("80"))
    sell = limit(SELL, 11, "100", product=Product.DELIVERY)
    kind, text = refused(venue, sell)
    assert kind is ErrorKind.INSUFFICIENT_HOLDINGS
    assert "10 free to sell, 11 wanted" in text
    venue.place_external(SHARE, SELL, D(1), D("99"))
    put(venue, limit(BUY, 1, "99", product=Product.DELIVERY))
    order_id = put(venue, sell)
    assert refused(venue, limit(SELL, 1, "100", product=Product.DELIVERY))[0] is ErrorKind.INSUFFICIENT_HOLDINGS
    with pytest.raises(VenueRejectError, match="11 free to sell, 12 wanted"):
        venue.modify("A", order_id, venue.now_ns, quantity=D(12))
    venue.cancel("A", order_id, venue.now_ns)
    settle(venue)
    put(venue, limit(SELL, 5, "100", product=Product.DELIVERY))


def test_option_writer_is_refused_without_margin_and_buyer_pays_the_premium():
    venue = quiet_venue(cash=D(700))
    kind, text = refused(venue, limit(SELL, 50, "4", CALL))  # 0.15 x strike 100 x 50
    assert kind is ErrorKind.INSUFFICIENT_MARGIN
    assert "required 750.00" in text
    put(venue, limit(BUY, 150, "4", CALL))
    assert venue.funds("A")[Segment.EQUITY].blocked == 600
