"""Several orders with one request: what leaves, and what became of each."""

from __future__ import annotations

import json
from decimal import Decimal as D

import pytest

from dragoman.errors import DecodeError, Effect, ErrorKind, Rejected, UsageError
from dragoman.model import OrderRequest, OrderType, Side
from dragoman.plugin import Lane
from dragoman.testing import reply
from fixtures.upstox.account import ADAPTER, context, run

CTX = context()
SHARE = CTX.instruments.get("NSE:NHPC")


def leg(**changes):
    given = {"instrument_id": "NSE:NHPC", "side": Side.BUY, "quantity": D(10), "wire_id": "0000100001AB"}
    given |= {"order_type": OrderType.LIMIT, "price": D("80.05")}
    return OrderRequest(**(given | changes)), SHARE


def told(data=(), errors=None, status="success", http=200):
    body = {"status": status, "data": data, "errors": errors, "summary": {"total": 3}}
    return reply(body, status=http)


def taken(name, order_id):
    return {"correlation_id": name, "order_id": order_id}


def failed(name, code="UDAPI1158", **more):
    return {"error_code": code, "message": "no protection", "correlation_id": name, **more}


def placed(count, answer):
    return run(ADAPTER.place_many([leg() for _ in range(count)], CTX), [answer], CTX)


def test_several_orders_leave_as_one_list_that_counts_each():
    driven = run(
        ADAPTER.place_many([leg(), leg(side=Side.SELL, tag="mean7")], CTX),
        [told([taken("2", "B"), taken("1", "A")])],
        CTX,
    )
    (request,) = driven.requests
    assert (request.method, request.host, request.path) == ("POST", "rest", "/v2/order/multi/place")
    assert (request.mutates, request.meter, request.cost) == (True, "orders", 2)
    body = json.loads(driven.bodies[0])
    assert [(row["correlation_id"], row["transaction_type"], row["tag"]) for row in body] == [
        ("1", "BUY", "0000100001AB"),
        ("2", "SELL", "0000100001ABmean7"),
    ]
    assert [(one.effect, one.order_id) for one in driven.result] == [("ACCEPTED", "A"), ("ACCEPTED", "B")]


def test_each_leg_has_a_fate_of_its_own():
    answer = told([taken("1", "A"), taken("3_1", "C"), taken("3_2", "D")], [failed("2")], "partial_success", 207)
    first, second, third = placed(3, answer).result
    assert (first.effect, first.order_id) == ("ACCEPTED", "A")
    assert (second.effect, second.reject.code, second.reject.effect) == ("REJECTED", "UDAPI1158", Effect.NONE)
    assert [one.order_id for one in third.children] == ["C", "D"]


def test_a_leg_of_which_a_part_was_taken_is_partial():
    answer = told([taken("1_1", "A")], [failed("1_2")], "partial_success", 207)
    (outcome,) = placed(1, answer).result
    assert (outcome.effect, [one.effect for one in outcome.children]) == ("PARTIAL", ["ACCEPTED", "REJECTED"])


def test_all_legs_may_be_refused_by_themselves():
    outcomes = placed(2, told(None, [failed("1"), failed("2")], "error", 400)).result
    assert [one.effect for one in outcomes] == ["REJECTED", "REJECTED"]


def test_a_request_that_is_refused_as_a_whole_raises():
    error = {"status": "error", "errors": [{"errorCode": "UDAPI1118", "message": "more than ten"}]}
    with pytest.raises(Rejected, match="UDAPI1118"):
        placed(2, reply(error, status=400))


def test_a_leg_that_the_reply_does_not_name_is_open():
    first, second = placed(2, told([taken("1", "A")])).result
    assert (first.effect, second.effect) == ("ACCEPTED", "UNKNOWN")
    assert (second.reject.kind, second.reject.effect) == (ErrorKind.MAYBE_SENT, Effect.UNKNOWN)


@pytest.mark.parametrize("row", [taken("7", "A"), taken("1", None), {"order_id": "A"}, 5])
def test_a_reply_about_other_legs_says_nothing(row):
    with pytest.raises(DecodeError):
        placed(2, told([row]))


@pytest.mark.parametrize(
    "legs", [[], [leg()] * 11, [leg(algo_id="a"), leg(algo_id="b")]], ids=["none", "eleven", "two algos"]
)
def test_what_cannot_be_one_request_is_refused_before_a_byte(legs):
    with pytest.raises(UsageError):
        run(ADAPTER.place_many(legs, CTX), [], CTX)


def test_everything_is_canceled_or_closed_in_the_lane_of_risk():
    answer = told({"order_ids": ["A"]}, [failed(None, "UDAPI100040", order_id="B")], "partial_success", 207)
    driven = run(ADAPTER.cancel_many(CTX, exchange="NFO", tag="basket"), [answer], CTX)
    (request,) = driven.requests
    assert (request.method, request.path, request.lane) == ("DELETE", "/v2/order/multi/cancel", Lane.RISK)
    assert dict(request.query) == {"tag": "basket", "segment": "NSE_FO"}
    assert [(one.effect, one.order_id) for one in driven.result] == [("ACCEPTED", "A"), ("REJECTED", "B")]
    driven = run(ADAPTER.exit_all(CTX), [told({"order_ids": ["C"]})], CTX)
    (request,) = driven.requests
    assert (request.method, request.path, request.query) == ("POST", "/v2/order/positions/exit", ())
    assert [one.order_id for one in driven.result] == ["C"]


def test_nothing_to_cancel_is_an_empty_list_and_an_unknown_exchange_is_refused():
    nothing = {"status": "error", "errors": [{"errorCode": "UDAPI1111", "message": "nothing is open"}]}
    assert run(ADAPTER.exit_all(CTX), [reply(nothing, status=400)], CTX).result == []
    with pytest.raises(UsageError, match="no exchange NYSE"):
        run(ADAPTER.cancel_many(CTX, exchange="NYSE"), [], CTX)
    with pytest.raises(DecodeError):
        run(ADAPTER.cancel_many(CTX), [told({"order_ids": "AB"})], CTX)
