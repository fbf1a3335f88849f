"""The checksum of the journal: published values, both implementations, seeds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import CRC32C_IN_HARDWARE, crc32c, crc32c_tables


def bit_by_bit(data: bytes) -> int:
    """Divide as the definition says."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize("checksum", [crc32c, crc32c_tables])
@pytest.mark.parametrize(
    ("data", "value"),
    [  # RFC 3720, appendix B.4; the last is the check value of catalogues
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_values(checksum, data, value):
    assert checksum(data) == value


@given(st.binary(max_size=200))
def test_both_implementations_are_the_definition(data):
    assert crc32c(data) == crc32c_tables(data) == bit_by_bit(data)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_seed_continues(head, tail):
    assert crc32c(tail, crc32c(head)) == crc32c_tables(tail, crc32c_tables(head)) == crc32c(head + tail)


def test_any_buffer_will_do():
    data = bytearray(b"x123456789")
    assert crc32c(memoryview(data)[1:]) == crc32c(data[1:]) == crc32c(b"123456789")
    assert isinstance(CRC32C_IN_HARDWARE, bool)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((), TypeError),
        ((b"", 1, 2), TypeError),
        (("text",), TypeError),
        ((b"", 1 << 32), OverflowError),
        ((b"", -1), OverflowError),
        ((memoryview(bytes(8))[::2],), BufferError),
    ],
)
def test_a_wrong_call_is_an_error(args, error):
    with pytest.raises(error):
        crc32c(*args)
