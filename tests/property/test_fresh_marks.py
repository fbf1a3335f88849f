"""The mark that an order's intent keeps is the one that `Marking.read` gives where it is not stale, and no other."""

from __future__ import annotations

import gc
import math
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import FreshMarks, Marks, intern_instrument
from dragoman.portfolio.marking import Marking

NAMES = ("TEST:FRESH-A", "TEST:FRESH-B")
TIMES = st.integers(0, 40)
STEPS = st.lists(
    st.tuples(st.just("polled"), st.sampled_from(NAMES), TIMES, st.sampled_from([0.05, 7.0, 1e9]))
    | st.tuples(st.just("interrupted"), st.sampled_from(NAMES), TIMES, st.just(0.0)),
    max_size=6,
)


@given(STEPS, TIMES, st.integers(0, 20))
def test_a_mark_is_fresh_where_it_is_not_stale(steps, asked, max_age):
    now = 0
    marking = Marking(Marks(), lambda: now, max_age)
    for what, name, now, price in steps:
        handle = intern_instrument(name)
        if what == "polled":
            marking.polled(handle, price, now)
        else:
            marking.interrupted((handle,))
    now = asked
    for name in NAMES:
        price, ts, stale = marking.read(intern_instrument(name))
        assert stale == (ts is None or marking.is_old(intern_instrument(name), ts))
        assert marking.fresh(name) == (None if stale else float(price))


def test_only_names_of_instruments_have_a_mark():
    fresh = Marking(Marks(), lambda: 0).fresh
    assert fresh("TEST:FRESH-NEVER-SEEN") is None
    with pytest.raises(ValueError, match="instrument id is empty"):
        fresh("")
    with pytest.raises(TypeError):
        fresh(7)


def test_what_the_clock_raises_is_passed_on():
    marks, handle = Marks(), intern_instrument(NAMES[0])
    fresh = FreshMarks(marks, lambda: 1 // 0, 10, {})
    assert fresh.price(NAMES[0]) is None
    assert marks.mark(handle, 7.0, 0)
    with pytest.raises(ZeroDivisionError):
        fresh.price(NAMES[0])
    assert math.isnan(marks.price(intern_instrument(NAMES[1])))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({0: None}, TypeError), ({2: -1}, ValueError), ({3: []}, TypeError)],
    ids=str,
)
def test_marks_that_cannot_be_fresh_are_refused(wrong, error):
    told = [Marks(), int, 10, {}]
    for at, value in wrong.items():
        told[at] = value
    with pytest.raises(error):
        FreshMarks(*told)


def test_a_marking_is_collected_with_its_clock():
    class Clock:
        def wall_ns(self):
            return 0

    clock = Clock()
    clock.marking = Marking(Marks(), clock.wall_ns)
    gone = weakref.ref(clock)
    del clock
    gc.collect()
    assert gone() is None
