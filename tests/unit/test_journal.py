"""The journal as the order path uses it: what is committed is durable, what cannot be is refused."""

from __future__ import annotations

import asyncio
import errno
from decimal import Decimal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import AccountBusy, ErrorKind, Rejected, Retry, UsageError
from dragoman.orders.journal import Journal, Kind, journal_folder
from dragoman.orders.journal.format import chunk_name, chunk_number, encode_payload
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.runtime.virtual_disk import VirtualDisk
from dragoman.session.secrets import Secret
from reference.journal_kit import FOLDER, WHOSE, committed, filled, numbers, on, opened, scanned

SLOW = 0.001


def slow_disk() -> VirtualDisk:
    disk = VirtualDisk()
    disk.latency_s = SLOW
    return disk


@pytest.fixture(params=["instant", "slow"])
def disk(request):
    return VirtualDisk() if request.param == "instant" else slow_disk()


@pytest.fixture(params=["virtual", "slow", "real"])
def run(request, tmp_path):
    """Run a scenario that takes a runtime and a folder, on a disk of each kind."""
    if request.param != "real":
        kept = VirtualDisk() if request.param == "virtual" else slow_disk()
        yield lambda scenario: on(kept, lambda runtime: scenario(runtime, FOLDER))
        return
    runtime = RealRuntime()
    yield lambda scenario: asyncio.run(scenario(runtime, str(tmp_path / "state" / "journal")))
    runtime.close()


def test_what_was_written_is_read_by_the_next_run_in_order(run):
    async def first(runtime, folder):
        journal = await opened(runtime, folder=folder, chunk_size=1024)
        assert (journal.epoch, journal.clean, journal.damage) == (1, True, ())
        for number in range(40):
            journal.append(Kind.STREAM, {"event": number})
            await committed(journal, {"n": number})
        assert journal.unwritten == 0
        assert await journal.close()
        return journal.journal_id

    async def second(runtime, folder):
        journal = await opened(runtime, folder=folder, chunk_size=1024)
        records = await journal.recent()
        assert await journal.close()
        return journal, records

    name = run(first)
    journal, records = run(second)
    assert (journal.epoch, journal.clean, journal.damage) == (2, True, ())
    assert journal.journal_ids == {name, journal.journal_id}
    assert journal.journal_id != name
    assert [record.sequence for record in records] == list(range(1, 83))
    assert {(record.epoch, record.journal_id) for record in records} == {(1, name)}
    assert [record.kind for record in records[:3]] == [Kind.OPEN, Kind.STREAM, Kind.INTENT]
    assert records[-1].kind is Kind.CLOSE
    assert numbers(records) == list(range(40))


def test_replay_starts_where_it_is_asked_to(disk):
    async def write(runtime):
        journal = await opened(runtime, chunk_size=1024)
        marks = []
        for number in range(60):
            await runtime.sleep(1)
            marks.append(runtime.clock.wall_ns())
            await committed(journal, {"n": number})
        await journal.close()
        return marks

    marks = on(disk, write)

    async def read(runtime):
        journal = await opened(runtime, chunk_size=1024)
        reads = []
        kept, runtime.disk.read = runtime.disk.read, lambda path: reads.append(path) or kept(path)
        records = list(journal.replay(marks[50]))
        del runtime.disk.read
        await journal.close()
        return records, reads, journal.last_ns

    records, reads, last_ns = on(disk, read)
    assert numbers(records) == list(range(50, 60))
    assert len(reads) < 4
    assert last_ns >= marks[-1]


def test_an_instant_disk_needs_no_waiting():
    async def scenario(runtime):
        journal = await opened(runtime)
        assert journal.commit(Kind.INTENT, {"n": 1}) is None
        assert journal.durable == 2
        assert journal.flush() is None
        journal.append(Kind.STREAM, {})
        assert journal.durable == 2
        assert journal.flush() is None
        assert journal.durable == 3
        await journal.close()

    on(VirtualDisk(), scenario)


def test_a_disk_that_becomes_instant_leaves_nothing_behind():
    disk = slow_disk()

    async def scenario(runtime):
        journal = await opened(runtime)
        first, second = journal.commit(Kind.INTENT, {"n": 1}), journal.commit(Kind.INTENT, {"n": 2})
        disk.latency_s = 0.0
        third = journal.commit(Kind.INTENT, {"n": 3})
        await asyncio.gather(first, second, third)
        assert journal.commit(Kind.INTENT, {"n": 4}) is None
        await journal.close()

    on(disk, scenario)
    assert numbers(scanned(disk)[1]) == [1, 2, 3, 4]


