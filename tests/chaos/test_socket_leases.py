"""Sockets leased by several processes: never more than the broker allows, and none lost with whoever held it."""

from __future__ import annotations

import asyncio
import os
import pathlib
import random
import subprocess
import sys
from contextlib import contextmanager

import pytest

from chaos.lease_worker import MOST, leases_at
from dragoman.errors import UsageError
from dragoman.runtime.real import RealRuntime

WORKER = pathlib.Path(__file__).with_name("lease_worker.py")


@contextmanager
def worker(path, count):
    """Run a process that holds `count` sockets; yield it and what it said first."""
    command = [sys.executable, str(WORKER), str(path), str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def leases(tmp_path):
    runtime = RealRuntime()
    yield asyncio.run(leases_at(runtime, str(tmp_path / "x")))
    runtime.close()


def test_a_refusal_names_every_holder_and_what_to_do(leases, tmp_path):
    with worker(tmp_path / "x", 2) as (process, said):
        assert said == "held"
        own = leases.take(MOST)
        assert leases.holders() == {process.pid: 2, os.getpid(): 1}
        with pytest.raises(UsageError) as raised:
            leases.take(MOST)
        text = str(raised.value)
        assert "toy: all sockets the broker allows (3) are held: " in text
        assert f"2 by process {process.pid}" in text
        assert f"1 by this process {os.getpid()}" in text
        assert "close a client there, subscribe less here, or connect with streams=False" in raised.value.remedy
        with worker(tmp_path / "x", 1) as (_, refused):
            assert f"1 by process {os.getpid()}" in refused
        own.release()
        own.release()  # once is enough
        assert not own.held
        with worker(tmp_path / "x", 1) as (_, taken):
            assert taken == "held"


def test_what_a_killed_process_held_is_taken_back(leases, tmp_path):
    with worker(tmp_path / "x", 2) as (process, said):
        assert said == "held"
        process.kill()
        process.wait()
        held = [leases.take(MOST) for _ in range(MOST)]
        assert leases.holders() == {os.getpid(): MOST}
        with pytest.raises(UsageError):
            leases.take(MOST)
        for lease in held:
            lease.release()


def test_what_a_process_gives_back_at_its_end_is_free(leases, tmp_path):
    with worker(tmp_path / "x", 3) as (process, said):
        assert said == "held"
        process.stdin.close()
        assert process.wait(20) == 0
    assert leases.holders() == {}
    assert leases.take(MOST).held


def test_processes_that_come_and_are_killed_never_hold_more_than_allowed(leases, tmp_path):
    chance = random.Random(5)
    running: list = []
    for _ in range(14):
        if running and chance.random() < 0.5:
            context, process, _ = running.pop(chance.randrange(len(running)))
            process.kill()
            process.wait()
            context.__exit__(None, None, None)
        count = chance.randint(1, 3)
        context = worker(tmp_path / "x", count)
        process, said = context.__enter__()
        free = MOST - sum(held for _, _, held in running)
        assert (said == "held") == (count <= free)
        if said == "held":
            running.append((context, process, count))
        else:
            process.wait(20)
            context.__exit__(None, None, None)
        assert leases.holders() == {process.pid: held for _, process, held in running}
    for context, _, _ in running:
        context.__exit__(None, None, None)
    assert leases.holders() == {}
