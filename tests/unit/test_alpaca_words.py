"""Alpaca's words and records: the page's examples, tables that are total, codes that are reachable."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from dragoman.adapters.alpaca import words
from dragoman.adapters.alpaca.adapter import AlpacaAdapter
from dragoman.adapters.alpaca.master import read_asset, read_contract

from dragoman.errors import DecodeError, Effect, ErrorKind
from dragoman.model import OptionType, OrderStatus, OrderType, Pending, Side, TimeInForce
from dragoman.plugin import Request
from dragoman.testing.drive import ScriptedContext, reply

S = OrderStatus
CTX = ScriptedContext(account="PA1")
ADAPTER = AlpacaAdapter()

# Protocol page, sections 3.2 and 3.3: documentation, order and position objects.
ORDER = json.loads(
    """{"id":"61e69015-8549-4bfd-b9c3-01e75843f47d","client_order_id":"eb9e2aaa-f71a-4f51-b5b4-52a6c565dad4",
 "created_at":"2021-03-16T18:38:01.942282Z","updated_at":"2021-03-16T18:38:01.942282Z",
 "submitted_at":"2021-03-16T18:38:01.937734Z",
 "filled_at":null,"expired_at":null,"canceled_at":null,"failed_at":null,"replaced_at":null,"replaced_by":null,
 "replaces":null,"asset_id":"904837e3-3b76-47ec-b432-046db621571b","symbol":"AAPL","asset_class":"us_equity",
 "notional":null,"qty":"1","filled_qty":"0","filled_avg_price":null,"order_class":"simple","order_type":"market",
 "type":"market","side":"buy","time_in_force":"day","limit_price":null,"stop_price":null,"status":"accepted",
 "extended_hours":false,"legs":null,"trail_percent":null,"trail_price":null,"hwm":null,
 "position_intent":"buy_to_open"}"""
)
POSITION = json.loads(
    """{"asset_id":"904837e3","symbol":"AAPL","exchange":"NASDAQ","asset_class":"us_equity","avg_entry_price":"100.0",
 "qty":"5","side":"long","market_value":"600.0","cost_basis":"500.0","unrealized_pl":"100.0","unrealized_plpc":"0.20",
 "unrealized_intraday_pl":"10.0","unrealized_intraday_plpc":"0.0084","current_price":"120.0",
 "lastday_price":"119.0","change_today":"0.0084","qty_available":"5"}"""
)
FILL = json.loads(
    """{"activity_type":"FILL","id":"20190801011955195::5f596936-6f23-4cef-bdf1-3806aae57dbf","cum_qty":"1",
 "leaves_qty":"0","price":"1.63","qty":"1","side":"buy","symbol":"LPCN","transaction_time":"2019-08-01T05:19:55.195Z",
 "order_id":"904837e3","type":"fill","order_status":"filled"}"""
)


def order(**more):
    return words.read_order(ORDER | more, CTX)


def test_the_order_of_the_page_is_read():
    read = order()
    assert (read.order_id, read.instrument_id, read.side) == (ORDER["id"], "US:AAPL", Side.BUY)
    assert (read.status, read.raw_status, read.order_type) == (S.ACCEPTED, "accepted", OrderType.MARKET)
    assert (read.quantity, read.remaining_quantity, read.price, read.average_price) == (1, 1, None, None)
    assert read.time_in_force is TimeInForce.DAY
    assert read.ts_event == 1_615_919_881_942_282_000
    assert read.tag == ORDER["client_order_id"]


def test_the_position_and_the_fill_of_the_page_are_read():
    fill = words.read_fill(FILL, CTX)
    assert (fill.trade_id, fill.instrument_id, fill.price, fill.quantity) == (
        "904837e3:1",
        "US:LPCN",
        Decimal("1.63"),
        1,
    )
    assert fill.ts_event == 1_564_636_795_195_000_000
    position = words.read_position(POSITION, [], CTX)
    assert (position.quantity, position.average_price, position.overnight_quantity) == (5, 100, 5)
    assert (position.unrealised_pnl, position.close_price, position.currency) == (100, 119, "USD")
    assert words.read_position(POSITION | {"qty": "-5", "side": "short"}, [], CTX).quantity == -5
    assert words.read_position(POSITION | {"side": "short"}, [], CTX).quantity == -5


@pytest.mark.parametrize("word", sorted(words.STATUS.inward))
def test_every_status_of_the_page_has_a_meaning(word):
    read = order(status=word, qty="10", filled_qty="0")
    assert read.status is not S.UNKNOWN
    assert read.status.terminal is (word in ("filled", "canceled", "expired", "rejected"))
    assert read.pending is words.PENDING.read(word)


def test_unknown_words_are_unknown_and_kept():
    read = order(status="on_the_moon", type="magic", order_type="magic", time_in_force="eon", order_class="zoo")
    assert (read.status, read.raw_status) == (S.UNKNOWN, "on_the_moon")
    assert (read.order_type, read.time_in_force, read.variety) == ("UNKNOWN", "UNKNOWN", "UNKNOWN")
    with pytest.raises(DecodeError, match="side"):
        order(side="sideways")


def test_calculated_is_filled_only_where_all_of_it_is():
    assert order(status="calculated", qty="10", filled_qty="10", filled_avg_price="5").status is S.FILLED
    partly = order(status="calculated", qty="10", filled_qty="4", filled_avg_price="5")
    assert (partly.status, partly.status_is_firm) == (S.PARTIALLY_FILLED, False)


def test_a_replaced_id_is_no_end_and_names_its_chain():
    read = order(status="replaced", replaces="A", replaced_by="C", id="B")
    assert (read.status.terminal, read.status_is_firm, read.pending) == (False, False, Pending.MODIFY)
    assert read.order_ids == ("A", "B", "C")
    assert words.read_orders([ORDER | {"status": "rejected", "replaces": "A"}], CTX) == []


def test_legs_of_a_multi_leg_order_stand_for_it():
    legs = [{**ORDER, "id": name, "symbol": "AAPL240621C00190000", "asset_class": "us_option"} for name in "XY"]
    parent = {"id": "P", "order_class": "mleg", "symbol": None, "status": "new", "legs": legs}
    read = words.read_orders([parent], CTX)
    assert [(one.order_id, one.parent_order_id) for one in read] == [("X", "P"), ("Y", "P")]


def test_a_rejected_order_says_that_nothing_was_said():
    read = order(status="rejected", failed_at="2021-03-16T18:38:02Z")
    assert (read.reject.kind, read.reject.code, read.remaining_quantity) == (ErrorKind.EXCHANGE_REJECTED, "rejected", 0)


@pytest.mark.parametrize(
    ("symbol", "kind", "wanted"),
    [
        ("AAPL", "us_equity", "US:AAPL"),
        ("BRK.B", "us_equity", "US:BRK.B"),
        ("AAPL240621C00190000", "us_option", "US:AAPL@20240621-190CE"),
        ("SPY261218P00650500", "us_option", "US:SPY@20261218-650.5PE"),
        ("BTC/USD", "crypto", "ALPACA:BTC/USD"),
        ("SOLUSD", "crypto", "ALPACA:SOL/USD"),
        ("ETHUSDT", "crypto", "ALPACA:ETH/USDT"),
        ("ETHBTC", "crypto", "ALPACA:ETH/BTC"),
    ],
)
def test_symbols_are_canonical_with_and_without_the_master(symbol, kind, wanted):
    assert str(words.canonical(symbol, kind)) == wanted


def test_assets_and_contracts_are_instruments():
    row = {
        "id": "u-1",
        "class": "us_equity",
        "exchange": "NASDAQ",
        "symbol": "AAPL",
        "name": "Apple",
        "status": "active",
    }
    share = read_asset(row | {"tradable": True, "fractionable": True})
    assert (share.instrument_id, share.broker_token, share.lot_size) == ("US:AAPL", "u-1", Decimal("0.000000001"))
    assert read_asset(row | {"tradable": True, "fractionable": False}).lot_size == 1
    pair = read_asset(
        row | {"class": "crypto", "symbol": "BTC/USD", "price_increment": "1", "min_trade_increment": "0.0001"}
    )
    assert (pair.instrument_id, pair.exchange, pair.tick_size, pair.currency) == ("ALPACA:BTC/USD", "ALPACA", 1, "USD")
    assert read_asset(row | {"class": "crypto_perp"}) is None
    contract = read_contract(
        {
            "id": "u-2",
            "symbol": "AAPL240621C00190000",
            "root_symbol": "AAPL",
            "underlying_symbol": "AAPL",
            "expiration_date": "2024-06-21",
            "type": "call",
            "strike_price": "190",
            "size": "100",
            "tradable": True,
        }
    )
    assert contract.instrument_id == "US:AAPL@20240621-190CE"
    assert (contract.expiry, contract.option_type, contract.multiplier) == (date(2024, 6, 21), OptionType.CALL, 100)


# -- codes -------------------------------------------------------------------------------------------------------------


PLACE = Request(method="POST", path="/v2/orders", mutates=True)


def test_every_row_of_the_codes_is_reached_by_a_reply(monkeypatch):
    reached = set()
    find = words.CODES.find

    def spy(**asked):
        row = find(**asked)
        reached.add(id(row))
        return row

    monkeypatch.setattr(words.CODES, "find", spy)
    for status in (400, 401, 403, 404, 422, 429, 502):
        for row in words.CODES.rows:
            told = {"code": row.code, "message": "words"} if row.on == "code" else {"code": 1, "message": row.code}
            for answer in (reply(told, status=status), reply(status=status, body=b"<html>")):
                for request in (PLACE, Request(path="/v2/orders")):
                    ADAPTER.classify(answer, request)
    # Rows of status 0 are of what is no reply: the streams look those up, and orders that are rejected later.
    missing = [row for row in words.CODES.rows if id(row) not in reached]
    assert {row.http for row in missing} == {(0,)}
    assert all(row.code == "rejected" or row.code.startswith("stream/") for row in missing)


PAGE = b"<html>insufficient buying power, order not found, not cancelable</html>"
JSON, HTML = "application/json", "text/html"
K, N, U = ErrorKind, Effect.NONE, Effect.UNKNOWN


@pytest.mark.parametrize(
    ("status", "content", "body", "mutating", "read"),
    [
        (400, HTML, PAGE, (K.BAD_RESPONSE, U), K.BAD_REQUEST),
        (401, HTML, PAGE, (K.BAD_RESPONSE, U), K.AUTH_INVALID),
        (403, HTML, PAGE, (K.BAD_RESPONSE, U), K.PERMISSION_DENIED),
        (403, JSON, PAGE, (K.BAD_RESPONSE, U), K.PERMISSION_DENIED),
        (404, HTML, PAGE, (K.BAD_RESPONSE, U), K.ORDER_NOT_FOUND),
        (422, HTML, PAGE, (K.BAD_RESPONSE, U), K.BAD_REQUEST),
        (422, JSON, b"", (K.BAD_RESPONSE, U), K.BAD_REQUEST),
        (429, HTML, PAGE, (K.BAD_RESPONSE, U), K.RATE_LIMITED),
        (499, HTML, PAGE, (K.BAD_RESPONSE, U), K.UNMAPPED),
        (500, HTML, PAGE, (K.SERVER_5XX, U), K.SERVER_5XX),
        (503, HTML, PAGE, (K.SERVER_5XX, U), K.SERVER_5XX),
        (503, JSON, {"code": 42210000, "message": "order is not cancelable"}, (K.SERVER_5XX, U), K.SERVER_5XX),
        (504, JSON, {"code": 40310000, "message": "insufficient buying power"}, (K.SERVER_5XX, U), K.SERVER_5XX),
        (429, JSON, {"code": 42910000, "message": "too many requests"}, (K.RATE_LIMITED, N), K.RATE_LIMITED),
        (422, JSON, {"code": 42210000, "message": "bad value"}, (K.BAD_REQUEST, N), K.BAD_REQUEST),
        (403, JSON, {"message": "forbidden."}, (K.RISK_REJECTED, N), K.PERMISSION_DENIED),
    ],
)
def test_nothing_but_the_brokers_own_words_proves_that_nothing_was_done(status, content, body, mutating, read):
    told = {"json": body} if isinstance(body, dict) else {"body": body}
    answer = reply(status=status, headers={"content-type": content}, **told)
    for method in ("POST", "PATCH", "DELETE"):
        found = ADAPTER.classify(answer, PLACE.but(method=method))
        assert (found.kind, found.effect) == mutating
    assert ADAPTER.classify(answer, Request(path="/v2/orders")).kind is read


@pytest.mark.parametrize(
    ("status", "body", "kind", "effect"),
    [
        (
            422,
            {"code": 40010001, "message": "client_order_id must be unique"},
            ErrorKind.DUPLICATE_ORDER,
            Effect.APPLIED,
        ),
        (403, {"code": 40310000, "message": "insufficient buying power"}, ErrorKind.INSUFFICIENT_MARGIN, Effect.NONE),
        (403, {"code": 40310000, "message": "account is not allowed to short"}, ErrorKind.RISK_REJECTED, Effect.NONE),
        (404, {"code": 40410000, "message": "order not found"}, ErrorKind.ORDER_NOT_FOUND, Effect.NONE),
        (
            422,
            {"code": 42210000, "message": "order is not cancelable"},
            ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL,
            Effect.NONE,
        ),
        (422, {"code": 42219999, "message": "never seen"}, ErrorKind.BAD_REQUEST, Effect.NONE),
        (401, {"code": 40110000, "message": "request is not authorized"}, ErrorKind.AUTH_INVALID, Effect.NONE),
        (504, "<html>gateway</html>", ErrorKind.SERVER_5XX, Effect.UNKNOWN),
        (500, {"code": 50010000, "message": "internal server error"}, ErrorKind.SERVER_5XX, Effect.UNKNOWN),
        (418, {"code": 41810000, "message": "teapot"}, ErrorKind.UNMAPPED, None),
    ],
)
def test_replies_mean_what_their_status_code_and_words_say(status, body, kind, effect):
    answer = reply(body, status=status) if isinstance(body, dict) else reply(body=body.encode(), status=status)
    failure = ADAPTER.classify(answer, Request(method="POST", path="/v2/orders", mutates=True))
    assert (failure.kind, failure.effect) == (kind, effect)


def test_the_headers_say_when_to_go_on_and_what_is_used():
    headers = {"x-ratelimit-limit": "200", "x-ratelimit-remaining": "150", "x-ratelimit-reset": "1767254460"}
    answer = reply({"code": 42910000, "message": "too many requests."}, status=429, headers=headers)
    answer.ts_recv = 1_767_254_430_000_000_000
    failure = ADAPTER.classify(answer, Request(path="/v2/orders"))
    assert (failure.kind, failure.retry_after_s) == (ErrorKind.RATE_LIMITED, 30.0)
    assert ADAPTER.usage(answer, Request(path="/v2/orders")) == {"default/1m": 50}
    assert ADAPTER.usage(answer, Request(path="/v2/stocks/bars", host="data")) == {}
    assert ADAPTER.classify(reply({}), Request()) is None
