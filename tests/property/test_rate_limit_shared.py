"""Several handles on one file count as one limiter, and a broker that counts by its own clock never sees too many."""

from __future__ import annotations

import heapq
import itertools
import os
import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman._core import RateLimiter, SharedRateLimiter
from dragoman.plugin import RateLimit, Window
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.limiter import GUARD_S, Limiter
from reference.rate_limit import CalendarServer

MS, S = 10**6, 10**9
NORMAL, RISK = 0, 1
PERIOD = int((1 + GUARD_S) * S)
TEN_A_SECOND = RateLimit("orders", 10, "1s", window=Window.CALENDAR, reserve=1)
SPEC = [("a", 5, 40, "rolling", 1), ("b", 6, 60, "calendar", 2), ("c", 4, 50, "bucket", 0)]


def handles(folder: str, specs, count=3, **more):
    path = os.path.join(folder, "orders.rates")
    return [SharedRateLimiter(path, specs, 0, 0, **more) for _ in range(count)]


CALL = st.tuples(
    st.integers(0, 2), st.integers(0, 25), st.sampled_from(["take", "take", "take", "refund", "penalise"]),
    st.integers(0, 1), st.integers(1, 2), st.sets(st.sampled_from("abc"), min_size=1),
)  # fmt: skip


@settings(max_examples=60)
@given(script=st.lists(CALL, max_size=60))
def test_three_handles_on_one_file_are_one_limiter(script):
    single = RateLimiter(SPEC)
    with tempfile.TemporaryDirectory() as folder:
        shared = handles(folder, SPEC)
        mono = 0
        taken = []
        for who, advance, what, lane, cost, names in script:
            mono += advance + 1
            costs = [(name, cost) for name in sorted(names)]
            if what == "take":
                waits = [x.try_acquire(mono, mono, x.plan(costs), lane) for x in (single, shared[who])]
                assert waits[0] == waits[1]
                if waits[0] == 0:
                    taken.append((costs, mono, lane))
            elif what == "refund" and taken:
                costs, at, of_lane = taken.pop()
                for x in (single, shared[who]):
                    x.refund(x.plan(costs), at, of_lane)
            elif what == "penalise":
                for x in (single, shared[who]):
                    x.penalise(min(names), mono + advance)
            states = [x.state(mono, mono) for x in (single, *shared)]
            assert all(state == states[0] for state in states)


@given(
    script=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3), st.integers(0, 1)), max_size=30),
    down=st.integers(0, 300),
    up=st.integers(0, 100),
)
def test_after_a_restart_a_long_limit_holds_what_it_held_and_a_short_one_is_never_overrun(script, down, up):
    """Times in seconds; the machine goes down after the script, and comes up with a new monotonic clock."""
    short, long = ("short", 5, 20 * S, "rolling", 1), ("long", 12, 600 * S, "rolling", 2)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x")
        mono, wall = 1000 * S, 9000 * S
        before = SharedRateLimiter(path, [short, long], mono, wall, boot_id="before")
        single = RateLimiter([long])
        for advance, cost, lane in script:
            mono, wall = mono + advance * S, wall + advance * S
            plan = before.plan([("short", cost), ("long", cost)])
            if before.try_acquire(mono, wall, plan, lane) == 0:
                assert single.try_acquire(wall, wall, single.plan([("long", cost)]), lane) == 0
        del before
        wall += (down + up) * S
        after = SharedRateLimiter(path, [short, long], up * S, wall, boot_id="after")
        state = after.state(up * S, wall)
        assert state["long"] == single.state(wall, wall)["long"]
        assert state["short"]["used"] == (5 if up < 20 else 0)


@settings(max_examples=60)
@given(
    came=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=2, max_size=9),
    order=st.randoms(use_true_random=False),
)
def test_whoever_waits_is_served_in_the_order_of_arrival_cancels_first_across_processes(came, order):
    """One place a period; each handle asks for the head of its line only, whenever the seed lets it."""
    with tempfile.TemporaryDirectory() as folder:
        shared = handles(folder, [("m", 1, 100 * MS, "rolling", 0)])
        plan, *others = [x.plan([("m", 1)]) for x in shared]
        assert others == [plan, plan]
        assert shared[0].try_acquire(0, 0, plan) == 0
        lines = {(who, lane): [] for who in range(3) for lane in (0, 1)}
        for at, (who, lane) in enumerate(came, 1):
            lines[who, lane].append(at)
        now, served = len(came) + 1, []
        while any(lines.values()):
            heads = [key for key, line in lines.items() if line]
            order.shuffle(heads)
            for who, lane in heads:
                at = lines[who, lane][0]
                if shared[who].try_acquire(now, now, plan, lane, at) == 0:
                    served.append((-lane, at))
                    lines[who, lane].pop(0)
                    if lines[who, lane]:  # the next of that line takes the ticket over at once
                        assert shared[who].try_acquire(now, now, plan, lane, lines[who, lane][0]) > 0
            now += 10 * MS
        assert served == sorted(served)


