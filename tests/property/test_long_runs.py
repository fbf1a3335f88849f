"""Trades counted by the run are the trades counted one by one, and a cost stays short however often it is divided."""

from __future__ import annotations

import random
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.model import Fill, Product, Side
from dragoman.portfolio.lots import Lots
from dragoman.portfolio.money import COST_BITS, COST_PLACES, bounded, rounded
from dragoman.portfolio.runs import SCALE, count_run, shifted
from dragoman.portfolio.timeline import Adjusting, Conversion, Roll, Timeline, Trade
from unit.test_position_book import CARRY, INFY, INTRADAY, NS, Desk, adjustment

D = Decimal

units = st.one_of(st.integers(-60, 60), st.integers(-60, 60).map(lambda n: Fraction(n, 8))).filter(bool)
prices = st.integers(1, 4000).map(lambda ticks: Fraction(ticks, 20))
odd_prices = st.one_of(prices, prices, prices, st.just(Fraction(100, 3)))


def trade(number: int, quantity, price, product: Product = INTRADAY, charged=0) -> Trade:
    side = Side.BUY if quantity > 0 else Side.SELL
    fill = Fill(trade_id=str(number), order_id="O", instrument_id=INFY, side=side, quantity=D(1), price=D(1),
                product=product)  # fmt: skip
    return Trade((number, 2, 1, str(number), "O"), fill, quantity, price, charged)


def one_by_one(lots: Lots, trades) -> Lots:
    for one in trades:
        lots.trade(one.quantity, one.price, one.charged)
    return lots


def by_the_run(lots: Lots, trades) -> Lots:
    done = 0
    while done < len(trades):
        done += count_run(lots, trades[done:])
        if done < len(trades):
            lots.trade(trades[done].quantity, trades[done].price, trades[done].charged)
            done += 1
    return lots


@given(st.lists(st.tuples(units, odd_prices), max_size=60), st.lists(st.tuples(units, odd_prices), max_size=6))
def test_a_run_comes_to_what_its_trades_come_to_one_by_one(told, before):
    trades = [trade(at, *terms) for at, terms in enumerate(told)]
    first = one_by_one(Lots(), [trade(at, *terms) for at, terms in enumerate(before)])
    assert by_the_run(first.copy(), trades) == one_by_one(first.copy(), trades)


@given(st.lists(st.tuples(units, prices), min_size=1, max_size=30), st.integers(0, 29))
def test_a_run_ends_before_what_is_not_whole_and_takes_nothing_of_it(told, at):
    trades = [trade(number, *terms) for number, terms in enumerate(told)]
    at = min(at, len(trades) - 1)
    trades[at] = trade(at, trades[at].quantity, Fraction(100, 7))
    lots = Lots()
    assert count_run(lots, trades) == at
    assert lots == one_by_one(Lots(), trades[:at])


def test_lots_of_prices_that_are_not_whole_end_a_run_as_it_was():
    lots = Lots()
    lots.trade(5, Fraction(50))
    lots.trade(5, Fraction(100, 3))
    before = deepcopy(lots)
    assert count_run(lots, [trade(1, -7, Fraction(40))]) == 0
    assert lots == before


def test_units_of_a_cost_nobody_knows_and_commissions_in_kind_are_no_run():
    lots = Lots()
    lots.receive(5, None)
    assert count_run(lots, [trade(1, 2, Fraction(3))]) == 0
    assert count_run(Lots(), [trade(1, 2, Fraction(3), charged=Fraction(1, 10))]) == 0


@given(st.integers(-(10**30), 10**30), st.integers(0, SCALE + 2))
def test_what_has_few_digits_is_whole_once_shifted(value, digits):
    found = shifted(Fraction(value, 10**digits))
    assert (found is None) == ((Fraction(value, 10**digits) * 10**SCALE).denominator > 1)
    assert found is None or Fraction(found, 10**SCALE) == Fraction(value, 10**digits)


