"""Native decode equals the plain-Python reference: records, levels, control ranges, counters, whatever the bytes.

Frames are built from the description and then damaged: cut, flipped, padded, or random from the start. Streams are the
one of an adapter, a topic stream, and streams made up by hypothesis.
"""

from __future__ import annotations

import struct

from dragoman.adapters.zerodha.feed import STREAM as TICKER
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dragoman._core import ABSENT_INT, FIELDS, Decoder, intern_instrument
from dragoman.plugin import (
    Column,
    Define,
    Field,
    Framing,
    Key,
    Levels,
    PackedLayout,
    PackedStream,
    Refer,
    Scale,
    Schema,
    Select,
    SideFlag,
    Vector,
    WirePart,
)
from reference.packed_decoder import INTEGERS, ReferenceDecoder, width_of

FLAGS = {"depth": 1, "snapshot": 2, "last": 4, "merged": 8, "index": 16}
ACTIONS = ("add", "update", "remove", "clear")
COMMON = "frames packets records unknown_packets truncated malformed unbound undefined_topics rejected_values control"


def bits(names):
    return sum(1 << (FIELDS.index(name) if name in FIELDS else 24 + INTEGERS.index(name)) for name in names)


def native_records(batch):
    rows, ops = batch.records, batch.level_ops
    found = []
    for at, tick in enumerate(batch):
        row = rows[at]
        levels = ops[row["level_begin"] : row["level_begin"] + row["level_count"]]
        found.append(
            {
                "key": tick.key,
                "kind": tick.kind,
                "mode": tick.mode,
                "flags": tick.flags,
                "layout": tick.layout,
                "source": int(row["source"]),
                "instrument": tick.instrument,
                "present": tick.present,
                "changed": tick.changed,
                "values": {name: value for name in FIELDS if (value := getattr(tick, name)) is not None},
                "ints": {name: value for name in INTEGERS if (value := getattr(tick, name)) is not None},
                "levels": [
                    (("bid", "ask")[op["side"]], ACTIONS[op["action"]], op["price"], op["quantity"], op["orders"])
                    for op in levels
                ],
            }
        )
    return found


def reference_records(records):
    return [
        {
            "key": ABSENT_INT if record.key is None else record.key,
            "kind": record.kind,
            "mode": record.mode,
            "flags": sum(FLAGS[flag] for flag in record.flags),
            "layout": record.layout,
            "source": record.source,
            "instrument": record.instrument,
            "present": bits(record.present),
            "changed": bits(record.changed),
            "values": record.values,
            "ints": record.ints,
            "levels": record.levels,
        }
        for record in records
    ]


def check_equal(stream, frames, keys=(), names=()):
    native, reference = Decoder(stream.compile()), ReferenceDecoder(stream)
    for key in keys:
        reference.bindings[key] = intern_instrument(f"TEST:{key}")
        native.bind(key, reference.bindings[key])
    for name in names:
        reference.names[name] = intern_instrument(f"TEST:{name.hex().upper()}")
        native.bind_text(name, reference.names[name])
    for frame in frames:
        batch, wanted = native.decode(frame), reference.decode(frame)
        assert native_records(batch) == reference_records(wanted)
        assert batch.control == tuple(reference.control)
        assert batch.errors == reference.errors
    counters = native.counters
    assert {name: counters[name] for name in COMMON.split()} == reference.counters
    if stream.message_number is not None:
        assert native.count == reference.message_number


# --- damage ----------------------------------------------------------------------------------------------------------


