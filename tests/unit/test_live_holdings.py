"""Holdings at a price."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import UsageError
from dragoman.model import Holding, MtfHolding
from dragoman.portfolio.holdings import collateral, haircut_of, live_holding
from wire.trading import play

D = Decimal
HELD = Holding(
    instrument_id="NSE:INFY",
    quantity=D(100),
    t1_quantity=D(10),
    pledged_quantity=D(40),
    used_quantity=D(30),
    authorised_quantity=D(50),
    average_price=D(90),
    last_price=D(100),
    close_price=D(98),
    isin="INE009A01021",
    collateral_type="stock",
)


def test_what_is_owned_is_worth_its_mark_and_what_can_be_sold_is_less():
    now = live_holding(HELD, (D("101.5"), 7, False))
    assert (now.total_quantity, now.value, now.invested, now.pnl) == (150, D(15225), 13500, 1725)
    assert (now.day_change, now.free_quantity, now.sellable_quantity) == (D(525), 70, 80)
    assert (now.stale, now.ts_mark, now.collateral) == (False, 7, None)


def test_where_the_depository_must_be_asked_only_what_was_authorised_can_be_sold():
    assert live_holding(HELD, needs_authorisation=True).sellable_quantity == 60  # 50 authorised, 10 on their way
    assert live_holding(replace(HELD, authorised_quantity=D(500)), needs_authorisation=True).sellable_quantity == 80


def test_without_a_mark_the_price_that_came_with_it_counts_and_is_stale():
    now = live_holding(HELD)
    assert (now.last_price, now.value, now.stale) == (100, 15000, True)
    nothing = live_holding(replace(HELD, last_price=None, average_price=None))
    assert (nothing.value, nothing.pnl, nothing.invested, nothing.day_change) == (None, None, None, None)


def test_units_the_broker_lent_the_money_for_are_named():
    assert live_holding(replace(HELD, mtf=MtfHolding(quantity=D(25)))).margin_funded == 25


@given(
    pledged=st.integers(0, 10**6),
    price=st.decimals(0, 10**5, places=2),
    haircut=st.decimals(0, 1, places=4),
)
def test_collateral_is_the_pledged_value_less_the_haircut_exactly(pledged, price, haircut):
    held = replace(HELD, pledged_quantity=D(pledged))
    assert collateral(held, haircut, price) + collateral(held, 1 - haircut, price) == pledged * price
    assert 0 <= collateral(held, haircut, price) <= pledged * price


@pytest.mark.parametrize(("haircut", "price"), [("1.01", "1"), ("-0.1", "1"), ("12.5", "1"), ("0.1", "-1")])
def test_a_haircut_in_percent_or_a_price_below_nothing_is_refused(haircut, price):
    with pytest.raises(UsageError):
        collateral(HELD, D(haircut), D(price))


def test_the_narrowest_haircut_counts():
    cuts = {"stock": D("0.5"), "INE009A01021": D("0.2")}
    assert haircut_of(HELD, cuts) == D("0.2")
    assert haircut_of(HELD, cuts | {"NSE:INFY": D("0.1")}) == D("0.1")
    assert haircut_of(replace(HELD, isin=None), cuts) == D("0.5")
    assert haircut_of(HELD, {}) is None


def test_a_clients_holdings_are_read_and_marked():
    async def scenario(world):
        world.venue.set_holding(world.account, "NSE:INFY", D(30), D(1400), pledged_quantity=D(10))
        (held,) = await world.client.portfolio.holdings(haircuts={"NSE:INFY": D("0.1")})
        assert (held.total_quantity, held.holding.pledged_quantity) == (30, 10)
        assert held.collateral == 9 * held.last_price
        assert held.pnl == 30 * (held.last_price - 1400)

    play(scenario)