@pytest.mark.parametrize("seed", range(8))
def test_a_timeline_told_in_any_order_is_the_one_told_in_order(seed):
    chance, entries = random.Random(seed), []
    for number in range(500):
        match chance.randrange(60):
            case 0:
                entries.append(Conversion((number, 3, 1, "C", ""), INTRADAY, CARRY, chance.choice([-4, 6]), False))
            case 1:
                kind, terms = chance.choice([("SPLIT", {"numerator": D(3)}), ("EXPIRY", {"price": D(5)})])
                entries.append(Adjusting((number, 1, 1, "A", ""), adjustment(kind, **terms)))
            case 2 if number > 200:
                entries.append(Roll((number, 0, 0, "", "")))
            case _:
                quantity = chance.choice([-9, -2, -1, 1, 3, 8, Fraction(1, 4)])
                price = Fraction(chance.randrange(1, 4000), chance.choice([1, 20, 20, 3]))
                charged = Fraction(1, 100) if chance.random() < 0.02 else 0
                entries.append(trade(number, quantity, price, chance.choice([INTRADAY, INTRADAY, CARRY]), charged))
    plain = Timeline()
    rows: dict = {}
    for entry in entries:
        entry.apply(rows)
    arrived = sorted(entries, key=lambda one: one.place[0] + chance.choice([0, 0, 5, 300]) * chance.random())
    for at, entry in enumerate(arrived):
        plain.put(entry)
        if at % chance.choice([25, 60, 200]) == 0:
            plain.rows  # noqa: B018 - counts what was put in
    assert plain.rows == rows
    for entry in chance.sample(entries, 3):
        assert plain.drop(entry)
        rows = {}
        for one in plain.entries:
            one.apply(rows)
        assert plain.rows == rows


def test_a_cost_stays_short_and_right_however_often_it_is_divided():
    chance, lots, exact = random.Random(7), Lots(), Fraction(0)
    held, trades = 0, []
    for number in range(2500):
        quantity = (
            chance.randint(1, 97) if held < 300 or (held < 700 and chance.random() < 0.5) else -chance.randint(1, 97)
        )
        price = Fraction(chance.randrange(20_000, 40_000), 20)
        exact += quantity * price if quantity > 0 else exact * quantity / held
        held += quantity
        lots.trade(quantity, price)
        trades.append(trade(number, quantity, price))
    run = Lots()
    assert count_run(run, trades) == len(trades)
    assert abs(run.cost - exact) < Fraction(1, 10 ** (COST_PLACES - 3))
    assert lots.quantity == held
    assert exact.denominator.bit_length() > 2 * COST_BITS
    assert lots.cost.denominator.bit_length() <= COST_BITS + 10
    assert abs(lots.cost - exact) < Fraction(1, 10 ** (COST_PLACES - 3))
    assert rounded(lots.cost / held, 12) == rounded(exact / held, 12)
    lots.trade(-held, Fraction(1500))
    assert (lots.cost, lots.fifo_cost, lots.realised) == (0, 0, lots.fifo_realised)


@given(st.fractions(max_denominator=10**9))
def test_a_short_fraction_is_kept_as_it_is(value):
    assert bounded(value) is value


def test_a_fill_told_late_by_a_whole_day_counts_where_it_belongs():
    late, early = Desk(), Desk()
    first = late.fill("BUY", 7, "99.95", trade_id="first")
    early.tell(first)
    for desk in (late, early):
        for at in range(800):
            product = CARRY if at % 11 == 0 else INTRADAY
            desk.trade("SELL" if at % 3 else "BUY", 1 + at % 5, f"{100 + at % 7}.05", trade_id=str(at), product=product)
            if at == 400:
                desk.book.converted((INFY, INTRADAY, "NET"), CARRY, D(-3), overnight=False, ts=desk.now)
                desk.now += NS
        desk.row(product=CARRY)
    late.tell(first)
    assert late.book.rows() == [replace(row, ts_mark=None) for row in early.book.rows()]
