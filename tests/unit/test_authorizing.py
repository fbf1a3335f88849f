"""An adapter that says its authorizing depends on the login alone does the same to every such request."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.plugin import Request
from dragoman.plugin.registry import load_adapter
from dragoman.testing.drive import NOW_NS, ScriptedContext

NAMES = ("zerodha", "upstox", "fyers", "alpaca", "binance")
CREDENTIALS = dict.fromkeys(
    ("api_key", "api_secret", "app_id", "key_id", "secret_key", "client_id"), "canary-credential-31"
)
FORMS = st.lists(st.tuples(st.sampled_from(["quantity", "price"]), st.text("0123456789.", max_size=5)), max_size=3)


def context(now_ns: int = NOW_NS) -> ScriptedContext:
    """Return a login, at some time."""
    return ScriptedContext(
        credentials=CREDENTIALS,
        login={"access_token": "canary-login-31"},
        settings={"algo_name": "algo"},
        now_ns=now_ns,
    )


def shown(request: Request) -> tuple[object, ...]:
    return request.method, request.path, request.host, request.url, request.query, request.headers


@pytest.mark.parametrize("name", [name for name in NAMES if load_adapter(name).authorizes_by_login])
@given(
    form=FORMS,
    at=st.integers(0, 10**18),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.sampled_from(["/orders/regular", "/session/token", "/v2/orders"]),
    meter=st.sampled_from(["orders", "default"]),
)
def test_body_and_time_change_nothing(name, form, at, method, path, meter):
    adapter = load_adapter(name)
    first = Request(method=method, path=path, meter=meter, form=(("quantity", "1"),), mutates=True)
    other = replace(first, form=tuple(form), cost=2, timeout_s=1.0, limit_key="1", note="x")
    one, two = (
        adapter.authorize(request, repr(request.form).encode(), context(now))
        for request, now in ((first, NOW_NS), (other, at))
    )
    assert shown(one) == shown(two)
    assert one.headers != first.headers
    assert two.form is other.form
    assert (two.json, two.body) == (None, None)


def test_one_that_signs_bodies_does_not_say_so():
    adapter = load_adapter("binance")
    assert not adapter.authorizes_by_login
