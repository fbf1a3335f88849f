"""Replace chains: every change gives the order a new broker id, and each id counts its own fills."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dragoman.model import Fill, Order, OrderStatus, Origin, Outcome, Pending, Side
from dragoman.orders import IdMint, OrderStore
from dragoman.orders.identity import journal_id_of

S = OrderStatus
WIRE = IdMint(journal_id_of(b"test")).wire_id()


@pytest.fixture
def store() -> OrderStore:
    store = OrderStore(lambda ts: "today", fills_restart=True)
    store.create(
        Order(
            instrument_id="US:AAPL",
            side=Side.BUY,
            quantity=Decimal(100),
            status=S.SUBMITTED,
            client_order_id="mine",
            wire_id=WIRE,
            origin=Origin.US,
        )
    )
    store.settle("mine", Outcome.accepted("A"), 1)
    store.see(report("A", ts=2), "stream")
    return store


def report(order_id, status=S.OPEN, filled=0, quantity=100, price=5, ts=2, ids=(), average=5, **more):
    return Order(
        instrument_id="US:AAPL",
        side=Side.BUY,
        quantity=Decimal(quantity),
        price=Decimal(price),
        status=status,
        order_id=order_id,
        order_ids=ids or (order_id,),
        filled_quantity=Decimal(filled),
        average_price=Decimal(average) if filled else None,
        ts_event=ts,
        **more,
    )


def replaced(order_id, by, ts, filled=0):
    return report(order_id, S.ACCEPTED, filled, ts=ts, ids=(order_id, by), status_is_firm=False, pending=Pending.MODIFY)


def change(store, old, new, **terms):
    store.ask("mine", Pending.MODIFY, {name: Decimal(value) for name, value in terms.items()})
    store.answered("mine")
    return store.rename("mine", new, old)


def test_two_changes_are_one_order_with_three_ids_and_the_fills_of_all(store):
    store.see(report("A", S.PARTIALLY_FILLED, 30, ts=3), "stream")
    change(store, "A", "B", price=6)
    store.see(replaced("A", "B", 4, filled=30), "stream")
    store.see(report("B", quantity=70, price=6, ts=4, ids=("A", "B")), "stream")
    order = store.get("mine")
    assert (order.order_id, order.quantity, order.filled_quantity, order.status) == ("B", 100, 30, S.PARTIALLY_FILLED)
    assert (order.price, order.pending) == (6, Pending.NONE)
    change(store, "B", "C", price=7)
    store.see(replaced("B", "C", 5), "stream")
    store.see(report("C", S.FILLED, 70, quantity=70, price=7, ts=6, ids=("B", "C"), average=7), "stream")
    order = store.get("mine")
    assert (order.order_ids, order.order_id, order.status) == (("A", "B", "C"), "C", S.FILLED)
    assert (order.filled_quantity, order.quantity) == (100, 100)
    assert order.average_price == Decimal("6.4")  # 30 at 5, 70 at 7
    assert len(store) == 1
    assert sum(fill.quantity for fill in store.fills.of("mine")) == 100


def test_the_stream_may_tell_of_the_new_id_before_the_reply_does(store):
    store.ask("mine", Pending.MODIFY, {"price": Decimal(6)})
    store.see(replaced("A", "B", 3), "stream")
    store.see(report("B", price=6, ts=3, ids=("A", "B")), "stream")
    order = store.get("mine")
    assert (order.order_id, order.price, order.pending, len(store)) == ("B", 6, Pending.NONE, 1)
    store.answered("mine")
    assert store.rename("mine", "B", "A").order_ids == ("A", "B")


def test_the_end_of_an_id_that_was_replaced_is_not_the_end_of_the_order(store):
    change(store, "A", "B", price=6)
    store.see(report("B", price=6, ts=4, ids=("A", "B")), "stream")
    store.see(replaced("A", "B", 5), "stream")
    order = store.get("mine")
    assert (order.order_id, order.status, order.price) == ("B", S.OPEN, 6)


def test_a_late_fill_of_an_old_id_counts_for_the_order(store):
    change(store, "A", "B", price=6)
    store.see(report("B", price=6, ts=4, ids=("A", "B")), "stream")
    late = Fill(
        trade_id="A:20", order_id="A", instrument_id="US:AAPL", side=Side.BUY, quantity=Decimal(20), price=Decimal(5)
    )
    store.see_fill(late, "stream")
    store.see(replaced("A", "B", 5, filled=20), "stream")
    order = store.get("mine")
    assert (order.filled_quantity, order.status) == (20, S.PARTIALLY_FILLED)
    assert [fill.trade_id for fill in store.fills.of("mine")] == ["A:20"]


def test_a_change_refused_after_its_reply_leaves_the_order_under_its_old_id(store):
    change(store, "A", "B", price=6)
    reading = store.begin_reading()
    store.see(report("A", price=5, ts=2), "poll", reading)
    order = store.get("mine")
    assert (order.order_id, order.price, order.pending, order.status) == ("A", 5, Pending.NONE, S.OPEN)


def test_a_chain_of_others_is_one_order_too(store):
    store.see(replaced("X", "Y", 3), "poll")
    store.see(report("Y", price=9, ts=3, ids=("X", "Y")), "poll")
    order = store.get("Y")
    assert (order.client_order_id, order.status, order.order_id, order.price) == ("EXT-X", S.OPEN, "Y", 9)
    assert store.get("X") is order