def test_commits_that_come_together_share_a_sync():
    disk = slow_disk()
    syncs = []

    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=65536)
        before = disk.calls
        done = [journal.commit(Kind.INTENT, {"n": number}) for number in range(100)]
        await asyncio.gather(*done)
        syncs.append(disk.calls - before)
        assert journal.durable == 101
        await journal.close()

    on(disk, scenario)
    assert syncs == [4]  # the first alone, then the 99 that came meanwhile: a write and a sync each


def test_a_commit_carries_what_was_appended_before_it(disk):
    async def scenario(runtime):
        journal = await opened(runtime)
        for number in range(5):
            journal.append(Kind.REPLY, {"r": number})
        await committed(journal, {"n": 1})
        assert journal.durable == 7

    on(disk, scenario)
    disk.crash()
    _, records = scanned(disk)
    assert [record.payload.get("r") for record in records if record.kind is Kind.REPLY] == list(range(5))


def test_what_is_appended_is_durable_soon_without_a_commit(disk):
    async def scenario(runtime):
        journal = await opened(runtime, flush_s=0.05)
        journal.append(Kind.STREAM, {"a": 1})
        journal.append(Kind.STREAM, {"a": 2})
        assert journal.durable == 1
        await runtime.sleep(0.04)
        assert journal.durable == 1
        await runtime.sleep(0.02)
        assert journal.durable == 3
        await runtime.sleep(1)
        journal.append(Kind.STREAM, {"a": 3})
        await runtime.sleep(0.06)
        assert journal.durable == 4
        await journal.close()

    on(disk, scenario)


def test_flush_waits_for_everything_appended():
    async def scenario(runtime):
        journal = await opened(runtime)
        journal.append(Kind.STREAM, {"a": 1})
        done = journal.flush()
        journal.append(Kind.STREAM, {"a": 2})
        await done
        assert journal.durable >= 2
        await journal.flush()
        assert journal.durable == 3
        await journal.close()

    on(slow_disk(), scenario)


def test_a_caller_that_is_cancelled_changes_nothing_for_the_others():
    disk = slow_disk()

    async def scenario(runtime):
        journal = await opened(runtime)
        first = runtime.spawn(committed(journal, {"n": 1}), name="first")
        second = runtime.spawn(committed(journal, {"n": 2}), name="second")
        await runtime.sleep(0)
        first.cancel()
        await second
        assert journal.durable >= 3
        await journal.close()

    on(disk, scenario)
    assert numbers(scanned(disk)[1]) == [1, 2]


def test_a_cancelled_opening_leaves_the_journal_to_the_next():
    async def scenario(runtime):
        task = runtime.spawn(opened(runtime), name="opening")
        await runtime.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await runtime.sleep(0)
        journal = await opened(runtime)
        assert await journal.close()

    on(VirtualDisk(), scenario)


def test_chunks_that_a_run_with_another_size_made_ahead_do_not_hold_it_up(disk):
    def run_of(size, payload, times):
        async def scenario(runtime):
            journal = await opened(runtime, chunk_size=size)
            for _ in range(times):
                await committed(journal, {"n": len(payload), "text": payload})
            await runtime.sleep(1)
            assert await journal.close()
            return journal

        return on(disk, scenario)

    run_of(1024, "", 9)
    ahead = f"{FOLDER}/{chunk_name(2)}"
    assert bytes(disk.files[ahead][0]) == bytes(1024), "one is made ahead"
    run_of(8192, "x" * 5000, 3)
    run_of(2048, "y" * 1500, 3)
    journal = run_of(1024, "", 1)
    assert (journal.epoch, journal.clean, journal.damage) == (4, True, ())
    scan, records = scanned(disk)
    assert not scan.damage
    assert numbers(records) == [0] * 9 + [5000] * 3 + [1500] * 3 + [0]


# -- one writer --------------------------------------------------------------------------------------------------------


def test_a_second_writer_is_told_who_has_it(run):
    async def scenario(runtime, folder):
        journal = await opened(runtime, folder=folder)
        with pytest.raises(AccountBusy, match="is written by process") as caught:
            await opened(runtime, folder=folder)
        holder = runtime.disk.holder(f"{folder}/writer.lock")
        assert (caught.value.pid, caught.value.host) == (holder.pid, holder.host)
        assert caught.value.pid > 0
        assert caught.value.since_ns > 0
        assert caught.value.kind is ErrorKind.ACCOUNT_BUSY
        await journal.close()
        assert runtime.disk.holder(f"{folder}/writer.lock") is None
        again = await opened(runtime, folder=folder)
        assert again.epoch == 2
        await again.close()

    run(scenario)


