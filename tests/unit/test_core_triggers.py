"""Triggers by hand, and the way of a batch through them; tests/property/test_triggers.py has the laws."""

from __future__ import annotations

import gc
import math
import weakref

import pytest

from dragoman._core import ABSENT_INT, Books, Handout, Marks, Triggers, intern_instrument
from reference.money import PriceFeed, PriceTick

FEED = PriceFeed(3)
ONE, TWO, THREE = FEED.handles
SECOND = 1_000_000_000


def prices(*told, **when):
    return FEED.batch([(ONE, price) for price in told], **when)


def test_a_level_fires_once_at_or_beyond_it():
    triggers = Triggers()
    triggers.arm(1, ONE, "below", 100.0)
    triggers.arm(2, ONE, "above", 110.0)
    assert triggers.apply(prices(100.05, 109.95)) == ()
    assert triggers.apply(prices(100.0, 99.0, 111.0)) == (1, 2)
    assert triggers.apply(prices(1.0, 1000.0)) == ()
    assert len(triggers) == 0


def test_what_is_beyond_its_level_already_fires_with_the_next_tick():
    triggers = Triggers()
    triggers.arm(1, ONE, "above", 50.0)
    triggers.apply(prices(60.0))
    triggers.arm(2, ONE, "above", 50.0)
    assert triggers.apply(FEED.batch([(TWO, 60.0)])) == ()
    assert triggers.apply(prices(60.0)) == (2,)


def test_ids_come_in_the_order_of_the_batch_and_then_of_arming():
    triggers = Triggers()
    for identity, handle, level in ((5, TWO, 10.0), (4, ONE, 30.0), (3, ONE, 10.0), (2, ONE, 20.0)):
        triggers.arm(identity, handle, "below", level)
    triggers.arm(4, ONE, "below", 15.0)  # armed anew, it is the youngest
    assert triggers.apply(FEED.batch([(ONE, 5.0), (TWO, 5.0)])) == (3, 2, 4, 5)


def test_a_trailing_stop_follows_the_best_price_and_never_goes_back():
    triggers = Triggers()
    triggers.arm(1, ONE, "trail_below", math.nan, trail=5.0)
    assert math.isnan(triggers.level(1))
    assert math.isnan(triggers.best(1))
    for price, level in ((100.0, 95.0), (98.0, 95.0), (103.5, 98.5), (99.0, 98.5)):
        assert triggers.apply(prices(price)) == ()
        assert triggers.level(1) == level
    assert (triggers.best(1), triggers.apply(prices(98.5))) == (103.5, (1,))


def test_its_mirror_follows_the_lowest_price_in_percent():
    triggers = Triggers()
    triggers.arm(1, ONE, "trail_above", math.nan, trail=10.0, percent=True)
    assert triggers.apply(prices(100.0, 80.0, 87.0)) == ()
    assert (triggers.level(1), triggers.best(1)) == (88.0, 80.0)
    assert triggers.apply(prices(88.0)) == (1,)


def test_a_trailing_level_that_was_saved_goes_on_from_there():
    triggers = Triggers()
    triggers.arm(1, ONE, "trail_below", 97.0, trail=5.0)
    assert triggers.apply(prices(100.0)) == ()
    assert triggers.level(1) == 97.0
    triggers.apply(prices(104.0))
    assert triggers.level(1) == 99.0
    triggers.arm(1, ONE, "trail_below", 97.0, trail=5.0)
    assert triggers.apply(prices(96.0)) == (1,)


def test_a_level_lies_on_whole_steps_where_it_is_reached_earlier():
    triggers = Triggers()
    triggers.arm(1, ONE, "trail_below", math.nan, trail=1.0, step=0.5)
    seen = []
    for price in (100.0, 100.4, 100.5, 100.9, 103.0):
        triggers.apply(prices(price))
        seen.append(triggers.level(1))
    assert seen == [99.0, 99.5, 99.5, 100.0, 102.0]


