"""Every way a reply can fail, for placing, changing and cancelling, at every broker, over real sockets.

In each cell the broker is hit by one fault while exactly one request that changes something is on its way. Nothing but
that reply could tell what became of it: no stream is open. Two things must hold: the broker has at most one order of
the intent, and the caller is told UNKNOWN unless the broker has proven otherwise. In the end, once the broker answers
again, whatever was unknown must have come to the broker's truth by itself.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from dragoman.errors import DragomanError, Effect, OutcomeUnknown, Throttled
from dragoman.model import OrderStatus, Pending, Side
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.loops import new_event_loop
from dragoman.runtime.real import RealRuntime
from dragoman.testing.conformance.stage import staged

S = OrderStatus
BROKERS = ("alpaca", "binance", "fyers", "upstox", "zerodha")
ACTS = ("place", "modify", "cancel")
UNKNOWN, REFUSED, SLOWED = "unknown", "refused", "slowed down"
DONE, NOT_DONE = True, False
FAULTS = {
    # processed at the broker, and the reply is lost or useless
    "drop_reply": (DONE, UNKNOWN),
    "reset_reply": (DONE, UNKNOWN),
    "close_reply": (DONE, UNKNOWN),
    "reset_mid_reply": (DONE, UNKNOWN),
    "truncate_reply": (DONE, UNKNOWN),
    "wrong_length": (DONE, UNKNOWN),
    "bomb=4MiB": (DONE, UNKNOWN),
    "late_http:500": (DONE, UNKNOWN),
    "late_http:502": (DONE, UNKNOWN),
    "late_http:504": (DONE, UNKNOWN),
    "late_html:502": (DONE, UNKNOWN),
    "late_html:200": (DONE, UNKNOWN),
    "late_empty:200": (DONE, UNKNOWN),
    "late_empty:503": (DONE, UNKNOWN),
    # not processed, and nobody can know
    "drop_request": (NOT_DONE, UNKNOWN),
    "reset_request": (NOT_DONE, UNKNOWN),
    "close_request": (NOT_DONE, UNKNOWN),
    "html:503": (NOT_DONE, UNKNOWN),
    "empty:200": (NOT_DONE, UNKNOWN),
    "redirect": (NOT_DONE, UNKNOWN),
    "http:500": (NOT_DONE, UNKNOWN),
    "http:504": (NOT_DONE, UNKNOWN),
    # not processed, and the broker says so
    "http:429": (NOT_DONE, SLOWED),
}
METHODS = {
    # what carries a change at each broker; placing is a POST and cancelling a DELETE everywhere
    "alpaca": "PATCH",
    "binance": "POST",
    "fyers": "PATCH",
    "upstox": "PUT",
    "zerodha": "PUT",
}
SETTLED_S = 60
TIMEOUT_S = 1.5
"""Where no reply comes: every reply on loopback comes much sooner, and so does room in the limits of a second."""


@dataclass(frozen=True)
class Cell:
    act: str
    fault: str
    found: str
    orders: int


def class_of(error: DragomanError | None) -> str:
    if error is None:
        return "confirmed"
    if isinstance(error, OutcomeUnknown):
        return UNKNOWN
    if isinstance(error, Throttled):
        return SLOWED
    return REFUSED if error.effect is Effect.NONE else f"{type(error).__name__} {error.effect}"


def impatient(broker):
    """Return the adapter with a short longest queue: absence is proven in seconds, by the same rule."""
    kind = type(load_adapter(broker))
    return type(kind.__name__, (kind,), {"session": replace(kind.session, queue_time_s=1.0)})()


class Matrix:
    """One broker, one client, all cells."""

    def __init__(self, broker, stage):
        self.broker = broker
        self.stage = stage
        self.cells = []
        self.placed = 0

    @property
    def client(self):
        return self.stage.client

    async def place(self, name):
        """Place an order that rests far from the market, each at a price of its own."""
        self.placed += 1
        stage, of = self.stage, "A"
        price = stage.cast.price(of, Decimal(-4), -self.placed % 40)
        return await self.client.place(
            stage.id_of(of),
            Side.BUY,
            stage.cast.unit(of),
            order_type="LIMIT",
            price=price,
            product=stage.cast.product(of),
            client_order_id=name,
            timeout_s=TIMEOUT_S,
            allow_unknown=True,
        )

    async def modify(self, order):
        tick = self.stage.cast.instrument("A").tick_size
        return await self.client.modify(order, price=order.price - tick, timeout_s=TIMEOUT_S)

    async def cell(self, act, fault):
        name = f"{act}-{fault}".replace(":", "-").replace("=", "-")
        order = None
        await self.room()
        if act != "place":
            self.placed += 1
            order = await self.working(name)
        method = {"place": "POST", "modify": METHODS[self.broker], "cancel": "DELETE"}[act]
        before = {state.order_id for state in self.stage.venue_orders()}
        self.stage.fault(f"{fault}@{method}*1")
        error = None
        try:
            if act == "place":
                await self.place(name)
            elif act == "modify":
                await self.modify(order)
            else:
                await self.client.cancel(order, timeout_s=TIMEOUT_S)
        except DragomanError as raised:
            error = raised
        self.stage.host.faults.clear()
        fresh = [state for state in self.stage.venue_orders() if state.order_id not in before]
        self.cells.append(Cell(act, fault, class_of(error), len(fresh)))

    async def room(self):
        """Wait until every limit has room for a cell, and for the readings after it."""
        limiter = self.client.session.limiter
        while any(limit["left"] < min(limit["count"] // 2, 12) for limit in limiter.state().values()):
            await self.stage.runtime.sleep(0.1)

    async def working(self, name):
        return await self.client.place(
            self.stage.id_of("A"),
            Side.BUY,
            self.stage.cast.unit("A"),
            order_type="LIMIT",
            price=self.stage.cast.price("A", Decimal(-4), -self.placed % 40),
            product=self.stage.cast.product("A"),
            client_order_id=name,
            allow_unknown=True,
        )

    async def settle(self):
        """Let the search begin, and wait until nothing is unknown any more."""
        del self.client.orders_service.resolver.wake
        self.client.orders_service.resolver.wake()

        def open_questions():
            store = self.client.orders_service.store
            return [
                order.client_order_id
                for order in store
                if order.status is S.UNKNOWN or (order.pending is not Pending.NONE and order.status.working)
            ]

        try:
            async with asyncio.timeout(SETTLED_S):
                while open_questions():
                    await self.stage.runtime.sleep(0.1)
        except TimeoutError:
            return [f"{name} is unknown still" for name in open_questions()]
        return []

    def compare(self):
        """Return where the client's view and the exchange's ledger differ, as words."""
        emulator = self.stage.emulator
        ours = {order.order_id: order for order in self.client.orders_service.store if order.order_id}
        left_behind = {one for order in ours.values() for one in order.order_ids if one != order.order_id}
        found = []
        for state in self.stage.venue_orders():
            name = emulator.order_name(state.order_id)
            order = ours.get(name)
            if order is None:
                if name not in left_behind:
                    found.append(f"{name} is unknown here")
            elif order.status.working is not state.status.working:
                found.append(f"{order.client_order_id} is {order.status} here, {state.status} there")
            elif order.status.working and order.price != state.order.price:
                found.append(f"{order.client_order_id} is at {order.price} here, {state.order.price} there")
        return found


async def play(broker, runtime, state_dir):
    async with staged(runtime, impatient(broker), state_dir=state_dir) as stage:
        await stage.connect(streams=False)
        matrix = Matrix(broker, stage)
        # Or what they find for one cell would answer the next.
        stage.client.orders_service.resolver.wake = lambda: None
        await stage.client._reconciler.close()
        for act in ACTS:
            for fault in FAULTS:
                await matrix.cell(act, fault)
        unsettled = await matrix.settle()
        await stage.client.orders()
        return matrix.cells, [*unsettled, *matrix.compare()]


@pytest.fixture(scope="module")
def played():
    """All brokers at once: the time goes into waiting for replies that do not come."""

    async def every(runtime, folder):
        played = (play(broker, runtime, f"{folder}/{broker}") for broker in BROKERS)
        return dict(zip(BROKERS, await asyncio.gather(*played), strict=True))

    runtime = RealRuntime()
    try:
        with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=new_event_loop) as runner:
            yield runner.run(every(runtime, folder))
    finally:
        runtime.close()


@pytest.mark.parametrize("broker", BROKERS)
def test_every_ambiguous_reply_is_unknown_and_ends_as_the_brokers_truth(broker, played):
    cells, differences = played[broker]
    wrong = [
        f"{cell.act} x {cell.fault}: {cell.found}, {cell.orders} orders; expected {FAULTS[cell.fault][1]}"
        for cell in cells
        if cell.found != FAULTS[cell.fault][1] or cell.orders > 1
    ]
    print(f"\n{broker}: {len(cells)} cells, {len(wrong)} wrong", *wrong, *differences, sep="\n  ")
    assert len(cells) == len(ACTS) * len(FAULTS)
    assert wrong == []
    assert differences == []
