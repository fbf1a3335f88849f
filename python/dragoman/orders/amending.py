"""Change and cancel orders: one change at a time, a cancel at any, and what neither has an answer to stays in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from dragoman.checks import WireUnits, check_change, lowers_risk
from dragoman.checks.kill import KillSwitch
from dragoman.errors import DragomanError, Effect, ErrorKind, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import Instrument, Order, OrderChange, Outcome, Pending
from dragoman.orders.freshness import Freshness
from dragoman.orders.reading import OrderReader
from dragoman.orders.recorder import Recorder
from dragoman.orders.requests import change_under_way, refusal, unknown
from dragoman.orders.sending import Sending
from dragoman.orders.state import TERMS, UNTOLD
from dragoman.plugin import Flow
from dragoman.session.session import AccountSession

_NS = 1_000_000_000


class Amender:
    """Changes and cancels of one account.

    Parameters
    ----------
    session : AccountSession
    master : InstrumentMaster
    units : WireUnits
    reader : OrderReader
    freshness : Freshness
    recorder : Recorder
    in_doubt : callable
        Told that readings have to tell what became of something.

    Attributes
    ----------
    switch : KillSwitch or None
        While it is engaged, only changes that lower risk go out.
    admit : callable or None
        Asked before a change that may raise risk; what it raises refuses it.
    """

    def __init__(
        self,
        session: AccountSession,
        master: InstrumentMaster,
        units: WireUnits,
        reader: OrderReader,
        freshness: Freshness,
        recorder: Recorder,
        in_doubt: Callable[[], object],
    ) -> None:
        self._session = session
        self._adapter = session.adapter
        self._master = master
        self._units = units
        self._reader = reader
        self._store = reader.store
        self._freshness = freshness
        self._recorder = recorder
        self._doubted = in_doubt
        self._changing: set[str] = set()
        self.switch: KillSwitch | None = None
        self.admit: Callable[[Order, OrderChange, Instrument], object] | None = None

    async def modify(self, known: Order, change: OrderChange, timeout_s: float, allow_stale: bool) -> Order:
        """Ask for a change of a known order; see `OrderService.modify`."""
        ends_ns = self._session.runtime.clock.mono_ns() + int(timeout_s * _NS)
        instrument = self._master.resolve(known.instrument_id)
        check_change(known, change, instrument, self._adapter)
        asked = {name: value for name in (*TERMS, *UNTOLD) if (value := getattr(change, name)) is not None}
        wire_change = self._units.change_to_wire(change, instrument)
        name = known.client_order_id
        if name in self._changing or self._reader.doubts(name):
            raise change_under_way(known, self._adapter.name, in_doubt=name not in self._changing)
        self._changing.add(name)
        try:
            if self._freshness.stale and not allow_stale:
                self._session.check_alive()  # without a session no reading can make it fresh
                await self._freshness.wait(timeout_s)
            leaving = self._admitted(self._store.get(name) or known, change, instrument)
            flow = self._adapter.modify(known, wire_change, instrument, self._session.ctx)
        except BaseException:
            self._changing.discard(name)
            raise
        # The act outlives a caller that is cancelled, and so does its claim on the order.
        return await self._amend(known, flow, Pending.MODIFY, ends_ns, asked, change, leaving)

    def _admitted(self, known: Order, change: OrderChange, instrument: Instrument) -> Callable[[object], object] | None:
        """Refuse a change that must not be; return what refuses it still on its way, None where nothing may."""
        if lowers_risk(known, change):
            return None
        if self.switch is not None and self.switch.engaged:
            raise self.switch.refusal("the change was refused, because it may raise risk")
        if self.admit is not None:
            self.admit(known, change, instrument)
        return None if self.switch is None else self.switch.check

    async def cancel(self, known: Order, timeout_s: float) -> Order:
        """Ask for a cancel of a known order; see `OrderService.cancel`."""
        if known.status.terminal:
            raise UsageError(
                f"order {known.order_id} is {known.status} already", kind=ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL
            )
        flow = self._adapter.cancel(known, self._session.ctx)
        ends_ns = self._session.runtime.clock.mono_ns() + int(timeout_s * _NS)
        return await self._amend(known, flow, Pending.CANCEL, ends_ns)

    def _amend(
        self,
        known: Order,
        flow: Flow[Outcome],
        pending: Pending,
        ends_ns: int,
        terms: Mapping[str, Any] | None = None,
        change: OrderChange | None = None,
        leaving: Callable[[object], object] | None = None,
    ) -> asyncio.Future[Order]:
        name = known.client_order_id
        take_back = self._store.ask(name, pending, terms)

        def finish(sending: Sending[Order], outcome: Outcome, error: BaseException | None) -> Order:
            if pending is Pending.MODIFY:
                self._changing.discard(name)
            try:
                return self._amended(known, pending, sending, take_back, outcome, error)
            finally:
                if self._reader.in_doubt:
                    self._doubted()

        sending: Sending[Order] = Sending(
            self._session,
            flow,
            finish,
            name,
            f"{pending.lower()} {known.order_id} of",
            ends_ns,
            before_send=lambda request: self._recorder.amend(pending, known, change),
            leaving=leaving,
        )
        return sending.start()

    def _amended(
        self,
        known: Order,
        pending: Pending,
        sending: Sending[Order],
        take_back: Callable[[], None],
        outcome: Outcome,
        error: BaseException | None,
    ) -> Order:
        """Record what became of a change or cancel."""
        name = known.client_order_id
        if isinstance(error, DragomanError):
            error.client_order_id = name
            self._recorder.answered(pending, name, error.effect.value, error)
            self._came_to(name, pending, error.effect, take_back)
            raise error
        if error is not None:
            left = sending.left(sending.interrupted(error))
            self._came_to(name, pending, Effect.UNKNOWN if left else Effect.NONE, take_back)
            raise error
        self._recorder.answered(pending, name, outcome.effect)
        if outcome.effect == "REJECTED":
            effect = Effect.NONE if outcome.reject is None else outcome.reject.effect
            self._came_to(name, pending, effect, take_back)
            raise refusal(outcome.reject, self._adapter.name, name)
        if outcome.effect == "UNKNOWN":
            self._came_to(name, pending, Effect.UNKNOWN, take_back)
            raise unknown(self._adapter.name, f"the {pending.lower()} of order {known.order_id}", name)
        self._store.answered(name)
        if outcome.order_id and outcome.replaces:
            return self._store.rename(name, outcome.order_id, outcome.replaces)
        return self._store.get(name) or known

    def _came_to(self, name: str, pending: Pending, effect: Effect, take_back: Callable[[], None]) -> None:
        """Take an act back that did nothing; let readings tell of any other."""
        if effect is Effect.NONE:
            take_back()
            return
        self._reader.doubt(name, pending)
        if effect is Effect.APPLIED:
            # Refused, and yet something was done: half of a replace. What is known of the order is old.
            self._freshness.interrupted(f"a {pending.lower()} of order {name} was half done")
