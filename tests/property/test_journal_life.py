"""A journal lives through anything in any order: runs, faults, crashes, and damage between them."""

from __future__ import annotations

import errno

from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import DragomanError
from dragoman.orders.journal import Kind, verify_journal
from dragoman.runtime.virtual_disk import VirtualDisk
from reference.journal_kit import FOLDER, on, opened, scanned

STEPS = st.one_of(
    st.tuples(st.just("commit"), st.integers(1, 5)),
    st.tuples(st.just("append"), st.integers(1, 5)),
    st.tuples(st.just("flush"), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([1, 60, 3000])),
    st.tuples(st.just("full"), st.just(0)),
    st.tuples(st.just("heal"), st.just(0)),
    st.tuples(st.just("bad sync"), st.just(0)),
    st.tuples(st.just("short write"), st.just(0)),
    st.tuples(st.just("cut"), st.integers(0, 6)),
)
RUNS = st.lists(
    st.tuples(st.lists(STEPS, max_size=14), st.sampled_from(["close", "kill", "crash"]), st.booleans()),
    min_size=1,
    max_size=5,
)


class Life:
    """One journal, and what a caller was told of it."""

    def __init__(self, latency_s: float) -> None:
        self.disk = VirtualDisk("life")
        self.disk.latency_s = latency_s
        self.number = 0
        self.asked: list[int] = []
        self.acknowledged: set[int] = set()

    async def run(self, runtime, steps) -> None:
        journal = await opened(runtime, chunk_size=1024, held_limit=40)
        assert len(journal.journal_ids) >= min(journal.epoch, 1)
        waiting = []
        for step, amount in steps:
            try:
                await self.step(runtime, journal, waiting, step, amount)
            except DragomanError:
                continue
        for number, done in waiting:
            try:
                await done
            except DragomanError:
                continue
            self.acknowledged.add(number)
        if await journal.close():
            assert journal.unwritten == 0

    async def step(self, runtime, journal, waiting, step, amount) -> None:
        disk = self.disk
        if step == "commit":
            for _ in range(amount):
                number = self.next()
                done = journal.commit(Kind.INTENT, {"n": number})
                if done is None:
                    self.acknowledged.add(number)
                else:
                    waiting.append((number, done))
        elif step == "append":
            for _ in range(amount):
                journal.append(Kind.STREAM, {"n": self.next(), "text": "x" * 40})
        elif step == "flush":
            done = journal.flush()
            if done is not None:
                await done
        elif step == "wait":
            await runtime.sleep(amount / 1000)
        elif step == "full":
            disk.fail(errno.ENOSPC, operation="open", times=-1)
        elif step == "heal":
            disk.heal()
        elif step == "bad sync":
            disk.fail(operation="sync")
        elif step == "short write":
            disk.fail(operation="write", short=True)
        else:
            disk.cut_power_after(amount)

    def next(self) -> int:
        self.number += 1
        self.asked.append(self.number)
        return self.number


def told(records) -> list[int]:
    return [record.payload["n"] for record in records if "n" in record.payload]


@settings(max_examples=100, deadline=None)
@given(RUNS, st.sampled_from([0.0, 0.002]), st.data())
def test_what_was_acknowledged_is_there_and_what_is_there_was_asked_for(runs, latency_s, data):
    life = Life(latency_s)
    flipped = set()
    for seed, (steps, end, damaged) in enumerate(runs):

        async def process(runtime, steps=steps):
            try:
                await life.run(runtime, steps)
            except (DragomanError, OSError):
                return

        on(life.disk, process, seed=seed)
        life.disk.heal()
        if end == "crash" or life.disk.dark:
            life.disk.crash()
        else:
            life.disk.end_processes()
        before, records = scanned(life.disk)
        found = told(records)
        assert life.acknowledged <= set(found)
        assert found == sorted(set(found)), "in order, each once"
        assert set(found) <= set(life.asked)
        epochs = {record.epoch: record.journal_id for record in records}
        assert len(set(epochs.values())) == len(epochs)
        if damaged:
            paths = sorted(path for path in life.disk.files if path.startswith(FOLDER) and path.endswith(".journal"))
            if paths:
                path = data.draw(st.sampled_from(paths))
                content = bytearray(life.disk.files[path][0])
                at, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
                if (path, at) in flipped:
                    continue  # a bit that is flipped back is no damage
                flipped.add((path, at))
                content[at] ^= 1 << bit
                life.disk.files[path] = (bytes(content), 0o600)
                scan, records = scanned(life.disk)
                kept = told(records)
                assert scan.damage
                assert set(kept) <= set(found)
                assert len(kept) >= len(found) - 1
                if content.strip(b"\0"):
                    assert [one.key for one in scan.damage] != [one.key for one in before.damage]
                life.acknowledged &= set(kept)

    async def last(runtime):
        journal = await opened(runtime, chunk_size=1024)
        found = told(journal.replay())
        assert await journal.close()
        return found

    found = on(life.disk, last, seed=98)
    assert life.acknowledged <= set(found)
    assert on(life.disk, last, seed=99) == found
    assert not [one for one in verify_journal(life.disk, FOLDER).damage if not one.known]
