"""Batches as Arrow columns, read by libraries that are not ours."""

from __future__ import annotations

import gc
import struct

import numpy as np
import pytest

from dragoman._core import ABSENT_INT, FIELDS, Batch, Decoder, intern_instrument
from dragoman.plugin import Column, Field, Framing, Key, Levels, PackedLayout, PackedStream, Select
from dragoman.plugin import WirePart as Part

pa = pytest.importorskip("pyarrow", reason="a reader of Arrow data is needed: pip install dragoman[dev]")

STREAM = PackedStream(
    "rows",
    "big",
    Framing.counted(count=Part("u16", 0), header=2, length="u16"),
    Select.by_length(),
    layouts=(
        PackedLayout(
            "row",
            24,
            Key(Part("u32", 0)),
            (Field("last_price", "u32", 4, divisor=100), Field("ts_event", "u32", 8, unit="s", absent=0)),
            (Levels("bid", 1, Column("u32", 12), Column("u32", 16), Column("u16", 20), divisor=100),),
        ),
        PackedLayout("price", 8, Key(Part("u32", 0)), (Field("last_price", "u32", 4, divisor=100),), mode="ltp"),
    ),
)


def frame(*rows: bytes) -> bytes:
    return struct.pack(">H", len(rows)) + b"".join(struct.pack(">H", len(row)) + row for row in rows)


def full(key: int, price: int, at_s: int) -> bytes:
    return struct.pack(">6I", key, price, at_s, price - 1, 5, 3 << 16)


def short(key: int, price: int) -> bytes:
    return struct.pack(">2I", key, price)


@pytest.fixture
def decoder():
    made = Decoder(STREAM.compile())
    made.bind(7, intern_instrument("NSE:SÉVEN"))
    return made


@pytest.fixture
def batch(decoder) -> Batch:
    rows = (full(7, 10050, 9), short(8, 200), full(7, 10055, 0), *(short(7, n) for n in range(1, 20)))
    return decoder.decode(frame(*rows), 123)


def test_every_value_is_that_of_the_tick_and_absent_ones_are_null(batch):
    table = pa.record_batch(batch)
    table.validate(full=True)
    assert table.num_rows == len(batch)
    columns = table.to_pydict()
    for index, tick in enumerate(batch):
        for name in (*FIELDS, "key", "kind", "mode", "instrument_id", "sequence", "prev_sequence", "flags"):
            assert columns[name][index] == getattr(tick, name), name
        assert columns["instrument"][index] == (tick.instrument if tick.instrument >= 0 else None)
    assert columns["instrument_id"][:2] == ["NSE:SÉVEN", None]
    assert table.schema.field("ts_event").type == pa.timestamp("ns", "UTC")
    times = table.column("ts_event").cast(pa.int64()).to_pylist()
    assert times[:3] == [9_000_000_000, None, None]
    assert table.column("ts_recv").cast(pa.int64()).to_pylist() == [123] * len(batch)


def test_levels_are_lists_and_null_where_a_record_has_no_depth(batch):
    levels = pa.record_batch(batch).column("levels").to_pylist()
    assert levels[0] == [{"side": "bid", "action": "add", "price": 100.49, "quantity": 5.0, "orders": 3}]
    assert levels[1] is None
    assert levels[2][0]["price"] == 100.54


def test_validity_agrees_with_the_numpy_view(batch):
    table, view = pa.record_batch(batch), batch.records
    for name in FIELDS:
        assert table.column(name).null_count == int(np.isnan(view[name]).sum())
    assert table.column("ts_event").null_count == int((view["ts_event"] == ABSENT_INT).sum())


def test_the_copy_outlives_batch_and_decoder(decoder):
    table = pa.record_batch(decoder.decode(frame(full(7, 10050, 9)), 1))
    decoder.decode(frame(full(7, 99999, 10)), 2)
    del decoder
    gc.collect()
    table.validate(full=True)
    assert table.column("last_price").to_pylist() == [100.5]


def test_a_stream_gives_one_batch_and_ends(batch):
    reader = pa.RecordBatchReader.from_stream(batch)
    assert reader.schema == pa.schema(batch)
    first = reader.read_next_batch()
    assert first.num_rows == len(batch)
    with pytest.raises(StopIteration):
        reader.read_next_batch()


def test_an_empty_batch_has_all_columns(decoder):
    table = pa.record_batch(decoder.decode(frame(), 1))
    table.validate(full=True)
    assert table.num_rows == 0
    assert set(FIELDS) < set(table.schema.names)


def test_capsules_that_nobody_takes_free_what_they_hold(batch):
    for _ in range(200):
        schema, array = batch.__arrow_c_array__()
        stream = batch.__arrow_c_stream__(requested_schema=None)
        only = batch.__arrow_c_schema__()
        del schema, array, stream, only
    gc.collect()
    assert pa.record_batch(batch).num_rows == len(batch)


def test_polars_reads_a_batch_without_help(batch):
    polars = pytest.importorskip("polars", reason="pip install dragoman[dev]")
    frame = polars.DataFrame(batch)
    assert frame["last_price"].to_list() == [tick.last_price for tick in batch]
    assert frame["levels"].to_list()[0][0]["orders"] == 3
