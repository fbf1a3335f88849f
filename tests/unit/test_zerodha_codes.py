"""Every way the broker says no, and every body that is not the broker's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import KIND_CLASS, Effect, ErrorKind, OutcomeUnknown, Throttled
from dragoman.plugin import Request
from dragoman.testing import reply
from fixtures.zerodha.account import ADAPTER

ORDER = Request(method="POST", path="/orders/regular", mutates=True)
READ = Request(path="/orders")
CHANGE = Request(method="PUT", path="/orders/regular/7", mutates=True)
LOGIN = Request(method="POST", path="/session/token", mutates=True)
UPGRADE = Request(host="ws", note="upgrade")
CSV = Request(path="/instruments", note="csv")
K = ErrorKind


def error(error_type, message="words", status=400):
    envelope = {"status": "error", "error_type": error_type, "message": message, "data": None}
    return reply(envelope, status=status)


CASES = [
    (error("PermissionException", "Your IP is not in the whitelist", 403), ORDER, K.IP_NOT_ALLOWED),
    (error("InputException", "No static IP registered", 400), ORDER, K.IP_NOT_ALLOWED),
    (error("InputException", "Invalid `algo_id`"), ORDER, K.ALGO_NOT_REGISTERED),
    (error("InputException", "Market orders without market protection are not allowed"), ORDER, K.BAD_REQUEST),
    (error("InputException", "Invalid `market_protection`"), ORDER, K.BAD_REQUEST),
    (error("MarginException", "Insufficient funds. Required margin is 1"), ORDER, K.INSUFFICIENT_MARGIN),
    (error("OrderException", "RMS:Margin Exceeds,Required:1"), ORDER, K.INSUFFICIENT_MARGIN),
    (error("HoldingException", "Insufficient holdings"), ORDER, K.INSUFFICIENT_HOLDINGS),
    (error("OrderException", "Insufficient stock holding in demat"), ORDER, K.INSUFFICIENT_HOLDINGS),
    (error("OrderException", "Price outside the circuit limits"), ORDER, K.PRICE_OUT_OF_BAND),
    (error("OrderException", "Tick size for this script is 5 paise"), ORDER, K.INVALID_PRICE_TICK),
    (error("OrderException", "Quantity should be in multiples of lot size 65"), ORDER, K.INVALID_QUANTITY),
    (error("OrderException", "above the freeze quantity"), ORDER, K.FREEZE_QTY_EXCEEDED),
    (error("InputException", "Invalid `tag`."), ORDER, K.BAD_REQUEST),
    (error("OrderException", "Markets are closed right now"), ORDER, K.MARKET_CLOSED),
    (error("OrderException", "Maximum allowed order modifications exceeded."), ORDER, K.TOO_LATE_TO_MODIFY_OR_CANCEL),
    (error("OrderException", "Order cannot be modified"), ORDER, K.TOO_LATE_TO_MODIFY_OR_CANCEL),
    (error("OrderException", "Order cannot be cancelled"), ORDER, K.TOO_LATE_TO_MODIFY_OR_CANCEL),
    (error("InputException", "Couldn't find that `order_id`."), ORDER, K.ORDER_NOT_FOUND),
    (error("InputException", "has either expired or does not exist"), ORDER, K.INSTRUMENT_NOT_FOUND),
    (error("OrderException", "RMS:Blocked"), ORDER, K.RISK_REJECTED),
    (error("TokenException", status=403), LOGIN, K.AUTH_INVALID),
    (error("InputException"), LOGIN, K.AUTH_INVALID),
    (error("TokenException", status=403), ORDER, K.AUTH_EXPIRED),
    (error("UserException", status=403), READ, K.PERMISSION_DENIED),
    (error("UserException", status=403), LOGIN, K.PERMISSION_DENIED),
    (error("OrderException", "Order request timed out"), ORDER, K.SERVER_5XX),
    (error("OrderException", "Please check the order book for the status"), ORDER, K.SERVER_5XX),
    (error("TwoFAException", status=403), READ, K.AUTH_INVALID),
    (error("PermissionException", status=403), READ, K.PERMISSION_DENIED),
    (error("PermissionError", status=403), READ, K.PERMISSION_DENIED),
    (error("MarginException"), ORDER, K.INSUFFICIENT_MARGIN),
    (error("HoldingException"), ORDER, K.INSUFFICIENT_HOLDINGS),
    (error("InputException"), ORDER, K.BAD_REQUEST),
    (error("OrderException"), ORDER, K.RISK_REJECTED),
    (error("OrderException"), CHANGE, K.TOO_LATE_TO_MODIFY_OR_CANCEL),
    (error("OrderException", status=500), CHANGE, K.SERVER_5XX),
    (error("MarginException"), CHANGE, K.INSUFFICIENT_MARGIN),
    (error("OrderException", status=500), ORDER, K.SERVER_5XX),
    (error("NetworkException", status=429), ORDER, K.RATE_LIMITED),
    (error("NetworkException", status=503), ORDER, K.SERVER_5XX),
    (error("DataException", status=502), ORDER, K.BAD_RESPONSE),
    (error("GeneralException", status=500), ORDER, K.SERVER_5XX),
    (error("GeneralException", "Alert not found.", 404), ORDER, K.BAD_REQUEST),
    (reply(status=429, body=b"slow down"), READ, K.RATE_LIMITED),
    (reply(status=403), UPGRADE, K.AUTH_EXPIRED),
    (reply(status=403, body=b"<html>blocked</html>"), READ, K.BAD_RESPONSE),
    (reply(status=504, body=b"<html>"), ORDER, K.SERVER_5XX),
    (reply(status=200, body=b"<html>maintenance</html>"), ORDER, K.BAD_RESPONSE),
]


@pytest.mark.parametrize(("answer", "request_", "kind"), CASES)
def test_a_refusal_gets_the_kind_of_its_row(answer, request_, kind):
    assert ADAPTER.classify(answer, request_).kind is kind


def test_each_row_of_the_table_is_reached_by_a_case():
    reached = set()
    for answer, request_, kind in CASES:
        text, status = ADAPTER.classify(answer, request_).text or "", answer.status
        code = ADAPTER.classify(answer, request_).code
        for prefix in {"POST/session": ("session/", ""), "PUT/orders": ("change/", ""), "GET/": ("upgrade/", "")}.get(
            f"{request_.method}/{request_.path.split('/')[1]}", ("",)
        ):
            row = ADAPTER.codes.find(code=prefix + code, text=text, status=status, mutates=request_.mutates)
            if row is not None:
                assert row.kind is kind
                reached.add(ADAPTER.codes.rows.index(row))
                break
    missed = [row.code for at, row in enumerate(ADAPTER.codes.rows) if at not in reached]
    assert missed == []


def test_every_row_has_a_source_a_meaning_and_a_remedy():
    assert all(row.source and row.meaning and row.remedy for row in ADAPTER.codes.rows)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    "error_type", ["GeneralException", "NetworkException", "DataException", "Novel", "InputException", "TokenException"]
)
def test_a_5xx_on_an_order_is_unknown_whatever_it_says(status, error_type):
    failure = ADAPTER.classify(error(error_type, "Insufficient funds", status), ORDER)
    assert failure.effect in (Effect.UNKNOWN, None)
    assert KIND_CLASS[failure.kind] is OutcomeUnknown


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b"5", b"{}", b'{"status":"success"}', b"\xff\xfe"])
def test_a_success_without_the_envelope_is_no_success(body):
    failure = ADAPTER.classify(reply(body=body), ORDER)
    assert (failure.kind, failure.effect) == (K.BAD_RESPONSE, Effect.UNKNOWN)


def test_an_error_with_status_200_is_an_error():
    assert ADAPTER.classify(error("MarginException", "x", 200), ORDER).kind is K.UNMAPPED
    assert ADAPTER.classify(error("TokenException", "x", 200), READ).kind is K.AUTH_EXPIRED


def test_the_brokers_own_code_and_words_are_kept():
    failure = ADAPTER.classify(error("TokenException", "Token is invalid", 403), LOGIN)
    assert (failure.code, failure.text, failure.message) == (
        "TokenException",
        "Token is invalid",
        "TokenException: Token is invalid",
    )


def test_an_unknown_error_type_is_unmapped_with_its_code_and_words():
    failure = ADAPTER.classify(error("NovelException", "brand new"), ORDER)
    assert (failure.kind, failure.code, failure.text) == (K.UNMAPPED, "NovelException", "brand new")
    assert ADAPTER.classify(error("NovelException"), LOGIN).kind is K.UNMAPPED


def test_a_throttled_order_was_not_processed_where_the_api_says_so_itself():
    said = ADAPTER.classify(error("NetworkException", "Too many requests", 429), ORDER)
    assert (KIND_CLASS[said.kind], said.effect) == (Throttled, Effect.NONE)
    gateway = ADAPTER.classify(reply(status=429, body=b"<html>"), ORDER)
    assert gateway.effect is Effect.UNKNOWN


def test_retry_after_is_kept_where_it_is_a_number_of_seconds():
    def after(text):
        answer = reply(status=429, body=b"", headers={"retry-after": text})
        return ADAPTER.classify(answer, READ).retry_after_s

    assert [after("7"), after("soon"), after("-1"), after("٣")] == [7.0, None, None, None]


def test_a_master_is_a_success_without_an_envelope():
    assert ADAPTER.classify(reply(body=b"instrument_token,..."), CSV) is None
    assert ADAPTER.classify(error("TokenException", status=403), CSV).kind is K.AUTH_EXPIRED


@given(status=st.integers(200, 599), body=st.binary(max_size=80), mutates=st.booleans())
def test_any_body_under_any_status_is_a_success_or_a_failure(status, body, mutates):
    failure = ADAPTER.classify(reply(status=status, body=body), Request(mutates=mutates))
    assert failure is not None
    if mutates and failure.effect is Effect.NONE:
        raise AssertionError(f"{status} {body!r} claims that nothing happened")
