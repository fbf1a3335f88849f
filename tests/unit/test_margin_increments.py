"""What did not change is neither looked at again nor projected again, and the figures are the same."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest

from dragoman.model import Fill, Order, OrderUpdate, Product, Side
from dragoman.orders.store import OrderStore
from dragoman.plugin import MarginTerms
from dragoman.portfolio.margin.projection import Projection
from dragoman.portfolio.margin.rates import RateBook
from dragoman.portfolio.margin.rule import Group, Kind, Working
from dragoman.portfolio.margin.state import Held, Tracker
from unit.test_margin_between_readings import Keeper, margin
from unit.test_position_book import COIN, INFY, INTRADAY, NIFTY, Desk

D = Decimal
KEYS = [(f"NSE:S{at}", Product.INTRADAY, "NET") for at in range(8)]


def some(chance: random.Random) -> Held:
    orders = tuple(
        Working(chance.choice([1, -1]), D(chance.randrange(1, 9)), D(chance.randrange(50, 150)), chance.random() < 0.7)
        for _ in range(chance.randrange(3))
    )
    group = Group(Kind.PLEDGED, D(chance.randrange(-9, 10)), D(100), orders=orders)
    gain = None if chance.random() < 0.2 else D(chance.randrange(-50, 50))
    return Held(group, D(chance.randrange(-20, 20)), gain, D(chance.randrange(3)), chance.random() < 0.95)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_shared_with_the_last_reading_counts_as_if_it_were_looked_at(seed):
    chance, rates = random.Random(seed), RateBook()
    for key in KEYS:
        rates.told(key, D("0.2"), 0)
    base = {key: some(chance) for key in KEYS[:6]}
    projection = Projection(margin(), base, rates, MarginTerms(), lambda key: None)
    for _ in range(10):
        state = dict(base)
        for key in chance.sample(KEYS, 3):
            state[key] = some(chance)
        state.pop(chance.choice(KEYS), None)
        apart = {key: replace(held, group=replace(held.group)) for key, held in state.items()}
        assert projection.project(state) == projection.project(apart)


class Desks:
    """A desk with a tracker of its margins; it counts what positions are asked for."""

    def __init__(self) -> None:
        self.desk, self.store = Desk(), OrderStore(lambda ts: "2026-01-05")
        self.mono = 0
        for name in (INFY, NIFTY):
            self.desk.trade("BUY", 10, 100, instrument_id=name)
            self.desk.mark(101, name)
        terms = MarginTerms()
        self.tracker = Tracker(self.desk.book, self.store, self.desk.master, terms, lambda: self.mono, lambda key: None)
        self.tracker.state()


def test_only_positions_that_changed_are_looked_at_and_the_others_stay_the_same_object():
    one = Desks()
    first = one.tracker.state()
    assert one.tracker.state() == first
    one.desk.mark(103, NIFTY)
    one.desk.trade("BUY", 5, 100)
    second = one.tracker.state(marks=False)
    changed = [key for key, held in second.items() if held is not first[key]]
    assert changed == [(INFY, INTRADAY, "NET")]
    third = one.tracker.state()
    assert third[NIFTY, INTRADAY, "NET"].unrealised == 30
    assert third[INFY, INTRADAY, "NET"] is second[INFY, INTRADAY, "NET"]


def test_a_wallet_is_summed_as_its_fills_come_and_are_taken_back():
    one, key = Desks(), (COIN, Product.CASH, "NET")
    order = Order(instrument_id=COIN, side=Side.BUY, quantity=D(1), client_order_id="o", product=Product.CASH)
    terms = {"order_id": "o", "client_order_id": "o", "instrument_id": COIN, "product": Product.CASH, "side": Side.BUY}
    fills = [Fill(trade_id=str(at), quantity=D(1000), price=D(at), **terms) for at in (1, 2, 4)]
    for fill in fills:
        one.tracker._on_update(OrderUpdate(order, (fill,)))
    assert one.tracker.state(marks=False)[key].realised == -7
    one.tracker._on_update(OrderUpdate(order, (fills[0],), ("2",)))
    assert one.tracker.state(marks=False)[key].realised == -5


def test_a_reading_beyond_the_bound_counts_as_that_also_where_it_is_doubted_and_never_repeated():
    keeper = Keeper()
    keeper.take(margin(1000))
    for _ in range(40):
        for net in (400, 400, 1000):
            keeper.take(margin(net))
    counters = keeper.segment.counters
    assert (counters["beyond_bound"], counters["doubted"], counters["bound_broken"]) == (80, 80, 0)