@st.composite
def damaged(draw, frame):
    """The frame as it is, cut, with flipped bits, with bytes too many, or something else altogether."""
    how = draw(st.sampled_from(["whole", "whole", "whole", "cut", "flip", "pad", "random"]))
    if how == "cut":
        return frame[: draw(st.integers(0, len(frame)))]
    if how == "flip" and frame:
        out = bytearray(frame)
        for at in draw(st.lists(st.integers(0, 8 * len(frame) - 1), min_size=1, max_size=4)):
            out[at // 8] ^= 1 << (at % 8)
        return bytes(out)
    if how == "pad":
        return frame + draw(st.binary(min_size=1, max_size=8))
    return draw(st.binary(max_size=64)) if how == "random" else frame


def filled(draw, size):
    """Bytes with many zeros and ones among the random: sentinels, padding rows and extremes must come up."""
    noise = draw(st.binary(min_size=size, max_size=size))
    style = draw(st.sampled_from(["noise", "zero", "ones", "half"]))
    mask = {"noise": 255, "zero": 0, "ones": 255, "half": 255}[style]
    if style == "ones":
        return b"\xff" * size
    if style == "half":
        return bytes(byte if at % 8 < 4 else 0 for at, byte in enumerate(noise))
    return bytes(byte & mask for byte in noise)


# --- the ticker of an adapter ----------------------------------------------------------------------------------------

TOKENS = [408065, 412419, 412422, 256265, 58424839]


@st.composite
def ticker_frames(draw):
    packets = []
    for _ in range(draw(st.integers(0, 4))):
        size = draw(st.sampled_from([8, 28, 32, 44, 184, 184, 0, 9]))
        token = draw(st.sampled_from(TOKENS)).to_bytes(4, "big")
        packets.append((token + filled(draw, max(size - 4, 0)))[:size])
    frame = struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(p)) + p for p in packets)
    return draw(damaged(frame))


@given(frames=st.lists(ticker_frames(), max_size=3))
def test_ticker_frames_decode_as_the_reference_does(frames):
    check_equal(TICKER, frames, keys=TOKENS[:3])


# --- streams made up -------------------------------------------------------------------------------------------------

INTS = ["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"]
WIRES = [*INTS, "f32", "f64"]
HEAD = 4  # code or marker, reserved, u16 length
DIVISORS = [1, 2, 7, 100, 10_000, 10_000_000]


def place(draw, wire, size):
    return draw(st.integers(HEAD, size - width_of(wire)))


@st.composite
def field(draw, to, size, merge):
    wire = draw(st.sampled_from(INTS if to in INTEGERS else WIRES))
    options = {}
    if to in INTEGERS[:2]:
        options = {
            "unit": draw(st.sampled_from(["s", "ms", "us", "ns"])),
            "shift_s": draw(st.sampled_from([0, -19800])),
        }
    elif to not in INTEGERS:
        how = draw(st.sampled_from(["plain", "scaled", "own", "digits"]))
        if how == "scaled":
            options = {"scaled": True}
        elif how == "own":
            options = {"divisor": draw(st.sampled_from(DIVISORS))}
        elif how == "digits" and wire in ("f32", "f64"):
            options = {"digits": draw(st.integers(0, 6))}
    if draw(st.booleans()):
        options["absent"] = draw(st.sampled_from([0, 1, 127]))
    if merge and draw(st.booleans()):
        options["unchanged"] = draw(st.sampled_from([0, 2, 127]))
    return Field(to, wire, place(draw, wire, size), **options)


@st.composite
def table(draw, size, grows):
    rows = draw(st.integers(1, 3))
    stride = draw(st.integers(1, 9))
    price, quantity, orders = (draw(st.sampled_from(kind)) for kind in (WIRES, WIRES, INTS))
    room = size - (rows - 1) * stride
    side = draw(st.sampled_from(["bid", "ask", "flag"]))
    widest = max(width_of(wire) for wire in (price, quantity, orders))
    assume(room - widest >= HEAD)

    def column(wire):
        return Column(wire, draw(st.integers(HEAD, room - width_of(wire))))

    how = draw(st.sampled_from(["fixed", "counted", "rest"])) if grows else "fixed"
    options = {}
    match draw(st.sampled_from(["scaled", "own", "digits"])):
        case "scaled":
            options["scaled"] = True
        case "own":
            options["divisor"] = draw(st.sampled_from(DIVISORS))
        case "digits" if price in ("f32", "f64"):
            options["digits"] = draw(st.integers(0, 6))
    return Levels(
        SideFlag("u8", draw(st.integers(HEAD, room - 1)), 0, 255) if side == "flag" else side,
        {"fixed": rows, "counted": WirePart("u8", HEAD, mask=3), "rest": "rest"}[how],
        column(price),
        column(quantity),
        column(orders) if draw(st.booleans()) else None,
        stride=stride,
        max_rows=2,
        empty=draw(st.sampled_from(["zero", "none"])),
        **options,
    )