def test_a_percentage_of_a_price_is_rounded_to_the_step():
    triggers = Triggers()
    triggers.arm(1, ONE, "trail_below", math.nan, trail=0.7, percent=True, step=0.05)
    triggers.arm(2, ONE, "trail_above", math.nan, trail=0.7, percent=True, step=0.05)
    triggers.apply(prices(1489.35))  # 0.7 % of it is 10.42545
    assert (triggers.level(1), triggers.level(2)) == (1478.95, 1499.75)
    assert triggers.apply(prices(1478.95)) == (1,)


def test_a_distance_below_a_step_is_one_step():
    triggers = Triggers()
    triggers.arm(1, ONE, "trail_below", math.nan, trail=0.001, percent=True, step=0.05)
    assert triggers.apply(prices(100.0)) == ()
    assert triggers.level(1) == 99.95


def test_a_tick_that_came_before_its_time_neither_fires_nor_moves():
    triggers = Triggers()
    triggers.arm(1, ONE, "trail_below", math.nan, trail=1.0, after_ns=500)
    triggers.arm(2, ONE, "below", 50.0, after_ns=500)
    assert triggers.apply(prices(200.0, 10.0, ts_recv=499)) == ()
    assert math.isnan(triggers.best(1))
    assert triggers.apply(prices(60.0, ts_recv=500)) == ()
    assert (triggers.best(1), triggers.apply(prices(50.0, ts_recv=501))) == (60.0, (1, 2))


def test_a_price_from_a_poll_fires_and_moves_alike():
    triggers = Triggers()
    triggers.arm(1, ONE, "trail_below", math.nan, trail=1.0)
    triggers.arm(2, ONE, "above", 200.0, source="mark")
    assert triggers.fire_at(ONE, 100.0, 5) == ()
    assert [triggers.fire_at(ONE, price, 6) for price in (0.0, -1.0, math.nan, math.inf)] == [()] * 4
    assert triggers.fire_at(ONE, 99.0, 4) == ()  # polled before what is known
    assert triggers.fire_at(ONE, 99.0, 5) == (1,)
    assert triggers.fired() == ((1, 99.0, 99.0, None, 5),)
    assert triggers.fire_at(ONE, 500.0, 6) == ()
    assert triggers.fire_at(ONE, 500.0, 6, source="mark") == (2,)
    assert triggers.fire_at(THREE, 500.0, 6) == ()


def test_each_source_has_prices_and_times_of_its_own():
    triggers = Triggers()
    for identity, source in ((1, "mid"), (2, "last"), (3, "mark")):
        triggers.arm(identity, ONE, "below", 50.0, source=source)
    assert triggers.apply(FEED.ticks([PriceTick(ONE, last=60.0, ts_event=9)], 20)) == ()
    assert [triggers.seen_ns(one) for one in (1, 2, 3)] == [ABSENT_INT, 20, ABSENT_INT]
    assert triggers.apply(FEED.ticks([PriceTick(ONE, 40.0, 40.0, 39.0, 41.0, ts_event=5)], 21)) == (1, 3)
    assert triggers.apply(FEED.ticks([PriceTick(ONE, last=40.0, ts_event=9)])) == (2,)


@pytest.mark.parametrize(
    ("tick", "counter"),
    [
        (PriceTick(ONE, last=0.0), "ignored_zero"),
        (PriceTick(ONE, last=-3.0), "ignored_zero"),
        (PriceTick(ONE, last=1e16), "ignored_infinite"),
        (PriceTick(ONE, bid=1.0, ask=1.0), "ignored_absent"),
        (PriceTick(ONE, last=math.inf), "ignored_absent"),  # the decoder lets no such number pass
        (PriceTick(ONE, last=1.0, ts_event=9 * SECOND), "ignored_old"),
        (PriceTick(ONE, last=1.0, ts_event=10 * SECOND), "ignored_delayed"),
        (PriceTick(None, last=1.0), "ignored_unbound"),
    ],
)
def test_nothing_fires_on_what_is_no_price_of_now(tick, counter):
    triggers = Triggers(max_delay_ns=5 * SECOND)
    triggers.arm(1, ONE, "below", 50.0)
    triggers.arm(2, ONE, "above", 1e15)
    triggers.apply(FEED.ticks([PriceTick(ONE, last=60.0, ts_event=10 * SECOND)], 11 * SECOND))
    late = 16 * SECOND if counter == "ignored_delayed" else 12 * SECOND
    assert triggers.apply(FEED.ticks([tick], late)) == ()
    assert triggers.counters[counter] == 1
    assert (len(triggers), triggers.seen_ns(1)) == (2, 11 * SECOND)


