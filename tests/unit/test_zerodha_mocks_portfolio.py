"""The broker's official sample bodies of portfolio, margins, candles, GTT and alerts: no field lost.

Skipped where the data folder is absent; the flows themselves are held by test_zerodha_flows and test_zerodha_triggers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from dragoman.adapters.zerodha.words import loads, time_ns

from dragoman import model
from dragoman.errors import DecodeError
from dragoman.testing import reply
from fixtures.zerodha.account import ADAPTER, context, run

CTX = context()
INFY = CTX.instruments.get("NSE:INFY")
IST = timezone(timedelta(hours=5, minutes=30))
D = Decimal


@pytest.fixture(scope="module")
def mock(real_data):
    folder = real_data / "kite-mocks"
    if not folder.is_dir():
        pytest.skip("no kite-mocks beside this clone")

    def load(name):
        body = (folder / name).read_bytes()
        whole = json.loads(body, parse_float=Decimal)
        return reply(body=body), whole.get("data", whole)

    load.folder = folder
    return load


HOLDING = {
    "collateral_quantity": "pledged_quantity",
    "realised_quantity": "settled_quantity",
    "day_change_percentage": "day_change_percent",
}


def check_holding(holding, row):
    for word, value in row.items():
        match word:
            case "tradingsymbol" | "exchange":
                assert value in holding.instrument_id
            case "instrument_token" | "price" | "authorisation":
                assert holding.raw[word] == value  # a token, always 0, always empty
            case "product":
                assert holding.product is model.Product.DELIVERY
            case "authorised_date":
                assert holding.ts_authorised == time_ns(value)
            case "collateral_type" | "average_price" | "last_price" | "close_price":
                assert getattr(holding, word) == (value or None), word
            case "mtf":
                ours = holding.mtf
                found = {name: getattr(ours, name) if ours else 0 for name in value}
                assert {name: number or 0 for name, number in found.items()} == value
            case _:
                assert getattr(holding, HOLDING.get(word, word)) == value, word


@pytest.mark.parametrize("name", ["holdings.json", "auctions_list.json"])
def test_holdings_and_those_to_auction(mock, name):
    answer, rows = mock(name)
    flow = ADAPTER.holdings(CTX) if name == "holdings.json" else ADAPTER.auctions(CTX)
    found = run(flow, [answer]).result
    assert len(found) == len(rows) > 1
    for holding, row in zip(found, rows, strict=True):
        check_holding(holding, row)


def test_compact_holdings_read_as_holdings(mock):
    answer, rows = mock("holdings_compact.json")
    found = run(ADAPTER.holdings(CTX), [answer]).result
    assert [(one.quantity, one.t1_quantity) for one in found] == [(row["quantity"], row["t1_quantity"]) for row in rows]


def test_authorisation_of_holdings_gives_the_page(mock):
    answer, data = mock("holdings_auth.json")
    holding = model.Holding(instrument_id="NSE:INFY", isin="INE009A01021", quantity=D(5))
    driven = run(ADAPTER.authorise_holdings([holding], CTX), [answer])
    assert driven.requests[0].form == (("isin", "INE009A01021"), ("quantity", "5"))
    assert driven.result.request_id == data["request_id"]
    page = f"https://kite.zerodha.com/connect/portfolio/authorise/holdings/api_key/{data['request_id']}"
    assert driven.result.url == page


def test_conversion_is_answered(mock):
    answer, _ = mock("convert_position.json")
    position = model.Position(instrument_id="NSE:INFY", product=model.Product.INTRADAY, quantity=D(3))
    assert run(ADAPTER.convert(position, D(3), model.Product.DELIVERY, INFY, CTX), [answer]).result is None


CHARGES = {
    "exchange_turnover_charge": "exchange_fee",
    "sebi_turnover_charge": "regulator_fee",
}


def check_charges(charges, row):
    for word, value in row.items():
        if word == "gst":
            assert charges.gst == value["total"]
            assert charges.raw["gst"] == value
        else:
            assert getattr(charges, CHARGES.get(word, word)) == value, word


def check_margin(margin, row):
    for word, value in row.items():
        match word:
            case "charges":
                check_charges(margin.detail, value)
                assert margin.charges == value["total"]
            case "pnl":
                assert (margin.realised_pnl, margin.unrealised_pnl) == (value["realised"], value["unrealised"])
            case "option_premium":
                assert margin.premium == value
            case "type" | "bo":
                assert margin.raw[word] == value  # the segment; bracket orders are withdrawn
            case "tradingsymbol":
                assert value in margin.instrument_id
            case "exchange":
                assert margin.instrument_id.partition(":")[0] == value
            case _:
                assert getattr(margin, word) == value, word


ORDER = model.OrderRequest(
    instrument_id="NSE:INFY", side=model.Side.BUY, quantity=D(1), order_type=model.OrderType.LIMIT, price=D("1498")
)


def test_order_margins(mock):
    answer, rows = mock("order_margins.json")
    (margin,) = run(ADAPTER.order_margin([ORDER], CTX), [answer]).result
    check_margin(margin, rows[0])


def test_basket_margins(mock):
    answer, data = mock("basket_margins.json")
    basket = run(ADAPTER.basket_margin([ORDER, ORDER], CTX), [answer]).result
    check_margin(basket.initial, data["initial"])
    check_margin(basket.final, data["final"])
    for margin, row in zip(basket.orders, data["orders"], strict=True):
        check_margin(margin, row)
    check_charges(basket.charges, data["charges"])


def test_charges(mock):
    answer, rows = mock("virtual_contract_note.json")
    fill = model.Fill(
        trade_id="1",
        order_id="2",
        instrument_id="NSE:INFY",
        side=model.Side.BUY,
        quantity=D(1),
        price=D(560),
        product=model.Product.DELIVERY,
    )
    found = run(ADAPTER.charges([fill] * 3, CTX), [answer]).result
    for charges, row in zip(found, rows, strict=True):
        check_charges(replace(charges, raw=row["charges"]), row["charges"])
        assert row["tradingsymbol"] in charges.raw["tradingsymbol"]
        assert charges.raw == row


@pytest.mark.parametrize("name", ["profile.json", "full_profile.json"])
def test_profiles(mock, name):
    answer, data = mock(name)
    profile = run(ADAPTER.profile(CTX), [answer]).result
    renamed = {"user_id": "account_id", "user_name": "name", "user_shortname": "short_name", "user_type": "type"}
    for word in ("user_id", "user_name", "user_shortname", "user_type", "email"):
        assert getattr(profile, renamed.get(word, word)) == data[word]
    assert list(profile.exchanges) == data["exchanges"]
    assert len(profile.products) == len(data["products"])
    assert len(profile.order_types) == len(data["order_types"])
    assert profile.raw == data == loads(answer.body)["data"]


def test_one_segment_of_margins_has_the_fields_of_both(mock):
    _, equity = mock("margins_equity.json")
    _, commodity = mock("margin_commodity.json")
    both = reply(
        {"status": "success", "data": json.loads(json.dumps({"equity": equity, "commodity": commodity}, default=float))}
    )
    found = {one.segment: one.net for one in run(ADAPTER.margins(CTX), [both]).result}
    assert found[model.Segment.COMMODITY] == commodity["net"]
    assert found[model.Segment.EQUITY] == equity["net"]


@pytest.mark.parametrize("name", ["historical_minute.json", "historical_oi.json"])
def test_candles(mock, name):
    answer, data = mock(name)
    start = datetime.fromisoformat(data["candles"][0][0])
    driven = run(ADAPTER.candles(INFY, "1m", start, start + timedelta(minutes=10), CTX), [answer])
    assert driven.result == driven.rows
    for candle, row in zip(driven.result, data["candles"], strict=True):
        wanted = [float(value) for value in row[1:]]
        assert [candle.open, candle.high, candle.low, candle.close, candle.volume, candle.oi][: len(wanted)] == wanted
        assert candle.ts_open == int(datetime.fromisoformat(row[0]).timestamp()) * 10**9
        assert candle.is_closed


def test_trigger_ranges(mock):
    answer, data = mock("trigger_range.json")
    (one,) = run(ADAPTER.trigger_ranges([INFY], model.Side.BUY, CTX), [answer]).result
    row = data["NSE:INFY"]
    assert (one.instrument_id, one.lower, one.upper) == ("NSE:INFY", row["lower"], row["upper"])


def check_gtt(gtt, row):
    condition = row["condition"]
    assert (gtt.gtt_id, gtt.raw_status, gtt.status) == (str(row["id"]), row["status"], row["status"].upper())
    assert gtt.type == {"single": "SINGLE", "two-leg": "TWO_LEG"}[row["type"]]
    assert (gtt.parent_id, gtt.last_price) == (row["parent_trigger"], condition["last_price"])
    assert gtt.instrument_id == f"{condition['exchange']}:{condition['tradingsymbol']}"
    stamps = (gtt.ts_created, gtt.ts_updated, gtt.ts_expires)
    assert stamps == tuple(time_ns(row[f"{name}_at"]) for name in ("created", "updated", "expires"))
    for leg, trigger, order in zip(gtt.legs, condition["trigger_values"], row["orders"], strict=True):
        assert (leg.trigger_price, leg.price, leg.quantity) == (trigger, order["price"], order["quantity"])
        assert (leg.side, leg.order_type, leg.product) == (order["transaction_type"], "LIMIT", "DELIVERY")
        result = order["result"]
        assert (leg.result is None) == (result is None)
        if result:
            fate = result["order_result"]
            assert (leg.result.status, leg.result.order_id) == (fate["status"], fate["order_id"] or None)
            assert leg.result.reason == fate["rejection_reason"]
            assert leg.result.trigger_price == result["triggered_at"]
            assert leg.result.ts_triggered == time_ns(result["timestamp"])
    assert gtt.raw == row


def test_gtts(mock):
    answer, rows = mock("gtt_get_orders.json")
    for gtt, row in zip(run(ADAPTER.gtts(CTX), [answer]).result, rows, strict=True):
        check_gtt(gtt, row)
    answer, row = mock("gtt_get_order.json")
    check_gtt(run(ADAPTER.gtt("123", CTX), [answer]).result, row)


def test_gtt_replies_name_the_trigger(mock):
    leg = model.GttLeg(trigger_price=D(702), side=model.Side.BUY, quantity=D(1), price=D("702.5"))
    request = model.GttRequest(instrument_id="NSE:INFY", legs=(leg,), last_price=D(798))
    for name, flow in (
        ("gtt_place_order.json", ADAPTER.gtt_place(request, INFY, CTX)),
        ("gtt_modify_order.json", ADAPTER.gtt_modify("123", request, INFY, CTX)),
        ("gtt_delete_order.json", ADAPTER.gtt_delete("123", CTX)),
    ):
        assert run(flow, [mock(name)[0]]).result == "123"


def check_alert(alert, row):
    assert (alert.alert_id, alert.name, alert.operator) == (row["uuid"], row["name"], row["operator"])
    assert (alert.status, alert.raw_status) == (row["status"].upper(), row["status"])
    assert (alert.value, alert.count) == (row["rhs_constant"], row["alert_count"])
    assert alert.disabled_reason == (row["disabled_reason"] or None)
    assert (alert.attribute, alert.places_orders) == ("last_price", row["type"] == "ato")
    assert (alert.other_instrument_id, alert.other_attribute) == (None, None)
    assert (alert.ts_created, alert.ts_updated) == (time_ns(row["created_at"]), time_ns(row["updated_at"]))
    assert alert.raw == row


def test_alerts(mock):
    answer, rows = mock("alerts_get.json")
    for alert, row in zip(run(ADAPTER.alerts(CTX), [answer]).result, rows, strict=True):
        check_alert(alert, row)
    request = model.AlertRequest(name="n", instrument_id="NSE:INFY", operator=">=", value=D(1))
    for name, flow in (
        ("alerts_get_one.json", ADAPTER.alerts(CTX, "550e")),
        ("alerts_create.json", ADAPTER.alert_create(request, CTX)),
        ("alerts_create_ato.json", ADAPTER.alert_create(replace(request, orders=(ORDER,)), CTX)),
        ("alerts_modify.json", ADAPTER.alert_modify("550e", request, CTX)),
    ):
        answer, row = mock(name)
        found = run(flow, [answer]).result
        check_alert(found[0] if isinstance(found, list) else found, row)
    assert run(ADAPTER.alert_delete(["550e"], CTX), [mock("alerts_delete.json")[0]]).result is None


def test_alert_history(mock):
    answer, rows = mock("alerts_history.json")
    (event,) = run(ADAPTER.alert_history("550e", CTX), [answer]).result
    row = rows[0]
    assert (event.alert_id, event.condition) == (row["uuid"], row["condition"])
    assert event.last_prices[0][1] == row["meta"][0]["last_price"]
    assert event.ts_event == time_ns(row["created_at"])
    assert event.raw == row


def test_a_postback_is_read_only_with_its_checksum(mock):
    body = (mock.folder / "postback.json").read_bytes()
    row = json.loads(body)
    told = f"{row['order_id']}{row['order_timestamp']}api_secret".encode()
    row["checksum"] = hashlib.sha256(told).hexdigest()
    # the digest the protocol page gives for this payload and the secret "api_secret"
    assert row["checksum"] == "b667b3645fbe3e30e0a1c45c0bdb1930829910b41294c1616f64e6623ef097dd"
    order = ADAPTER.postback(json.dumps(row).encode(), CTX)
    assert (order.order_id, order.status) == (row["order_id"], model.OrderStatus.FILLED)
    with pytest.raises(DecodeError, match="checksum"):
        ADAPTER.postback(body, CTX)  # the sample's own, made with another secret
