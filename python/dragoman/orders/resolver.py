"""Finds out what became of orders, changes and cancels whose outcome nobody knows.

An order of unknown outcome ends only by proof: the broker shows it under our wire id; or exactly one order there can be
it, where a broker carries no id of ours; or it is absent, for longer than the broker may sit on a request, from two
readings a while apart. One taken for lost that way stays watched: should it turn up late, that is said, and it is
cancelled where its request asked for that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from dragoman.errors import DragomanError, Effect, ErrorKind, Retry, UsageError
from dragoman.model import Order, OrderAlert, OrderStatus, OrderUpdate, Origin, Outcome, Reject
from dragoman.orders.intents import Intent, Intents
from dragoman.orders.reading import OrderReader
from dragoman.session.session import AccountSession

_NS: Final = 1_000_000_000
_APART_NS: Final = 5 * _NS
_PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0)
_PAUSE_S: Final = 5.0
_SEARCH_S: Final = 10.0
_SOON_NS: Final = 90 * _NS
_PATIENT_S: Final = 15.0
_HOPELESS_S: Final = 60.0
_AHEAD_NS: Final = 5 * _NS
_ESCALATE_AFTER_NS: Final = 300 * _NS
_SHAPE: Final = ("instrument_id", "side", "quantity", "order_type", "price", "trigger_price", "product")


_log = logging.getLogger("dragoman.orders")


class Record(Protocol):
    """Where decisions are written down."""

    def decided(self, what: str, name: str, **details: object) -> None: ...


@dataclass(slots=True)
class _Doubt:
    """An order being looked for. Times are monotonic: a step of the wall clock proves nothing.

    `since_ns` is when it was sent, or when this process began to look for one that an earlier run had sent.
    """

    intent: Intent
    since_ns: int
    absent_since_ns: int | None = None
    escalated: bool = False


class Resolver:
    """Looks for what became of the orders of one account.

    Parameters
    ----------
    session : AccountSession
    reader : OrderReader
    intents : Intents
    record : Record
    alert : callable
        Told of every conclusion.
    cancel : callable
        Cancels an order that turned up late, without anybody waiting for it.

    Attributes
    ----------
    names : set of str
        Orders being looked for. Empty, as a rule.
    fences : bool
        Whether there is one, or may be at any moment: new orders are checked against those of unknown outcome.
    """

    def __init__(
        self,
        session: AccountSession,
        reader: OrderReader,
        intents: Intents,
        record: Record,
        alert: Callable[[OrderAlert], object],
        cancel: Callable[[Order], object],
    ) -> None:
        self._session = session
        self._reader = reader
        self._store = reader.store
        self._intents = intents
        self._record = record
        self._alert = alert
        self._cancel = cancel
        self._doubts: dict[str, _Doubt] = {}
        self._lost: dict[str, str] = {}  # taken for lost, by name: the trading day to whose end it is watched
        self._task: asyncio.Task[None] | None = None
        self._braced = False
        self.fences = False  # each new order looks at it
        self._sought_ns = 0
        self._raised = False
        self._nudge = asyncio.Event()
        self._store.listen(self._told, first_steps=False)  # what is looked for was sent, and has no answer

    @property
    def names(self) -> set[str]:
        return set(self._doubts)

    def watch(self, intent: Intent) -> None:
        """Look for an order until its fate is proven."""
        since_ns = intent.sent_mono_ns or self._session.runtime.clock.mono_ns()
        self._doubts.setdefault(intent.name, _Doubt(intent, since_ns))
        self.fences = True
        self.wake()

    def brace(self, on: bool) -> None:
        """Say that an order may be of unknown outcome from now on, before anybody is told of it."""
        self._braced = on
        self.fences = on or bool(self._doubts)

    def wake(self) -> None:
        """Begin to read, if nothing does: an order, a change or a cancel has an outcome nobody knows."""
        self._nudge.set()
        self._sought_ns = self._session.runtime.clock.mono_ns()
        if self._task is None or self._task.done():
            self._task = self._session.runtime.spawn(
                self._resolve(), name=f"{self._session.adapter.name} looks for orders of unknown outcome"
            )

    def watch_lost(self, names: Iterable[tuple[str, int]]) -> None:
        """Go on watching orders that were taken for lost before a restart: each with the time that was concluded."""
        for name, at_ns in names:
            self._lost[name] = self._reader.trading_day(at_ns)

    async def close(self) -> None:
        """End the search; what is unresolved stays so, and a next run goes on."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,))

    def settle_by_hand(self, name: str, order_id: str | None) -> Order:
        """Take the user's word for what became of an order: the broker's id of it, or None where it never arrived.

        Raises
        ------
        UsageError
            It is not one whose outcome is unknown.
        """
        doubt = self._doubts.get(name)
        if doubt is None:
            raise UsageError(
                f"order {name!r} is not one of unknown outcome",
                kind=ErrorKind.ORDER_NOT_FOUND,
                remedy=f"those are: {', '.join(sorted(self._doubts)) or 'none'}",
            )
        if order_id is None:
            return self._take_for_lost(doubt, "you said so")
        request, found = doubt.intent.request, self._store.get(order_id)
        if found is None or (found.instrument_id, found.side) != (request.instrument_id, request.side):
            seen = "no reading has shown it" if found is None else f"that is {found.side} of {found.instrument_id}"
            raise UsageError(
                f"order {name!r} cannot be {order_id!r}: {seen}",
                kind=ErrorKind.ORDER_NOT_FOUND,
                remedy="read orders() and give the id of one of them, or None where it never arrived",
            )
        if found.origin is Origin.US:
            raise UsageError(
                f"order {name!r} cannot be {order_id!r}: that is {found.client_order_id!r}",
                kind=ErrorKind.ORDER_NOT_FOUND,
                remedy="give the id of an order that nobody of ours is",
            )
        return self._bind(doubt, found.order_id, "you said so")

    # -- the search --------------------------------------------------------------------------------------------------

    async def _resolve(self) -> None:
        runtime, again_ns = self._session.runtime, 0
        pauses = iter(_PAUSES_S)
        while self._doubts or self._reader.in_doubt:
            if self._nudge.is_set():
                self._nudge.clear()
                if runtime.clock.mono_ns() >= again_ns:  # many questions at once are one search
                    again_ns = runtime.clock.mono_ns() + int(_SEARCH_S * _NS)
                    pauses = iter(_PAUSES_S)
            delay = next(pauses, _PAUSE_S)
            began = runtime.clock.mono_ns()
            try:
                as_of = await self._reader.refresh(15.0)
                for doubt in tuple(self._doubts.values()):
                    self._judge(doubt, as_of, began)
            except DragomanError as error:
                delay = max(delay, error.retry_after_s or 0.0)
                self._too_long(f"the broker cannot be asked: {error}")
            except Exception as error:  # noqa: BLE001 - logged and told
                # A defect must not end the search: the fence would stand for ever and nobody would know.
                _log.exception("%s: the search for orders raised", self._session.adapter.name)
                self._too_long(f"looking for it raised {error!r}", at_once=not self._raised)
                self._raised = True
            else:
                self._too_long("nothing proves what became of it")
            self._amendments_too_long()
            old_ns = began - max(self._sought_ns, *(doubt.since_ns for doubt in self._doubts.values()), 0)
            if old_ns >= _ESCALATE_AFTER_NS:
                delay = max(delay, _HOPELESS_S)  # it is the user's now; the audit reads anyway
            elif old_ns >= _SOON_NS:
                delay = max(delay, _PATIENT_S)
            if self._doubts or self._reader.in_doubt:
                await runtime.sleep(delay)

    def _judge(self, doubt: _Doubt, as_of: int, began: int) -> None:
        """Conclude what a whole reading allows to conclude.

        Parameters
        ----------
        as_of, began : int
            When it began, by the broker's clock and monotonic.
        """
        if doubt.intent.name not in self._doubts:
            return  # its report came in meanwhile, see `_seen`
        candidates = self._candidates(doubt.intent)
        if len(candidates) == 1 and not self._twins(doubt.intent):
            self._bind(doubt, candidates[0].order_id, "it is the only order there that can be it")
            return
        if candidates:
            twins = " and others of ours look the same" if self._twins(doubt.intent) else ""
            self._escalate(doubt, f"{len(candidates)} orders there can be it{twins}", candidates)
            return
        queue_ns = int(self._session.adapter.session.queue_time_s * _NS)
        if self._reader.trading_day(as_of) != self._reader.trading_day(doubt.intent.sent_ns):
            # The books of a new day do not show those of the last: absence is no proof any more.
            self._escalate(doubt, "its trading day is over, and nobody can be asked; compare positions")
            return
        if began <= doubt.since_ns or self._stray_fills(doubt.intent):
            doubt.absent_since_ns = None
            return
        if doubt.absent_since_ns is None:
            doubt.absent_since_ns = began
        elif began - doubt.absent_since_ns >= _APART_NS and began - doubt.since_ns >= queue_ns:
            seconds = (began - doubt.since_ns) / _NS
            self._take_for_lost(doubt, f"two readings, the last after {seconds:.0f} s, do not show it")

    def _candidates(self, intent: Intent) -> list[Order]:
        """Return the orders of nobody that can be this one, where the broker carries no id of ours."""
        if self._session.adapter.capabilities.wire_id_carrier:
            return []  # ours would show its id
        queue_ns = int(self._session.adapter.session.queue_time_s * _NS)
        first, last = intent.sent_ns - _AHEAD_NS, intent.sent_ns + queue_ns
        shape = [getattr(intent.request, name) for name in _SHAPE]
        return [
            order
            for order in self._store
            if order.origin is Origin.EXTERNAL
            and order.tag is None
            and not order.tags
            and order.ts_created is not None
            and first <= order.ts_created <= last
            and [getattr(order, name) for name in _SHAPE] == shape
        ]

    def _twins(self, intent: Intent) -> bool:
        """Whether another order of unknown outcome has the same shape: then no candidate can be told to be this one."""
        shape = [getattr(intent.request, name) for name in _SHAPE]
        return any(
            [getattr(other.intent.request, name) for name in _SHAPE] == shape
            for name, other in self._doubts.items()
            if name != intent.name
        )

    def _stray_fills(self, intent: Intent) -> bool:
        """Whether fills of an order nobody has shown yet could be its."""
        request, first = intent.request, intent.sent_ns - _AHEAD_NS
        return any(
            fill.instrument_id == request.instrument_id
            and fill.side is request.side
            and (fill.ts_event is None or fill.ts_event >= first)
            for fill in self._store.orphan_fills
        )

    # -- conclusions -------------------------------------------------------------------------------------------------

    def _bind(self, doubt: _Doubt, order_id: str, why: str) -> Order:
        name = doubt.intent.name
        self._record.decided("bound", name, order_id=order_id, why=why)
        return self._store.settle(name, Outcome.accepted(order_id), self._session.runtime.clock.wall_ns())

    def _take_for_lost(self, doubt: _Doubt, why: str) -> Order:
        name, now = doubt.intent.name, self._session.ctx.now_ns
        text = f"it never arrived: {why}"
        reject = Reject(ErrorKind.NEVER_ARRIVED, text, None, Effect.NONE, Retry.USER_ACTION)
        self._lost[name] = self._reader.trading_day(now)
        self._record.decided("never arrived", name, why=why, at=now)
        return self._store.settle(name, Outcome.rejected(reject), self._session.runtime.clock.wall_ns())

    def _escalate(self, doubt: _Doubt, why: str, candidates: Iterable[Order] = ()) -> None:
        if doubt.escalated:
            return
        doubt.escalated = True
        name = doubt.intent.name
        found = tuple(candidates)
        self._record.decided("escalated", name, why=why, candidates=[order.order_id for order in found])
        text = f"nobody can tell what became of order {name}: {why}; look at the broker and say with resolve_order()"
        self._tell("UNRESOLVED", text, self._store.get(name), found)

    def _too_long(self, why: str, *, at_once: bool = False) -> None:
        now = self._session.runtime.clock.mono_ns()
        for doubt in self._doubts.values():
            if at_once or now - doubt.since_ns >= _ESCALATE_AFTER_NS:
                self._escalate(doubt, why)

    def _amendments_too_long(self) -> None:
        """Say of changes and cancels, once, that nothing proves what became of them."""
        for name, pending in self._reader.overdue(_ESCALATE_AFTER_NS):
            text = f"nobody can tell what became of the {pending.lower()} of order {name}; look at the broker"
            self._record.decided("escalated", name, why=f"no reading settles its {pending.lower()}")
            self._tell("UNRESOLVED", text, self._store.get(name))

    def _told(self, update: OrderUpdate) -> None:
        """Take note of every change: one that is looked for may have shown up, one taken for lost as well."""
        if self._doubts or self._lost:
            self._seen(update.order)

    def _seen(self, order: Order) -> None:
        name = order.client_order_id
        if name in self._doubts and (order.status is not OrderStatus.UNKNOWN or order.order_id):
            del self._doubts[name]
            self.fences = self._braced or bool(self._doubts)
            self._tell("RESOLVED", f"order {name} is {order.status}", order)
        if name in self._lost and order.status is not OrderStatus.REJECTED:
            self._turned_up(order)

    def _turned_up(self, order: Order) -> None:
        name = order.client_order_id
        del self._lost[name]
        intent = self._intents.get(name)
        cancels = intent is not None and intent.request.on_late == "cancel" and order.status.working
        self._record.decided("late", name, order_id=order.order_id, cancels=cancels)
        then = "; it is being cancelled" if cancels else ""
        self._tell("LATE_ORDER", f"order {name}, taken for lost, is {order.status} at the broker{then}", order)
        if cancels:
            self._cancel(order)

    def day_began(self) -> None:
        """Stop watching what was taken for lost on an earlier trading day."""
        today = self._reader.trading_day(self._session.ctx.now_ns)
        for name in [name for name, day in self._lost.items() if day != today]:
            del self._lost[name]

    def _tell(self, code: str, text: str, order: Order | None, candidates: tuple[Order, ...] = ()) -> None:
        now = self._session.runtime.clock.wall_ns()
        self._alert(OrderAlert(code, text, order, candidates, None, now))  # type: ignore[arg-type]
