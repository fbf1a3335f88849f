"""Every way a reply can fail, for placing, changing and cancelling, at every broker, over real sockets.

In each cell the broker is hit by one fault while exactly one request that changes something is on its way. Nothing but
that reply could tell what became of it: no stream is open. Two things must hold: the broker has at most one order of
the intent, and the caller is told UNKNOWN unless the broker has proven otherwise, or nothing can have left. In the end,
once the broker answers again, whatever was unknown must have come to the broker's truth by itself.

Each act at each broker has a client and an exchange of its own, and all of them wait at the same time.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from dragoman.errors import DragomanError, Effect, NotSent, OutcomeUnknown, Throttled
from dragoman.model import OrderStatus, Pending, Side
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.loops import new_event_loop
from dragoman.runtime.real import RealRuntime
from dragoman.testing.conformance.stage import staged

S = OrderStatus
BROKERS = ("alpaca", "binance", "fyers", "upstox", "zerodha")
ACTS = ("place", "modify", "cancel")
UNKNOWN, REFUSED, SLOWED, NOT_SENT = "unknown", "refused", "slowed down", "not sent"
DONE, NOT_DONE = True, False
GONE, THROTTLED = "gone", "http:429"
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
    # nobody listens
    GONE: (NOT_DONE, NOT_SENT),
    # not processed, and the broker says so; the last, since some brokers then answer nothing for a minute
    THROTTLED: (NOT_DONE, SLOWED),
}
METHODS = {
    # what carries a change at each broker; placing is a POST and cancelling a DELETE everywhere
    "alpaca": "PATCH",
    "binance": "POST",
    "fyers": "PATCH",
    "upstox": "PUT",
    "zerodha": "PUT",
}
CERTAIN = {
    ("alpaca", "cancel", "wrong_length"): "a cancel is answered 204, which has no body: its length says nothing",
}
"""Where a reply that is damaged elsewhere proves what was done."""
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
    if isinstance(error, NotSent):
        return NOT_SENT
    if isinstance(error, Throttled):
        return SLOWED
    return REFUSED if error.effect is Effect.NONE else f"{type(error).__name__} {error.effect}"


def impatient(broker):
    """Return the adapter with a short longest queue: absence is proven in seconds, by the same rule."""
    kind = type(load_adapter(broker))
    return type(kind.__name__, (kind,), {"session": replace(kind.session, queue_time_s=1.0)})()


class Row:
    """One broker, one act, one client, all faults."""

    def __init__(self, broker, act, stage):
        self.broker = broker
        self.act = act
        self.stage = stage
        self.cells = []
        self.placed = 0

    @property
    def client(self):
        return self.stage.client

    async def place(self, name, **options):
        """Place an order that rests far from the market, each at a price of its own."""
        self.placed += 1
        cast = self.stage.cast
        return await self.client.place(
            self.stage.id_of("A"),
            Side.BUY,
            cast.unit("A"),
            order_type="LIMIT",
            price=cast.price("A", Decimal(-4), -self.placed % 40),
            product=cast.product("A"),
            client_order_id=name,
            allow_unknown=True,
            **options,
        )

    async def do(self, name, order):
        if self.act == "place":
            await self.place(name, timeout_s=TIMEOUT_S)
        elif self.act == "modify":
            tick = self.stage.cast.instrument("A").tick_size
            await self.client.modify(order, price=order.price - tick, timeout_s=TIMEOUT_S)
        else:
            await self.client.cancel(order, timeout_s=TIMEOUT_S)

    async def cell(self, fault):
        name = f"{self.act}-{fault}".replace(":", "-").replace("=", "-")
        await self.room()
        order = None if self.act == "place" else await self.place(name)
        before = {state.order_id for state in self.stage.venue_orders()}
        error = None
        async with self.going_wrong(fault):
            try:
                await self.do(name, order)
            except DragomanError as raised:
                error = raised
        fresh = [state for state in self.stage.venue_orders() if state.order_id not in before]
        self.cells.append(Cell(self.act, fault, class_of(error), len(fresh)))

    @asynccontextmanager
    async def going_wrong(self, fault):
        host = self.stage.host
        if fault == GONE:
            await host.close()
            yield
            await host.start()
            return
        method = {"place": "POST", "modify": METHODS[self.broker], "cancel": "DELETE"}[self.act]
        self.stage.fault(f"{fault}@{method}*1")
        yield
        host.faults.clear()

    async def room(self):
        """Wait until every limit has room for a cell."""
        limiter = self.client.session.limiter
        while any(limit["left"] < min(limit["count"] // 2, 3) for limit in limiter.state().values()):
            await self.stage.runtime.sleep(0.02)

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


async def play(broker, act, runtime, state_dir):
    async with staged(runtime, impatient(broker), state_dir=state_dir) as stage:
        await stage.connect(streams=False)
        row = Row(broker, act, stage)
        # Or what they find for one cell would answer the next.
        stage.client.orders_service.resolver.wake = lambda: None
        await stage.client._reconciler.close()
        for fault in FAULTS:
            if fault != THROTTLED:
                await row.cell(fault)
        unsettled = await row.settle()
        await stage.client.orders()
        found = [*unsettled, *row.compare()]
        await row.cell(THROTTLED)
        return row.cells, [*found, *row.compare()]


@pytest.fixture(scope="module")
def played():
    """All at once: the time goes into waiting for replies that do not come."""
    rows = [(broker, act) for broker in BROKERS for act in ACTS]

    async def every(runtime, folder):
        plays = (play(broker, act, runtime, f"{folder}/{broker}-{act}") for broker, act in rows)
        ended = await asyncio.gather(*plays, return_exceptions=True)  # all let go of what they hold, also if one fails
        for one in ended:
            if isinstance(one, BaseException):
                raise one
        return ended

    runtime = RealRuntime()
    try:
        with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=new_event_loop) as runner:
            yield dict(zip(rows, runner.run(every(runtime, folder)), strict=True))
    finally:
        runtime.close()


@pytest.mark.parametrize("broker", BROKERS)
def test_every_ambiguous_reply_is_unknown_and_ends_as_the_brokers_truth(broker, played):
    cells = [cell for act in ACTS for cell in played[broker, act][0]]
    differences = [one for act in ACTS for one in played[broker, act][1]]
    wrong = [
        f"{cell.act} x {cell.fault}: {cell.found}, {cell.orders} orders; expected {expected(broker, cell)}"
        for cell in cells
        if cell.found != expected(broker, cell) or cell.orders > int(FAULTS[cell.fault][0] and cell.act != "cancel")
    ]
    assert len(cells) == len(ACTS) * len(FAULTS)
    assert wrong == []
    assert differences == []


def expected(broker, cell):
    """Return what the caller has to be told."""
    return "confirmed" if (broker, cell.act, cell.fault) in CERTAIN else FAULTS[cell.fault][1]


def test_the_table(played):
    """Print it: what the caller was told, and how many orders the broker has got, in every cell (-s shows it)."""
    print("\n" + table(played))
    assert sum(len(cells) for cells, _ in played.values()) == len(BROKERS) * len(ACTS) * len(FAULTS)


def table(played):
    """Return outcome and new orders of every cell, a fault a line."""
    found = {(broker, *_key(cell)): cell for (broker, _), (cells, _) in played.items() for cell in cells}
    head = f"{'':16}" + "".join(f"{broker:^27}" for broker in BROKERS)
    names = f"{'':16}" + "".join(f"{act:>9}" for _ in BROKERS for act in ACTS)
    lines = [
        f"{fault:16}" + "".join(_shown(found[broker, act, fault]) for broker in BROKERS for act in ACTS)
        for fault in FAULTS
    ]
    return "\n".join(
        (head, names, *lines, "outcome/orders the broker got; ? unknown, - not sent, s slowed, c confirmed, ! other")
    )


def _key(cell):
    return cell.act, cell.fault


def _shown(cell):
    sign = {UNKNOWN: "?", NOT_SENT: "-", SLOWED: "s", "confirmed": "c"}.get(cell.found, "!")
    return f"{sign}/{cell.orders}".rjust(9)