def test_a_ticket_lapses_when_its_owner_no_longer_asks():
    with tempfile.TemporaryDirectory() as folder:
        first, second, _ = handles(folder, [("m", 1, 100 * MS, "rolling", 0)])
        plan = first.plan([("m", 1)])
        assert second.plan([("m", 1)]) == plan
        assert first.try_acquire(0, 0, plan) == 0
        assert first.try_acquire(1, 1, plan, NORMAL, 1) == 100 * MS - 1
        due = 100 * MS
        assert second.try_acquire(due, due, plan) == MS  # a live owner keeps its place for a moment
        assert second.try_acquire(due + 51 * MS, due, plan) == 0


def test_a_ticket_that_is_given_up_stands_in_nobodys_way():
    with tempfile.TemporaryDirectory() as folder:
        first, second, third = handles(folder, [("m", 2, 100 * MS, "rolling", 0)])
        one, two = first.plan([("m", 1)]), first.plan([("m", 2)])
        for handle in (second, third):
            assert handle.plan([("m", 1)]) == one
        assert first.try_acquire(0, 0, one) == 0
        assert first.try_acquire(1, 1, two, NORMAL, 1) > 0
        assert second.try_acquire(2, 2, one) > 0  # there is room, but who waits for two came first
        first.leave(two)
        assert second.try_acquire(3, 3, one) == 0
        first.try_acquire(4, 4, two, NORMAL, 4)
        del first  # closing gives it up as well
        assert third.try_acquire(100 * MS, 100 * MS, one) == 0


def test_more_lines_than_there_are_tickets_go_by_the_counts_alone():
    with tempfile.TemporaryDirectory() as folder:
        many = handles(folder, [("m", 1, 100 * MS, "rolling", 0)], 70)
        plans = {x.plan([("m", 1)]) for x in many}
        assert many[0].try_acquire(0, 0, min(plans)) == 0
        for i, handle in enumerate(many, 1):
            assert handle.try_acquire(i, i, 0, NORMAL, i) == 100 * MS - i
        assert many[69].try_acquire(100 * MS, 100 * MS, 0, NORMAL, 70) > 0
        assert many[0].try_acquire(100 * MS, 100 * MS, 0, NORMAL, 1) == 0


# -- against a broker's own count ------------------------------------------------------------------------------------


@dataclass
class Desk:
    """A process: its handle, its idea of the wall clock, and the cancels that wait in it."""

    handle: SharedRateLimiter
    skew_ns: int
    plan: int = 0
    cancels: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plan = self.handle.plan([("orders/1s", 1)])


@dataclass
class Result:
    worst: int  # most that arrived in one of the server's seconds
    rate: float
    overdue_s: float  # by how much a cancel waited longer than the cancels before it explain


