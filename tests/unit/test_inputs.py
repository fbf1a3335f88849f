"""What users write is read exactly, or refused by name; what a broker would not see is never dropped silently."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from dragoman.adapters.zerodha.adapter import ZerodhaAdapter

from dragoman.checks import WireUnits, check_request, choice, exact, order_change, order_request
from dragoman.errors import ErrorKind, UsageError
from dragoman.model import AssetClass, Instrument, InstrumentType, Order, OrderChange, OrderType, QuantityUnit, Side

SHARE = Instrument(
    instrument_id="NSE:INFY",
    symbol="INFY",
    exchange="NSE",
    asset_class=AssetClass.EQUITY,
    instrument_type=InstrumentType.SPOT,
    broker_symbol="INFY",
    broker_token="1",
    tick_size=Decimal("0.05"),
)
FUTURE = replace(SHARE, instrument_id="NFO:INFY@20261229", exchange="NFO", lot_size=Decimal(400))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (1500.05, "1500.05"),
        (0.1 + 0.2, "0.30000000000000004"),
        ("1500.050", "1500.050"),
        (" 7 ", "7"),
        (3, "3"),
        (Decimal("84.25"), "84.25"),
        (np.float64(1500.05), "1500.05"),
        (np.float32(1500.05), "1500.05"),
        (np.int64(75), "75"),
    ],
)
def test_numbers_are_read_as_they_are_written(written, read):
    assert str(exact("price", written)) == read


@pytest.mark.parametrize("written", ["", "abc", "1,5", "nan", float("inf"), True, None, [1]])
def test_what_is_no_number_is_refused_by_name(written):
    with pytest.raises(UsageError, match="price"):
        exact("price", written)


def test_choices_are_read_in_either_case_and_unknown_ones_name_what_there_is():
    assert choice(Side, "side", "buy") is choice(Side, "side", Side.BUY) is Side.BUY
    with pytest.raises(UsageError, match="BUY, SELL"):
        choice(Side, "side", "HOLD")
    with pytest.raises(UsageError) as caught:
        choice(OrderType, "order_type", None)
    assert "UNKNOWN" not in caught.value.remedy


def test_lots_are_units_times_the_lot():
    assert order_request(FUTURE, "SELL", None, 3, {}).quantity == 1200
    assert order_request(FUTURE, "SELL", None, np.int64(3), {}).quantity == 1200
    assert order_change(FUTURE, 2, {}) == OrderChange(quantity=Decimal(800))


@pytest.mark.parametrize(
    ("quantity", "lots"), [(None, None), (1, 1), (None, 0), (None, -1), (None, 1.5), (None, "x"), (None, True)]
)
def test_quantity_and_lots_that_cannot_be_are_refused(quantity, lots):
    with pytest.raises(UsageError, match=r"quantity|lots"):
        order_request(FUTURE, "BUY", quantity, lots, {})


@pytest.mark.parametrize("name", ["instrument_id", "account_id", "wire_id", "colour"])
def test_fields_that_are_not_the_users_are_refused(name):
    with pytest.raises(UsageError, match=name):
        order_request(SHARE, "BUY", 1, None, {name: "x"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("post_only", True),
        ("reduce_only", True),
        ("extended_hours", True),
        ("leverage", 5),
        ("position_side", "LONG"),
        ("notional", 1000),
        ("trailing_offset", 5),
        ("expire_time_ns", 1),
        ("self_trade_prevention", "CANCEL_NEWEST"),
    ],
)
def test_what_a_broker_would_not_see_is_refused_and_not_dropped(field, value):
    order = order_request(SHARE, "BUY", None if field == "notional" else 1, None, {field: value})
    with pytest.raises(UsageError, match=field) as caught:
        check_request(order, SHARE, ZerodhaAdapter())
    assert caught.value.kind is ErrorKind.NOT_SUPPORTED


def test_money_stands_in_for_the_quantity_and_not_beside_it():
    assert order_request(SHARE, "BUY", None, None, {"notional": "250.50"}).quantity == 0
    for quantity, lots in ((1, None), (None, 1)):
        with pytest.raises(UsageError, match="one of them"):
            order_request(SHARE, "BUY", quantity, lots, {"notional": 100})


def test_what_an_adapter_takes_is_let_through():
    order = order_request(SHARE, "BUY", 1, None, {"algo_id": "A1", "post_only": False, "on_late": "cancel"})
    check_request(order, SHARE, ZerodhaAdapter())


@pytest.mark.parametrize("table", ["lots", 5, ["MCX"]])
def test_a_setting_that_is_no_table_of_segments_is_refused(table):
    with pytest.raises(UsageError, match="expected a table"):
        WireUnits(ZerodhaAdapter(), {"quantity_unit": table})


def test_lots_without_a_lot_size_are_refused_out_and_left_alone_in():
    units = WireUnits(ZerodhaAdapter(), {"quantity_unit": {"MCX": "LOTS"}})
    broken = replace(SHARE, exchange="MCX", lot_size=Decimal(0))
    with pytest.raises(UsageError, match="no lot size"):
        units.to_wire(order_request(broken, "BUY", 1, None, {}), broken)
    report = Order(instrument_id="MCX:X", side=Side.BUY, quantity=Decimal(3))
    assert units.from_wire(report, broken) == report.but(quantity_unit=QuantityUnit.LOTS)


@pytest.mark.parametrize(
    ("term", "meant"),
    [("stop_price", "trigger_price"), ("prise", "price"), ("variaty", "variety"), ("tif", "time_in_force")],
)
def test_a_term_that_is_none_names_the_one_that_was_meant(term, meant):
    with pytest.raises(UsageError, match=f"takes no {term}") as caught:
        order_request(SHARE, "BUY", 1, None, {term: "1"})
    assert f"did you mean {meant}?" in caught.value.remedy


@pytest.mark.parametrize(("given", "meant"), [("price", "LIMIT"), ("trigger_price", "STOP_MARKET")])
def test_a_market_order_with_a_price_is_told_which_order_takes_one(given, meant):
    request = order_request(SHARE, "BUY", 1, None, {given: "1500"})
    with pytest.raises(UsageError, match=f"takes no {given}") as caught:
        check_request(request, SHARE, ZerodhaAdapter())
    assert meant in caught.value.remedy


def test_a_quantity_beyond_all_counting_is_told_so():
    request = order_request(SHARE, "BUY", 10**30, None, {})
    with pytest.raises(UsageError, match="too large"):
        check_request(request, SHARE, ZerodhaAdapter())
