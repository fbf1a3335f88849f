"""FYERS' codes, words, and the replies that leave an order's fate open."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from dragoman.adapters.fyers.adapter import FyersAdapter
from dragoman.adapters.fyers.words import CODES, STATUS, read_order, time_ns

from dragoman.errors import DecodeError, ErrorKind, Rejected, UsageError
from dragoman.model import AssetClass, Instrument, InstrumentType, OrderRequest, OrderStatus, OrderType, Product, Side
from dragoman.plugin import CodeTable, Reply, Request
from dragoman.testing.drive import ScriptedContext, drive, reply

SBIN = Instrument(
    instrument_id="NSE:SBIN",
    symbol="SBIN",
    exchange="NSE",
    asset_class=AssetClass.EQUITY,
    instrument_type=InstrumentType.SPOT,
    broker_symbol="NSE:SBIN-EQ",
    broker_token="10100000003045",
)
ORDER = OrderRequest(
    instrument_id="NSE:SBIN",
    side=Side.BUY,
    quantity=Decimal(5),
    order_type=OrderType.LIMIT,
    price=Decimal("675.45"),
    product=Product.INTRADAY,
    wire_id="ABCDEFGH2345",
)
ROW = {
    "clientId": "X", "id": "23030900015105", "exchOrdId": "1100000001089341", "qty": 1, "remainingQuantity": 0,
    "filledQty": 1, "discloseQty": 0, "limitPrice": 6.95, "stopPrice": 0, "tradedPrice": 6.95, "type": 1,
    "fyToken": "101000000014366", "exchange": 10, "segment": 10, "symbol": "NSE:IDEA-EQ", "instrument": 0,
    "message": "", "offlineOrder": False, "orderDateTime": "09-Mar-2023 09:34:38", "orderValidity": "DAY",
    "productType": "CNC", "side": -1, "status": 2, "orderNumStatus": "23030900015105:2", "orderTag": "1:Ordertag",
}  # fmt: skip


def context():
    return ScriptedContext(credentials={"app_id": "APP-100"}, login={"access_token": "t"}, instruments=[SBIN])


def placed(body, status=200):
    return drive(FyersAdapter().place(ORDER, SBIN, context()), [reply(body, status=status)], adapter=FyersAdapter())


def answer(body, status=200, *, mutates=True):
    return FyersAdapter().classify(Reply(status, {}, b"", parsed=body), Request(method="POST", mutates=mutates))


@pytest.mark.parametrize("row", CODES.rows, ids=lambda row: f"{row.code} {row.match}")
def test_every_row_of_the_codes_is_reached_by_a_reply(row, monkeypatch):
    found, find = [], CodeTable.find

    def noted(*args, **more):
        found.append(find(*args, **more))
        return found[-1]

    monkeypatch.setattr(CodeTable, "find", noted)
    status = row.http[0] if row.http else 400
    mutates = row.mutates is not False
    if row.code.startswith("HTTP"):
        status = int(f"{row.code.removeprefix('HTTP ')}00"[:3])
        reply_ = Reply(status, {}, b"<html>")
        FyersAdapter().classify(reply_, Request(method="POST", mutates=mutates))
    elif row.on == "text":
        answer({"s": "error", "code": -99, "message": row.code}, status, mutates=mutates)
    else:
        code = int(row.code) if row.code.lstrip("-").isdigit() else row.code
        answer({"s": "error", "code": code, "message": ""}, status, mutates=mutates)
    assert any(one is row for one in found)


def test_codes_and_words_that_are_new_are_unmapped():
    assert answer({"s": "error", "code": -7777, "message": "new"}, 400).kind is ErrorKind.UNMAPPED
    assert STATUS.read("55") is OrderStatus.UNKNOWN
    assert read_order(ROW | {"status": 90}, context()).status is OrderStatus.FILLED


@pytest.mark.parametrize(
    ("status", "more", "expected"),
    [
        (1, {}, "CANCELED"),
        (2, {}, "FILLED"),
        (4, {}, "ACCEPTED"),
        (5, {}, "REJECTED"),
        (6, {"filledQty": 0}, "OPEN"),
        (6, {"filledQty": 1, "qty": 3}, "PARTIALLY_FILLED"),
        (6, {"filledQty": 0, "type": 3}, "TRIGGER_PENDING"),
        (7, {}, "EXPIRED"),
        (3, {"orderNumStatus": ""}, "UNKNOWN"),
    ],
)
def test_statuses(status, more, expected):
    assert read_order(ROW | {"status": status} | more, context()).status == expected


def test_the_order_of_the_page():
    order = read_order(ROW, context())
    assert (order.order_id, order.instrument_id, order.side) == ("23030900015105", "NSE:IDEA", "SELL")
    assert (order.price, order.average_price, order.tag) == (Decimal("6.95"), Decimal("6.95"), "Ordertag")
    assert order.ts_created == 1678334678 * 10**9
    assert time_ns("09-03-2023 09:34:38") == order.ts_created
    assert time_ns("01-Jan-1970 05:30:00") is None


def test_a_taken_order_has_its_id_and_carries_our_tag():
    done = placed({"s": "ok", "code": 1101, "message": "", "id": "808058117761"})
    assert (done.result.effect, done.result.order_id) == ("ACCEPTED", "808058117761")
    (request,) = done.requests
    assert request.json["orderTag"] == "ABCDEFGH2345"
    assert (request.json["type"], request.json["side"], request.json["limitPrice"]) == (1, 1, 675.45)


def test_a_refusal_keeps_the_id_of_the_order_it_is_about():
    body = {"s": "error", "code": -99, "message": "RMS: insufficient funds", "id": "23"}
    found = placed(body, 400).result
    assert (found.effect, found.order_id, found.reject.kind) == ("REJECTED", "23", ErrorKind.INSUFFICIENT_MARGIN)


def test_no_acknowledgement_leaves_the_fate_open():
    found = placed({"s": "ok", "code": 201, "message": "sent", "id": "24"}).result
    assert (found.effect, found.order_id, found.reject.kind) == ("UNKNOWN", "24", ErrorKind.MAYBE_SENT)
    assert answer({"s": "ok", "code": 201}, mutates=False) is None


def test_a_queued_order_without_an_id_is_open_too():
    found = placed({"s": "ok", "code": 1101, "message": "Order queued successfully.", "id_fyers": "c66"}).result
    assert (found.effect, found.order_id) == ("UNKNOWN", None)


def test_slices_have_each_a_fate():
    taken = {"statusCode": 200, "body": {"code": 1101, "message": "", "s": "ok", "id": "25"}}
    lost = {"statusCode": 400, "body": {"code": -99, "message": "freeze quantity", "s": "error"}}
    found = placed({"s": "ok", "code": 200, "data": [taken, lost]}).result
    assert found.effect == "PARTIAL"
    assert [child.effect for child in found.children] == ["ACCEPTED", "REJECTED"]
    assert found.children[1].reject.kind is ErrorKind.FREEZE_QTY_EXCEEDED


def several(count, data, **more):
    order = replace(ORDER, **more)
    flow = FyersAdapter().place_many([(order, SBIN)] * count, context())
    return drive(flow, [{"s": "ok", "code": 200, "data": data}], adapter=FyersAdapter())


def test_several_orders_leave_as_one_list_and_each_has_a_fate():
    taken = {"statusCode": 200, "body": {"code": 1101, "message": "", "s": "ok", "id": "25"}}
    open_ = {"statusCode": 200, "body": {"code": 201, "message": "sent", "s": "ok"}}
    lost = {"statusCode": 400, "body": {"code": -99, "message": "freeze quantity", "s": "error"}}
    driven = several(3, [taken, lost, open_])
    (request,) = driven.requests
    assert (request.path, request.mutates, request.cost) == ("/api/v3/multi-order/sync", True, 3)
    body = json.loads(driven.bodies[0])
    assert [row["symbol"] for row in body] == [SBIN.broker_symbol] * 3
    assert [(one.effect, one.order_id) for one in driven.result] == [
        ("ACCEPTED", "25"),
        ("REJECTED", None),
        ("UNKNOWN", None),
    ]


@pytest.mark.parametrize("data", [None, [], [{"statusCode": 200, "body": {"code": 1101, "s": "ok", "id": "25"}}] * 3])
def test_fates_that_are_not_one_for_each_order_say_nothing(data):
    with pytest.raises(DecodeError):
        several(2, data)


def test_what_cannot_be_one_of_several_is_refused_before_a_byte():
    for count, more in ((0, {}), (11, {}), (1, {"extras": {"fyers": {"slice": True}}})):
        with pytest.raises(UsageError):
            several(count, [], **more)


def test_a_dead_token_is_no_refusal_of_the_order():
    with pytest.raises(Exception, match="-8") as error:
        placed({"s": "error", "code": -8, "message": "expired"}, 401)
    assert error.value.kind is ErrorKind.AUTH_EXPIRED
    assert not isinstance(error.value, Rejected)
