"""Who may keep what: batches, arrays, cursors and ticks against the decoder that fills its blocks again."""

import gc
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from dragoman._core import (
    ABSENT_INT,
    FIELDS,
    KINDS,
    LEVEL_DTYPE,
    MODES,
    RECORD_DTYPE,
    Decoder,
    Tick,
    instrument_count,
    instrument_name,
    intern_instrument,
)
from dragoman.errors import UsageError
from dragoman.plugin import Column, Field, Framing, Key, Levels, PackedLayout, PackedStream, Select
from dragoman.plugin import WirePart as Part

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
    ),
)


def frame(*prices):
    rows = [struct.pack(">6I", 7, price, 9, price - 1, 5, 3 << 16) for price in prices]
    return struct.pack(">H", len(rows)) + b"".join(struct.pack(">H", len(row)) + row for row in rows)


@pytest.fixture
def decoder():
    made = Decoder(STREAM.compile())
    made.bind(7, intern_instrument("NSE:SEVEN"))
    return made


def prices(batch):
    return [tick.last_price for tick in batch]


def test_batch_that_is_dropped_is_filled_again(decoder):
    first = id(decoder.decode(frame(100)))
    assert all(id(decoder.decode(frame(100 + i))) == first for i in range(5))
    assert decoder.counters["blocks_held"] == 0


def test_batch_that_is_held_stays_as_it_was(decoder):
    held = [decoder.decode(frame(100 + i, 200 + i)) for i in range(20)]
    assert [prices(batch) for batch in held] == [[(100 + i) / 100, (200 + i) / 100] for i in range(20)]
    assert decoder.counters["blocks_held"] == 20
    del held
    assert decoder.counters["blocks_held"] == 0


def test_arrays_hold_their_block_after_batch_and_decoder_are_gone(decoder):
    records = decoder.decode(frame(100, 101)).records
    levels = decoder.decode(frame(200)).level_ops
    for price in range(300, 320):
        decoder.decode(frame(price))
    assert decoder.counters["blocks_held"] == 2
    del decoder
    gc.collect()
    assert list(records["last_price"]) == [1.0, 1.01]
    assert list(levels["price"]) == [1.99]


def test_iterator_holds_its_batch(decoder):
    rows = iter(decoder.decode(frame(100, 101)))
    assert next(rows).last_price == 1.0
    decoder.decode(frame(500, 600))
    assert next(rows).last_price == 1.01


def test_arrays_are_views_and_cannot_be_written(decoder):
    batch = decoder.decode(frame(100, 101), 55)
    assert np.shares_memory(batch.records, batch.records)
    assert not batch.records.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        batch.records["last_price"] = 0
    assert batch.records.dtype == np.dtype(RECORD_DTYPE)
    assert batch.records.dtype.itemsize == 272
    assert batch.level_ops.dtype == np.dtype(LEVEL_DTYPE)
    assert batch.level_ops.dtype.itemsize == 24
    assert list(batch.records["ts_recv"]) == [55, 55]


def test_array_fields_agree_with_ticks(decoder):
    batch = decoder.decode(frame(100, 101))
    for row, tick in zip(batch.records, batch, strict=True):
        assert (row["key"], row["instrument"], row["present"]) == (tick.key, tick.instrument, tick.present)
        assert (KINDS[row["kind"]], MODES[row["mode"]]) == (tick.kind, tick.mode)
        assert (row["sequence"], tick.sequence) == (ABSENT_INT, None)
        for name in FIELDS:
            value = getattr(tick, name)
            assert np.isnan(row[name]) if value is None else row[name] == value


def test_empty_batch_has_empty_arrays(decoder):
    batch = decoder.decode(b"\0\0")
    assert (len(batch), batch.records.shape, batch.level_ops.shape) == (0, (0,), (0,))
    assert list(batch) == []


def test_batch_indexes_like_a_sequence(decoder):
    batch = decoder.decode(frame(100, 101, 102))
    assert (len(batch), batch[0].last_price, batch[-1].last_price) == (3, 1.0, 1.02)
    assert batch.levels(-1) == batch.levels(2) == (((1.01, 5.0, 3),), ())
    for index in (3, -4):
        with pytest.raises(IndexError):
            batch[index]
        with pytest.raises(IndexError):
            batch.levels(index)


def test_tick_outlives_its_batch_and_cannot_be_changed(decoder):
    tick = decoder.decode(frame(100))[0]
    decoder.decode(frame(999))
    assert tick.last_price == 1.0
    with pytest.raises(AttributeError):
        tick.last_price = 2.0
    with pytest.raises(TypeError):
        Tick()
    assert not gc.is_tracked(tick)


def test_ticks_of_equal_content_are_equal_wherever_they_stood(decoder):
    alone = decoder.decode(frame(101), 5)[0]
    second = decoder.decode(frame(100, 101), 5)[1]
    assert alone == second
    assert hash(alone) == hash(second)
    assert alone != decoder.decode(frame(101), 6)[0]
    assert alone != "tick"
    assert {alone: 1}[second] == 1


