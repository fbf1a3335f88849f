"""The account's margin, live: read at a pace the broker allows, projected in between; `client.margin`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any, Final

from dragoman.checks import Number, choice, exact, function, seconds, text
from dragoman.errors import AuthRequired, DragomanError, StaleData, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import Instrument, Margin, MarginAlert, OrderRequest, Segment
from dragoman.orders import OrderService
from dragoman.portfolio.extras import AccountServices
from dragoman.portfolio.margin.asking import Calculator
from dragoman.portfolio.margin.pace import Pace, metered
from dragoman.portfolio.margin.rates import RateBook
from dragoman.portfolio.margin.rule import Group, Working, kind_of
from dragoman.portfolio.margin.schedule import Schedule
from dragoman.portfolio.margin.segment import Record, SegmentMargin
from dragoman.portfolio.margin.segments import Segments
from dragoman.portfolio.margin.state import Positions, State, Tracker
from dragoman.portfolio.margin.telling import Teller
from dragoman.portfolio.margin.thresholds import Threshold, limit_of
from dragoman.portfolio.net import PositionKey
from dragoman.portfolio.service import Margins, Portfolio
from dragoman.session.session import AccountSession

_NS: Final = 1_000_000_000
_GRACE_S: Final = 0.3  # what a reading had seen may reach us after it
_MARKS_S: Final = 0.25
_LOOK_S: Final = 1.0
_COST: Final = 50  # marks are looked at so rarely that it takes one part in so many of the time
_STALE_S: Final = 15.0
_LONGEST_S: Final = 60.0
_NO_SESSION_S: Final = 20.0
_STATES: Final = 256
log = logging.getLogger("dragoman.portfolio")


class MarginMonitor:
    """Margins of one account between readings and at them.

    Nothing is read before somebody asks: `now`, `ready`, `watch` and `threshold` begin it.

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
        self._check = session.owner.check
        self._clock = session.runtime.clock
        self._rates = RateBook()
        self._calculator: Calculator | None = None
        if session.adapter.capabilities.features.get("order_margin"):
            self._calculator = Calculator(self._rates, account.order_margin, self._instrument)
        self._pace = Pace(session.adapter.limits)
        self._schedule = Schedule()
        self._tracker: Tracker | None = None
        self._segments = Segments(self._rates, session.adapter.margin_terms, self._instrument)
        self._teller = Teller(tell, self._clock.mono_ns, self._clock.wall_ns)
        self._state: State = {}
        self._run_task: asyncio.Task[None] | None = None
        self._polling: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()
        self._closed = False
        self._dirty = False
        self._seeded: int | None = None
        self._window: list[State] | None = None
        self._error: DragomanError | None = None
        self.polled: Callable[[], object] = lambda: None
        self._counts = {"polls": 0, "failed": 0}

    # -- asking ------------------------------------------------------------------------------------------------------

    def now(self) -> dict[Segment, Margin]:
        """Return the margins as they are now, by segment; empty until the broker has answered once.

        `Margin.source` says whether a figure is the broker's own or projected, `error_bound` how far off it may be, and
        `stale` that it should not be relied on.
        """
        self._check("margin.now")
        self._begin()
        self._update()
        return Margins(self._teller.told)

    @property
    def known(self) -> dict[Segment, Margin]:
        """What `now` returned or told last; nothing is read, projected or begun."""
        return dict(self._teller.told)

    def needed(self, request: OrderRequest, instrument: Instrument, price: Decimal) -> Decimal:
        """Return the most that an order can tie up by itself: at the worst rate it may have, beside no position."""
        key = instrument.instrument_id, request.product, request.position_side
        terms = self._session.adapter.margin_terms
        order = Working(1 if request.side == "BUY" else -1, request.quantity, abs(price))
        group = Group(kind_of(instrument, request.product, terms), multiplier=instrument.multiplier, orders=(order,))
        return group.need(self._rates.get(key, group, instrument).high).total

    async def ready(self, *, timeout_s: float = 10.0) -> dict[Segment, Margin]:
        """Return what `now` does, once the broker has answered.

        Raises
        ------
        StaleData
            It did not in time.
        """
        self._check("margin.ready")
        timeout_s = seconds("timeout_s", timeout_s)
        self._begin()
        try:
            async with asyncio.timeout(timeout_s):
                await self._answered.wait()
        except TimeoutError:
            raise StaleData(
                f"{self._session.adapter.name}: no margin was read within {timeout_s:g} s",
                broker=self._session.adapter.name,
                remedy="ask again; the readings go on",
            ) from self._error
        return self.now()

    def watch(self) -> AsyncIterator[Margin]:
        """Yield the margin of a segment whenever it changes, those of now first; the newest where you are slower."""
        self._check("margin.watch")
        queue = self._teller.queue()
        if self._closed:
            queue.end()
        else:
            self._begin()
        return queue

    def threshold(
        self,
        segment: Segment | str,
        *,
        below: Number | None = None,
        utilisation_above: Number | None = None,
        falling_faster: Number | None = None,
        hysteresis: Number | None = None,
        name: str = "",
        callback: Callable[[MarginAlert], object] | None = None,
    ) -> Callable[[], None]:
        """Tell, as a `MarginAlert` on the client's events, when a margin crosses a limit; returns what ends it.

        A crossing is told once, and the next one after the value was back beyond the limit by `hysteresis`. A margin
        that is stale crosses nothing.

        Parameters
        ----------
        segment : Segment or str
        below : number
            `net` is under it, in money.
        utilisation_above : number
            `utilisation` is over it, from 0 to 1.
        falling_faster : number
            `net` lost more than that within the last minute, in money.
        hysteresis : number, optional
            In the unit of the limit. Left out: 2 % of `below`, 0.02 of a utilisation, a fifth of a fall.
        name : str
            Stands in the alert.
        callback : callable, optional
            Called inline with the alert as well; it must return at once.

        Raises
        ------
        UsageError
            Not exactly one limit is given, or one that no margin can cross.
        """
        self._check("margin.threshold")
        wanted = choice(Segment, "segment", segment)
        if self._teller.told and wanted not in self._teller.told:
            held = ", ".join(self._teller.told)
            raise UsageError(f"threshold: there is no segment {wanted}", remedy=f"this account has {held}")
        code, level = limit_of(below, utilisation_above, falling_faster)
        back = Threshold.default_hysteresis(code, level) if hysteresis is None else exact("hysteresis", hysteresis)
        if back < 0:
            raise UsageError(f"hysteresis {back} is negative", remedy="give how far back the value has to come")
        if callback is not None:
            function("callback", callback)
        one = Threshold(wanted, code, level, back, text("name", name), callback)
        self._begin()
        return self._teller.add(one)

    def records(self, segment: Segment | str) -> tuple[Record, ...]:
        """Return how readings of a segment compared with what was projected, oldest first."""
        self._check("margin.records")
        found = self._segments.kept.get(choice(Segment, "segment", segment))
        return () if found is None else tuple(found.records)

    def counters(self) -> dict[str, Any]:
        """Return what was counted: readings, those put off for others, bounds that were broken, by segment too."""
        self._check("margin.counters")
        return self.counts()

    def counts(self) -> dict[str, Any]:
        """The same, from any thread of the process."""
        more = {
            "put_off": self._schedule.put_off,
            "missing_segments": self._segments.missing,
            "alerts": self._teller.alerts,
            "callback_errors": self._teller.callback_errors,
            "calculated": 0 if self._calculator is None else self._calculator.asked,
            "rates_contradicted": self._rates.contradicted,
        }
        return self._counts | self._segments.counts() | more

    # -- life --------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._run_task is not None or self._closed:
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
        self._closed = True
        tasks = [task for task in (self._run_task, self._polling, self._asking) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._tracker is not None:
            self._tracker.close()
        self._teller.close()

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
            if self._dirty or idle_s >= _LOOK_S or (idle_s >= pause_s and self._tracker_moved()):
                self._update()
                looked = self._clock.mono_ns()
                pause_s = max(_MARKS_S, (looked - began) / _NS * _COST)
            if self._due_s() <= 0:
                self._read()

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
        return self._segments.drifting or any(held.drift for held in self._state.values())

    # -- when --------------------------------------------------------------------------------------------------------

    def _due_s(self) -> float:
        """Return in how many seconds the next reading is due; it is now where the result is not above 0."""
        if self._polling is not None:
            return _LONGEST_S
        doubt = self._segments.unsettled
        due = self._schedule.due_ns(interval_s=self._interval_s(), floor_s=self._pace.floor_s, doubt=doubt)
        return _LONGEST_S if due is None else (due - self._clock.mono_ns()) / _NS

    def _interval_s(self) -> float | None:
        near = self._teller.near
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
            self._update()
            self._window = [self._state]
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
            self._update()
            self._schedule.answered()
            self._error = None
            self._counts["polls"] += 1
            self._take(rows, blind=blind or self._blind())
        finally:
            self._window = None
            self._polling = None
            self._wake.set()
        self._update()
        self._answered.set()
        self.polled()

    def _failed(self, error: DragomanError) -> None:
        self._counts["failed"] += 1
        self._error = error
        # A session that ended is its own affair; readings go on once there is one.
        pause_s = _NO_SESSION_S if isinstance(error, AuthRequired) else error.retry_after_s or 0.0
        self._schedule.failed(self._clock.mono_ns(), at_least_s=pause_s)
        log.debug("%s: the margin could not be read: %s", self._session.adapter.name, error)

    def _blind(self) -> bool:
        """Whether orders or positions may lack something."""
        return self._orders.stale or self._positions.complete_as_of is None

    # -- what --------------------------------------------------------------------------------------------------------

    def _take(self, rows: Sequence[Margin], *, blind: bool) -> None:
        assert self._window is not None
        now, day = self._clock.mono_ns(), self._positions.day
        for code, words, about in self._segments.take(rows, self._window, now, day, blind=blind):
            self._teller.alert(MarginAlert(code, words, about, ts=self._clock.wall_ns()))

    def _update(self) -> None:
        """Project every segment from what is known now, and tell whoever wants to hear."""
        if self._tracker is None:
            return
        self._dirty = False
        state = self._tracker.state()
        if self._positions.complete_as_of != self._seeded:
            self._seeded = self._positions.complete_as_of
            self._segments.begin_anew(state)
            self._window = None if self._window is None else [state]
            self._schedule.changed(self._clock.mono_ns())
        self._state = state
        if self._window is not None and len(self._window) < _STATES and self._window[-1] != state:
            self._window.append(state)
        now = self._clock.mono_ns()
        stale = partial(self._stale, now=now)
        for margin in list(self._segments.project(state, self._session.ctx.now_ns, stale)):
            self._teller.publish(margin, self._why)
        if self._calculator is not None and self._asking is None:
            groups = {key: held.group for key, held in state.items()}
            wanted = self._calculator.wanted(groups, now)
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
        if self._segments.kept[segment].doubtful:
            return "the broker's newest numbers are in doubt"
        if self._error is not None:
            return str(self._error)
        return "the broker has not told it for too long"