def simulate(seed: int, period_ns: int | None = None, seconds: int = 40) -> Result:
    """Three desks with more orders than they may send, and cancels now and then, against a server's own seconds.

    Every clock is off by up to a second, requests travel 20 ms and up to 200 more.
    """
    chance = random.Random(seed)
    meters = Limiter(VirtualRuntime(), (TEN_A_SECOND,)).meters
    if period_ns is not None:
        meters = [(name, count, period_ns, "rolling", reserve) for name, count, _, _, reserve in meters]
    epoch = 1_700_000_000 * S
    server = CalendarServer(S, chance.randint(-S, S))
    with tempfile.TemporaryDirectory() as folder:
        desks = [Desk(handle, chance.randint(-S, S)) for handle in handles(folder, meters)]
        turn = itertools.count()
        events = [(chance.randrange(MS), next(turn), who, NORMAL) for who in range(3)]
        for who in range(3):
            at = 0.0
            while (at := at + chance.expovariate(0.2)) < seconds:
                events += [(int(at * S) + i, next(turn), who, RISK) for i in range(chance.choice((1, 1, 1, 6)))]
        heapq.heapify(events)
        came: dict[int, int] = {}
        allowed: dict[int, int] = {}
        sent, overdue = 0, -S
        while events and events[0][0] < seconds * S:
            now, number, who, lane = heapq.heappop(events)
            desk = desks[who]
            arrival = came.setdefault(number, now)
            if lane == RISK and number not in desk.cancels:
                # Ten go in any period and cancels go first, so each is through in the period of its turn.
                ahead = sum(len(other.cancels) for other in desks)
                allowed[number] = PERIOD * (1 + ahead // 10) + 50 * MS
                desk.cancels.append(number)
            if lane == RISK and desk.cancels[0] != number:
                continue  # its turn comes when the one before it has gone
            wait = desk.handle.try_acquire(now, epoch + now + desk.skew_ns, desk.plan, lane, arrival)
            if wait:
                late = chance.randrange(2 * MS)  # no loop wakes on time
                heapq.heappush(events, (now + min(wait, S // 2) + late, number, who, lane))
                continue
            server.arrive(epoch + now + 20 * MS + chance.randrange(200 * MS))
            sent += 1
            if lane == RISK:
                desk.cancels.pop(0)
                if desk.cancels:
                    heapq.heappush(events, (now, desk.cancels[0], who, RISK))
                overdue = max(overdue, now - arrival - allowed[number])
            else:
                heapq.heappush(events, (now + chance.randrange(5 * MS), next(turn), who, NORMAL))
        for number in itertools.chain(*(desk.cancels for desk in desks)):
            overdue = max(overdue, seconds * S - came[number] - allowed[number])
        return Result(server.worst, sent / seconds, overdue / S)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_the_broker_never_counts_too_many_in_its_own_seconds_and_seven_a_second_get_through(seed):
    result = simulate(seed)
    assert result.worst <= 10
    assert result.rate >= 7
    assert result.overdue_s <= 0


def test_without_the_guard_the_broker_counts_too_many():
    assert max(simulate(seed, period_ns=S).worst for seed in range(3)) > 10


def test_orders_alone_get_seven_a_second_through():
    counts: Counter[int] = Counter()
    meters = Limiter(VirtualRuntime(), (TEN_A_SECOND,)).meters
    limiter = RateLimiter(meters)
    plan = limiter.plan([("orders/1s", 1)])
    now = 0
    while now < 60 * S:
        wait = limiter.try_acquire(now, now, plan)
        counts[wait == 0] += 1
        now += wait
    assert counts[True] / 60 >= 7


# -- what cannot be trusted ------------------------------------------------------------------------------------------


def test_another_set_of_limits_is_an_error_that_names_both(tmp_path):
    path = str(tmp_path / "x")
    SharedRateLimiter(path, SPEC, 0, 0)
    with pytest.raises(RuntimeError, match=r"x counts 'a 5 per 40 ns rolling less 1; .*', expected 'a 6 per .*remove"):
        SharedRateLimiter(path, [("a", 6, *SPEC[0][2:]), *SPEC[1:]], 0, 0)
    assert SharedRateLimiter(path, SPEC, 0, 0).recoveries == 0


@settings(max_examples=80)
@given(at=st.integers(0, 2**20), value=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_file_is_refused_or_still_holds_every_count_below_its_limit(at, value, cut):
    with tempfile.TemporaryDirectory() as folder:
        (handle,) = handles(folder, SPEC, 1)
        path = handle.path
        handle.try_acquire(5, 5, handle.plan([("a", 2), ("b", 1), ("c", 3)]), RISK)
        del handle
        with open(path, "r+b") as file:
            data = bytearray(file.read())
            at %= len(data)
            if cut:
                del data[max(at, 8) :]
            else:
                data[at] ^= value
            file.seek(0)
            file.truncate()
            file.write(data)
        if cut:
            with pytest.raises(RuntimeError, match="remove it"):
                handles(folder, SPEC, 1)
            return
        try:
            (handle,) = handles(folder, SPEC, 1)
        except RuntimeError:
            return
        assert handle.try_acquire(6, 6, handle.plan([("a", 1)]), NORMAL) >= 0
        for use in handle.state(6, 6).values():
            assert 0 <= use["used"] <= use["count"]


def test_an_empty_file_is_a_new_one_and_is_kept_from_others(tmp_path):
    path = tmp_path / "deep" / "er" / "x"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o600)
    handle = SharedRateLimiter(str(path), SPEC, 0, 0)
    assert handle.state(0, 0)["a"]["used"] == 0
    assert path.stat().st_mode & 0o777 == 0o600
    fresh = SharedRateLimiter(str(tmp_path / "new" / "x"), SPEC, 0, 0)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert os.stat(fresh.path).st_mode & 0o777 == 0o600


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "target").touch(mode=0o600)
    (tmp_path / "x").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        SharedRateLimiter(str(tmp_path / "x"), SPEC, 0, 0)
    assert (tmp_path / "target").stat().st_size == 0


@settings(max_examples=60)
@given(
    script=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["take", "take", "give", "close"]), st.integers(0, 6)), max_size=60
    )
)
def test_leases_over_three_handles_are_one_count(script):
    with tempfile.TemporaryDirectory() as folder:
        keeper, *shared = handles(folder, SPEC, count=4)
        path = shared[0].path
        held: list[set[int]] = [set(), set(), set()]
        for who, what, number in script:
            total = sum(map(len, held))
            if what == "take":
                got = shared[who].lease(number)
                assert (got is not None) == (total < number)
                if got is not None:
                    assert not any(got in numbers for numbers in held)
                    held[who].add(got)
            elif what == "give":
                shared[who].release(number)  # of another handle, or of none: nothing happens
                held[who].discard(number)
            else:
                shared[who] = None
                shared[who] = SharedRateLimiter(path, SPEC, 0, 0)
                held[who].clear()
            total = sum(map(len, held))
            assert keeper.lease_holders() == ({os.getpid(): total} if total else {})
