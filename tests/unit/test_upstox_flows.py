"""Flows with scripted replies: what leaves, and what comes back."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from dragoman.checks import check_request
from dragoman.errors import AuthRequired, DecodeError, ErrorKind, OutcomeUnknown, Rejected, UsageError
from dragoman.model import (
    GttLeg,
    GttRequest,
    Mode,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderType,
    Origin,
    Position,
    Product,
    Side,
    TimeInForce,
    Variety,
)
from dragoman.plugin import Lane
from dragoman.plugin.values import IST
from dragoman.testing import reply
from fixtures.upstox.account import ADAPTER, NOON, TRADE, UPDATE, context, data, run

D = Decimal
CTX = context()
SHARE, OPTION = (CTX.instruments.get(name) for name in ("NSE:NHPC", "NFO:NIFTY@20260127-26000CE"))
HALF_PAST_THREE = int(datetime(2026, 1, 2, 3, 30, tzinfo=IST).timestamp()) * 10**9
NEXT_YEAR = 1_800_000_000


def order(**changes):
    given = {"instrument_id": "NSE:NHPC", "side": Side.BUY, "quantity": D(10), "wire_id": "0000100001AB"}
    return OrderRequest(**(given | changes))


def placed(request, instrument=SHARE, answer=None, ctx=CTX):
    driven = run(
        ADAPTER.place(ADAPTER.check_order(request, instrument), instrument, ctx),
        [answer or data({"order_ids": ["1644490272000"]}, metadata={"latency": 30})],
        ctx,
    )
    return json.loads(driven.bodies[0]), driven


def working(**changes):
    given = {"instrument_id": "NSE:NHPC", "side": Side.BUY, "quantity": D(10), "order_id": "77"}
    given |= {"order_type": OrderType.LIMIT, "status": OrderStatus.OPEN, "price": D("80.5")}
    return Order(**(given | {"time_in_force": TimeInForce.DAY} | changes))


# --- session ---------------------------------------------------------------------------------------------------------


def test_login_trades_the_code_for_a_token_that_dies_at_half_past_three():
    ctx = context(login={}, hosts={**ADAPTER.hosts["live"]})
    told = {"access_token": "new", "extended_token": "year", "user_id": "4PAA01", "products": ["D"]}
    driven = run(ADAPTER.login(ctx), [{"code": "abc"}, told], ctx)
    page = urlsplit(driven.effects[0].url)
    assert parse_qs(page.query) == {
        "response_type": ["code"],
        "client_id": ["client"],
        "redirect_uri": ["http://127.0.0.1:5010/"],
    }
    assert driven.effects[0].state_param == "state"
    assert dict(driven.requests[0].form) == {
        "code": "abc",
        "client_id": "client",
        "client_secret": "secret",
        "redirect_uri": "http://127.0.0.1:5010/",
        "grant_type": "authorization_code",
    }
    assert (driven.result.account, driven.result.expires_ns) == ("4PAA01", HALF_PAST_THREE)
    assert driven.result.secrets == {"access_token", "extended_token"}


def test_login_without_a_code_is_no_login():
    with pytest.raises(AuthRequired, match="expected code"):
        run(ADAPTER.login(CTX), [{"error": "denied"}], CTX)


def test_a_token_says_itself_when_it_dies():
    claims = base64.urlsafe_b64encode(json.dumps({"exp": NEXT_YEAR}).encode()).decode().rstrip("=")
    found = run(ADAPTER.import_token(f"h.{claims}.s", CTX), [data({"user_id": "4PAA01"})], CTX).result
    assert found.expires_ns == NEXT_YEAR * 10**9
    for odd in ("h.x.s", "a.b", "h.e30.s"):
        assert run(ADAPTER.import_token(odd, CTX), [data({"user_id": "4"})], CTX).result.expires_ns == HALF_PAST_THREE


def test_logging_out_of_a_dead_session_is_no_failure():
    dead = {"status": "error", "errors": [{"error_code": "UDAPI100050", "message": "dead"}]}
    run(ADAPTER.logout(CTX), [reply(dead, status=401)], CTX)


# --- orders ----------------------------------------------------------------------------------------------------------


def test_a_limit_order_leaves_for_the_order_host_with_every_field():
    body, driven = placed(order(order_type=OrderType.LIMIT, price=D("80.05"), tag="mean7"))
    assert body == {
        "quantity": 10,
        "product": "D",
        "validity": "DAY",
        "price": 80.05,
        "instrument_token": "NSE_EQ|INE848E01016",
        "order_type": "LIMIT",
        "transaction_type": "BUY",
        "disclosed_quantity": 0,
        "trigger_price": 0,
        "is_amo": False,
        "slice": False,
        "tag": "0000100001ABmean7",
    }
    (request,) = driven.requests
    assert (request.host, request.path, request.meter, request.mutates) == ("order", "/v3/order/place", "orders", True)
    assert (driven.result.effect, driven.result.order_id) == ("ACCEPTED", "1644490272000")


@pytest.mark.parametrize("kind", [OrderType.MARKET, OrderType.STOP_MARKET])
def test_market_orders_are_protected_by_the_broker_unless_a_percent_is_given(kind):
    trigger = D(90) if kind is OrderType.STOP_MARKET else None
    assert placed(order(order_type=kind, trigger_price=trigger))[0]["market_protection"] == -1
    body, _ = placed(order(order_type=kind, trigger_price=trigger, market_protection=D(3)))
    assert body["market_protection"] == 3


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"market_protection": D(26)}, "1 to 25"),
        ({"market_protection": D("0.5")}, "1 to 25"),
        ({"order_type": OrderType.LIMIT, "price": D(1), "market_protection": D(1)}, "takes no market_protection"),
        ({"product": Product.CARRY}, "takes no CARRY"),
        ({"display_quantity": D("0.5")}, "below a tenth"),
        ({"extras": {"upstox": {"slices": 2}}}, "known: slice"),
    ],
)
def test_what_the_broker_does_not_take_is_refused_before_a_byte_leaves(changes, what):
    with pytest.raises(UsageError) as refusal:
        ADAPTER.check_order(order(**changes), SHARE)
    assert what in f"{refusal.value} {refusal.value.remedy}"


def test_a_sliced_order_may_lie_above_the_freeze_quantity_and_has_children():
    large = order(instrument_id=OPTION.instrument_id, quantity=D(1950), product=Product.INTRADAY)
    with pytest.raises(UsageError, match="freeze quantity"):
        check_request(large, OPTION, ADAPTER)
    large = replace(large, extras={"upstox": {"slice": True}})
    check_request(large, OPTION, ADAPTER)
    body, driven = placed(large, OPTION, data({"order_ids": ["1", "2"]}))
    assert body["slice"] is True
    assert driven.requests[0].cost > 1
    assert [child.order_id for child in driven.result.children] == ["1", "2"]
    assert driven.result.order_id is None


@pytest.mark.parametrize("found", [{}, {"order_ids": []}, {"order_ids": [None]}, {"order_ids": [7]}])
def test_a_reply_without_an_id_says_nothing_that_could_be_relied_on(found):
    with pytest.raises(DecodeError):
        placed(order(), answer=data(found))


def test_a_server_error_leaves_the_order_open():
    with pytest.raises(OutcomeUnknown):
        placed(order(), answer=reply(body=b"<html>", status=504))


def test_amo_and_algo_and_disclosure_go_on_the_wire():
    body, driven = placed(order(variety=Variety.AMO, algo_id="mean", display_quantity=D(2), quantity=D(20)))
    assert (body["is_amo"], body["disclosed_quantity"]) == (True, 2)
    assert dict(driven.requests[0].headers)["X-Algo-Name"] == "mean"


def test_a_change_repeats_what_stays():
    driven = run(ADAPTER.modify(working(), OrderChange(quantity=D(8)), SHARE, CTX), [data({"order_id": "77"})], CTX)
    assert json.loads(driven.bodies[0]) == {
        "order_id": "77",
        "validity": "DAY",
        "order_type": "LIMIT",
        "price": 80.5,
        "trigger_price": 0,
        "quantity": 8,
    }
    assert (driven.requests[0].method, driven.requests[0].host) == ("PUT", "order")
    change = OrderChange(order_type=OrderType.MARKET)
    driven = run(ADAPTER.modify(working(), change, SHARE, CTX), [data({"order_id": "77"})], CTX)
    body = json.loads(driven.bodies[0])
    assert (body["order_type"], body["price"], body["market_protection"]) == ("MARKET", 0, -1)
    with pytest.raises(UsageError, match="must repeat both"):
        run(ADAPTER.modify(working(order_type=OrderType.UNKNOWN), OrderChange(quantity=D(8)), SHARE, CTX), [], CTX)


@pytest.mark.parametrize(
    ("known", "asked", "expected"),
    [(D(5), None, 5), (D(5), D(8), 8), (None, D(8), 8), (None, None, -1)],
)
def test_a_change_repeats_the_protection_that_the_order_has(known, asked, expected):
    order_ = working(order_type=OrderType.STOP_MARKET, trigger_price=D(90), market_protection=known, origin=Origin.US)
    change = OrderChange(trigger_price=D(91), market_protection=asked)
    driven = run(ADAPTER.modify(order_, change, SHARE, CTX), [data({"order_id": "77"})], CTX)
    assert json.loads(driven.bodies[0])["market_protection"] == expected


def test_protection_that_nobody_tells_is_not_replaced_by_the_brokers():
    strange = working(order_type=OrderType.STOP_MARKET, trigger_price=D(90))
    with pytest.raises(UsageError, match="placed elsewhere"):
        run(ADAPTER.modify(strange, OrderChange(trigger_price=D(91)), SHARE, CTX), [], CTX)


def test_a_cancel_spends_the_lane_of_risk():
    driven = run(ADAPTER.cancel(working(), CTX), [data({"order_id": "77"})], CTX)
    (request,) = driven.requests
    assert (request.method, request.host, request.query, request.lane) == (
        "DELETE",
        "order",
        (("order_id", "77"),),
        Lane.RISK,
    )


def test_book_history_and_trades_are_read():
    assert run(ADAPTER.orders(CTX), [data([UPDATE])], CTX).result[0].order_id == "240221025997024"
    assert run(ADAPTER.orders(CTX), [data([])], CTX).result == []
    driven = run(ADAPTER.order("7", CTX), [data([UPDATE])], CTX)
    assert (driven.requests[0].path, driven.requests[0].query) == ("/v2/order/history", (("order_id", "7"),))
    trade = TRADE | {"average_price": 299.4}
    assert run(ADAPTER.trades(CTX, "7"), [data([trade])], CTX).result[0].price == D("299.4")
    with pytest.raises(DecodeError, match="expected a list"):
        run(ADAPTER.orders(CTX), [data({})], CTX)


# --- quotes, candles, money ------------------------------------------------------------------------------------------


def test_quotes_are_joined_by_the_key_inside_not_by_the_key_outside():
    row = {"instrument_token": "NSE_EQ|INE848E01016", "last_price": 80.5, "cp": 80.0, "volume": 7, "ltq": 2}
    driven = run(ADAPTER.quotes([SHARE, OPTION], Mode.LTP, CTX), [data({"NSE_EQ:NHPC": row})], CTX)
    assert dict(driven.requests[0].query)["instrument_key"] == "NSE_EQ|INE848E01016,NSE_FO|45450"
    (found,) = driven.result
    assert (found.last_price, found.previous_close, found.volume, found.last_quantity) == (80.5, 80.0, 7.0, 2.0)


def test_many_quotes_are_asked_for_in_batches():
    many = [replace(SHARE, broker_token=f"NSE_EQ|{at}") for at in range(501)]
    driven = run(ADAPTER.quotes(many, Mode.FULL, CTX), [data({}), data({})], CTX)
    assert [dict(one.query)["instrument_key"].count(",") + 1 for one in driven.requests] == [500, 1]
    with pytest.raises(UsageError, match="no quotes in mode deep"):
        run(ADAPTER.quotes([SHARE], Mode.DEEP, CTX), [], CTX)


def test_depth_of_what_the_broker_does_not_list_is_refused():
    with pytest.raises(Rejected) as refusal:
        run(ADAPTER.depth(SHARE, CTX), [data({})], CTX)
    assert refusal.value.kind is ErrorKind.INSTRUMENT_NOT_FOUND


def test_a_full_quote_tells_yesterdays_close_by_its_change():
    levels = [{"quantity": 5, "price": 80.4, "orders": 2}, {"quantity": 0, "price": 0, "orders": 0}]
    row = {"instrument_token": SHARE.broker_token, "last_price": 80.5, "net_change": 0.5, "depth": {"buy": levels}}
    row |= {"ohlc": {"open": 80.0, "close": 80.5}, "last_trade_time": "1767252600000"}
    found = run(ADAPTER.depth(SHARE, CTX), [data({"x": row})], CTX).result
    assert (found.previous_close, found.bid_price, len(found.bids)) == (80.0, 80.4, 1)
    assert found.last_trade_time == NOON


def candle(when, price=10.0):
    return [when, price, price + 1, price - 1, price, 100, 0]


def test_history_is_cut_into_months_and_today_is_a_call_of_its_own():
    end = datetime.fromtimestamp(NOON / 1e9, IST)
    rows = [[candle("2025-12-31T15:25:00+05:30"), candle("2025-12-31T09:15:00+05:30")], [], []]
    today = [candle("2026-01-01T12:55:00+05:30"), candle("2026-01-01T09:15:00+05:30")]
    answers = [data({"candles": found}) for found in (*rows, today)]
    driven = run(ADAPTER.candles(SHARE, "5m", end - timedelta(days=70), end, CTX), answers, CTX)
    assert [urlsplit(one.path).path for one in driven.requests] == [
        "/v3/historical-candle/NSE_EQ%7CINE848E01016/minutes/5/2025-11-19/2025-10-23",
        "/v3/historical-candle/NSE_EQ%7CINE848E01016/minutes/5/2025-12-17/2025-11-20",
        "/v3/historical-candle/NSE_EQ%7CINE848E01016/minutes/5/2025-12-31/2025-12-18",
        "/v3/historical-candle/intraday/NSE_EQ%7CINE848E01016/minutes/5",
    ]
    times = [one.ts_open for one in driven.result]
    assert times == sorted(times)
    assert len(times) == 4
    assert [one.is_closed for one in driven.result] == [True, True, True, True]


@pytest.mark.parametrize("interval", ["301m", "6h", "2d", "1s", "m", "0m"])
def test_intervals_the_broker_lacks_are_refused(interval):
    end = datetime.fromtimestamp(NOON / 1e9, IST)
    with pytest.raises(UsageError, match="no candles of"):
        run(ADAPTER.candles(SHARE, interval, end, end, CTX), [], CTX)


def test_positions_of_both_calls_count_once():
    row = UPDATE | {"quantity": 5, "product": "MTF"}
    found = run(ADAPTER.positions(CTX), [data([row]), data([row, row | {"product": "D"}])], CTX).result
    assert [(one.product, one.quantity) for one in found] == [(Product.MTF, 5), (Product.DELIVERY, 5)]


def test_converting_more_than_the_position_is_refused():
    held = Position(instrument_id="NSE:NHPC", product=Product.INTRADAY, quantity=D(-5))
    driven = run(ADAPTER.convert(held, D(5), Product.DELIVERY, SHARE, CTX), [data({"status": "complete"})], CTX)
    assert json.loads(driven.bodies[0])["transaction_type"] == "SELL"
    with pytest.raises(UsageError, match="the position is -5"):
        run(ADAPTER.convert(held, D(6), Product.DELIVERY, SHARE, CTX), [], CTX)


def test_margins_of_a_basket_keep_its_legs():
    legs = [{"total_margin": 100.5, "span_margin": 60, "exposure_margin": 40.5}]
    found = data({"required_margin": 100.5, "final_margin": 90, "margins": legs})
    basket = run(ADAPTER.basket_margin([order(price=D(80))], CTX), [found], CTX).result
    assert (basket.initial.total, basket.final.total, basket.orders[0].span) == (D("100.5"), 90, 60)
    assert run(ADAPTER.order_margin([order()], CTX), [found], CTX).result[0].total == D("100.5")
    with pytest.raises(UsageError, match="1 to 20"):
        run(ADAPTER.order_margin([order()] * 21, CTX), [], CTX)
    with pytest.raises(UsageError, match="no choice about positions"):
        run(ADAPTER.basket_margin([order()], CTX, consider_positions=False), [], CTX)


# --- GTT -------------------------------------------------------------------------------------------------------------


def trigger(price, **changes):
    leg = {"trigger_price": D(price), "side": Side.BUY, "quantity": D(2), "price": D(0), "order_type": OrderType.MARKET}
    return GttRequest(instrument_id="NSE:NHPC", legs=(GttLeg(**(leg | changes)),), last_price=D(80))


@pytest.mark.parametrize(("price", "side_of_market"), [("79", "BELOW"), ("81", "ABOVE")])
def test_a_gtt_names_the_side_of_the_market_its_trigger_lies_on(price, side_of_market):
    driven = run(ADAPTER.gtt_place(trigger(price), SHARE, CTX), [data({"gtt_order_ids": ["GTT-1"]})], CTX)
    body = json.loads(driven.bodies[0])
    assert body["rules"] == [
        {
            "strategy": "ENTRY",
            "trigger_type": side_of_market,
            "trigger_price": int(price),
            "market_protection": -1,
        }
    ]
    assert (body["type"], body["quantity"], driven.result) == ("SINGLE", 2, "GTT-1")


def test_a_gtt_with_a_limit_price_would_change_its_meaning():
    with pytest.raises(UsageError, match="its rules have no price"):
        run(ADAPTER.gtt_place(trigger("79", order_type=OrderType.LIMIT), SHARE, CTX), [], CTX)
    two = replace(trigger("79"), legs=trigger("79").legs * 2)
    with pytest.raises(UsageError, match="a GTT of 2 legs"):
        run(ADAPTER.gtt_place(two, SHARE, CTX), [], CTX)
    with pytest.raises(UsageError, match="is the market's price"):
        run(ADAPTER.gtt_place(trigger("80"), SHARE, CTX), [], CTX)


def test_a_gtt_is_cancelled_by_a_body():
    driven = run(ADAPTER.gtt_delete("GTT-1", CTX), [data({"gtt_order_ids": ["GTT-1"]})], CTX)
    assert (driven.requests[0].method, json.loads(driven.bodies[0])) == ("DELETE", {"gtt_order_id": "GTT-1"})
    with pytest.raises(UsageError, match="there is no GTT"):
        run(ADAPTER.gtt("GTT-2", CTX), [data([])], CTX)