def test_a_journal_of_another_account_is_refused_and_left_alone(disk):
    async def scenario(runtime):
        await (await opened(runtime)).close()
        before = {path: bytes(data) for path, (data, _) in runtime.disk.files.items()}
        with pytest.raises(UsageError, match="is of examplebroker emulator AB1234, expected examplebroker live AB1234"):
            await Journal.open(runtime, FOLDER, **WHOSE | {"environment": "live"})
        assert {path: bytes(data) for path, (data, _) in runtime.disk.files.items()} == before
        await (await opened(runtime)).close()

    on(disk, scenario)


def test_a_later_version_is_refused():
    from dragoman.orders.journal.format import ChunkHeader

    disk = filled(1)
    path = f"{FOLDER}/{chunk_name(1)}"
    data = bytes(disk.files[path][0])
    disk.files[path] = (ChunkHeader(1, 1, 4096, 0, bytes(16), version=2).packed() + data[64:], 0o600)

    async def scenario(runtime):
        with pytest.raises(UsageError, match="has version 2, expected at most 1"):
            await opened(runtime)
        assert runtime.disk.holder(f"{FOLDER}/writer.lock") is None

    on(disk, scenario)


def test_a_run_that_did_not_close_is_not_clean(disk):
    filled(3, close=False, disk=disk)

    async def scenario(runtime):
        journal = await opened(runtime)
        assert not journal.clean
        assert journal.damage == ()
        await journal.close()
        journal = await opened(runtime)
        assert journal.clean
        await journal.close()

    on(disk, scenario)


# -- when the disk does not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["sync", "write"])
def test_a_failed_sync_or_write_is_final_for_the_process(disk, operation):
    told = []

    async def scenario(runtime):
        journal = await opened(runtime)
        journal.on_failed = told.append
        await committed(journal, {"n": 1})
        journal.append(Kind.STREAM, {"a": 1})
        disk.fail(errno.EIO, operation=operation)
        with pytest.raises(Rejected, match="cannot be written") as caught:
            await committed(journal, {"n": 2})
        assert caught.value.kind is ErrorKind.LOCAL_DENIED
        assert caught.value.retry is Retry.NEVER
        assert caught.value.code == f"ERRNO_{errno.EIO}"
        assert journal.failed is not None
        disk.heal()
        with pytest.raises(Rejected):
            journal.commit(Kind.INTENT, {"n": 3})
        with pytest.raises(Rejected):
            journal.flush()
        before = disk.calls
        assert journal.append(Kind.STREAM, {"a": 2}) > 0
        await runtime.sleep(1)
        assert disk.calls == before, "the disk was touched after it failed"
        assert journal.unwritten == 4  # two appended, two commits that were refused
        assert not await journal.close()

    on(disk, scenario)
    assert len(told) == 1
    disk.crash()
    assert numbers(scanned(disk)[1])[:1] == [1]
    assert 3 not in numbers(scanned(disk)[1])


def test_a_sync_that_failed_and_lost_its_bytes_loses_nothing_that_was_acknowledged(disk):
    acknowledged = []

    async def scenario(runtime):
        journal = await opened(runtime)
        for number in range(20):
            if number == 11:
                disk.fail(errno.EIO, operation="sync")
            try:
                await committed(journal, {"n": number})
            except Rejected:
                continue
            acknowledged.append(number)

    on(disk, scenario)
    disk.crash()
    assert acknowledged == list(range(11))
    found = numbers(scanned(disk)[1])
    assert found[:11] == acknowledged
    assert len(found) <= 12


def test_what_is_held_in_memory_is_bounded_and_counted(disk):
    async def scenario(runtime):
        journal = await opened(runtime, held_limit=3)
        disk.fail(errno.EIO, operation="sync")
        with pytest.raises(Rejected):
            await committed(journal, {"n": 1})
        assert [journal.append(Kind.STREAM, {"a": number}) > 0 for number in range(4)] == [True, True, False, False]
        assert (journal.unwritten, journal.dropped) == (3, 2)
        await journal.close()

    on(disk, scenario)


