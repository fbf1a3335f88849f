"""Reads orders, trades and positions again and again, so that what a stream left out does not stay missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from dragoman.errors import AuthRequired, DragomanError
from dragoman.model import Order, OrderAlert, OrderUpdate, Origin
from dragoman.orders.reading import OrderReader
from dragoman.session.session import AccountSession

_NS: Final = 1_000_000_000
_WORKING_S: Final = 12.0
_OPEN_S: Final = 20.0
_CLOSED_S: Final = 300.0
_POLLED_S: Final = 2.0
_POSITIONS_S: Final = 60.0
_LOOK_S: Final = 1.0
_ON_THE_WAY_NS: Final = 5 * _NS
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
        self._changed_ns: dict[str, int] = {}
        self._known: dict[str, Order] = {}
        self._mono_ns = session.runtime.clock.mono_ns
        self._differing: frozenset[Any] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._remove = self._store.listen(self._seen)
        self.audits = 0
        self.missed = 0

    def start(self) -> None:
        """Begin to read in the background."""
        self._task = self._session.runtime.spawn(self._run(), name=f"{self._session.adapter.name} order audit")

    async def close(self) -> None:
        """End it."""
        self._remove()
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
        wait_s = 0.0
        while True:
            await runtime.sleep(max(_LOOK_S, wait_s))
            wait_s, now = 0.0, runtime.clock.mono_ns()
            try:
                if now - read_ns >= self._pause_s() * _NS:
                    read_ns = now
                    await self._audit()
                if now - positions_ns >= _POSITIONS_S * _NS and self._store.fills.all():
                    positions_ns = now
                    await self._compare()
            except AuthRequired:
                wait_s = _OPEN_S  # the session's own affair; readings go on once there is one
            except DragomanError as error:
                wait_s = error.retry_after_s or 0.0
                _log.debug("%s: the order audit could not read: %s", self._session.adapter.name, error)

    async def _audit(self) -> None:
        """Read everything, and say what the stream should have told."""
        streamed = self._streaming and self._reader.fresh
        self._reading, self._found = True, {}
        try:
            as_of = await self._reader.refresh(15.0)
        finally:
            self._reading = False
        self.audits += 1
        if not streamed or not self._reader.fresh:
            return  # a gap is known, and this reading is part of healing it
        late = [order for order in self._found.values() if (order.ts_event or as_of) <= as_of - _ON_THE_WAY_NS]
        for order in late:
            self.missed += 1
            external = order.origin is Origin.EXTERNAL
            what = "of another terminal " if external else ""
            text = f"order {order.client_order_id} {what}is {order.status}, which the order stream did not tell"
            self._alert(OrderAlert("MISSED_UPDATE", text, order, ts=self._session.runtime.clock.wall_ns()))
        if late:
            self._distrust(f"a reading found {len(late)} changes that it had not told")

    async def _compare(self) -> None:
        """Compare positions with the sum of fills, for instruments at rest before and while they were read."""
        began = self._session.runtime.clock.mono_ns()
        found = await self._check_positions()
        quiet_ns = int(self._session.adapter.session.settle_s * _NS)
        at_rest = [one for one in found if self._changed_ns.get(one.instrument_id, 0) < began - quiet_ns]
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
        name = order.client_order_id
        self._changed_ns[order.instrument_id] = self._mono_ns()
        if self._reading and update.source == "poll":
            known = self._known.get(name)
            if known is None or _told(known) != _told(order):
                self._found[name] = order
        self._known[name] = order


def _told(order: Order) -> tuple[Any, ...]:
    """Return what a stream has to tell of an order. Fills one by one are not among it: many tell sums alone."""
    return order.status, order.filled_quantity, order.quantity, order.price, order.trigger_price
