"""Waiters are served in turn, cancels first, and whoever cannot be served in time hears it at once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dragoman.errors import Effect, ErrorKind, Retry, Throttled, UsageError
from dragoman.plugin import Failure, Lane, RateLimit, Reply, Request, Scope, Window
from dragoman.runtime.virtual import MONDAY_MORNING_NS, VirtualRuntime
from dragoman.session.limiter import Limiter, retry_after_s

S = 1_000_000_000
ORDERS = RateLimit("orders", 3, "1s", window=Window.ROLLING, reserve=1)
MODIFY = RateLimit("orders", 2, scope=Scope.ORDER)
READ = Request(meter="default")
ORDER = Request(meter="orders")
CANCEL = Request(meter="orders", lane=Lane.RISK)


class World:
    def __init__(self, *limits, **more):
        self.runtime = VirtualRuntime()
        self.limiter = Limiter(self.runtime, limits, broker="toy", **more)
        self.served: list[str] = []

    def __enter__(self):
        return self

    def __exit__(self, *ended):
        self.runtime.close()

    @property
    def now(self) -> int:
        return self.runtime.clock.mono_ns()

    def take(self, name, request, wait_s=60.0):
        async def main():
            grant = await self.limiter.acquire(request, self.now + int(wait_s * S))
            self.served.append(name)
            return grant

        return self.runtime.spawn(main(), name=name)

    def run(self, main):
        return self.runtime.run(main())


def test_waiters_are_served_first_in_first_out():
    with World(ORDERS) as world:

        async def main():
            began = world.now
            await asyncio.wait([world.take(f"n{i}", ORDER) for i in range(6)])
            return world.now - began

        took = world.run(main)
        assert world.served == [f"n{i}" for i in range(6)]
        assert 2 * S <= took < 2 * S + S // 10


def test_a_cancel_passes_waiting_orders_but_not_other_cancels():
    with World(ORDERS) as world:

        async def main():
            tasks = [world.take(f"n{i}", ORDER) for i in range(4)]
            await world.runtime.sleep(0.1)
            tasks += [world.take(f"c{i}", CANCEL) for i in range(3)]
            await asyncio.wait(tasks)

        world.run(main)
        assert world.served[:3] == ["n0", "n1", "c0"]  # the reserve serves a cancel at once
        assert world.served.index("c2") < world.served.index("n2")
        assert [name for name in world.served if name[0] == "c"] == ["c0", "c1", "c2"]
        assert [name for name in world.served if name[0] == "n"] == ["n0", "n1", "n2", "n3"]


def test_taking_at_once_passes_nobody_who_waits():
    with World(ORDERS) as world:

        async def main():
            limiter = world.limiter
            taken = [limiter.take(ORDER), limiter.take(ORDER)]
            limiter.refund(taken.pop())
            waiting = world.take("dear", Request(meter="orders", cost=2))
            await world.runtime.sleep(0.1)
            found = [limiter.take(ORDER), limiter.take(CANCEL)]  # there is room, but not before who waits for more
            await waiting
            await world.runtime.sleep(1.1)
            return found, [limiter.take(ORDER) for _ in range(3)]

        (order, cancel), later = world.run(main)
        assert order is None
        assert cancel is not None
        assert [grant is not None for grant in later] == [True, True, False]


def test_what_was_taken_at_once_is_given_back_once():
    with World(ORDERS) as world:
        limiter = world.limiter
        one, other = limiter.take(ORDER), limiter.take(ORDER)
        assert limiter.take(ORDER) is None
        assert (other.lane, other.mono_ns, other.orders, other.refunded) == (Lane.NORMAL, world.now, (), False)
        limiter.refund(other)
        limiter.refund(other)
        assert limiter.state()["orders/1s"]["used"] == 1
        assert limiter.take(ORDER) is not None
        assert one is not other


def test_a_penalty_and_an_orders_own_limit_hold_for_what_is_taken_at_once():
    with World(ORDERS, MODIFY) as world:
        limiter = world.limiter
        change = Request(meter="orders", limit_key="7")
        assert None not in (limiter.take(ORDER), limiter.take(change))

        async def main():
            await world.runtime.sleep(1.1)
            assert limiter.take(change) is not None
            await world.runtime.sleep(1.1)
            with pytest.raises(Throttled, match="order 7 used 2 of 2"):
                limiter.take(change)
            limiter.learn(ORDER, Reply(429, {"retry-after": "5"}, b""))
            assert limiter.take(ORDER) is limiter.take(CANCEL) is None
            await world.runtime.sleep(5.1)
            return limiter.take(ORDER)

        assert world.run(main) is not None


def test_a_wait_past_the_deadline_is_refused_at_once_with_the_wait():
    with World(ORDERS) as world:

        async def main():
            for _ in range(2):
                await world.take("n", ORDER)
            began = world.now
            with pytest.raises(Throttled) as raised:
                await world.limiter.acquire(ORDER, world.now + S // 2)
            assert world.now == began
            return raised.value

        error = world.run(main)
        assert error.effect is Effect.NONE
        assert error.retry is Retry.AFTER
        assert error.retry_after_s == pytest.approx(1.0, abs=0.01)
        assert world.limiter.throttled == 1


def test_whoever_stands_behind_learns_early_that_it_will_be_too_late():
    with World(ORDERS) as world:

        async def main():
            began = world.now
            tasks = [world.take(f"n{i}", ORDER, 1.5) for i in range(8)]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            late = [task for task in done if task.exception()]
            assert world.now - began <= int(1.1 * S)
            await asyncio.wait(tasks)
            return len(late), len([t for t in tasks if t.exception()])

        early, refused = world.run(main)
        assert world.served == ["n0", "n1", "n2", "n3"]
        assert early == refused == 4


def test_a_cancelled_waiter_takes_nothing_and_blocks_nobody():
    with World(ORDERS) as world:

        async def main():
            tasks = [world.take(f"n{i}", ORDER) for i in range(4)]
            await world.runtime.sleep(0.1)
            tasks[2].cancel()
            await asyncio.wait(tasks)

        world.run(main)
        assert world.served == ["n0", "n1", "n3"]
        assert world.limiter.state()["orders/1s"]["waiting"] == 0


def test_a_refund_makes_room_and_counts_once():
    with World(ORDERS) as world:

        async def main():
            first = await world.take("a", ORDER)
            await world.take("b", ORDER)
            waiting = world.take("c", ORDER)
            await world.runtime.sleep(0.1)
            assert world.served == ["a", "b"]
            world.limiter.refund(first)
            world.limiter.refund(first)
            await world.runtime.sleep(0.01)
            assert world.served == ["a", "b", "c"]
            await waiting

        world.run(main)
        assert world.limiter.state()["orders/1s"]["used"] == 2


def test_a_busy_meter_does_not_hold_up_another():
    with World(ORDERS, RateLimit("default", 1, "1m")) as world:

        async def main():
            await world.take("r0", READ)
            waiting = world.take("r1", READ, 120)
            await world.runtime.sleep(0.1)
            await world.take("n", ORDER)
            assert world.served == ["r0", "n"]
            await waiting

        world.run(main)


def test_all_limits_of_a_meter_hold_together():
    with World(RateLimit("orders", 10, "1s"), RateLimit("orders", 12, "1m")) as world:

        async def main():
            began = world.now
            await asyncio.wait([world.take(f"n{i}", ORDER, 120) for i in range(13)])
            return world.now - began

        assert 59 * S < world.run(main) <= 61 * S
        assert len(world.served) == 13


@pytest.mark.parametrize(
    ("began", "midnight", "hours"),
    [
        ("2026-11-01T04:30+00:00", "2026-11-02T05:00+00:00", 25),
        ("2026-03-08T05:30+00:00", "2026-03-09T04:00+00:00", 23),
    ],
)
def test_a_day_on_which_the_clocks_change_is_as_long_as_it_is(began, midnight, hours):
    began, midnight = datetime.fromisoformat(began), datetime.fromisoformat(midnight)
    day = RateLimit("orders", 2, "1d", window=Window.CALENDAR)
    runtime = VirtualRuntime(start_wall_ns=int(began.timestamp()) * S)
    limiter = Limiter(runtime, [day], broker="toy", time_zone="America/New_York")

    async def left_at(when):
        await runtime.sleep(when.timestamp() - runtime.clock.wall_ns() / S)
        (state,) = limiter.state().values()
        return state["left"]

    async def main():
        await limiter.acquire(ORDER, runtime.clock.mono_ns() + S)
        await runtime.sleep(4 * 3600)  # over the change
        await limiter.acquire(ORDER, runtime.clock.mono_ns() + S)
        found = [await left_at(midnight - timedelta(minutes=61)), await left_at(midnight - timedelta(seconds=1))]
        with pytest.raises(Throttled):
            await limiter.acquire(ORDER, runtime.clock.mono_ns())
        return [*found, await left_at(midnight)]

    local = began.astimezone(ZoneInfo("America/New_York"))
    assert (midnight - began).total_seconds() == hours * 3600 - (local.hour * 3600 + local.minute * 60)
    with runtime:
        assert runtime.run(main()) == [0, 0, 2]


def test_calendar_days_begin_at_midnight_of_the_brokers_zone():
    limit = RateLimit("orders", 1, "1d", window=Window.CALENDAR)
    with World(limit, time_zone="Asia/Kolkata") as world:

        async def main():
            await world.take("n", ORDER)
            with pytest.raises(Throttled) as raised:
                await world.limiter.acquire(ORDER, world.now + S)
            return raised.value.retry_after_s

        assert MONDAY_MORNING_NS % (86400 * S) == (3 * 3600 + 45 * 60) * S  # 09:15 there
        assert world.run(main) == pytest.approx((24 - 9.25) * 3600, abs=1)


def test_an_orders_own_limit_is_for_its_life():
    with World(ORDERS, MODIFY) as world:

        async def main():
            modify = Request(meter="orders", limit_key="42")
            first = await world.take("m", modify)
            await world.take("m", modify)
            await world.runtime.sleep(100)
            with pytest.raises(Throttled) as raised:
                await world.limiter.acquire(modify, world.now + S)
            await world.take("other", Request(meter="orders", limit_key="43"))
            world.limiter.refund(first)
            await world.take("again", modify)
            return raised.value

        error = world.run(main)
        assert error.retry is Retry.NEVER
        assert error.kind is ErrorKind.DAILY_LIMIT_REACHED
        assert "42" in str(error)
        assert world.served == ["m", "m", "other", "again"]


def test_a_refused_request_gives_its_orders_count_back():
    with World(ORDERS, MODIFY) as world:

        async def main():
            modify = Request(meter="orders", limit_key="42")
            await world.take("a", ORDER)
            await world.take("b", ORDER)
            for _ in range(3):
                with pytest.raises(Throttled):
                    await world.limiter.acquire(modify, world.now)
            await world.runtime.sleep(1.1)
            await world.take("m", modify)

        world.run(main)
        assert world.served[-1] == "m"


def test_a_meter_nobody_declared_is_a_defect_of_the_adapter_except_the_default_one():
    with World(ORDERS) as world:

        async def main():
            await world.take("free", READ)
            with pytest.raises(UsageError, match="typo"):
                await world.limiter.acquire(Request(meter="typo"), world.now + S)
            with pytest.raises(UsageError):
                await world.limiter.acquire(Request(meter="orders", cost=99), world.now + S)
            with pytest.raises(UsageError):
                await world.limiter.acquire(Request(meter="orders", cost=3), world.now + S)

        world.run(main)


def test_no_limits_at_all_grant_everything():
    with World() as world:

        async def main():
            await asyncio.wait([world.take("r", READ) for _ in range(100)])

        world.run(main)
        assert len(world.served) == 100
        assert world.limiter.state() == {}


@pytest.mark.parametrize(
    ("headers", "failure", "seconds"),
    [
        ({"retry-after": "7"}, None, 7.0),
        ({"retry-after": "Mon, 05 Jan 2026 03:45:30 GMT"}, None, 30.0),
        ({"retry-after": "Mon, 05 Jan 2026 03:45:30 GMT"}, Failure(ErrorKind.RATE_LIMITED, "", retry_after_s=4.0), 4.0),
        ({}, None, 1.0),
        ({"retry-after": "soon"}, None, 1.0),
        ({"retry-after": "nan"}, None, 1.0),
        ({"retry-after": "-5"}, None, 1.0),
        ({"retry-after": "1e300"}, None, 86_400.0),
    ],
)
def test_the_broker_teaches_how_long_to_stay_away(headers, failure, seconds):
    with World(ORDERS) as world:

        async def main():
            asked = world.limiter.learn(ORDER, Reply(429, headers, b""), failure)
            assert asked == pytest.approx(seconds)
            began = world.now
            await world.take("n", ORDER, 100_000)
            return (world.now - began) / S

        assert world.run(main) == pytest.approx(seconds, abs=0.01)
        assert world.limiter.penalties == 1


def test_other_replies_teach_nothing():
    with World(ORDERS) as world:
        assert world.limiter.learn(ORDER, Reply(200, {"retry-after": "9"}, b"")) is None
        assert world.limiter.learn(ORDER, None, Failure(ErrorKind.BAD_REQUEST, "")) is None
        assert world.limiter.learn(ORDER, None, Failure(ErrorKind.RATE_LIMITED, "")) == 1.0


def test_retry_after_in_the_past_is_now():
    assert retry_after_s({"retry-after": "Mon, 05 Jan 2026 03:44:00 GMT"}, MONDAY_MORNING_NS) == 0.0
    assert retry_after_s({}, 0) is None


def test_state_names_every_limit_and_who_waits():
    with World(ORDERS, MODIFY, RateLimit("default", 5, "1s")) as world:

        async def main():
            tasks = [world.take(f"n{i}", ORDER) for i in range(4)]
            await world.runtime.sleep(0.1)
            state = world.limiter.state()
            assert set(state) == {"orders/1s", "default/1s"}
            assert state["orders/1s"]["waiting"] == 2
            assert state["orders/1s"]["left"] == 0
            assert state["orders/1s"]["reserve_left"] == 1
            await asyncio.wait(tasks)

        world.run(main)


def test_what_the_broker_counts_is_counted_here_too():
    with World(RateLimit("orders", 10, "1m", window=Window.CALENDAR)) as world:

        async def main():
            await world.take("one", ORDER)
            world.limiter.observe({"orders/1m": 8, "others/1m": 5})
            noted = world.limiter.state()["orders/1m"]["used"]
            world.limiter.observe({"orders/1m": 3})
            unchanged = world.limiter.state()["orders/1m"]["used"]
            world.limiter.observe({"orders/1m": 99})
            return noted, unchanged, world.limiter.state()["orders/1m"]["used"]

        assert world.run(main) == (8, 8, 10)