@st.composite
def layout(draw, at, by_code, sized):
    size = draw(st.integers(24, 48)) + 64 * at
    grows, merge = sized and draw(st.booleans()), draw(st.booleans())
    names = draw(st.lists(st.sampled_from([*FIELDS[:18], *INTEGERS]), unique=True, min_size=1, max_size=6))
    kind = draw(st.sampled_from(["quote", "depth_snapshot", "depth_delta", "trade"]))
    tables = draw(st.lists(table(size, grows), max_size=3)) if kind != "trade" else []
    key = draw(
        st.sampled_from(
            [
                Key(WirePart("u32", HEAD)),
                Key(WirePart("u8", HEAD, shift=32, mask=7), WirePart("i16", HEAD + 1)),
                Key(WirePart("digits[5]", HEAD)),
                Key(WirePart("u64", HEAD)),
            ]
        )
    )
    scale = draw(
        st.sampled_from(
            [
                Scale.fixed(10),
                Scale.fixed(100),
                Scale.by_part(WirePart("u8", HEAD + 3), {0: 10, 255: 10_000_000}, default=100),
                Scale.from_fields(precision=WirePart("u8", HEAD + 5, mask=31)),
                Scale.from_fields(precision=WirePart("u8", HEAD + 5, mask=3), multiplier=WirePart("u16", HEAD + 6)),
            ]
        )
    )
    return PackedLayout(
        f"layout{at}",
        size,
        key,
        tuple(draw(field(name, size, merge)) for name in names),
        tuple(tables),
        scale,
        code=at + 1 if by_code else None,
        kind=kind,
        mode=draw(st.sampled_from(["none", "ltp", "quote", "full"])),
        flags=draw(st.sampled_from([(), ("index",)])),
        grows=grows,
        merge=merge,
    )


FRAMINGS = {
    "single": Framing.single(),
    "counted": Framing.counted(count=WirePart("u8", 1), header=2, length="u16", min_frame=2),
    "records": Framing.counted(count=WirePart("u8", 1), header=2, length=None),
    "measured": Framing.back_to_back(length_at=WirePart("u16", 2)),
    "packed": Framing.back_to_back(header=1),
}


@st.composite
def streams(draw):
    how = draw(st.sampled_from(sorted(FRAMINGS)))
    self_delimiting = how in ("records", "packed")
    by_code = self_delimiting or draw(st.booleans())
    layouts = [draw(layout(at, by_code, not self_delimiting)) for at in range(draw(st.integers(1, 3)))]
    if by_code and draw(st.booleans()):
        layouts.append(PackedLayout("asides", 8, code=9, control=True))
    code = WirePart("u8", 0, mask=15)
    return PackedStream(
        "made-up",
        draw(st.sampled_from(["big", "little"])),
        FRAMINGS[how],
        Select.by_code(code) if by_code else Select.by_length(),
        tuple(layouts),
        data_when=(WirePart("u8", 0), tuple(range(200))) if draw(st.booleans()) else None,
        message_number=WirePart("u8", 1) if draw(st.booleans()) else None,
    )


@st.composite
def made_up_frames(draw, stream):
    order, packets = ">" if stream.byte_order == "big" else "<", []
    single = stream.framing.how == "single"
    for _ in range(1 if single else draw(st.integers(0, 3))):
        item = draw(st.sampled_from(stream.layouts))
        out = bytearray(filled(draw, item.size + (draw(st.integers(0, 12)) if item.grows else 0)))
        out[:HEAD] = bytes([item.code or 0, 0]) + struct.pack(order + "H", len(out))
        if draw(st.booleans()):
            out[HEAD : HEAD + 5] = draw(st.sampled_from([b"00123", b"  7  ", b"9\0\0\0x", b"\0\0\0\0\2"]))
        packets.append(bytes(out))
    if single:
        frame = packets[0]
    elif stream.framing.how == "counted":
        prefix = stream.framing.length is not None
        parts = ((struct.pack(order + "H", len(p)) if prefix else b"") + p for p in packets)
        frame = bytes([0, len(packets)]) + b"".join(parts)
    else:
        frame = bytes(stream.framing.header) + b"".join(packets)
    return draw(damaged(frame))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data(), stream=streams())
def test_frames_of_made_up_streams_decode_as_the_reference_does(data, stream):
    frames = data.draw(st.lists(made_up_frames(stream), min_size=1, max_size=4))
    check_equal(stream, frames, keys=[0, 123, 7])


# --- topics ----------------------------------------------------------------------------------------------------------

UNCHANGED = -(2**31)
TOPIC = WirePart("u16", 1)


