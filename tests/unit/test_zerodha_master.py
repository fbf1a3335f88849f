"""The instrument dump: one canonical id each, exact numbers, any cut of the stream, any bytes."""

from __future__ import annotations

import itertools
from datetime import date
from decimal import Decimal

import pytest
from dragoman.adapters.zerodha.master import COLUMNS, MAX_ROW, InstrumentParser
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import DecodeError
from dragoman.market import InstrumentMaster
from dragoman.model import AssetClass, CanonicalId, InstrumentType, OptionType
from dragoman.plugin import Skipped
from fixtures.zerodha.account import HERE, master

CSV = (HERE / "instruments.csv").read_bytes()
HEADER = ",".join(COLUMNS)
ROWS = {item.broker_symbol: item for item in master()}


def parse(*pieces):
    parser = InstrumentParser()
    return [row for piece in pieces for row in parser.feed(piece)] + list(parser.close())


@pytest.mark.parametrize(
    ("symbol", "ident", "asset_class", "kind"),
    [
        ("INFY", "NSE:INFY", AssetClass.EQUITY, InstrumentType.SPOT),
        ("BAJAJ-AUTO", "NSE:BAJAJ-AUTO", AssetClass.EQUITY, InstrumentType.SPOT),
        ("M&M", "NSE:M&M", AssetClass.EQUITY, InstrumentType.SPOT),
        ("CENTRALBK-BE", "NSE:CENTRALBK+BE", AssetClass.EQUITY, InstrumentType.SPOT),
        ("SGBNOV24-GB", "NSE:SGBNOV24+GB", AssetClass.DEBT, InstrumentType.BOND),
        ("RELIANCE", "BSE:RELIANCE", AssetClass.EQUITY, InstrumentType.SPOT),
        ("NIFTY 50", "NSE:NIFTY_50=INDEX", AssetClass.INDEX, InstrumentType.INDEX),
        ("NIFTY26JANFUT", "NFO:NIFTY@20260127", AssetClass.INDEX, InstrumentType.FUTURE),
        ("NIFTY2610624800CE", "NFO:NIFTY@20260106-24800CE", AssetClass.INDEX, InstrumentType.OPTION),
        ("TATASTEEL26JAN187.5PE", "NFO:TATASTEEL@20260127-187.5PE", AssetClass.EQUITY, InstrumentType.OPTION),
        ("USDINR26JAN84.25PE", "CDS:USDINR@20260128-84.25PE", AssetClass.CURRENCY, InstrumentType.OPTION),
        ("USDINR26JANFUT", "BCD:USDINR@20260128", AssetClass.CURRENCY, InstrumentType.FUTURE),
        ("GOLDPETAL26JANFUT", "MCX:GOLDPETAL@20260130", AssetClass.COMMODITY, InstrumentType.FUTURE),
    ],
)
def test_each_kind_of_row_gets_its_canonical_id(symbol, ident, asset_class, kind):
    item = ROWS[symbol]
    assert (item.instrument_id, item.asset_class, item.instrument_type) == (ident, asset_class, kind)
    assert str(CanonicalId.parse(ident)) == ident


def test_an_option_keeps_every_column_exactly():
    item = ROWS["TATASTEEL26JAN187.5PE"]
    assert (item.exchange, item.segment, item.name) == ("NFO", "NFO-OPT", "TATASTEEL")
    assert (item.broker_token, item.exchange_token) == ("13239298", "51716")
    assert (item.underlying, item.expiry, item.strike) == ("TATASTEEL", date(2026, 1, 27), Decimal("187.5"))
    assert item.option_type is OptionType.PUT
    assert (item.tick_size, item.lot_size, item.multiplier) == (Decimal("0.05"), 5500, 1)
    assert str(ROWS["USDINR26JANFUT"].tick_size) == "0.0025"


def test_an_index_cannot_be_traded_and_has_no_tick():
    item = ROWS["NIFTY 50"]
    assert (item.tradable, item.tick_size, item.lot_size) == (False, 0, 1)
    assert all(other.tradable for other in ROWS.values() if other is not item)


def test_quoted_fields_keep_commas_quotes_and_line_breaks():
    assert ROWS["RELIANCE"].name == 'RELIANCE "INDUSTRIES", LTD'
    row = '1,1,X,"two\r\nlines, ""both""",0,,0,0.05,1,EQ,NSE,NSE'
    assert parse(f"{HEADER}\r\n{row}\r\n".encode())[0].name == 'two\r\nlines, "both"'


def test_columns_are_found_by_name_not_by_position():
    order = sorted(COLUMNS)
    values = dict(zip(COLUMNS, "7,8,ABC,A B C,0,,0,0.05,1,EQ,NSE,NSE".split(","), strict=True))
    text = f"{','.join(order)},new_column\n{','.join(values[name] for name in order)},x\n"
    (item,) = parse(text.encode())
    assert (item.instrument_id, item.broker_token, item.exchange_token) == ("NSE:ABC", "7", "8")


def test_a_row_of_an_unknown_kind_is_listed_as_unknown_not_as_a_share():
    (item,) = parse(f"{HEADER}\n1,1,X,,0,,0,0.05,1,SWAP,NSE,NSE".encode())
    assert (item.instrument_type, item.asset_class) == (InstrumentType.UNKNOWN, AssetClass.UNKNOWN)


