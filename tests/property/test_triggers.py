"""Laws of the native triggers, against a table that asks every one at every price, through the real decoder."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import ABSENT_INT, Triggers
from reference.money import PlainTriggers, PriceFeed, PriceTick, Trigger

INSTRUMENTS = 3
FEED = PriceFeed(INSTRUMENTS)
SECOND = 1_000_000_000
SOURCES = st.sampled_from(["last", "last", "mark", "mid"])
IDS = st.integers(0, 9)
HANDLES = st.sampled_from(FEED.handles)

# Few, so that they meet levels exactly; some that are no price; decimals that float64 cannot write.
GOOD = st.integers(1, 40).map(lambda n: n / 10)
BAD = st.sampled_from([0.0, -0.1, -1e300, 1e16, math.inf, -math.inf, math.nan])
PRICES = st.one_of(GOOD, GOOD, GOOD, BAD, st.none())
TIMES = st.one_of(st.none(), st.integers(1, 60).map(lambda n: n * SECOND), st.just(9 * 3600 * SECOND))
TICKS = st.builds(PriceTick, st.one_of(HANDLES, HANDLES, HANDLES, st.none()), PRICES, PRICES, PRICES, PRICES, TIMES)
AFTER = st.one_of(st.just(0), st.integers(1, 60).map(lambda n: n * SECOND))

FIXED = st.builds(Trigger, HANDLES, st.sampled_from(["below", "above"]), GOOD, source=SOURCES, after_ns=AFTER)
TRAILING = st.builds(
    Trigger,
    HANDLES,
    st.sampled_from(["trail_below", "trail_above"]),
    st.one_of(GOOD, st.just(math.nan)),
    trail=st.sampled_from([0.1, 0.3, 1.0, 50.0]),
    source=SOURCES,
    after_ns=AFTER,
    percent=st.booleans(),
    step=st.sampled_from([0.0, 0.05, 0.5]),
)
STEPS = st.one_of(
    st.tuples(st.just("arm"), IDS, st.one_of(FIXED, TRAILING)),
    st.tuples(st.just("arm"), IDS, st.one_of(FIXED, TRAILING)),
    st.tuples(st.just("disarm"), IDS),
    st.tuples(st.just("apply"), st.lists(TICKS, max_size=8), st.integers(0, 60)),
    st.tuples(st.just("apply"), st.lists(TICKS, max_size=8), st.integers(0, 60)),
    st.tuples(st.just("poll"), HANDLES, st.one_of(GOOD, BAD), st.integers(1, 60), SOURCES),
)


def copied(one: Trigger) -> Trigger:
    """Hypothesis shows what it drew, so what it drew must not move."""
    return Trigger(**{name: getattr(one, name) for name in one.__dataclass_fields__})


def arm(triggers, identity, one):
    options = {} if math.isnan(one.trail) else {"trail": one.trail, "percent": one.percent, "step": one.step}
    triggers.arm(identity, one.instrument, one.kind, one.level, source=one.source, after_ns=one.after_ns, **options)


def play(triggers, plain, step):
    what, *rest = step
    if what == "arm":
        identity, one = rest
        arm(triggers, identity, one)
        plain.arm(identity, copied(one))
    elif what == "disarm":
        assert triggers.disarm(rest[0]) == (plain.armed.pop(rest[0], None) is not None)
    elif what == "apply":
        ticks, seconds = rest
        fired = triggers.apply(FEED.ticks(ticks, seconds * SECOND))
        assert list(fired) == plain.apply(ticks, seconds * SECOND)
    else:
        handle, price, seconds, source = rest
        fired = triggers.fire_at(handle, price, seconds * SECOND, source=source)
        assert list(fired) == plain.fire_at(handle, price, seconds * SECOND, source)


def same(one, other):
    return one == other or (math.isnan(one) and math.isnan(other))


@given(steps=st.lists(STEPS, max_size=30), max_delay=st.sampled_from([0, 0, 20 * SECOND]))
def test_any_arming_and_any_batches_fire_what_a_table_would(steps, max_delay):
    triggers, plain = Triggers(max_delay_ns=max_delay), PlainTriggers(max_delay)
    for step in steps:
        play(triggers, plain, step)
        assert len(triggers) == len(plain.armed)
        for identity, one in plain.armed.items():
            assert same(triggers.level(identity), one.level)
            assert same(triggers.best(identity), one.best)
            assert triggers.seen_ns(identity) == plain.clocks[one.instrument, one.source].ts_recv
    assert {name: count for name, count in triggers.counters.items() if count and name != "ahead"} == plain.counters


@given(
    armed=st.lists(st.one_of(FIXED, TRAILING), max_size=8), batches=st.lists(st.lists(TICKS, max_size=8), max_size=8)
)
def test_a_trigger_fires_once_at_a_price_beyond_its_level(armed, batches):
    triggers = Triggers()
    for identity, one in enumerate(armed):
        arm(triggers, identity, one)
    fired: list[int] = []
    for number, batch in enumerate(batches):
        now = triggers.apply(FEED.ticks(batch, (number + 1) * 10 * SECOND))
        told = triggers.fired()
        assert tuple(row[0] for row in told) == now
        for identity, price, level, _, ts_recv in told:
            one = armed[identity]
            assert price <= level if one.falls else price >= level
            assert 0 < price <= 1e15
            assert ts_recv >= one.after_ns
        fired += now
    assert len(set(fired)) == len(fired)
    assert len(triggers) == len(armed) - len(fired)


@given(one=TRAILING, prices=st.lists(st.one_of(GOOD, BAD), max_size=20))
def test_a_trailing_level_only_ever_comes_closer(one, prices):
    triggers = Triggers()
    one.after_ns, one.source = 0, "last"
    arm(triggers, 1, one)
    before = triggers.level(1)
    for price in prices:
        if triggers.apply(FEED.batch([(one.instrument, price)])):
            break
        level = triggers.level(1)
        assert math.isnan(before) or (level >= before if one.falls else level <= before)
        if not math.isnan(triggers.best(1)):
            assert triggers.best(1) > level if one.falls else triggers.best(1) < level
        before = level


@given(one=st.one_of(FIXED, TRAILING), price=BAD, ts_event=TIMES)
def test_no_bad_price_fires_or_moves_anything(one, price, ts_event):
    triggers = Triggers()
    one.after_ns = 0
    arm(triggers, 1, one)
    tick = PriceTick(one.instrument, price, price, price, price, ts_event)
    assert triggers.apply(FEED.ticks([tick])) == ()
    assert triggers.fire_at(one.instrument, price, 1, source=one.source) == ()
    assert same(triggers.level(1), one.level)
    assert (math.isnan(triggers.best(1)), triggers.seen_ns(1)) == (True, ABSENT_INT)


@given(
    armed=st.lists(st.one_of(FIXED, TRAILING), max_size=8),
    batch=st.lists(TICKS, max_size=12),
    cuts=st.lists(st.integers(0, 12), max_size=3),
)
def test_how_ticks_are_cut_into_batches_makes_no_difference(armed, batch, cuts):
    whole, parts = Triggers(), Triggers()
    for identity, one in enumerate(armed):
        arm(whole, identity, one)
        arm(parts, identity, one)
    fired: list[int] = []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), 12], strict=True):
        fired += parts.apply(FEED.ticks(batch[begin:end], 30 * SECOND))
    assert tuple(fired) == whole.apply(FEED.ticks(batch, 30 * SECOND))


@given(levels=st.lists(st.tuples(GOOD, SOURCES), max_size=12), order=st.randoms(use_true_random=False))
def test_what_one_tick_fires_stands_as_it_was_armed(levels, order):
    triggers = Triggers()
    identities = list(range(len(levels)))
    order.shuffle(identities)
    for identity, (level, source) in zip(identities, levels, strict=True):
        triggers.arm(identity, FEED.handles[0], "below", level, source=source)
    assert list(triggers.apply(FEED.ticks([PriceTick(FEED.handles[0], 0.1, 0.1, 0.1, 0.1)]))) == identities
