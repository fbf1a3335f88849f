from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D
from fractions import Fraction

import pytest

from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.margin import to_decimal
from dragoman.model import OrderStatus, Product, Segment, Side
from reference.venue_kit import (
    CALL,
    FUTURE,
    SHARE,
    SHARE_LISTING,
    START,
    limit,
    put,
    quiet_venue,
    settle,
)

BUY, SELL = Side.BUY, Side.SELL
EQUITY = Segment.EQUITY


def trade(venue, side, quantity, price, instrument_id=SHARE, **fields):
    """Fill an order of account A at `price` against an outside participant."""
    venue.place_external(instrument_id, side.opposite, D(quantity), D(price))
    order_id = put(venue, limit(side, quantity, price, instrument_id, **fields))
    assert venue.order("A", order_id).status is OrderStatus.FILLED
    return order_id


def position(venue, instrument_id=SHARE):
    (found,) = (p for p in venue.positions("A") if p.instrument_id == instrument_id)
    return found


def test_average_cost_realises_on_the_way_out_and_turns_around():
    venue = quiet_venue()
    trade(venue, BUY, 10, "100")
    trade(venue, BUY, 20, "103")
    assert position(venue).average_price == 102
    trade(venue, SELL, 15, "104")
    assert (position(venue).quantity, position(venue).realised) == (15, 30)
    trade(venue, SELL, 25, "101")
    turned = position(venue)
    assert (turned.quantity, turned.average_price, turned.realised) == (-10, 101, 15)
    assert (turned.day_buy_quantity, turned.day_buy_value) == (30, 3060)
    assert (turned.day_sell_quantity, turned.day_sell_value) == (40, 4085)
    assert venue.funds("A")[EQUITY].realised == 15


def test_products_are_separate_positions():
    venue = quiet_venue()
    trade(venue, BUY, 10, "100")
    trade(venue, BUY, 5, "100", product=Product.DELIVERY)
    assert {(p.product, p.quantity) for p in venue.positions("A")} == {(Product.INTRADAY, 10), (Product.DELIVERY, 5)}


def test_multiplier_and_lot_scale_money_but_not_prices():
    venue = quiet_venue()
    trade(venue, BUY, 100, "100", FUTURE)
    venue.set_price(FUTURE, D("101"))
    held = position(venue, FUTURE)
    assert (held.average_price, held.day_buy_value, held.unrealised) == (100, 20_000, 200)
    assert venue.funds("A")[EQUITY].used == 3000  # 0.15 x 20 000
    assert venue.market(FUTURE).turnover == 30_100  # with the one lot of 50 that moved the price


def test_worst_of_both_sides_is_blocked_once():
    venue = quiet_venue()
    put(venue, limit(BUY, 10, "99"))
    assert venue.funds("A")[EQUITY].blocked == 198
    put(venue, limit(SELL, 10, "105"))
    assert venue.funds("A")[EQUITY].blocked == 210


def test_orders_on_top_of_a_position_block_only_what_they_add():
    venue = quiet_venue()
    trade(venue, BUY, 10, "100")
    funds = venue.funds("A")[EQUITY]
    assert (funds.used, funds.blocked) == (200, 0)
    put(venue, limit(SELL, 10, "105"))
    assert venue.funds("A")[EQUITY].blocked == 0  # closes
    put(venue, limit(SELL, 20, "105"))
    assert venue.funds("A")[EQUITY].blocked == 220  # 20 short at 105 need 420, 200 are used already
    put(venue, limit(BUY, 20, "95"))
    assert venue.funds("A")[EQUITY].blocked == 380


@pytest.mark.parametrize("ending", ["cancel", "expire", "reject", "fill and close"])
def test_blocked_money_comes_back(ending):
    venue = quiet_venue()
    opening = venue.funds("A")[EQUITY].net
    if ending == "reject":
        venue.halt(SHARE)
    order_id = venue.submit("A", limit(BUY, 10, "99"), venue.now_ns)
    assert venue.funds("A")[EQUITY].blocked == 198
    settle(venue)
    if ending == "cancel":
        venue.cancel("A", order_id, venue.now_ns)
        settle(venue)
    elif ending == "expire":
        venue.roll_day(venue.now_ns)
    elif ending == "fill and close":
        venue.place_external(SHARE, SELL, D(10), D("99"))
        assert (venue.funds("A")[EQUITY].blocked, venue.funds("A")[EQUITY].used) == (0, 198)
        trade(venue, SELL, 10, "99")
    funds = venue.funds("A")[EQUITY]
    assert (funds.blocked, funds.used, funds.net) == (0, 0, opening)


def test_partial_fill_moves_money_from_blocked_to_used():
    venue = quiet_venue()
    put(venue, limit(BUY, 10, "100"))
    venue.place_external(SHARE, SELL, D(4), D("100"))
    funds = venue.funds("A")[EQUITY]
    assert (funds.blocked, funds.used) == (120, 80)


def test_long_option_pays_its_premium_and_cannot_lose_more():
    venue = quiet_venue()
    trade(venue, BUY, 50, "4", CALL)
    venue.set_price(CALL, D("2"))
    funds = venue.funds("A")[EQUITY]
    assert (funds.used, funds.used_premium, funds.unrealised) == (200, 200, 0)
    assert position(venue, CALL).unrealised == -100


def test_short_option_pledges_a_part_of_the_strike_and_is_marked():
    venue = quiet_venue()
    trade(venue, SELL, 50, "4", CALL)
    venue.set_price(CALL, D("5"))
    funds = venue.funds("A")[EQUITY]
    assert (funds.used, funds.used_premium, funds.unrealised) == (750, 0, -50)


