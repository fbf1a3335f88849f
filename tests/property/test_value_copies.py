"""Faster ways on the order path give what the plain ones do."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import alike
from dragoman.errors import UsageError
from dragoman.model import Order, OrderStatus, OrderType, Side
from dragoman.plugin import Request
from dragoman.session.wire import body_of
from dragoman.transport.base import Origin, WireRequest
from dragoman.transport.http_encode import RequestEncoder

ORDER = Order(
    instrument_id="NSE:INFY",
    side=Side.BUY,
    quantity=Decimal(1),
    order_type=OrderType.LIMIT,
    status=OrderStatus.SUBMITTED,
    raw={"a": 1},
)
CHANGES = st.dictionaries(st.sampled_from(["price", "order_id", "ts_event", "raw", "status"]), st.integers())


@given(changes=CHANGES)
def test_a_copy_is_what_the_standard_library_makes(changes):
    made, expected = ORDER.but(**changes), dataclasses.replace(ORDER, **changes)
    names = [item.name for item in dataclasses.fields(Order)]
    assert [getattr(made, name) for name in names] == [getattr(expected, name) for name in names]
    assert type(made) is Order


def test_a_copy_takes_no_field_that_is_not_there():
    with pytest.raises(TypeError, match="colour"):
        ORDER.but(colour="red")


@given(
    pairs=st.lists(st.tuples(st.text(max_size=5), st.text(st.sampled_from("a1 &=+%~é/.-_"), max_size=6)), max_size=6)
)
def test_a_form_is_written_as_urlencode_does(pairs):
    body, kind = body_of(Request(form=tuple(pairs)))
    assert body == urlencode(pairs).encode()
    assert kind == "application/x-www-form-urlencoded"


HEADERS = st.lists(st.tuples(st.sampled_from(["X-A", "User-Agent"]), st.sampled_from(["1", "2", "a\nb"])), max_size=2)
REQUESTS = st.builds(
    WireRequest,
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["/orders", "/orders?a=1", "/a b"]),
    HEADERS.map(tuple),
    st.sampled_from([b"", b"a=1", b"a=22"]),
)


@given(requests=st.lists(REQUESTS, max_size=12))
def test_an_encoder_that_has_written_others_writes_what_a_new_one_does(requests):
    def written(encoder, request):
        try:
            return encoder.encode(request)
        except UsageError as error:
            return str(error)

    origin = Origin("http", "127.0.0.1", 80)
    used = RequestEncoder(origin, "dragoman")
    for request in requests:
        assert written(used, request) == written(RequestEncoder(origin, "dragoman"), request)


@given(changes=CHANGES, names=st.lists(st.sampled_from(["price", "order_id", "ts_event", "raw", "status"])))
def test_values_are_alike_where_their_fields_are_equal(changes, names):
    other = ORDER.but(**changes)
    expected = all(getattr(ORDER, name) == getattr(other, name) for name in names)
    assert alike(ORDER, other, tuple(names)) is expected


def test_values_of_two_classes_are_not_alike_and_unknown_fields_are_an_error():
    assert not alike(ORDER, Request(), ("method",))
    with pytest.raises(TypeError, match="colour"):
        alike(ORDER, ORDER, ("colour",))
    with pytest.raises(TypeError, match="a tuple"):
        alike(ORDER, ORDER, ["price"])  # type: ignore[arg-type]
