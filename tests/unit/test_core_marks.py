"""Marks by hand: what a row, a group and a watched total say; tests/property/test_marks.py has the laws."""

from __future__ import annotations

import math

import pytest

from dragoman._core import ABSENT_INT, Marks, intern_instrument
from reference.money import PriceFeed

FEED = PriceFeed(3)
ONE, TWO, THREE = FEED.handles


def marks(**options):
    made = Marks(**options)
    made.set(0, ONE, 10, 100.0, group=1)
    made.set(5, TWO, -4, 50.0, multiplier=25.0, close=48.0, group=1)
    return made


def test_a_tick_moves_the_rows_of_its_instrument_and_their_group():
    held = marks()
    assert held.apply(FEED.batch([(ONE, 101.5), (TWO, 47.0)])) == 2
    assert (held.unrealised(0), held.unrealised(5), held.total(1)) == (15.0, 300.0, 315.0)
    assert (held.value(0), held.value(5), held.day(5)) == (1015.0, -4700.0, 100.0)
    assert (held.price(TWO), held.missing(1), len(held)) == (47.0, 0, 2)


def test_without_a_mark_there_is_no_profit_and_the_total_says_what_it_lacks():
    held = marks()
    held.apply(FEED.batch([(ONE, 90.0)]))
    assert all(math.isnan(number) for number in (held.unrealised(5), held.value(5), held.day(0), held.price(TWO)))
    assert (held.total(1), held.missing(1), held.time(TWO)) == (-100.0, 1, ABSENT_INT)
    assert (held.total(2), held.missing(2)) == (0.0, 0)  # nobody is in it


def test_an_average_that_is_not_known_gives_a_value_and_no_profit():
    held = Marks()
    held.set(0, ONE, 3, math.nan)
    held.mark(ONE, 10.0, 5)
    assert (held.value(0), held.total(0), held.missing(0)) == (30.0, 0.0, 1)
    assert math.isnan(held.unrealised(0))


def test_the_same_price_again_touches_nothing_but_is_newer():
    held = marks(max_age_ns=10)
    held.apply(FEED.batch([(ONE, 90.0)], ts_recv=1000))
    assert held.touched() == (0, 5)
    assert held.apply(FEED.batch([(ONE, 90.0)], ts_recv=1020)) == 0
    assert (held.touched(), held.time(ONE)) == ((), 1020)
    assert [held.stale(ONE, now) for now in (1010, 1030, 1031)] == [False, False, True]
    assert held.stale(TWO, 1020)


def test_a_row_that_is_put_anew_keeps_the_mark_and_forgets_the_old_row():
    held = marks()
    held.apply(FEED.batch([(ONE, 90.0), (TWO, 50.0)]))
    held.set(0, ONE, 20, 80.0, group=2)
    assert (held.total(1), held.total(2), held.unrealised(0)) == (0.0, 200.0, 200.0)
    held.set(0, TWO, 1, 49.0, group=2)
    assert (held.total(2), held.apply(FEED.batch([(ONE, 1.0)]))) == (1.0, 0)


def test_a_removed_row_is_gone_and_its_group_is_exactly_nothing():
    held = marks()
    held.apply(FEED.batch([(ONE, 0.1), (TWO, 0.7)]))
    held.touched()
    held.remove(0)
    assert held.total(1) == held.unrealised(5)
    held.remove(5)
    assert (held.total(1), held.missing(1), len(held), held.touched()) == (0.0, 0, 0, ())
    for read in (held.remove, held.unrealised, held.value, held.day):
        with pytest.raises(KeyError):
            read(5)


@pytest.mark.parametrize("slot", [-1, 2**20, 2**70, 3])
def test_a_slot_that_holds_nothing_has_nothing_to_say(slot):
    with pytest.raises(KeyError):
        marks().unrealised(slot)


def test_a_poll_is_compared_with_arrivals_and_never_shuts_out_a_tick():
    held = marks()
    held.apply(FEED.batch([(ONE, 90.0, 5)], ts_recv=1000))
    assert not held.mark(ONE, 91.0, 999)
    assert held.mark(ONE, 91.0, 1000)
    assert (held.price(ONE), held.time(ONE), held.counters["ignored_old"]) == (91.0, 1000, 1)
    assert held.apply(FEED.batch([(ONE, 92.0, 5)], ts_recv=900)) == 1
    assert [held.mark(ONE, price, 2000) for price in (0.0, -1.0, math.inf, math.nan)] == [False] * 4


def test_what_was_polled_before_there_is_a_position_marks_it_when_there_is_one():
    held = Marks()
    assert held.mark(THREE, 7.0, 1)
    held.set(0, THREE, 2, 5.0)
    assert held.total(0) == 4.0


