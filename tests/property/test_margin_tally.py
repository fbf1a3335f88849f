"""A margin that is counted from what changed is the one counted from everything, however it came to be so."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest

from dragoman._core import intern_instrument
from dragoman.market import InstrumentMaster
from dragoman.model import AssetClass, Margin, MarginUsed, Order, OrderStatus, OrderUpdate, Product, Segment, Side
from dragoman.orders.store import OrderStore
from dragoman.plugin import MarginTerms
from dragoman.portfolio.margin.projection import Projection
from dragoman.portfolio.margin.rates import RateBook
from dragoman.portfolio.margin.rule import Group, Kind, Working
from dragoman.portfolio.margin.segments import Segments
from dragoman.portfolio.margin.state import Held, Snapshot, Tracker
from unit.test_margin_between_readings import instrument
from unit.test_position_book import CARRY, INFY, INTRADAY, NIFTY, NS, Desk, listed

D = Decimal
KEYS = [(f"{exchange}:S{at}", Product.CARRY, "NET") for at in range(5) for exchange in ("NSE", "MCX")]
S = 1_000_000_000


def some(chance: random.Random) -> Held:
    kind = chance.choice([Kind.PLEDGED, Kind.PLEDGED, Kind.PAID, Kind.PREMIUM])
    orders = tuple(
        Working(chance.choice([1, -1]), D(chance.randrange(1, 9)), D(chance.randrange(50, 150)), chance.random() < 0.7)
        for _ in range(chance.choice([0, 0, 1, 2]))
    )
    group = Group(kind, D(chance.randrange(-9, 10)), D(chance.randrange(9000, 11000)) / 7, orders=orders)
    gain = None if chance.random() < 0.2 else D(chance.randrange(-50, 50)) / 3
    return Held(group, D(chance.randrange(-20, 20)), gain, D(chance.randrange(3)), chance.random() < 0.97)


def next_of(state: Snapshot, seen: list[Held], chance: random.Random) -> Snapshot:
    """Return another state: positions that come, change, go, and are again as they were."""
    changes: dict = {}
    for key in chance.sample(KEYS, chance.choice([0, 1, 1, 3])):
        held = state.get(key)
        new = chance.choice([None, some(chance), chance.choice(seen), held and replace(held, unrealised=D(7) / 3)])
        if new is not held:
            changes[key] = new
    seen.extend(held for held in changes.values() if held is not None)
    return Snapshot(state, changes)


def told(segment: Segment = Segment.EQUITY, net: int = 10**6) -> Margin:
    used = MarginUsed(total=D(5000), option_premium=D(10), delivery=D(20), m2m_unrealised=D(-3))
    return Margin(segment=segment, net=D(net), used=used, blocked=D(0))


@pytest.mark.parametrize("seed", range(25))
def test_a_projection_moved_along_states_is_that_of_each_state_alone(seed):
    chance, rates = random.Random(seed), RateBook()
    for key in KEYS[:7]:
        rates.told(key, D("0.2"), 0)
    seen = [some(chance)]
    base = Snapshot(Snapshot(), {key: some(chance) for key in chance.sample(KEYS, 6)})
    terms = MarginTerms(profit_in_used=seed % 2 == 0)
    moved = Projection(told(), base, rates, terms, lambda key: None)
    states = [base]
    for _ in range(60):
        states.append(next_of(states[-1], seen, chance))
        state = states[-1] if chance.random() < 0.8 else chance.choice(states)
        if chance.random() < 0.1:
            rates.told(chance.choice(KEYS), D(chance.randrange(1, 40)) / 100, S)
        alone = Projection(told(), dict(base), rates, terms, lambda key: None)
        assert moved.project(state) == alone.project(dict(state))
    best = moved.judge(told(net=10**6 - 40), states)
    alone = Projection(told(), dict(base), rates, terms, lambda key: None)
    also = alone.judge(told(net=10**6 - 40), [dict(state) for state in states])
    assert (best.error, best.bound, best.clear, best.projected) == (also.error, also.bound, also.clear, also.projected)


@pytest.mark.parametrize("seed", range(10))
def test_segments_share_one_state_and_each_counts_its_own(seed):
    chance, rates, listed_now = random.Random(seed), RateBook(), {}
    mine = {key: Segment.COMMODITY if key[0].startswith("MCX") else Segment.EQUITY for key in KEYS}

    def known(key):
        return listed_now.get(key)

    def learn(key):
        kind = AssetClass.COMMODITY if key[0].startswith("MCX") else AssetClass.EQUITY
        listed_now[key] = instrument(key[0], asset=kind)

    for key in KEYS[:6]:
        learn(key)
    segments, seen = Segments(rates, MarginTerms(), known), [some(chance)]
    state = Snapshot(Snapshot(), {key: some(chance) for key in KEYS})
    margins = [told(), told(Segment.COMMODITY)]
    segments.take(margins, [state], 0, "monday", blind=False)
    base = state
    for step in range(30):
        state = next_of(state, seen, chance)
        if step % 10 == 5:
            learn(KEYS[6 + step // 10])
        for margin in segments.project(state, 1, lambda keeper: False):
            of = {key for key in KEYS if (mine[key] if key in listed_now else Segment.EQUITY) is margin.segment}
            alone = Projection(
                replace(segments.kept[margin.segment].projection.told),
                {key: held for key, held in base.items() if key in of},
                rates,
                MarginTerms(),
                known,
            )
            apart = {key: held for key, held in state.items() if key in of}
            assert margin == alone.margin(apart, 1, stale=False)


class Everything(Tracker):
    """A tracker that takes every mark for moved."""

    def _moved(self, *, clocked):
        return [*self._seen, *self._rows, *self._working, *self._paid]


@pytest.mark.parametrize("seed", range(12))
def test_a_look_at_what_moved_finds_what_a_look_at_everything_does(seed):
    chance, desk = random.Random(seed), Desk()
    names = (INFY, NIFTY, "NSE:A", "NSE:B")
    desk.master.add([listed(name) for name in names[2:]])
    store, mono = OrderStore(lambda ts: "2026-01-05"), [0]
    made = [
        kind(desk.book, store, desk.master, MarginTerms(), lambda: mono[0], lambda key: None)
        for kind in (Tracker, Everything)
    ]
    for number in range(120):
        name = chance.choice((*names, "NSE:NOBODY"))
        match chance.randrange(7):
            case 0 | 1:
                product = chance.choice([INTRADAY, CARRY])
                desk.trade(
                    chance.choice(["BUY", "SELL"]), chance.randrange(1, 5), 100, instrument_id=name, product=product
                )
            case 2 | 3 if name in desk.master:
                held = desk.book.mark(name)[0]
                desk.mark(float(held) if held and chance.random() < 0.5 else chance.randrange(1800, 2200) / 20, name)
            case 4:
                desk.now += chance.choice([NS, 70 * NS])
            case 5:
                desk.marking.interrupted([intern_instrument(name)])
            case 6:
                terms = {"instrument_id": name, "side": Side.BUY, "quantity": D(3), "client_order_id": f"o{number % 4}"}
                status = chance.choice([OrderStatus.OPEN, OrderStatus.SUBMITTED, OrderStatus.CANCELED])
                for one in made:
                    one._on_update(OrderUpdate(Order(**terms, status=status)))
        mono[0] += chance.choice([0, NS, 5 * NS])
        marks = chance.random() < 0.7
        few, whole = (one.state(marks=marks) for one in made)
        if marks:
            assert few == whole
            assert not made[0].moved()
    if seed == 0:
        desk.master.become(InstrumentMaster())
        assert made[0].state().keys() == made[1].state().keys()


def test_a_state_knows_what_it_changed_and_whether_groups_are_the_same():
    chance = random.Random(1)
    first = Snapshot(Snapshot(), {KEYS[0]: some(chance), KEYS[1]: some(chance)})
    marked = Snapshot(first, {KEYS[0]: replace(first[KEYS[0]], drift=D(9))})
    gone = Snapshot(marked, {KEYS[1]: None})
    assert (marked.made_of, list(marked.changed), marked.grouped) == (first.number, [KEYS[0]], first.grouped)
    assert (gone.grouped == marked.grouped, list(gone), KEYS[1] in marked) == (False, [KEYS[0]], True)
