"""The packed engine on frames that brokers' own parsers were checked with: values, scales, merging, topics, counts."""

import math
import struct

import pytest

from dragoman._core import ABSENT_INT, FIELDS, Decoder, compile_packed, intern_instrument
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
)
from dragoman.plugin import WirePart as Part

HOLE = -(2**31)


def scaled(to, offset, wire="i32"):
    return Field(to, wire, offset, scaled=True)


def decoder_of(stream, **bound):
    decoder = Decoder(stream.compile())
    for name, key in bound.items():
        decoder.bind(key, intern_instrument(f"NSE:{name}"))
    return decoder


# --- counted packets by length: Kite Connect 3 (vectors checked with the official parser) ---------------------------

KITE_KEY = Key(Part("u32", 0))
KITE_SCALE = Scale.by_part(Part("u32", 0), {3: 10_000_000, 6: 10_000}, default=100)
KITE_QUOTE = (
    scaled("last_price", 4),
    Field("last_quantity", "u32", 8),
    scaled("average_price", 12),
    Field("volume", "u32", 16),
    Field("total_buy_quantity", "u32", 20),
    Field("total_sell_quantity", "u32", 24),
    scaled("open", 28),
    scaled("high", 32),
    scaled("low", 36),
    scaled("previous_close", 40),
)


def kite_levels(side, offset):
    columns = Column("i32", offset + 4), Column("u32", offset), Column("u16", offset + 8)
    return Levels(side, 5, *columns, stride=12, scaled=True)


KITE = PackedStream(
    "kite",
    "big",
    Framing.counted(count=Part("u16", 0), header=2, length="u16", min_frame=4),
    Select.by_length(),
    layouts=(
        PackedLayout("ltp", 8, KITE_KEY, (scaled("last_price", 4),), scale=KITE_SCALE, mode="ltp"),
        PackedLayout("quote", 44, KITE_KEY, KITE_QUOTE, scale=KITE_SCALE, mode="quote"),
        PackedLayout(
            "full",
            184,
            KITE_KEY,
            (
                *KITE_QUOTE,
                Field("last_trade_time", "u32", 44, unit="s", absent=0),
                Field("oi", "u32", 48),
                Field("ts_event", "u32", 60, unit="s"),
            ),
            (kite_levels("bid", 64), kite_levels("ask", 124)),
            scale=KITE_SCALE,
            mode="full",
        ),
        PackedLayout(
            "index",
            32,
            KITE_KEY,
            (
                scaled("last_price", 4),
                scaled("high", 8),
                scaled("low", 12),
                scaled("open", 16),
                scaled("previous_close", 20),
            ),
            scale=KITE_SCALE,
            mode="full",
            flags=("index",),
        ),
    ),
)


@pytest.mark.parametrize(
    ("frame", "key", "price"),
    [
        ("0001000800063a01000266ba", 408065, 1573.70),
        ("0001000800064b03318b7ca8", 412419, 83.1225),
        ("0001000800064b06000caef9", 412422, 83.1225),
    ],
)
def test_divisor_follows_the_segment_in_the_key(frame, key, price):
    (tick,) = decoder_of(KITE).decode(bytes.fromhex(frame))
    assert (tick.key, tick.last_price, tick.mode) == (key, price, "ltp")


def test_two_packets_of_one_frame_keep_their_instruments():
    decoder = decoder_of(KITE, INFY=408065)
    infy, crude = decoder.decode(bytes.fromhex("0002000800063a01000266ba0008037b7e0700076750"), 5)
    assert (infy.instrument_id, infy.last_price) == ("NSE:INFY", 1573.70)
    assert (crude.instrument_id, crude.instrument, crude.last_price) == (None, -1, 4852.0)
    assert decoder.counters["unbound"] == 1
    assert infy.ts_recv == crude.ts_recv == 5


def test_quote_packet_reads_as_the_official_parser_reads_it():
    packet = bytes.fromhex("00063a010002668300000001000265690011f1b20003e9ff00058037000264f30002673c000261c90002646c")
    (tick,) = decoder_of(KITE).decode(b"\0\1\0\x2c" + packet)
    assert tick.as_dict() == {
        "last_price": 1573.15,
        "last_quantity": 1.0,
        "average_price": 1570.33,
        "volume": 1175986.0,
        "total_buy_quantity": 256511.0,
        "total_sell_quantity": 360503.0,
        "open": 1569.15,
        "high": 1575.0,
        "low": 1561.05,
        "previous_close": 1567.8,
    }
    assert [name for i, name in enumerate(FIELDS) if tick.present >> i & 1] == list(tick.as_dict())
    assert tick.changed == tick.present
    assert tick.bid_price is None
    assert tick.ts_event is None


