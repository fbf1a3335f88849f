"""Requests become bytes one way only, and never for a place they must not go to."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import UsageError
from dragoman.plugin import Request
from dragoman.session.wire import body_of, check_root, origin_of, target_of, wire_request

ROOT = "https://api.toy.example/v1/"
PAIRS = st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=5).map(tuple)


@given(query=PAIRS)
def test_a_query_leaves_as_a_signing_adapter_would_write_it_and_reads_back(query):
    target = target_of(ROOT, Request(path="/orders", query=query))
    assert target.isascii()
    assert not set(target) & set(" \r\n#")
    path, _, text = target.partition("?")
    assert path == "/v1/orders"
    assert text == urlencode(query, quote_via=quote, safe="")
    assert tuple(parse_qsl(text, keep_blank_values=True)) == query


@given(form=PAIRS)
def test_a_form_reads_back_as_it_was(form):
    body, content_type = body_of(Request(form=form))
    assert tuple(parse_qsl(body.decode("ascii"), keep_blank_values=True)) == form
    assert content_type == "application/x-www-form-urlencoded"


@given(path=st.text())
def test_no_path_leaves_the_request_line(path):
    target = target_of(ROOT, Request(path=path))
    assert target.startswith("/v1/")
    assert target.isascii()
    assert not set(target) & set(" \r\n?#\t\0")


def test_encoded_paths_stay_and_single_use_urls_keep_their_query():
    assert target_of(ROOT, Request(path="orders/a%2Fb")) == "/v1/orders/a%2Fb"
    assert target_of("https://x.example", Request(path="/")) == "/"
    single = Request(url="https://s3.example/f.csv?sig=a%2Fb", query=(("x", "1"),))
    assert target_of(single.url or "", single) == "/f.csv?sig=a%2Fb&x=1"


def test_a_request_wins_over_the_adapters_headers_and_bodies_get_their_type():
    request = Request(method="POST", json={"a": 1}, headers=(("x-version", "2"), ("Accept", "b")))
    body, content_type = body_of(request)
    wire = wire_request(ROOT, request, body, content_type, (("X-Version", "1"), ("X-App", "toy")))
    assert wire.headers == (("X-App", "toy"), ("Content-Type", "application/json"), ("x-version", "2"), ("Accept", "b"))
    assert wire.body == b'{"a":1}'


def test_bodies_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="form and json"):
        body_of(Request(form=(), json={}))
    with pytest.raises(UsageError, match="not JSON"):
        body_of(Request(json={"a": object()}))


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("https://api.toy.example", "live"),
        ("wss://ws.toy.example:8443/x", "sandbox"),
        ("http://127.0.0.1:9", "emulator"),
        ("ws://[::1]:9/ws", "emulator"),
        ("https://10.0.0.1", "emulator"),
    ],
)
def test_roots_that_may_be_used(url, environment):
    check_root("host rest", url, environment)
    assert str(origin_of("host rest", url)).partition("://")[0] == urlsplit(url).scheme


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("http://127.0.0.1", "live"),
        ("ws://[::1]", "sandbox"),
        ("http://localhost", "emulator"),
        ("http://127.0.0.1.evil.example", "emulator"),
        ("http://0.0.0.0", "emulator"),
        ("https://user:canary@api.toy.example", "live"),
        ("file:///etc/passwd", "emulator"),
        ("https://", "live"),
        ("https://x:99999", "live"),
        ("//api.toy.example", "live"),
        ("", "live"),
    ],
)
def test_roots_that_may_not(url, environment):
    with pytest.raises(UsageError, match="host rest") as raised:
        check_root("host rest", url, environment)
    assert "canary" not in str(raised.value)
