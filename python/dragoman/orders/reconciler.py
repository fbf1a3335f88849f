"""Reads orders, trades and positions again and again, so that what a stream left out does not stay missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from dragoman.errors import AuthRequired, DragomanError
from dragoman.model import Order, OrderAlert, OrderStatus, OrderUpdate, Origin
from dragoman.orders.reading import OrderReader
from dragoman.session.session import AccountSession

_NS: Final = 1_000_000_000
_WORKING_S: Final = 8.0
_OPEN_S: Final = 20.0
_CLOSED_S: Final = 300.0
_POLLED_S: Final = 2.0
_POSITIONS_S: Final = 60.0
_LOOK_S: Final = 1.0
_LONGEST_S: Final = 60.0
_DOUBLINGS: Final = 4
_ON_THE_WAY_NS: Final = 5 * _NS
_ABOUT_NS: Final = 2 * _NS  # how well a broker's times of events compare with ours
_log = logging.getLogger("dragoman.orders")


class Reconciler:
    """The audit of one account.

    Parameters
    ----------
    session : AccountSession
    reader : OrderReader
    alert : callable
    distrust : callable
        Told, with the reason, that the order streams left something out.
    check_positions : callable
        Reads positions and returns where they differ from the sum of fills.
    streaming : bool
        Whether orders have a stream at all; without one they are polled, every two seconds while any works.

    Attributes
    ----------
    audits, missed : int
        Readings so far, and changes they found that the stream had not told.
    """

    def __init__(
        self,
        session: AccountSession,
        reader: OrderReader,
        alert: Callable[[OrderAlert], object],
        distrust: Callable[[str], object],
        check_positions: Callable[[], Awaitable[Sequence[Any]]],
        *,
        streaming: bool,
    ) -> None:
        self._session = session
        self._reader = reader
        self._store = reader.store
        self._alert = alert
        self._distrust = distrust
        self._check_positions = check_positions
        self._streaming = streaming
        self._reading = False
        self._found: dict[str, Order] = {}
        self._expected: dict[str, tuple[Order, int]] = {}  # may be on its way to us; since when, monotonic
        self._changed_ns: dict[str, int] = {}
        self._known: dict[str, Order] = {}  # while a reading runs: what was told before
        self._before: tuple[dict[str, Order], int] | None = None  # all orders before positions are read; since when
        self._quiet_ns = int(session.adapter.session.settle_s * _NS)
        self._mono_ns = session.runtime.clock.mono_ns
        self._differing: frozenset[Any] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._listening = self._store.listen(self._seen, first_steps=False)
        self.audits = 0
        self.missed = 0

    def start(self) -> None:
        """Begin to read in the background."""
        self._task = self._session.runtime.spawn(self._run(), name=f"{self._session.adapter.name} order audit")

    async def close(self) -> None:
        """End it."""
        self._listening()
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,))

    # -- the rounds --------------------------------------------------------------------------------------------------

    def _pause_s(self) -> float:
        """Return how long may pass between two readings now."""
        if self._store.open:
            return _WORKING_S if self._streaming else _POLLED_S
        return _OPEN_S if self._session.calendar.open_for_s() is not None else _CLOSED_S

    async def _run(self) -> None:
        runtime = self._session.runtime
        read_ns = positions_ns = runtime.clock.mono_ns()
        wait_s, failures = 0.0, 0
        while True:
            await runtime.sleep(max(_LOOK_S, wait_s))
            wait_s, now = 0.0, runtime.clock.mono_ns()
            self._overdue(now)
            try:
                if now - read_ns >= self._pause_s() * _NS:
                    read_ns = now
                    await self._audit()
                    failures = 0
                due_ns = positions_ns + int(_POSITIONS_S * _NS)
                if now >= due_ns - self._quiet_ns - int(_LOOK_S * _NS) and self._store.fills.all():
                    if self._before is None:
                        self._before = self._store.views(), self._mono_ns()
                    before, since_ns = self._before
                    if now >= max(due_ns, since_ns + self._quiet_ns):
                        positions_ns, self._before = now, None
                        await self._compare(before)
            except AuthRequired:
                wait_s = _OPEN_S  # the session's own affair; readings go on once there is one
            except DragomanError as error:
                # Once the broker is back the stream says so, and everything is read at once: nothing waits for this.
                failures += 1
                backoff_s = 5.0 * 2 ** min(failures, _DOUBLINGS) if self._streaming else 0.0
                wait_s = max(min(_LONGEST_S, backoff_s), error.retry_after_s or 0.0)
                _log.debug("%s: the order audit could not read: %s", self._session.adapter.name, error)

    async def _audit(self) -> None:
        """Read everything, and say what the stream should have told."""
        streamed, began = self._streaming and self._reader.fresh, self._session.runtime.clock.mono_ns()
        self._reading, self._found, self._known = True, {}, self._store.views()
        self._listening.first_steps = True  # so that what is known stays so
        try:
            as_of = await self._reader.refresh(15.0)
        finally:
            self._reading, self._known = False, {}
            self._listening.first_steps = False
        self.audits += 1
        if not streamed or not self._reader.fresh:
            return  # a gap is known, and this reading is part of healing it
        late = []
        for order in self._found.values():
            age_ns = max(0, as_of - (order.ts_event or as_of))
            if age_ns >= _ON_THE_WAY_NS:
                late.append(order)
            else:
                self._expected[order.order_id] = order, began - age_ns
        self._missed(late)

    def _overdue(self, now: int) -> None:
        """Look whether the stream has told by now what a reading had found before it could."""
        if not self._expected:
            return
        if not self._reader.fresh:
            self._expected.clear()  # a gap is known
            return
        due = [one for one, (_, since) in self._expected.items() if now - since >= _ON_THE_WAY_NS]
        waited = [self._expected.pop(order_id) for order_id in due]
        heard = self._reader.heard_ns
        self._missed([order for order, since in waited if heard.get(order.order_id, 0) < since - _ABOUT_NS])

    def _missed(self, orders: Sequence[Order]) -> None:
        """Say what the stream has left out, and begin it anew."""
        for order in orders:
            self.missed += 1
            external = order.origin is Origin.EXTERNAL
            what = "of another terminal " if external else ""
            text = f"order {order.client_order_id} {what}is {order.status}, which the order stream did not tell"
            self._alert(OrderAlert("MISSED_UPDATE", text, order, ts=self._session.runtime.clock.wall_ns()))
        if orders:
            self._distrust(f"a reading found {len(orders)} changes that it had not told")

    async def _compare(self, before: Mapping[str, Order]) -> None:
        """Compare positions with the sum of fills, for instruments at rest before and while they were read.

        Parameters
        ----------
        before : mapping
            All orders as they were for some seconds already.
        """
        began = self._session.runtime.clock.mono_ns()
        found = await self._check_positions()
        # Of what was entered since then, or had no answer by then, nobody is told before it changes again.
        begun = {
            order.instrument_id
            for name, order in self._store.views().items()
            if name not in before or before[name].status is OrderStatus.SUBMITTED
        }
        changed_ns, quiet_ns = self._changed_ns, began - self._quiet_ns
        at_rest = [
            one for one in found if one.instrument_id not in begun and changed_ns.get(one.instrument_id, 0) < quiet_ns
        ]
        now = self._session.runtime.clock.wall_ns()
        for one in at_rest:
            if one not in self._differing:  # said once, until it changes
                text = (
                    f"{one.instrument_id} {one.product}: {one.field} is {one.broker} at the broker, {one.ours} by fills"
                )
                self._alert(OrderAlert("POSITION_DIFFERS", text, subject=one, ts=now))
        self._differing = frozenset(at_rest)

    def _seen(self, update: OrderUpdate) -> None:
        order = update.order
        self._changed_ns[order.instrument_id] = self._mono_ns()
        if not self._reading:
            return
        name = order.client_order_id
        if update.source == "poll":
            known = self._known.get(name)
            if known is None or _told(known) != _told(order):
                self._found[name] = order
        self._known[name] = order


def _told(order: Order) -> tuple[Any, ...]:
    """Return what a stream has to tell of an order. Fills one by one are not among it: many tell sums alone."""
    return order.status, order.filled_quantity, order.quantity, order.price, order.trigger_price