def test_index_packet_has_its_own_field_order():
    frame = "000100200003e9090025d7fd0025eb080025b0a20025b45800259ce800003b156881a8b8"
    (tick,) = decoder_of(KITE).decode(bytes.fromhex(frame))
    assert (tick.last_price, tick.high, tick.low, tick.open, tick.previous_close) == (
        24801.25,
        24850.0,
        24700.5,
        24710.0,
        24650.0,
    )
    assert tick.flags & 1 << 4


def full_packet(bids, asks, traded=0):
    head = struct.pack(
        ">IiIiIIIiiii", 408065, 157370, 7, 157037, 1192471, 256443, 363009, 156915, 157500, 156105, 156780
    )
    rows = [(*row, 0) for row in [*bids, *[(0, 0, 0)] * (5 - len(bids)), *asks, *[(0, 0, 0)] * (5 - len(asks))]]
    return (
        head + struct.pack(">IIIII", traded, 0, 0, 0, 1625461887) + b"".join(struct.pack(">IiHH", *row) for row in rows)
    )


def framed(*packets):
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(p)) + p for p in packets)


def test_padding_rows_make_no_levels_and_top_of_book_comes_from_the_first():
    batch = decoder_of(KITE).decode(framed(full_packet([(5, 157340, 1), (140, 157300, 2)], [(172, 157370, 3)])))
    assert batch.levels(0) == (((1573.4, 5.0, 1), (1573.0, 140.0, 2)), ((1573.7, 172.0, 3),))
    (tick,) = batch
    assert (tick.bid_price, tick.bid_quantity, tick.ask_price, tick.ask_quantity) == (1573.4, 5.0, 1573.7, 172.0)
    assert tick.ts_event == 1625461887 * 10**9
    assert tick.last_trade_time is None  # 0: no trade yet
    assert tick.flags & 0b11 == 0b11


def test_empty_side_leaves_the_top_of_book_absent():
    (tick,) = decoder_of(KITE).decode(framed(full_packet([], [(172, 157370, 3)])))
    assert (tick.bid_price, tick.bid_quantity, tick.ask_price) == (None, None, 1573.7)
    assert not tick.present >> FIELDS.index("bid_price") & 1


def test_mixed_packets_stand_in_frame_order_and_the_last_is_marked():
    ltp = bytes.fromhex("00063a01000266ba")
    batch = decoder_of(KITE).decode(framed(ltp, ltp, full_packet([], []), ltp))
    assert [tick.layout for tick in batch] == [0, 0, 2, 0]
    assert [bool(tick.flags & 1 << 2) for tick in batch] == [False, False, False, True]
    assert [int(source) for source in batch.records["source"]] == [4, 14, 24, 210]


def test_heartbeat_is_counted_and_no_error():
    decoder = decoder_of(KITE)
    batch = decoder.decode(b"\0")
    assert (len(batch), batch.errors, batch.control) == (0, 0, ())
    assert decoder.count == decoder.counters["frames"] == 1


def test_unknown_length_is_skipped_counted_and_handed_to_control():
    decoder = decoder_of(KITE)
    batch = decoder.decode(framed(b"abc", bytes.fromhex("00063a01000266ba")))
    assert [tick.last_price for tick in batch] == [1573.70]
    assert (batch.errors, batch.control) == (1, ((4, 7),))
    assert decoder.counters["unknown_packets"] == 1


def test_good_packets_before_a_truncated_one_are_kept():
    decoder = decoder_of(KITE)
    whole = framed(bytes.fromhex("00063a01000266ba"), full_packet([], []))
    for cut in range(13, len(whole)):
        batch = decoder.decode(whole[:cut])
        assert [tick.last_price for tick in batch] == [1573.70]
        assert batch.errors == 1
    assert decoder.counters["truncated"] == len(whole) - 13


