"""The journal between processes: one writer, gone with its process, and nothing lost when that is killed."""

from __future__ import annotations

import asyncio
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from dragoman.errors import AccountBusy
from dragoman.orders.journal import Journal, Kind
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.real_disk import RealDisk

WORKER = pathlib.Path(__file__).with_name("journal_worker.py")
WHOSE = {"broker": "examplebroker", "environment": "emulator", "account": "AB1234"}


def start(folder: str) -> subprocess.Popen[str]:
    worker = subprocess.Popen([sys.executable, str(WORKER), folder, "AB1234"], stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline().startswith("open")
    return worker


def kill(worker: subprocess.Popen[str]) -> list[int]:
    """Kill a worker and return what it had said was durable."""
    worker.send_signal(signal.SIGKILL)
    said, _ = worker.communicate()
    return [int(line) for line in said.splitlines(keepends=True) if line.endswith("\n")]


def look(folder: str):
    """Open the journal, read it, close it."""

    async def main():
        journal = await Journal.open(runtime, folder, **WHOSE, chunk_size=8192)
        records = await journal.recent()
        assert await journal.close()
        return journal, records

    runtime = RealRuntime()
    try:
        return asyncio.run(main())
    finally:
        runtime.close()


def test_another_process_is_named_and_its_lock_goes_with_it(tmp_path):
    folder = str(tmp_path / "journal")
    worker = start(folder)
    with pytest.raises(AccountBusy) as caught:
        look(folder)
    assert caught.value.pid == worker.pid
    assert caught.value.host == os.uname().nodename
    assert RealDisk().holder(f"{folder}/writer.lock").pid == worker.pid
    kill(worker)
    assert RealDisk().holder(f"{folder}/writer.lock") is None
    journal, _ = look(folder)
    assert journal.epoch == 2
    assert not journal.clean


def test_no_acknowledged_record_is_lost_when_the_process_is_killed(tmp_path):
    folder, chance = str(tmp_path / "journal"), random.Random(7)
    acknowledged = set()
    for _ in range(4):
        worker = start(folder)
        for _ in range(chance.randint(1, 40)):
            seen = int(worker.stdout.readline())
        newest = max(kill(worker), default=seen)
        journal, records = look(folder)
        epoch = journal.epoch - 1
        acknowledged |= {(epoch, number) for number in range(1, newest + 1)}
        there = {(one.payload["epoch"], one.payload["n"]) for one in records if one.kind is Kind.INTENT}
        assert acknowledged <= there
        assert [one.sequence for one in records] == list(range(1, len(records) + 1))
        assert journal.damage == ()
    assert len(acknowledged) > 4


def test_what_is_left_of_an_unfinished_chunk_is_cleared_away(tmp_path):
    look(str(tmp_path))
    (tmp_path / ".00000002.journal.x1y2z3.tmp").write_bytes(bytes(100))
    journal, _ = look(str(tmp_path))
    assert journal.damage == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000001.journal", "writer.lock"]


def test_a_forked_child_does_not_keep_the_lock_of_its_parent(tmp_path):
    path = str(tmp_path / "lock")
    lock = RealDisk().lock(path, now_ns=1)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)  # lives until the parent has looked
        os._exit(0)
    try:
        os.close(reader)
        lock.release()
        # The child is still there, and has a copy of every descriptor it did not close.
        second = wait_for_lock(path)
        second.release()
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def wait_for_lock(path: str):
    """Take a lock; the child may need a moment to run the first line of its life."""
    for _ in range(200):
        if RealDisk().holder(path) is None:
            return RealDisk().lock(path, now_ns=2)
        time.sleep(0.01)
    raise AssertionError("a forked child keeps the lock")
