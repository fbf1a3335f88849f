"""The short ways of placing an order say what the long ones do."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import copied, taking
from dragoman.checks import check_request, order_gate, order_request, plain_request
from dragoman.checks.grid import check_price, check_quantity
from dragoman.errors import UsageError
from dragoman.model import (
    AssetClass,
    Fill,
    Instrument,
    InstrumentType,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Origin,
    Outcome,
    Product,
    Side,
    TimeInForce,
    Variety,
)
from dragoman.orders.requests import order_of
from dragoman.orders.store import OrderStore
from dragoman.plugin.registry import load_adapter

BROKERS = [load_adapter(name) for name in ("zerodha", "upstox", "fyers", "alpaca", "binance")]
NUMBERS = st.one_of(
    st.sampled_from(
        [Decimal(text) for text in ("0", "1", "5", "-1", "0.05", "1500.05", "1500.07", "1E+20", "NaN", "-0")]
    ),
    st.sampled_from([Decimal("Infinity"), Decimal("sNaN"), Decimal("1E-30"), Decimal("100000")]),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-100, max_value=10**6),
)
MAYBE = st.none() | NUMBERS
STEPS = st.sampled_from([Decimal(text) for text in ("0", "1", "0.05", "25", "0.0001")])


@st.composite
def instruments(draw):
    return Instrument(
        instrument_id="NSE:INFY",
        symbol="INFY",
        exchange=draw(st.sampled_from(["NSE", "NFO", "MCX", "US", "BINANCE", "NONE"])),
        asset_class=draw(st.sampled_from(AssetClass)),
        instrument_type=InstrumentType.SPOT,
        broker_symbol="INFY",
        broker_token="1",
        tick_size=draw(STEPS),
        lot_size=draw(STEPS),
        freeze_quantity=draw(st.none() | st.sampled_from([Decimal(10), Decimal(1800)])),
        price_band_low=draw(st.none() | st.sampled_from([Decimal(1), Decimal("1400.05")])),
        price_band_high=draw(st.none() | st.sampled_from([Decimal(2), Decimal("1600.05")])),
        tradable=draw(st.sampled_from([True, True, True, False])),
    )


@st.composite
def requests(draw):
    order_type = draw(st.sampled_from(OrderType))
    given_right = draw(st.booleans())
    price = draw(NUMBERS) if given_right and order_type.has_price else None if given_right else draw(MAYBE)
    trigger = draw(NUMBERS) if given_right and order_type.has_trigger else None if given_right else draw(MAYBE)
    further = draw(
        st.sampled_from(
            [{}, {}, {}, {"post_only": True}, {"notional": Decimal(5)}, {"display_quantity": Decimal(1)}, {"tag": "a"}]
        )
    )
    return OrderRequest(
        instrument_id="NSE:INFY",
        side=draw(st.sampled_from(Side)),
        quantity=draw(NUMBERS),
        order_type=order_type,
        price=price,
        trigger_price=trigger,
        time_in_force=draw(st.sampled_from(TimeInForce)),
        product=draw(st.sampled_from(Product)),
        variety=draw(st.sampled_from([Variety.REGULAR, *Variety])),
        **further,
    )


@given(adapter=st.sampled_from(BROKERS), order=requests(), instrument=instruments())
def test_what_the_gate_admits_the_checks_have_nothing_against(adapter, order, instrument):
    if order_gate(adapter).admits(order, instrument):
        check_request(order, instrument, adapter)


@given(price=st.integers(1, 10**6), quantity=st.integers(1, 10**6), lot=st.sampled_from([1, 25]))
def test_a_plain_order_on_the_grid_is_admitted(price, quantity, lot):
    instrument = Instrument(
        "NSE:INFY", "INFY", "NSE", AssetClass.EQUITY, InstrumentType.SPOT, "INFY", "1", tick_size=Decimal("0.05")
    )
    instrument = replace(instrument, lot_size=Decimal(lot))
    order = OrderRequest(
        instrument_id="NSE:INFY",
        side=Side.BUY,
        quantity=Decimal(quantity * lot),
        order_type=OrderType.LIMIT,
        price=price * Decimal("0.05"),
    )
    gate = order_gate(BROKERS[0])
    assert gate.admits(order, instrument)
    assert not gate.admits(replace(order, price=order.price + Decimal("0.01")), instrument)
    assert gate.admits(replace(order, quantity=order.quantity + 1), instrument) == (lot == 1)


# Of all sizes and spellings: what is read of the text of a number, and what is left to Decimal.
WRITTEN = st.one_of(
    st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", fullmatch=True),
    st.from_regex(r"[0-9]{1,4}E[+-][0-9]{1,2}", fullmatch=True),
    st.sampled_from(["9999999999999999", "10000000000000000", "9999999999999999.9", "99999999999999999.9", "0E+5"]),
    st.sampled_from(["999999999999999999", "0.000000000000000001", "0.0000000000000000001", "1E+15", "1E+16", "1E-40"]),
)
ON_GRID = st.tuples(st.integers(0, 10**17), st.integers(0, 9)).map(lambda one: Decimal(one[0]).scaleb(-one[1]))


@given(
    quantity=WRITTEN.map(Decimal) | ON_GRID,
    price=WRITTEN.map(Decimal) | ON_GRID,
    step=STEPS | st.sampled_from([Decimal("0.0000000001"), Decimal("5E-7"), Decimal("1E+2"), Decimal("0.01")]),
    low=st.none() | WRITTEN.map(Decimal),
    high=st.none() | WRITTEN.map(Decimal),
)
def test_the_gate_counts_as_the_checks_do(quantity, price, step, low, high):
    instrument = Instrument(
        "NSE:INFY",
        "INFY",
        "NSE",
        AssetClass.EQUITY,
        InstrumentType.SPOT,
        "INFY",
        "1",
        tick_size=step,
        lot_size=step,
        freeze_quantity=high,
        price_band_low=low,
        price_band_high=high,
    )
    order = OrderRequest(
        instrument_id="NSE:INFY", side=Side.BUY, quantity=quantity, order_type=OrderType.LIMIT, price=price
    )
    try:
        check_quantity("quantity", quantity, instrument)
        check_price("price", price, instrument)
        is_right = True
    except (UsageError, ArithmeticError):  # what is in no proportion to its step cannot be divided by it
        is_right = False
    gate = order_gate(BROKERS[0])
    assert gate.admits(order, instrument) == gate.admits(order, instrument) == is_right


def test_a_gate_admits_nothing_of_another_class():
    assert not order_gate(BROKERS[0]).admits(object(), object())


WORDS = st.sampled_from(["BUY", "sell", "LIMIT", "market", "DAY", "ioc", "DELIVERY", "intraday", "REGULAR", "no", 7])


def made(make, *arguments):
    try:
        return make(*arguments)
    except UsageError as error:
        return str(error)


@given(
    side=WORDS | st.sampled_from(Side),
    order_type=WORDS | st.sampled_from(OrderType),
    tif=st.none() | WORDS | st.sampled_from(TimeInForce),
    product=st.none() | WORDS | st.sampled_from(Product) | st.just([]),
    variety=WORDS | st.sampled_from(Variety),
    quantity=st.sampled_from([None, 1, "2", 2.5, "x", True, Decimal("NaN"), Decimal(3), np.int64(7), 10**20, -1, [1]])
    | st.integers(0, 300)
    | NUMBERS,
    price=st.sampled_from([None, 1, "1500.05", 1500.05, "inf", b"1", np.float64(0.1), " 7 ", "1_0", "+1", ".", "1.2.3"])
    | st.sampled_from(["", "-0", ".5", "5.", "\u0661", "0001500.050", 10**4000, 10**17, True])
    | st.floats()
    | st.text(alphabet="0123456789.-", max_size=24)
    | NUMBERS,
    more=st.sampled_from([{}, {}, {"post_only": True}]),
    instrument=instruments(),
)
def test_a_plain_request_is_the_request(side, order_type, tif, product, variety, quantity, price, more, instrument):
    plain = plain_request(instrument, side, quantity, order_type, price, tif, product, variety, more)
    terms = {"order_type": order_type, "price": price, "time_in_force": tif, "product": product, "variety": variety}
    if plain is not None:
        assert repr(plain) == repr(order_request(instrument, side, quantity, None, terms))


@given(quantity=st.integers(0, 10**12), price=st.decimals(0, 10**6, places=2), as_text=st.booleans())
def test_what_the_usual_numbers_say_is_plain(quantity, price, as_text):
    instrument = Instrument("NSE:INFY", "INFY", "NSE", AssetClass.EQUITY, InstrumentType.SPOT, "INFY", "1")
    written = str(price) if as_text else float(price)
    for word in ("LIMIT", "".join(["LIM", "IT"])):  # once as a constant, once as text made just now
        one = plain_request(instrument, "BUY", quantity, word, written, None, "DELIVERY", "REGULAR", {})
        assert (one.quantity, one.price) == (quantity, price)
        assert (str(one.quantity), str(one.price)) == (str(quantity), str(written))


def test_the_usual_request_is_plain():
    instrument = Instrument("NSE:INFY", "INFY", "NSE", AssetClass.EQUITY, InstrumentType.SPOT, "INFY", "1")
    one = plain_request(instrument, "BUY", 1, "LIMIT", "1500.05", None, "DELIVERY", Variety.REGULAR, {})
    assert one is not None
    other = plain_request(instrument, "BUY", 1, "LIMIT", "1500.05", None, "DELIVERY", Variety.REGULAR, {})
    assert one == other
    assert one.extras is not other.extras


@given(request=requests(), ts=st.integers(0, 2**62))
def test_an_order_has_the_terms_of_its_request(request, ts):
    shared = ("instrument_id", "side", "order_type", "client_order_id", "wire_id", "account_id", "time_in_force")
    more = ("product", "variety", "tag", "quantity", "price", "trigger_price", "display_quantity", "market_protection")
    terms = {name: getattr(request, name) for name in (*shared, *more)}
    whole = Order(
        **terms,
        broker="x",
        status=OrderStatus.SUBMITTED,
        origin=Origin.US,
        remaining_quantity=request.quantity,
        ts_created=ts,
        ts_submitted=ts,
    )
    assert repr(order_of(request, "x", ts)) == repr(whole)


def test_a_copy_of_many_lines_is_each_lines_own():
    order = OrderRequest(instrument_id="A", side=Side.BUY, quantity=Decimal(1))
    for _ in range(3):
        for name in ("tag", "algo_id", "self_trade_prevention", "wire_id", "client_order_id"):
            changed = copied(order, **{name: "x"})
            assert changed == replace(order, **{name: "x"})
            assert taking(order, changed, (name,)) == changed
    assert copied(order) == order


@given(request=requests(), order_id=st.sampled_from(["151220000000001", "7", " 7 "]), ts=st.integers(1, 2**62))
def test_an_order_is_taken_at_once_as_it_is_step_by_step(request, order_id, ts):
    found = []
    for orphans in (False, True):  # a fill that waits for its order makes the store look closer
        store = OrderStore(lambda ns: "2026-01-05")
        if orphans:
            store.see_fill(
                Fill(
                    trade_id="1",
                    order_id="another",
                    instrument_id="NSE:INFY",
                    side=Side.BUY,
                    quantity=Decimal(1),
                    price=Decimal(1),
                ),
                "poll",
            )
        told: list[str] = []
        store.listen(lambda update, told=told: told.append(repr(update)))
        store.create(order_of(copied(request, client_order_id="mine", wire_id="W"), "x", ts))
        known = store.settle("mine", Outcome.accepted(order_id), ts + 1)
        assert store.get(order_id) is store.get("W") is store.get("mine") is known
        found.append((repr(known), told, store.counters))
    assert found[0] == found[1]
