"""The venue's words and codes: total, both ways, every row of the table reached."""

from __future__ import annotations

from decimal import Decimal

import pytest
from dragoman.adapters.binance import BinanceAdapter
from dragoman.adapters.binance.words import (
    ALGO_STATUS,
    CODES,
    SPOT,
    STATUS,
    TIME_IN_FORCE,
    USDM,
    OrderKey,
    read_algo,
    read_order,
    read_report,
)

from dragoman.errors import Effect, ErrorKind, UsageError
from dragoman.model import Instrument, OrderStatus, OrderType, Pending, Product, Side, TimeInForce
from dragoman.model.enums import AssetClass, InstrumentType
from dragoman.plugin import Request
from dragoman.testing import ScriptedContext, reply

ADAPTER = BinanceAdapter()
K = ErrorKind
PLACE = Request(method="POST", path="/api/v3/order", mutates=True)
FUTURE = Request(method="POST", path="/fapi/v1/order", host="futures", mutates=True)


def instrument(exchange, suffix=""):
    return Instrument(
        instrument_id=f"BINANCE:BTC/USDT{suffix}",
        symbol="BTC/USDT",
        exchange=exchange,
        asset_class=AssetClass.CRYPTO,
        instrument_type=InstrumentType.PERP if suffix else InstrumentType.SPOT,
        broker_symbol="BTCUSDT",
        broker_token=f"{exchange}:BTCUSDT",
    )


CTX = ScriptedContext(account="1", instruments=(instrument("BINANCE"), instrument("BINANCEUSDM", "=PERP")))


def error(code, msg="words", status=400, request=PLACE, headers=None):
    found = ADAPTER.classify(reply({"code": code, "msg": msg}, status=status, headers=headers), request)
    assert found is not None
    return found


def test_every_row_of_the_code_table_is_reached_by_a_reply(monkeypatch):
    reached = set()
    find = CODES.find

    def spy(**asked):
        row = find(**asked)
        reached.add(id(row))
        return row

    monkeypatch.setattr(CODES, "find", spy)
    reads = [Request(path="/api/v3/order"), Request(path="/fapi/v1/order", host="futures")]
    for row in CODES.rows:
        word = row.code.removeprefix("usdm/")
        number, text = (word, "words") if row.on == "code" else (-1, word)
        if row.match == "prefix":
            number = {"-11": -1104, "-40": -4003}.get(word, word)
        for status in row.http or (400, 408, 401, 403, 418, 429, 499, 502):
            told = reply({"code": int(number), "msg": text}, status=status) if "HTTP" not in word else None
            for request in (PLACE, FUTURE, *reads):
                ADAPTER.classify(told or reply(status=status, body=b"<html>"), request)
    assert [row.code for row in CODES.rows if id(row) not in reached] == []


