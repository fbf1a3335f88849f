"""Real processes on one file of limits: together they stay below it, and the death of one harms none."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import time

from dragoman._core import SharedRateLimiter
from reference.rate_limit import CalendarServer

S = 10**9
WORKER = pathlib.Path(__file__).with_name("limits_worker.py")
HUGE = [("hour", 200_000, 3600 * S, "rolling", 0), ("day", 300_000, 86_400 * S, "calendar", 0)]


def test_three_processes_stay_below_the_limit_as_the_broker_counts_it(tmp_path):
    seconds = 4.0
    command = [sys.executable, str(WORKER), str(tmp_path / "limits" / "toy.rates"), str(seconds)]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen([*command, str(seed)], stdin=pipe, stdout=pipe, text=True) for seed in range(3)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    start = time.monotonic_ns() + S // 5
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(f"{start}\n")
        worker.stdin.flush()
    grants = []
    for worker in workers:
        output, _ = worker.communicate(timeout=60)
        assert worker.returncode == 0
        mine = [tuple(map(int, line.split())) for line in output.splitlines()]
        assert mine, "a process got nothing at all"
        grants += mine
    grants.sort()
    # Requests travel 20 ms and up to 200 more; whatever the server's clock, its seconds begin at one of these offsets.
    for offset in range(0, S, S // 50):
        chance = random.Random(offset)
        server = CalendarServer(S, offset)
        for at, _, _ in grants:
            server.arrive(at + S // 50 + chance.randrange(S // 5))
        assert server.worst <= 10
    spent = [at for at, _, _ in grants if at < start + seconds * S]
    assert len(spent) / seconds >= 7
    cancel_waits = [wait for _, lane, wait in grants if lane == 1]
    assert cancel_waits
    assert max(cancel_waits) < 2.5 * S


def spend(path: str, pipe: int) -> None:
    """Take one after the other for ever, telling of each."""
    limiter = SharedRateLimiter(path, HUGE, time.monotonic_ns(), time.time_ns())
    plan = limiter.plan([("hour", 1), ("day", 1)])
    while True:
        now = time.monotonic_ns()
        if limiter.try_acquire(now, time.time_ns(), plan) == 0:
            os.write(pipe, struct.pack("q", now))


def test_processes_killed_while_they_take_leave_a_right_and_usable_file(tmp_path):
    path = str(tmp_path / "x")
    limiter = SharedRateLimiter(path, HUGE, time.monotonic_ns(), time.time_ns())
    plan = limiter.plan([("hour", 1), ("day", 1)])
    chance = random.Random(1)
    told = kills = 0  # grants the children and this process know of
    for _ in range(25):
        read, write = os.pipe()
        children = []
        for _ in range(2):
            child = os.fork()
            if child == 0:
                try:
                    spend(path, write)
                finally:
                    os._exit(1)
            children.append(child)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            told += len(pipe.read(8 * chance.randint(1, 300))) // 8
            for child in children:
                os.kill(child, signal.SIGKILL)
                kills += 1
            for child in children:
                assert os.waitpid(child, 0)[1] == signal.SIGKILL
            told += len(pipe.read()) // 8
        state = limiter.state(time.monotonic_ns(), time.time_ns())
        assert state["hour"]["used"] == state["day"]["used"]
        assert told <= state["day"]["used"] <= told + kills  # each may have died between taking and telling
        told += 1
        assert limiter.try_acquire(time.monotonic_ns(), time.time_ns(), plan) == 0
