"""Values of the model, as the journal holds them: every one comes back as it was."""

from __future__ import annotations

import typing
from dataclasses import fields, replace
from decimal import Decimal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import ErrorKind
from dragoman.model import Fill, Order, OrderChange, OrderRequest, Outcome, Reject, Side
from dragoman.orders.journal.codec import from_plain, to_plain
from dragoman.session.secrets import Secret

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | DECIMALS
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.just("$") | st.integers(), inner, max_size=3)
    ),
    max_leaves=5,
)


def strategy(hint, depth=0):
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Decimal:
        return DECIMALS
    if origin is tuple:
        return st.lists(strategy(inner[0], depth + 1), max_size=2).map(tuple)
    if hint is int:
        return st.integers(-(2**63), 2**63 - 1)
    if origin in (typing.Union, type(int | None)):
        return st.one_of([strategy(one, depth) for one in inner])
    if hint is type(None):
        return st.none()
    if typing.get_origin(hint) not in (None, typing.Literal) and "Mapping" in str(hint):
        return st.dictionaries(st.text(max_size=5), ANYTHING, max_size=2)
    if hint in CLASSES:
        return st.just(Reject(ErrorKind.UNMAPPED, "x")) if hint is Reject else values(hint, depth + 1)
    return st.from_type(hint)


CLASSES = (OrderRequest, OrderChange, Reject, Outcome, Order, Fill)


def values(kind, depth=0):
    hints = typing.get_type_hints(kind)
    made = {}
    for field in fields(kind):
        if field.name == "raw" or (field.name == "children" and depth > 1):
            continue
        made[field.name] = strategy(hints[field.name], depth)
    return st.builds(kind, **made)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_value_comes_back_as_it_was(kind):
    @settings(max_examples=60, deadline=None)
    @given(values(kind))
    def check(value):
        told = orjson.loads(orjson.dumps(to_plain(value)))
        back = from_plain(kind, told)
        assert back == value
        for field in fields(kind):
            ours, theirs = getattr(value, field.name), getattr(back, field.name)
            assert type(theirs) is type(ours), field.name
            if isinstance(ours, Decimal) and ours != field.default:
                assert str(theirs) == str(ours), field.name

    check()


def test_only_what_is_not_as_by_default_is_told_and_the_brokers_words_are_not():
    order = Order(instrument_id="X:Y", side=Side.BUY, quantity=Decimal("1.50"), raw={"secret": "words"})
    assert to_plain(order) == {"instrument_id": "X:Y", "side": "BUY", "quantity": "1.50"}
    assert to_plain(OrderChange()) == {}


def test_values_within_values_are_told_too():
    child = Outcome.accepted("1")
    parent = Outcome.parent("p", (child, Outcome.rejected(Reject(ErrorKind.RISK_REJECTED, "no"))))
    told = to_plain(parent)
    assert told["children"] == [
        {"effect": "ACCEPTED", "order_id": "1"},
        {"effect": "REJECTED", "reject": {"kind": "RISK_REJECTED", "text": "no"}},
    ]
    assert from_plain(Outcome, told) == parent


def test_fields_of_a_later_version_are_passed_over():
    request = OrderRequest(instrument_id="X:Y", side=Side.SELL, quantity=Decimal(2))
    assert from_plain(OrderRequest, to_plain(request) | {"colour": "red"}) == request


@pytest.mark.parametrize(
    "extra", [object(), {1, 2}, b"bytes", Secret("canary-value")], ids=["object", "set", "bytes", "secret"]
)
def test_what_has_no_plain_form_is_refused_and_not_guessed(extra):
    request = OrderRequest(instrument_id="X:Y", side=Side.SELL, quantity=Decimal(2), extras={"x": extra})
    with pytest.raises(TypeError, match="has no plain form") as caught:
        to_plain(request)
    assert "canary" not in str(caught.value)
    with pytest.raises(TypeError, match="expected a dataclass"):
        to_plain(extra)


@pytest.mark.parametrize("data", [{"side": "UP"}, {"side": "BUY", "quantity": "x"}, {}])
def test_data_that_is_no_such_value_is_an_error(data):
    with pytest.raises((TypeError, ValueError, ArithmeticError)):
        from_plain(OrderRequest, {"instrument_id": "X:Y"} | data)


def test_a_changed_copy_differs_where_it_was_changed():
    order = Order(instrument_id="X:Y", side=Side.BUY, quantity=Decimal(1))
    changed = replace(order, tags=("a", "b"), filled_quantity=Decimal("0.5"))
    assert {name: value for name, value in to_plain(changed).items() if name not in to_plain(order)} == {
        "tags": ["a", "b"],
        "filled_quantity": "0.5",
    }