PAGE = b"<html><head><title>503 Service Unavailable</title></head><body>unable to process your request</body></html>"
BUSY = {"code": -1000, "msg": "Service Unavailable."}
FAILED = {"code": -1000, "msg": "Internal error; unable to process your request. Please try again."}
NOTHING_CAME = {"code": -1000, "msg": "Unknown error, please check your request or try again later."}
THROTTLED = {"code": -1008, "msg": "Request throttled by system-level protection."}
FILTER = {"code": -1013, "msg": "Filter failure: LOT_SIZE"}
LIMIT = {"code": -1003, "msg": "Too many requests."}
JSON, HTML = "application/json", "text/html"
# status, content type, body; what an order at spot and at futures is left in, and what a read at either is.
N, U = Effect.NONE, Effect.UNKNOWN
REPLIES = [
    (503, HTML, PAGE, (K.SERVER_5XX, U), (K.SERVER_5XX, U), K.SERVER_5XX),
    (503, JSON, PAGE, (K.SERVER_5XX, U), (K.SERVER_5XX, U), K.SERVER_5XX),
    (503, HTML, b"Service Unavailable.", (K.SERVER_5XX, U), (K.SERVER_5XX, U), K.SERVER_5XX),
    (503, JSON, b"", (K.SERVER_5XX, U), (K.SERVER_5XX, U), K.SERVER_5XX),
    (503, JSON, BUSY, (K.SERVER_5XX, U), (K.MAINTENANCE, N), None),
    (503, JSON, FAILED, (K.SERVER_5XX, U), (K.MAINTENANCE, N), None),
    (503, JSON, THROTTLED, (K.SERVER_5XX, U), (K.MAINTENANCE, N), None),
    (503, JSON, NOTHING_CAME, (K.SERVER_5XX, U), (K.SERVER_5XX, U), K.SERVER_5XX),
    (503, JSON, {"msg": "Service Unavailable."}, (K.SERVER_5XX, U), (K.SERVER_5XX, U), K.SERVER_5XX),
    (503, JSON, BUSY | {"msg": "503 Service Unavailable. Later"}, (K.SERVER_5XX, U), (K.SERVER_5XX, U), K.SERVER_5XX),
    (500, JSON, BUSY, (K.SERVER_5XX, U), (K.SERVER_5XX, U), K.SERVER_5XX),
    (502, HTML, PAGE, (K.SERVER_5XX, U), (K.SERVER_5XX, U), K.SERVER_5XX),
    (504, JSON, THROTTLED, (K.SERVER_5XX, U), (K.SERVER_5XX, U), K.SERVER_5XX),
    (500, JSON, FILTER, (K.SERVER_5XX, U), (K.SERVER_5XX, U), K.BAD_REQUEST),
    (503, JSON, LIMIT, (K.SERVER_5XX, U), (K.SERVER_5XX, U), K.RATE_LIMITED),
    (408, JSON, FILTER, (K.TIMEOUT, U), (K.TIMEOUT, U), K.BAD_REQUEST),
    (408, HTML, PAGE, (K.TIMEOUT, U), (K.TIMEOUT, U), K.TIMEOUT),
    (400, JSON, FILTER, (K.INVALID_QUANTITY, N), (K.INVALID_QUANTITY, N), K.INVALID_QUANTITY),
    (400, HTML, b"<html>insufficient balance</html>", (K.BAD_RESPONSE, U), (K.BAD_RESPONSE, U), K.BAD_REQUEST),
    (404, HTML, PAGE, (K.BAD_RESPONSE, U), (K.BAD_RESPONSE, U), K.BAD_REQUEST),
    (499, JSON, b"", (K.BAD_RESPONSE, U), (K.BAD_RESPONSE, U), K.BAD_REQUEST),
    (429, JSON, LIMIT, (K.RATE_LIMITED, N), (K.RATE_LIMITED, N), K.RATE_LIMITED),
    (429, HTML, PAGE, (K.BAD_RESPONSE, U), (K.BAD_RESPONSE, U), K.RATE_LIMITED),
    (403, HTML, PAGE, (K.BAD_RESPONSE, U), (K.BAD_RESPONSE, U), K.RATE_LIMITED),
    (401, HTML, PAGE, (K.BAD_RESPONSE, U), (K.BAD_RESPONSE, U), K.AUTH_INVALID),
    (200, HTML, PAGE, (K.BAD_RESPONSE, U), (K.BAD_RESPONSE, U), K.BAD_RESPONSE),
]


@pytest.mark.parametrize(("status", "content", "body", "spot", "futures", "read"), REPLIES)
def test_nothing_but_what_the_venue_documents_proves_that_an_order_was_not_processed(
    status, content, body, spot, futures, read
):
    told = {"json": body} if isinstance(body, dict) else {"body": body}
    answer = reply(status=status, headers={"content-type": content}, **told)
    for request, expected in ((PLACE, spot), (FUTURE, futures)):
        found = ADAPTER.classify(answer, request)
        assert (found.kind, found.effect) == expected
        for method in ("PUT", "DELETE"):
            assert ADAPTER.classify(answer, request.but(method=method)) == found
    if read is not None:
        for request in (PLACE, FUTURE):
            assert ADAPTER.classify(answer, request.but(method="GET", mutates=False)).kind is read


