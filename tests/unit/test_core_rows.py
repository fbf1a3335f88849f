"""`Batch.rows` yields what is wanted of each record as a tuple."""

import pytest

from dragoman._core import FIELDS, Decoder
from dragoman.plugin.registry import load_adapter
from unit.test_core_table import batch

OTHERS = (
    "instrument",
    "instrument_id",
    "key",
    "kind",
    "mode",
    "ts_recv",
    "ts_event",
    "last_trade_time",
    "sequence",
    "prev_sequence",
)


def test_a_row_has_the_values_of_the_tick():
    found = batch(15_000, 25_025)
    names = (*FIELDS, *OTHERS)
    assert list(found.rows(names)) == [tuple(getattr(tick, name) for name in names) for tick in found]


def test_what_a_record_lacks_is_none():
    assert list(batch(100, full=False).rows(("oi", "last_price", "ts_event"))) == [(None, 1.0, None)]


def test_rows_that_are_kept_stay_as_they_were():
    rows = list(batch(100, 200, 300).rows(("last_price",)))
    assert rows == [(1.0,), (2.0,), (3.0,)]
    kept = list(batch(400, 500).rows(("last_price",)))
    assert (rows, kept) == ([(1.0,), (2.0,), (3.0,)], [(4.0,), (5.0,)])


def test_numbers_that_are_kept_stay_as_they_were():
    found = batch(100, 200, 300, 400, 500)
    kept, every_other = [], []
    for at, (price, volume) in enumerate(found.rows(("last_price", "volume"))):
        kept.append(price)
        if at % 2:
            every_other.append(volume)
    assert (kept, every_other) == ([1.0, 2.0, 3.0, 4.0, 5.0], [101.0, 103.0])
    assert [price for price, _ in found.rows(("last_price", "volume"))] == kept
    assert kept == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_number_behind_nothing_and_behind_another_kind_is_read():
    rows = [
        *batch(100, full=False).rows(("last_price", "oi")),
        *batch(200, 300).rows(("last_price", "oi")),
        *batch(400).rows(("kind", "last_price")),
        *batch(500, 600, 700).rows(("last_price", "volume")),
    ]
    assert rows[0] == (1.0, None)
    assert [price for price, _ in rows[1:3]] == [2.0, 3.0]
    assert rows[3] == ("quote", 4.0)
    assert rows[4:] == [(5.0, 100.0), (6.0, 101.0), (7.0, 102.0)]


def test_a_loop_over_rows_makes_no_numbers_of_its_own():
    found = batch(*range(100, 2100, 100))
    ids = set()
    for price, volume in found.rows(("last_price", "volume")):
        ids |= {id(price), id(volume)}
    assert len(ids) <= 6  # by turns, while the loop's variables hold the row before


def test_loops_inside_each_other_do_not_meet():
    found = batch(100, 200)
    pairs = [(a, b) for (a,) in found.rows(("last_price",)) for (b,) in found.rows(("last_price",))]
    assert pairs == [(1.0, 1.0), (1.0, 2.0), (2.0, 1.0), (2.0, 2.0)]


def test_a_loop_that_was_left_holds_its_batch_until_it_is_gone():
    decoder = Decoder(load_adapter("zerodha").feed("market").layouts.compile())
    rows = batch(100, 200, decoder=decoder).rows(("last_price",))
    assert next(rows) == (1.0,)
    other = batch(300, decoder=decoder)
    assert (next(rows), list(rows), list(other.rows(("last_price",)))) == ((2.0,), [], [(3.0,)])
    del rows, other
    assert decoder.counters["blocks_held"] == 0


def test_widths_may_change_from_call_to_call():
    found = batch(100)
    price = "last_price"
    assert [list(found.rows(names)) for names in ((price,), (price, price), (), (price,))] == [
        [(1.0,)],
        [(1.0, 1.0)],
        [()],
        [(1.0,)],
    ]


def test_an_empty_frame_has_no_rows():
    assert list(batch().rows(("last_price",))) == []


@pytest.mark.parametrize("name", ["price", "", 7, None, "\ud800"])
def test_a_name_that_is_no_attribute_is_refused(name):
    with pytest.raises((ValueError, UnicodeEncodeError)):
        batch(100).rows(("last_price", name))


@pytest.mark.parametrize(
    ("names", "error"), [(["last_price"], TypeError), ("last_price", TypeError), (("oi",) * 65, ValueError)]
)
def test_names_must_be_a_tuple_of_at_most_64(names, error):
    with pytest.raises(error, match="expected"):
        batch(100).rows(names)
