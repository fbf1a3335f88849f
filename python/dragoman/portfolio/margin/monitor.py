"""The account's margin, live: read at a pace the broker allows, projected in between; `client.margin`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

from dragoman.checks import Number, choice, exact, function, seconds, text
from dragoman.errors import StaleData, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import Instrument, Margin, MarginAlert, OrderRequest, Segment
from dragoman.orders import OrderService
from dragoman.plugin import MarginSeen
from dragoman.portfolio.extras import AccountServices
from dragoman.portfolio.margin.readings import Readings
from dragoman.portfolio.margin.rule import Group, Working, kind_of
from dragoman.portfolio.margin.segment import Record
from dragoman.portfolio.margin.thresholds import Threshold, limit_of
from dragoman.portfolio.service import Margins, Portfolio
from dragoman.session.session import AccountSession


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
        self._session = session
        self._check = session.owner.check
        self._readings = Readings(session, master, orders, portfolio, account, tell)

    @property
    def polled(self) -> Callable[[], object]:
        """Called after each reading."""
        return self._readings.polled

    @polled.setter
    def polled(self, callback: Callable[[], object]) -> None:
        self._readings.polled = callback

    @property
    def changed(self) -> Callable[[Margin], object]:
        """Called with each margin that differs from the one told before, in the step that found it; must not raise."""
        return self._readings.teller.changed

    @changed.setter
    def changed(self, callback: Callable[[Margin], object]) -> None:
        self._readings.teller.changed = callback

    # -- asking ------------------------------------------------------------------------------------------------------

    def now(self) -> dict[Segment, Margin]:
        """Return the margins as they are now, by segment; empty until the broker has answered once.

        `Margin.source` says whether a figure is the broker's own or projected, `error_bound` how far off it may be, and
        `stale` that it should not be relied on.
        """
        self._check("margin.now")
        self._readings.begin()
        self._readings.update()
        return Margins(self._readings.teller.told)

    @property
    def known(self) -> dict[Segment, Margin]:
        """What `now` returned or told last; nothing is read, projected or begun."""
        return dict(self._readings.teller.told)

    def needed(self, request: OrderRequest, instrument: Instrument, price: Decimal) -> Decimal:
        """Return the most that an order can tie up by itself: at the worst rate it may have, beside no position."""
        key = instrument.instrument_id, request.product, request.position_side
        terms = self._session.adapter.margin_terms
        order = Working(1 if request.side == "BUY" else -1, request.quantity, abs(price))
        group = Group(kind_of(instrument, request.product, terms), multiplier=instrument.multiplier, orders=(order,))
        return group.need(self._readings.rates.get(key, group, instrument).high).total

    async def ready(self, *, timeout_s: float = 10.0) -> dict[Segment, Margin]:
        """Return what `now` does, once the broker has answered.

        Raises
        ------
        StaleData
            It did not in time.
        """
        self._check("margin.ready")
        timeout_s = seconds("timeout_s", timeout_s)
        self._readings.begin()
        try:
            async with asyncio.timeout(timeout_s):
                await self._readings.answered.wait()
        except TimeoutError:
            raise StaleData(
                f"{self._session.adapter.name}: no margin was read within {timeout_s:g} s",
                broker=self._session.adapter.name,
                remedy="ask again; the readings go on",
            ) from self._readings.error
        return self.now()

    def watch(self) -> AsyncIterator[Margin]:
        """Yield the margin of a segment whenever it changes, those of now first; the newest where you are slower."""
        self._check("margin.watch")
        queue = self._readings.teller.queue()
        if self._readings.closed:
            queue.end()
        else:
            self._readings.begin()
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
        if self._readings.teller.told and wanted not in self._readings.teller.told:
            held = ", ".join(self._readings.teller.told)
            raise UsageError(f"threshold: there is no segment {wanted}", remedy=f"this account has {held}")
        code, level = limit_of(below, utilisation_above, falling_faster)
        back = Threshold.default_hysteresis(code, level) if hysteresis is None else exact("hysteresis", hysteresis)
        if back < 0:
            raise UsageError(f"hysteresis {back} is negative", remedy="give how far back the value has to come")
        if callback is not None:
            function("callback", callback)
        one = Threshold(wanted, code, level, back, text("name", name), callback)
        self._readings.begin()
        return self._readings.teller.add(one)

    def hurry(self) -> None:
        """Bring the next reading forward, within the share of the broker's limits that readings have."""
        self._readings.hurry()

    def on_push(self, seen: MarginSeen) -> None:
        """Take what the broker told unasked."""
        self._readings.on_push(seen.margin, seen.paid)

    def records(self, segment: Segment | str) -> tuple[Record, ...]:
        """Return how readings of a segment compared with what was projected, oldest first."""
        self._check("margin.records")
        found = self._readings.segments.kept.get(choice(Segment, "segment", segment))
        return () if found is None else tuple(found.records)

    def counters(self) -> dict[str, Any]:
        """Return what was counted: readings, those put off for others, bounds that were broken, by segment too."""
        self._check("margin.counters")
        return self.counts()

    def counts(self) -> dict[str, Any]:
        """The same, from any thread of the process."""
        return self._readings.counts()

    async def close(self) -> None:
        """End the readings, and all who watch."""
        await self._readings.close()
