"""Power is cut at every call to the disk, and again while the journal recovers: what was acknowledged is there."""

from __future__ import annotations

import pytest

from dragoman.errors import Rejected
from dragoman.orders.journal import Kind
from dragoman.runtime.virtual_disk import VirtualDisk
from reference.journal_kit import committed, filled, numbers, on, opened, scanned, until_it_fails

COMMITS = 24


def work_until(disk: VirtualDisk, calls: int | None) -> list[int]:
    """Run a process that commits until the power goes; return what was acknowledged to it."""
    acknowledged: list[int] = []

    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=1024)
        for number in range(COMMITS):
            journal.append(Kind.STREAM, {"s": number})
            done = [journal.commit(Kind.INTENT, {"n": 2 * number + i}) for i in range(2)]
            for i, one in enumerate(done):
                if one is not None:
                    await one
                acknowledged.append(2 * number + i)
        await journal.close()

    if calls is not None:
        disk.cut_power_after(calls)
    on(disk, lambda runtime: until_it_fails(scenario(runtime)))
    return acknowledged


def recover(disk: VirtualDisk, calls: int | None = None):
    """Open and close the journal, in a process that dies after so many calls; return what it read, or None."""

    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=1024)
        found = list(journal.replay())
        await committed(journal, {"recovered": True}, Kind.DECISION)
        await journal.close()
        return journal, found

    async def dying(runtime):
        await until_it_fails(scenario(runtime))

    if calls is None:
        return on(disk, scenario)
    disk.cut_power_after(calls)
    on(disk, dying)
    disk.crash()
    return None


def slow_disk(seed) -> VirtualDisk:
    disk = VirtualDisk(seed)
    disk.latency_s = 0.001
    return disk


def calls_of_a_run() -> int:
    disk = slow_disk(0)
    assert len(work_until(disk, None)) == 2 * COMMITS
    return disk.calls


@pytest.mark.parametrize("seed", range(4))
def test_what_was_acknowledged_survives_a_cut_at_every_call(seed):
    for calls in range(calls_of_a_run()):
        disk = slow_disk(f"{seed}/{calls}")
        acknowledged = work_until(disk, calls)
        disk.crash()
        _, found = scanned(disk)
        there = numbers(found)
        assert there[: len(acknowledged)] == acknowledged, f"cut after {calls} calls"
        assert there == list(range(len(there))), "records are whole, in order, and none is invented"
        journal, again = recover(disk)
        assert again == found
        assert journal.clean == (not scanned(disk)[0].damage and (not found or found[-1].kind is Kind.CLOSE))
        assert scanned(disk)[1][: len(found)] == found


def test_recovery_that_is_cut_five_times_reads_what_one_would():
    runs = calls_of_a_run()
    steps = 12
    for calls in range(0, runs, 3):
        for step in range(steps):
            disk = slow_disk(f"{calls}/{step}")
            acknowledged = work_until(disk, calls)
            disk.crash()
            _, once = scanned(disk)
            assert numbers(once)[: len(acknowledged)] == acknowledged
            for depth in range(5):
                recover(disk, (step + depth * calls) % steps)
                assert scanned(disk)[1][: len(once)] == once
            journal, found = recover(disk)
            assert found[: len(once)] == once
            epochs = [record.epoch for record in found]
            assert epochs == sorted(epochs)
            assert journal.epoch > (epochs[-1] if epochs else 0)
            again, _ = recover(disk)
            assert again.clean
            assert again.damage == ()


@pytest.mark.parametrize("nested", range(14))
def test_recovering_from_damage_may_be_cut_anywhere(nested):
    disk = filled(6, close=False)
    path = max(name for name in disk.files if name.endswith(".journal"))
    data = bytearray(disk.files[path][0])
    data[data.index(b'{"n":3}') + 5] ^= 1
    disk.files[path] = (bytes(data), 0o600)
    _, once = scanned(disk)
    for _ in range(5):
        recover(disk, nested)
    journal, found = recover(disk)
    assert found[: len(once)] == once
    # Whichever opening was the first that came to its end has said so; no later one finds it anew.
    assert len(journal.damage + journal.known_damage) >= 1
    again, _ = recover(disk)
    assert again.damage == ()
    assert {one.key for one in again.known_damage} == {one.key for one in journal.damage + journal.known_damage}
    assert bytes(disk.files[path][0]) == bytes(data)


def test_a_killed_process_loses_nothing_that_reached_the_system():
    disk = slow_disk(1)

    async def scenario(runtime):
        journal = await opened(runtime)
        for number in range(10):
            await committed(journal, {"n": number})

    on(disk, scenario)
    disk.end_processes()
    _, found = scanned(disk)
    assert numbers(found) == list(range(10))


def test_a_disk_that_fails_to_sync_while_recovering_refuses_to_open():
    disk = filled(3, close=False)
    disk.fail(operation="sync")

    async def scenario(runtime):
        with pytest.raises(Rejected, match="cannot be opened"):
            await opened(runtime)

    on(disk, scenario)
    disk.crash()
    journal, found = recover(disk)
    assert numbers(found) == [0, 1, 2]
    assert journal.epoch >= 2
