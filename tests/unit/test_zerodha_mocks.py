"""The broker's official sample bodies through the adapter: no field of the unified model lost.

Skipped where the data folder is absent; the same is held on our own fixtures by the other test_zerodha modules.
"""

from __future__ import annotations

import base64
import csv
import json
from decimal import Decimal

import pytest
from dragoman.adapters.zerodha.feed import STREAM
from dragoman.adapters.zerodha.words import read_order, time_ns

from dragoman._core import Decoder
from dragoman.model import (
    Instrument,
    Mode,
    OrderRequest,
    OrderStatus,
    OrderType,
    Pending,
    Product,
    Segment,
    Side,
    TimeInForce,
    Variety,
)
from dragoman.testing import reply
from fixtures.zerodha.account import ADAPTER, context, master, run

CTX = context()
INFY = CTX.instruments.get("NSE:INFY")


@pytest.fixture(scope="module")
def mock(real_data):
    folder = real_data / "kite-mocks"
    if not folder.is_dir():
        pytest.skip("no kite-mocks beside this clone")

    def load(name):
        body = (folder / name).read_bytes()
        return reply(body=body), json.loads(body, parse_float=Decimal)["data"]

    load.folder = folder
    return load


WORDS = {
    "transaction_type": {"BUY": Side.BUY, "SELL": Side.SELL},
    "order_type": {"MARKET": OrderType.MARKET, "LIMIT": OrderType.LIMIT},
    "product": {
        "CNC": Product.DELIVERY,
        "MIS": Product.INTRADAY,
        "NRML": Product.CARRY,
        "MTF": Product.MTF,
        "CO": Product.COVER,
    },
    "validity": {"DAY": TimeInForce.DAY, "TTL": TimeInForce.GTD},
    "variety": {"regular": Variety.REGULAR, "iceberg": Variety.ICEBERG, "auction": Variety.AUCTION},
}


def check_order(order, row):
    for ours, theirs in {
        "side": "transaction_type",
        "order_type": "order_type",
        "product": "product",
        "time_in_force": "validity",
        "variety": "variety",
    }.items():
        assert getattr(order, ours) is WORDS[theirs][row[theirs]], ours
    for ours in ("quantity", "filled_quantity"):
        assert getattr(order, ours) == row[ours]
    for ours in ("price", "trigger_price", "market_protection"):
        wanted = row.get(ours) or None
        if ours == "market_protection" and "mktp:2.00" in row.get("tags", ()):
            wanted = 2
        assert getattr(order, ours) == wanted, ours
    assert order.display_quantity == (row["disclosed_quantity"] or None)
    assert order.average_price == (row["average_price"] or None)
    assert (order.order_id, order.order_ids) == (row["order_id"], (row["order_id"],))
    assert order.exchange_order_id == row["exchange_order_id"]
    assert order.raw_status == row["status"]
    assert order.status_text == (row["status_message"] or row.get("status_message_raw"))
    assert (order.tag, list(order.tags)) == (row["tag"], row.get("tags", []))
    assert order.placed_by == row["placed_by"]
    assert order.modified == row.get("modified", False)
    assert order.ts_accepted == time_ns(row["exchange_timestamp"])
    stamps = [time_ns(row.get(f"{name}_timestamp")) for name in ("order", "exchange", "exchange_update")]
    assert order.ts_event == max(filter(None, stamps))
    total = order.filled_quantity + order.remaining_quantity + order.canceled_quantity
    assert total == (0 if order.status is OrderStatus.REJECTED else order.quantity)
    assert order.raw == row


def test_order_book(mock):
    answer, rows = mock("orders.json")
    orders = run(ADAPTER.orders(CTX), [answer]).result
    assert len(orders) == len(rows) == 10
    for order, row in zip(orders, rows, strict=True):
        check_order(order, row)
    assert {order.status for order in orders} == {OrderStatus.CANCELED, OrderStatus.FILLED, OrderStatus.REJECTED}
    rejected = next(order for order in orders if order.status is OrderStatus.REJECTED)
    assert rejected.reject.kind == "INSUFFICIENT_MARGIN"
    assert "95417.84" in rejected.reject.text
    assert orders[-1].parent_order_id == "1953367517640548352"


