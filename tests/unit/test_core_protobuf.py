"""Protobuf layouts: the vectors of the protocol pages, and what a layout can say."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from dragoman._core import Decoder, intern_instrument
from dragoman.errors import DecodeError
from dragoman.plugin import (
    ProtoColumn,
    ProtoColumns,
    ProtoKey,
    ProtoLevels,
    ProtoOnly,
    ProtoRecords,
    ProtoShape,
    ProtoSide,
    ProtoStream,
    ProtoSub,
    ProtoValue,
    proto_double,
    proto_int,
    read_protobuf,
)
from reference import protobuf_streams as known

MS = 1_000_000
QUOTE = ProtoShape("quote", mode="quote")


def decode(stream, *frames, names=()):
    decoder = Decoder(stream.compile())
    for name in names:
        decoder.bind_text(name, intern_instrument("TEST:" + name.hex().upper()))
    batches = [decoder.decode(bytes.fromhex(frame) if isinstance(frame, str) else frame) for frame in frames]
    return decoder, batches[-1]


def only(stream, *frames, names=()):
    decoder, batch = decode(stream, *frames, names=names)
    assert len(batch) == 1
    assert batch.errors == 0
    return decoder, batch[0]


# --- vectors ------------------------------------------------------------------------------------------------------


def test_market_status_goes_to_control_whole_and_reads_in_python():
    frame = bytes.fromhex(known.MARKET_INFO)
    decoder, batch = decode(known.keyed_feed(), frame)
    assert len(batch) == 0
    assert batch.control == ((0, len(frame)),)
    assert decoder.counters["control"] == 1
    info = read_protobuf(read_protobuf(frame)[4][-1])
    status = read_protobuf(info[1][0])
    assert (status[1], status[2]) == ([b"NSE_EQ"], [2])


def test_last_price_vector():
    key = b"NSE_EQ|INE062A01020"
    _, tick = only(known.keyed_feed(), known.LTPC_HEX, names=[key])
    assert tick.instrument_id == "TEST:" + key.hex().upper()
    assert tick.as_dict() == {
        "ts_event": 1753327800456 * MS,
        "last_trade_time": 1753327800000 * MS,
        "last_price": 815.75,
        "last_quantity": 25.0,
        "previous_close": 807.1,
    }
    assert (tick.kind, tick.mode) == ("quote", "ltp")


def test_index_vector_without_a_type_is_data():
    decoder, tick = only(known.keyed_feed(), known.INDEX_HEX)
    found = tick.as_dict()
    assert (found["last_price"], found["previous_close"]) == (24801.25, 24650.0)
    assert [found[name] for name in ("open", "high", "low", "session_close")] == [24710.0, 24850.0, 24700.5, 24801.25]
    assert tick.flags & 16
    assert not tick.flags & 1
    assert decoder.counters["unbound"] == 1


def test_full_vector():
    decoder, batch = decode(known.keyed_feed(), known.FULL_HEX)
    found = batch[0].as_dict()
    assert [found[name] for name in ("last_price", "last_quantity", "previous_close")] == [219.3, 75.0, 494.05]
    assert [found[name] for name in ("average_price", "volume", "oi")] == [220.1, 1000.0, 5000.0]
    assert [found[name] for name in ("total_buy_quantity", "total_sell_quantity")] == [100.0, 200.0]
    assert batch.levels(0) == (((219.25, 150.0, 0),), ((219.35, 75.0, 0),))
    assert [found[name] for name in ("bid_price", "ask_price")] == [219.25, 219.35]
    assert "open" not in found
    assert decoder.counters["malformed"] == 0


def test_first_level_vector_and_its_greeks_by_the_bytes_of_the_record():
    frame = bytes.fromhex(known.GREEKS_HEX)
    _, batch = decode(known.keyed_feed(extras=True), frame)
    found = batch[0].as_dict()
    assert [found[name] for name in ("last_price", "bid_quantity", "bid_price", "volume", "oi")] == [
        219.3,
        150.0,
        219.25,
        1000.0,
        5000.0,
    ]
    assert found["ask_price"] == 0.0
    ((begin, end),) = batch.control
    entry = read_protobuf(frame[begin:end])
    assert entry[1] == [b"NSE_FO|45450"]
    level = read_protobuf(read_protobuf(entry[2][0])[3][0])
    assert proto_double(read_protobuf(level[3][0])[1][0]) == 0.54
    assert proto_double(level[6][0]) == 0.12


def test_price_vector_with_a_composed_key():
    _, tick = only(known.ONE_EACH, known.PRICE_HEX, names=[b"1|0|2885"])
    assert tick.instrument_id == "TEST:" + b"1|0|2885".hex().upper()
    assert (tick.last_price, tick.ts_event) == (1265.5, 1732260600000 * MS)


def test_book_vector_replaces_the_sides_it_names():
    _, batch = decode(known.ONE_EACH, known.BOOK_HEX)
    assert batch.levels(0) == (((1265.45, 120.0, 0),), ())
    assert batch[0].kind == "depth_snapshot"
    assert batch[0].ask_price is None


# --- a writer -----------------------------------------------------------------------------------------------------


def varint(value):
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(at, value):
    return varint(at << 3) + varint(value)


def double(at, value):
    return varint(at << 3 | 1) + struct.pack("<d", value)


def sub(at, *parts):
    body = b"".join(parts)
    return varint(at << 3 | 2) + varint(len(body)) + body


def feed(key, *parts):
    return sub(2, sub(1, key), sub(2, *parts))


# --- merging, conditions, order -----------------------------------------------------------------------------------


def test_a_partial_update_is_laid_over_the_last_record_and_says_what_came():
    depth = feed(b"A", sub(2, sub(1, sub(2, sub(1, number(1, 7), double(2, 10.5))))))
    first = feed(b"A", sub(2, sub(1, sub(1, double(1, 11.0), number(3, 5)), number(6, 100))))
    decoder, tick = only(known.keyed_feed(merge=True), first, depth)
    assert (tick.last_price, tick.volume, tick.bid_price) == (11.0, 100.0, 10.5)
    assert tick.flags & 8
    assert tick.changed != tick.present
    again = decoder.decode(feed(b"A", sub(2, sub(1, number(6, 101)))))[0]
    assert (again.volume, again.bid_price, again.flags & 1) == (101.0, 10.5, 0)


def test_two_records_of_one_instrument_in_a_frame_merge_in_order():
    frame = feed(b"A", sub(1, double(1, 5.0), double(4, 4.0))) + feed(b"A", sub(1, double(1, 6.0)))
    _, batch = decode(known.keyed_feed(merge=True), frame)
    assert [(tick.last_price, tick.previous_close) for tick in batch] == [(5.0, 4.0), (6.0, 4.0)]


def test_keys_find_their_instruments_in_whatever_order_they_come():
    stream = known.keyed_feed()
    keys = [f"NSE_FO|{index}".encode() for index in range(40)]
    orders = [keys, keys, keys[::-1], keys[1:], [b"NSE_FO|unknown", *keys], keys[5:] + keys[:5], keys]
    decoder = Decoder(stream.compile())
    bound = {key: intern_instrument(f"TEST:{key[7:].decode()}") for key in keys}
    for key in keys:
        decoder.bind_text(key, bound[key])
    for at, order in enumerate(orders):
        if at == len(orders) - 1:
            decoder.unbind_text(keys[3])
            bound[keys[3]] = -1
        batch = decoder.decode(b"".join(feed(key, sub(1, double(1, 5.0))) for key in order))
        assert batch.records["instrument"].tolist() == [bound.get(key, -1) for key in order]


def test_a_record_of_another_shape_starts_anew_where_shapes_are_modes():
    full = feed(b"A", sub(2, sub(1, sub(1, double(1, 5.0), double(4, 4.0)), number(6, 70))))
    partly, lesser = feed(b"A", sub(2, sub(1, number(6, 71)))), feed(b"A", sub(1, double(1, 6.0)))
    stream = replace(known.keyed_feed(merge=True), merge_shapes=False)
    _, batch = decode(stream, full + partly + lesser)
    assert [(tick.mode, tick.last_price, tick.previous_close, tick.volume) for tick in batch] == [
        ("full", 5.0, 4.0, 70.0),
        ("full", 5.0, 4.0, 71.0),
        ("ltp", 6.0, None, None),
    ]


def test_the_order_of_fields_does_not_matter():
    entry = sub(
        2, sub(2, sub(2, sub(1, sub(4, sub(1, double(2, 9.0), sub(1, b"1d"))), sub(1, double(1, 3.0))))), sub(1, b"K")
    )
    _, tick = only(known.keyed_feed(), number(3, 5) + entry, names=[b"K"])
    assert (tick.open, tick.last_price, tick.ts_event) == (9.0, 3.0, 5 * MS)
    assert tick.instrument_id == "TEST:4B"


def test_a_list_element_that_fails_its_condition_is_read_past():
    ohlc = sub(4, sub(1, sub(1, b"I1"), double(2, 1.0)), sub(1, sub(1, b"1d"), double(2, 2.0)), sub(1, double(2, 3.0)))
    _, tick = only(known.keyed_feed(), feed(b"K", sub(2, sub(1, ohlc))))
    assert tick.open == 2.0


def test_the_last_of_two_fields_that_decide_is_the_one_that_counts():
    told = sub(1, sub(1, b"1d"), double(2, 2.0), sub(1, b"1d"))
    taken_back = sub(1, sub(1, b"1d"), double(2, 1.0), sub(1, b"I1"))
    for candles in ((told, taken_back), (taken_back, told)):
        ohlc = sub(4, *candles, sub(1, double(2, 3.0)))
        _, tick = only(known.keyed_feed(), sub(2, sub(1, b"K"), sub(2, sub(2, sub(1, ohlc)))), names=[b"K"])
        assert tick.open == 2.0


def test_map_rows_are_sorted_best_first():
    rows = [
        sub(2, number(1, at), sub(2, double(1, price), double(2, 1.0)))
        for at, price in ((3, 9.0), (1, 11.0), (2, 10.0))
    ]
    _, batch = decode(known.ONE_EACH, sub(5, *rows))
    assert [price for price, _, _ in batch.levels(0)[0]] == [11.0, 10.0, 9.0]


def test_parallel_lists_make_levels_packed_or_not():
    stream = ProtoStream(
        "lists",
        (
            ProtoColumns(
                "bid", ProtoColumn(1, "sint32", divisor=100), ProtoColumn(2, "fixed32"), ProtoColumn(3, "uint32")
            ),
            ProtoColumns("ask", ProtoColumn(4, "decimal"), ProtoColumn(5, "double")),
        ),
        shape=QUOTE,
    )
    frame = sub(1, varint(2 * 250), varint(2 * 249)) + varint(2 << 3 | 5) + struct.pack("<I", 7)
    frame += sub(2, struct.pack("<I", 8)) + number(3, 1) + number(3, 2)
    frame += sub(4, b"2.510") + double(5, 4.0)
    _, batch = decode(stream, frame)
    assert batch.levels(0) == (((2.5, 7.0, 1), (2.49, 8.0, 2)), ((2.51, 4.0, 0),))
    assert len(decode(stream, frame + number(3, 9))[1]) == 0


def test_levels_written_as_text_keep_their_digits_and_refuse_what_float64_cannot_hold():
    side = ProtoSide(ProtoColumn(1, "decimal"), ProtoColumn(2, "decimal"))
    stream = ProtoStream("text", (ProtoLevels(1, bid=side), ProtoLevels(2, ask=side)), shape=QUOTE)
    frame = sub(1, sub(1, b"0.0100"), sub(2, b"5")) + sub(2, sub(1, b"0.1234567890123456"), sub(2, b"1"))
    decoder, batch = decode(stream, frame)
    (op,) = batch.level_ops
    assert (op["price"], op["price_decimals"], op["quantity_decimals"]) == (0.01, 4, 0)
    assert decoder.counters["rejected_values"] == 1


def test_numbers_of_every_type_decode_to_their_values():
    cases = [
        ("int32", number(1, -5), -5.0),
        ("uint32", number(1, 2**32 + 7), 7.0),
        ("uint64", number(1, 2**64 - 1), 18446744073709551615.0),
        ("sint64", number(1, 9), -5.0),
        ("bool", number(1, 6), 1.0),
        ("enum", number(1, 3), 3.0),
        ("float", b"\x0d" + struct.pack("<f", 0.5), 0.5),
        ("fixed32", b"\x0d" + struct.pack("<I", 2**32 - 1), 2.0**32 - 1),
        ("sfixed32", b"\x0d" + struct.pack("<i", -2), -2.0),
        ("fixed64", b"\x09" + struct.pack("<Q", 2**63), 2.0**63),
        ("sfixed64", b"\x09" + struct.pack("<q", -9), -9.0),
        ("decimal", sub(1, b"-12.50"), -12.5),
    ]
    for kind, frame, wanted in cases:
        stream = ProtoStream("one", (ProtoValue(1, kind, "oi"),), shape=QUOTE)
        assert only(stream, frame)[1].oi == wanted, kind


def test_times_are_checked_and_told_apart_by_magnitude():
    def time(frame, kind="int64", unit="epoch"):
        stream = ProtoStream("time", (ProtoValue(1, kind, "ts_event", unit=unit),), shape=QUOTE)
        decoder, tick = only(stream, frame)
        return tick.ts_event, decoder.counters["rejected_values"]

    assert {time(number(1, 1746156600 * 1000**at)) for at in range(4)} == {(1746156600 * 10**9, 0)}
    assert time(double(1, 1746156600.25), "double") == (1746156600250000000, 0)
    assert time(number(1, 2**62), unit="ms") == (None, 1)
    assert time(double(1, float("inf")), "double") == (None, 1)


# --- hostile bytes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        (feed(b"A", sub(1, double(1, 5.0)))[:-1], "truncated"),
        (b"\x12\x05\x0a\x09AB", "truncated"),
        (b"\x12\x03\x0a\x09A", "truncated"),
        (b"\x18" + b"\x80" * 10 + b"\x00", "malformed"),
        (b"\x18" + b"\xff" * 9 + b"\x02", "malformed"),
        (b"\x00\x01", "malformed"),
        (b"\x23\x24", "malformed"),
        (b"\x26", "malformed"),
        (feed(b"\xff\xfe", sub(1, double(1, 5.0))), "malformed"),
        (feed(b"A", sub(1, double(1, 5.0)), sub(3, double(4, 1.0))), "malformed"),
    ],
)
def test_a_broken_message_delivers_nothing_and_is_counted(frame, counter):
    good = feed(b"A", sub(1, double(1, 5.0)))
    decoder, batch = decode(known.keyed_feed(merge=True), good + frame)
    assert (len(batch), batch.errors, batch.control) == (0, 1, ())
    assert decoder.counters[counter] == 1
    assert not decoder.decode(good)[0].flags & 8


def test_an_unknown_variant_is_counted_and_handed_over():
    frame = feed(b"A", sub(9, b"new")) + feed(b"B", sub(1, double(1, 5.0)))
    decoder, batch = decode(known.keyed_feed(), frame)
    assert (len(batch), batch.errors) == (1, 1)
    assert decoder.counters["unknown_packets"] == 1
    ((begin, end),) = batch.control
    assert read_protobuf(frame[begin:end])[1] == [b"A"]


def test_more_records_or_rows_than_the_layout_allows_are_malformed():
    stream = ProtoStream("few", (ProtoRecords(1, (ProtoKey(1, "int64"),), shape=QUOTE),), max_records=2)
    assert len(decode(stream, sub(1) * 2)[1]) == 2
    assert decode(stream, sub(1) * 3)[0].counters["malformed"] == 1
    rows = ProtoLevels(1, bid=ProtoSide(ProtoColumn(1, "double"), ProtoColumn(2, "double")), max_rows=2)
    deep = ProtoStream("deep", (rows,), shape=QUOTE)
    assert decode(deep, sub(1, double(1, 1.0)) * 3)[0].counters["malformed"] == 1


def test_many_records_grow_the_block_and_all_arrive():
    frame = b"".join(
        feed(b"K%d" % at, sub(2, sub(1, sub(2, sub(1, number(1, 1), double(2, at + 1.0)) * 3)))) for at in range(500)
    )
    _, batch = decode(known.keyed_feed(), frame)
    assert [tick.bid_price for tick in batch] == [at + 1.0 for at in range(500)]
    assert len(batch.levels(499)[0]) == 3


# --- refusals at compile ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (ProtoStream("s", (ProtoValue(0, "double", "oi"),), shape=QUOTE), "value 'oi': found number 0"),
        (ProtoStream("s", (ProtoValue(1, "double", "delta"),), shape=QUOTE), "slot 'delta'"),
        (ProtoStream("s", (ProtoValue(1, "double", "oi"), ProtoValue(2, "double", "oi")), shape=QUOTE), "set twice"),
        (
            ProtoStream("s", (ProtoValue(1, "double", "oi"), ProtoValue(1, "double", "volume")), shape=QUOTE),
            "described twice",
        ),
        (ProtoStream("s", (ProtoValue(1, "int64", "ts_event"),), shape=QUOTE), "no unit"),
        (ProtoStream("s", (ProtoValue(1, "string", "oi"),), shape=QUOTE), "decimal"),
        (ProtoStream("s", (ProtoValue(1, "int64", "oi", divisor=0),), shape=QUOTE), "divisor 0"),
        (ProtoStream("s", (ProtoValue(1, "double", "oi"),)), "no shape"),
        (ProtoStream("s", (ProtoKey(1, "int64"), ProtoRecords(2, (), shape=QUOTE))), "outside of the message"),
        (ProtoStream("s", (ProtoRecords(2, (ProtoRecords(1, ()),), shape=QUOTE),)), "records within a record"),
        (ProtoStream("s", (ProtoValue(1, "double", "oi"),), shape=QUOTE, merge=True), "merge without a key"),
        (
            ProtoStream("s", (ProtoSub(1, (ProtoKey(1, "int64"),), only_if=ProtoOnly(2, "int32", (1,))),), shape=QUOTE),
            "only_if",
        ),
        (ProtoStream("s", (), shape=QUOTE, control_when=ProtoOnly(1, "double", (1,))), "floats are not compared"),
        (ProtoStream("s", (), shape=QUOTE, max_records=0), "max_records 0"),
        (ProtoStream("s", (), shape=ProtoShape("a", kind="candle")), "kind 'candle'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(stream, said):
    with pytest.raises(ValueError, match="stream 's'") as refusal:
        stream.compile()
    assert said in str(refusal.value)


# --- reading in Python --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"\x08", b"\x12\x05A", b"\x0b", b"\x00\x00", b"\x09\x01", b"\x08" + b"\xff" * 10 + b"\x01"]
)
def test_bytes_that_are_no_message_are_a_decode_error(data):
    with pytest.raises(DecodeError, match="protobuf message: byte"):
        read_protobuf(data)


def test_signed_numbers_and_doubles_read_back():
    fields = read_protobuf(number(1, -3) + double(2, -0.25))
    assert proto_int(fields[1][0]) == -3
    assert proto_double(fields[2][0]) == -0.25
    with pytest.raises(DecodeError, match="expected a number"):
        proto_int(b"x")