@pytest.mark.parametrize(
    ("symbol", "expiry", "kind", "ident"),
    [
        ("BANKNIFTY18JAN23500CE", "2018-01-25", "CE", "NFO:BANKNIFTY@20180125-23500CE"),
        ("NIFTY2610624800PE", "2026-01-06", "PE", "NFO:NIFTY@20260106-24800PE"),
        ("NIFTY26O0824800PE", "2026-10-08", "PE", "NFO:NIFTY@20261008-24800PE"),
        ("M&M26JANFUT", "2026-01-27", "FUT", "NFO:M&M@20260127"),
        ("ODD", "2026-01-27", "FUT", "NFO:ODD@20260127"),
    ],
)
def test_the_root_comes_from_the_symbol_where_the_dump_leaves_the_name_empty(symbol, expiry, kind, ident):
    strike = ident.partition("-")[2].rstrip("CEP") or "0"
    (item,) = parse(f"{HEADER}\n1,1,{symbol},,0,{expiry},{strike},0.05,1,{kind},NFO-X,NFO".encode())
    assert item.instrument_id == ident


@given(cuts=st.lists(st.integers(0, len(CSV)), max_size=12), crlf=st.booleans())
def test_any_split_equals_the_whole(cuts, crlf):
    text = CSV.replace(b"\n", b"\r\n") if crlf else CSV
    edges = [0, *sorted(cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    assert parse(*pieces) == master()


def test_one_byte_at_a_time_equals_the_whole():
    text = f'\ufeff{HEADER}\n1,1,CAFÉ,"É\n€",0,,0,0.05,1,EQ,BSE,BSE'.encode()
    assert parse(*(text[i : i + 1] for i in range(len(text)))) == parse(text)
    assert parse(text)[0].name == "É\n€"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", "no header line"),
        (b"a,b,c\n1,2,3\n", "no column instrument_token"),
        (HEADER.encode() + b'\n1,1,A,"open', "ends inside a quoted field"),
        (HEADER.encode() + b'\n1,1,A,"open"wrong,0,,0,0.05,1,EQ,NSE,NSE\n', "row 1:"),
        (HEADER.encode() + b"\n\xff\n", "0xff is not UTF-8"),
        (b'"' + b"x" * (MAX_ROW + 1), "longer than"),
    ],
)
def test_what_is_no_master_is_a_decode_error_that_names_the_row(text, found):
    with pytest.raises(DecodeError, match=found):
        parse(text)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,2,3", "3 columns, expected 12"),
        (b"x,1,A,,0,,0,0.05,1,EQ,NSE,NSE", "invalid literal"),
        (b"1,1,A,,0,,0,cheap,1,EQ,NSE,NSE", "ConversionSyntax"),
        (b"1,1,A,,0,soon,0,0.05,1,FUT,NFO,NFO", "Invalid isoformat"),
        (b"1,1,A,,0,,0,0.05,1,FUT,NFO,NFO", "Invalid isoformat"),
        (b"1,1,,,0,,0,0.05,1,EQ,NSE,NSE", "empty"),
        (b"1,1,A,,0,,0,0.05,-1,EQ,NSE,NSE", "negative"),
        (b"1,1,A,,0,,0,-0.05,1,EQ,NSE,NSE", "negative"),
        (b"1,1,A,,0,,0,NaN,1,EQ,NSE,NSE", "InvalidOperation"),
    ],
)
def test_one_odd_row_is_left_out_and_named_and_the_others_stay(row, reason):
    good = b"2,2,B,,0,,0,0.05,1,EQ,NSE,NSE"
    skipped, kept = parse(HEADER.encode() + b"\n" + row + b"\n" + good)
    assert (skipped.where, kept.broker_symbol) == ("row 2", "B")
    assert reason in skipped.reason
    master = InstrumentMaster()
    master.add([skipped, kept])
    assert (len(master), master.skipped) == (1, [skipped])


def test_many_odd_rows_are_another_format():
    with pytest.raises(DecodeError, match="21 of 22 rows"):
        parse(HEADER.encode() + b"\n1,2,3" * 30)


@given(data=st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_give_instruments_or_a_decode_error(data):
    try:
        found = parse(HEADER.encode() + b"\n", *data)
    except DecodeError:
        return
    assert all(isinstance(item, Skipped) or item.broker_symbol for item in found)


SYMBOLS = st.lists(
    st.text(st.sampled_from("ABEGNSMZ1290-&.%:@=+/_ "), min_size=1, max_size=8).filter(lambda s: s.strip() == s),
    unique_by=lambda symbol: symbol.replace(" ", "_"),
    max_size=12,
)


@given(symbols=SYMBOLS)
def test_distinct_symbols_get_distinct_ids(symbols):
    rows = [f"{at},{at},{symbol},,0,,0,0.05,1,EQ,NSE,NSE" for at, symbol in enumerate(symbols)]
    ids = [item.instrument_id for item in parse("\n".join([HEADER, *rows]).encode())]
    assert len(set(ids)) == len(symbols)
    assert [str(CanonicalId.parse(ident)) for ident in ids] == ids