def test_bytes_beyond_the_count_are_malformed():
    decoder = decoder_of(KITE)
    batch = decoder.decode(framed(bytes.fromhex("00063a01000266ba")) + b"\0")
    assert (len(batch), batch.errors, decoder.counters["malformed"]) == (1, 1, 1)


def test_a_count_alone_makes_no_records():
    decoder = decoder_of(KITE)
    assert len(decoder.decode(b"\xff\xff" + b"\0" * 8)) == 0


# --- float32 packets back to back: Dhan's live feed (vectors checked with the official SDK 2.3.0) ---------------------

DHAN_KEY = Key(Part("u8", 3, shift=32), Part("u32", 4))


def dhan_price(to, offset):
    return Field(to, "f32", offset, digits=2)


def dhan_levels(side, quantity, orders, price):
    columns = Column("f32", price), Column("u32", quantity), Column("u16", orders)
    return Levels(side, 5, *columns, stride=20, digits=2)


DHAN = PackedStream(
    "dhan",
    "little",
    Framing.back_to_back(length_at=Part("i16", 1)),
    Select.by_code(Part("u8", 0)),
    layouts=(
        PackedLayout(
            "ticker",
            16,
            DHAN_KEY,
            (dhan_price("last_price", 8), Field("last_trade_time", "u32", 12, unit="s", shift_s=-19800)),
            code=2,
            mode="ltp",
            merge=True,
        ),
        PackedLayout("oi", 12, DHAN_KEY, (Field("oi", "u32", 8),), code=5, merge=True),
        PackedLayout("close", 16, DHAN_KEY, (dhan_price("previous_close", 8),), code=6, merge=True),
        PackedLayout("status", 8, None, code=7, kind="status"),
        PackedLayout(
            "full",
            162,
            DHAN_KEY,
            (
                dhan_price("last_price", 8),
                Field("last_quantity", "u16", 12),
                dhan_price("average_price", 18),
                Field("volume", "u32", 22),
                Field("total_sell_quantity", "u32", 26),
                Field("total_buy_quantity", "u32", 30),
                Field("oi", "u32", 34),
                Field("oi_high", "u32", 38),
                Field("oi_low", "u32", 42),
                dhan_price("open", 46),
                dhan_price("high", 54),
                dhan_price("low", 58),
            ),
            (dhan_levels("bid", 62, 70, 74), dhan_levels("ask", 66, 72, 78)),
            code=8,
            mode="full",
        ),
        PackedLayout("disconnect", 10, code=50, control=True),
    ),
)
DHAN_FULL = bytes.fromhex(
    "08a20002f4d90000cd4c18434b00b8a881689a1916433fb496000e64030007b20100d2c6390000093d00e0673500000015430000000000001b43"
    "0000144364000000c80000000300040000401843cd4c184365000000c900000004000500333318439a59184366000000ca000000050006006626"
    "18436666184367000000cb000000060007009a1918433373184368000000cc00000007000800cd0c184300801843"
)


def test_float_prices_become_the_nearest_decimals_and_local_times_utc():
    (tick,) = decoder_of(DHAN).decode(bytes.fromhex("021000013505000000f0fb44b8a88168"))
    assert tick.key == 1 << 32 | 1333
    assert tick.last_price == 2015.5
    assert tick.last_trade_time == (1753327800 - 19800) * 10**9


def test_bid_and_ask_side_by_side_in_a_row_are_two_tables():
    batch = decoder_of(DHAN).decode(DHAN_FULL)
    (tick,) = batch
    assert (tick.last_price, tick.average_price, tick.oi, tick.high, tick.low) == (
        152.3,
        150.1,
        3786450.0,
        155.0,
        148.0,
    )
    bids, asks = batch.levels(0)
    assert bids == tuple((pytest.approx(152.25 - 0.05 * i, abs=1e-9), 100.0 + i, 3 + i) for i in range(5))
    assert [price for price, _, _ in bids] == [152.25, 152.2, 152.15, 152.1, 152.05]
    assert [price for price, _, _ in asks] == [152.3, 152.35, 152.4, 152.45, 152.5]
    assert [orders for _, _, orders in asks] == [4, 5, 6, 7, 8]


