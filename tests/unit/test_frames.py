"""Lists of model values as tables of other libraries, and how values look to a human."""

from __future__ import annotations

import io
from dataclasses import fields
from datetime import date
from decimal import Decimal

import pytest

from dragoman import frames
from dragoman.errors import ErrorKind, UsageError
from dragoman.model import (
    AssetClass,
    Balance,
    Candle,
    Charges,
    DepthLevel,
    Fill,
    Holding,
    Instrument,
    InstrumentType,
    Margin,
    MarginAvailable,
    Mode,
    Order,
    OrderMargin,
    OrderStatus,
    Position,
    Product,
    Quote,
    Reject,
    Segment,
    Side,
)

TS = 1_795_320_000_123_456_789  # more digits than a float64 holds
ORDERS = [
    Order(
        instrument_id="NSE:INFY",
        side=Side.BUY,
        quantity=Decimal(10),
        price=Decimal("1500.05"),
        status=OrderStatus.OPEN,
        order_ids=("1", "2"),
        ts_created=TS,
        modified=True,
        version=7,
    ),
    Order(
        instrument_id="NSE:<b>",
        side=Side.SELL,
        quantity=Decimal("2.5"),
        status=OrderStatus.REJECTED,
        reject=Reject(ErrorKind.INSUFFICIENT_MARGIN, "no money"),
        raw={"secret": 1},
    ),
]


def library(name: str):
    return pytest.importorskip(name, reason="pip install dragoman[dev]")


def test_columns_flatten_nested_values_and_leave_out_the_raw_words():
    found = frames.columns(ORDERS)
    assert found["side"] == ["BUY", "SELL"]
    assert found["price"] == [Decimal("1500.05"), None]
    assert found["reject_kind"] == [None, "INSUFFICIENT_MARGIN"]
    assert found["order_ids"] == [["1", "2"], []]
    assert "raw" not in found
    names = {field.name for field in fields(Order)} - {"raw", "reject"}
    assert names < set(found)


@pytest.mark.parametrize("convert", ["to_pyarrow", "to_polars", "to_pandas"])
def test_all_libraries_hold_the_same_values(convert):
    library(convert.removeprefix("to_"))
    made = getattr(frames, convert)(ORDERS)
    rows = {
        "to_pyarrow": lambda: made.to_pydict(),
        "to_polars": lambda: made.to_dict(as_series=False),
        "to_pandas": lambda: {name: [None if _missing(v) else v for v in made[name]] for name in made.columns},
    }[convert]()
    assert rows["instrument_id"] == ["NSE:INFY", "NSE:<b>"]
    assert rows["price"] == [1500.05, None]
    assert rows["quantity"] == [10.0, 2.5]
    assert rows["version"] == [7, None]
    assert rows["modified"] == [True, False]
    assert rows["reject_text"] == [None, "no money"]


def _missing(value) -> bool:
    pandas = library("pandas")
    return not isinstance(value, list) and bool(pandas.isna(value))


def test_times_keep_every_nanosecond():
    pa = library("pyarrow")
    library("polars")
    library("pandas")
    assert frames.to_pyarrow(ORDERS)["ts_created"].cast(pa.int64()).to_pylist() == [TS, None]
    assert frames.to_polars(ORDERS)["ts_created"].to_physical().to_list() == [TS, None]
    frame = frames.to_pandas(ORDERS)
    assert frame["ts_created"][0].value == TS
    assert str(frame["ts_created"].dtype) == "datetime64[ns, UTC]"
    assert _missing(frame["ts_created"][1])


def test_exact_decimals_stay_exact():
    library("pyarrow")
    library("polars")
    library("pandas")
    exact = [Decimal("1500.05"), None]
    assert frames.to_pyarrow(ORDERS, decimals="exact")["price"].to_pylist() == exact
    assert frames.to_polars(ORDERS, decimals="exact")["price"].to_list() == exact
    assert frames.to_pandas(ORDERS, decimals="exact")["price"].tolist() == exact


@pytest.mark.parametrize("convert", ["to_pyarrow", "to_polars", "to_pandas"])
def test_no_rows_of_a_class_have_its_columns_and_types(convert):
    library(convert.removeprefix("to_"))
    make = getattr(frames, convert)
    empty, full = make([], Order), make(ORDERS)
    names = (lambda t: list(t.column_names)) if convert == "to_pyarrow" else (lambda t: list(t.columns))
    assert names(empty) == names(full)
    assert len(empty) == 0
    assert len(make([])) == 0
    if convert == "to_pandas":
        assert dict(empty.dtypes) == dict(full.dtypes)
    else:
        assert empty.schema == full.schema