def test_a_crossed_or_one_sided_book_has_no_mid_to_fire_on():
    triggers = Triggers()
    triggers.arm(1, ONE, "below", 100.0, source="mid")
    assert triggers.apply(FEED.tops([(ONE, 60.0, 50.0), (ONE, 60.0, None), (ONE, None, 50.0)])) == ()
    assert (triggers.counters["ignored_crossed"], triggers.counters["ignored_one_sided"]) == (1, 2)
    assert triggers.apply(FEED.tops([(ONE, 60.0, 60.0)])) == (1,)


def test_what_is_disarmed_or_was_never_armed_fires_nothing():
    triggers = Triggers()
    triggers.arm(1, ONE, "below", 100.0)
    assert 1 in triggers
    assert (triggers.disarm(1), triggers.disarm(1), triggers.apply(prices(1.0))) == (True, False, ())
    assert 1 not in triggers
    for read in (triggers.level, triggers.best, triggers.seen_ns):
        with pytest.raises(KeyError):
            read(1)


def test_a_trigger_may_be_armed_anew_on_another_instrument():
    triggers = Triggers()
    triggers.arm(1, ONE, "below", 100.0)
    triggers.arm(1, TWO, "above", 100.0)
    assert triggers.apply(FEED.batch([(ONE, 1.0), (TWO, 1.0), (TWO, 100.0)])) == (1,)
    assert triggers.fired() == ((1, 100.0, 100.0, None, 0),)


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((1, ONE, "beyond", 1.0), {}, "kind is 'beyond'"),
        ((1, ONE, "below", 0.0), {}, "level is 0.0"),
        ((1, ONE, "above", math.nan), {}, "level is nan"),
        ((1, ONE, "above", math.inf), {}, "level is inf"),
        ((1, ONE, "below", 1.0), {"trail": 1.0}, "trail_below"),
        ((1, ONE, "below", 1.0), {"percent": True}, "trail_below"),
        ((1, ONE, "trail_below", 1.0), {}, "trail is None"),
        ((1, ONE, "trail_below", -1.0), {"trail": 1.0}, "level is -1.0"),
        ((1, ONE, "trail_above", 1.0), {"trail": 0.0}, "trail is 0.0"),
        ((1, ONE, "trail_below", 1.0), {"trail": 100.0, "percent": True}, "below 100 percent"),
        ((1, ONE, "trail_below", 1.0), {"trail": 1.0, "step": -0.1}, "step is -0.1"),
        ((1, ONE, "below", 1.0), {"source": "first"}, "source is 'first'"),
        ((1, ONE, "below", 1.0), {"after_ns": -1}, "after_ns is -1"),
        ((2**63, ONE, "below", 1.0), {}, "id is"),
    ],
)
def test_what_could_never_fire_is_refused(arguments, options, text):
    triggers = Triggers()
    with pytest.raises(ValueError, match=text):
        triggers.arm(*arguments, **options)
    assert len(triggers) == 0


# --- the way of a batch ---------------------------------------------------------------------------------------------


