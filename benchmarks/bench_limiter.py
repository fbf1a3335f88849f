"""What does the rate limiter add to a request, alone in its process and with its counts in a file others share?"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from operator import index

from benchmarks.measure import Row, alternate, share
from dragoman._core import RateLimiter, SharedRateLimiter

TITLE = "Rate limits"
METHOD = (
    "One grant, called from Python. The first rows pass the times in and compare with `time.monotonic_ns`, which is a"
    " bare C call that reads the clock. The rows of an order take the three limits of a real order account (second,"
    " minute and day, each with its reserve; only the periods are shorter, so that every call is a grant) and read the"
    " clock; they are compared with a bare C call given the time it reads. The shared form locks a mutex in a mapped"
    " file that a second handle has open. Before anything is timed, both forms answer ten thousand calls alike."
)
Native = RateLimiter | SharedRateLimiter
Meters = list[tuple[str, int, int, str, int]]

S = 10**9
BUCKET = [("requests", S, S, "bucket", 0)]  # a thousand million a second: never full
ORDER = [
    ("orders/1s", 1000, 10**5, "rolling", 100),
    ("orders/1m", 1000, 10**5, "rolling", 50),
    ("orders/1d", 1000, 10**5, "calendar", 20),
]
GOALS: dict[type[Native], float | None] = {RateLimiter: 2.0, SharedRateLimiter: 4.0}
ORDER_GOALS: dict[type[Native], float | None] = {
    RateLimiter: None,
    SharedRateLimiter: 4.0,
}  # alone, three limits of two lanes cost what they cost
NAMES = {RateLimiter: "in the process", SharedRateLimiter: "shared file"}


def make(form: type[Native], meters: Meters, folder: str) -> Native:
    if form is RateLimiter:
        return RateLimiter(meters)
    path = os.path.join(folder, f"{meters[0][0].replace('/', '-')}.rates")
    return SharedRateLimiter(path, meters, time.monotonic_ns(), time.time_ns())


def check_alike(folder: str) -> None:
    """Fail unless both forms give the same waits and the same state."""
    meters = [("a", 5, 1000, "rolling", 1), ("b", 9, 3000, "calendar", 2), ("c", 7, 2000, "bucket", 0)]
    alone, shared = (make(form, meters, folder) for form in GOALS)
    plans = [
        [limiter.plan([(name, 1) for name in names]) for names in ("abc", "b", "ca")] for limiter in (alone, shared)
    ]
    assert plans[0] == plans[1]
    granted = 0
    for call in range(10_000):
        now, plan, lane = call * 83, plans[0][call % 3], call % 2
        waits = alone.try_acquire(now, now, plan, lane), shared.try_acquire(now, now, plan, lane)
        assert waits[0] == waits[1], (call, waits)
        granted += waits[0] == 0
    assert alone.state(10**6, 10**6) == shared.state(10**6, 10**6)
    assert 1000 < granted < 9000


def order(limiter: Native) -> Callable[[], int]:
    plan = limiter.plan([(name, 1) for name, *_ in ORDER])
    mono, wall, acquire = time.monotonic_ns, time.time_ns(), limiter.try_acquire
    return lambda: acquire(mono(), wall, plan)


def run() -> list[Row]:
    """Compare, then time."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        check_alike(folder)
        for form, goal in GOALS.items():
            limiter, other = (make(form, BUCKET, folder) for _ in range(2))
            plan = limiter.plan([("requests", 1)])
            grant = partial(limiter.try_acquire, time.monotonic_ns(), time.time_ns(), plan)
            assert grant() == 0
            ours, theirs = alternate(grant, time.monotonic_ns)
            assert grant() == 0, "every call was a grant"
            rows.append(share(f"grant of one limit, {NAMES[form]}", ours, "C call that reads the clock", theirs, goal))
            del other
        mono = time.monotonic_ns
        for form, goal in ORDER_GOALS.items():
            limiter, other = (make(form, ORDER, folder) for _ in range(2))
            grant_order = order(limiter)
            assert grant_order() == 0
            ours, theirs = alternate(grant_order, lambda: index(mono()))
            assert grant_order() == 0, "every call was a grant"
            rows.append(share(f"grant of an order, {NAMES[form]}", ours, "C call and clock read", theirs, goal))
            del other
    return rows