def test_delivery_is_paid_in_full_and_becomes_a_holding():
    venue = quiet_venue(cash=D(10_000))
    trade(venue, BUY, 30, "100", product=Product.DELIVERY)
    funds = venue.funds("A")[EQUITY]
    assert (funds.used_delivery, funds.used, funds.net) == (3000, 3000, 7000)
    venue.roll_day(venue.now_ns)
    (holding,) = venue.holdings("A")
    assert (holding.instrument_id, holding.quantity, holding.average_price) == (SHARE, 30, 100)
    assert venue.positions("A") == ()
    funds = venue.funds("A")[EQUITY]
    assert (funds.opening, funds.used, funds.net) == (7000, 0, 7000)


def test_holding_that_is_sold_is_credited_when_the_day_settles():
    venue = quiet_venue(cash=D(1000))
    venue.set_holding("A", SHARE, D(30), D("80"))
    trade(venue, SELL, 10, "100", product=Product.DELIVERY)
    assert (position(venue).quantity, venue.funds("A")[EQUITY].net) == (-10, 1000)
    venue.roll_day(venue.now_ns)
    (holding,) = venue.holdings("A")
    assert (holding.quantity, holding.average_price) == (20, 80)
    assert venue.funds("A")[EQUITY].opening == 2000


def test_carried_position_comes_overnight_at_its_average():
    venue = quiet_venue(cash=D(10_000))
    trade(venue, BUY, 100, "100", FUTURE)
    trade(venue, SELL, 50, "102", FUTURE)
    venue.roll_day(venue.now_ns)
    held = position(venue, FUTURE)
    assert (held.overnight_quantity, held.overnight_price, held.quantity) == (50, 100, 50)
    assert (held.day_buy_quantity, held.day_sell_quantity, held.realised) == (0, 0, 0)
    funds = venue.funds("A")[EQUITY]
    assert (funds.opening, funds.realised, funds.used) == (10_200, 0, 1500)
    trade(venue, SELL, 50, "101", FUTURE)
    held = position(venue, FUTURE)
    assert (held.quantity, held.overnight_quantity, held.realised) == (0, 50, 100)
    venue.roll_day(venue.now_ns)
    assert venue.positions("A") == ()
    assert venue.funds("A")[EQUITY].opening == 10_300


def test_own_pool_comes_before_the_shared_one():
    venue = Venue(1, START, quiet=True)
    venue.list(SHARE_LISTING)
    other = replace(SHARE_LISTING.instrument, instrument_id="MCX:GOLD@20260105")
    venue.list(replace(SHARE_LISTING, instrument=other, segment=Segment.COMMODITY))
    venue.open_account("A", {Segment.EQUITY: D(1000), Segment.COMMODITY: D(1000)})
    put(venue, limit(BUY, 10, "100", "MCX:GOLD@20260105", product=Product.INTRADAY))
    assert {name: funds.blocked for name, funds in venue.funds("A").items()} == {EQUITY: 0, Segment.COMMODITY: 200}


def test_pay_in_can_be_used_at_once_and_is_cash_the_next_day():
    venue = quiet_venue(cash=D(100))
    venue.pay_in("A", EQUITY, D("50.25"))
    assert venue.funds("A")[EQUITY].net == D("150.25")
    venue.roll_day(venue.now_ns)
    assert (venue.funds("A")[EQUITY].opening, venue.funds("A")[EQUITY].payin) == (D("150.25"), 0)


def test_ledger_recounts_the_account_from_its_fills():
    venue = quiet_venue("A", "B")
    buy = put(venue, limit(BUY, 10, "100"))
    sell = put(venue, limit(SELL, 4, "100"), "B")
    venue.place_external(SHARE, SELL, D(2), D("100"))
    ledger = venue.ledger("A")
    assert ledger["problems"] == []
    assert [(fill["quantity"], fill["counterparty"]) for fill in ledger["fills"]] == [(4, sell), (2, None)]
    assert ledger["cash_flow"] == -600
    (row,) = ledger["positions"]
    assert (row["quantity"], row["buy_value"]) == (6, 600)
    (order,) = ledger["orders"]
    assert (order["order_id"], order["status"], order["filled_quantity"]) == (buy, "PARTIALLY_FILLED", 6)
    assert venue.ledger("B")["fills"][0]["counterparty"] == buy


def test_ledger_moves_settled_deliveries_to_holdings():
    venue = quiet_venue()
    trade(venue, BUY, 10, "100", product=Product.DELIVERY)
    venue.roll_day(venue.now_ns)
    trade(venue, BUY, 5, "101", product=Product.DELIVERY)
    ledger = venue.ledger("A")
    assert (ledger["holdings"], [row["quantity"] for row in ledger["positions"]]) == ({SHARE: D(10)}, [D(5)])
    assert ledger["problems"] == []


def test_ledger_names_what_does_not_agree():
    venue = quiet_venue()
    order_id = trade(venue, BUY, 10, "100")
    account = venue._account("A")
    account.positions[SHARE, Product.INTRADAY].lots += 1
    account.orders[order_id].state.filled_quantity = D(9)
    assert venue.ledger("A")["problems"] == [
        f"order {order_id} says 9 filled, its fills say 10",
        f"position {SHARE} INTRADAY is 11, its fills sum to 10",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(100), "100"),
        (Fraction(1, 4), "0.25"),
        (Fraction(-1, 3), "-0.33333333"),
        (Fraction(1, 2 * 10**8), "0"),
        (Fraction(3, 2 * 10**8), "2E-8"),
    ],
)
def test_money_is_the_shortest_decimal_to_eight_places(value, text):
    assert str(to_decimal(value)) == text