def positions(*names):
    scaled = {"last_price", "bid_price", "open"}
    return tuple(
        Field(name, "i32", 4 * at, scaled=name in scaled, unit="s" if name == "ts_event" else None)
        for at, name in enumerate(names)
    )


def topic_stream(merge):
    vector = Vector(WirePart("u8", 0), unchanged=UNCHANGED, after_name=True)
    depth = tuple(
        Levels(side, 2, Column("i32", at), Column("u32", at + 16), stride=4, scaled=True)
        for side, at in (("bid", 0), ("ask", 8))
    )
    return PackedStream(
        "topics",
        "big",
        Framing.counted(count=WirePart("u16", 7), header=9, length=None),
        Select.by_code(WirePart("u8", 0)),
        layouts=(
            PackedLayout(
                "snapshot",
                0,
                code=0x53,
                merge=merge,
                scale=Scale.topic(),
                define=Define(
                    TOPIC,
                    WirePart("u8", 3),
                    4,
                    vector,
                    precision=WirePart("u8", 4),
                    multiplier=WirePart("u16", 2),
                    tail_size=5,
                    tail_texts=1,
                ),
            ),
            PackedLayout(
                "update",
                0,
                code=0x55,
                merge=merge,
                scale=Scale.topic(),
                refer=Refer(TOPIC, Vector(WirePart("u8", 3), unchanged=UNCHANGED)),
            ),
            PackedLayout(
                "lite",
                7,
                code=0x4C,
                merge=merge,
                scale=Scale.topic(),
                mode="ltp",
                refer=Refer(TOPIC),
                fields=(Field("last_price", "i32", 3, scaled=True),),
            ),
        ),
        data_when=(WirePart("u8", 2), (6,)),
        message_number=WirePart("u32", 3),
        schemas=(
            Schema("scrip", "sf", positions("last_price", "volume", "ts_event", "bid_price", "open")),
            Schema("depth", "dp", positions(), depth, kind="depth_snapshot", mode="full"),
            Schema("index", "if", positions("last_price", "ts_event"), flags=("index",)),
        ),
    )


WORD = st.one_of(st.just(UNCHANGED), st.integers(-5, 5), st.integers(-(2**31), 2**31 - 1))


@st.composite
def topic_frames(draw):
    records = []
    for _ in range(draw(st.integers(0, 4))):
        topic = struct.pack(">H", draw(st.integers(1, 4)))
        values = draw(st.lists(WORD, max_size=9))
        vector = bytes([len(values)]) + struct.pack(f">{len(values)}i", *values)
        match draw(st.sampled_from("SSUUUL")):
            case "S":
                name = draw(st.sampled_from([b"sf|a", b"sf|b", b"dp|a", b"if|n", b"??"]))
                tail = struct.pack(">HHB", 0, draw(st.sampled_from([1, 1, 10, 0])), draw(st.integers(0, 4)))
                records.append(b"S" + topic + bytes([len(name)]) + name + vector + tail + b"\x03abc")
            case "U":
                records.append(b"U" + topic + vector)
            case "L":
                records.append(b"L" + topic + struct.pack(">i", draw(WORD)))
    kind = draw(st.sampled_from([6, 6, 6, 1]))
    number = draw(st.integers(0, 2**32 - 1))
    return draw(damaged(struct.pack(">HBIH", 0, kind, number, len(records)) + b"".join(records)))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(frames=st.lists(topic_frames(), min_size=1, max_size=5), merge=st.booleans())
def test_topic_records_decode_as_the_reference_does(frames, merge):
    check_equal(topic_stream(merge), frames, names=[b"sf|a", b"dp|a"])


@given(frame=st.binary(max_size=200))
def test_any_bytes_decode_as_the_reference_does(frame):
    for stream in (TICKER, topic_stream(True)):
        check_equal(stream, [frame, frame])


def test_a_malformed_packet_leaves_nothing_to_merge_with():
    levels = Levels("bid", WirePart("u8", 2), Column("u8", 8), Column("u8", 9), stride=2, max_rows=2)
    item = PackedLayout(
        "growing", 12, Key(WirePart("u8", 0)), (Field("last_price", "u8", 1),), (levels,), merge=True, grows=True
    )
    stream = PackedStream("merged", "big", Framing.single(), Select.by_length(), (item,))
    check_equal(stream, [bytes([1, 5, 9]) + bytes(9), bytes([1, 6, 1]) + bytes(9)])
