"""A history in several requests: each candle once, in order, read alike for every broker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dragoman.errors import DecodeError, UsageError
from dragoman.model import AssetClass, Instrument, InstrumentType
from dragoman.plugin import Part, Request
from dragoman.plugin.history import check_stretch, history, read_rows
from dragoman.plugin.records import Records
from dragoman.testing.drive import ScriptedContext, drive

RECORDS = Records("examplebroker")
CTX = ScriptedContext()
MINUTE_NS = 60 * 10**9
SHARE = Instrument(
    instrument_id="NSE:X",
    symbol="X",
    exchange="NSE",
    asset_class=AssetClass.EQUITY,
    instrument_type=InstrumentType.SPOT,
    broker_symbol="X",
    broker_token="1",
)


def read(reply, **more):
    how = {"source": "examplebroker", "time_ns": lambda minute: None if minute is None else minute * MINUTE_NS}
    return read_rows(reply.json, SHARE, "1m", timedelta(minutes=1), CTX, **(how | more))


def told(*replies):
    requests = [Request(path=f"/{at}") for at in range(len(replies))]
    flow = history(RECORDS, requests, read, at_once=2)
    return drive(flow, [list(one) for one in replies], ctx=CTX)


def test_candles_come_once_and_sorted_and_parts_leave_as_they_are_read():
    driven = told([[3, 1, 2, 0, 1, 5]], [[2, 9, 9, 9, 9, 9], [3, 7, 7, 7, 7, 7]], [[1, 4, 4, 4, 4, 4]])
    assert [(one.ts_open // MINUTE_NS, one.open) for one in driven.result] == [(1, 4), (2, 9), (3, 1)]
    sent = [effect for effect in driven.effects if isinstance(effect, Part)]
    assert [(part.done, part.total, len(part.rows)) for part in sent] == [(2, 3, 2), (3, 3, 1)]


@pytest.mark.parametrize("row", [[None, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, "x", 1, 1, 1, 1], 5])
def test_a_row_of_another_shape_is_one_error_that_names_the_place(row):
    with pytest.raises(DecodeError, match="examplebroker: candles"):
        told([row])


def test_open_interest_an_early_stamp_and_whether_it_is_closed():
    now = CTX.now_ns // MINUTE_NS
    reply = drive(one(), [[[now, 1, 1, 1, 1, 1, 8], [now - 1, 1, 1, 1, 1, 1, None]]], ctx=CTX).result
    (last, before) = read(reply)
    assert (last.oi, last.is_closed, before.oi, before.is_closed) == (8, False, None, True)
    (early, _) = read(reply, early_ns=MINUTE_NS, oi=False)
    assert (early.oi, early.is_closed, early.ts_open) == (None, True, (now - 1) * MINUTE_NS)


def one():
    return (yield Request(path="/"))


def test_a_stretch_needs_a_time_zone_and_a_beginning_before_its_end():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    check_stretch(RECORDS, start, start)
    for first, last in ((start, start - timedelta(1)), (start.replace(tzinfo=None), start)):
        with pytest.raises(UsageError, match="with a time zone"):
            check_stretch(RECORDS, first, last)
