"""What the broker says of the orders, by stream and by request, and merging it into the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

from dragoman.checks import WireUnits
from dragoman.errors import DecodeError, DragomanError, Rejected, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import Fill, Order, OrderStatus, Pending, TimeInForce
from dragoman.orders.freshness import Freshness
from dragoman.orders.store import OrderStore, Source
from dragoman.plugin import FillSeen, OrderSeen
from dragoman.session.backoff import Backoff
from dragoman.session.secrets import redact
from dragoman.session.session import AccountSession

_NS = 1_000_000_000
_UNKNOWN = OrderStatus.UNKNOWN
_log = logging.getLogger("dragoman.orders")
_APART_NS = 5 * _NS
_ORPHAN_TRIES = 3


@dataclass(slots=True)
class _Doubt:
    """A change or cancel nobody knows the outcome of."""

    pending: Pending
    since_ns: int
    quiet_since_ns: int | None = None
    told: bool = False


class OrderReader:
    """Reads orders and fills of one account.

    Parameters
    ----------
    session : AccountSession
    master : InstrumentMaster
    units : WireUnits
    freshness : Freshness
        Told of every full reading.

    Attributes
    ----------
    heard_ns : dict of str to int
        When a stream last reported an order, by the broker's id of it; monotonic.
    """

    def __init__(
        self, session: AccountSession, master: InstrumentMaster, units: WireUnits, freshness: Freshness
    ) -> None:
        self._session = session
        self._master = master
        self._units = units
        self._freshness = freshness
        self._zone = ZoneInfo(session.adapter.session.time_zone)
        self._doubts: dict[str, _Doubt] = {}
        self._orphans: dict[str, int] = {}  # how often the order of a fill was asked for, by the broker's id of it
        self._rereading: asyncio.Task[None] | None = None
        restarts = session.adapter.capabilities.replace_restarts_fills
        self.store = OrderStore(self.trading_day, fills_restart=restarts)
        self.complete_as_of: int | None = None
        self._day = ""
        self.heard_ns: dict[str, int] = {}

    @property
    def fresh(self) -> bool:
        """Whether everything there is to know is known, as far as anybody can tell."""
        return not self._freshness.stale

    # -- readings ----------------------------------------------------------------------------------------------------

    async def refresh(self, timeout_s: float) -> int:
        """Read all of today's orders and trades and merge them; return the broker's time at which that began."""
        session, adapter = self._session, self._session.adapter
        begun, reading = self._freshness.begin(), self.store.begin_reading()
        as_of, began = session.ctx.now_ns, session.runtime.clock.mono_ns()
        orders = await session.run(adapter.orders(session.ctx), timeout_s=timeout_s)
        fills = await session.run(adapter.trades(session.ctx), timeout_s=timeout_s)
        unread = sum(
            not self._merged(partial(self._see, row.but(complete_as_of=as_of), "poll", reading)) for row in orders
        )
        unread += sum(not self._merged(partial(self._see_fill, row, "poll")) for row in fills)
        unread += await self._read_orphans(as_of, timeout_s)
        if unread:
            raise DecodeError(
                f"{adapter.name}: {unread} of {len(orders)} orders and {len(fills)} fills could not be merged",
                broker=adapter.name,
                remedy="the log says why; what is not there proves nothing now",
            )
        self._new_day({order.order_id for order in orders})
        self._settle_doubts(began, {order.order_id for order in orders if order.pending is Pending.NONE})
        self.complete_as_of = max(as_of, self.complete_as_of or as_of)
        self._freshness.read(begun)
        return as_of

    async def _read_orphans(self, as_of: int, timeout_s: float) -> int:
        """Ask for the orders of fills that no list of orders has; return how many could not be merged.

        Some brokers list what is open alone: an order of another terminal that filled while the stream was down is
        told by its fills. One that the broker does not tell is asked for a few times; none holds the
        reading up.
        """
        session, unread = self._session, 0
        for order_id in sorted({fill.order_id for fill in self.store.orphan_fills}):
            if self._orphans.get(order_id, 0) >= _ORPHAN_TRIES:
                continue
            try:
                states = await session.run(session.adapter.order(order_id, session.ctx), timeout_s=timeout_s)
            except DragomanError as error:
                _log.warning("%s: the order of a fill cannot be read: %s", session.adapter.name, redact(str(error)))
                if not isinstance(error, (Rejected, UsageError, DecodeError)):
                    return unread  # nobody has answered, and the others would wait as long: the next reading asks again
                states = []
            self._orphans[order_id] = self._orphans.get(order_id, 0) + 1
            if states:
                unread += not self._merged(partial(self._see, states[-1].but(complete_as_of=as_of), "poll"))
        return unread

    def _merged(self, merge: Callable[[], None]) -> bool:
        """Merge one report; one that cannot be is logged and counted, and hurts no other."""
        try:
            merge()
        except Exception:  # noqa: BLE001 - logged and counted; a defect must not end it
            self.store.counters["unreadable"] += 1
            _log.exception("%s: a report could not be merged", self._session.adapter.name)
            return False
        return True

    def _new_day(self, listed: set[str]) -> None:
        """At the first reading of a day, let go of the day before: what the broker no longer lists is over."""
        today = self.trading_day(None)
        if today == self._day:
            return
        self._day = today
        for order in self.store:
            began = order.ts_event or order.ts_created or order.ts_recv
            if order.order_id in listed or not order.order_id or self.trading_day(began) == today:
                continue
            if order.status.working and order.time_in_force is TimeInForce.DAY and order.status is not _UNKNOWN:
                # Nobody tells how it ended; that it has is certain.
                self._doubts.pop(order.client_order_id, None)
                order = self.store.expire(order.client_order_id, self._session.runtime.clock.wall_ns())
            if order.status.terminal:
                self.store.retire(order.client_order_id)

    def reread(self, on_error: Callable[[DragomanError], object]) -> None:
        """Read everything in the background until that makes it fresh; one such task at a time."""
        if self._rereading is None or self._rereading.done():
            self._rereading = self._session.runtime.spawn(
                self._reread(on_error), name=f"{self._session.adapter.name} orders after a gap"
            )

    async def _reread(self, on_error: Callable[[DragomanError], object]) -> None:
        backoff = Backoff(self._session.runtime.random.uniform)
        while self._freshness.stale and self._freshness.following():
            try:
                await self.refresh(15.0)
            except DragomanError as error:
                on_error(error)
                await self._session.runtime.sleep(max(backoff.next(), error.retry_after_s or 0.0))
            except Exception:  # noqa: BLE001 - logged and counted; a defect must not end it
                _log.exception("%s: reading orders after a gap raised", self._session.adapter.name)
                await self._session.runtime.sleep(backoff.next())

    async def history(self, known: Order, timeout_s: float) -> list[Order]:
        """Return the states of an order, oldest first, and merge the last one."""
        session = self._session
        states = await session.run(session.adapter.order(known.order_id, session.ctx), timeout_s=timeout_s)
        if states:
            self._see(states[-1], "poll")
        return [self._units.from_wire(state, self._master.get(state.instrument_id)) for state in states]

    async def trades(self, known: Order | None, timeout_s: float) -> list[Fill]:
        """Return today's fills, of one order or all, and count each once."""
        session = self._session
        order_id = None if known is None else known.order_id
        fills = await session.run(session.adapter.trades(session.ctx, order_id), timeout_s=timeout_s)
        for fill in fills:
            self._see_fill(fill, "poll")
        return [self._units.from_wire(fill, self._master.get(fill.instrument_id)) for fill in fills]

    async def close(self) -> None:
        """End the reading in the background."""
        task, self._rereading = self._rereading, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,))

    # -- reports -----------------------------------------------------------------------------------------------------

    def on_stream(self, event: OrderSeen | FillSeen) -> None:
        """Take what an order stream reported; what cannot be merged makes orders stale."""
        if not self._merged(partial(self._take, event)):
            self._freshness.interrupted("a report of the order stream could not be merged")

    def _take(self, event: OrderSeen | FillSeen) -> None:
        reported = event.order if isinstance(event, OrderSeen) else event.fill
        self.heard_ns[reported.order_id] = self._session.runtime.clock.mono_ns()
        if isinstance(event, OrderSeen):
            self._see(event.order, "stream")
            for fill in event.fills:
                self._see_fill(fill, "stream")
        else:
            self._see_fill(event.fill, "stream")

    def _see(self, order: Order, source: Source, reading: int | None = None) -> None:
        if order.ts_recv is None:
            order = order.but(ts_recv=self._session.runtime.clock.wall_ns())
        self.store.see(self._units.from_wire(order, self._master.get(order.instrument_id)), source, reading)

    def _see_fill(self, fill: Fill, source: Source) -> None:
        self.store.see_fill(self._units.from_wire(fill, self._master.get(fill.instrument_id)), source)

    # -- requests whose outcome is not known ---------------------------------------------------------------------------

    def doubt(self, name: str, pending: Pending) -> None:
        """Note that a change or cancel of this order may have arrived, or not: from now on it is looked for."""
        self._doubts[name] = _Doubt(pending, self._session.runtime.clock.mono_ns())

    def doubts(self, name: str) -> bool:
        """Whether nobody knows yet what became of the last change of this order."""
        doubt, order = self._doubts.get(name), self.store.get(name)
        if doubt is None or order is None:
            return False
        return doubt.pending is Pending.MODIFY and order.pending is Pending.MODIFY

    @property
    def in_doubt(self) -> bool:
        """Whether there is a change or cancel of which nobody knows what became; readings settle them."""
        for name, doubt in list(self._doubts.items()):
            order = self.store.get(name)
            if order is None or order.pending is not doubt.pending:
                del self._doubts[name]
        return bool(self._doubts)

    def overdue(self, longest_ns: int) -> list[tuple[str, Pending]]:
        """Return changes and cancels in doubt for longer than that, each once."""
        now, found = self._session.runtime.clock.mono_ns(), []
        for name, doubt in self._doubts.items():
            if not doubt.told and now - doubt.since_ns >= longest_ns:
                doubt.told = True
                found.append((name, doubt.pending))
        return found

    def _settle_doubts(self, began: int, quiet: set[str]) -> None:
        """Take for lost what two readings do not show after the longest time the broker may sit on a request.

        `began` is when the reading did (monotonic: a step of the wall clock proves nothing); `quiet` are the ids of
        orders it shows with nothing in flight.
        """
        queue_ns = int(self._session.adapter.session.queue_time_s * _NS)
        for name, doubt in list(self._doubts.items()):
            order = self.store.get(name)
            if order is None or order.pending is not doubt.pending:
                del self._doubts[name]
            elif order.order_id not in quiet or began <= doubt.since_ns:
                doubt.quiet_since_ns = None
            elif doubt.quiet_since_ns is None:
                doubt.quiet_since_ns = began
            elif began - doubt.quiet_since_ns >= _APART_NS and began - doubt.since_ns >= queue_ns:
                del self._doubts[name]
                self.store.mark(name, Pending.NONE)

    def trading_day(self, ts: int | None) -> str:
        """Return the date at the exchange of a time (ns UTC; None is now)."""
        at = ts if ts is not None else self._session.ctx.now_ns
        return datetime.fromtimestamp(at // _NS, UTC).astimezone(self._zone).date().isoformat()
