"""Nothing that the broker would refuse leaves: each refusal names the nearest valid value."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace

import pytest

from dragoman.checks import WireUnits, check_price, check_quantity
from dragoman.errors import ErrorKind, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import (
    AssetClass,
    Fill,
    Instrument,
    InstrumentType,
    Order,
    OrderRequest,
    Position,
    Product,
    QuantityUnit,
    Side,
)
from dragoman.plugin import Adapter


def listed(symbol="INFY", token="1", tick="0.05", lot="1", **more):
    return Instrument(
        instrument_id=f"NSE:{symbol}",
        symbol=symbol,
        exchange="NSE",
        asset_class=AssetClass.EQUITY,
        instrument_type=InstrumentType.SPOT,
        broker_symbol=symbol,
        broker_token=token,
        exchange_token=token,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        **more,
    )


@pytest.mark.parametrize(
    ("price", "kind", "hint"),
    [
        ("1500.03", ErrorKind.INVALID_PRICE_TICK, "1500.00 or 1500.05"),
        ("0", ErrorKind.INVALID_PRICE_TICK, "positive"),
        ("-5", ErrorKind.INVALID_PRICE_TICK, "positive"),
        ("NaN", ErrorKind.INVALID_PRICE_TICK, "positive"),
        ("1e30", ErrorKind.INVALID_PRICE_TICK, "positive"),
        ("1E+999999", ErrorKind.INVALID_PRICE_TICK, "positive"),
        ("2000", ErrorKind.PRICE_OUT_OF_BAND, "1600"),
        ("1000", ErrorKind.PRICE_OUT_OF_BAND, "1400"),
    ],
)
def test_a_price_off_the_grid_is_refused_with_the_nearest(price, kind, hint):
    instrument = listed(price_band_low=Decimal(1400), price_band_high=Decimal(1600))
    with pytest.raises(UsageError) as caught:
        check_price("price", Decimal(price), instrument)
    assert caught.value.kind is kind
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("quantity", "kind", "hint"),
    [
        ("0", ErrorKind.INVALID_QUANTITY, "75"),
        ("100", ErrorKind.INVALID_QUANTITY, "75 or 150"),
        ("10", ErrorKind.INVALID_QUANTITY, "nearest valid: 75"),
        ("1.5", ErrorKind.INVALID_QUANTITY, "75"),
        ("1875", ErrorKind.FREEZE_QTY_EXCEEDED, "1800"),
        ("1e30", ErrorKind.INVALID_QUANTITY, "75"),
        ("1E+999999", ErrorKind.INVALID_QUANTITY, "75"),
    ],
)
def test_a_quantity_off_the_lot_is_refused_with_the_nearest(quantity, kind, hint):
    with pytest.raises(UsageError) as caught:
        check_quantity("quantity", Decimal(quantity), listed(lot="75", freeze_quantity=Decimal(1800)))
    assert caught.value.kind is kind
    assert hint in str(caught.value)


def test_no_price_is_offered_that_would_be_refused():
    with pytest.raises(UsageError, match=r"nearest valid: 0\.1\)"):
        check_price("price", Decimal("0.05"), listed(tick="0.1"))


def test_prices_and_quantities_on_the_grid_pass():
    check_price("price", Decimal("1500.05"), listed())
    check_price("price", Decimal("83.1225"), listed(tick="0.0025"))
    check_quantity("quantity", Decimal(150), listed(lot="75"))


def test_an_unknown_symbol_names_the_nearest():
    master = InstrumentMaster()
    master.add([listed("INFY", "1"), listed("INFIBEAM", "2"), listed("TCS", "3")])
    with pytest.raises(UsageError) as caught:
        master.resolve("NSE:INFYY")
    assert caught.value.kind is ErrorKind.INSTRUMENT_NOT_FOUND
    assert "NSE:INFY" in str(caught.value)


def test_a_name_claimed_twice_stays_with_the_first_and_is_reported():
    master = InstrumentMaster()
    first, second = listed("INFY", "1"), listed("INFY", "2")
    master.add([first, second])
    assert master.resolve("NSE:INFY") is first
    assert master.by_broker_token("2") is None
    assert [c.refused for c in master.conflicts] == [second]


class Toy(Adapter):
    name = "toy"
    capabilities = SimpleNamespace(
        quantity_unit={"NSE": QuantityUnit.UNITS, "MCX": QuantityUnit.UNVERIFIED, "NFO": QuantityUnit.LOTS}
    )


def lotted(exchange: str) -> Instrument:
    return replace(listed(lot="75"), exchange=exchange)


def request(quantity: str) -> OrderRequest:
    return OrderRequest(instrument_id="NSE:INFY", side=Side.BUY, quantity=Decimal(quantity))


def test_an_unverified_unit_refuses_orders_until_the_profile_says():
    with pytest.raises(UsageError, match="units or lots"):
        WireUnits(Toy(), {}).to_wire(request("150"), lotted("MCX"))
    units = WireUnits(Toy(), {"quantity_unit": {"MCX": "LOTS"}})
    assert units.to_wire(request("150"), lotted("MCX")).quantity == 2
    with pytest.raises(UsageError, match="not open"):
        WireUnits(Toy(), {"quantity_unit": {"NSE": "LOTS"}})
    with pytest.raises(UsageError, match="expected UNITS or LOTS"):
        WireUnits(Toy(), {"quantity_unit": {"MCX": "DOZENS"}})


def test_lots_convert_both_ways_exactly_or_not_at_all():
    units = WireUnits(Toy(), {})
    assert units.to_wire(request("150"), lotted("NFO")).quantity == 2
    with pytest.raises(UsageError, match="whole number of lots"):
        units.to_wire(request("100"), lotted("NFO"))
    assert units.to_wire(request("150"), lotted("NSE")).quantity == 150


def test_money_of_a_position_is_the_same_in_units_as_in_lots():
    wire = Position(
        instrument_id="NSE:INFY",
        product=Product.CARRY,
        quantity=Decimal(2),
        multiplier=Decimal(75),
        day_buy_quantity=Decimal(2),
    )
    position = WireUnits(Toy(), {}).from_wire(wire, lotted("NFO"))
    assert (position.quantity, position.day_buy_quantity, position.multiplier) == (150, 150, 1)
    assert wire.quantity * wire.multiplier == position.quantity * position.multiplier


@pytest.mark.parametrize(
    ("instrument_id", "known", "unit"),
    [
        ("NFO:NIFTY26NOVFUT", False, QuantityUnit.LOTS),  # missing from the master: no lot size to convert by
        ("MCX:GOLD26DECFUT", False, QuantityUnit.UNVERIFIED),
        ("MCX:GOLD26DECFUT", True, QuantityUnit.UNVERIFIED),
        ("LSE:X", False, QuantityUnit.UNVERIFIED),
    ],
)
def test_reports_that_cannot_be_converted_are_marked_and_counted(instrument_id, known, unit):
    units = WireUnits(Toy(), {})
    segment = instrument_id.partition(":")[0]
    instrument = lotted(segment) if known else None
    reports = (
        Position(instrument_id=instrument_id, product=Product.CARRY, quantity=Decimal(2)),
        Order(instrument_id=instrument_id, side=Side.BUY, quantity=Decimal(2)),
        Fill(
            trade_id="1",
            order_id="2",
            instrument_id=instrument_id,
            side=Side.BUY,
            quantity=Decimal(2),
            price=Decimal(1),
        ),
    )
    for report in reports:
        marked = units.from_wire(report, instrument)
        assert (marked.quantity, marked.quantity_unit) == (2, unit)
    assert units.unconverted == {segment: 3}


def test_reports_in_units_are_not_marked():
    units = WireUnits(Toy(), {})
    for name, instrument in (("NSE:INFY", None), ("NSE:INFY", lotted("NSE")), ("NFO:X", lotted("NFO"))):
        wire = Position(instrument_id=name, product=Product.CARRY, quantity=Decimal(2))
        assert units.from_wire(wire, instrument).quantity_unit is QuantityUnit.UNITS
    assert units.unconverted == {}