def test_order_history(mock):
    answer, rows = mock("order_info.json")
    states = run(ADAPTER.order("171229000724687", CTX), [answer]).result
    for state, row in zip(states, rows, strict=True):
        check_order(state, row)
    S, none, modify = OrderStatus, Pending.NONE, Pending.MODIFY
    assert [(state.status, state.pending) for state in states] == [
        (S.ACCEPTED, none),
        (S.ACCEPTED, none),
        (S.ACCEPTED, none),
        (S.OPEN, none),
        (S.OPEN, modify),
        (S.OPEN, modify),
        (S.OPEN, none),
        (S.OPEN, none),
    ]


@pytest.mark.parametrize(("name", "order_id"), [("trades.json", None), ("order_trades.json", "200000000000000")])
def test_trades(mock, name, order_id):
    answer, rows = mock(name)
    fills = run(ADAPTER.trades(CTX, order_id), [answer]).result
    for fill, row in zip(fills, rows, strict=True):
        assert (fill.trade_id, fill.order_id) == (row["trade_id"], row["order_id"])
        assert fill.exchange_order_id == row["exchange_order_id"]
        assert (fill.quantity, fill.price, fill.exchange) == (row["quantity"], row["average_price"], row["exchange"])
        assert fill.side is WORDS["transaction_type"][row["transaction_type"]]
        assert fill.product is WORDS["product"][row["product"]]
        assert fill.ts_event == time_ns(row["fill_timestamp"])
        assert fill.instrument_id.partition(":")[0] == row["exchange"]


def test_positions(mock):
    answer, data = mock("positions.json")
    positions = run(ADAPTER.positions(CTX), [answer]).result
    for position, row in zip(positions, data["net"], strict=True):
        same = set(row) & set(Instrument.__slots__ + type(position).__slots__) - {"instrument_token", "product"}
        assert len(same) >= 21
        for name in same - {"average_price", "close_price", "last_price", "exchange"}:
            assert getattr(position, name) == row[name], name
        for name in ("average_price", "close_price", "last_price"):
            assert getattr(position, name) == (row[name] or None), name
        assert (position.realised_pnl, position.unrealised_pnl) == (row["realised"], row["unrealised"])
        assert position.product is WORDS["product"][row["product"]]


def test_margins(mock):
    answer, data = mock("margins.json")
    margins = {margin.segment: margin for margin in run(ADAPTER.margins(CTX), [answer]).result}
    for segment, name in ((Segment.EQUITY, "equity"), (Segment.COMMODITY, "commodity")):
        margin, row = margins[segment], data[name]
        assert (margin.enabled, margin.net) == (row["enabled"], row["net"])
        renamed = {"adhoc_margin": "adhoc", "debits": "total"}
        renamed |= {"liquid_collateral": "collateral_cash", "stock_collateral": "collateral_pledged"}
        for ours, theirs in ((margin.available, row["available"]), (margin.used, row["utilised"])):
            for word, value in theirs.items():
                assert getattr(ours, renamed.get(word, word)) == value, word


@pytest.mark.parametrize(
    ("name", "mode"), [("quote.json", Mode.FULL), ("ohlc.json", Mode.QUOTE), ("ltp.json", Mode.LTP)]
)
def test_quotes(mock, name, mode):
    answer, data = mock(name)
    (quote,) = run(ADAPTER.quotes([INFY], mode, CTX), [answer]).result
    row = json.loads(json.dumps(data["NSE:INFY"], default=float))
    renamed = {
        "buy_quantity": "total_buy_quantity",
        "sell_quantity": "total_sell_quantity",
        "oi_day_high": "oi_high",
        "oi_day_low": "oi_low",
        "lower_circuit_limit": "price_band_low",
        "upper_circuit_limit": "price_band_high",
    }
    assert quote.instrument_id == "NSE:INFY"
    for word, value in row.items():
        match word:
            case "instrument_token":
                assert str(value) == INFY.broker_token
            case "ohlc":
                assert (quote.open, quote.high, quote.low, quote.previous_close) == tuple(value.values())
            case "depth":
                for side, levels in ((quote.bids, value["buy"]), (quote.asks, value["sell"])):
                    real = [(level["price"], level["quantity"], level["orders"]) for level in levels if level["price"]]
                    assert list(side) == real
            case "timestamp":
                assert quote.ts_event == time_ns(value)
            case "last_trade_time":
                assert quote.last_trade_time == time_ns(value)
            case _:
                assert getattr(quote, renamed.get(word, word)) == value, word