def test_an_older_tick_marks_nothing_even_within_a_batch():
    held = marks()
    second = 1_000_000_000
    held.apply(FEED.batch([(ONE, 90.0, 7 * second), (ONE, 95.0, 6 * second), (ONE, 91.0, 7 * second)]))
    assert (held.price(ONE), held.counters["ignored_old"], held.counters["used"]) == (91.0, 1, 2)


@pytest.mark.parametrize(
    ("bid", "ask", "counter"),
    [(101.0, 100.0, "ignored_crossed"), (101.0, None, "ignored_one_sided"), (None, 100.0, "ignored_one_sided")],
)
def test_a_mid_needs_both_sides_uncrossed(bid, ask, counter):
    held = marks(source="mid")
    assert held.apply(FEED.tops([(ONE, bid, ask)])) == 0
    assert held.counters[counter] == 1
    assert held.apply(FEED.tops([(ONE, 100.0, 101.0)])) == 1
    assert (held.price(ONE), held.source) == (100.5, "mid")
    assert held.apply(FEED.tops([(ONE, 101.0, 101.0)])) == 1  # locked is not crossed


def test_a_source_that_a_stream_lacks_is_counted():
    held = marks(source="mark")
    assert held.apply(FEED.batch([(ONE, 90.0)])) == 0
    assert held.counters["ignored_absent"] == 1


def test_a_watched_total_is_told_once_until_it_is_watched_again():
    held = marks()
    held.watch(1, -50.0)
    held.apply(FEED.batch([(ONE, 96.0)]))
    assert held.crossed() == ()
    held.apply(FEED.batch([(ONE, 95.0)]))
    assert held.crossed() == (1,)
    held.apply(FEED.batch([(ONE, 90.0)]))
    assert held.crossed() == ()
    held.watch(1, -200.0)
    assert held.crossed() == ()
    held.watch(1, -100.0)  # is so already
    assert (held.crossed(), held.unwatch(1)) == ((1,), False)


def test_a_total_counts_as_it_is_after_the_batch():
    held = marks()
    held.watch(1, -50.0)
    held.apply(FEED.batch([(ONE, 50.0), (ONE, 99.0)]))
    assert held.crossed() == ()
    held.apply(FEED.batch([(ONE, 50.0), (TWO, 40.0)]))
    assert held.crossed() == ()
    held.remove(5)
    assert held.crossed() == (1,)


def test_a_group_that_is_no_longer_watched_crosses_unseen():
    held = marks()
    held.watch(1, -50.0)
    assert (held.unwatch(1), held.unwatch(1), held.unwatch(9)) == (True, False, False)
    held.apply(FEED.batch([(ONE, 50.0)]))
    assert held.crossed() == ()


@pytest.mark.parametrize(
    "arguments",
    [
        (-1, ONE, 1, 1.0),
        (2**20, ONE, 1, 1.0),
        (0, ONE, math.nan, 1.0),
        (0, ONE, math.inf, 1.0),
        (0, ONE, 1, -math.inf),
        (0, ONE, 1, 1.0, math.nan),
        (0, ONE, 1, 1.0, 1e16),
        (0, ONE, 1, 1.0, 1.0, 1.0, 2**63),
    ],
)
def test_what_cannot_be_a_position_is_refused_and_changes_nothing(arguments):
    held = marks()
    with pytest.raises(ValueError, match=r"Marks.set: .* expected"):
        held.set(*arguments)
    assert len(held) == 2


def test_arguments_are_checked_by_name():
    held = marks()
    for call, text in (
        (lambda: held.set(1, ONE), "'quantity' is missing"),
        (lambda: held.set(1, ONE, 1, 1.0, size=2), "'size' is none"),
        (lambda: held.set(1, ONE, 1, 1.0, slot=2), "given twice"),
        (lambda: held.set(1, ONE, 1, 1.0, 1.0, 1.0, 1, 1), "at most 7"),
    ):
        with pytest.raises(TypeError, match=text):
            call()
    with pytest.raises(IndexError, match="intern_instrument"):
        held.set(1, 2**21, 1, 1.0)
    with pytest.raises(ValueError, match="source is 'first'"):
        Marks(source="first")
    with pytest.raises(ValueError, match="NaN"):
        held.watch(1, math.nan)


def test_records_of_no_known_instrument_are_counted():
    held = Marks()
    held.apply(FEED.batch([(None, 5.0), (ONE, 5.0)]))
    assert (held.counters["ignored_unbound"], held.counters["used"]) == (1, 0)
    assert math.isnan(held.price(intern_instrument("NSE:NOBODY")))
