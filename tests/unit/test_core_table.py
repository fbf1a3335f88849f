"""`Batch.table` copies named fields of all records into one array of the caller's own."""

import struct

import numpy as np
import pytest

from dragoman._core import FIELDS, Decoder
from dragoman.plugin.registry import load_adapter


def batch(*prices, full=True, decoder=None):
    decoder = decoder or Decoder(load_adapter("zerodha").feed("market").layouts.compile())
    packets = []
    for at, price in enumerate(prices):
        words = [price, 7, price, 100 + at, 1, 1, price, price, price, price]
        packets.append(struct.pack(">I10i", 256 * (at + 1) + 1, *words) if full else struct.pack(">Ii", 257, price))
    return decoder.decode(struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(p)) + p for p in packets))


def test_a_table_has_a_row_for_each_record_and_a_column_for_each_name():
    table = batch(15_000, 25_025).table(("volume", "last_price", "volume"))
    assert table.dtype == np.float64
    assert table.tolist() == [[100.0, 150.0, 100.0], [101.0, 250.25, 101.0]]


def test_every_field_is_the_column_of_the_records():
    found = batch(15_000, 25_025, 100)
    table = found.table(FIELDS)
    for at, name in enumerate(FIELDS):
        np.testing.assert_array_equal(table[:, at], found.records[name])


def test_what_a_record_lacks_is_nan():
    assert np.isnan(batch(100, full=False).table(("oi",))).all()


def test_a_table_outlives_the_next_frame():
    decoder = Decoder(load_adapter("zerodha").feed("market").layouts.compile())
    names = ("last_price",)
    first = batch(100, decoder=decoder).table(names)
    second = batch(200, decoder=decoder).table(names)
    assert (first.tolist(), second.tolist()) == ([[1.0]], [[2.0]])
    first[0, 0] = 5.0


def test_names_may_change_from_call_to_call():
    found = batch(100)
    assert [found.table((name,))[0, 0] for name in ("last_price", "volume", "last_price")] == [1.0, 100.0, 1.0]


def test_an_empty_frame_and_no_names_give_empty_tables():
    assert batch().table(("last_price",)).shape == (0, 1)
    assert batch(100, 200).table(()).shape == (2, 0)


@pytest.mark.parametrize("name", ["price", "", 7, None])
def test_a_name_that_is_no_field_is_refused(name):
    with pytest.raises(ValueError, match="not a field"):
        batch(100).table(("last_price", name))


@pytest.mark.parametrize("names", [["last_price"], "last_price", None])
def test_names_that_are_no_tuple_are_refused(names):
    with pytest.raises(TypeError, match="expected a tuple"):
        batch(100).table(names)
