"""Place, change, cancel and follow orders: the order path above the session.

Every order is entered in the store before anything is sent, so a lost reply leaves an order of state UNKNOWN that a
stream, a poll or the user can find again. Cancelling a caller detaches it: the operation goes on to its outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from dragoman.checks import WireUnits, check_change, check_request
from dragoman.errors import (
    DragomanError,
    Effect,
    ErrorKind,
    NotSent,
    OutcomeUnknown,
    Rejected,
    StaleData,
    Throttled,
    UsageError,
    error_for,
)
from dragoman.market import InstrumentMaster
from dragoman.model import (
    Fill,
    Instrument,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderUpdate,
    Origin,
    Outcome,
    Pending,
    Reject,
    Side,
)
from dragoman.orders.identity import IdMint
from dragoman.orders.store import OrderStore, Source
from dragoman.plugin import Adapter, FillSeen, OrderSeen
from dragoman.session.fanout import Fanout
from dragoman.session.session import AccountSession

T = TypeVar("T")

FRESH_WAIT_S = 2.0


class OrderService:
    """Orders of one account.

    Parameters
    ----------
    session : AccountSession
    master : InstrumentMaster
    units : WireUnits
    """

    def __init__(self, session: AccountSession, master: InstrumentMaster, units: WireUnits) -> None:
        self._session = session
        self._master = master
        self._units = units
        self._mint = IdMint(session.runtime.random_bytes(4))
        self._zone = ZoneInfo(session.adapter.session.time_zone)
        self.store = OrderStore(self._trading_day)
        self.updates: Fanout[OrderUpdate] = Fanout("order")
        self.store.listen(self.updates.publish)
        self._fresh = asyncio.Event()
        self._stale_reason = "orders have not been read yet"
        self._complete_as_of: int | None = None

    @property
    def _adapter(self) -> Adapter:
        return self._session.adapter

    # -- freshness ---------------------------------------------------------------------------------------------------

    @property
    def complete_as_of(self) -> int | None:
        """Broker time (ns UTC) up to which every order and fill is known; None before the first reading."""
        return self._complete_as_of

    @property
    def stale(self) -> bool:
        """Whether the order stream was interrupted since the last full reading."""
        return not self._fresh.is_set()

    def mark_stale(self, reason: str) -> None:
        """Say that updates may have been missed; new orders wait until `refresh` has run."""
        self._stale_reason = reason
        self._fresh.clear()

    async def refresh(self, *, timeout_s: float = 15.0) -> None:
        """Read all of today's orders and trades and merge them; afterwards views are complete as of the reading."""
        as_of = self._session.ctx.now_ns
        reason = self._stale_reason
        orders = await self._session.run(self._adapter.orders(self._session.ctx), timeout_s=timeout_s)
        fills = await self._session.run(self._adapter.trades(self._session.ctx), timeout_s=timeout_s)
        for order in orders:
            self._see(order.but(complete_as_of=as_of), "poll")
        for fill in fills:
            self._see_fill(fill, "poll")
        self._complete_as_of = as_of
        if self._stale_reason == reason:
            # Another interruption may have come while this was under way; then what was read is old already.
            self._stale_reason = ""
            self._fresh.set()

    async def _wait_fresh(self, timeout_s: float) -> None:
        if self._fresh.is_set():
            return
        try:
            async with asyncio.timeout(min(timeout_s, FRESH_WAIT_S)):
                await self._fresh.wait()
        except TimeoutError:
            raise StaleData(
                f"{self._adapter.name}: orders are stale: {self._stale_reason}",
                remedy="wait for the order stream, call refresh_orders(), or pass allow_stale=True",
            ) from None

    # -- acts --------------------------------------------------------------------------------------------------------

    async def place(self, request: OrderRequest, *, timeout_s: float = 10.0, allow_stale: bool = False) -> Order:
        """Place an order and return it once the broker has taken it.

        Raises
        ------
        UsageError
            Refused here; zero bytes were sent.
        Rejected
            The broker refused; nothing is live.
        NotSent, Throttled, StaleData
            It never left; the order is DENIED.
        OutcomeUnknown
            It may be live. The order stays in the store as UNKNOWN until it is found; never place it again.
        """
        self._session.check_mutable()
        instrument = self._master.resolve(request.instrument_id)
        check_request(request, instrument, self._adapter)
        request = self._adapter.check_order(request, instrument)
        wire_id = self._mint.wire_id()
        client_order_id = request.client_order_id or wire_id
        if self.store.get(client_order_id) is not None:
            raise UsageError(
                f"client_order_id {client_order_id!r} was used before",
                kind=ErrorKind.DUPLICATE_ORDER,
                remedy="choose another, or ask for that order",
                client_order_id=client_order_id,
            )
        request = _named(request, instrument, client_order_id, wire_id, self._session.ctx.account)
        wire_request = self._units.to_wire(request, instrument)
        await self._wait_fresh_or(allow_stale, timeout_s)
        self.store.create(_order_of(request, self._adapter.name, self._session.runtime.clock.wall_ns()))
        return await self._detached(
            self._place(request, wire_request, instrument, timeout_s), f"place {client_order_id}"
        )

    async def _place(
        self, request: OrderRequest, wire_request: OrderRequest, instrument: Instrument, timeout_s: float
    ) -> Order:
        name = request.client_order_id
        now = self._session.runtime.clock.wall_ns
        try:
            outcome = await self._session.run(
                self._adapter.place(wire_request, instrument, self._session.ctx), timeout_s=timeout_s
            )
        except DragomanError as error:
            self._record_failure(name, error)
            error.client_order_id = name
            raise
        if isinstance(outcome, list):
            outcome = outcome[0] if len(outcome) == 1 else Outcome.parent(None, tuple(outcome))
        order = self.store.settle(name, outcome, now())
        self._enter_children(order, outcome, now())
        if outcome.effect == "REJECTED":
            raise _raised(outcome.reject, self._adapter.name, name)
        if outcome.effect == "UNKNOWN":
            raise OutcomeUnknown(
                f"{self._adapter.name}: the outcome of {name} is not known",
                remedy="look for it in orders(); never place it again",
                client_order_id=name,
            )
        return self.store.get(name) or order

    async def modify(
        self, order: Order | str, change: OrderChange, *, timeout_s: float = 10.0, allow_stale: bool = False
    ) -> Order:
        """Ask for a change; returns when the broker has taken the request, with `pending` MODIFY until it is done."""
        self._session.check_mutable()
        known = self._known(order)
        instrument = self._master.resolve(known.instrument_id)
        check_change(known, change, instrument, self._adapter)
        change = self._units.change_to_wire(change, instrument)
        await self._wait_fresh_or(allow_stale, timeout_s)
        flow = self._adapter.modify(known, change, instrument, self._session.ctx)
        return await self._detached(self._amend(known, flow, Pending.MODIFY, timeout_s), f"modify {known.order_id}")

    async def cancel(self, order: Order | str, *, timeout_s: float = 10.0) -> Order:
        """Ask for a cancel; returns when the broker has taken the request. Never waits for a stale stream."""
        self._session.check_mutable()
        known = self._known(order)
        self._adapter.capabilities.require("cancel", self._adapter.name)
        if known.status.terminal:
            raise UsageError(
                f"order {known.order_id} is {known.status} already", kind=ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL
            )
        flow = self._adapter.cancel(known, self._session.ctx)
        return await self._detached(self._amend(known, flow, Pending.CANCEL, timeout_s), f"cancel {known.order_id}")

    async def _amend(self, known: Order, flow: Any, pending: Pending, timeout_s: float) -> Order:
        name = known.client_order_id
        self.store.mark(name, pending)
        try:
            outcome: Outcome = await self._session.run(flow, timeout_s=timeout_s)
        except DragomanError as error:
            if error.effect is not Effect.UNKNOWN:
                self.store.mark(name, Pending.NONE)
            error.client_order_id = name
            raise
        if outcome.effect == "REJECTED":
            self.store.mark(name, Pending.NONE)
            raise _raised(outcome.reject, self._adapter.name, name)
        if outcome.order_id and outcome.order_id not in known.order_ids:
            self.store.rename(name, outcome.order_id)
        found = self.store.get(name)
        return found if found is not None else known

    # -- reading -----------------------------------------------------------------------------------------------------

    async def history(self, order: Order | str, *, timeout_s: float = 10.0) -> list[Order]:
        """Return the states an order went through, oldest first, and merge the last one."""
        known = self._known(order)
        states = await self._session.run(self._adapter.order(known.order_id, self._session.ctx), timeout_s=timeout_s)
        if states:
            self._see(states[-1], "poll")
        return [self._units.from_wire(state, self._master.get(state.instrument_id)) for state in states]

    async def trades(self, order: Order | str | None = None, *, timeout_s: float = 10.0) -> list[Fill]:
        """Return today's fills, of one order or all, and count each once."""
        order_id = self._known(order).order_id if order is not None else None
        fills = await self._session.run(self._adapter.trades(self._session.ctx, order_id), timeout_s=timeout_s)
        for fill in fills:
            self._see_fill(fill, "poll")
        return [self._units.from_wire(fill, self._master.get(fill.instrument_id)) for fill in fills]

    async def wait(self, order: Order | str, until: Callable[[Order], bool], *, timeout_s: float) -> Order:
        """Return the order once `until` holds for it.

        Raises
        ------
        StaleData
            If it does not within `timeout_s`; the message says what the order is.
        """
        name = self._known(order).client_order_id
        done: asyncio.Future[Order] = asyncio.get_running_loop().create_future()

        def look(update: OrderUpdate) -> None:
            if update.order.client_order_id == name and not done.done() and until(update.order):
                done.set_result(update.order)

        remove = self.updates.add(look)
        try:
            now = self._known(name)
            if until(now):
                return now
            async with asyncio.timeout(timeout_s):
                return await done
        except TimeoutError:
            now = self._known(name)
            raise StaleData(
                f"order {now.order_id or name} is {now.status} ({now.filled_quantity} of {now.quantity} filled) after"
                f" {timeout_s} s of waiting",
                remedy="wait longer, or refresh_orders() if the stream may be dead",
                client_order_id=name,
            ) from None
        finally:
            remove()

    def follow(self) -> AsyncIterator[OrderUpdate]:
        """Yield every order update from now on; none is dropped."""
        return self.updates.iterate()

    # -- reports -----------------------------------------------------------------------------------------------------

    def on_stream(self, event: OrderSeen | FillSeen) -> None:
        """Take what an order stream reported."""
        if isinstance(event, OrderSeen):
            self._see(event.order, "stream")
            for fill in event.fills:
                self._see_fill(fill, "stream")
        else:
            self._see_fill(event.fill, "stream")

    def _see(self, order: Order, source: Source) -> None:
        self.store.see(self._units.from_wire(order, self._master.get(order.instrument_id)), source)

    def _see_fill(self, fill: Fill, source: Source) -> None:
        self.store.see_fill(self._units.from_wire(fill, self._master.get(fill.instrument_id)), source)

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _known(self, order: Order | str) -> Order:
        name = order if isinstance(order, str) else order.client_order_id or order.order_id
        found = self.store.get(name)
        if found is None:
            raise UsageError(
                f"unknown order {name!r}",
                kind=ErrorKind.ORDER_NOT_FOUND,
                remedy="refresh_orders() reads orders placed elsewhere",
            )
        return found

    async def _wait_fresh_or(self, allow_stale: bool, timeout_s: float) -> None:
        if not allow_stale:
            await self._wait_fresh(timeout_s)

    async def _detached(self, work: Coroutine[Any, Any, T], name: str) -> T:
        return await asyncio.shield(self._session.runtime.spawn(work, name=name))

    def _record_failure(self, name: str, error: DragomanError) -> None:
        reject = Reject(
            error.kind, error.text or str(error), error.code, error.effect, error.retry, remedy=error.remedy
        )
        now = self._session.runtime.clock.wall_ns()
        if isinstance(error, (NotSent, Throttled, UsageError, StaleData)) and error.code is None:
            self.store.deny(name, reject, now)
        elif error.effect is Effect.UNKNOWN:
            self.store.settle(name, Outcome.unknown(reject), now)
        else:
            self.store.settle(name, Outcome.rejected(reject), now)

    def _enter_children(self, parent: Order, outcome: Outcome, ts: int) -> None:
        for index, child in enumerate(outcome.children, 1):
            name = f"{parent.client_order_id}/{index}"
            order = parent.but(
                client_order_id=name,
                wire_id="",
                order_id="",
                order_ids=(),
                parent_order_id=parent.order_id or None,
                status=OrderStatus.SUBMITTED,
                quantity=parent.quantity * 0,
                remaining_quantity=parent.quantity * 0,
            )
            self.store.create(order)
            self.store.settle(name, child, ts)

    def _trading_day(self, ts: int | None) -> str:
        at = ts if ts is not None else self._session.ctx.now_ns
        return datetime.fromtimestamp(at / 1e9, UTC).astimezone(self._zone).date().isoformat()


