"""Faster ways on the order path give what the plain ones do."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.model import Order, OrderStatus, OrderType, Side
from dragoman.plugin import Request
from dragoman.session.wire import body_of

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
