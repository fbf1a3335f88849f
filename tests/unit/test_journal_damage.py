"""Every flipped bit and every truncation of a journal is seen, costs what it hit, and is never written over."""

from __future__ import annotations

from collections import deque

import pytest

from dragoman.orders.journal import Kind
from dragoman.orders.journal.format import HEADER_SIZE, chunk_name
from dragoman.orders.journal.scan import Scan
from reference.journal_kit import FOLDER, copy_of, filled, numbers, on, opened, scanned

CHUNK = 1024
RECORDS = 200


@pytest.fixture(scope="module")
def whole():
    """A journal of 200 records in chunks of 1024 bytes, and its records."""
    disk = filled(RECORDS, chunk_size=CHUNK)
    scan, records = scanned(disk)
    assert numbers(records) == list(range(RECORDS))
    assert not scan.damage
    return disk, records


def chunks_of(disk):
    return sorted(path for path in disk.files if path.endswith(".journal"))


def pieces(disk):
    """Yield for each chunk what a scan says of it, its bytes, and a way to scan others in their place."""
    scan, _ = scanned(disk)
    contents = [bytes(disk.files[path][0]) for path in chunks_of(disk)]
    for chunk, content, after in zip(scan.chunks, contents, [*contents[1:], None], strict=True):

        def look(data, *, full=True, chunk=chunk, after=after):
            sequence, previous = chunk.before
            skimmed = Scan(sequence=sequence, previous=previous, skim=True)
            deque(skimmed.chunk(chunk.number, data), maxlen=0)
            if after is not None:
                deque(skimmed.chunk(chunk.number + 1, after), maxlen=0)
            if not full:
                return skimmed, None
            part = Scan(sequence=sequence, previous=previous)
            found = [raw.sequence for raw in part.chunk(chunk.number, data)]
            if after is not None:
                found += [raw.sequence for raw in part.chunk(chunk.number + 1, after)]
            assert all_of(skimmed) == all_of(part)
            return part, found

        yield chunk, content, look


def all_of(scan):
    """Everything a scan knows."""
    return (
        scan.damage,
        scan.chunks,
        (scan.sequence, scan.hash, scan.epoch, scan.kind, scan.records),
        (scan.epochs, scan.opened, scan.time_ns),
    )


def check(scan, found, expected, place):
    """Damage is seen, nothing is invented, and the count of what is lost is right wherever it can be known."""
    assert scan.damage, f"{place}: nothing is seen"
    if found is not None:
        assert found == sorted(set(found) & set(expected)), f"{place}: records are invented or out of order"
        assert len(found) == scan.records
    told = [one.lost for one in scan.damage]
    if None in told:
        last = scan.sequence
        assert all(one.after == last for one in scan.damage if one.lost is None), f"{place}: {scan.damage}"
        told = [lost or 0 for lost in told] + [expected[-1] - last]
    assert sum(told) == len(expected) - scan.records, f"{place}: {scan.damage}"


def test_every_flipped_bit_is_seen_and_costs_one_record_at_most(whole):
    disk, _ = whole
    for chunk, content, look in pieces(disk):
        _, expected = look(content)
        data = bytearray(content)
        for at in range(len(data)):
            for bit in range(8):
                data[at] ^= 1 << bit
                scan, found = look(bytes(data), full=bit == at % 8)
                data[at] ^= 1 << bit
                if not chunk.records:
                    assert scan.damage
                    continue
                place = f"bit {bit} of byte {at} of {chunk.name}"
                check(scan, found, expected, place)
                assert scan.records >= len(expected) - 1, f"{place}: it costs {len(expected) - scan.records} records"


def test_every_truncation_is_seen_and_costs_what_was_cut_off(whole):
    disk, _ = whole
    for chunk, content, look in pieces(disk):
        _, expected = look(content)
        for size in range(len(content)):
            scan, found = look(content[:size])
            if chunk.records:
                check(scan, found, expected, f"{chunk.name} cut to {size} bytes")
            else:
                assert scan.damage  # one made ahead, which nothing was written to yet


def test_damage_in_a_whole_journal_is_what_it_is_in_its_chunk(whole):
    disk, records = whole
    other = copy_of(disk)
    expected = [record.sequence for record in records]
    for path in chunks_of(disk)[:-1]:
        data = bytearray(disk.files[path][0])
        for at in range(3, len(data), 41):
            data[at] ^= 16
            other.files[path] = (bytes(data), 0o600)
            scan, found = scanned(other)
            data[at] ^= 16
            check(scan, [record.sequence for record in found], expected, f"byte {at} of {path}")
        other.files[path] = (bytes(data), 0o600)


