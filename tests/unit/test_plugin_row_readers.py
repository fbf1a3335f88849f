"""Records read by tables of keys: orders and trades, portfolio rows, quotes and profiles, alike for every broker."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dragoman.errors import DecodeError, ErrorKind, Rejected
from dragoman.model import (
    AssetClass,
    Charges,
    Fill,
    Holding,
    Instrument,
    InstrumentType,
    MarginUsed,
    Mode,
    Order,
    OrderStatus,
    OrderType,
    Pending,
    Position,
    Product,
    Quote,
    Side,
    TimeInForce,
    Variety,
)
from dragoman.plugin import CodeTable, EnumMap
from dragoman.plugin.account_rows import AccountRows
from dragoman.plugin.indian import day_first_ns, day_of, place_of
from dragoman.plugin.order_rows import COMMON_FILL_KEYS, COMMON_ORDER_KEYS, OrderRows
from dragoman.plugin.profile_rows import read_profile
from dragoman.plugin.quote_rows import QuotedDepth, QuoteRows, read_levels
from dragoman.plugin.records import Records
from dragoman.plugin.row_tables import COMMON_HOLDING_KEYS, COMMON_POSITION_KEYS, RowTable, total_of
from dragoman.plugin.values import epoch_ns
from dragoman.testing.drive import ScriptedContext, drive

D, S = Decimal, OrderStatus
SECOND = 10**9
SHARE = Instrument(
    instrument_id="NSE:X",
    symbol="X",
    exchange="NSE",
    asset_class=AssetClass.EQUITY,
    instrument_type=InstrumentType.SPOT,
    broker_symbol="X-EQ",
    broker_token="7",
)
CTX = ScriptedContext(instruments=[SHARE])
RECORDS = Records("examplebroker")
TYPES = EnumMap[OrderType](
    {"LIMIT": OrderType.LIMIT, "SL": OrderType.STOP_LIMIT, "MARKET": OrderType.MARKET}, unknown=OrderType.UNKNOWN
)
PRODUCTS = EnumMap[Product]({"D": Product.DELIVERY}, unknown=Product.UNKNOWN)
STATUSES = {"open": S.OPEN, "done": S.FILLED, "gone": S.CANCELED, "refused": S.REJECTED, "pending": None}


def seconds(value):
    return None if value is None else int(value) * SECOND


ROWS = OrderRows(
    records=RECORDS,
    codes=CodeTable(()),
    keys=COMMON_ORDER_KEYS,
    fill_keys=COMMON_FILL_KEYS | {"price": ("price", "average_price")},
    status=lambda row: (row["status"], STATUSES[row["status"]]),
    place=lambda row, ctx: place_of(ctx, str(row.get("token") or ""), "NSE", "X-EQ", "X"),
    side=EnumMap[Side | None]({"BUY": Side.BUY, "SELL": Side.SELL}, unknown=None),
    order_type=TYPES,
    validity=EnumMap[TimeInForce]({"DAY": TimeInForce.DAY}, unknown=TimeInForce.UNKNOWN),
    product=lambda word, exchange: PRODUCTS.read(word),
    variety=lambda row: Variety.REGULAR,
    time_ns=seconds,
    fill_time=lambda row, ctx: seconds(row["exchange_timestamp"]),
    pending=lambda word: Pending.MODIFY if word == "pending" else Pending.NONE,
)
ORDER = {
    "order_id": "1", "status": "open", "quantity": 10, "filled_quantity": 4, "transaction_type": "BUY",
    "order_type": "LIMIT", "product": "D", "validity": "DAY", "price": D("10.5"), "average_price": D("10.4"),
    "status_message": "", "status_message_raw": "raw words", "order_timestamp": 5, "exchange_timestamp": 7,
}  # fmt: skip


def order(**changes) -> Order:
    return ROWS.order(ORDER | changes, CTX)


def test_an_order_that_works_and_has_fills_is_partly_filled_and_the_rest_remains():
    found = order()
    assert (found.status, found.remaining_quantity, found.average_price) == (S.PARTIALLY_FILLED, 6, D("10.4"))
    assert (found.instrument_id, found.status_text, found.trigger_price) == ("NSE:X", "raw words", None)
    assert (found.ts_created, found.ts_accepted, found.ts_event) == (5 * SECOND, 7 * SECOND, 7 * SECOND)
    assert (found.status_is_firm, found.ts_closed, found.order_ids) == (True, None, ("1",))


def test_what_an_ended_order_did_not_fill_is_canceled_and_nothing_remains():
    found = order(status="gone")
    assert (found.canceled_quantity, found.remaining_quantity, found.ts_closed) == (6, 0, 7 * SECOND)
    part = order(cancelled_quantity=2)
    assert (part.canceled_quantity, part.remaining_quantity) == (2, 4)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"filled_quantity": 10}, S.FILLED),
        ({"filled_quantity": 0}, S.ACCEPTED),
        ({"filled_quantity": 0, "exchange_order_id": "9"}, S.OPEN),
        ({"filled_quantity": 0, "exchange_order_id": "9", "order_type": "SL"}, S.TRIGGER_PENDING),
    ],
)
def test_a_word_of_what_is_in_flight_is_guessed_from_the_rest_and_is_firm_only_when_filled(more, status):
    found = order(status="pending", **more)
    assert (found.status, found.status_is_firm, found.pending) == (status, status is S.FILLED, Pending.MODIFY)


def test_a_rejection_in_new_words_is_certain_all_the_same():
    found = order(status="refused", status_message="new words", filled_quantity=0)
    assert (found.reject.kind, found.reject.text, found.average_price) == (ErrorKind.UNMAPPED, "new words", None)


@pytest.mark.parametrize("change", [{"filled_quantity": None}, {"transaction_type": "HOLD"}, {"order_timestamp": "x"}])
def test_an_order_of_another_shape_is_one_error_that_names_the_place(change):
    with pytest.raises(DecodeError, match="examplebroker: order is not as documented"):
        order(**change)


def test_the_adapter_may_know_a_field_better_and_a_trade_takes_the_first_key_that_holds_something():
    assert ROWS.order(ORDER, CTX, tags=("a",)).tags == ("a",)
    row = ORDER | {"trade_id": "T", "price": None, "token": "7"}
    found = ROWS.fill(row, CTX)
    assert isinstance(found, Fill)
    assert (found.price, found.quantity, found.ts_event, found.exchange) == (D("10.4"), 10, 7 * SECOND, "NSE")
    with pytest.raises(DecodeError, match="trade"):
        ROWS.fill({key: value for key, value in row.items() if key != "trade_id"}, CTX)


def test_fields_are_read_as_what_they_are():
    table = RowTable(Position, **COMMON_POSITION_KEYS)
    told = {"instrument_id": "NSE:X", "product": Product.DELIVERY}
    found = table.read({"quantity": "5", "average_price": 0, "pnl": D("-1.5"), "multiplier": 0}, **told)
    assert (found.quantity, found.average_price, found.pnl) == (5, None, D("-1.5"))
    assert (found.multiplier, found.overnight_quantity, found.day_buy_quantity) == (1, 0, None)
    for row in ({}, {"quantity": None}, {"quantity": True}):
        with pytest.raises((LookupError, ValueError, TypeError)):
            table.read(row, **told)
    holding = RowTable(Holding, **COMMON_HOLDING_KEYS).read({"quantity": 1, "isin": ""}, instrument_id="NSE:X")
    assert (holding.isin, holding.pledged_quantity, holding.day_change) == (None, 0, None)


def test_what_an_account_holds_names_its_instrument_and_product_as_its_orders_do():
    table = RowTable(Position, **COMMON_POSITION_KEYS)
    positions = AccountRows(ROWS, "position", table, lambda row: {"overnight_quantity": D(row["carried"])})
    found = positions.read({"token": "7", "product": "D", "quantity": 3, "carried": 2}, CTX)
    assert (found.instrument_id, found.product, found.broker) == ("NSE:X", Product.DELIVERY, "examplebroker")
    assert (found.quantity, found.overnight_quantity, found.account_id) == (3, 2, CTX.account)
    assert positions.read({"product": "?", "quantity": 0, "carried": 0}, CTX).product is Product.UNKNOWN
    held = AccountRows(
        ROWS, "holding", RowTable(Holding, **COMMON_HOLDING_KEYS), product=lambda row, exchange: Product.MTF
    )
    assert held.read({"quantity": 1}, CTX).product is Product.MTF
    with pytest.raises(DecodeError, match="examplebroker: position is not as documented"):
        positions.read({"product": "D", "quantity": 3}, CTX)


def test_a_key_may_lead_into_a_record_and_a_part_that_is_missing_tells_nothing():
    table = RowTable(Charges, total="total", gst="taxes.gst", transaction_tax_type="kind")
    row = {"total": 3, "taxes": {"gst": 1}}
    found = table.read(row, instrument_id="NSE:X", stamp_duty=D(2))
    assert (found.gst, found.stamp_duty, found.transaction_tax_type, found.raw) == (1, 2, "", row)
    assert table.read({"total": 3, "taxes": None}, instrument_id="NSE:X").gst is None
    assert RowTable(MarginUsed, total="2").read({"2": 4}).total == 4


def test_a_table_of_fields_that_are_not_there_or_are_no_values_is_refused_when_it_is_made():
    with pytest.raises(TypeError, match="prize"):
        RowTable(Charges, prize="x")
    with pytest.raises(TypeError, match="product is Product"):
        RowTable(Position, product="product")


def test_a_quote_is_floats_and_empty_levels_are_left_out():
    quote = RowTable(Quote, last_price="ltp", open="ohlc.open")
    found = quote.read({"ltp": D("1.05")}, instrument_id="NSE:X", mode=Mode.LTP)
    assert (found.last_price, found.open) == (1.05, None)
    rows = [{"price": 1, "qty": 2, "n": 3}, {"price": 0, "qty": 0, "n": 0}]
    assert [(one.price, one.quantity, one.orders) for one in read_levels(rows, quantity="qty", orders="n")] == [
        (1, 2, 3)
    ]
    assert read_levels(None) == ()


def test_a_quote_finds_its_book_where_the_broker_keeps_it_and_takes_what_no_key_holds_last():
    table = RowTable(Quote, last_price="ltp")
    inside = QuoteRows(records=RECORDS, table=table, time_ns=seconds, book="depth")
    level = {"price": 2, "quantity": 3, "orders": 1}
    found = inside.read({"ltp": 1, "depth": {"sell": [level]}, "timestamp": 9}, SHARE, Mode.FULL)
    assert (found.bids, [one.price for one in found.asks], found.mode) == ((), [2], Mode.FULL)
    assert (found.last_trade_time, found.ts_event, found.instrument_id) == (None, 9 * SECOND, "NSE:X")
    beside = QuoteRows(
        records=RECORDS, table=table, time_ns=seconds, traded="at", told="at", bids="b", asks="", level=("p", "q", "n"),
        what="book", more=lambda row, one: {"oi": 4.0, "ts_event": None},
    )  # fmt: skip
    found = beside.read({"b": [{"p": 1, "q": 2, "n": 0}], "ask": 5, "at": 7}, SHARE, Mode.FULL)
    assert ([one.quantity for one in found.bids], found.asks, found.oi) == ([2], (), 4)
    assert (found.last_trade_time, found.ts_event) == (7 * SECOND, None)
    with pytest.raises(DecodeError, match="examplebroker: book of X-EQ is not as documented"):
        beside.read({"b": [{"p": 1}]}, SHARE, Mode.FULL)


def test_sums_of_what_is_told_and_none_where_nobody_tells():
    assert total_of([{"a": 1}, {"a": D("0.5")}, {"a": None}, {}], "a") == D("1.5")
    assert total_of([{}, {"a": ""}], "a") is None


class Broker(QuotedDepth):
    name = "examplebroker"
    listed = True

    def quotes(self, instruments, mode, ctx):
        yield from ()
        return [Quote(instrument_id=one.instrument_id, mode=mode, last_price=1.0) for one in instruments if self.listed]


def test_the_book_is_a_quote_in_mode_full_and_what_the_broker_leaves_out_is_an_error():
    assert drive(Broker().depth(SHARE, CTX), [], ctx=CTX).result.mode is Mode.FULL
    unlisted = Broker()
    unlisted.listed = False
    with pytest.raises(Rejected, match="no quote for NSE:X"):
        drive(unlisted.depth(SHARE, CTX), [], ctx=CTX)


def test_a_profile_leaves_out_words_that_are_new_and_needs_its_account():
    row = {"user_id": "AB", "products": ["D", "Z"], "order_types": ["LIMIT", "NEW"], "exchanges": ["NSE"]}
    found = read_profile(RECORDS, row, PRODUCTS, TYPES)
    assert (found.account_id, found.products, found.order_types) == ("AB", (Product.DELIVERY,), (OrderType.LIMIT,))
    with pytest.raises(DecodeError, match="profile"):
        read_profile(RECORDS, {}, PRODUCTS, TYPES)


def test_a_record_is_placed_by_token_then_by_symbol_then_by_what_it_says():
    assert place_of(CTX, "7", "BSE", "?") == ("NSE:X", "NSE")
    assert place_of(CTX, "8", "NSE", "X-EQ") == ("NSE:X", "NSE")
    assert place_of(CTX, "8", "NSE", "OLD-EQ", "OLD") == ("NSE:OLD", "NSE")
    with pytest.raises(LookupError, match="names no instrument"):
        place_of(CTX, "8", "NSE", "")


def test_times_with_the_day_first_and_epochs_of_any_unit():
    nine = 1_678_334_678 * SECOND
    assert day_first_ns("09-Mar-2023 09:34:38") == day_first_ns("9-03-2023 09:34:38") == nine
    assert day_first_ns("2023-03-09 09:34:38") is None
    with pytest.raises(ValueError, match=r"Foo|out of range"):
        day_first_ns("09-Foo-2023 09:34:38")
    assert {epoch_ns(nine // unit) for unit in (1, 10**3, 10**6, 10**9)} == {nine}
    assert str(day_of(1_678_300_200 - 1)) == "2023-03-08"
    assert str(day_of(1_678_300_200)) == "2023-03-09"
