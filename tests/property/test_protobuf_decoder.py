"""Native decode equals the plain-Python reference: records, levels, control ranges, counters, whatever the bytes."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman._core import FIELDS, Decoder, intern_instrument
from dragoman.plugin import (
    ProtoColumn,
    ProtoColumns,
    ProtoConstant,
    ProtoKey,
    ProtoLevels,
    ProtoRecords,
    ProtoShape,
    ProtoSide,
    ProtoStream,
    ProtoSub,
    ProtoValue,
)
from reference import protobuf_streams as known
from reference.protobuf_decoder import INTEGERS, ReferenceDecoder, wire_of

ACTIONS = ("add", "update", "remove", "clear")
COMMON = "frames packets records unknown_packets unbound rejected_values control"

LISTS = ProtoStream(
    "lists",
    (
        ProtoRecords(
            1,
            (
                ProtoKey(1, "uint32", shift=8, mask=0xFFFF),
                ProtoKey(2, "fixed32", mask=0xFF),
                ProtoColumns(
                    "bid",
                    ProtoColumn(3, "sint32", divisor=100),
                    ProtoColumn(4, "fixed32"),
                    ProtoColumn(5, "uint32"),
                    max_rows=4,
                ),
                ProtoColumns("ask", ProtoColumn(6, "decimal"), ProtoColumn(7, "float", digits=2), empty="none"),
                ProtoValue(8, "uint64", "sequence"),
                ProtoValue(9, "sfixed32", "ts_event", unit="s", shift_s=-19800),
            ),
            shape=ProtoShape("delta", "depth_delta"),
        ),
        ProtoSub(2, (ProtoValue(1, "double", "ts_event", unit="epoch"), ProtoConstant("turnover", 2.5))),
    ),
    merge=True,
    max_records=3,
)
SCALARS = ProtoStream(
    "scalars",
    (
        ProtoKey(1, "bytes"),
        ProtoValue(2, "decimal", "last_price"),
        ProtoValue(3, "sint64", "open", divisor=10_000),
        ProtoValue(4, "uint64", "volume", divisor=7),
        ProtoValue(5, "bool", "oi", default=1),
        ProtoValue(6, "uint32", "low", absent=1),
        ProtoValue(7, "float", "high", digits=2),
        ProtoValue(8, "int64", "ts_event", unit="epoch"),
        ProtoValue(9, "double", "last_trade_time", unit="ms"),
        ProtoLevels(
            10, bid=ProtoSide(ProtoColumn(2, "double", digits=1), ProtoColumn(1, "sint64"), ProtoColumn(3, "int32"))
        ),
        ProtoValue(17, "sfixed64", "sequence"),
    ),
    shape=ProtoShape("all", mode="full"),
    merge=True,
)
LADDERS = ProtoStream(
    "ladders",
    (
        ProtoRecords(
            1,
            (
                ProtoKey(1, "string"),
                ProtoLevels(
                    2,
                    bid=ProtoSide(ProtoColumn(1, "double"), ProtoColumn(2, "int64")),
                    ask=ProtoSide(ProtoColumn(3, "int64"), ProtoColumn(4, "int64")),
                    max_rows=3,
                ),
                ProtoLevels(3, ask=ProtoSide(ProtoColumn(2, "double"), ProtoColumn(1, "double")), empty="none"),
                ProtoLevels(20, bid=ProtoSide(ProtoColumn(15, "int64"), ProtoColumn(3, "double")), sort=True),
            ),
            shape=ProtoShape("ladder"),
        ),
        ProtoValue(3, "int64", "ts_event", unit="ms"),
    ),
)
STREAMS = {
    "ladders": LADDERS,
    "feed": known.keyed_feed(),
    "merged": known.keyed_feed(merge=True, extras=True),
    "merged within a shape": replace(known.keyed_feed(merge=True), merge_shapes=False),
    "root": known.ONE_EACH,
    "lists": LISTS,
    "scalars": SCALARS,
}


def bits(names):
    return sum(1 << (FIELDS.index(name) if name in FIELDS else 24 + INTEGERS.index(name)) for name in names)


def native(batch):
    rows, ops = batch.records, batch.level_ops
    found = []
    for at, tick in enumerate(batch):
        row = rows[at]
        levels = ops[row["level_begin"] : row["level_begin"] + row["level_count"]]
        ints = {name: value for name in INTEGERS if (value := getattr(tick, name)) is not None}
        values = {name: value for name in FIELDS if (value := getattr(tick, name)) is not None}
        assert tick.present == bits([*values, *ints])
        found.append(
            {
                "kind": tick.kind,
                "mode": tick.mode,
                "flags": tick.flags,
                "layout": tick.layout,
                "source": int(row["source"]),
                "instrument": tick.instrument,
                "changed": tick.changed,
                "values": values,
                "ints": ints,
                "levels": [
                    (("bid", "ask")[op["side"]], ACTIONS[op["action"]], op["price"], op["quantity"], op["orders"])
                    for op in levels
                ],
            }
        )
    return found


def check_equal(stream, frames):
    decoder, reference = Decoder(stream.compile()), ReferenceDecoder(stream)
    for key in (b"a", b"1|0|a", b"NSE_FO|45450"):
        reference.bound[key] = intern_instrument(f"TEST:{key.hex().upper()}")
        decoder.bind_text(key, reference.bound[key])
    reference.bound[7] = intern_instrument("TEST:7")
    decoder.bind(7, reference.bound[7])
    for frame in frames:
        batch, wanted = decoder.decode(frame), reference.decode(frame)
        assert native(batch) == [record | {"changed": bits(record["changed"])} for record in wanted]
        assert batch.control == tuple(reference.control)
        assert batch.errors == reference.errors
    counters = decoder.counters
    assert {name: counters[name] for name in COMMON.split()} == {
        name: reference.counters[name] for name in COMMON.split()
    }
    assert counters["truncated"] + counters["malformed"] == reference.counters["broken"]


# --- messages ---------------------------------------------------------------------------------------------------------


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


NUMBERS = st.sampled_from([0, 1, 2, 5, 127, 128, 300, 2**31, 2**32 + 5, 2**63, 2**64 - 1, 1753327800456])
DOUBLES = st.sampled_from([0.0, -0.0, 1.0, 10.25, 1e10 / 3, -4.5, 1753327800.25, 1e300, float("nan"), float("inf")])
TEXTS = st.sampled_from([b"", b"a", b"1d", b"I1", b"12.50", b"-0.001", b"1234567890.123456", b"\xff", b"x"])


def is_variant(member):
    return member.shape is not None or any(inner.what == "sub" and is_variant(inner) for inner in member.members)


@st.composite
def fields(draw, members, depth=0):
    """Bytes of a message that has mostly fields its layout knows, in any order, with some it does not."""
    out = []
    shuffled = draw(st.permutations(list(members))) if draw(st.booleans()) else list(members)
    variants = [member for member in shuffled if member.what == "sub" and is_variant(member)]
    if len(variants) > 1 and draw(st.integers(0, 9)) > 0:
        kept = draw(st.sampled_from(variants))
        shuffled = [member for member in shuffled if member is kept or member not in variants]
    for member in shuffled:
        for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
            out += draw(one(member, depth))
    if draw(st.integers(0, 9)) == 0:
        out.append(varint(draw(st.integers(11, 20)) << 3 | 2) + varint(2) + b"\x08\x01")
    return b"".join(out)


@st.composite
def scalar(draw, number, kind):
    wire = wire_of(kind)
    if wire == 2:
        body = draw(TEXTS)
        return varint(number << 3 | 2) + varint(len(body)) + body
    if wire == 0:
        return varint(number << 3) + varint(draw(NUMBERS))
    if kind in ("double", "float"):
        value = draw(DOUBLES)
        code = "<d" if kind == "double" else "<f"
        return varint(number << 3 | wire) + struct.pack(code, 0.5 if code == "<f" and value == 1e300 else value)
    raw = draw(NUMBERS) % (2**64 if wire == 1 else 2**32)
    return varint(number << 3 | wire) + raw.to_bytes(8 if wire == 1 else 4, "little")


@st.composite
def one(draw, member, depth):
    if member.what == "constant":
        return []
    if member.what == "key" and member.type == "string" and draw(st.integers(0, 9)) > 0:
        return [varint(member.number << 3 | 2) + b"\x01a"]
    if member.what in ("value", "key"):
        return [draw(scalar(member.number, member.type))]
    if member.what == "control":
        return [varint(member.number << 3) + varint(draw(NUMBERS))]
    if member.what == "columns":
        columns = [member.price, member.quantity, *([member.orders] if member.orders else [])]
        return [draw(scalar(column.number, column.type)) for column in columns]
    if member.what == "levels":
        parts = []
        for side in (member.bid, member.ask):
            for column in (side.price, side.quantity, side.orders) if side else ():
                if column is not None:
                    path = column.number if isinstance(column.number, tuple) else (column.number,)
                    body = draw(scalar(path[-1], column.type))
                    for step in reversed(path[:-1]):
                        body = varint(step << 3 | 2) + varint(len(body)) + body
                    parts.append(body)
        body = b"".join(parts)
    else:
        body = draw(fields(member.members, depth + 1))
    whole = varint(member.number << 3 | 2) + varint(len(body)) + body
    return [whole] * (draw(st.integers(1, 4)) if member.what == "levels" else 1)


@st.composite
def damaged(draw, frame):
    how = draw(st.sampled_from(["whole", "whole", "whole", "cut", "flip", "pad", "random"]))
    if draw(st.booleans()):
        frame += TAIL
    if how == "cut":
        return frame[: draw(st.integers(0, len(frame)))]
    if how == "flip" and frame:
        out = bytearray(frame)
        for at in draw(st.lists(st.integers(0, 8 * len(frame) - 1), min_size=1, max_size=3)):
            out[at // 8] ^= 1 << (at % 8)
        return bytes(out)
    if how == "pad":
        return frame + draw(st.binary(min_size=1, max_size=8))
    return draw(st.binary(max_size=48)) if how == "random" else frame


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_made_up_messages_decode_as_the_reference_does(name):
    stream = STREAMS[name]

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def check(data):
        frames = [data.draw(damaged(data.draw(fields(stream.members)))) for _ in range(data.draw(st.integers(1, 3)))]
        check_equal(stream, frames)

    check()


TAIL = varint(20 << 3 | 2) + varint(300) + bytes(300)
"""Something unknown behind a message: what stands far from a frame's end is read in other, quicker ways."""


VECTORS = (known.MARKET_INFO, known.LTPC_HEX, known.INDEX_HEX, known.FULL_HEX, known.GREEKS_HEX)


@pytest.mark.parametrize("vector", VECTORS)
def test_every_cut_and_every_flipped_bit_of_a_vector_decodes_as_the_reference_does(vector):
    frame = bytes.fromhex(vector)
    cuts = [frame[:at] for at in range(len(frame) + 1)]
    flips = [
        frame[: at // 8] + bytes([frame[at // 8] ^ 1 << at % 8]) + frame[at // 8 + 1 :] for at in range(8 * len(frame))
    ]
    check_equal(STREAMS["merged"], cuts + flips + [flip + TAIL for flip in flips])