@pytest.mark.parametrize(
    ("found", "kind", "effect"),
    [
        (error(-1006, status=500), K.SERVER_5XX, Effect.UNKNOWN),
        (error(-1007, status=504), K.TIMEOUT, Effect.UNKNOWN),
        (error(-1007, status=408, request=FUTURE), K.TIMEOUT, Effect.UNKNOWN),
        (error(-1000, "Unknown error, please check your request or try again later.", 503, FUTURE), K.SERVER_5XX, None),
        (error(0, "Service Unavailable.", 503, FUTURE), K.MAINTENANCE, Effect.NONE),
        (error(-1008, "Request throttled by system-level protection.", 503, FUTURE), K.MAINTENANCE, Effect.NONE),
        (error(-2021, request=FUTURE), K.EXCHANGE_REJECTED, Effect.NONE),
        (error(-2021), K.EXCHANGE_REJECTED, Effect.APPLIED),
        (error(-2022, request=FUTURE), K.POSITION_ALREADY_FLAT, Effect.NONE),
        (error(-2010, "Duplicate order sent."), K.DUPLICATE_ORDER, Effect.APPLIED),
        (error(-2010, "Account has insufficient balance for requested action."), K.INSUFFICIENT_MARGIN, Effect.NONE),
        (error(-1013, "Filter failure: NOTIONAL"), K.INVALID_QUANTITY, Effect.NONE),
        (error(-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"), K.PRICE_OUT_OF_BAND, Effect.NONE),
        (error(-4164, request=FUTURE), K.INVALID_QUANTITY, Effect.NONE),
        (error(-1104), K.BAD_REQUEST, Effect.NONE),
        (error(-9999), K.UNMAPPED, None),
    ],
)
def test_a_failure_is_what_it_means(found, kind, effect):
    assert found.kind is kind
    assert effect is None or found.effect is effect


def test_gateways_without_a_body_leave_the_outcome_open_and_limits_say_how_long():
    gateway = ADAPTER.classify(reply(status=502, body=b"<html>bad gateway</html>"), PLACE)
    banned = ADAPTER.classify(
        reply({"code": -1003, "msg": "banned"}, status=418, headers={"retry-after": "120"}), PLACE
    )
    assert gateway.effect is Effect.UNKNOWN
    assert (banned.kind, banned.retry_after_s) == (K.RATE_LIMITED, 120.0)


def test_socket_replies_carry_their_own_status():
    request = PLACE.but(via="socket", correlation="a")
    assert ADAPTER.classify(reply({"id": "a", "status": 200, "result": {}}), request) is None
    failed = reply({"id": "a", "status": 400, "error": {"code": -2010, "msg": "Duplicate order sent."}})
    assert ADAPTER.classify(failed, request).kind is K.DUPLICATE_ORDER
    assert ADAPTER.correlate(b'{"id":"a","status":200}') == "a"
    assert ADAPTER.correlate(b'{"result":null,"id":1}') is None


def test_headers_say_what_is_used_but_where_they_are_wrong():
    headers = {"x-mbx-used-weight-1m": "812", "x-mbx-order-count-10s": "7", "x-mbx-order-count-1d": "99"}
    told = reply({}, headers=headers)
    assert ADAPTER.usage(told, PLACE) == {"spot/1m": 812, "spot_orders/10s": 7, "spot_orders/1d": 99}
    assert ADAPTER.usage(told, FUTURE)["usdm/1m"] == 812
    assert ADAPTER.usage(told, Request(path="/fapi/v1/ticker/bookTicker", host="futures")) == {}
    names = {limit.name for limit in ADAPTER.limits}
    assert set(ADAPTER.usage(told, PLACE)) <= names


def test_every_word_is_read_and_every_value_written():
    for market in (SPOT, USDM):
        for kind, word in market.order_types.outward.items():
            if kind not in (OrderType.TRAILING_STOP_LIMIT, OrderType.TRAILING_STOP_MARKET) or market is USDM:
                assert market.order_types.read(word) is kind
        assert market.order_types.read("NEW_KIND") is OrderType.UNKNOWN
    assert STATUS.read("NEW_STATUS") is ALGO_STATUS.read("NEW_STATUS") is OrderStatus.UNKNOWN
    assert TIME_IN_FORCE.read("RPI") is TimeInForce.UNKNOWN
    assert TIME_IN_FORCE.write(TimeInForce.GTC) == "GTC"


def test_order_ids_name_market_and_symbol():
    for text in ("s:BTCUSDT:28", "u:BTCUSDT_261225:22542179", "a:ETHUSDT:3358"):
        assert str(OrderKey.parse(text)) == text
    for text in ("28", "x:BTCUSDT:1", "s::1", "s:BTCUSDT:"):
        with pytest.raises(UsageError):
            OrderKey.parse(text)


NEW = {
    "e": "executionReport", "E": 1499405658658, "s": "BTCUSDT", "c": "mUvoqJxFIILMdfAW5iGSOW", "S": "BUY", "o": "LIMIT",
    "f": "GTC", "q": "1.00000000", "p": "0.10264410", "P": "0.00000000", "F": "0.00000000", "g": -1, "C": "",
    "x": "NEW", "X": "NEW", "r": "NONE", "i": 4293153, "l": "0.00000000", "z": "0.00000000", "L": "0.00000000",
    "n": "0", "N": None, "T": 1499405658657, "t": -1, "I": 8641984, "w": True, "m": False, "M": False,
    "O": 1499405658657, "Z": "0.00000000", "Y": "0.00000000", "Q": "0.00000000", "W": 1499405658657, "V": "NONE",
}  # fmt: skip
"""The vendor's sample frame (protocol page, section 8.1), of another symbol."""


def test_the_sample_report_is_an_open_order():
    order = read_report(SPOT, NEW, CTX).order
    assert (order.order_id, order.status, order.instrument_id) == (
        "s:BTCUSDT:4293153",
        OrderStatus.OPEN,
        "BINANCE:BTC/USDT",
    )
    assert (order.side, order.product, order.tag) == (Side.BUY, Product.CASH, "mUvoqJxFIILMdfAW5iGSOW")
    assert (order.price, order.average_price, order.ts_created) == (Decimal("0.10264410"), None, 1499405658657000000)


def test_a_trade_report_brings_its_fill():
    traded = NEW | {"x": "TRADE", "X": "PARTIALLY_FILLED", "l": "0.25", "L": "0.1", "z": "0.25", "Z": "0.025", "t": 56}
    seen = read_report(SPOT, traded | {"n": "0.0001", "N": "BNB", "m": True}, CTX)
    (fill,) = seen.fills
    assert (fill.trade_id, fill.quantity, fill.price, fill.fee, fill.fee_currency) == (
        "56",
        Decimal("0.25"),
        Decimal("0.1"),
        Decimal("0.0001"),
        "BNB",
    )
    assert (seen.order.average_price, seen.order.remaining_quantity) == (Decimal("0.1"), Decimal("0.75"))


def test_a_cancel_keeps_the_id_the_order_was_placed_under():
    canceled = NEW | {"x": "CANCELED", "X": "CANCELED", "c": "cancel-1", "C": "placed-1"}
    order = read_report(SPOT, canceled, CTX).order
    assert (order.tag, order.status, order.canceled_quantity) == ("placed-1", OrderStatus.CANCELED, Decimal("1"))


@pytest.mark.parametrize(
    ("word", "status", "pending"),
    [
        ("NEW", OrderStatus.TRIGGER_PENDING, Pending.NONE),
        ("PENDING_CANCEL", OrderStatus.TRIGGER_PENDING, Pending.CANCEL),
        ("EXPIRED_IN_MATCH", OrderStatus.EXPIRED, Pending.NONE),
        ("SOMETHING", OrderStatus.UNKNOWN, Pending.NONE),
    ],
)
def test_a_stop_that_does_not_work_yet_waits_for_its_trigger(word, status, pending):
    order = read_report(SPOT, NEW | {"o": "STOP_LOSS_LIMIT", "X": word, "w": False, "P": "0.11"}, CTX).order
    assert (order.status, order.pending, order.order_type) == (status, pending, OrderType.STOP_LIMIT)


FUTURES = {
    "clientOrderId": "testOrder", "cumQty": "0", "cumQuote": "0", "executedQty": "0", "orderId": 22542179,
    "avgPrice": "0.00000", "origQty": "10", "price": "0", "reduceOnly": False, "side": "BUY", "positionSide": "SHORT",
    "status": "NEW", "stopPrice": "0", "closePosition": False, "symbol": "BTCUSDT", "timeInForce": "GTD",
    "type": "LIMIT", "origType": "LIMIT", "updateTime": 1566818724722, "workingType": "CONTRACT_PRICE",
    "goodTillDate": 1693207680000,
}  # fmt: skip
ALGO = {
    "algoId": 3358, "clientAlgoId": "yT58zmV3DSzMBQxc5tAJXU", "algoType": "CONDITIONAL", "orderType": "STOP",
    "symbol": "BTCUSDT", "side": "BUY", "positionSide": "BOTH", "timeInForce": "GTC", "quantity": "0.002",
    "algoStatus": "NEW", "triggerPrice": "100000.00", "price": "102000.00", "createTime": 1763458576201,
    "updateTime": 1763458576201,
}  # fmt: skip


def test_futures_samples_are_read():
    order = read_order(USDM, FUTURES, CTX)
    assert (order.order_id, order.instrument_id) == ("u:BTCUSDT:22542179", "BINANCE:BTC/USDT=PERP")
    assert (order.time_in_force, order.product) == (TimeInForce.GTD, Product.MARGIN)
    waiting = read_algo(ALGO, CTX)
    assert (waiting.order_id, waiting.status, waiting.order_type) == (
        "a:BTCUSDT:3358",
        OrderStatus.TRIGGER_PENDING,
        OrderType.STOP_LIMIT,
    )
    assert (waiting.trigger_price, waiting.exchange_order_id) == (Decimal("100000.00"), None)


def test_an_order_made_by_a_conditional_one_keeps_its_id():
    known = read_algo(ALGO | {"algoStatus": "TRIGGERED", "actualOrderId": "77"}, CTX)
    ctx = ScriptedContext(account="1", instruments=CTX.instruments._all, orders=(known,))
    made = read_order(USDM, FUTURES | {"orderId": 77, "origType": "STOP", "clientOrderId": "x"}, ctx)
    assert (made.order_id, made.exchange_order_id, made.order_type) == ("a:BTCUSDT:3358", "77", OrderType.STOP_LIMIT)
    other = read_order(USDM, FUTURES | {"orderId": 78, "origType": "STOP", "clientOrderId": "x"}, ctx)
    assert other.order_id == "u:BTCUSDT:78"
