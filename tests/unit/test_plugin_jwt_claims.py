"""Reading what a JSON web token says of itself."""

from __future__ import annotations

import base64
import json

import pytest

from dragoman.plugin.jwt_claims import jwt_claims, jwt_expiry_ns


def token(claims):
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.signature"


def test_claims_are_read_without_padding():
    for extra in ("", "x", "xx", "xxx"):
        assert jwt_claims(token({"hsm_key": extra})) == {"hsm_key": extra}


@pytest.mark.parametrize("text", ["", "abc", "a.b", "a.%%%.c", "a.YQ.c", token([1]), "a.b.c.d", "a.é.c"])
def test_what_is_no_token_has_no_claims(text):
    assert jwt_claims(text) == {}
    assert jwt_expiry_ns(text) is None


def test_expiry_is_in_nanoseconds_and_only_where_it_is_a_time():
    assert jwt_expiry_ns(token({"exp": 1_700_000_000})) == 1_700_000_000_000_000_000
    assert [jwt_expiry_ns(token({"exp": odd})) for odd in ("soon", None, -5, 1e300)] == [None] * 4
