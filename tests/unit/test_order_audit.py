"""The audit: what a reading found that nobody had told, and positions of instruments at rest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal as D
from types import SimpleNamespace
from typing import Any

import pytest

from dragoman.model import Order, OrderAlert, OrderStatus, Outcome, Side
from dragoman.orders import OrderStore
from dragoman.orders.reconciler import Reconciler

S = OrderStatus
SECOND = 10**9
INFY, SBIN = "NSE:INFY", "NSE:SBIN"


@dataclass(frozen=True)
class Differs:
    """A position that is not what fills say."""

    instrument_id: str
    product: str = "INTRADAY"
    field: str = "quantity"
    broker: int = 1
    ours: int = 2


class Desk:
    """A reconciler whose readings are what a test says."""

    def __init__(self) -> None:
        self.now = 1000 * SECOND
        self.store = OrderStore(lambda ts: "today")
        self.alerts: list[OrderAlert] = []
        self.distrusted: list[str] = []
        self.fresh = True
        self.heard_ns: dict[str, int] = {}
        self.differing: list[Any] = []
        self.read: Any = lambda: None
        clock = SimpleNamespace(mono_ns=lambda: self.now, wall_ns=lambda: self.now)
        session: Any = SimpleNamespace(
            runtime=SimpleNamespace(clock=clock),
            adapter=SimpleNamespace(name="test", session=SimpleNamespace(settle_s=5.0)),
        )
        self.audit: Any = Reconciler(
            session, self, self.alerts.append, self.distrusted.append, self.check, streaming=True
        )

    async def refresh(self, timeout_s: float) -> int:
        self.read()
        return self.now

    async def check(self) -> list[Any]:
        self.read()
        return self.differing

    def place(self, name: str, instrument_id: str = INFY) -> None:
        self.store.create(
            Order(instrument_id=instrument_id, side=Side.BUY, quantity=D(10), status=S.SUBMITTED, client_order_id=name)
        )

    def take(self, name: str, order_id: str) -> None:
        self.store.settle(name, Outcome.accepted(order_id), self.now)

    def see(self, order_id: str, status: OrderStatus = S.OPEN, *, source: Any = "poll") -> None:
        told = Order(
            instrument_id=INFY,
            side=Side.BUY,
            quantity=D(10),
            status=status,
            raw_status=status.lower(),
            order_id=order_id,
            order_ids=(order_id,),
            ts_event=self.now - 60 * SECOND,
        )
        self.store.see(told, source)

    def missed(self) -> list[str]:
        asyncio.run(self.audit._audit())
        return [one.order.client_order_id for one in self.alerts if one.code == "MISSED_UPDATE" and one.order]

    def differ(self, before: dict[str, Order]) -> list[str]:
        asyncio.run(self.audit._compare(before))
        return [one.subject.instrument_id for one in self.alerts if one.code == "POSITION_DIFFERS"]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_reading_that_shows_what_a_reply_told_has_found_nothing(desk):
    desk.place("a")
    desk.take("a", "1")
    desk.read = lambda: desk.see("1", S.ACCEPTED)
    assert desk.missed() == []


def test_a_reading_that_shows_more_than_the_stream_told_has_found_it(desk):
    desk.place("a")
    desk.take("a", "1")
    desk.read = lambda: desk.see("1", S.CANCELED)
    assert desk.missed() == ["a"]
    assert desk.distrusted


def test_an_order_taken_and_told_of_while_a_reading_runs_was_not_missed(desk):
    def read() -> None:
        desk.place("a")
        desk.take("a", "1")
        desk.see("1", S.OPEN, source="stream")
        desk.see("1", S.OPEN)
        desk.place("b")
        desk.take("b", "2")
        desk.see("2", S.ACCEPTED)

    desk.read = read
    assert desk.missed() == []


def test_first_steps_are_told_to_the_audit_only_while_it_reads(desk):
    waiting = []
    desk.read = lambda: waiting.append(len(desk.store._step_listeners))
    assert desk.store._step_listeners == ()
    desk.missed()
    assert (waiting, desk.store._step_listeners) == ([1], ())


def test_positions_are_compared_where_nothing_was_placed_before_they_were_read(desk):
    desk.place("old")
    desk.take("old", "1")
    before = desk.store.views()
    desk.differing = [Differs(INFY), Differs(SBIN)]
    desk.place("new", SBIN)
    assert desk.differ(before) == [INFY]


def test_an_order_that_was_answered_just_before_positions_were_read_may_have_changed_them(desk):
    desk.place("a")
    before = desk.store.views()
    desk.take("a", "1")
    desk.differing = [Differs(INFY)]
    assert desk.differ(before) == []
    assert desk.differ(desk.store.views()) == [INFY]


def test_an_order_that_was_placed_while_positions_were_read_may_have_changed_them(desk):
    desk.differing = [Differs(INFY)]
    desk.read = lambda: desk.place("a")
    assert desk.differ(desk.store.views()) == []


def test_what_was_told_within_the_last_seconds_may_have_changed_positions(desk):
    desk.see("1", source="stream")
    before = desk.store.views()
    desk.differing = [Differs(INFY)]
    desk.now += 4 * SECOND
    assert desk.differ(before) == []
    desk.now += 2 * SECOND
    assert desk.differ(before) == [INFY]
