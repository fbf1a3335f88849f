"""Which orders work on a position, though nobody is told when one is only entered."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from dragoman.errors import ErrorKind
from dragoman.model import Order, OrderStatus, Origin, Outcome, Product, Reject, Side
from dragoman.orders import OrderStore
from dragoman.rules.working import Working

S = OrderStatus
INFY = "NSE:INFY"
KEY = (INFY, Product.INTRADAY, "NET")


@pytest.fixture
def store() -> OrderStore:
    return OrderStore(lambda ts: "today")


def order(name: str, status: OrderStatus = S.SUBMITTED, instrument_id: str = INFY, quantity: int = 10) -> Order:
    return Order(
        instrument_id=instrument_id,
        side=Side.SELL,
        quantity=D(quantity),
        remaining_quantity=D(quantity),
        product=Product.INTRADAY,
        status=status,
        client_order_id=name,
        origin=Origin.US,
    )


def names(working: Working) -> set[str]:
    return {one.client_order_id for one in working.reducing(KEY, Side.SELL)}


def seen(order_id: str, status: OrderStatus) -> Order:
    return order("", status).but(order_id=order_id, order_ids=(order_id,), raw_status=str(status))


def test_an_order_counts_from_the_moment_it_is_entered(store):
    store.create(order("before"))
    working = Working(store)
    store.create(order("a"))
    store.create(order("elsewhere", instrument_id="NSE:SBIN"))
    assert names(working) == {"before", "a"}
    assert names(working) == {"before", "a"}
    store.create(order("b", quantity=5))
    assert (names(working), working.taken(KEY, Side.SELL)) == ({"before", "a", "b"}, 25)


def test_an_order_that_ended_before_anybody_asked_does_not_count(store):
    working = Working(store)
    store.create(order("a"))
    store.create(order("b"))
    store.deny("a", Reject(ErrorKind.LOCAL_DENIED, "no"), ts=1)
    assert names(working) == {"b"}


def test_what_was_entered_counts_although_an_order_of_an_earlier_day_came_back_after_it(store):
    store.create(order("old"))
    store.settle("old", Outcome.accepted("1"), ts=1)
    store.see(seen("1", S.CANCELED), "stream")
    working = Working(store)
    assert names(working) == set()
    store.retire("old")
    store.create(order("a"))
    store.see(seen("1", S.CANCELED), "poll")  # listed again, behind what is new
    assert [one.client_order_id for one in store.newest_first()] == ["old", "a"]
    assert names(working) == {"a"}


def test_what_was_entered_counts_although_the_last_one_known_goes_by_another_name(store):
    store.see(seen("1", S.OPEN), "stream")
    working = Working(store)
    assert names(working) == {"EXT-1"}
    store.create(order("a"))
    store.settle("a", Outcome.accepted("1"), ts=1)
    store.create(order("b"))
    assert names(working) == {"a", "b"}


def test_an_order_that_comes_back_to_life_counts_again(store):
    working = Working(store)
    store.create(order("a"))
    store.settle("a", Outcome.rejected(Reject(ErrorKind.NEVER_ARRIVED, "lost")), ts=1)
    assert names(working) == set()
    store.create(order("b"))
    store.settle("a", Outcome.accepted("1"), ts=2)
    store.see(seen("1", S.OPEN), "stream")
    assert names(working) == {"a", "b"}