def test_a_full_disk_refuses_and_goes_on_once_there_is_space(disk):
    refused, kinds = [], set()

    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=1024)
        disk.fail(errno.ENOSPC, operation="open", times=-1)
        for number in range(40):
            try:
                await committed(journal, {"n": number})
            except Rejected as error:
                refused.append(number)
                kinds.add((error.kind, error.retry))
        assert kinds == {(ErrorKind.LOCAL_DENIED, Retry.BACKOFF)}
        assert journal.full
        assert journal.failed is None
        journal.append(Kind.STREAM, {"meanwhile": True})
        assert journal.unwritten == len(refused) + 1
        disk.heal()
        await committed(journal, {"n": 100})
        assert not journal.full
        assert journal.unwritten == 0
        assert await journal.close()

    on(disk, scenario)
    disk.crash()
    scan, records = scanned(disk)
    assert not scan.damage
    assert numbers(records) == [number for number in range(40) if number not in refused] + [100]
    vain = [record.payload for record in records if record.kind is Kind.REFUSED]
    assert vain == [{"kind": "INTENT", "payload": {"n": number}} for number in refused]
    assert any(record.payload == {"meanwhile": True} for record in records)


def test_what_a_full_disk_makes_too_much_is_counted_and_leaves_no_gap(disk):
    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=1024, held_limit=30)
        disk.fail(errno.ENOSPC, operation="open", times=-1)
        for number in range(12):
            journal.append(Kind.STREAM, {"n": number})
        await runtime.sleep(0.1)
        kept = [journal.append(Kind.STREAM, {"n": number}) for number in range(12, 60)]
        assert kept.count(0) == journal.dropped > 0
        with pytest.raises(Rejected):
            journal.commit(Kind.INTENT, {"n": 60})
        await runtime.sleep(3)
        disk.heal()
        await runtime.sleep(3)
        assert journal.unwritten == 0
        assert await journal.close()
        return [number for number, sequence in enumerate(kept, 12) if sequence], journal.dropped

    kept, dropped = on(disk, scenario)
    scan, records = scanned(disk)
    assert not scan.damage
    assert [record.payload["n"] for record in records if record.kind is Kind.STREAM] == [*range(12), *kept]
    assert records[-1].payload == {"dropped": dropped}


def test_a_disk_that_was_full_is_looked_at_again_without_a_commit(disk):
    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=1024)
        disk.fail(errno.ENOSPC, operation="open", times=-1)
        for number in range(40):
            journal.append(Kind.STREAM, {"n": number})
        await runtime.sleep(5)
        assert journal.full
        assert journal.failed is None
        disk.heal()
        await runtime.sleep(5)
        assert not journal.full
        assert journal.unwritten == 0
        assert journal.durable == 41
        assert await journal.close()

    on(disk, scenario)


def test_space_that_is_found_after_the_end_is_left_alone(disk):
    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=1024, held_limit=4)
        disk.latency_s = 0.001
        disk.fail(errno.ENOSPC, operation="open", times=-1)
        while journal.append(Kind.STREAM, {"n": 0}):
            await runtime.sleep(0.1)
        assert journal.full
        worker, looks = runtime.in_worker, []

        async def later(work):
            looks.append(work)
            await runtime.sleep(2)
            return await worker(work)

        runtime.in_worker = later
        await runtime.sleep(1)
        disk.heal()
        assert not await journal.close()
        await runtime.sleep(10)
        assert len(looks) == 1

    on(disk, scenario)


def test_a_next_chunk_that_cannot_be_made_for_another_reason_is_final_once_it_is_needed(disk):
    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=1024)
        disk.fail(errno.EROFS, operation="open", times=-1)
        done = []

        async def commit_many():
            for number in range(40):
                await committed(journal, {"n": number})
                done.append(number)

        with pytest.raises(Rejected, match="Read-only"):
            await commit_many()
        assert len(done) > 5
        assert journal.failed is not None
        await journal.close()

    on(disk, scenario)


@pytest.mark.parametrize("operation", ["lock", "open", "write", "sync", "read", "list"])
def test_a_journal_that_cannot_be_opened_says_so_and_lets_go(operation):
    disk = VirtualDisk() if operation == "open" else filled(2)
    disk.fail(errno.EROFS if operation == "open" else errno.EIO, operation=operation)

    async def scenario(runtime):
        with pytest.raises(Rejected, match="cannot be opened for writing") as caught:
            await opened(runtime)
        assert caught.value.remedy
        journal = await opened(runtime)
        assert await journal.close()

    on(disk, scenario)


