"""Packets written from layouts: what the native decoder reads back, and what cannot be written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman._core import Decoder, intern_instrument
from dragoman.emulator.encode import StreamEncoder
from dragoman.plugin import Column, Field, Framing, Key, Levels, PackedLayout, PackedStream, Scale, Select, WirePart

PRICE = Scale.by_part(WirePart("u8", 3), {3: 10_000_000}, default=100)
BIG = PackedStream(
    "big",
    "big",
    Framing.counted(count=WirePart("u16", 0), header=2, length="u16"),
    Select.by_length(),
    layouts=(
        PackedLayout(
            "book",
            60,
            Key(WirePart("u32", 0)),
            (
                Field("last_price", "i32", 4, scaled=True),
                Field("volume", "u32", 8),
                Field("ts_event", "u32", 12, unit="s", absent=0),
                Field("oi", "u32", 16, absent=0xFFFFFFFF),
            ),
            tuple(
                Levels(
                    side,
                    2,
                    stride=10,
                    quantity=Column("u32", at),
                    price=Column("i32", at + 4),
                    orders=Column("u16", at + 8),
                    scaled=True,
                )
                for side, at in (("bid", 20), ("ask", 40))
            ),
            scale=PRICE,
        ),
    ),
)
LITTLE = PackedStream(
    "little",
    "little",
    Framing.back_to_back(length_at=WirePart("u16", 1)),
    Select.by_code(WirePart("u8", 0)),
    layouts=(
        PackedLayout(
            "ltp",
            24,
            Key(WirePart("u32", 4), WirePart("u8", 3, shift=32)),
            (
                Field("last_price", "f32", 8, digits=2),
                Field("last_quantity", "u32", 12),
                Field("ts_event", "u64", 16, unit="ms"),
            ),
            code=7,
        ),
    ),
)

cents = st.integers(-(10**9), 10**9).map(lambda raw: Decimal(raw) / 100)
counts = st.integers(0, 2**32 - 2)
rows = st.lists(
    st.tuples(
        st.integers(1, 10**8).map(lambda raw: Decimal(raw) / 100), st.integers(1, 2**32 - 1), st.integers(1, 65535)
    ),
    max_size=2,
)


def decode(stream: PackedStream, frame: bytes, key: int) -> Any:
    decoder = Decoder(stream.compile())
    decoder.bind(key, intern_instrument("TEST:ENCODED"))
    batch = decoder.decode(frame, 1)
    assert batch.errors == 0, decoder.counters
    return batch


@settings(deadline=None)
@given(st.integers(0, 2**24 - 1), cents, counts, st.integers(1, 2**32 - 1), counts, rows, rows)
def test_what_is_encoded_decodes_to_the_same(
    token: int, price: Decimal, volume: int, seconds: int, oi: int, bids: Any, asks: Any
) -> None:
    key = token << 8 | 1
    values = {
        "key": key,
        "last_price": price,
        "volume": volume,
        "ts_event": seconds * 10**9,
        "oi": oi,
        "bids": bids,
        "asks": asks,
    }
    encoder = StreamEncoder(BIG)
    packet = encoder.packet("book", values)
    batch = decode(BIG, encoder.frame([packet, packet]), key)
    assert len(batch) == 2
    tick = batch[0]
    assert (tick.last_price, tick.volume, tick.ts_event) == (float(price), volume, seconds * 10**9)
    assert tick.oi == oi
    found_bids, found_asks = batch.levels(0)
    assert list(found_bids) == [(float(p), q, n) for p, q, n in bids]
    assert list(found_asks) == [(float(p), q, n) for p, q, n in asks]


def test_scale_follows_the_packet_s_own_segment() -> None:
    encoder = StreamEncoder(BIG)
    packets = [encoder.packet("book", {"key": 256 + code, "last_price": Decimal("83.1225")}) for code in (1, 3)]
    assert [int.from_bytes(packet[4:8], "big") for packet in packets] == [8312, 831225000]


def test_missing_values_are_written_as_absent() -> None:
    packet = StreamEncoder(BIG).packet("book", {"key": 257})
    assert packet[12:16] == bytes(4)
    assert packet[16:20] == b"\xff\xff\xff\xff"
    assert packet[20:] == bytes(40)


def test_composed_keys_codes_lengths_and_floats_come_back() -> None:
    key, values = 3 << 32 | 99, {"last_price": 1573.15, "last_quantity": 4, "ts_event": 1_753_327_800_123_000_000}
    encoder = StreamEncoder(LITTLE)
    frame = encoder.frame([encoder.packet("ltp", {"key": key, **values})] * 2)
    assert frame[:4] == bytes((7, 24, 0, 3))
    batch = decode(LITTLE, frame, key)
    assert len(batch) == 2
    assert {name: getattr(batch[1], name) for name in values} == values


def test_floats_are_written_as_the_decimal_they_stand_for() -> None:
    packet = StreamEncoder(BIG).packet("book", {"key": 257, "last_price": 1573.15})
    assert int.from_bytes(packet[4:8], "big") == 157315


@pytest.mark.parametrize(
    ("values", "place"),
    [({"volume": 2**32}, "big.book.volume"), ({"volume": -1}, "big.book.volume"),
     ({"last_price": Decimal(10**9)}, "big.book.last_price"), ({"bids": [(1, 1, 70000)]}, r"big.book.bid\[0\]")],
)  # fmt: skip
def test_values_that_do_not_fit_name_their_field(values: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=place):
        StreamEncoder(BIG).packet("book", {"key": 257, **values})


def test_keys_too_wide_for_their_parts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"big.book.key: 4294967296 has bits that no part of the key holds"):
        StreamEncoder(BIG).packet("book", {"key": 2**32})


def test_layouts_it_cannot_write_are_refused() -> None:
    growing = PackedStream(
        "g",
        "big",
        Framing.single(),
        Select.by_length(),
        (PackedLayout("deep", 8, Key(WirePart("u32", 0)), grows=True),),
    )
    with pytest.raises(ValueError, match="fixed size"):
        StreamEncoder(growing).packet("deep", {"key": 1})
    with pytest.raises(ValueError, match="no layout 'full', expected one of book"):
        StreamEncoder(BIG).packet("full", {"key": 1})
    with pytest.raises(ValueError, match="one packet, found 2"):
        StreamEncoder(growing).frame([b"", b""])