def test_partial_packets_are_delivered_merged_with_what_came_before():
    decoder = decoder_of(DHAN)
    key = bytes.fromhex("02f4d90000")
    frame = (
        b"\x02\x10\x00"
        + key
        + struct.pack("<fI", 152.3, 1753327800)
        + bytes.fromhex("050c0002f4d90000d2c63900")
        + bytes.fromhex("06100002f4d90000004017433ae20100")
    )
    first, second, third = decoder.decode(frame)
    assert (first.last_price, first.oi) == (152.3, None)
    assert (second.last_price, second.oi, second.mode) == (152.3, 3786450.0, "ltp")
    assert second.changed == 1 << FIELDS.index("oi")
    assert (third.last_price, third.oi, third.previous_close) == (152.3, 3786450.0, 151.25)
    assert third.last_trade_time == first.last_trade_time
    assert [bool(tick.flags & 1 << 3) for tick in (first, second, third)] == [False, True, True]


def test_new_decoder_merges_nothing_old():
    decoder_of(DHAN).decode(bytes.fromhex("050c0002f4d90000d2c63900"))
    (tick,) = decoder_of(DHAN).decode(bytes.fromhex("06100002f4d90000004017433ae20100"))
    assert tick.oi is None


def test_control_layouts_hand_over_their_bytes_and_status_needs_no_key():
    decoder = decoder_of(DHAN)
    batch = decoder.decode(bytes.fromhex("0708000100000000" + "320a0000000000002503"))
    (status,) = batch
    assert (status.kind, status.instrument, status.key) == ("status", -1, ABSENT_INT)
    assert batch.control == ((8, 18),)
    assert decoder.counters["control"] == 1
    assert decoder.counters["unbound"] == 0


def test_length_zero_ends_the_frame_without_looping():
    decoder = decoder_of(DHAN)
    batch = decoder.decode(bytes.fromhex("0708000100000000" + "0200000000000000"))
    assert (len(batch), decoder.counters["malformed"]) == (1, 1)


def test_unknown_code_with_a_length_is_stepped_over():
    decoder = decoder_of(DHAN)
    batch = decoder.decode(bytes.fromhex("630500aabb" + "050c0002f4d90000d2c63900"))
    assert [tick.oi for tick in batch] == [3786450.0]
    assert (batch.errors, batch.control) == (1, ((0, 5),))


@pytest.mark.parametrize("bits", ["0000807f", "000080ff", "0000c07f"])
def test_float_that_is_no_number_is_absent_and_counted(bits):
    decoder = decoder_of(DHAN)
    (tick,) = decoder.decode(bytes.fromhex("0210000135050000" + bits + "b8a88168"))
    assert tick.last_price is None
    assert tick.last_trade_time is not None
    assert decoder.counters["rejected_values"] == 1


# --- one packet a frame, text keys, 64-bit mantissas: SmartStream (checked with the official parser) ------------------

ANGEL_KEY = Key(Part("digits[25]", 2), Part("u8", 1, shift=56))
ANGEL_SCALE = Scale.by_part(Part("u8", 1), {13: 10_000_000}, default=100)
ANGEL_LTP = (
    Field("sequence", "i64", 27),
    Field("ts_event", "i64", 35, unit="ms"),
    scaled("last_price", 43, "i64"),
)


def angel_levels(side, offset):
    columns = Column("i64", offset + 10), Column("i64", offset + 2), Column("u16", offset + 18)
    return Levels(side, 5, *columns, stride=20, scaled=True)


def angel_layout(name, size, fields, code, levels=()):
    return PackedLayout(name, size, ANGEL_KEY, fields, levels, scale=ANGEL_SCALE, code=code)


ANGEL = PackedStream(
    "angel",
    "little",
    Framing.single(),
    Select.by_code(Part("u8", 0)),
    layouts=(
        angel_layout("ltp", 51, ANGEL_LTP, 1),
        angel_layout(
            "snap",
            379,
            (*ANGEL_LTP, Field("total_buy_quantity", "f64", 75), Field("last_trade_time", "i64", 123, unit="s")),
            3,
            (angel_levels("bid", 147), angel_levels("ask", 247)),
        ),
        angel_layout(
            "flagged",
            147,
            (),
            4,
            (
                Levels(
                    SideFlag("i16", 27, bid=1, ask=0),
                    6,
                    Column("i64", 37),
                    Column("i64", 29),
                    Column("u16", 45),
                    stride=20,
                    scaled=True,
                ),
            ),
        ),
    ),
)
ANGEL_HEAD = "3330343500000000000000000000000000000000000000000000"[:50]


