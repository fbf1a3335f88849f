"""The native walk over good records, against what Python says of the same bytes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import blake2b_16, journal_run
from dragoman.orders.journal.format import NO_HASH, encode_payload, encode_record, record_hash

RECORDS = st.lists(
    st.tuples(
        st.dictionaries(st.text(max_size=9), st.text(max_size=300), max_size=4),
        st.integers(0, 2**62),
        st.sampled_from([1, 2, 3, 700]),
        st.sampled_from([5, 5, 5, 6]),
    ),
    max_size=12,
)


@given(st.binary(max_size=700))
def test_the_hash_is_the_standard_librarys(data):
    assert blake2b_16(data) == hashlib.blake2b(data, digest_size=16).digest()


@given(st.sampled_from([0, 127, 128, 129, 255, 256, 257, 4096]))
def test_the_hash_is_right_at_the_edges_of_its_blocks(size):
    data = bytes(range(256)) * 16
    assert blake2b_16(data[:size]) == hashlib.blake2b(data[:size], digest_size=16).digest()


@given(RECORDS, st.integers(1, 2**40), st.binary(min_size=16, max_size=16), st.integers(0, 300))
def test_it_goes_as_far_as_records_follow_one_another(records, first, previous, room):
    chunk, link = bytearray(64), previous
    expected = (64, first - 1, previous, 0, 0, 0)
    open_or_other_epoch = False
    newest = 0
    for number, (payload, time_ns, kind, epoch) in enumerate(records):
        record = encode_record(
            kind,
            encode_payload(payload),
            sequence=first + number,
            time_ns=time_ns,
            epoch=epoch,
            run=b"7Q1M9",
            previous=link,
        )
        chunk += record
        link, newest = record_hash(record), max(newest, time_ns)
        open_or_other_epoch = open_or_other_epoch or kind == 1 or epoch != 5
        if not open_or_other_epoch:
            expected = (len(chunk), first + number, link, newest, number + 1, kind)
    data = bytes(chunk) + bytes(room)
    assert journal_run(data, 64, first - 1, previous, 5, 1) == expected


@given(st.binary(max_size=400), st.integers(0, 500))
def test_any_bytes_end_the_walk_and_nothing_else(data, offset):
    found = journal_run(data, offset, 0, NO_HASH, 0, 1)
    assert found == (offset, 0, NO_HASH, 0, 0, 0)


def test_wrong_calls_are_errors():
    with pytest.raises(ValueError, match="expected 16"):
        journal_run(b"", 0, 0, b"short", 0, 1)
    with pytest.raises(ValueError, match="one row of bytes"):
        journal_run(memoryview(bytes(16)).cast("I"), 0, 0, NO_HASH, 0, 1)
