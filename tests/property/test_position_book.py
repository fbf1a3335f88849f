"""Positions from fills equal the exact oracle: 20,000 trades here, as many as wanted by `make soak`."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.portfolio.lots import Lots
from dragoman.portfolio.money import exact, rounded
from property.position_soak import run, soak

TRADES, PARTS = 20_000, 20


@pytest.mark.parametrize("part", range(PARTS))
def test_twenty_thousand_trades_leave_no_difference_to_the_oracle(part):
    assert soak(TRADES // PARTS, seed=1_000 + part) > 0


@given(seed=st.integers(0, 2**48), trades=st.integers(1, 25))
def test_a_short_day_leaves_no_difference_to_the_oracle(seed, trades):
    run(seed, trades)


UNITS = st.integers(-50, 50).filter(bool)
PRICES = st.integers(1, 4000).map(lambda ticks: Fraction(ticks, 20))


@given(st.lists(st.tuples(UNITS, PRICES), max_size=40))
def test_realised_and_open_profit_are_the_cash_whatever_is_sold_first(trades):
    lots = Lots()
    for units, price in trades:
        lots.trade(units, price)
    cash = -sum(units * price for units, price in trades)
    mark = Fraction(73, 2)
    for realised, cost in ((lots.realised, lots.cost), (lots.fifo_realised, lots.fifo_cost)):
        assert realised + lots.quantity * mark - cost == cash + lots.quantity * mark
    assert sum(units for units, _ in lots.lots) == lots.quantity
    assert len({units > 0 for units, _ in lots.lots}) <= 1  # lots are of one side
    assert sum(units * price for units, price in lots.lots) == lots.fifo_cost


@given(st.lists(st.tuples(UNITS, PRICES), min_size=1, max_size=40))
def test_a_flat_position_realised_the_same_both_ways(trades):
    lots = Lots()
    for units, price in trades:
        lots.trade(units, price)
    if lots.quantity:
        lots.trade(-lots.quantity, Fraction(11))
    assert lots.realised == lots.fifo_realised == lots.sold_value - lots.bought_value
    assert (lots.cost, lots.fifo_cost, lots.lots) == (0, 0, [])


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=7))
def test_what_has_few_digits_is_shown_as_it_came(value):
    assert rounded(exact(value), 8) == value


@given(st.fractions(min_value=-1000, max_value=1000), st.integers(0, 12))
def test_showing_rounds_half_to_even(value, places):
    shown = rounded(value, places)
    assert Fraction(shown) == round(value, places)
    assert shown == Decimal(0) or shown.normalize().as_tuple().exponent >= -places