def test_replies_to_place_modify_and_cancel(mock):
    order = OrderRequest(instrument_id="NSE:INFY", side=Side.BUY, quantity=Decimal(1))
    answer, data = mock("order_response.json")
    assert run(ADAPTER.place(order, INFY, CTX), [answer]).result.order_id == data["order_id"]
    answer, data = mock("autoslice_response.json")
    parent = run(ADAPTER.place(order, INFY, CTX), [answer]).result
    assert (parent.order_id, len(parent.children)) == (data["order_id"], len(data["children"]))
    assert [child.effect for child in parent.children] == ["ACCEPTED", "ACCEPTED", "REJECTED", "ACCEPTED"]


def test_sessions(mock):
    answer, data = mock("generate_session.json")

    def redirect(effect):
        ((name, state),) = effect.expect
        return {name: state, "request_token": "r", "status": "success"}

    session = run(ADAPTER.login(CTX), [redirect, answer]).result
    assert (session.account, session.access_token) == (data["user_id"], data["access_token"])
    kept = {key: value for key, value in data.items() if value != ""}
    assert dict(session.values) == kept
    answer, data = mock("profile.json")
    assert run(ADAPTER.import_token("t", CTX), [answer]).result.account == data["user_id"]
    answer, _ = mock("session_logout.json")
    assert run(ADAPTER.logout(CTX), [answer]).result is None


def test_a_postback_is_an_order(mock):
    row = json.loads((mock.folder / "postback.json").read_bytes())
    order = read_order(row, CTX)
    check_order(order, row)
    assert (order.status, order.average_price) == (OrderStatus.FILLED, 470)


@pytest.mark.parametrize("name", ["instruments_all.csv", "instruments_nse.csv"])
def test_instrument_dumps(mock, name):
    path = mock.folder / name
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    items = master(path)
    assert len({item.instrument_id for item in items}) == len(items) == len(rows)
    for item, row in zip(items, rows, strict=True):
        assert (item.broker_symbol, item.broker_token) == (row["tradingsymbol"], row["instrument_token"])
        assert (item.exchange, item.segment, item.exchange_token) == (
            row["exchange"],
            row["segment"],
            row["exchange_token"],
        )
        assert (item.tick_size, item.lot_size) == (Decimal(row["tick_size"]), Decimal(row["lot_size"]))
        assert (item.name, str(item.expiry or "")) == (row["name"], row["expiry"])
        assert (item.strike or 0) == Decimal(row["strike"])


@pytest.mark.parametrize("mode", ["full", "quote"])
def test_ticker_packets_decode_to_the_json_beside_them(mock, mode):
    packet = base64.b64decode((mock.folder / f"ticker_{mode}.packet").read_bytes())
    wanted = json.loads((mock.folder / f"ticker_{mode}.json").read_bytes())
    frame = b"\x00\x01" + len(packet).to_bytes(2, "big") + packet
    batch = Decoder(STREAM.compile()).decode(frame)
    (tick,) = batch
    assert (tick.key, tick.mode) == (wanted["instrument_token"], mode)
    renamed = {
        "buy_quantity": "total_buy_quantity",
        "sell_quantity": "total_sell_quantity",
        "oi_day_high": "oi_high",
        "oi_day_low": "oi_low",
        "timestamp": "ts_event",
    }
    for word, value in wanted.items():
        match word:
            case "mode" | "instrument_token" | "change":
                pass  # compared above; and the change is not on the wire
            case "tradable":
                assert value is not ("index" in STREAM.layouts[tick.layout].flags)
            case "ohlc":
                assert [tick.open, tick.high, tick.low, tick.previous_close] == list(value.values())
            case "depth":
                sides = [[tuple(level.values()) for level in value[side]] for side in ("buy", "sell")]
                assert [list(side) for side in batch.levels(0)] == sides
            case "timestamp" | "last_trade_time":
                assert getattr(tick, renamed.get(word, word)) == time_ns(value)
            case _:
                assert getattr(tick, renamed.get(word, word)) == value, word
