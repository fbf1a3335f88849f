"""Place, change, cancel and follow orders: the order path above the session.

Every order is entered in the store before anything is sent, so a lost reply leaves an order of state UNKNOWN that a
stream, a poll or the user can find again. Cancelling a caller detaches it: the operation goes on to its outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from dragoman.checks import WireUnits, check_change, check_request, seconds
from dragoman.errors import DragomanError, Effect, ErrorKind, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import Fill, Order, OrderChange, OrderRequest, OrderStatus, OrderUpdate, Outcome, Pending
from dragoman.orders.freshness import Freshness
from dragoman.orders.identity import IdMint
from dragoman.orders.reading import OrderReader
from dragoman.orders.requests import (
    change_under_way,
    check_name,
    name_of,
    named,
    order_of,
    refusal,
    reject_of,
    unknown,
    used_before,
)
from dragoman.orders.sending import Sending
from dragoman.orders.state import TERMS, UNTOLD
from dragoman.orders.store import OrderStore
from dragoman.orders.waiting import wait_until
from dragoman.plugin import Adapter, FillSeen, Flow, OrderSeen
from dragoman.session.fanout import Fanout, Subscription
from dragoman.session.session import AccountSession

_NS = 1_000_000_000


class OrderService:
    """Orders of one account.

    Parameters
    ----------
    session : AccountSession
    master : InstrumentMaster
    units : WireUnits
    following : callable, optional
        Whether order updates reach us now; without it they are only ever read.
    """

    def __init__(
        self,
        session: AccountSession,
        master: InstrumentMaster,
        units: WireUnits,
        following: Callable[[], bool] = lambda: True,
    ) -> None:
        self._session = session
        self._master = master
        self._units = units
        self._mint = IdMint(session.runtime.random_bytes(4))
        self._freshness = Freshness(session.adapter.name, following)
        self._reader = OrderReader(session, master, units, self._freshness)
        self.store: OrderStore = self._reader.store
        session.ctx.known_orders = lambda: tuple(self.store)
        self.updates: Fanout[OrderUpdate] = Fanout("order")
        self.store.listen(self.updates.publish)
        self._reserved: set[str] = set()
        self._changing: set[str] = set()

    @property
    def _adapter(self) -> Adapter:
        return self._session.adapter

    # -- freshness ---------------------------------------------------------------------------------------------------

    @property
    def complete_as_of(self) -> int | None:
        """Broker time (ns UTC) up to which every order and fill is known; None before the first reading."""
        return self._reader.complete_as_of

    @property
    def stale(self) -> bool:
        """Whether updates may have been missed since the last full reading."""
        return self._freshness.stale

    def mark_stale(self, reason: str) -> None:
        """Say that updates may have been missed; new orders wait until `refresh` has run."""
        self._freshness.interrupted(reason)

    async def refresh(self, *, timeout_s: float = 15.0) -> None:
        """Read all of today's orders and trades and merge them; afterwards views are complete as of the reading."""
        await self._reader.refresh(seconds("timeout_s", timeout_s))

    def reread(self, on_error: Callable[[DragomanError], object]) -> None:
        """Read everything in the background until nothing is missing; tries again for as long as that takes."""
        self._reader.reread(on_error)

    # -- acts --------------------------------------------------------------------------------------------------------

    async def place(self, request: OrderRequest, *, timeout_s: float = 10.0, allow_stale: bool = False) -> Order:
        """Place an order and return it once the broker has taken it.

        Raises
        ------
        UsageError
            Refused here; zero bytes were sent.
        Rejected
            The broker refused; nothing is live.
        NotSent, StaleData
            It never left; the order, where it was entered already, is DENIED.
        Throttled
            Nothing is live. Our own copy of a limit refused it before it left (DENIED), or the broker did (REJECTED).
            `error.retry` says whether to try again: not on the same day after DAILY_LIMIT_REACHED.
        OutcomeUnknown
            It may be live. The order stays in the store as UNKNOWN until it is found; never place it again. Where the
            stream has told already what became of it, that is returned instead.
        """
        self._session.check_mutable()
        timeout_s = seconds("timeout_s", timeout_s)
        ends_ns = self._session.runtime.clock.mono_ns() + int(timeout_s * _NS)
        instrument = self._master.get(request.instrument_id) or self._master.resolve(request.instrument_id)
        check_request(request, instrument, self._adapter)
        request = self._adapter.check_order(request, instrument)
        check_name(request.client_order_id)
        wire_id = self._mint.wire_id()
        name = request.client_order_id or wire_id
        if name in self._reserved or self.store.get(name) is not None:
            raise used_before(name)
        request = named(request, instrument, name, wire_id, self._session.ctx.account)
        wire_request = self._units.to_wire(request, instrument)
        if self.stale and not allow_stale:
            self._reserved.add(name)
            try:
                await self._freshness.wait(timeout_s)
            finally:
                self._reserved.discard(name)
        self.store.create(order_of(request, self._adapter.name, self._session.runtime.clock.wall_ns()))
        flow = self._adapter.place(wire_request, instrument, self._session.ctx)
        sending = Sending(self._session, ends_ns, drop_after_ns=request.deadline_ns)
        # Cancelling this caller ends its wait and nothing else.
        return await sending.start(flow, partial(self._placed, name, sending), f"place {name}")

    def _placed(
        self, name: str, sending: Sending, outcome: Outcome | list[Outcome], error: BaseException | None
    ) -> Order:
        """Record what became of a new order."""
        if isinstance(error, DragomanError):
            error.client_order_id = name
            known = self._unplaced(name, error, sending)
            if known.status is OrderStatus.REJECTED and error.effect is not Effect.NONE:
                raise refusal(known.reject, self._adapter.name, name) from error
            if known.status in (OrderStatus.UNKNOWN, OrderStatus.REJECTED, OrderStatus.DENIED):
                raise error
            return known  # the reply was lost, but the broker's own report has come meanwhile
        if error is not None:
            self._unplaced(name, sending.interrupted(error), sending)
            raise error
        if isinstance(outcome, list):
            outcome = outcome[0] if len(outcome) == 1 else Outcome.parent(None, tuple(outcome))
        order = self.store.settle(name, outcome, self._session.runtime.clock.wall_ns())
        if outcome.effect == "REJECTED" and order.status is OrderStatus.REJECTED:
            raise refusal(outcome.reject or order.reject, self._adapter.name, name)
        if order.status is OrderStatus.UNKNOWN:
            raise unknown(self._adapter.name, f"order {name}", name)
        return order

    def _unplaced(self, name: str, error: DragomanError, sending: Sending) -> Order:
        """Record why placing did not end with an outcome."""
        now = self._session.runtime.clock.wall_ns()
        reject = reject_of(error)
        if not sending.left(error):
            return self.store.deny(name, reject, now)
        nothing = error.effect is Effect.NONE
        return self.store.settle(name, Outcome.rejected(reject) if nothing else Outcome.unknown(reject), now)

    async def modify(
        self, order: Order | str, change: OrderChange, *, timeout_s: float = 10.0, allow_stale: bool = False
    ) -> Order:
        """Ask for a change; returns when the broker has taken the request, with `pending` MODIFY until it is done.

        One change at a time: while another of the same order has no answer, or nobody knows what became of it, this is
        a `UsageError` with zero bytes sent. Two on the way at once may arrive in either order.
        """
        self._session.check_mutable()
        timeout_s = seconds("timeout_s", timeout_s)
        ends_ns = self._session.runtime.clock.mono_ns() + int(timeout_s * _NS)
        known = self._addressable(order)
        instrument = self._master.resolve(known.instrument_id)
        check_change(known, change, instrument, self._adapter)
        asked = {name: value for name in (*TERMS, *UNTOLD) if (value := getattr(change, name)) is not None}
        change = self._units.change_to_wire(change, instrument)
        name = known.client_order_id
        if name in self._changing or self._reader.doubts(name):
            raise change_under_way(known, self._adapter.name, in_doubt=name not in self._changing)
        self._changing.add(name)
        try:
            if not allow_stale:
                await self._freshness.wait(timeout_s)
            flow = self._adapter.modify(known, change, instrument, self._session.ctx)
        except BaseException:
            self._changing.discard(name)
            raise
        # The act outlives a caller that is cancelled, and so does its claim on the order.
        return await self._amend(known, flow, Pending.MODIFY, Sending(self._session, ends_ns), asked)

    async def cancel(self, order: Order | str, *, timeout_s: float = 10.0) -> Order:
        """Ask for a cancel; returns when the broker has taken the request. Never waits for a stale stream."""
        self._session.check_mutable()
        timeout_s = seconds("timeout_s", timeout_s)
        self._adapter.capabilities.require("cancel", self._adapter.name)
        known = self._addressable(order)
        if known.status.terminal:
            raise UsageError(
                f"order {known.order_id} is {known.status} already", kind=ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL
            )
        flow = self._adapter.cancel(known, self._session.ctx)
        sending = Sending(self._session, self._session.runtime.clock.mono_ns() + int(timeout_s * _NS))
        return await self._amend(known, flow, Pending.CANCEL, sending)

    def _amend(
        self,
        known: Order,
        flow: Flow[Outcome],
        pending: Pending,
        sending: Sending,
        terms: Mapping[str, Any] | None = None,
    ) -> asyncio.Future[Order]:
        name = known.client_order_id
        take_back = self.store.ask(name, pending, terms)

        def finish(outcome: Outcome, error: BaseException | None) -> Order:
            if pending is Pending.MODIFY:
                self._changing.discard(name)
            return self._amended(known, pending, sending, take_back, outcome, error)

        return sending.start(flow, finish, f"{pending.lower()} {known.order_id}")

    def _amended(
        self,
        known: Order,
        pending: Pending,
        sending: Sending,
        take_back: Callable[[], None],
        outcome: Outcome,
        error: BaseException | None,
    ) -> Order:
        """Record what became of a change or cancel."""
        name = known.client_order_id
        if isinstance(error, DragomanError):
            error.client_order_id = name
            if error.effect is Effect.NONE:
                take_back()
            else:
                self._reader.doubt(name, pending)
            raise error
        if error is not None:
            if sending.left(sending.interrupted(error)):
                self._reader.doubt(name, pending)
            else:
                take_back()
            raise error
        if outcome.effect == "REJECTED":
            take_back()
            raise refusal(outcome.reject, self._adapter.name, name)
        if outcome.effect == "UNKNOWN":
            self._reader.doubt(name, pending)
            raise unknown(self._adapter.name, f"the {pending.lower()} of order {known.order_id}", name)
        self.store.answered(name)
        if outcome.order_id and outcome.replaces:
            return self.store.rename(name, outcome.order_id, outcome.replaces)
        return self.store.get(name) or known

    # -- reading -----------------------------------------------------------------------------------------------------

    async def history(self, order: Order | str, *, timeout_s: float = 10.0) -> list[Order]:
        """Return the states an order went through, oldest first, and merge the last one."""
        return await self._reader.history(self._identified(order), seconds("timeout_s", timeout_s))

    async def trades(self, order: Order | str | None = None, *, timeout_s: float = 10.0) -> list[Fill]:
        """Return today's fills, of one order or all, and count each once."""
        known = None if order is None else self._identified(order)
        return await self._reader.trades(known, seconds("timeout_s", timeout_s))

    async def wait(self, order: Order | str, until: Callable[[Order], bool], *, timeout_s: float) -> Order:
        """Return the order once `until` holds for it; what `until` raises, this raises.

        Raises
        ------
        StaleData
            If it does not within `timeout_s`; the message says what the order is.
        """
        name = self._known(order).client_order_id
        return await wait_until(self.store, self.updates, name, until, timeout_s=timeout_s, broker=self._adapter.name)

    def follow(self) -> Subscription[OrderUpdate]:
        """Return an iterator over every order update from this call on; none is dropped."""
        return self.updates.iterate()

    def on_stream(self, event: OrderSeen | FillSeen) -> None:
        """Take what an order stream reported."""
        self._reader.on_stream(event)

    async def close(self) -> None:
        """End all iterators. The session has ended all acts already, and their outcomes are recorded."""
        await self._reader.close()
        self.updates.close()

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _known(self, order: Order | str) -> Order:
        name = name_of(order)
        found = self.store.get(name)
        if found is None:
            raise UsageError(
                f"unknown order {name!r}",
                kind=ErrorKind.ORDER_NOT_FOUND,
                remedy="orders() reads those placed elsewhere",
            )
        return found

    def _identified(self, order: Order | str) -> Order:
        """Return an order the broker can be asked about: one with the broker's id."""
        known = self._known(order)
        if not known.order_id:
            raise UsageError(
                f"order {known.client_order_id} is {known.status} and has no broker id",
                kind=ErrorKind.ORDER_NOT_FOUND,
                remedy="it never left" if known.status.terminal else "orders() looks for it at the broker",
                client_order_id=known.client_order_id,
            )
        return known

    def _addressable(self, order: Order | str) -> Order:
        """Return an order that can be changed by its id: not one that the broker split into others."""
        known = self._identified(order)
        children = self.store.children(known.client_order_id)
        if children and not self.store.reported(known.client_order_id):
            raise UsageError(
                f"order {known.order_id} is split into {len(children)} orders at the broker",
                remedy=f"act on those: {', '.join(children[:10])}",
                client_order_id=known.client_order_id,
            )
        return known
