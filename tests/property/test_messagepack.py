"""MessagePack: what is written is read again, and any bytes give a value or a DecodeError."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import DecodeError
from dragoman.plugin.messagepack import Moment, pack_messagepack, unpack_messagepack

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=40)
    | st.builds(Moment, st.integers(-(2**62), 2**62))
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=30
)


@given(VALUES)
def test_what_is_written_is_read_again(value):
    assert unpack_messagepack(pack_messagepack(value)) == value


@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_or_a_decode_error(data):
    try:
        unpack_messagepack(data)
    except DecodeError:
        return


@given(VALUES, st.data())
def test_a_cut_message_is_refused(value, data):
    whole = pack_messagepack(value)
    with pytest.raises(DecodeError):
        unpack_messagepack(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize("size", [0, 15, 16, 65535, 65536])
def test_lengths_of_every_width_are_read_again(size):
    assert unpack_messagepack(pack_messagepack([0] * size)) == [0] * size
    assert unpack_messagepack(pack_messagepack("x" * size)) == "x" * size
    assert len(unpack_messagepack(pack_messagepack({str(at): at for at in range(size)}))) == size


def test_numbers_take_the_fewest_bytes_of_the_specification():
    assert pack_messagepack(127) == b"\x7f"
    assert pack_messagepack(128) == b"\xcc\x80"
    assert pack_messagepack(-33) == b"\xd0\xdf"
    assert pack_messagepack(2**32) == b"\xcf" + struct.pack(">Q", 2**32)
    with pytest.raises(ValueError, match="64 bits"):
        pack_messagepack(2**64)


def test_timestamps_of_all_three_sizes_are_read():
    assert unpack_messagepack(b"\xd6\xff" + struct.pack(">I", 7)) == Moment(7_000_000_000)
    assert unpack_messagepack(b"\xd7\xff" + struct.pack(">Q", 5 << 34 | 7)) == Moment(7_000_000_005)
    assert unpack_messagepack(b"\xc7\x0c\xff" + struct.pack(">Iq", 5, -7)) == Moment(-6_999_999_995)


def test_nesting_beyond_reason_is_refused():
    with pytest.raises(DecodeError, match="nest"):
        unpack_messagepack(b"\x91" * 200 + b"\xc0")
