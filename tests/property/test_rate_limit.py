"""Laws of the native rate limiter, against one that keeps every grant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import RateLimiter
from reference.rate_limit import OracleLimiter

WINDOWS = ("bucket", "rolling", "calendar")


def meter(name: str, windows: tuple[str, ...] = WINDOWS) -> st.SearchStrategy[tuple[str, int, int, str, int]]:
    return st.tuples(st.integers(1, 6), st.integers(6, 60), st.sampled_from(windows), st.integers(0, 5)).map(
        lambda m: (name, m[0], m[1], m[2], min(m[3], m[0] - 1))
    )


STEADY = st.just(0)
STEPS = st.one_of(STEADY, STEADY, st.integers(-5, 5), st.integers(-200, 200))


# (ns since the call before, cost, lane, step of the wall clock just before the call)
def calls(steps: st.SearchStrategy[int] = STEADY) -> st.SearchStrategy[list[tuple[int, int, int, int]]]:
    call = st.tuples(st.integers(0, 25), st.integers(1, 3), st.integers(0, 1), steps)
    return st.lists(call, min_size=1, max_size=40)


def within(spec: tuple[str, int, int, str, int], cost: int, lane: int) -> int:
    """The cost, cut to what the lane can ever have."""
    return min(cost, spec[1] - (0 if lane else spec[4]))


def run(spec, script, offset=0):
    """Yield (native wait, oracle, mono, wall, cost, lane) for each call, grants already recorded in both."""
    limiter = RateLimiter([spec], calendar_offset_ns=offset)
    oracle = OracleLimiter([spec], offset)
    mono, wall = 1000, 5000
    for advance, cost, lane, step in script:
        cost = within(spec, cost, lane)
        mono, wall = mono + advance, wall + advance + step
        plan = limiter.plan([("m", cost)])
        admitted = oracle.admits(mono, wall, [("m", cost)], lane)
        wait = limiter.try_acquire(mono, wall, plan, lane)
        assert (wait == 0) == admitted
        yield wait, oracle, mono, wall, cost, lane
        if admitted:
            oracle.take(mono, wall, [("m", cost)], lane)


@given(spec=meter("m"), script=calls(STEPS), offset=st.integers(-100, 100))
def test_grants_exactly_what_the_full_history_allows(spec, script, offset):
    assert len(list(run(spec, script, offset))) == len(script)


@given(spec=meter("m"), script=calls(STEPS), sample=st.data())
def test_the_wait_is_enough_and_no_shorter_one_is(spec, script, sample):
    for wait, oracle, mono, wall, cost, lane in run(spec, script):
        if wait == 0:
            continue
        assert oracle.admits(mono + wait, wall + wait, [("m", cost)], lane)
        early = sample.draw(st.integers(0, wait - 1))
        for delay in (early, wait - 1):
            assert not oracle.admits(mono + delay, wall + delay, [("m", cost)], lane)


def taken(spec, script):
    """Grants as (mono, wall, cost, lane)."""
    return [(mono, wall, cost, lane) for wait, _, mono, wall, cost, lane in run(spec, script) if wait == 0]


@given(spec=meter("m", ("rolling",)), script=calls())
def test_no_span_of_a_period_holds_more_than_the_count(spec, script):
    _, count, period, _, reserve = spec
    grants = taken(spec, script)
    for start, *_ in grants:
        span = [g for g in grants if start <= g[0] < start + period]
        assert sum(cost for _, _, cost, _ in span) <= count
        assert sum(cost for _, _, cost, lane in span if lane == 0) <= count - reserve


@given(spec=meter("m", ("calendar",)), script=calls())
def test_no_calendar_window_holds_more_than_the_count(spec, script):
    _, count, period, _, reserve = spec
    grants = taken(spec, script)
    for window in {wall // period for _, wall, _, _ in grants}:
        inside = [g for g in grants if g[1] // period == window]
        assert sum(cost for _, _, cost, _ in inside) <= count
        assert sum(cost for _, _, cost, lane in inside if lane == 0) <= count - reserve


@given(spec=meter("m", ("calendar",)), script=calls(STEPS))
def test_by_the_clock_as_it_reads_no_window_ever_holds_more_than_the_count(spec, script):
    _, count, period, _, _ = spec
    grants = taken(spec, script)
    for i, (mono, wall, _, _) in enumerate(grants):
        began = mono - wall % period
        assert sum(cost for at, _, cost, _ in grants[: i + 1] if at >= began) <= count


@given(
    spec=meter("m", ("calendar",)),
    before=calls(),
    step=st.integers(1, 300),
    after=calls(),
)
def test_a_step_back_does_not_refill_the_window_that_was_open(spec, before, step, after):
    _, count, period, _, _ = spec
    advance, cost, lane, _ = after[0]
    grants = taken(spec, [*before, (advance, cost, lane, -step), *after[1:]])
    stepped = 1000 + sum(call[0] for call in before)
    old_wall = {mono: mono + 4000 for mono, *_ in grants}  # what a server true to the old reading has on its clock
    open_window = (stepped + 4000) // period
    seen = [cost for mono, _, cost, _ in grants if old_wall[mono] // period == open_window]
    assert sum(seen) <= count


@given(spec=meter("m", ("bucket",)), script=calls())
def test_a_bucket_gives_its_burst_and_then_its_rate(spec, script):
    _, count, period, _, _ = spec
    grants = taken(spec, script)
    for i, (start, *_) in enumerate(grants):
        for end, *_ in grants[i:]:
            inside = sum(cost for mono, _, cost, _ in grants if start <= mono <= end)
            assert inside * period <= count * period + count * (end - start)


@given(count=st.integers(1, 50), period=st.integers(50, 5000))
def test_an_idle_bucket_holds_its_whole_count_and_refills_in_a_period(count, period):
    limiter = RateLimiter([("m", count, period, "bucket", 0)])
    plan = limiter.plan([("m", 1)])
    assert [limiter.try_acquire(0, 0, plan) for _ in range(count)] == [0] * count
    wait = limiter.try_acquire(0, 0, plan)
    assert wait == -(-period // count)
    assert limiter.try_acquire(wait * count, 0, limiter.plan([("m", count)])) == 0


@given(first=meter("a"), second=meter("b"), third=meter("c"), script=calls(STEPS))
def test_several_meters_are_taken_together_or_not_at_all(first, second, third, script):
    specs = [first, second, third]
    limiter, oracle = RateLimiter(specs), OracleLimiter(specs)
    mono = wall = 1000
    for advance, cost, lane, step in script:
        mono, wall = mono + advance, wall + advance + step
        costs = [(spec[0], within(spec, cost, lane)) for spec in specs[: 1 + (advance % 3)]]
        plan = limiter.plan(costs)
        before = limiter.state(mono, wall)
        wait = limiter.try_acquire(mono, wall, plan, lane)
        if oracle.admits(mono, wall, costs, lane):
            assert wait == 0
            oracle.take(mono, wall, costs, lane)
        else:
            assert limiter.state(mono, wall) == before
            assert wait > 0
            assert oracle.admits(mono + wait, wall + wait, costs, lane)


@given(spec=meter("m").filter(lambda m: m[4] > 0), script=calls())
def test_lane_0_never_takes_what_is_kept_for_lane_1(spec, script):
    limiter = RateLimiter([spec])
    reserve = limiter.plan([("m", spec[4])])
    mono = 0
    for advance, cost, _, _ in script:
        mono += advance
        wait = limiter.try_acquire(mono, mono, limiter.plan([("m", within(spec, cost, 0))]), 0)
        assert wait >= 0
        assert limiter.state(mono, mono)["m"]["count"] - limiter.state(mono, mono)["m"]["used"] >= spec[4]
    assert limiter.try_acquire(mono, mono, reserve, 1) == 0


@given(spec=meter("m"), script=calls(), cost=st.integers(1, 3), lane=st.integers(0, 1))
def test_refund_at_once_undoes_the_grant(spec, script, cost, lane):
    limiter = RateLimiter([spec])
    mono = 0
    for advance, size, chosen, _ in script:
        mono += advance
        limiter.try_acquire(mono, mono, limiter.plan([("m", within(spec, size, chosen))]), chosen)
    mono += 1
    plan = limiter.plan([("m", within(spec, cost, lane))])
    before = limiter.state(mono, mono)
    if limiter.try_acquire(mono, mono, plan, lane) == 0:
        limiter.refund(plan, mono, lane)
    assert limiter.state(mono, mono) == before


@given(spec=meter("m"), script=calls(), refunds=st.lists(st.integers(0, 5), min_size=40, max_size=40))
def test_late_refunds_never_make_room_that_is_not_there(spec, script, refunds):
    """A call whose number in `refunds` is n > 0 is given back after n more calls."""
    limiter = RateLimiter([spec])
    due: dict[int, list[int]] = {}
    grants: dict[int, tuple[int, int, int, int]] = {}
    kept: dict[int, tuple[int, int]] = {}
    mono = 0
    for i, ((advance, cost, lane, _), delay) in enumerate(zip(script, refunds, strict=False)):
        mono += advance + 1  # distinct times, so that each refund names one grant
        for index in due.pop(i, ()):
            at, plan, _, of_lane = grants[index]
            limiter.refund(plan, at, of_lane)
            kept.pop(index)
        cost = within(spec, cost, lane)
        plan = limiter.plan([("m", cost)])
        if limiter.try_acquire(mono, mono, plan, lane) == 0:
            grants[i] = (mono, plan, cost, lane)
            kept[i] = (mono, cost)
            if delay:
                due.setdefault(i + delay, []).append(i)
        oracle = OracleLimiter([spec])
        for at, size in kept.values():
            assert oracle.admits(at, at, [("m", size)], 1)
            oracle.take(at, at, [("m", size)], 1)


@given(spec=meter("m"), until=st.integers(1, 500), lane=st.integers(0, 1))
def test_a_penalised_meter_is_refused_until_then(spec, until, lane):
    limiter = RateLimiter([spec])
    plan = limiter.plan([("m", 1)])
    limiter.penalise("m", until)
    limiter.penalise("m", until // 2)
    assert limiter.try_acquire(0, 0, plan, lane) == until
    assert limiter.state(0, 0)["m"]["left"] == 0
    assert limiter.state(0, 0)["m"]["penalty_ns"] == until
    assert limiter.try_acquire(until, until, plan, lane) == 0


@pytest.mark.parametrize(
    ("meters", "found", "expected"),
    [
        ([("m", 0, 10, "rolling", 0)], "'m' has count 0", "1 to"),
        ([("m", 10**7, 10**9, "rolling", 0)], "'m' has count 10000000", "1 to 1000000"),
        ([("m", 11, 10, "bucket", 0)], "'m' has count 11", "one per ns"),
        ([("m", 5, 0, "rolling", 0)], "'m' has period_ns 0", "1 to"),
        ([("m", 5, 10, "rolling", 5)], "'m' has reserve 5", "0 to 4"),
        ([("m", 5, 10, "sliding", 0)], "'m' has window 'sliding'", "bucket, rolling or calendar"),
        ([("m", 5, 10, "rolling", 0)] * 2, "'m' is given twice", "distinct names"),
        ([("m", 5, 10)], "has 3 items", "name, count, period_ns, window, reserve"),
        ([("", 5, 10, "rolling", 0)], "no name", "expected one"),
    ],
)
def test_an_impossible_meter_is_named_with_what_was_expected(meters, found, expected):
    with pytest.raises(ValueError, match="rate limit") as caught:
        RateLimiter(meters)
    assert found in str(caught.value)
    assert expected in str(caught.value)


def test_an_unknown_meter_or_an_impossible_cost_makes_no_plan():
    limiter = RateLimiter([("orders/1s", 10, 10**9, "rolling", 2), ("orders/1d", 3000, 86_400 * 10**9, "calendar", 0)])
    with pytest.raises(ValueError, match=r"no meter 'order', expected one of: orders/1s, orders/1d"):
        limiter.plan([("order", 1)])
    with pytest.raises(ValueError, match=r"'orders/1s' has a cost of 11, expected 1 to 10"):
        limiter.plan([("orders/1s", 11)])
    with pytest.raises(ValueError, match=r"cost of 5 after 6"):
        limiter.plan([("orders/1s", 6), ("orders/1s", 5)])
    with pytest.raises(ValueError, match=r"no plan was registered"):
        limiter.try_acquire(0, 0, 0)
    assert limiter.plan([("orders/1s", 9)]) == limiter.plan([("orders/1s", 4), ("orders/1s", 5)]) == 0


def test_a_cost_above_the_count_less_the_reserve_is_an_error_on_lane_0_only():
    limiter = RateLimiter([("m", 10, 100, "rolling", 2)])
    plan = limiter.plan([("m", 9)])
    with pytest.raises(ValueError, match=r"more of meter 'm' than lane 0 can ever have"):
        limiter.try_acquire(0, 0, plan, 0)
    assert limiter.try_acquire(0, 0, plan, 1) == 0


def test_calls_out_of_range_are_refused():
    limiter = RateLimiter([("m", 10, 100, "rolling", 2)])
    plan = limiter.plan([("m", 1)])
    for arguments in ((-1, 0, plan), (2**62, 0, plan), (0, 2**63 - 1, plan), (0, 0, plan + 1), (0, 0, plan, 2)):
        with pytest.raises(ValueError, match=r"rate limit: .* expected .* to "):
            limiter.try_acquire(*arguments)
    with pytest.raises(ValueError, match="no meter"):
        limiter.penalise("other", 5)
    assert limiter.state(0, 0)["m"]["used"] == 0


def test_calendar_days_start_at_the_servers_midnight():
    day, hour = 86_400 * 10**9, 3600 * 10**9
    india = 5 * hour + hour // 2
    limiter = RateLimiter([("m", 1, day, "calendar", 0)], calendar_offset_ns=india)
    plan = limiter.plan([("m", 1)])
    midnight = 20_000 * day - india  # UTC instant of 00:00 at UTC+05:30
    assert limiter.try_acquire(0, midnight - hour, plan) == 0
    assert limiter.try_acquire(1, midnight - hour + 1, plan) == hour - 1
    assert limiter.try_acquire(hour, midnight, plan) == 0


def test_a_refund_from_the_window_before_leaves_the_present_one_as_full_as_it_is():
    limiter = RateLimiter([("m", 3, 100, "calendar", 0)])
    plan = limiter.plan([("m", 1)])
    for now in (90, 110, 111):
        assert limiter.try_acquire(now, now, plan) == 0
    limiter.refund(plan, 90)
    # The clock steps back inside the window that two grants were made in, so only one more fits.
    assert limiter.try_acquire(150, 105, plan) == 0
    assert limiter.try_acquire(151, 106, plan) > 0
