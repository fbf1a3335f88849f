"""Kite's records in the unified model: nothing lost, nothing guessed, anything malformed a typed error."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal

import pytest
from dragoman.adapters.zerodha import words
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import DecodeError, ErrorKind
from dragoman.model import (
    Mode,
    OrderStatus,
    OrderType,
    Pending,
    Product,
    Segment,
    Side,
    TimeInForce,
    Variety,
)
from fixtures.zerodha.account import NOON, body, context

D = Decimal
CTX = context()
SECOND = 1_000_000_000
TEN_FIFTEEN = 1_767_242_700 * SECOND  # 2026-01-01 10:15:00 IST


def read(**changes):
    return words.read_order(body("order")["data"] | changes, CTX)


def test_an_order_keeps_every_field_of_the_unified_model():
    order = read()
    assert order.instrument_id == "NSE:INFY"
    assert (order.side, order.order_type, order.status) == (Side.BUY, OrderType.LIMIT, OrderStatus.OPEN)
    assert (order.quantity, order.filled_quantity, order.remaining_quantity, order.canceled_quantity) == (10, 0, 10, 0)
    assert order.price == D("1500.05")
    assert order.trigger_price is order.average_price is order.display_quantity is order.market_protection is None
    assert (order.product, order.time_in_force, order.variety) == (
        Product.DELIVERY,
        TimeInForce.DAY,
        Variety.REGULAR,
    )
    assert (order.order_id, order.order_ids) == ("260101000000001", ("260101000000001",))
    assert order.exchange_order_id == "1300000000000001"
    assert (order.tag, order.tags) == ("0000100001ABstrat", ("0000100001ABstrat",))
    assert (order.broker, order.account_id, order.placed_by) == ("zerodha", "AB1234", "AB1234")
    assert (order.ts_created, order.ts_accepted) == (TEN_FIFTEEN, TEN_FIFTEEN + SECOND)
    assert (order.ts_event, order.ts_closed) == (TEN_FIFTEEN + 2 * SECOND, None)
    assert order.raw["guid"] == "x"


@pytest.mark.parametrize(
    ("word", "changes", "status", "pending"),
    [
        ("PUT ORDER REQ RECEIVED", {}, OrderStatus.ACCEPTED, Pending.NONE),
        ("PUT ORDER REQUEST RECEIVED", {}, OrderStatus.ACCEPTED, Pending.NONE),
        ("VALIDATION PENDING", {}, OrderStatus.ACCEPTED, Pending.NONE),
        ("OPEN PENDING", {}, OrderStatus.ACCEPTED, Pending.NONE),
        ("AMO REQ RECEIVED", {}, OrderStatus.ACCEPTED, Pending.NONE),
        ("MODIFY AMO REQ RECEIVED", {}, OrderStatus.ACCEPTED, Pending.NONE),
        ("OPEN", {}, OrderStatus.OPEN, Pending.NONE),
        ("OPEN", {"filled_quantity": 4}, OrderStatus.PARTIALLY_FILLED, Pending.NONE),
        ("TRIGGER PENDING", {"order_type": "SL"}, OrderStatus.TRIGGER_PENDING, Pending.NONE),
        ("MODIFY VALIDATION PENDING", {}, OrderStatus.OPEN, Pending.MODIFY),
        ("MODIFY PENDING", {"filled_quantity": 4}, OrderStatus.PARTIALLY_FILLED, Pending.MODIFY),
        ("MODIFIED", {}, OrderStatus.OPEN, Pending.NONE),
        ("CANCEL PENDING", {}, OrderStatus.OPEN, Pending.CANCEL),
        ("CANCEL PENDING", {"order_type": "SL-M"}, OrderStatus.TRIGGER_PENDING, Pending.CANCEL),
        (
            "CANCEL PENDING",
            {"exchange_order_id": None, "exchange_timestamp": None},
            OrderStatus.ACCEPTED,
            Pending.CANCEL,
        ),
        ("UPDATE", {"filled_quantity": 4}, OrderStatus.PARTIALLY_FILLED, Pending.NONE),
        ("UPDATE", {"filled_quantity": 10}, OrderStatus.FILLED, Pending.NONE),
        ("UPDATE", {}, OrderStatus.OPEN, Pending.NONE),
        ("COMPLETE", {"filled_quantity": 10}, OrderStatus.FILLED, Pending.NONE),
        ("CANCELLED", {}, OrderStatus.CANCELED, Pending.NONE),
        ("CANCELLED AMO", {}, OrderStatus.CANCELED, Pending.NONE),
        ("REJECTED", {}, OrderStatus.REJECTED, Pending.NONE),
        ("SOMETHING NEW", {"filled_quantity": 4}, OrderStatus.UNKNOWN, Pending.NONE),
    ],
)
def test_every_status_word_has_its_firm_status_and_what_is_in_flight(word, changes, status, pending):
    order = read(status=word, **changes)
    assert (order.status, order.pending, order.raw_status) == (status, pending, word)
    guessed = word in ("MODIFY VALIDATION PENDING", "MODIFY PENDING", "MODIFIED", "CANCEL PENDING", "UPDATE")
    assert order.status_is_firm == (not guessed or status is OrderStatus.FILLED)


def test_every_word_of_the_status_map_is_a_word_of_the_protocol_page():
    page = {
        "PUT ORDER REQ RECEIVED, VALIDATION PENDING, OPEN PENDING, OPEN, TRIGGER PENDING, MODIFY VALIDATION PENDING",
        "MODIFY PENDING, MODIFIED, CANCEL PENDING, AMO REQ RECEIVED, MODIFY AMO REQ RECEIVED, COMPLETE, CANCELLED",
        "CANCELLED AMO, REJECTED",
    }
    for word in ", ".join(page).split(", "):
        assert read(status=word).status is not OrderStatus.UNKNOWN, word


def test_a_canceled_order_has_nothing_left_whatever_pending_quantity_says():
    order = read(status="CANCELLED", filled_quantity=4, pending_quantity=6, cancelled_quantity=0)
    assert (order.filled_quantity, order.remaining_quantity, order.canceled_quantity) == (4, 0, 6)
    assert order.ts_closed == order.ts_event == TEN_FIFTEEN + 2 * SECOND


def test_a_protected_market_order_shows_its_percent_from_the_system_tag():
    order = read(order_type="LIMIT", market_protection=0, tag=None, tags=["mktp", "mktp:2.00"])
    assert (order.order_type, order.market_protection, order.tag) == (OrderType.LIMIT, D("2.00"), None)


def test_a_slice_names_its_parent():
    assert read(tags=["autoslice", "autoslice:1953"]).parent_order_id == "1953"
    assert read(parent_order_id="77", tags=[]).parent_order_id == "77"


@pytest.mark.parametrize(
    ("text", "raw", "kind"),
    [
        ("Insufficient funds. Required margin is 2.", "RMS:Margin Exceeds", ErrorKind.INSUFFICIENT_MARGIN),
        (None, "RMS:Rule: Check circuit limit including square off", ErrorKind.PRICE_OUT_OF_BAND),
        ("Blocked.", "RMS:Blocked for client", ErrorKind.RISK_REJECTED),
        ("words nobody has seen", None, ErrorKind.UNMAPPED),
        (None, None, ErrorKind.UNMAPPED),
    ],
)
def test_a_rejected_order_says_why_and_that_nothing_is_live(text, raw, kind):
    order = read(status="REJECTED", status_message=text, status_message_raw=raw)
    assert order.reject.kind is kind
    assert order.reject.effect == "NONE"
    assert order.reject.text == (text or raw or "no reason given")


def test_average_price_is_absent_until_something_filled():
    assert read(average_price=0).average_price is None
    assert read(average_price=1500.05, filled_quantity=4).average_price == D("1500.05")


def test_a_trade_is_a_fill_with_its_time_in_utc():
    fill = words.read_fill(body("trade")["data"], CTX)
    assert (fill.trade_id, fill.order_id, fill.exchange_order_id) == ("75899608", "260101000000001", "1300000000000001")
    assert (fill.instrument_id, fill.exchange, fill.side) == ("NSE:INFY", "NSE", Side.BUY)
    assert (fill.quantity, fill.price, fill.product) == (4, D("1500.05"), Product.DELIVERY)
    assert fill.ts_event == TEN_FIFTEEN + 99 * SECOND


def test_a_trade_with_only_a_time_of_day_falls_on_the_indian_day_of_now():
    row = body("trade")["data"] | {"fill_timestamp": None, "exchange_timestamp": None}
    assert words.read_fill(row, CTX).ts_event == TEN_FIFTEEN + 99 * SECOND
    # 23:00 UTC on 31 December is already the first of January in India.
    assert words.clock_ns("10:15:00", 1_767_222_000 * SECOND) == TEN_FIFTEEN


def test_a_position_keeps_every_field_of_the_unified_model():
    position = words.read_position(words.loads(words_json("position")), CTX)
    row = body("position")["data"]
    assert position.instrument_id == "NSE:INFY"
    assert position.product is Product.INTRADAY
    same = "quantity overnight_quantity multiplier average_price close_price last_price value pnl m2m".split()
    same += [
        f"{span}{way}_{what}"
        for span in ("", "day_")
        for way in ("buy", "sell")
        for what in ("quantity", "price", "value")
    ]
    for name in same:
        assert getattr(position, name) == D(str(row[name])), name
    assert (position.realised_pnl, position.unrealised_pnl) == (D("-0.1"), -9)


def words_json(name):
    return json.dumps(body(name)["data"])


def test_margins_keep_every_field_of_the_unified_model():
    row = words.loads(words_json("margins"))["equity"]
    margin = words.read_margin(Segment.EQUITY, row, CTX)
    assert margin.net == D("99725.05000000002")
    have, used = margin.available, margin.used
    assert (have.cash, have.opening_balance, have.live_balance) == (D("245431.6"), D("245431.5"), D("99725.05"))
    assert (have.adhoc, have.collateral, have.intraday_payin) == (1, 2, 3)
    assert (used.total, used.exposure, used.m2m_realised) == (D("145706.55"), D("38981.25"), D("761.7"))
    assert (used.m2m_unrealised, used.option_premium, used.payout, used.span) == (4, 5, 6, 101989)
    assert (used.holding_sales, used.turnover, used.delivery) == (7, 8, 11)
    assert (margin.enabled, margin.account_id, margin.ts_event) == (True, "AB1234", NOON)


def test_a_margin_part_the_broker_leaves_out_is_absent_not_zero():
    margin = words.read_margin(Segment.COMMODITY, body("margins")["data"]["commodity"], CTX)
    assert (margin.available.cash, margin.available.collateral, margin.used.span) == (0, None, None)
    assert margin.enabled is False


def test_a_full_quote_keeps_every_field_and_only_real_levels():
    infy = CTX.instruments.get("NSE:INFY")
    row = body("quote")["data"]
    quote = words.read_quote(row, infy, Mode.FULL)
    for ours, theirs in {
        "last_price": "last_price",
        "last_quantity": "last_quantity",
        "average_price": "average_price",
        "volume": "volume",
        "total_buy_quantity": "buy_quantity",
        "total_sell_quantity": "sell_quantity",
        "net_change": "net_change",
        "oi": "oi",
        "oi_high": "oi_day_high",
        "oi_low": "oi_day_low",
        "price_band_low": "lower_circuit_limit",
        "price_band_high": "upper_circuit_limit",
    }.items():
        assert getattr(quote, ours) == row[theirs], ours
    assert (quote.open, quote.high, quote.low, quote.previous_close) == (1396, 1421.75, 1395.55, 1389.65)
    assert quote.bids == ((1412.9, 7, 1),)
    assert quote.asks == ((1412.95, 5191, 13),)
    assert quote.ts_event - quote.last_trade_time == 957 * SECOND
    assert quote.last_trade_time == TEN_FIFTEEN + (5 * 3600 + 14 * 60 + 59) * SECOND


def test_an_ltp_quote_carries_nothing_but_the_price():
    quote = words.read_quote({"last_price": 1.5}, CTX.instruments.get("NSE:INFY"), Mode.LTP)
    assert (quote.last_price, quote.volume, quote.open, quote.bids, quote.ts_event) == (1.5, None, None, (), None)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01 05:30:00", 0),
        ("2026-01-01 10:15:00", TEN_FIFTEEN),
        ("2026-01-01T10:15:00+05:30", TEN_FIFTEEN),
        ("2017-12-15T09:15:00+0530", 1_513_309_500 * SECOND),
        ("", None),
        (None, None),
    ],
)
def test_times_without_a_zone_are_indian(text, ns):
    assert words.time_ns(text) == ns


def test_an_instrument_outside_the_master_keeps_the_brokers_name():
    assert read(exchange="NFO", tradingsymbol="NIFTY17DEC9000CE").instrument_id == "NFO:NIFTY17DEC9000CE"


def test_money_is_read_as_the_decimal_on_the_wire():
    row = words.loads('{"net": 96426.32999999999, "x": 0.1, "big": 12345678901234567.89}')
    assert row == {"net": D("96426.32999999999"), "x": D("0.1"), "big": D("12345678901234567.89")}


@pytest.mark.parametrize("text", ["", "<html>", '{"a": NaN}', "[" * 100_000, b"\xff", '{"a": -Infinity}'])
def test_what_is_not_json_is_a_decode_error(text):
    with pytest.raises(DecodeError):
        words.loads(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": "ten"},
        {"quantity": True},
        {"quantity": float("nan")},
        {"quantity": [1]},
        {"status": None, "order_id": None, "transaction_type": "HOLD"},
        {"order_timestamp": "yesterday"},
        {"order_timestamp": 5},
        {"tags": 5},
    ],
)
def test_a_malformed_order_is_a_decode_error_that_names_the_place(changes):
    with pytest.raises(DecodeError, match="order is not as documented"):
        read(**changes)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(name=st.sampled_from(sorted(body("order")["data"])), value=JSON)
def test_any_value_in_any_field_gives_an_order_or_a_decode_error(name, value):
    try:
        order = read(**{name: value})
    except DecodeError:
        return
    assert order.remaining_quantity >= 0
    assert order.side in Side


@given(row=JSON)
def test_any_json_as_a_record_gives_a_value_or_a_decode_error(row):
    readers = (
        words.read_order,
        words.read_fill,
        words.read_position,
        lambda row, ctx: words.read_margin(Segment.EQUITY, row, ctx),
        lambda row, ctx: words.read_quote(row, ctx.instruments.get("NSE:INFY"), Mode.FULL),
    )
    for reader in readers:
        with contextlib.suppress(DecodeError):
            reader(row, CTX)
