"""The store: whose report it is, what a parent's slices come to, and fills in whatever order they arrive."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest

from dragoman.errors import ErrorKind
from dragoman.model import Fill, Order, OrderStatus, Origin, Outcome, Pending, Reject, Side
from dragoman.orders import IdMint, OrderStore
from dragoman.orders.identity import journal_id_of
from dragoman.orders.slices import rolled_up
from dragoman.orders.state import Verdict

S = OrderStatus
WIRE = IdMint(journal_id_of(b"test")).wire_id()
NO = Reject(ErrorKind.INSUFFICIENT_MARGIN, "no money")


def placed(store: OrderStore, name: str = "mine", quantity: int = 10) -> Order:
    return store.create(
        Order(
            instrument_id="NSE:INFY",
            side=Side.BUY,
            quantity=Decimal(quantity),
            remaining_quantity=Decimal(quantity),
            status=S.SUBMITTED,
            client_order_id=name,
            wire_id=WIRE,
            tag="alpha",
            origin=Origin.US,
        )
    )


def report(order_id: str, status: OrderStatus = S.OPEN, filled: int = 0, quantity: int = 10, **more) -> Order:
    return Order(
        instrument_id="NSE:INFY",
        side=Side.BUY,
        quantity=Decimal(quantity),
        status=status,
        raw_status=str(status),
        order_id=order_id,
        order_ids=(order_id,),
        filled_quantity=Decimal(filled),
        average_price=Decimal(100) if filled else None,
        **more,
    )


def fill(number: int, order_id: str, quantity: int, price: int = 100) -> Fill:
    return Fill(
        trade_id=f"T{number}",
        order_id=order_id,
        instrument_id="NSE:INFY",
        side=Side.BUY,
        quantity=Decimal(quantity),
        price=Decimal(price),
        ts_event=5,
    )


@pytest.fixture
def store() -> OrderStore:
    return OrderStore(lambda ts: "today")


def total(store: OrderStore) -> Decimal:
    return sum((item.quantity for item in store.fills.all()), Decimal(0))


def test_fills_of_an_order_nobody_has_reported_wait_for_it(store):
    store.see_fill(fill(1, "7", 4), "stream")
    assert (len(store.orphan_fills), total(store)) == (1, 0)
    store.see(report("7", filled=4), "poll")
    assert (store.orphan_fills, total(store)) == ((), 4)


def test_a_reply_brings_the_fills_that_came_before_it(store):
    placed(store)
    store.see_fill(fill(1, "7", 10), "stream")
    order = store.settle("mine", Outcome.accepted("7"), ts=1)
    assert (order.status, order.filled_quantity, order.average_price) == (S.FILLED, 10, 100)
    assert (order.ts_closed, order.remaining_quantity) == (5, 0)


def test_a_fill_that_is_reported_after_the_cancel_does_not_bring_the_order_back(store):
    placed(store)
    store.settle("mine", Outcome.accepted("7"), ts=1)
    store.see(report("7", S.CANCELED, canceled_quantity=Decimal(10)), "stream")
    store.see_fill(fill(1, "7", 4), "stream")
    order = store.get("mine")
    assert (order.status, order.filled_quantity, order.canceled_quantity) == (S.CANCELED, 4, 6)
    store.see_fill(fill(2, "7", 6), "stream")
    assert store.get("mine").status is S.FILLED


def test_the_id_of_an_order_whose_status_nobody_has_mapped_is_known_all_the_same(store):
    placed(store)
    store.see(report("7", S.UNKNOWN, tag=WIRE).but(raw_status="NEW WORD"), "stream")
    order = store.get("7")
    assert (order.client_order_id, order.status, order.raw_status) == ("mine", S.SUBMITTED, "NEW WORD")
    assert store.unknown_words == {"NEW WORD": 1}


@pytest.mark.logs  # the broker's mistake is said aloud
def test_an_id_that_the_broker_gives_to_two_of_ours_stays_with_the_first(store):
    placed(store, "first")
    store.settle("first", Outcome.accepted("7"), ts=1)
    placed(store, "second")
    store.settle("second", Outcome.accepted("7"), ts=2)
    assert store.get("7").client_order_id == "first"
    assert store.counters["id_conflicts"] == 1


def test_a_new_id_of_an_order_of_ours_takes_over_what_was_reported_under_it(store):
    heard = []
    store.listen(heard.append)
    placed(store)
    store.settle("mine", Outcome.accepted("7"), ts=1)
    store.see(report("8", filled=3), "stream")
    assert store.get("8").origin is Origin.EXTERNAL
    store.rename("mine", "8", "7")
    assert store.get("8") == store.get("7") == store.get("mine") == heard[-1].order
    assert (store.get("mine").order_ids, store.get("mine").filled_quantity) == (("7", "8"), 3)
    assert {item.client_order_id for item in store.fills.all()} == {"mine"}
    assert total(store) == 3


@pytest.mark.logs  # with its trace
def test_a_listener_that_raises_is_counted(store):
    heard = []
    store.listen(lambda update: 1 // 0)
    store.listen(heard.append)
    placed(store)
    assert len(heard) == store.counters["listener_errors"] == 1


def test_first_steps_are_told_to_those_who_want_them_now(store):
    always, at_times = [], []
    store.listen(always.append)
    listening = store.listen(at_times.append, first_steps=False)
    placed(store)
    store.settle("mine", Outcome.accepted("7"), ts=1)
    assert [update.order.status for update in always] == [S.SUBMITTED, S.ACCEPTED]
    assert at_times == []
    store.see(report("7"), "stream")
    assert at_times == always[2:] != []
    listening.first_steps = True
    placed(store, "second")
    assert at_times[-1].order.client_order_id == "second"
    listening.first_steps = False
    store.settle("second", Outcome.accepted("8"), ts=1)
    assert at_times[-1].order.status is S.SUBMITTED
    listening()
    store.see(report("8"), "stream")
    assert at_times[-1].order.status is S.SUBMITTED
    assert always[-1].order.order_id == "8"


def test_what_was_taken_is_written_down_before_anybody_is_told(store):
    heard = []
    store.listen(lambda update: heard.append(update.order))
    store.on_taken = lambda order: heard.append(order.order_id)
    placed(store)
    order = store.settle("mine", Outcome.accepted("7"), ts=1)
    assert heard[1:] == ["7", order]


@pytest.mark.logs  # with its trace
def test_an_order_is_taken_although_nobody_can_write_that_down(store):
    heard = []
    store.listen(heard.append)
    store.on_taken = lambda order: 1 // 0
    placed(store)
    assert store.settle("mine", Outcome.accepted("7"), ts=1).status is S.ACCEPTED
    assert (len(heard), store.counters["listener_errors"]) == (2, 1)


@pytest.mark.parametrize("order_id", ["250213000000001", "6c1b8a6c-0d8f", "A7"])
def test_every_id_that_names_something_is_taken(store, order_id):
    placed(store)
    order = store.settle("mine", Outcome("ACCEPTED", order_id=order_id), ts=1)
    assert (order.status, order.order_id, order.order_ids) == (S.ACCEPTED, order_id, (order_id,))
    assert store.get(order_id) is store.get("mine") is store.get(WIRE) is order


@pytest.mark.logs  # the broker's mistake is said aloud
@pytest.mark.parametrize("order_id", [" ", "None", "null", 7])
def test_an_id_that_names_nothing_is_not_taken(store, order_id):
    placed(store)
    order = store.settle("mine", Outcome("ACCEPTED", order_id=order_id), ts=1)
    assert (order.status, order.order_id) == (S.ACCEPTED, "")
    assert (store.counters["no_id"], store.get(str(order_id))) == (1, None)


def slices_reported(store):
    store.see(report("11", quantity=4, tag=WIRE, parent_order_id="10"), "stream")
    store.see(report("12", S.FILLED, 6, quantity=6, tag=WIRE, parent_order_id="10"), "stream")


def slices_answered(store):
    legs = (Outcome.accepted("11"), Outcome.accepted("12"))
    store.settle("mine", Outcome.parent("10", legs), ts=1)


@pytest.mark.parametrize("steps", list(itertools.permutations((slices_reported, slices_answered))))
def test_slices_are_children_whether_the_reply_or_the_stream_is_first(store, steps):
    placed(store)
    for step in steps:
        step(store)
    parent = store.get("mine")
    assert (parent.order_id, parent.status, parent.filled_quantity) == ("10", S.PARTIALLY_FILLED, 6)
    assert sorted(store.children("mine")) == ["mine/1", "mine/2"]
    assert len(store) == 3
    assert store.get("11").client_order_id == "mine/1"
    assert store.get("12").origin is Origin.US
    assert store.counters["external"] == 0
    assert total(store) == 6
    store.see(report("11", S.FILLED, 4, quantity=4, tag=WIRE, parent_order_id="10"), "stream")
    assert (store.get("mine").status, store.get("mine").filled_quantity) == (S.FILLED, 10)
    assert total(store) == 10


def test_slices_found_after_a_lost_reply_prove_their_parent(store):
    placed(store)
    store.settle("mine", Outcome.unknown(NO), ts=1)
    assert store.unknown
    slices_reported(store)
    parent = store.get("mine")
    assert (parent.status, parent.order_id) == (S.PARTIALLY_FILLED, "10")
    assert store.unknown == ()


def test_a_parent_the_broker_reports_itself_is_as_it_reports_it(store):
    placed(store)
    slices_answered(store)
    store.see(report("10", S.OPEN, tag=WIRE), "stream")
    store.see(report("11", S.REJECTED, quantity=4, parent_order_id="10"), "stream")
    store.see(report("12", S.REJECTED, quantity=6, parent_order_id="10"), "stream")
    assert store.reported("mine")
    assert store.get("mine").status is S.OPEN


@pytest.mark.parametrize(
    ("statuses", "filled", "expected"),
    [
        ((S.ACCEPTED, S.REJECTED), 0, S.ACCEPTED),
        ((S.OPEN, S.ACCEPTED), 0, S.OPEN),
        ((S.OPEN, S.UNKNOWN), 0, S.OPEN),
        ((S.OPEN, S.FILLED), 4, S.PARTIALLY_FILLED),
        ((S.UNKNOWN, S.FILLED), 4, S.UNKNOWN),
        ((S.FILLED, S.FILLED), 5, S.FILLED),
        ((S.FILLED, S.CANCELED), 4, S.CANCELED),
        ((S.REJECTED, S.REJECTED), 0, S.REJECTED),
        ((S.CANCELED, S.REJECTED), 0, S.CANCELED),
    ],
)
def test_a_parent_is_what_its_slices_come_to(store, statuses, filled, expected):
    children = [report(str(n), status, filled if status is S.FILLED else 0) for n, status in enumerate(statuses)]
    parent = rolled_up(placed(store).but(pending=Pending.NONE), children)
    assert parent.status is expected
    assert parent.filled_quantity == sum(child.filled_quantity for child in children)
    assert (parent.remaining_quantity == 0) == expected.terminal


def test_an_order_taken_for_refused_that_the_book_shows_is_live(store):
    placed(store)
    assert store.settle("mine", Outcome.rejected(NO), ts=1).status is S.REJECTED
    assert store.see(report("7", tag=WIRE, ts_event=5), "poll") is Verdict.LATE
    order = store.get("mine")
    assert (order.status, order.order_id, order.reject, order.ts_closed, order.is_open) == (
        S.OPEN,
        "7",
        None,
        None,
        True,
    )


@pytest.mark.parametrize("pending", [Pending.MODIFY, Pending.CANCEL])
def test_a_full_reading_settles_what_was_asked_only_if_it_began_after_the_answer(store, pending):
    store.see(report("7", ts_event=5), "stream")
    store.ask("EXT-7", pending, {"price": Decimal(9)} if pending is Pending.MODIFY else None)
    before = store.begin_reading()
    store.answered("EXT-7")
    for reading, expected in ((before, pending), (None, pending), (store.begin_reading(), Pending.NONE)):
        store.see(report("7", ts_event=6), "poll", reading)
        assert store.get("7").pending is expected


def test_what_reports_do_not_tell_stays_as_we_asked_for_it(store):
    name = store.create(
        Order(
            instrument_id="NSE:INFY",
            side=Side.BUY,
            quantity=Decimal(10),
            client_order_id="mine",
            status=S.SUBMITTED,
            origin=Origin.US,
            market_protection=Decimal(5),
        )
    ).client_order_id
    store.settle(name, Outcome.accepted("7"), 1)
    store.see(report("7"), "stream")
    assert store.get(name).market_protection == 5
    take_back = store.ask(name, Pending.MODIFY, {"market_protection": Decimal(8)})
    take_back()
    store.answered(name)
    assert store.get(name).market_protection == 5
    store.ask(name, Pending.MODIFY, {"market_protection": Decimal(8)})
    store.answered(name)
    store.see(report("7"), "stream")
    assert store.get(name).market_protection == 8


def test_what_is_taken_back_restores_what_was_in_flight_before(store):
    store.see(report("7", ts_event=5, price=Decimal(8)), "stream")
    store.ask("EXT-7", Pending.MODIFY, {"price": Decimal(9)})
    store.ask("EXT-7", Pending.CANCEL)()
    assert store.get("7").pending is Pending.MODIFY
    store.see(report("7", ts_event=5, price=Decimal(9)), "stream")
    assert store.get("7").pending is Pending.NONE
    store.see(report("7", ts_event=5, price=Decimal(8)), "stream")
    assert store.get("7").price == 9


def test_a_reading_that_tells_nothing_new_is_kept_and_not_told(store):
    heard = []
    store.listen(heard.append)
    for as_of in (1, 2, 3):
        store.see(report("7", ts_event=5, complete_as_of=as_of, ts_recv=as_of), "poll")
    assert len(heard) == 1
    assert (store.get("7").complete_as_of, store.counters["same"]) == (3, 2)


@pytest.mark.logs  # the broker's mistake is said aloud
@pytest.mark.parametrize("nothing", ["", "None", "null", " "])
def test_an_id_that_is_none_names_no_order(store, nothing):
    with pytest.raises(ValueError, match="order_id"):
        Outcome.accepted(nothing)
    placed(store)
    store.settle("mine", Outcome("ACCEPTED", nothing), ts=1)
    assert store.see(report(nothing), "stream") is Verdict.REFUSED
    assert (store.get(nothing), store.get("mine").order_ids, len(store)) == (None, (), 1)
    store.see(report(nothing, tag=WIRE), "stream")
    assert store.get(nothing) is None
    store.see(report("7", tag=WIRE), "stream")
    assert store.get("7").client_order_id == "mine"


def test_an_accepted_outcome_needs_its_id_as_text():
    for nothing in (None, 7, b"7"):
        with pytest.raises(ValueError, match="order_id"):
            Outcome.accepted(nothing)


def test_an_id_that_a_replace_left_behind_ends_without_the_order(store):
    placed(store)
    store.settle("mine", Outcome.accepted("7"), ts=1)
    store.see(report("7", ts_event=5), "stream")
    store.rename("mine", "8", "7")
    store.see(report("7", S.CANCELED, 4, ts_event=6), "stream")
    order = store.get("mine")
    assert (order.order_id, order.status, order.filled_quantity) == ("8", S.PARTIALLY_FILLED, 4)
    store.see(report("7", S.PARTIALLY_FILLED, 5, ts_event=7), "stream")
    assert store.get("mine").order_id == "8"
    store.see(report("8", S.CANCELED, 5, ts_event=8), "stream")
    assert store.get("mine").status is S.CANCELED


@pytest.mark.logs  # the mistake is said aloud
def test_a_replace_of_another_order_renames_nothing(store):
    placed(store)
    store.settle("mine", Outcome.accepted("7"), ts=1)
    assert store.rename("mine", "9", "8").order_ids == ("7",)
    assert (store.get("9"), store.counters["id_conflicts"]) == (None, 1)


def test_a_fill_whose_average_comes_second_is_told_then(store):
    store.see(report("7", filled=4, ts_event=5).but(average_price=None), "stream")
    assert total(store) == 0
    store.see(report("7", filled=4, ts_event=5), "stream")
    assert total(store) == 4


def test_a_retired_order_is_not_listed_and_is_found_and_listed_again_once_somebody_reports_it(store):
    placed(store)
    store.see(report("7", S.FILLED, 10, tag=WIRE), "stream")
    store.retire("mine")
    assert list(store) == []
    assert {store.get(name).client_order_id for name in ("mine", "7", WIRE)} == {"mine"}
    store.see(report("7", S.FILLED, 10, tag=WIRE), "poll")
    assert [order.client_order_id for order in store] == ["mine"]
    store.retire("mine")
    store.see_fill(fill(1, "7", 10), "poll")
    assert [order.client_order_id for order in store] == ["mine"]
    assert total(store) == 10
