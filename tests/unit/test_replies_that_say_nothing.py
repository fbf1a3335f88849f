"""Replies of Indian brokers that call themselves a success and tell nothing: neither done, nor an empty account."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from dragoman.errors import DecodeError, DragomanError, OutcomeUnknown
from dragoman.model import (
    AssetClass,
    Instrument,
    InstrumentType,
    Order,
    OrderChange,
    OrderStatus,
    OrderType,
    Origin,
    Side,
    TimeInForce,
    Variety,
)
from dragoman.plugin.registry import load_adapter
from dragoman.testing.drive import ScriptedContext, drive, reply

CONTEXT = ScriptedContext(
    credentials={"app_id": "k", "api_key": "k", "api_secret": "s"}, login={"access_token": "token"}
)
SHARE = Instrument(
    instrument_id="NSE:X",
    symbol="X",
    exchange="NSE",
    asset_class=AssetClass.EQUITY,
    instrument_type=InstrumentType.SPOT,
    broker_symbol="NSE:X-EQ",
    broker_token="1010000001",
    lot_size=D(1),
    tick_size=D("0.05"),
)
WORKING = Order(
    instrument_id="NSE:X",
    side=Side.BUY,
    quantity=D(10),
    price=D(80),
    order_id="77",
    order_type=OrderType.LIMIT,
    status=OrderStatus.OPEN,
    time_in_force=TimeInForce.DAY,
    variety=Variety.REGULAR,
    origin=Origin.US,
)
DONE = {
    "zerodha": ({"status": "success", "data": {"order_id": "77"}},) * 2,
    "upstox": ({"status": "success", "data": {"order_id": "77"}},) * 2,
    "fyers": ({"s": "ok", "code": 1102, "id": "77"}, {"s": "ok", "code": 1103, "id": "77"}),
}
NOTHING_SAID = {
    "zerodha": [b"[]", b"<html>", *({"status": "success", "data": one} for one in (None, {}, {"order_id": "78"}))],
    "upstox": [b"1", b"<html>", *({"status": "success", "data": one} for one in (None, {}, {"order_id": None}))],
    "fyers": [
        {"s": "ok"},
        {"s": "ok", "code": 1101, "id": "77"},
        {"s": "ok", "code": 1103},
        {"s": "ok", "code": 1102, "id": "78"},
    ],
}
LISTS = {
    "zerodha": ("orders", "trades", "positions", "holdings", "gtts"),
    "upstox": ("orders", "trades", "holdings", "gtts"),
    "fyers": ("orders", "trades", "positions", "holdings", "gtts"),
}
LISTLESS = {
    "zerodha": [{"status": "success", "data": None}],
    "upstox": [{"status": "success", "data": None}, {"status": "success", "data": {}}],
    "fyers": [{"s": "ok", "code": 200, "message": ""}],
}


def sent(broker, body):
    adapter = load_adapter(broker)
    answer = reply(body=body) if isinstance(body, bytes) else body
    flows = (
        lambda: adapter.modify(WORKING, OrderChange(price=D(81)), SHARE, CONTEXT),
        lambda: adapter.cancel(WORKING, CONTEXT),
    )
    return [lambda flow=flow: drive(flow(), [answer], adapter=adapter, ctx=CONTEXT) for flow in flows]


@pytest.mark.parametrize("broker", DONE)
def test_what_the_broker_documents_confirms_a_change_and_a_cancel(broker):
    for at, body in enumerate(DONE[broker]):
        outcome = sent(broker, body)[at]().result
        assert (outcome.effect, outcome.order_id) == ("ACCEPTED", "77")


@pytest.mark.parametrize(("broker", "body"), [(name, body) for name, bodies in NOTHING_SAID.items() for body in bodies])
def test_a_success_that_names_nothing_confirms_no_change_and_no_cancel(broker, body):
    for act in sent(broker, body):
        with pytest.raises((DecodeError, OutcomeUnknown)):
            act()


@pytest.mark.parametrize(("broker", "flow"), [(name, flow) for name, flows in LISTS.items() for flow in flows])
def test_a_reply_without_its_list_is_no_empty_account(broker, flow):
    adapter = load_adapter(broker)
    for body in LISTLESS[broker]:
        with pytest.raises(DecodeError):
            drive(getattr(adapter, flow)(CONTEXT), [body], adapter=adapter, ctx=CONTEXT)


def test_only_the_documented_word_of_no_data_is_an_empty_account():
    adapter = load_adapter("fyers")
    none = {"s": "no_data", "code": 200, "message": ""}
    assert drive(adapter.orders(CONTEXT), [none], adapter=adapter, ctx=CONTEXT).result == []
    failed = {"s": "no_data", "code": -1, "message": "service unavailable"}
    with pytest.raises(DragomanError, match="service unavailable"):
        drive(adapter.orders(CONTEXT), [failed], adapter=adapter, ctx=CONTEXT)
