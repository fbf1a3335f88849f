"""Files of fixed size, locks and lanes of both runtimes; and what the virtual disk loses when the power goes."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import stat
import threading

import pytest

from dragoman.errors import UsageError
from dragoman.runtime.base import Holder, LockTaken
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.real_disk import RealDisk
from dragoman.runtime.real_lane import ThreadLane
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.runtime.virtual_disk import SECTOR, PowerCut, VirtualDisk


@pytest.fixture(params=["real", "virtual"])
def place(request, tmp_path):
    """A disk and a folder on it that is not there yet."""
    return (RealDisk(), str(tmp_path / "a" / "b")) if request.param == "real" else (VirtualDisk(), "/a/b")


def test_a_new_file_is_zeros_and_keeps_what_is_written(place):
    disk, folder = place
    file = disk.open(f"{folder}/f", size=5000)
    assert file.size == 5000
    assert file.read(0, 6000) == bytes(5000)
    file.write(4990, b"0123456789")
    file.write(0, bytearray(b"start"))
    file.sync()
    file.close()
    again = disk.open(f"{folder}/f", size=9)
    assert again.size == 5000
    assert again.read(0, 5) == b"start"
    assert again.read(4990, 99) == b"0123456789"
    again.close()
    assert disk.mode(f"{folder}/f") == 0o600
    assert disk.listdir(folder) == ["f"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        again.write(0, b"x")


def test_a_new_folder_is_the_owners_alone(tmp_path):
    disk = RealDisk()
    disk.open(str(tmp_path / "a" / "b" / "f"), size=10).close()
    assert [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("a", "a/b")] == [0o700, 0o700]


def test_a_file_that_another_made_meanwhile_is_opened_as_it_is(tmp_path, monkeypatch):
    path = str(tmp_path / "f")

    def faster(source, target):
        (tmp_path / "f").write_bytes(b"theirs")
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", faster)
    file = RealDisk().open(path, size=100)
    assert file.read(0, 100) == b"theirs"
    file.close()
    assert os.listdir(tmp_path) == ["f"]


def test_a_file_that_cannot_be_filled_is_not_there(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        RealDisk().open(str(tmp_path / "f"), size=100)
    assert os.listdir(tmp_path) == []


def test_a_file_system_without_second_names_will_do(tmp_path, monkeypatch):
    def no_links(source, target):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    made = RealDisk().open(str(tmp_path / "f"), size=100)
    made.write(0, b"ours")
    made.close()
    assert RealDisk().read(str(tmp_path / "f"))[:4] == b"ours"
    assert os.listdir(tmp_path) == ["f"]


def test_a_write_that_the_system_cuts_short_is_completed(tmp_path, monkeypatch):
    file = RealDisk().open(str(tmp_path / "f"), size=100)
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: whole(fd, bytes(data)[:7], offset))
    file.write(3, bytes(range(50)))
    monkeypatch.undo()
    assert file.read(3, 50) == bytes(range(50))
    file.close()


def test_one_handle_has_a_lock_and_others_are_told_who(place):
    disk, folder = place
    path = f"{folder}/lock"
    assert disk.holder(path) is None
    lock = disk.lock(path, now_ns=17)
    with pytest.raises(LockTaken) as caught:
        disk.lock(path, now_ns=18)
    assert caught.value.holder == lock.holder == disk.holder(path)
    assert lock.holder.since_ns == 17
    assert lock.holder.pid > 0
    lock.release()
    lock.release()
    assert disk.holder(path) is None
    second = disk.lock(path, now_ns=19)
    lock.release()
    assert disk.holder(path) == second.holder
    second.release()


def test_a_holder_that_said_nothing_yet_is_still_a_holder(tmp_path):
    path = str(tmp_path / "lock")
    lock = RealDisk().lock(path, now_ns=1)
    (tmp_path / "lock").write_bytes(b'{"pid": ')
    assert RealDisk().holder(path) == Holder()
    with pytest.raises(LockTaken):
        RealDisk().lock(path, now_ns=2)
    lock.release()


def test_a_database_can_be_written_and_read_only_means_it(place):
    disk, folder = place
    path = f"{folder}/index?.sqlite"
    with pytest.raises(sqlite3.OperationalError):
        disk.database(path, read_only=True)
    made = disk.database(path)
    with made:
        made.execute("CREATE TABLE t (x)")
        made.execute("INSERT INTO t VALUES (7)")
    made.close()
    reader = disk.database(path, read_only=True)
    assert reader.execute("SELECT x FROM t").fetchall() == [(7,)]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM t")
    reader.close()


# -- lanes -------------------------------------------------------------------------------------------------------------


def run_on_both(scenario):
    runtime = RealRuntime()
    asyncio.run(scenario(runtime))
    runtime.close()
    with VirtualRuntime() as virtual:
        virtual.disk.latency_s = 0.01
        virtual.run(scenario(virtual))


def test_a_lane_works_in_order_and_tells_on_the_loop():
    async def scenario(runtime):
        lane = runtime.lane("test")
        here = threading.get_ident()
        done, order = [], []
        finished = asyncio.Event()

        def told(result, error):
            assert threading.get_ident() == here
            done.append((result, None if error is None else str(error)))
            if len(done) == 20:
                finished.set()

        def work(number):
            order.append(number)
            if number == 7:
                raise OSError("seven")
            return number

        for number in range(20):
            lane.submit(lambda number=number: work(number), told)
        await finished.wait()
        assert order == list(range(20))
        assert done == [(None, "seven") if number == 7 else (number, None) for number in range(20)]
        assert await lane.close(patience_s=5)
        with pytest.raises(UsageError, match="is closed"):
            lane.submit(lambda: None, told)

    run_on_both(scenario)


def test_closing_a_lane_waits_for_its_work_but_not_for_ever():
    async def scenario(runtime):
        lane, gate, done = runtime.lane("test"), threading.Event(), []
        lane.submit(lambda: gate.wait(5), lambda result, error: done.append(result))
        assert not await lane.close(patience_s=0.02)
        gate.set()
        assert await lane.close(patience_s=5)
        assert done == [True]

    runtime = RealRuntime()
    asyncio.run(scenario(runtime))
    runtime.close()


def test_a_lane_that_was_never_used_closes_at_once():
    async def scenario(runtime):
        assert await runtime.lane("test").close(patience_s=0.01)

    run_on_both(scenario)


def test_a_lane_is_not_used_by_a_forked_child():
    async def main():
        lane = ThreadLane("test")
        lane._pid += 1
        with pytest.raises(UsageError, match="belongs to process"):
            lane.submit(lambda: None, lambda result, error: None)
        assert await lane.close(patience_s=1)

    asyncio.run(main())


def test_work_of_a_virtual_lane_takes_virtual_time():
    async def scenario(runtime):
        runtime.disk.latency_s = 0.25
        lane, times = runtime.lane("test"), []
        start = runtime.clock.mono_ns()
        for _ in range(3):
            lane.submit(lambda: None, lambda result, error: times.append(runtime.clock.mono_ns() - start))
        await runtime.sleep(1)
        assert times == [250_000_000, 500_000_000, 750_000_000]

    with VirtualRuntime() as runtime:
        runtime.run(scenario(runtime))


# -- what the virtual disk loses ---------------------------------------------------------------------------------------


def test_a_crash_keeps_what_was_synced_and_any_sectors_of_the_rest():
    kept = set()
    for seed in range(60):
        disk = VirtualDisk(seed)
        file = disk.open("/f", size=4 * SECTOR)
        file.write(0, b"A" * 4 * SECTOR)
        file.sync()
        file.write(SECTOR // 2, b"B" * 2 * SECTOR)
        assert file.read(0, 4 * SECTOR).count(b"B") == 2 * SECTOR
        disk.crash()
        data = bytes(disk.files["/f"][0])
        kept.add(tuple(data[at : at + SECTOR].count(b"B") for at in range(0, 4 * SECTOR, SECTOR)))
        with pytest.raises(OSError, match="Bad file"):
            file.read(0, 1)
    half = SECTOR // 2
    assert kept == {(a, b, c, 0) for a in (0, half) for b in (0, SECTOR) for c in (0, half)}


def test_a_failed_sync_loses_its_bytes_though_the_next_one_succeeds():
    disk = VirtualDisk()
    file = disk.open("/f", size=SECTOR)
    file.write(0, b"gone")
    disk.fail(operation="sync")
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    file.sync()
    assert file.read(0, 4) == b"gone"
    disk.crash()
    assert bytes(disk.files["/f"][0][:4]) == bytes(4)


def test_a_sector_that_a_sync_lost_is_saved_by_writing_to_it_again():
    disk = VirtualDisk()
    file = disk.open("/f", size=2 * SECTOR)
    file.write(0, b"a" * 2 * SECTOR)
    disk.fail(operation="sync")
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    file.write(SECTOR, b"b")
    file.sync()
    disk.crash()
    assert bytes(disk.files["/f"][0]) == bytes(SECTOR) + b"b" + b"a" * (SECTOR - 1)


def test_after_the_power_is_cut_nothing_happens_until_the_crash():
    outcomes = set()
    for seed in range(40):
        disk = VirtualDisk(seed)
        disk.write_atomic("/g", b"old")
        disk.cut_power_after(1)
        disk.write_atomic("/h", b"before")
        with pytest.raises(PowerCut):
            disk.write_atomic("/g", b"new")
        for dead in (
            lambda: disk.read("/g"),  # noqa: B023
            lambda: disk.remove("/g"),  # noqa: B023
            lambda: disk.open("/h", size=1),  # noqa: B023
            lambda: disk.lock("/l", now_ns=0),  # noqa: B023
            lambda: disk.listdir("/"),  # noqa: B023
        ):
            with pytest.raises(PowerCut):
                dead()
        disk.crash()
        assert disk.read("/h") == b"before"
        outcomes.add(disk.read("/g"))
    assert outcomes == {b"old", b"new"}


def test_a_killed_process_keeps_its_bytes_and_loses_its_lock():
    disk = VirtualDisk()
    disk.lock("/l", now_ns=0)
    file = disk.open("/f", size=10)
    file.write(0, b"bytes")
    disk.end_processes()
    assert disk.read("/f") == b"bytes" + bytes(5)
    assert disk.holder("/l") is None
    with pytest.raises(OSError, match="Bad file"):
        file.sync()


def test_a_short_write_puts_some_bytes():
    disk = VirtualDisk()
    file = disk.open("/f", size=100)
    disk.fail(operation="write", short=True)
    with pytest.raises(OSError, match="No space"):
        file.write(0, b"x" * 50)
    assert 0 < file.read(0, 100).count(b"x") < 50


def test_an_unknown_operation_cannot_fail():
    with pytest.raises(ValueError, match="expected one of"):
        VirtualDisk().fail(operation="rename")