def test_text_key_is_read_to_its_padding_and_composed_with_the_segment():
    frame = "0101" + ANGEL_HEAD + "87d61200000000003b0f7b3a98010000a73e010000000000"
    (tick,) = decoder_of(ANGEL, SBIN=1 << 56 | 3045).decode(bytes.fromhex(frame))
    assert (tick.instrument_id, tick.sequence, tick.ts_event) == ("NSE:SBIN", 1234567, 1753327800123 * 10**6)
    assert tick.last_price == 815.75


def test_text_key_of_other_characters_is_malformed():
    frame = bytearray.fromhex("0101" + ANGEL_HEAD + "87d61200000000003b0f7b3a98010000a73e010000000000")
    decoder = decoder_of(ANGEL)
    for text in (b"30x5", b"\0\0\0\0", b"-304"):
        frame[2:6] = text
        assert len(decoder.decode(bytes(frame))) == 0
    assert decoder.counters["malformed"] == 3


def test_mantissa_beyond_53_bits_is_the_nearest_double():
    for raw in (2**53 + 1, 2**63 - 1, -(2**53) - 3, -(2**63), 9_007_199_254_740_993_0):
        frame = bytes.fromhex("0101" + ANGEL_HEAD) + struct.pack("<qqq", 1, 1, raw)
        (tick,) = decoder_of(ANGEL).decode(frame)
        assert tick.last_price == float(f"{raw // abs(raw) * (abs(raw) // 100)}.{abs(raw) % 100:02d}")


def test_time_beyond_int64_is_absent_and_counted():
    decoder = decoder_of(ANGEL)
    (tick,) = decoder.decode(bytes.fromhex("0101" + ANGEL_HEAD) + struct.pack("<qqq", 1, 2**62, 100))
    assert (tick.ts_event, tick.sequence, tick.last_price) == (None, 1, 1.0)
    assert decoder.counters["rejected_values"] == 1


def test_rows_that_say_their_side_come_out_bids_first():
    rows = [(0, 7, 81580, 2), (1, 5, 81570, 3), (0, 8, 81585, 4), (1, 6, 81565, 1), (1, 0, 0, 0), (9, 1, 1, 1)]
    frame = bytes.fromhex("0401" + ANGEL_HEAD) + b"".join(struct.pack("<hqqH", *row) for row in rows)
    decoder = decoder_of(ANGEL)
    batch = decoder.decode(frame)
    assert batch.levels(0) == (((815.7, 5.0, 3), (815.65, 6.0, 1)), ((815.8, 7.0, 2), (815.85, 8.0, 4)))
    assert decoder.counters["rejected_values"] == 1  # the row of side 9
    assert list(batch.level_ops["side"]) == [0, 0, 1, 1]


# --- topics: HSM (vectors checked with the official Python 3.2.0 parser) ----------------------------------------------

