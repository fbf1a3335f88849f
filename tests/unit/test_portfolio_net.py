"""Positions as sums of fills, and where the broker says something else."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import permutations

from dragoman.model import Fill, Position, Product, Side
from dragoman.portfolio import Discrepancy, compare, net_positions

INFY = "NSE:INFY"
KEY = (INFY, Product.INTRADAY, "NET")


def fill(side: str, quantity: int, price: str, product: Product = Product.INTRADAY, name: str = INFY) -> Fill:
    return Fill(
        trade_id=f"{side}{quantity}{price}",
        order_id="1",
        instrument_id=name,
        side=Side(side),
        quantity=Decimal(quantity),
        price=Decimal(price),
        product=product,
    )


def position(quantity: int, bought: int = 0, sold: int = 0, overnight: int = 0, name: str = INFY) -> Position:
    return Position(
        instrument_id=name,
        product=Product.INTRADAY,
        quantity=Decimal(quantity),
        overnight_quantity=Decimal(overnight),
        day_buy_quantity=Decimal(bought),
        day_sell_quantity=Decimal(sold),
    )


FILLS = [fill("BUY", 10, "100.05"), fill("SELL", 4, "101.10"), fill("BUY", 1, "99.95")]


def test_a_position_is_the_sum_of_fills_in_any_order():
    for arrival in permutations(FILLS):
        (net,) = net_positions(arrival).values()
        assert (net.quantity, net.buy_quantity, net.sell_quantity) == (7, 11, 4)
        assert net.day_cash == Decimal("404.40") - Decimal("1100.45")


def test_products_and_instruments_are_apart():
    nets = net_positions(
        [fill("BUY", 10, "100"), fill("SELL", 3, "100", Product.DELIVERY), fill("BUY", 2, "5", name="NSE:SBIN")]
    )
    assert {key: net.quantity for key, net in nets.items()} == {
        KEY: 10,
        (INFY, Product.DELIVERY, "NET"): -3,
        ("NSE:SBIN", Product.INTRADAY, "NET"): 2,
    }


def test_what_was_there_before_the_day_counts():
    nets = net_positions(FILLS, {KEY: Decimal(-7), ("NSE:SBIN", Product.DELIVERY, "NET"): Decimal(5)})
    assert nets[KEY].quantity == 0
    assert nets["NSE:SBIN", Product.DELIVERY, "NET"].quantity == 5


def test_equal_books_have_no_discrepancy():
    assert compare([position(7, 11, 4)], net_positions(FILLS)) == []
    assert compare([position(2, 11, 4, overnight=-5)], net_positions(FILLS)) == []
    assert compare([], {}) == []


def test_a_position_closed_within_the_day_may_be_left_out_or_not():
    flat = net_positions([fill("BUY", 5, "100"), fill("SELL", 5, "101")])
    assert compare([position(0, 5, 5)], flat) == []
    assert compare([], flat) == []


def test_every_difference_is_named_with_both_numbers():
    found = compare([position(8, 12, 4)], net_positions(FILLS))
    assert found == [
        Discrepancy(INFY, Product.INTRADAY, "NET", "day_buy_quantity", Decimal(11), Decimal(12)),
        Discrepancy(INFY, Product.INTRADAY, "NET", "quantity", Decimal(7), Decimal(8)),
    ]


def test_day_quantities_the_broker_does_not_tell_are_no_difference():
    silent = replace(position(7), day_buy_quantity=None, day_sell_quantity=None)
    assert compare([silent], net_positions(FILLS)) == []
    assert compare([replace(silent, quantity=Decimal(8))], net_positions(FILLS)) == [
        Discrepancy(INFY, Product.INTRADAY, "NET", "quantity", Decimal(7), Decimal(8))
    ]


def test_a_position_only_one_side_has_is_a_difference():
    assert [d.broker for d in compare([position(3, 3)], {})] == [3, 3]
    assert compare([], net_positions(FILLS)) == [
        Discrepancy(INFY, Product.INTRADAY, "NET", "quantity", Decimal(7), Decimal(0))
    ]


def test_an_overnight_position_without_trades_is_the_brokers_to_know():
    assert compare([position(5, overnight=5)], {}) == []
    assert compare([position(6, overnight=5)], {}) == [
        Discrepancy(INFY, Product.INTRADAY, "NET", "quantity", Decimal(5), Decimal(6))
    ]


def test_both_sides_of_a_hedged_account_are_positions_of_their_own():
    from dataclasses import replace

    long = replace(fill("BUY", 10, "100"), position_side="LONG")
    short = replace(fill("SELL", 3, "101"), position_side="SHORT")
    nets = net_positions([long, short])
    assert {key[2]: net.quantity for key, net in nets.items()} == {"LONG": 10, "SHORT": -3}
