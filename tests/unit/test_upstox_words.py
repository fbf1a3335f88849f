"""Upstox's words and records, read into the model."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from dragoman.adapters.upstox import words
from dragoman.adapters.upstox.gtt import read_gtt
from dragoman.adapters.upstox.money import read_charges, read_funds, read_holding, read_position

from dragoman.errors import DecodeError, ErrorKind
from dragoman.model import (
    AssetClass,
    GttStatus,
    GttType,
    InstrumentType,
    OptionType,
    OrderStatus,
    OrderType,
    Pending,
    Product,
    Side,
    TimeInForce,
    Variety,
)
from fixtures.upstox.account import ADAPTER, ROWS, TRADE, UPDATE, context, master

D = Decimal
CTX = context()
NS = 1_000_000_000


def order(**changes):
    return words.read_order(UPDATE | changes, CTX)


def test_the_documented_update_reads_field_by_field():
    found = order()
    assert (found.instrument_id, found.order_id, found.order_ids) == (
        "NSE:NHPC",
        "240221025997024",
        ("240221025997024",),
    )
    assert (found.status, found.raw_status, found.status_is_firm) == (
        OrderStatus.ACCEPTED,
        "put order req received",
        True,
    )
    assert (found.side, found.order_type, found.product) == (Side.BUY, OrderType.MARKET, Product.DELIVERY)
    assert (found.time_in_force, found.variety) == (TimeInForce.DAY, Variety.REGULAR)
    assert (found.quantity, found.filled_quantity, found.remaining_quantity) == (1, 0, 1)
    assert (found.price, found.trigger_price, found.average_price, found.exchange_order_id) == (None,) * 4
    assert found.ts_created == int(datetime(2024, 2, 21, 9, 10, 2, tzinfo=UTC).timestamp()) * NS


STATUSES = {
    "put order req received": OrderStatus.ACCEPTED,
    "validation pending": OrderStatus.ACCEPTED,
    "open pending": OrderStatus.ACCEPTED,
    "open": OrderStatus.OPEN,
    "trigger pending": OrderStatus.TRIGGER_PENDING,
    "complete": OrderStatus.FILLED,
    "cancelled": OrderStatus.CANCELED,
    "rejected": OrderStatus.REJECTED,
    "after market order req received": OrderStatus.ACCEPTED,
    "modify after market order req received": OrderStatus.ACCEPTED,
    "cancelled after market order": OrderStatus.CANCELED,
    "words of tomorrow": OrderStatus.UNKNOWN,
}


@pytest.mark.parametrize(("word", "status"), STATUSES.items())
def test_each_status_word_has_its_status(word, status):
    found = order(status=word)
    assert (found.status, found.raw_status, found.status_is_firm) == (status, word, True)
    assert found.remaining_quantity == (0 if status.terminal else 1)
    assert found.canceled_quantity == (1 if status is OrderStatus.CANCELED else 0)


@pytest.mark.parametrize(
    ("word", "pending"),
    [
        ("modify pending", Pending.MODIFY),
        ("modify validation pending", Pending.MODIFY),
        ("cancel pending", Pending.CANCEL),
        ("modified", Pending.NONE),
        ("not modified", Pending.NONE),
        ("not cancelled", Pending.NONE),
    ],
)
def test_words_of_what_is_in_flight_are_no_status(word, pending):
    found = order(status=word, exchange_order_id="1")
    assert (found.status, found.status_is_firm, found.pending) == (OrderStatus.OPEN, False, pending)
    assert order(status=word).status is OrderStatus.ACCEPTED
    assert order(status=word, exchange_order_id="1", order_type="SL").status is OrderStatus.TRIGGER_PENDING
    assert order(status=word, exchange_order_id="1", filled_quantity=1).status is OrderStatus.FILLED


def test_a_partial_fill_stays_open_at_the_broker():
    found = order(status="open", quantity=10, filled_quantity=4, average_price=D("80.05"))
    assert (found.status, found.remaining_quantity, found.average_price) == (
        OrderStatus.PARTIALLY_FILLED,
        6,
        D("80.05"),
    )


def test_a_rejected_order_says_why_even_in_new_words():
    told = order(status="rejected", status_message="RMS:Margin Exceeds,Required:1")
    assert (told.reject.kind, told.reject.text) == (ErrorKind.INSUFFICIENT_MARGIN, "RMS:Margin Exceeds,Required:1")
    assert order(status="rejected", status_message="new words").reject.kind is ErrorKind.UNMAPPED
    assert order(status="rejected").reject.text == "no reason given"


def test_one_word_delivers_shares_and_carries_contracts():
    carried = order(instrument_key="NSE_FO|45450", exchange="NFO", trading_symbol="NIFTY 26000 CE 27 JAN 26")
    assert (carried.instrument_id, carried.product) == ("NFO:NIFTY@20260127-26000CE", Product.CARRY)
    assert words.PRODUCT.write(Product.CARRY) == words.PRODUCT.write(Product.DELIVERY) == "D"
    assert order(product="XYZ").product is Product.UNKNOWN


def test_maps_are_total_both_ways():
    assert set(words.ORDER_TYPE.outward) == ADAPTER.capabilities.order_types
    assert set(words.VALIDITY.outward) == ADAPTER.capabilities.time_in_force
    assert ADAPTER.capabilities.products <= set(words.PRODUCT.outward)
    for table in (words.ORDER_TYPE, words.VALIDITY, words.VARIETY, words.STATUS):
        assert table.read("tomorrow") is table.unknown
        assert all(table.read(table.write(value)) is value for value in table.outward)


@pytest.mark.parametrize("field", ["status", "quantity", "transaction_type", "order_id"])
def test_a_record_without_a_field_is_a_decode_error(field):
    with pytest.raises(DecodeError, match="upstox: order is not as documented"):
        words.read_order({key: value for key, value in UPDATE.items() if key != field}, CTX)


def test_the_documented_trade_reads_its_own_kind_of_time_and_is_found_by_symbol():
    found = words.read_fill(TRADE, CTX)
    assert (found.instrument_id, found.trade_id, found.price) == ("NSE:NHPC", "50091502", D("299.4"))
    assert found.ts_event == int(datetime(2017, 8, 3, 9, 33, 42, tzinfo=UTC).timestamp()) * NS
    unknown = words.read_fill(TRADE | {"trading_symbol": "OLD-EQ"}, CTX)
    assert unknown.instrument_id == "NSE:OLD-EQ"


@pytest.mark.parametrize("text", ["99-Foo-2026 10:00:00", "yesterday", 1.5])
def test_a_time_in_no_known_spelling_is_refused(text):
    with pytest.raises((ValueError, TypeError)):
        words.time_ns(text)


def test_the_instrument_file_reads_into_canonical_ids():
    found = {item.instrument_id: item for item in master()}
    assert list(found) == [
        "NSE:RELIANCE",
        "NSE:NIFTY_BANK=INDEX",
        "NSE:NHPC",
        "NFO:NIFTY@20260127-26000CE",
        "CDS:JPYINR@20260127-58.5PE",
        "BSE:RELIANCE",
        "NSE:CENTRALBK+BE",
    ]
    share, index = found["NSE:RELIANCE"], found["NSE:NIFTY_BANK=INDEX"]
    assert (share.tick_size, share.freeze_quantity, share.isin) == (D("0.1"), 100_000, "INE002A01018")
    assert (share.broker_token, share.broker_symbol) == ("NSE_EQ|INE002A01018", "RELIANCE")
    assert (index.tradable, index.instrument_type, index.tick_size) == (False, InstrumentType.INDEX, 0)
    option = found["NFO:NIFTY@20260127-26000CE"]
    assert (option.expiry, option.strike, option.option_type) == (date(2026, 1, 27), 26000, OptionType.CALL)
    assert (option.lot_size, option.underlying, option.asset_class) == (65, "NIFTY", AssetClass.INDEX)
    assert found["CDS:JPYINR@20260127-58.5PE"].tick_size == D("0.0025")
    assert found["NSE:CENTRALBK+BE"].series == "BE"
    assert master([ROWS[0] | {"segment": "MOON_EQ"}]) == []


def test_positions_count_what_was_carried_over_night():
    row = UPDATE | {
        "quantity": 7,
        "overnight_quantity": 5,
        "overnight_buy_quantity": 5,
        "day_buy_quantity": 4,
        "day_sell_quantity": 2,
        "average_price": None,
        "realised": D("1.5"),
        "multiplier": 1,
    }
    found = read_position(row, CTX)
    assert (found.quantity, found.buy_quantity, found.sell_quantity, found.average_price) == (7, 9, 2, None)
    assert found.realised_pnl == D("1.5")


def test_holdings_of_bonus_shares_have_no_average():
    row = {"instrument_token": "NSE_EQ|INE848E01016", "quantity": 3, "t1_quantity": 1, "average_price": None}
    found = read_holding(row | {"collateral_quantity": 2, "product": "D"}, CTX)
    assert (found.instrument_id, found.t1_quantity, found.pledged_quantity) == ("NSE:NHPC", 1, 2)
    assert found.average_price is None


def test_funds_without_a_total_add_cash_and_pledge():
    cash = {"total": D("100.5"), "margin_used": {"total": 20, "loss": {"realised": -3}}}
    pledge = {"margin_from_pledge": {"total": 50}, "margin_used": {"total": 10}}
    found = read_funds(
        {"available_to_trade": {"cash_available_to_trade": cash, "pledge_available_to_trade": pledge}}, CTX
    )
    assert (found.net, found.used.total, found.used.m2m_realised) == (D("140.5"), 30, -3)
    assert read_funds({"available_to_trade": {"total": 7, "cash_available_to_trade": cash}}, CTX).net == 7


@pytest.mark.parametrize("spelling", ["other_charges", "otherTaxes", "other_taxes"])
def test_charges_are_read_in_each_spelling(spelling):
    taxes = {"gst": 3, "stt": 5, "stamp_duty": 1}
    row = {
        "total": 30,
        "brokerage": 20,
        "taxes": taxes,
        spelling: {"transaction": 1, "clearing": 2, "ipft": D("0.5"), "sebi_turnover": 0},
    }
    found = read_charges(row, "NSE:NHPC")
    assert (found.total, found.transaction_tax, found.exchange_fee, found.regulator_fee) == (30, 5, D("3.5"), 0)
    assert read_charges({"total": 30, "brokerage": 20, "taxes": taxes}, "NSE:NHPC").exchange_fee is None


def gtt(*statuses, **changes):
    rules = [
        {"strategy": name, "status": status, "trigger_price": D("7.7"), "transaction_type": "BUY"}
        for name, status in zip(("ENTRY", "TARGET", "STOPLOSS"), statuses, strict=False)
    ]
    kind = "SINGLE" if len(statuses) == 1 else "MULTIPLE"
    row = {"type": kind, "exchange": "NSE_EQ", "instrument_token": "NSE_EQ|INE848E01016", "quantity": 1, "product": "D"}
    return read_gtt(row | {"gtt_order_id": "GTT-1", "rules": rules} | changes, CTX)


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (("SCHEDULED",), GttStatus.ACTIVE),
        (("FAILED",), GttStatus.REJECTED),
        (("CANCELLED",), GttStatus.CANCELED),
        (("EXPIRED",), GttStatus.EXPIRED),
        (("INACTIVE",), GttStatus.DISABLED),
        (("COMPLETED", "SCHEDULED", "SCHEDULED"), GttStatus.ACTIVE),
        (("COMPLETED", "COMPLETED", "CANCELLED"), GttStatus.TRIGGERED),
        (("TOMORROW",), GttStatus.UNKNOWN),
    ],
)
def test_a_gtt_is_active_as_long_as_a_rule_is(statuses, status):
    found = gtt(*statuses)
    assert (found.status, found.raw_status, len(found.legs)) == (status, " ".join(statuses), len(statuses))
    assert found.type is (GttType.SINGLE if len(statuses) == 1 else GttType.TWO_LEG)


@pytest.mark.parametrize("when", [1_767_252_600, 1_767_252_600_000, "1767252600000000", "2026-01-01 13:00:00"])
def test_a_gtts_times_are_read_in_each_unit(when):
    assert gtt("SCHEDULED", created_at=when).ts_created == 1_767_252_600 * NS