HSM_VECTOR = Vector(Part("u8", 3), "i32", unchanged=HOLE)
HSM = PackedStream(
    "hsm",
    "big",
    Framing.counted(count=Part("u16", 7), header=9, length=None),
    Select.by_code(Part("u8", 0)),
    layouts=(
        PackedLayout(
            "define",
            0,
            code=0x53,
            merge=True,
            scale=Scale.topic(),
            define=Define(
                topic=Part("u16", 1),
                name_length=Part("u8", 3),
                name_offset=4,
                vector=Vector(Part("u8", 0), "i32", unchanged=HOLE, after_name=True),
                multiplier=Part("u16", 2),
                precision=Part("u8", 4),
                tail_size=5,
                tail_texts=3,
            ),
        ),
        PackedLayout(
            "update", 0, code=0x55, merge=True, scale=Scale.topic(), refer=Refer(Part("u16", 1), vector=HSM_VECTOR)
        ),
        PackedLayout(
            "lite",
            7,
            fields=(scaled("last_price", 3),),
            code=0x4C,
            merge=True,
            scale=Scale.topic(),
            refer=Refer(Part("u16", 1)),
        ),
    ),
    data_when=(Part("u8", 2), (6,)),
    message_number=Part("u32", 3),
    schemas=(
        Schema(
            "scrip",
            "sf",
            (
                scaled("last_price", 0),
                Field("volume", "u32", 4),
                Field("last_trade_time", "i32", 8, unit="s"),
                Field("ts_event", "i32", 12, unit="s"),
                Field("bid_quantity", "u32", 16),
                scaled("bid_price", 24),
                scaled("low", 52),
                scaled("open", 76),
                scaled("previous_close", 80),
            ),
        ),
        Schema(
            "index", "if", (scaled("last_price", 0), scaled("previous_close", 4), scaled("open", 20)), flags=("index",)
        ),
        Schema(
            "depth",
            "dp",
            (),
            (
                Levels("bid", 5, Column("i32", 0), Column("i32", 40), Column("i32", 80), stride=4, scaled=True),
                Levels("ask", 5, Column("i32", 20), Column("i32", 60), Column("i32", 100), stride=4, scaled=True),
            ),
            kind="depth_snapshot",
        ),
    ),
)
HSM_SNAPSHOT = bytes.fromhex(
    "0084060000000100015300050e73667c6e73655f636d7c33303435150001a15d00bc614e697ac883697ac88500003a42000000000001a15d0000"
    "00000000001900000064000000c80001a2048000000000019f3c0001a4fa8000000080000000000173180001c1380001a3ec0001a89200000001"
    "02066e73655f636d0433303435045342494e"
)
HSM_UPDATE = bytes.fromhex("005f06000000020001550005150001a16200bc6164" + "80000000" * 19)
HSM_DEPTH = bytes.fromhex(
    "00a80600000004000153000b0e64707c6e73655f636d7c333034351e0001a15d0001a1580001a1530001a14e0001a1490001a1620001a1670001"
    "a16c0001a1710001a17600000064000000c80000012c00000190000001f4000000c80000012c00000190000001f4000002580000000100000002"
    "000000030000000400000005000000060000000700000008000000090000000a0000000102066e73655f636d0433303435045342494e"
)


def test_topic_updates_are_scaled_and_merged_as_their_definition_says():
    decoder = decoder_of(HSM)
    decoder.bind_text(b"sf|nse_cm|3045", intern_instrument("NSE:SBIN"))
    (snapshot,) = decoder.decode(HSM_SNAPSHOT)
    assert (snapshot.instrument_id, snapshot.last_price, snapshot.volume) == ("NSE:SBIN", 1068.45, 12345678.0)
    assert (snapshot.bid_price, snapshot.bid_quantity, snapshot.low) == (1068.45, 14914.0, 1063.0)
    assert (snapshot.open, snapshot.previous_close) == (1075.0, 1086.9)

    (update,) = decoder.decode(HSM_UPDATE)
    assert (update.last_price, update.volume, update.open) == (1068.5, 12345700.0, 1075.0)
    assert update.changed == 1 << FIELDS.index("last_price") | 1 << FIELDS.index("volume")
    assert update.present == snapshot.present

    (lite,) = decoder.decode(bytes.fromhex("000e060000000200014c00050001a167"))
    assert (lite.last_price, lite.volume, lite.instrument_id) == (1068.55, 12345700.0, "NSE:SBIN")
    assert lite.changed == 1 << FIELDS.index("last_price")

    (after,) = decoder.decode(struct.pack(">HBIHBHBi", 0, 6, 3, 1, 0x55, 5, 1, HOLE))
    assert after.last_price == 1068.55  # unchanged since the lite update, not since the last vector


def test_message_number_is_the_count():
    decoder = decoder_of(HSM)
    assert decoder.count == 0
    decoder.decode(HSM_DEPTH)
    assert decoder.count == 4
    assert HSM.compile().counts_messages


def test_depth_topic_delivers_whole_books_from_partial_vectors():
    decoder = decoder_of(HSM)
    batch = decoder.decode(HSM_DEPTH)
    bids, asks = batch.levels(0)
    assert bids == (
        (1068.45, 100.0, 1),
        (1068.4, 200.0, 2),
        (1068.35, 300.0, 3),
        (1068.3, 400.0, 4),
        (1068.25, 500.0, 5),
    )
    assert [level[0] for level in asks] == [1068.5, 1068.55, 1068.6, 1068.65, 1068.7]
    assert (batch[0].bid_price, batch[0].ask_quantity) == (1068.45, 200.0)
    # Only the first bid's size comes: the price it belongs to is the one told before.
    holes = [HOLE] * 10 + [111]
    update = struct.pack(">HBIHBHB11i", 0, 6, 5, 1, 0x55, 11, 11, *holes)
    batch = decoder.decode(update)
    assert batch.levels(0)[0][0] == (1068.45, 111.0, 1)
    assert batch.levels(0)[1] == asks
    assert batch[0].changed == 1 << FIELDS.index("bid_quantity")