def test_a_short_write_is_final_and_its_half_record_is_damage(disk):
    filled(4, disk=disk)

    async def scenario(runtime):
        journal = await opened(runtime)
        disk.fail(operation="write", short=True)
        with pytest.raises(Rejected):
            await committed(journal, {"n": 10, "long": "x" * 100})

    on(disk, scenario)
    disk.end_processes()

    async def after(runtime):
        journal = await opened(runtime)
        assert [one.what for one in journal.damage] == ["torn"]
        assert numbers(journal.replay()) == [0, 1, 2, 3]
        await journal.close()

    on(disk, after)


def test_closing_is_bounded_though_the_disk_hangs():
    disk = slow_disk()

    async def scenario(runtime):
        journal = await opened(runtime)
        disk.latency_s = 3600.0
        before = runtime.clock.mono_ns()
        assert not await journal.close(patience_s=2.0)
        assert runtime.clock.mono_ns() - before <= 4_000_000_000
        assert disk.holder(f"{FOLDER}/writer.lock") is not None, "a write may still reach the disk"

    on(disk, scenario)


def test_who_waits_for_more_than_a_closing_journal_takes_is_answered():
    disk = slow_disk()

    async def scenario(runtime):
        journal = await opened(runtime, held_limit=2)
        disk.latency_s = 1.0
        written, *waiting = [journal.commit(Kind.INTENT, {"n": number}) for number in range(3)]
        assert not await journal.close(), "no memory was left to say so"
        await written
        for future in waiting:
            with pytest.raises(Rejected, match="closed before its disk"):
                await asyncio.wait_for(future, 10)
        assert disk.holder(f"{FOLDER}/writer.lock") is None
        journal = await opened(runtime)
        assert numbers(journal.replay()) == [0]
        assert await journal.close()

    on(disk, scenario)


def test_who_waits_for_a_disk_that_hangs_is_answered_when_the_journal_closes():
    disk = slow_disk()

    async def scenario(runtime):
        journal = await opened(runtime)
        disk.latency_s = 3600.0
        future = journal.commit(Kind.INTENT, {"n": 1})
        assert not await journal.close(patience_s=2.0)
        with pytest.raises(Rejected, match="closed before its disk"):
            await future

    on(disk, scenario)


def test_a_close_that_is_cancelled_goes_on_and_lets_go_of_the_lock():
    disk = slow_disk()

    async def scenario(runtime):
        journal = await opened(runtime)
        disk.latency_s = 1.0
        closing = asyncio.ensure_future(journal.close())
        await runtime.sleep(0.5)
        closing.cancel()
        await asyncio.wait((closing,))
        assert closing.cancelled()
        assert await journal.close(), "the second one waits for the end of the first"
        assert disk.holder(f"{FOLDER}/writer.lock") is None
        assert await (await opened(runtime)).close()

    on(disk, scenario)


def test_a_loop_that_ends_while_the_journal_closes_leaves_no_lock():
    disk = slow_disk()

    async def scenario(runtime):
        journal = await opened(runtime)
        closing = asyncio.ensure_future(journal.close())
        await runtime.sleep(0)
        everything = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in everything:
            task.cancel()
        await asyncio.wait((closing, *everything))
        assert disk.holder(f"{FOLDER}/writer.lock") is None

    on(disk, scenario)


def test_a_write_that_takes_long_is_told_of_once_while_it_lasts():
    disk = slow_disk()

    async def scenario(runtime):
        journal = await opened(runtime)
        told = []
        journal.on_slow = told.append
        for _ in range(3000):
            await committed(journal, {"n": 1})
        assert told == [], "many quick writes are not one slow one"
        disk.latency_s = 30.0
        waiting = journal.commit(Kind.INTENT, {"n": 2})
        await runtime.sleep(3)
        assert [error.kind for error in told] == [ErrorKind.LOCAL_DENIED]
        assert "has not finished a write" in str(told[0])
        await waiting
        assert len(told) == 1
        disk.latency_s = SLOW
        assert await journal.close()

    on(disk, scenario)


# -- what it takes -----------------------------------------------------------------------------------------------------


def test_what_is_no_plain_json_or_does_not_fit_is_a_wrong_call(disk):
    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=1024)
        with pytest.raises(UsageError, match="not plain JSON"):
            journal.append(Kind.STREAM, {"price": Decimal(1)})
        with pytest.raises(UsageError, match="not plain JSON"):
            journal.commit(Kind.INTENT, {"token": Secret("canary-token")})
        with pytest.raises(UsageError, match="does not fit"):
            journal.commit(Kind.INTENT, {"long": "x" * 1024})
        assert await journal.close()
        assert await journal.close()
        with pytest.raises(UsageError, match="is closed"):
            journal.append(Kind.STREAM, {})

    on(disk, scenario)