def _named(
    request: OrderRequest, instrument: Instrument, client_order_id: str, wire_id: str, account: str
) -> OrderRequest:
    from dataclasses import replace

    return replace(
        request,
        instrument_id=instrument.instrument_id,
        client_order_id=client_order_id,
        wire_id=wire_id,
        account_id=account,
        side=Side(request.side),
    )


def _order_of(request: OrderRequest, broker: str, ts: int) -> Order:
    return Order(
        instrument_id=request.instrument_id,
        side=request.side,
        quantity=request.quantity,
        order_type=request.order_type,
        status=OrderStatus.SUBMITTED,
        client_order_id=request.client_order_id,
        wire_id=request.wire_id,
        broker=broker,
        account_id=request.account_id,
        price=request.price,
        trigger_price=request.trigger_price,
        time_in_force=request.time_in_force,
        product=request.product,
        variety=request.variety,
        display_quantity=request.display_quantity,
        market_protection=request.market_protection,
        remaining_quantity=request.quantity,
        tag=request.tag,
        origin=Origin.US,
        ts_created=ts,
        ts_submitted=ts,
    )


def _raised(reject: Reject | None, broker: str, name: str) -> DragomanError:
    if reject is None:
        return Rejected(f"{broker}: refused without a reason", broker=broker, client_order_id=name)
    return error_for(
        reject.kind,
        f"{broker}: {reject.text}",
        code=reject.code,
        text=reject.text,
        effect=reject.effect,
        retry=reject.retry,
        remedy=reject.remedy,
        broker=broker,
        client_order_id=name,
    )
