"""Every way Upstox says no, and every body that is not the broker's."""

from __future__ import annotations

import pytest
from dragoman.adapters.upstox.words import read_order

from dragoman.errors import KIND_CLASS, Effect, ErrorKind, OutcomeUnknown, Retry
from dragoman.plugin import CodeTable, Request
from dragoman.testing import reply
from fixtures.upstox.account import ADAPTER, UPDATE, context

ORDER = Request(method="POST", host="order", path="/v3/order/place", mutates=True)
READ = Request(path="/v2/order/retrieve-all")
K = ErrorKind


def error(code, message="words", status=400, spelling="error_code"):
    return reply({"status": "error", "errors": [{spelling: code, "message": message}]}, status=status)


@pytest.mark.parametrize(
    ("answer", "request_", "kind"),
    [
        (error("UDAPI1154", status=403), ORDER, K.IP_NOT_ALLOWED),
        (error("UDAPI1156"), ORDER, K.ALGO_NOT_REGISTERED),
        (error("UDAPI1158"), ORDER, K.BAD_REQUEST),
        (error("UDAPI1161"), ORDER, K.NOT_SUPPORTED),
        (error("UDAPI100050", status=401), READ, K.AUTH_EXPIRED),
        (error("UDAPI100050", status=401, spelling="errorCode"), READ, K.AUTH_EXPIRED),
        (error("UDAPI100057", status=401), ORDER, K.AUTH_INVALID),
        (error("UDAPI10005", status=429), ORDER, K.RATE_LIMITED),
        (error("UDAPI100010"), ORDER, K.ORDER_NOT_FOUND),
        (error("UDAPI100040"), ORDER, K.TOO_LATE_TO_MODIFY_OR_CANCEL),
        (error("UDAPI100041"), ORDER, K.TOO_LATE_TO_MODIFY_OR_CANCEL),
        (error("UDAPI100011"), ORDER, K.INSTRUMENT_NOT_FOUND),
        (error("UDAPI100074"), ORDER, K.MARKET_CLOSED),
        (error("UDAPI100072", status=423), READ, K.MARKET_CLOSED),
        (error("UDAPI100036", "Insufficient funds"), ORDER, K.INSUFFICIENT_MARGIN),
        (error("UDAPI100036", "Insufficient holdings of A"), ORDER, K.INSUFFICIENT_HOLDINGS),
        (error("UDAPI100500", status=500), ORDER, K.SERVER_5XX),
        # A server's failure leaves open what was done, whatever it says.
        (error("UDAPI100010", status=503), ORDER, K.SERVER_5XX),
        (reply(body=b"<html>", status=502), READ, K.SERVER_5XX),
        (reply(body=b"<html>", status=403), READ, K.PERMISSION_DENIED),
        (reply(body=b"", status=429), READ, K.RATE_LIMITED),
        (reply(body=b"<html>", status=200), ORDER, K.BAD_RESPONSE),
        (reply(body=b"", status=302), READ, K.BAD_RESPONSE),
        (reply(body=b"", status=422), READ, K.BAD_REQUEST),
        (error("UDAPI9999"), ORDER, K.UNMAPPED),
    ],
)
def test_upstox_failures_are_classified(answer, request_, kind):
    failure = ADAPTER.classify(answer, request_)
    assert failure.kind is kind
    assert failure.code
    assert failure.message


def test_an_unknown_code_of_an_order_leaves_its_outcome_open():
    failure = ADAPTER.classify(error("UDAPI9999", "new words"), ORDER)
    assert (failure.code, failure.text) == ("UDAPI9999", "new words")
    assert KIND_CLASS[failure.kind] is OutcomeUnknown


def test_several_errors_are_told_together_under_the_first_code():
    both = [{"error_code": "UDAPI1004", "message": "one"}, {"error_code": "UDAPI1007", "message": "two"}]
    failure = ADAPTER.classify(reply({"status": "error", "errors": both}, status=400), ORDER)
    assert (failure.code, failure.text) == ("UDAPI1004", "one; two")


@pytest.mark.parametrize("row", ADAPTER.codes.rows, ids=lambda row: f"{row.code}{row.http}")
def test_every_row_is_reached_by_a_reply(row, monkeypatch):
    """Each code of the table wins for a reply that shows it; words of the book for a rejected order of it."""
    found, find = [], CodeTable.find

    def noted(*args, **more):
        found.append(find(*args, **more))
        return found[-1]

    monkeypatch.setattr(CodeTable, "find", noted)
    status = row.http[0] if row.http else int(f"{row.code[5:]}00"[:3]) if row.code.startswith("HTTP ") else 400
    request = Request(method="POST", mutates=bool(row.mutates))
    if row.on == "text":
        read_order(UPDATE | {"status": "rejected", "status_message": f"x {row.code} y"}, context())
    elif row.code.startswith("HTTP "):
        ADAPTER.classify(reply(body=b"<html>", status=status), request)
    else:
        ADAPTER.classify(reply({"status": "error", "errors": [{"errorCode": row.code}]}, status=status), request)
    assert any(one is row for one in found)


def test_a_dead_token_asks_for_a_new_login_and_a_refusal_says_nothing_was_done():
    assert ADAPTER.classify(error("UDAPI100050", status=401), ORDER).retry is Retry.REAUTH
    assert ADAPTER.classify(error("UDAPI1158"), ORDER).effect is Effect.NONE


def test_success_is_an_envelope_but_for_the_token_and_the_file():
    token = Request(method="POST", path="/v2/login/authorization/token", note="token", mutates=True)
    assert ADAPTER.classify(reply({"access_token": "x"}), token) is None
    assert ADAPTER.classify(reply({"access_token": "x"}), READ).kind is K.BAD_RESPONSE
    assert ADAPTER.classify(reply(body=b"\x1f\x8b"), Request(host="assets", note="file")) is None
    assert ADAPTER.classify(reply({"status": "success", "data": []}), READ) is None


def test_no_secret_stands_in_a_request_but_its_header():
    ctx = context(settings={"algo_name": "mean reversion"})
    signed = ADAPTER.authorize(Request(method="POST", meter="orders"), b"{}", ctx)
    assert dict(signed.headers) == {"Authorization": "Bearer tok/en", "X-Algo-Name": "mean reversion"}
    assert "tok/en" not in repr(signed)
    assert ADAPTER.authorize(Request(auth=False), b"", ctx).headers == ()