class Money:
    """A handout with marks and triggers; what happens is noted in `calls`."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.failures: list[object] = []
        self.marks, self.triggers = Marks(), Triggers()
        self.handout = Handout(
            Books(),
            mono_ns=lambda: 0,
            wall_ns=lambda: 0,
            failed=lambda handler, error: self.failures.append((handler, error)),
        )
        self.handout.marks, self.handout.triggers = self.marks, self.triggers
        self.handout.moved = self.moved
        self.handout.handlers = (lambda batch: self.calls.append(len(batch)),)

    def moved(self, fired) -> None:
        self.calls.append((fired, self.marks.total(0), self.marks.crossed()))


def test_marks_are_made_before_what_fired_is_told_and_both_before_handlers():
    money = Money()
    money.marks.set(0, ONE, 10, 100.0)
    money.triggers.arm(7, ONE, "below", 95.0)
    money.handout(prices(99.0))
    money.handout(prices(94.0))
    assert money.calls == [1, ((7,), -60.0, ()), 1]


def test_a_total_that_crosses_is_told_with_each_batch_until_it_is_asked_for():
    money = Money()
    money.marks.set(0, ONE, 10, 100.0)
    money.marks.watch(0, -50.0)
    told = []
    money.handout.moved = told.append
    money.handout(prices(94.0))
    money.handout(prices(94.0))
    assert (told, money.marks.crossed()) == ([(), ()], (0,))
    money.handout(prices(93.0))
    assert len(told) == 2


def test_without_anybody_to_tell_or_anything_to_watch_batches_go_on():
    money = Money()
    money.triggers.arm(7, ONE, "below", 95.0)
    money.handout.moved = None
    money.handout(prices(94.0))
    assert (money.calls, len(money.triggers)) == ([1], 0)
    money.handout.marks = money.handout.triggers = None
    money.triggers.arm(7, ONE, "below", 95.0)
    money.handout(prices(94.0))
    assert (money.calls, len(money.triggers)) == ([1, 1], 1)


def test_what_moved_raises_is_told_and_keeps_no_handler_from_the_batch():
    money = Money()

    def broken(_fired):
        raise ValueError("mine")

    money.handout.moved = broken
    money.triggers.arm(7, ONE, "below", 95.0)
    money.handout(prices(94.0))
    ((handler, error),) = money.failures
    assert (handler, str(error), money.calls) == (broken, "mine", [1])


def test_what_is_no_exception_of_moved_reaches_whoever_runs_the_loop():
    money = Money()

    def stopping(_fired):
        raise KeyboardInterrupt

    money.handout.moved = stopping
    money.triggers.arm(7, ONE, "below", 95.0)
    with pytest.raises(KeyboardInterrupt):
        money.handout(prices(94.0))
    assert money.calls == []


def test_moved_may_arm_again_and_hand_in_a_batch_of_its_own():
    money = Money()
    seen = []

    def moved(fired):
        seen.append(fired)
        if len(seen) < 3:
            money.triggers.arm(fired[0] + 1, ONE, "below", 95.0)
            money.handout(prices(94.0, 93.0))

    money.handout.moved = moved
    money.triggers.arm(7, ONE, "below", 95.0)
    money.handout(prices(94.0))
    assert (seen, money.calls) == ([(7,), (8,), (9,)], [2, 2, 1])


@pytest.mark.parametrize(("name", "value"), [("marks", Triggers()), ("triggers", Marks()), ("marks", len)])
def test_only_marks_mark_and_triggers_fire(name, value):
    with pytest.raises(TypeError, match=f"expected a {name.title()} or None"):
        setattr(Money().handout, name, value)


def test_a_handout_that_is_held_by_its_moved_only_is_collected():
    gone = weakref.ref(money := Money())
    del money
    gc.collect()
    assert gone() is None


def test_an_instrument_nobody_waits_for_is_not_counted():
    triggers = Triggers()
    triggers.arm(1, ONE, "below", 1.0)
    triggers.apply(FEED.batch([(TWO, 5.0), (THREE, 0.0)]))
    assert set(triggers.counters.values()) == {0}
    with pytest.raises(IndexError, match="intern_instrument"):
        triggers.arm(1, intern_instrument("TEST:PRICE0") + 2**21, "below", 1.0)
