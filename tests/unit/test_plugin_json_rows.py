"""Instrument masters that are JSON arrays, cut anywhere, plain and gzipped; and the ids Indian masters share."""

from __future__ import annotations

import gzip
import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import DecodeError
from dragoman.model import AssetClass, Instrument, InstrumentType, OptionType
from dragoman.plugin import Skipped, indian
from dragoman.plugin.json_rows import MAX_ROW, MAX_SKIPPED, JsonRows
from dragoman.plugin.values import json_number


def read(row):
    if row["kind"] == "left out":
        return None
    return Instrument(
        instrument_id=f"NSE:{row['symbol']}",
        symbol=row["symbol"],
        exchange="NSE",
        asset_class=AssetClass.EQUITY,
        instrument_type=InstrumentType.SPOT,
        broker_symbol=row["symbol"],
        broker_token=row["symbol"],
        tick_size=row["tick"],
    )


ROWS = [{"kind": "EQ", "symbol": f"S{n}é", "tick": 0.05} for n in range(20)] + [{"kind": "left out"}]
TEXT = json.dumps(ROWS, ensure_ascii=False, indent=1).encode()


def parse(body, cuts=()):
    parser, found, at = JsonRows("examplebroker", read), [], 0
    for cut in (*sorted(cuts), len(body)):
        found += parser.feed(body[at:cut])
        at = max(at, cut)
    return [*found, *parser.close()]


@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=8), packed=st.booleans())
def test_rows_are_the_same_however_the_body_is_cut(cuts, packed):
    body = gzip.compress(TEXT, mtime=0) if packed else TEXT
    found = parse(body, [cut % len(body) for cut in cuts])
    assert [(item.symbol, item.tick_size) for item in found] == [(f"S{n}é", Decimal("0.05")) for n in range(20)]


@given(cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_rows_of_an_object_are_its_values_however_the_body_is_cut(cuts):
    body = json.dumps({f'NSE:S{n} "é\\': row for n, row in enumerate(ROWS)}, indent=1).encode()
    parser, found, at = JsonRows("examplebroker", read, keyed=True), [], 0
    for cut in (*sorted(cut % len(body) for cut in cuts), len(body)):
        found += parser.feed(body[at:cut])
        at = max(at, cut)
    assert [item.symbol for item in (*found, *parser.close())] == [f"S{n}é" for n in range(20)]


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"[]", "expected a JSON object"), (b'{"a": 5}', "expected an object"), (b'{"a": {', "ends inside the array")],
)
def test_an_object_of_something_else_is_refused(body, said):
    parser = JsonRows("examplebroker", read, keyed=True)
    with pytest.raises(DecodeError, match=said):
        [*parser.feed(body), *parser.close()]


def test_one_odd_row_is_shown_and_many_are_another_format():
    good = {"kind": "EQ", "symbol": "A", "tick": 1}
    found = parse(json.dumps([good, {"symbol": "B"}, good]).encode())
    assert isinstance(found[1], Skipped)
    assert (found[1].where, found[0].symbol, found[2].symbol) == ("row 2", "A", "A")
    with pytest.raises(DecodeError, match="rows cannot be read"):
        parse(json.dumps([{"symbol": "B"}] * (MAX_SKIPPED + 1)).encode())


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "is empty"),
        (b"{}", "expected a JSON array"),
        (TEXT[:-1], "ends inside the array"),
        (TEXT + b"[]", "after the array"),
        (b"[1]", "expected an object"),
        (b"[\xff]", "not UTF-8"),
        (b'[{"kind": "' + b"x" * MAX_ROW, "longer than"),
        (gzip.compress(TEXT, mtime=0)[:-20], "ends early"),
        (b"\x1f\x8bnone", "not gzip"),
    ],
)
def test_a_broken_master_is_a_decode_error(body, what):
    with pytest.raises(DecodeError, match=what):
        parse(body)


def test_indian_masters_share_their_ids():
    assert [str(indian.cash("NSE", "INFY")[0]), str(indian.cash("NSE", "IDEA", "BE")[0])] == ["NSE:INFY", "NSE:IDEA+BE"]
    assert indian.cash("NSE", "SGBAUG28V", "GB")[1:] == (AssetClass.DEBT, InstrumentType.BOND)
    assert str(indian.index("NSE", "Nifty Bank")[0]) == "NSE:NIFTY_BANK=INDEX"
    day = date(2026, 12, 24)
    option = indian.contract("NFO", "NIFTY", day, Decimal("24800.00"), OptionType.CALL)
    assert (str(option[0]), option[1]) == ("NFO:NIFTY@20261224-24800CE", AssetClass.INDEX)
    assert indian.contract("MCX", "CRUDEOIL", day)[1:] == (AssetClass.COMMODITY, InstrumentType.FUTURE)


def test_prices_leave_with_exactly_their_digits():
    assert [json.dumps(json_number(Decimal(text))) for text in ("101.05", "250.00", "0.0025")] == [
        "101.05",
        "250",
        "0.0025",
    ]
    assert json_number(None) == 0


UNDER = b'{"zone": "UTC", "limits": [{"kind": 1}], "rows": ' + TEXT + b', "after": [{"rows": []}]}'


@pytest.mark.parametrize("size", [1, 7, 300, 100_000])
def test_an_array_under_a_key_is_read_wherever_the_document_is_cut(size):
    parser = JsonRows("toy", read, under="rows")
    found = [row for at in range(0, len(UNDER), size) for row in parser.feed(UNDER[at : at + size])]
    assert found + list(parser.close()) == parse(TEXT)


def test_a_document_without_the_key_is_a_decode_error():
    parser = JsonRows("toy", read, under="symbols")
    assert list(parser.feed(UNDER)) == []
    with pytest.raises(DecodeError, match="is empty"):
        parser.close()