def test_pickled_tick_finds_its_instrument_in_another_process(decoder):
    tick = decoder.decode(frame(100), 5)[0]
    assert pickle.loads(pickle.dumps(tick)) == tick
    script = (
        "import pickle, sys; from dragoman._core import intern_instrument; intern_instrument('NSE:FIRST_HERE');"
        "tick = pickle.loads(sys.stdin.buffer.read());"
        "print(tick.instrument, tick.instrument_id, tick.last_price, tick.ts_recv)"
    )
    run = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(tick), capture_output=True, check=True)
    assert run.stdout.split() == [b"1", b"NSE:SEVEN", b"1.0", b"5"]


def test_tampered_pickles_are_refused(decoder):
    restore, (data, name) = decoder.decode(frame(100))[0].__reduce__()
    assert restore(data, name).last_price == 1.0
    assert restore(data, None).instrument_id is None
    with pytest.raises(ValueError, match="found 272 bytes"):
        restore(data[:-1], name)
    with pytest.raises(ValueError, match="version"):
        restore(b"\x02" + data[1:], name)
    kind = 1 + 60
    with pytest.raises(ValueError, match="contradict"):
        restore(data[:kind] + b"\xff" + data[kind + 1 :], name)
    present = 1 + 48
    with pytest.raises(ValueError, match="contradict"):
        restore(data[:present] + b"\xff" + data[present + 1 :], name)
    with pytest.raises(ValueError, match="empty"):
        restore(data, "")


def test_repr_names_instrument_kind_and_present_fields(decoder):
    text = repr(decoder.decode(frame(100))[0])
    assert text == "Tick(NSE:SEVEN quote ts_event=9000000000 last_price=1.0 bid_price=0.99 bid_quantity=5.0)"
    assert repr(Decoder(STREAM.compile()).decode(frame(100))[0]).startswith("Tick(key=7 quote ")


def test_cursor_moves_over_the_rows_without_making_ticks(decoder):
    cursor = decoder.decode(frame(100, 101)).cursor()
    seen = []
    for row in cursor:
        assert row is cursor
        seen.append((row.last_price, row.instrument_id, row.kind, row.ts_event, row.open))
    assert seen == [(price, "NSE:SEVEN", "quote", 9 * 10**9, None) for price in (1.0, 1.01)]


def test_cursor_raises_once_closed_and_lets_its_block_go(decoder):
    cursor = decoder.decode(frame(100, 101)).cursor()
    kept = next(cursor).tick()
    assert decoder.counters["blocks_held"] == 1
    cursor.close()
    cursor.close()
    assert decoder.counters["blocks_held"] == 0
    for use in (lambda: cursor.last_price, lambda: cursor.key, cursor.tick, lambda: next(cursor)):
        with pytest.raises(UsageError, match="closed"):
            use()
    assert kept.last_price == 1.0


def test_cursor_off_its_rows_raises_instead_of_reading(decoder):
    cursor = decoder.decode(frame(100)).cursor()
    with pytest.raises(UsageError, match="no record"):
        _ = cursor.last_price
    assert [row.last_price for row in cursor] == [1.0]
    with pytest.raises(UsageError, match="no record"):
        cursor.tick()
    assert next(cursor, None) is None


def test_decoder_checks_how_it_is_made():
    with pytest.raises(TypeError, match=r"expected a dragoman\._core\.Layout"):
        Decoder("layout")
    for blocks in (0, 1025):
        with pytest.raises(ValueError, match="max_blocks"):
            Decoder(STREAM.compile(), max_blocks=blocks)


def test_one_block_is_enough_when_batches_are_held():
    decoder = Decoder(STREAM.compile(), max_blocks=1)
    held = [decoder.decode(frame(100 + i)) for i in range(3)]
    assert [prices(batch) for batch in held] == [[1.0], [1.01], [1.02]]
    assert decoder.counters["blocks_held"] == 3


def test_no_memory_is_lost_over_many_frames(decoder):
    def cycle():
        batch = decoder.decode(frame(100, 101))
        list(batch)
        _ = batch.records, batch.level_ops, batch.levels(0), batch.control, repr(batch[0])
        for row in batch.cursor():
            row.tick()

    cycle()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(200):
        cycle()
    gc.collect()
    assert sys.getallocatedblocks() - before < 50


def test_numpy_is_loaded_only_for_arrays():
    script = (
        "import sys; from dragoman._core import Decoder, intern_instrument; assert 'numpy' not in sys.modules;"
        "import dragoman.plugin; assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_handles_are_dense_and_never_change():
    before = instrument_count()
    first, second = intern_instrument("TEST:ONE+LIFE"), intern_instrument("TEST:TWO+LIFE")
    assert (first, second, instrument_count()) == (before, before + 1, before + 2)
    assert intern_instrument("TEST:ONE+LIFE") == first
    assert instrument_name(second) == "TEST:TWO+LIFE"
    for handle in (-1, instrument_count()):
        with pytest.raises(IndexError):
            instrument_name(handle)
    with pytest.raises(ValueError, match="empty"):
        intern_instrument("")
