"""The session's limiter on a shared file: what is carried over, who goes first, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import logging
import os

import pytest

from dragoman._core import SharedRateLimiter
from dragoman.errors import Effect, Throttled, UsageError
from dragoman.plugin import Lane, RateLimit, Reply, Request, Window
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.limiter import GUARD_S, Limiter

S = 1_000_000_000
QUICK = RateLimit("orders", 3, "200ms", reserve=1)
SLOW = RateLimit("orders", 10, "1h", reserve=1)
ORDER = Request(meter="orders")
CANCEL = Request(meter="orders", lane=Lane.RISK)


@pytest.fixture
def runtime():
    runtime = RealRuntime()
    yield runtime
    runtime.close()


def soon(runtime, seconds=30.0):
    return runtime.clock.mono_ns() + int(seconds * S)


async def sharing(runtime, path, *limits):
    limiter = Limiter(runtime, limits, broker="toy")
    await limiter.share(str(path))
    return limiter


def test_what_one_takes_and_gives_back_the_other_sees(runtime, tmp_path):
    async def main():
        one, two = [await sharing(runtime, tmp_path / "x", SLOW) for _ in range(2)]
        grant = await one.acquire(ORDER, soon(runtime))
        await two.acquire(ORDER, soon(runtime))
        assert one.state()["orders/1h"]["used"] == two.state()["orders/1h"]["used"] == 2
        one.refund(grant)
        one.refund(grant)
        assert two.state()["orders/1h"]["used"] == 1
        two.learn(ORDER, Reply(429, {"retry-after": "60"}, b""))
        with pytest.raises(Throttled) as raised:
            await one.acquire(CANCEL, soon(runtime))
        assert 59 < raised.value.retry_after_s <= 60

    asyncio.run(main())


def test_what_is_taken_at_once_is_counted_where_all_count(runtime, tmp_path):
    async def main():
        one, two = Limiter(runtime, (SLOW,), broker="toy"), await sharing(runtime, tmp_path / "x", SLOW)
        assert None not in [one.take(ORDER), one.take(ORDER)]  # still its own counts
        await one.share(str(tmp_path / "x"))
        grants = [one.take(ORDER), two.take(ORDER), one.take(ORDER), two.take(ORDER)]
        assert [grant.native for grant in grants] == [one.shared, two.shared, one.shared, two.shared]
        assert one.state()["orders/1h"]["used"] == two.state()["orders/1h"]["used"] == 6
        for taker, grant in zip((one, two), grants, strict=False):
            taker.refund(grant)
        assert two.state()["orders/1h"]["used"] == 4

    asyncio.run(main())


def test_a_fork_takes_nothing_at_once(runtime, tmp_path):
    async def opened():
        limiter = await sharing(runtime, tmp_path / "x", SLOW)
        assert None not in [limiter.take(ORDER), limiter.take(ORDER)]
        return limiter

    limiter = asyncio.run(opened())
    child = os.fork()
    if not child:
        try:
            limiter.take(ORDER)
        except UsageError as error:
            os._exit(7 if "before a fork" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert limiter.take(ORDER) is not None


def test_what_was_spent_before_sharing_is_carried_over(runtime, tmp_path):
    async def main():
        other = await sharing(runtime, tmp_path / "x", SLOW)
        await other.acquire(ORDER, soon(runtime))
        limiter = Limiter(runtime, (SLOW,), broker="toy")
        before = [await limiter.acquire(request, soon(runtime)) for request in (ORDER, CANCEL)]
        await limiter.share(str(tmp_path / "x"))
        await limiter.share(str(tmp_path / "x"))
        assert other.state()["orders/1h"]["used"] == 3
        limiter.refund(before[0])  # taken where nobody else counted
        assert other.state()["orders/1h"]["used"] == 3

    asyncio.run(main())


def test_those_who_wait_in_two_processes_are_served_by_arrival_and_cancels_first(runtime, tmp_path):
    served = []

    async def main():
        limiters = [await sharing(runtime, tmp_path / "x", QUICK) for _ in range(2)]

        async def take(name, limiter, request):
            await limiter.acquire(request, soon(runtime))
            served.append(name)

        tasks = []
        for number in range(6):
            tasks.append(asyncio.create_task(take(f"n{number}", limiters[number % 2], ORDER)))
            await asyncio.sleep(0.002)
        tasks += [asyncio.create_task(take(f"c{number}", limiters[number % 2], CANCEL)) for number in range(2)]
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert [name for name in served if name[0] == "n"] == [f"n{number}" for number in range(6)]
    assert served.index("c1") < served.index("n3")


def test_a_waiter_that_is_cancelled_or_refused_leaves_no_ticket(runtime, tmp_path):
    async def main():
        one, two = [await sharing(runtime, tmp_path / "x", QUICK) for _ in range(2)]
        for _ in range(2):
            await one.acquire(ORDER, soon(runtime))
        waiting = asyncio.create_task(one.acquire(ORDER, soon(runtime)))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0.01)
        with pytest.raises(Throttled):
            await one.acquire(ORDER, runtime.clock.mono_ns())
        native = SharedRateLimiter(two.path, two.meters, 0, 0)
        plan = native.plan([("orders/200ms", 1)])
        later = soon(runtime, 0.3)
        assert native.try_acquire(later, 0, plan, 0) == 0

    asyncio.run(main())


def test_a_short_calendar_limit_is_spent_as_a_guarded_rolling_one_and_a_day_stays_a_day():
    limits = [RateLimit("orders", 10, per, window=Window.CALENDAR, reserve=1) for per in ("1s", "1m", "1d")]
    with_guard = int(GUARD_S * S)
    runtime = VirtualRuntime()
    try:
        assert Limiter(runtime, limits).meters == [
            ("orders/1s", 10, S + with_guard, "rolling", 1),
            ("orders/1m", 10, 60 * S + with_guard, "rolling", 1),
            ("orders/1d", 10, 86_400 * S, "calendar", 1),
        ]
    finally:
        runtime.close()


def test_on_a_virtual_clock_nothing_is_shared(tmp_path):
    runtime = VirtualRuntime()
    try:
        limiter = Limiter(runtime, (SLOW,))
        runtime.run(limiter.share(str(tmp_path / "x")))
        assert limiter.path is None
        assert os.listdir(tmp_path) == []
    finally:
        runtime.close()


def test_a_folder_that_cannot_be_written_to_is_named_with_what_to_do(runtime, tmp_path):
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "limits" / "x")
    with pytest.raises(UsageError, match=r"toy: .* cannot be kept in .*/file/limits/x: .*DRAGOMAN_STATE") as raised:
        asyncio.run(sharing(runtime, path, SLOW))
    assert raised.value.effect is Effect.NONE


def test_other_limits_in_the_file_are_an_error_and_the_counts_stay(runtime, tmp_path):
    async def main():
        first = await sharing(runtime, tmp_path / "x", SLOW)
        await first.acquire(ORDER, soon(runtime))
        with pytest.raises(UsageError, match="remove it"):
            await sharing(runtime, tmp_path / "x", QUICK)
        assert first.state()["orders/1h"]["used"] == 1

    asyncio.run(main())


def test_a_file_of_the_first_version_is_told_apart_from_a_damaged_one(runtime, tmp_path):
    path = tmp_path / "x"
    path.touch(mode=0o600)
    path.write_bytes(b"DRGMRATE" + (1).to_bytes(4, "little") + bytes(6000))
    wanted = r"version 1, expected 2; stop the processes that use it and remove it: what was counted"
    with pytest.raises(UsageError, match=wanted):
        asyncio.run(sharing(runtime, path, SLOW))


class Unreachable:
    """Shared counts whose lock a stopped process holds."""

    def __init__(self, error):
        self.error = error

    def plan(self, costs):
        return 0

    def try_acquire(self, *arguments):
        raise self.error

    refund = penalise = leave = try_acquire


@pytest.mark.logs  # a cancel that leaves uncounted is logged
@pytest.mark.parametrize(
    ("error", "expected"), [(TimeoutError("held"), Throttled), (RuntimeError("damaged"), UsageError)]
)
def test_an_order_waits_for_the_counts_to_be_reachable_and_a_cancel_does_not(
    runtime, tmp_path, caplog, monkeypatch, error, expected
):
    async def main():
        limiter = await sharing(runtime, tmp_path / "x", SLOW)
        monkeypatch.setattr(limiter, "_native", Unreachable(error))
        limiter._plans.clear()
        with pytest.raises(expected):
            await limiter.acquire(ORDER, soon(runtime))
        limiter.refund(await limiter.acquire(CANCEL, soon(runtime)))
        assert limiter.uncounted == 1
        assert limiter.learn(ORDER, Reply(429, {"retry-after": "7"}, b"")) == 7.0

    with caplog.at_level(logging.WARNING, "dragoman.session"):
        asyncio.run(main())
    assert "goes out uncounted" in caplog.text
    assert "not all of the penalty" in caplog.text