TABLES = [Order, Position, Holding, Margin, Quote, Candle, Fill, Instrument, Charges, OrderMargin, Balance]


@pytest.mark.parametrize("convert", ["to_pyarrow", "to_polars", "to_pandas"])
@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_an_empty_answer_can_be_reckoned_with(convert, kind):
    library(convert.removeprefix("to_"))
    frame = getattr(frames, convert)([], kind)
    names = list(frame.column_names) if convert == "to_pyarrow" else list(frame.columns)
    assert names == list(frames.columns([], kind))
    assert {field.name for field in fields(kind) if field.name in names}
    if convert == "to_pandas" and kind is Position:
        assert frame["pnl"].sum() == 0


def test_other_models_become_tables_too():
    polars = library("polars")
    candles = [Candle(instrument_id="NSE:INFY", interval="1m", ts_open=TS, open=1.0, high=2.0, low=0.5, close=1.5)]
    assert frames.to_polars(candles)["ts_open"].dtype == polars.Datetime("ns", "UTC")
    margins = {
        Segment.EQUITY: Margin(segment=Segment.EQUITY, net=Decimal(5), available=MarginAvailable(cash=Decimal(3)))
    }
    assert frames.to_polars(margins)["available_cash"].to_list() == [3.0]
    quote = Quote(instrument_id="NSE:INFY", mode=Mode.FULL, last_price=1.0, bids=(DepthLevel(1.0, 2.0, 3),))
    assert frames.to_polars([quote])["bids"].to_list() == [[{"price": 1.0, "quantity": 2.0, "orders": 3}]]
    assert frames.to_polars([future()])["expiry"].to_list() == [date(2026, 12, 24)]
    assert frames.to_pandas([future()])["expiry"][0].date() == date(2026, 12, 24)
    position = Position(instrument_id="NSE:INFY", product=Product.INTRADAY, quantity=Decimal(-5))
    assert frames.to_polars([position])["quantity"].to_list() == [-5.0]


def future() -> Instrument:
    return Instrument(
        "NFO:INFY@20261224",
        "INFY",
        "NFO",
        AssetClass.EQUITY,
        InstrumentType.FUTURE,
        "INFY26DECFUT",
        "1",
        expiry=date(2026, 12, 24),
    )


def test_rows_that_make_no_table_are_refused_with_what_to_do():
    with pytest.raises(UsageError, match="one table of each"):
        frames.columns([ORDERS[0], future()])
    with pytest.raises(UsageError, match=r"polars\.DataFrame\(batch\)"):
        frames.columns([object()])
    with pytest.raises(UsageError, match="not installed"):
        frames._library("a_library_nobody_has")


# -- to look at -------------------------------------------------------------------------------------------------------


def test_a_table_shows_what_says_something():
    shown = frames.table(ORDERS)
    assert shown.title == "2 x Order"
    assert {"instrument_id", "price", "reject_kind"} <= set(shown.names)
    assert "trigger_price" not in shown.names
    assert "1500.05" in str(shown)
    assert "2026-11-22" in str(shown)
    html = shown._repr_html_()
    assert "NSE:&lt;b&gt;" in html
    assert "<b>" not in html


def test_a_table_prints_in_a_rich_terminal():
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=400).print(frames.table(ORDERS, ["instrument_id", "status"], limit=1))
    assert "NSE:INFY" in out.getvalue()
    assert "and 1 more" in out.getvalue()
    with pytest.raises(UsageError, match="no column 'nonsense'"):
        frames.table(ORDERS, ["nonsense"])
    assert frames.table([]).title == "nothing"


def test_a_value_shows_what_it_has_and_nothing_else():
    from rich.pretty import pretty_repr

    told = dict(ORDERS[0].__rich_repr__())
    assert told["price"] == Decimal("1500.05")
    assert "trigger_price" not in told
    assert "raw" not in dict(ORDERS[1].__rich_repr__())
    assert "trigger_price" not in pretty_repr(ORDERS[0])
    html = ORDERS[1]._repr_html_()
    assert "NSE:&lt;b&gt;" in html
    assert "secret" not in html
    assert "2026-11-22" in ORDERS[0]._repr_html_()

    class Printer:
        said = ""

        def text(self, text: str) -> None:
            self.said += text

    printer = Printer()
    ORDERS[0]._repr_pretty_(printer, False)
    assert printer.said.startswith("Order(instrument_id=NSE:INFY")
    assert "1500.05" in printer.said


def test_the_mixin_leaves_values_what_they_were():
    assert not hasattr(ORDERS[0], "__dict__")
    assert ORDERS[0] == ORDERS[0].but()
    assert hash(future()) == hash(future())