def test_index_topic_keeps_its_flag_and_ignores_extra_values():
    frame = (
        "0054060000000300015300091269667c6e73655f636d7c4e69667479203530060027f5ba002800a566f67748002818970027ed7700280d39"
        "0000000102066e73655f636d084e69667479203530084e69667479203530"
    )
    (tick,) = decoder_of(HSM).decode(bytes.fromhex(frame))
    assert (tick.last_price, tick.previous_close, tick.open) == (26188.1, 26216.05, 26248.25)
    assert tick.flags & 1 << 4


def test_records_of_unknown_topics_are_stepped_over_by_their_size():
    decoder = decoder_of(HSM)
    unknown = struct.pack(">BHB2i", 0x55, 99, 2, 1, 2) + struct.pack(">BHi", 0x4C, 98, 5)
    known = HSM_SNAPSHOT[9:]
    batch = decoder.decode(struct.pack(">HBIH", 0, 6, 1, 3) + unknown + known)
    assert [tick.last_price for tick in batch] == [1068.45]
    assert decoder.counters["undefined_topics"] == 2
    assert batch.errors == 0


def test_topic_bound_after_its_definition_is_known_from_then_on():
    decoder = decoder_of(HSM)
    assert decoder.decode(HSM_SNAPSHOT)[0].instrument_id is None
    decoder.bind_text(b"sf|nse_cm|3045", intern_instrument("NSE:SBIN"))
    assert decoder.decode(HSM_UPDATE)[0].instrument_id == "NSE:SBIN"


def test_frames_of_another_type_go_to_control_whole():
    decoder = decoder_of(HSM)
    batch = decoder.decode(bytes.fromhex("000d01020100014b02000400000003"))
    assert (len(batch), batch.control, batch.errors) == (0, ((0, 15),), 0)
    assert decoder.counters["control"] == 1


# --- scales and shapes no vector above has ----------------------------------------------------------------------------


def single(layout, **more):
    return PackedStream(
        "one", more.pop("byte_order", "big"), Framing.single(), Select.by_length(), layouts=(layout,), **more
    )


def test_precision_and_multiplier_may_stand_in_the_packet():
    scale = Scale.from_fields(precision=Part("u8", 8), multiplier=Part("u16", 9))
    stream = single(PackedLayout("p", 11, Key(Part("u32", 0)), (scaled("last_price", 4),), scale=scale))
    decoder = decoder_of(stream)
    assert decoder.decode(struct.pack(">IiBH", 1, 12345, 2, 3))[0].last_price == 12345 / 300
    assert len(decoder.decode(struct.pack(">IiBH", 1, 12345, 2, 0))) == 0
    assert len(decoder.decode(struct.pack(">IiBH", 1, 12345, 19, 1))) == 0
    assert decoder.counters["malformed"] == 2


@pytest.mark.parametrize("value", [0.125, 0.375, -0.125, 2.675, 1e15 + 0.5, 4503599627370497.5, 1.005, -0.001, 1e300])
def test_digits_round_as_printing_does(value):
    stream = single(PackedLayout("p", 12, Key(Part("u32", 0)), (Field("last_price", "f64", 4, digits=2),)))
    (tick,) = decoder_of(stream).decode(struct.pack(">Id", 1, value))
    assert tick.last_price == float(f"{value:.2f}")
    assert math.copysign(1.0, tick.last_price) == (1.0 if tick.last_price == 0 else math.copysign(1.0, value))


