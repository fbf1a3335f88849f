"""When margins are read, what a reading changes, and what they have become since: the engine of `MarginMonitor`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any, Final

from dragoman.errors import AuthRequired, DragomanError
from dragoman.market import InstrumentMaster
from dragoman.model import Margin, MarginAlert, OrderRequest, Segment
from dragoman.orders import OrderService
from dragoman.portfolio.extras import AccountServices
from dragoman.portfolio.margin.asking import Calculator
from dragoman.portfolio.margin.pace import Pace, metered
from dragoman.portfolio.margin.rates import RateBook
from dragoman.portfolio.margin.schedule import Schedule
from dragoman.portfolio.margin.segment import Said, SegmentMargin
from dragoman.portfolio.margin.segments import Segments
from dragoman.portfolio.margin.state import Positions, Snapshot, State, Tracker
from dragoman.portfolio.margin.streamed import Pushes
from dragoman.portfolio.margin.telling import Teller
from dragoman.portfolio.net import PositionKey
from dragoman.portfolio.service import Portfolio
from dragoman.session.session import AccountSession

_NS: Final = 1_000_000_000
_GRACE_S: Final = 0.3  # what a reading had seen may reach us after it
_GATHERED_S: Final = 1.0  # the longest that one push waits for others
_MARKS_S: Final = 0.25
_LOOK_S: Final = 1.0
_COST: Final = 50  # marks are looked at so rarely that it takes one part in so many of the time
_REST: Final = 9  # a look at what orders and fills changed is followed by so many times its length without one
_STALE_S: Final = 15.0
_LONGEST_S: Final = 60.0
_NO_SESSION_S: Final = 20.0
_STATES: Final = 256
log = logging.getLogger("dragoman.portfolio")


class Readings:
    """Reads the margins of one account at its pace, and projects them in between. Nothing happens before `begin`.

    Parameters
    ----------
    session : AccountSession
    master : InstrumentMaster
    orders : OrderService
    portfolio : Portfolio
    account : AccountServices
        Has the broker's margin calculator, where there is one.
    tell : callable
        Told of every `MarginAlert`.

    Attributes
    ----------
    teller : Teller
        Who hears of what changed.
    segments : Segments
    rates : RateBook
    answered : Event
        Set once a reading came.
    error : DragomanError or None
        Why the last one failed.
    polled : callable
        Called after each reading.
    """

    def __init__(
        self,
        session: AccountSession,
        master: InstrumentMaster,
        orders: OrderService,
        portfolio: Portfolio,
        account: AccountServices,
        tell: Callable[[MarginAlert], object],
    ) -> None:
        self._session, self._master, self._orders, self._portfolio = session, master, orders, portfolio
        self._positions: Positions = portfolio.live
        self._clock = session.runtime.clock
        self.rates = RateBook()
        self._calculator: Calculator | None = None
        if session.adapter.capabilities.features.get("order_margin"):
            self._calculator = Calculator(self.rates, account.order_margin, self._instrument)
        self._pace = Pace(session.adapter.limits)
        self._schedule = Schedule()
        self._tracker: Tracker | None = None
        self.segments = Segments(self.rates, session.adapter.margin_terms, self._instrument)
        self.teller = Teller(tell, self._clock.mono_ns, self._clock.wall_ns)
        self._state: State = Snapshot()
        self._run_task: asyncio.Task[None] | None = None
        self._polling: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self.answered = asyncio.Event()
        self.closed = False
        self._dirty = False
        self._seeded: int | None = None
        self._windows: list[list[State]] = []
        self._pushes = Pushes()
        self._pushed_ns = 0
        self._pushing: asyncio.Task[None] | None = None
        self.error: DragomanError | None = None
        self.polled: Callable[[], object] = lambda: None
        self._counts = {"polls": 0, "failed": 0}

    def counts(self) -> dict[str, Any]:
        """Return what was counted; any thread may ask."""
        more = {
            "pushes": self._pushes.seen,
            "put_off": self._schedule.put_off,
            "missing_segments": self.segments.missing,
            "alerts": self.teller.alerts,
            "callback_errors": self.teller.callback_errors,
            "calculated": 0 if self._calculator is None else self._calculator.asked,
            "rates_contradicted": self.rates.contradicted,
        }
        return self._counts | self.segments.counts() | more

    # -- life --------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin to read, once."""
        if self._run_task is not None or self.closed:
            return
        adapter = self._session.adapter
        adapter.capabilities.require("margins", adapter.name)
        self._tracker = Tracker(
            self._positions,
            self._orders.store,
            self._master,
            adapter.margin_terms,
            self._clock.mono_ns,
            self._changed,
        )
        self._seeded = self._positions.complete_as_of
        self._run_task = self._session.runtime.spawn(self._run(), name=f"{adapter.name} margin monitor")

    async def close(self) -> None:
        """End the readings, and all who watch."""
        self.closed = True
        tasks = [
            task
            for task in (self._run_task, self._polling, self._asking, self._pushing)
            if task is not None and not task.done()
        ]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._tracker is not None:
            self._tracker.close()
        self.teller.close()

    async def _run(self) -> None:
        """Look at what changed, and have the margin read when it is due."""
        looked = self._clock.mono_ns()
        pause_s = _MARKS_S
        while True:
            wait_s = min(max(0.0, self._due_s()), pause_s if self._moving() else _LONGEST_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            self._wake.clear()
            began = self._clock.mono_ns()
            idle_s = (began - looked) / _NS
            took_s = 0.0
            if idle_s >= _LOOK_S or (idle_s >= pause_s and self._tracker_moved()):
                self.update()
                looked = self._clock.mono_ns()
                pause_s = max(_MARKS_S, (looked - began) / _NS * _COST)
            elif self._dirty:
                self.update(marks=False)
                took_s = (self._clock.mono_ns() - began) / _NS
            if self._due_s() <= 0:
                self._read()
            if took_s:  # what comes meanwhile is looked at in one go
                await self._session.runtime.sleep(min(took_s * _REST, _MARKS_S))

    def _tracker_moved(self) -> bool:
        return self._tracker is not None and self._tracker.moved()

    def _changed(self, key: PositionKey) -> None:
        """Note that an order or a position changed; it is looked at once everybody has been told."""
        self._schedule.changed(self._clock.mono_ns())
        self._dirty = True
        self._wake.set()

    def _instrument(self, key: PositionKey) -> Any:
        return self._master.get(key[0])

    def _moving(self) -> bool:
        """Whether marks move what is projected."""
        return self.segments.drifting or any(held.drift for held in self._state.values())

    # -- when --------------------------------------------------------------------------------------------------------

    def _due_s(self) -> float:
        """Return in how many seconds the next reading is due; it is now where the result is not above 0."""
        if self._polling is not None:
            return _LONGEST_S
        doubt = self.segments.unsettled
        due = self._schedule.due_ns(interval_s=self._interval_s(), floor_s=self._pace.floor_s, doubt=doubt)
        return _LONGEST_S if due is None else (due - self._clock.mono_ns()) / _NS

    def _interval_s(self) -> float | None:
        near = self.teller.near
        working = self._tracker is not None and self._tracker.working > 0
        holding = any(held.group.quantity for held in self._state.values())
        is_open = self._session.calendar.open_for_s() is not None
        return self._pace.interval_s(near=near and is_open, working=working, holding=holding, is_open=is_open)

    def _read(self) -> None:
        """Begin a reading, unless others need the broker more, or something is just being asked of it."""
        now = self._clock.mono_ns()
        crowded = self._pace.crowded(self._session.limiter.state())
        in_flight = self._tracker is not None and self._tracker.in_flight
        if self._schedule.gives_way(now, crowded=crowded, in_flight=in_flight):
            return
        self._schedule.asked(now)
        self._polling = self._session.runtime.spawn(self._poll(), name=f"{self._session.adapter.name} margin reading")

    async def _poll(self) -> None:
        """Read the margins, and compare them with what was projected."""
        session, spent = self._session, dict[str, int]()
        try:
            if not self._orders.stale:
                await self._portfolio.begin()  # or in the background, if it cannot be read now
            self.update()
            window = self._watched()
            self._schedule.looked()
            blind = self._blind()
            try:
                rows = await session.run(metered(session.adapter.margins(session.ctx), spent), timeout_s=10.0)
            except DragomanError as error:
                self._failed(error)
                return
            finally:
                if spent:
                    self._pace.spent = spent
            await session.runtime.sleep(_GRACE_S)
            self.update()
            self._schedule.answered()
            self.error = None
            self._counts["polls"] += 1
            now, day = self._clock.mono_ns(), self._positions.day
            self._tell(self.segments.take(rows, window, now, day, blind=blind or self._blind()))
        finally:
            self._windows = [one for one in self._windows if one is not window]
            self._polling = None
            self._wake.set()
        self.update()
        self.answered.set()
        self.polled()

    def hurry(self) -> None:
        """Bring the next reading forward, as a change of orders or positions does."""
        if self._run_task is not None:
            self._schedule.changed(self._clock.mono_ns())
            self._wake.set()

    def on_push(self, margin: Margin, paid: Decimal) -> None:
        """Take what the broker told unasked; before `begin` nobody wants it."""
        if self._tracker is None or self.closed:
            return
        self._pushes.put(margin, paid)
        self._pushed_ns = self._clock.mono_ns()
        if self._pushing is None:
            name = f"{self._session.adapter.name} margin pushes"
            self._pushing = self._session.runtime.spawn(self._take_pushes(), name=name)

    async def _take_pushes(self) -> None:
        """Wait until what the pushes had seen has reached us too, then take them as readings are taken."""
        self.update()
        window, blind, latest = self._watched(), self._blind(), self._clock.mono_ns() + int(_GATHERED_S * _NS)
        try:
            while (left := min(self._pushed_ns + int(_GRACE_S * _NS), latest) - self._clock.mono_ns()) > 0:
                await self._session.runtime.sleep(left / _NS)
            self.update()
            now, day = self._clock.mono_ns(), self._positions.day
            blind = blind or self._blind()
            self._tell(self.segments.streamed(self._pushes.take(), window, now, day, blind=blind))
        finally:
            self._windows = [one for one in self._windows if one is not window]
            self._pushing = None
            self._wake.set()
        self.update()

    def _failed(self, error: DragomanError) -> None:
        self._counts["failed"] += 1
        self.error = error
        # A session that ended is its own affair; readings go on once there is one.
        pause_s = _NO_SESSION_S if isinstance(error, AuthRequired) else error.retry_after_s or 0.0
        self._schedule.failed(self._clock.mono_ns(), at_least_s=pause_s)
        log.debug("%s: the margin could not be read: %s", self._session.adapter.name, error)

    def _blind(self) -> bool:
        """Whether orders or positions may lack something."""
        return self._orders.stale or self._positions.complete_as_of is None

    # -- what --------------------------------------------------------------------------------------------------------

    def _watched(self) -> list[State]:
        """Return a list that gets every state from the one of now on."""
        self._windows.append([self._state])
        return self._windows[-1]

    def _tell(self, said: Sequence[Said]) -> None:
        for code, words, about in said:
            self.teller.alert(MarginAlert(code, words, about, ts=self._clock.wall_ns()))

    def update(self, *, marks: bool = True) -> None:
        """Project every segment from what is known now, and tell whoever wants to hear.

        Parameters
        ----------
        marks : bool
            Look at all marks as well, not only at what orders, fills and positions changed.
        """
        if self._tracker is None:
            return
        self._dirty = False
        state = self._tracker.state(marks=marks)
        if self._positions.complete_as_of != self._seeded:
            self._seeded = self._positions.complete_as_of
            self.segments.begin_anew(state)
            for window in self._windows:
                window[:] = [state]
            self._schedule.changed(self._clock.mono_ns())
        self._state = state
        for window in self._windows:
            if len(window) < _STATES and window[-1] is not state:
                window.append(state)
        now = self._clock.mono_ns()
        stale = partial(self._stale, now=now)
        for margin in list(self.segments.project(state, self._session.ctx.now_ns, stale)):
            self.teller.publish(margin, self._why)
        if self._calculator is not None and self._asking is None:
            wanted = self._calculator.wanted(state, now)
            if wanted:
                self._asking = self._session.runtime.spawn(self._ask(wanted, now), name="margin rates")

    async def _ask(self, wanted: Sequence[tuple[PositionKey, OrderRequest]], now: int) -> None:
        assert self._calculator is not None
        try:
            await self._calculator.ask(wanted, now)
        finally:
            self._asking = None
            self._dirty = True
            self._wake.set()

    def _stale(self, keeper: SegmentMargin, now: int) -> bool:
        """Whether a segment's figures should not be relied on."""
        if keeper.doubtful or not keeper.begun or self._blind():
            return True
        interval = self._interval_s()
        return interval is not None and now - keeper.believed_ns > max(_STALE_S, 3 * interval) * _NS

    def _why(self, segment: Segment) -> str:
        """Say why a segment's figures should not be relied on."""
        if self._orders.stale:
            return "the order stream is interrupted"
        if self._positions.complete_as_of is None:
            return "positions are not known yet"
        if self.segments.kept[segment].doubtful:
            return "the broker's newest numbers are in doubt"
        if self.error is not None:
            return str(self.error)
        return "the broker has not told it for too long"