def test_a_missing_chunk_is_named_and_counted(whole):
    disk, records = whole
    other = copy_of(disk)
    del other.files[chunks_of(disk)[1]]
    scan, found = scanned(other)
    (damage,) = scan.damage
    assert (damage.what, damage.file, damage.lost) == ("missing chunk", chunk_name(2), len(records) - len(found))
    assert damage.lost > 10
    del other.files[chunks_of(disk)[0]]
    scan, found = scanned(other)
    assert [one.what for one in scan.damage] == ["missing chunk"]
    assert scan.damage[0].lost == found[0].sequence - 1


def test_two_chunks_that_changed_places_are_not_believed(whole):
    disk, _ = whole
    other = copy_of(disk)
    first, second = chunks_of(disk)[1:3]
    other.files[first], other.files[second] = other.files[second], other.files[first]
    scan, found = scanned(other)
    assert scan.damage
    kept = numbers(found)
    assert kept == sorted(set(kept))


def test_a_record_swapped_for_an_older_copy_is_seen(whole):
    disk, records = whole
    other = copy_of(disk)
    path = chunks_of(disk)[0]
    data = bytearray(disk.files[path][0])
    size = 56 + 8
    at = data.index(b'{"n":5}') - 56
    data[at + size : at + 2 * size] = data[at : at + size]
    other.files[path] = (bytes(data), 0o600)
    scan, found = scanned(other)
    assert [(one.what, one.lost) for one in scan.damage] == [("out of order", 1)]
    assert len(found) == len(records) - 1


def test_damaged_bytes_are_put_aside_and_the_chunk_is_left_as_it_was(whole):
    disk, records = whole
    other = copy_of(disk)
    path = chunks_of(disk)[-1] if bytes(disk.files[chunks_of(disk)[-1]][0]).strip(b"\0") else chunks_of(disk)[-2]
    data = bytearray(disk.files[path][0])
    at = data.rindex(b'{"n":')
    data[at + 5] ^= 4
    spoiled = bytes(data)
    other.files[path] = (spoiled, 0o600)

    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=CHUNK)
        found = list(journal.replay())
        state = (journal.damage, journal.known_damage, journal.clean, found, journal.journal_ids)
        journal.append(Kind.STREAM, {"after": True})
        assert await journal.close()
        return state

    damage, known, clean, found, ids = on(other, scenario)
    (one,) = damage
    assert not known
    assert not clean
    assert one.what == "damaged"
    assert one.lost == 1
    assert bytes(other.files[path][0]) == spoiled
    assert bytes(other.files[one.kept][0]) == spoiled[one.offset : one.offset + one.length]
    assert len(found) == len(records) - 1

    damage, known, clean, again, more = on(other, scenario, seed=1)
    assert damage == ()
    assert [each.key for each in known] == [one.key]
    assert clean
    assert again[: len(found)] == found
    assert len(again) == len(found) + 3  # the run that found it: its first record, one more, its last
    assert ids < more
    assert bytes(other.files[path][0]) == spoiled


def test_the_run_is_known_though_its_first_record_is_damaged():
    disk = filled(3)
    path = f"{FOLDER}/{chunk_name(1)}"
    data = bytearray(disk.files[path][0])
    journal_id = bytes(data[HEADER_SIZE + 30 : HEADER_SIZE + 35]).decode()
    data[data.index(b"journal_id")] ^= 1
    disk.files[path] = (bytes(data), 0o600)

    async def scenario(runtime):
        journal = await opened(runtime)
        await journal.close()
        return journal

    journal = on(disk, scenario)
    assert journal_id in journal.journal_ids
    assert journal.epoch == 2
    assert [one.what for one in journal.damage] == ["damaged"]


def test_anything_at_all_in_a_chunk_is_damage_and_not_an_error():
    for content in (b"\xff" * 5000, b"DRGMJRNL" + b"\0" * 3000, b"x", b"", b"\0" * 100, bytes(range(256)) * 30):
        disk = filled(5)
        disk.files[f"{FOLDER}/{chunk_name(1)}"] = (content, 0o600)

        async def scenario(runtime):
            journal = await opened(runtime)
            assert await journal.close()
            return journal

        journal = on(disk, scenario)
        assert journal.damage
        assert not journal.clean
        again = on(disk, scenario, seed=3)
        assert again.damage == ()
        assert again.clean