@pytest.mark.parametrize("size", [0, 1000, 1025, -8])
def test_a_chunk_size_that_cannot_be_is_refused(size):
    async def scenario(runtime):
        with pytest.raises(UsageError, match="chunk_size"):
            await opened(runtime, chunk_size=size)

    on(VirtualDisk(), scenario)


def test_secrets_in_what_a_broker_said_do_not_reach_the_disk_and_numbers_stay_as_they_are(disk):
    token, pin = Secret("canary-token-1234567"), Secret("2468")

    async def scenario(runtime):
        journal = await opened(runtime)
        journal.append(
            Kind.REPLY,
            {
                "order_id": "900124680001",
                "price": "2468.00",
                "tag": "a 2468",
                "text": "bad:canary-token-1234567",
                "order": {"reject": {"text": "PIN 2468 is wrong"}, "tags": ["my 2468"]},
                "notes": ["as canary-token-1234567 ended", {"why": "2468"}],
            },
        )
        await journal.close()

    on(disk, scenario)
    kept = b"".join(bytes(data) for data, _ in disk.files.values())
    assert token.reveal().encode() not in kept
    (record,) = [one for one in scanned(disk)[1] if one.kind is Kind.REPLY]
    assert record.payload == {
        "order_id": "900124680001",
        "price": "2468.00",
        "tag": "a 2468",
        "text": "bad:***",
        "order": {"reject": {"text": "PIN *** is wrong"}, "tags": ["my 2468"]},
        "notes": ["as *** ended", {"why": "***"}],
    }
    assert pin


_words = st.text(max_size=20)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=6,
)
_payloads = st.dictionaries(_words, _values, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(list(Kind)[1:7]), _payloads, st.booleans()), max_size=30),
    st.sampled_from([4096, 8192]),
    st.booleans(),
)
def test_whatever_is_written_is_read_back(entries, chunk_size, instant):
    disk = VirtualDisk() if instant else slow_disk()

    async def write(runtime):
        journal = await opened(runtime, chunk_size=chunk_size)
        waiting = []
        for kind, payload, commits in entries:
            if commits:
                waiting.append(journal.commit(kind, payload))
            else:
                journal.append(kind, payload)
        await asyncio.gather(*(done for done in waiting if done is not None))
        assert await journal.close()

    async def read(runtime):
        journal = await opened(runtime, chunk_size=chunk_size)
        found = list(journal.replay())
        assert await journal.close()
        return journal, found

    on(disk, write)
    disk.crash()
    journal, found = on(disk, read)
    assert journal.clean
    assert [(record.kind, record.payload) for record in found[1:-1]] == [
        (kind, payload) for kind, payload, _ in entries
    ]
    assert [record.sequence for record in found] == list(range(1, len(entries) + 3))


def test_a_kind_of_a_later_version_is_kept_under_its_number():
    assert Kind(4000).name == "KIND_4000"
    assert Kind(4000) == 4000
    with pytest.raises(ValueError, match="-1"):
        Kind(-1)


def test_files_that_are_no_chunks_are_passed_over():
    assert chunk_number(chunk_name(17)) == 17
    for name in ("17.journal", "writer.lock", "0000001x.journal", "00000017.journal.tmp", ".00000017.journal"):
        assert chunk_number(name) is None


def test_each_account_and_each_emulator_has_a_folder_of_its_own():
    base = journal_folder("/s", "examplebroker", "live", "AB1234", hosts=["https://x:1"])
    assert base == journal_folder("/s", "examplebroker", "live", "AB1234")
    emulated = [
        journal_folder("/s", "examplebroker", "emulator", "AB1234", hosts=[f"http://127.0.0.1:{port}"])
        for port in (1, 2)
    ]
    assert len({base, *emulated, journal_folder("/s", "examplebroker", "live", "AB.1234")}) == 4


def test_the_virtual_runtime_gives_the_same_journal_for_the_same_seed():
    assert bytes(filled(5).files[f"{FOLDER}/{chunk_name(1)}"][0]) == bytes(
        filled(5).files[f"{FOLDER}/{chunk_name(1)}"][0]
    )
    with VirtualRuntime(1) as runtime:
        assert runtime.disk.instant


def test_text_that_no_file_can_hold_is_spelled_out():
    assert orjson.loads(encode_payload({"text": "a\ud800b", "list": ["\udfff"]})) == {
        "text": "a\\ud800b",
        "list": ["\\udfff"],
    }