@pytest.mark.parametrize("byte_order", ["big", "little"])
@pytest.mark.parametrize(
    ("wire", "code", "raw"),
    [
        ("i8", "b", -7),
        ("u8", "B", 250),
        ("i16", "h", -30000),
        ("u16", "H", 60000),
        ("i32", "i", -(2**31) + 1),
        ("u32", "I", 2**32 - 1),
        ("i64", "q", -(2**40)),
        ("u64", "Q", 2**64 - 2048),
        ("f32", "f", -1.5),
        ("f64", "d", 1e100),
    ],
)
def test_every_wire_type_in_both_byte_orders(byte_order, wire, code, raw):
    order = ">" if byte_order == "big" else "<"
    size = 4 + struct.calcsize(order + code)
    fields = (Field("volume", wire, 4), Field("oi", wire, 4, divisor=10), Field("high", wire, 4, absent=1))
    stream = single(PackedLayout("p", size, Key(Part("u32", 0)), fields), byte_order=byte_order)
    (tick,) = decoder_of(stream).decode(struct.pack(order + "I" + code, 9, raw))
    assert (tick.volume, tick.oi, tick.high) == (float(raw), raw / 10, float(raw))
    (absent,) = decoder_of(stream).decode(struct.pack(order + "I" + code, 9, 1))
    assert (absent.volume, absent.high) == (1.0, None)


def test_counted_rows_beyond_the_packet_or_the_limit_are_malformed():
    levels = Levels("bid", Part("u8", 4), Column("u32", 5), Column("u32", 9), stride=8, max_rows=3)
    stream = single(PackedLayout("p", 5, Key(Part("u32", 0)), (), (levels,), grows=True))
    decoder = decoder_of(stream)
    packet = struct.pack(">IB", 1, 2) + struct.pack(">4I", 100, 5, 99, 6)
    assert decoder.decode(packet).levels(0)[0] == ((100.0, 5.0, 0), (99.0, 6.0, 0))
    for count in (3, 4, 255):
        assert len(decoder.decode(packet[:4] + bytes([count]) + packet[5:])) == 0
    assert decoder.counters["malformed"] == 3


def test_rows_to_the_packets_end_are_as_many_as_fit():
    levels = Levels("ask", "rest", Column("u32", 4), Column("u32", 8), stride=8)
    stream = single(PackedLayout("p", 4, Key(Part("u32", 0)), (), (levels,), grows=True, kind="depth_delta"))
    decoder = decoder_of(stream)
    for rows in range(4):
        packet = struct.pack(">I", 1) + struct.pack(">II", 100, 0) * rows
        batch = decoder.decode(packet)
        assert len(batch.levels(0)[1]) == rows
        assert list(batch.level_ops["action"]) == [2] * rows  # quantity 0 removes


def test_layouts_of_one_length_are_told_apart_by_a_byte():
    def layout(name, to, **more):
        return PackedLayout(name, 9, Key(Part("u32", 0)), (Field(to, "u32", 5),), **more)

    stream = PackedStream(
        "told",
        "big",
        Framing.single(),
        Select.by_length(),
        layouts=(
            layout("rest", "volume"),
            layout("one", "oi", when=(Part("u8", 4), 1), when_in=(2,)),
        ),
    )
    decoder = decoder_of(stream)
    assert [decoder.decode(struct.pack(">IBI", 1, kind, 7))[0].layout for kind in (0, 1, 2, 3)] == [0, 1, 1, 0]


def test_every_kind_of_buffer_decodes():
    frame = bytes.fromhex("0001000800063a01000266ba")
    decoder = decoder_of(KITE)
    for buffer in (frame, bytearray(frame), memoryview(frame)):
        assert decoder.decode(buffer)[0].last_price == 1573.70
    with pytest.raises(TypeError):
        decoder.decode("text")
    with pytest.raises(TypeError):
        decoder.decode()


def test_binding_refuses_handles_that_name_no_instrument():
    decoder = decoder_of(KITE)
    for handle in (-1, 2**31 - 1, 2**70):
        with pytest.raises(ValueError, match="instrument"):
            decoder.bind(1, handle)
    decoder.bind(408065, intern_instrument("NSE:INFY"))
    decoder.unbind(408065)
    assert decoder.decode(bytes.fromhex("0001000800063a01000266ba"))[0].instrument == -1


def test_layout_names_its_packets():
    layout = compile_packed(KITE.spec())
    assert (layout.name, layout.packets, layout.counts_messages) == ("kite", ("ltp", "quote", "full", "index"), False)
    assert KITE.compile() is KITE.compile()
