"""Laws of the native marks, against a table that sums everything anew. Ticks travel through the real decoder."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import Marks
from reference.money import PlainMarks, PriceFeed, PriceTick, Row

INSTRUMENTS = 4
FEED = PriceFeed(INSTRUMENTS)
SLOTS = 6
GROUPS = (0, 1, -7)
SECOND = 1_000_000_000

# Some that no mark may be, some that swallow the digits of others, decimals that float64 cannot write.
GOOD = st.one_of(st.integers(1, 400).map(lambda n: n / 20), st.sampled_from([1e-8, 1e12, 1e15]))
BAD = st.sampled_from([0.0, -0.0, -0.05, -1e300, 1.1e15, 1e300, math.inf, -math.inf, math.nan])
PRICES = st.one_of(GOOD, GOOD, BAD, st.none())
TIMES = st.one_of(st.none(), st.integers(1, 9).map(lambda n: n * SECOND), st.just(9 * 3600 * SECOND))
HANDLES = st.sampled_from(FEED.handles)
NUMBERS = st.one_of(
    st.integers(-500, 500).map(float), st.sampled_from([0.0, 0.1, 1e-9, -1e15, 33.333]), st.floats(-1e6, 1e6)
)


def ticks(handles=HANDLES, prices=PRICES):
    return st.builds(PriceTick, handles, prices, prices, prices, prices, TIMES)


ROWS = st.builds(
    Row, HANDLES, NUMBERS, NUMBERS | st.just(math.nan), NUMBERS, NUMBERS | st.just(math.nan), st.sampled_from(GROUPS)
)
STEPS = st.one_of(
    st.tuples(st.just("set"), st.integers(0, SLOTS - 1), ROWS),
    st.tuples(st.just("remove"), st.integers(0, SLOTS - 1)),
    st.tuples(
        st.just("apply"), st.lists(ticks(st.one_of(HANDLES, HANDLES, st.none())), max_size=8), st.integers(0, 60)
    ),
    st.tuples(st.just("mark"), HANDLES, PRICES.filter(lambda price: price is not None), st.integers(-5, 60)),
)


def pair(source="last"):
    return Marks(source=source), PlainMarks(source)


def play(marks, plain, step):
    """Do one step to both, and compare what it returns."""
    what, *rest = step
    if what == "set":
        slot, row = rest
        marks.set(slot, row.instrument, row.quantity, row.average, row.multiplier, row.close, row.group)
        plain.set(slot, row)
    elif what == "remove":
        (slot,) = rest
        if slot in plain.rows:
            marks.remove(slot)
            plain.remove(slot)
    elif what == "apply":
        given_ticks, seconds = rest
        batch = FEED.ticks(given_ticks, seconds * SECOND)
        assert marks.apply(batch) == plain.apply(given_ticks, seconds * SECOND)
    else:
        handle, price, seconds = rest
        assert marks.mark(handle, price, seconds * SECOND) == plain.mark(handle, price, seconds * SECOND)


def assert_totals(marks, plain):
    for group in GROUPS:
        parts = plain.parts(group)
        size = math.fsum(map(abs, parts))
        assert abs(marks.total(group) - math.fsum(parts)) <= 1e-15 * size
        assert marks.missing(group) == plain.missing(group)


def same(one, other):
    return one == other or (math.isnan(one) and math.isnan(other))


@given(steps=st.lists(STEPS, max_size=25), source=st.sampled_from(["last", "mark", "mid"]))
def test_any_changes_and_batches_give_what_a_table_would(steps, source):
    marks, plain = pair(source)
    for step in steps:
        play(marks, plain, step)
        assert set(marks.touched()) == plain.take_touched()
        for slot, row in plain.rows.items():
            price = plain.prices.get(row.instrument, math.nan)
            assert same(marks.unrealised(slot), plain.unrealised(slot))
            assert same(marks.value(slot), price * row.quantity * row.multiplier)
            assert same(marks.day(slot), (price - row.close) * row.quantity * row.multiplier)
        for handle, clock in plain.clocks.items():
            assert same(marks.price(handle), plain.prices.get(handle, math.nan))
            assert marks.time(handle) == clock.ts_recv
        assert len(marks) == len(plain.rows)
        for group in GROUPS:
            assert marks.missing(group) == plain.missing(group)


MODEST = st.integers(1, 100_000).map(lambda n: n / 20)
MODEST_ROWS = st.builds(
    Row,
    HANDLES,
    st.integers(-500, 500).map(float),
    MODEST,
    st.sampled_from([1.0, 25.0]),
    MODEST,
    st.sampled_from(GROUPS),
)


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("set"), st.integers(0, SLOTS - 1), MODEST_ROWS),
            st.tuples(st.just("remove"), st.integers(0, SLOTS - 1)),
            st.tuples(st.just("apply"), st.lists(st.builds(PriceTick, HANDLES, MODEST), max_size=8), st.just(0)),
        ),
        max_size=40,
    )
)
def test_totals_are_the_sums_of_their_rows(steps):
    marks, plain = pair()
    for step in steps:
        play(marks, plain, step)
        assert_totals(marks, plain)


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("set"), st.integers(0, SLOTS - 1), MODEST_ROWS),
            st.tuples(st.just("apply"), st.lists(st.builds(PriceTick, HANDLES, MODEST), max_size=4), st.just(0)),
            st.tuples(st.just("watch"), st.sampled_from(GROUPS), st.integers(-2000, 2000).map(lambda n: n * 1000.5)),
        ),
        max_size=30,
    )
)
def test_a_group_crosses_once_for_each_time_it_is_watched(steps):
    marks, plain = pair()
    for step in steps:
        if step[0] == "watch":
            marks.watch(*step[1:])
            plain.watch(*step[1:])
        else:
            play(marks, plain, step)
        crossed = marks.crossed()
        assert (len(set(crossed)), set(crossed)) == (len(crossed), set(plain.crossed))
        plain.crossed.clear()


@given(batches=st.lists(st.lists(ticks(), max_size=8), max_size=6), source=st.sampled_from(["last", "mark", "mid"]))
def test_every_price_of_an_instrument_in_use_is_counted_once(batches, source):
    marks, plain = pair(source)
    for slot, handle in enumerate(FEED.handles[:2]):
        play(marks, plain, ("set", slot, Row(handle, 1.0, 1.0, 1.0, 1.0, 0)))
    for batch in batches:
        play(marks, plain, ("apply", batch, 30))
    found = {name: count for name, count in marks.counters.items() if count and name != "ahead"}
    assert found == plain.counters


@given(batch=st.lists(ticks(), max_size=8), bad=st.lists(st.tuples(st.integers(0, 8), HANDLES, BAD), max_size=4))
def test_bad_prices_among_good_ones_change_nothing(batch, bad):
    with_bad = list(batch)
    for at, handle, price in bad:
        with_bad.insert(at, PriceTick(handle, price))
    one, other = Marks(), Marks()
    for slot, handle in enumerate(FEED.handles):
        one.set(slot, handle, slot + 1, 7.5)
        other.set(slot, handle, slot + 1, 7.5)
    assert one.apply(FEED.ticks(batch)) == other.apply(FEED.ticks(with_bad))
    assert all(same(one.price(handle), other.price(handle)) for handle in FEED.handles)
    assert one.total(0) == other.total(0)
