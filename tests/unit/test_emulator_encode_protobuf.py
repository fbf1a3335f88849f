"""The writer of protobuf messages gives the vectors of the protocol page, byte for byte."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dragoman.emulator.encode_protobuf import proto_field, proto_map, proto_message, proto_packed
from dragoman.plugin import proto_int, read_protobuf
from reference import protobuf_streams as known


def ltpc(price, time_ms, quantity, close):
    return (
        proto_field(1, "double", price)
        + proto_field(2, "int64", time_ms)
        + proto_field(3, "int64", quantity)
        + proto_field(4, "double", close)
    )


def test_last_price_vector_is_written_byte_for_byte():
    trade = ltpc(815.75, 1753327800000, 25, 807.1)
    frame = proto_field(1, "enum", 1) + proto_map(2, {"NSE_EQ|INE062A01020": proto_message(1, trade)})
    assert (frame + proto_field(3, "int64", 1753327800456)).hex() == known.LTPC_HEX


def test_full_vector_is_written_byte_for_byte():
    quote = [(1, "int64", 150), (2, "double", 219.25), (3, "int64", 75), (4, "double", 219.35)]
    fields = (
        proto_message(1, ltpc(219.3, 1753327800000, 75, 494.05)),
        proto_message(2, proto_message(1, *(proto_field(*field) for field in quote))),
        proto_message(3, proto_field(1, "double", 0.54) + proto_field(5, "double", 0)),
        proto_field(5, "double", 220.1),
        proto_field(6, "int64", 1000),
        proto_field(7, "double", 5000),
        proto_field(8, "double", 0.12),
        proto_field(9, "double", 100),
        proto_field(10, "double", Decimal(200)),
    )
    written = read_protobuf(bytes.fromhex(known.FULL_HEX))
    entry = read_protobuf(written[2][0])
    market = read_protobuf(read_protobuf(entry[2][0])[2][0])[1][0]
    theirs = read_protobuf(market)
    ours = read_protobuf(b"".join(fields))
    assert {at: ours[at] for at in ours if at != 3} == {at: theirs[at] for at in theirs if at != 3}


def test_zeros_are_left_out_unless_kept_and_negative_zero_is_no_zero():
    assert proto_field(1, "int64", 0) + proto_field(2, "string", "") + proto_field(3, "double", None) == b""
    assert proto_field(1, "int64", 0, keep_zero=True) == b"\x08\x00"
    assert proto_field(1, "double", -0.0) != b""
    assert proto_message(4) == b"\x22\x00"


def test_packed_numbers_and_zigzag_follow_the_encoding_rules():
    assert proto_packed(4, "int32", [3, 270, 86942]).hex() == "2206038e029ea705"
    assert proto_packed(4, "int32", []) == b""
    assert [proto_field(1, "sint64", value) for value in (-1, 1, -2)] == [b"\x08\x01", b"\x08\x02", b"\x08\x03"]
    assert proto_int(read_protobuf(proto_field(1, "int32", -7))[1][0]) == -7
    assert proto_field(1, "decimal", Decimal("0.0100")) == b"\x0a\x060.0100"


@pytest.mark.parametrize(
    "arguments",
    [
        (0, "int32", 1),
        (2**29, "int32", 1),
        (1, "int32", 2**31),
        (1, "uint64", -1),
        (1, "int64", 1.5),
        (1, "bool", 2),
        (1, "fixed32", -1),
        (1, "double", "x"),
        (1, "float", 1e300),
    ],
)
def test_what_does_not_fit_is_refused(arguments):
    with pytest.raises(ValueError, match="protobuf field"):
        proto_field(*arguments)


def test_texts_are_not_packed():
    with pytest.raises(ValueError, match="not packed"):
        proto_packed(1, "string", ["a"])
