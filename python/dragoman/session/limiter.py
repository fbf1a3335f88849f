"""Keeps requests under the broker's limits: the native counters, and the line of those who wait.

Each meter has two lines, first in first out: RISK (cancels, risk-reducing exits) is served before NORMAL. Whoever
cannot be served before its deadline is told at once, with the time it would have to wait; nothing of it was sent.

Every process that spends an account's limits counts in one file (`Limiter.share`), and takes its turn among the
others' by the time it came. On a virtual clock, and before the account is known, the counts are this process's own.

**Guard.** A broker that counts by the seconds or minutes of its own clock is not sent `count` requests in each of
*our* seconds: its clock is not ours, and requests travel for different times. All that arrive in one of its seconds
were sent within a second plus the spread of their delays. So a short calendar limit is spent as a rolling one of
`period + GUARD_S`, which holds for any difference of the clocks and any spread up to `GUARD_S`, from grant to arrival.
At 10 a second that sends 8. Days stay days of the broker's clock: there its midnight is when the count starts again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, cast
from zoneinfo import ZoneInfo

from dragoman._core import Turnstile
from dragoman.errors import DragomanError, ErrorKind, Throttled, UsageError
from dragoman.plugin import Failure, Lane, RateLimit, Reply, Request, Scope, Window
from dragoman.runtime.base import Runtime
from dragoman.session.brokertime import http_date_ns
from dragoman.session.order_limits import OrderLimits
from dragoman.session.waiting import Line

if TYPE_CHECKING:
    from dragoman._core import RateLimiter, SharedRateLimiter

GUARD_S: Final = 0.25
"""By how much delays from grant to arrival may differ without overrunning a short calendar limit."""
_NS: Final = 1_000_000_000
_MINUTE_NS: Final = 60 * _NS
_OFFSET_HOLDS_NS: Final = 15 * _MINUTE_NS  # clocks change at whole quarters of an hour
_LOOK_AGAIN_S: Final = 0.5  # a ticket lapses if not renewed, and another process may give something back
_log = logging.getLogger("dragoman.session")
_LONGEST_PENALTY_S: Final = 86_400.0
_DEFAULT_METER: Final = "default"


@dataclass(slots=True, eq=False)
class Grant:
    """What one request took; `Limiter.refund` gives it back if the request never left.

    Attributes
    ----------
    plan : int or None
    lane : Lane
    orders : tuple of str
        What it took of its order's own limit.
    native : RateLimiter or SharedRateLimiter or None
        Where it was taken.
    mono_ns : int
        When it was taken: the native refund finds it by that.
    refunded : bool
    """

    plan: int | None
    lane: Lane
    orders: tuple[str, ...] = ()
    native: RateLimiter | SharedRateLimiter | None = None
    mono_ns: int = 0
    refunded: bool = False


class Limiter(Turnstile):
    """The limits of one account.

    Parameters
    ----------
    runtime : Runtime
    limits : sequence of RateLimit
    broker : str
        For messages.
    time_zone : str
        Calendar windows of a day begin at midnight here.
    wall_ns : callable, optional
        The broker's clock as estimated; calendar windows are cut by it.

    Attributes
    ----------
    meters : list
        The limits as the native counters take them.
    path : str or None
        The file the counts are shared in.
    throttled, penalties, uncounted : int
        Requests refused here; 429s learnt from; risk-reducing requests sent although the shared counts could not be
        reached.
    """

    def __init__(
        self,
        runtime: Runtime,
        limits: Sequence[RateLimit],
        *,
        broker: str = "",
        time_zone: str = "UTC",
        wall_ns: Callable[[], int] | None = None,
    ) -> None:
        from dragoman._core import RateLimiter

        self._runtime = runtime
        self._clock = runtime.clock
        self._spawn = runtime.spawn
        self._wall_ns = wall_ns or runtime.clock.wall_ns
        super().__init__(runtime.clock.mono_ns, self._wall_ns, Request, Grant(None, Lane.NORMAL))
        self._broker = broker
        self._by_meter: dict[str, list[tuple[str, RateLimit]]] = {}
        self._orders = OrderLimits(broker)
        self._plans: dict[tuple[str, int, Lane], int | None] = {}
        self._lines: dict[str, Line] = {}
        self.throttled = 0
        self.penalties = 0
        self.uncounted = 0
        self.path: str | None = None
        self.meters = self._sort(limits)
        self._zone = ZoneInfo(time_zone)
        self._offset_ns = 0
        self._offset_from_ns = 0
        self._offset_until_ns = 0
        self._native: RateLimiter | SharedRateLimiter | None = None
        if self.meters:
            self._native = RateLimiter(self.meters)

    def _local_ns(self) -> int:
        """Return what the clock on the broker's wall shows: it cuts days at its midnights, also where clocks change."""
        now = self._wall_ns()
        if not self._offset_from_ns <= now < self._offset_until_ns:
            self._offset_from_ns = now - now % _OFFSET_HOLDS_NS
            self._offset_until_ns = self._offset_from_ns + _OFFSET_HOLDS_NS
            offset = datetime.fromtimestamp(now / _NS, self._zone).utcoffset()
            self._offset_ns = 0 if offset is None else int(offset.total_seconds()) * _NS
            self._set_local(self._offset_from_ns, self._offset_until_ns, self._offset_ns)
        return now + self._offset_ns

    def _sort(self, limits: Sequence[RateLimit]) -> list[tuple[str, int, int, str, int]]:
        meters: dict[str, tuple[str, int, int, str, int]] = {}
        for limit in limits:
            if limit.scope is Scope.ORDER:
                self._orders.add(limit)
                continue
            name = limit.name if limit.name not in meters else f"{limit.name}/{limit.scope}/{len(meters)}"
            window, period_ns = limit.window, limit.period_ns
            if window is Window.CALENDAR and period_ns <= _MINUTE_NS:
                window, period_ns = Window.ROLLING, period_ns + int(GUARD_S * _NS)
            meters[name] = (name, limit.count, period_ns, window.value, limit.reserve)
            self._by_meter.setdefault(limit.meter, []).append((name, limit))
        return list(meters.values())

    # -- sharing -----------------------------------------------------------------------------------------------------

    async def share(self, path: str) -> None:
        """Count in this file from now on, together with every other process that does.

        What was taken here before is carried over. On a virtual clock nothing is shared: a simulation depends on no
        file. Neither is it outside Linux, whose locks survive the death of their holder.

        Raises
        ------
        UsageError
            The file cannot be made or read, is damaged or of another version, or counts other limits. It is left as
            it is: emptying it would hand out again what was spent.
        """
        if not self.meters or self._runtime.virtual or path == self.path or sys.platform != "linux":
            return
        native = await self._runtime.in_worker(self._open, path)
        before, now, wall = self._native, self._clock.mono_ns(), self._local_ns()
        if before is not None and self.path is None:
            for name, use in before.state(now, wall).items():
                if use["used"]:
                    native.try_acquire(now, wall, native.plan([(name, use["used"])]), int(Lane.RISK))
                if use["penalty_ns"]:
                    native.penalise(name, now + use["penalty_ns"])
        self._native, self.path = native, path
        self._plans.clear()
        self._shut()
        for line in self._lines.values():
            line.changed.set()

    def _open(self, path: str) -> SharedRateLimiter:
        from dragoman._core import SharedRateLimiter

        try:
            return SharedRateLimiter(path, self.meters, self._clock.mono_ns(), self._local_ns())
        except OSError as error:
            raise UsageError(
                f"{self._broker}: the limits shared by all processes cannot be kept in {path}: {error.strerror}"
                f" ({error.filename})",
                broker=self._broker or None,
                remedy="make the folder writable, or name another one in DRAGOMAN_STATE, the same for all processes",
            ) from error
        except RuntimeError as error:
            raise UsageError(f"{self._broker}: {error}", broker=self._broker or None) from error

    @property
    def shared(self) -> SharedRateLimiter | None:
        """The file all processes count in, where they do."""
        return None if self.path is None else cast("SharedRateLimiter", self._native)

    # -- taking ------------------------------------------------------------------------------------------------------

    async def acquire(self, request: Request, deadline_mono_ns: int) -> Grant:
        """Wait for room for `request`, and take it.

        Raises
        ------
        Throttled
            The wait would pass the deadline, or the order's own limit is used up. Zero bytes were sent.
        UsageError
            The request names a meter without limits, or costs more than a limit could ever grant.
        """
        arrival = self._clock.mono_ns()
        grant, wait = self._at_once(request)
        if wait == 0:
            return grant
        if wait is not None and arrival + wait > deadline_mono_ns:
            self._orders.give_back(grant.orders)
            raise self._too_late(request.meter, wait)
        line = self._lines.get(request.meter)
        if line is None:
            line = self._lines[request.meter] = Line()
        waiter = line.join(request, grant, arrival, deadline_mono_ns)
        if line.pump is None:
            self._shut()  # from now on `take` looks who waits
            line.pump = self._spawn(self._serve(request.meter, line), name=f"limiter {request.meter}")
        try:
            await waiter.served
        except asyncio.CancelledError:
            if waiter.served.done() and not waiter.served.cancelled() and waiter.served.exception() is None:
                self.refund(grant)  # served in the same instant as it was cancelled
            else:
                self._orders.give_back(grant.orders)
            line.changed.set()
            raise
        except DragomanError:
            self._orders.give_back(grant.orders)
            raise
        return grant

    if TYPE_CHECKING:

        def take(self, request: Request, /) -> Grant | None:
            """Take room for `request` where there is some now, or nothing and return None; errors as `acquire`."""
            ...

    def take_closer(self, request: Request) -> Grant | None:
        """Do what `take` does where more than the counts has a say, or what does is not known yet."""
        grant, wait = self._at_once(request)
        if wait != 0:
            self._orders.give_back(grant.orders)
            return None
        line = self._lines.get(request.meter)
        if grant.plan is not None and request.limit_key is None and (line is None or line.pump is None):
            # Nobody waits: until somebody does, the counts alone say whether there is room for another like it.
            self._let_pass(request.meter, request.cost, request.lane, grant.plan, grant.native)
        return grant

    def _at_once(self, request: Request) -> tuple[Grant, int | None]:
        """Return a grant and 0 where it holds; else the wait in ns, None where others stand before."""
        self._plan(request)  # what can never be granted takes nothing
        try:
            grant = Grant(None, request.lane, self._orders.take(request))
        except Throttled:
            self.throttled += 1
            raise
        line = self._lines.get(request.meter)
        if line is not None and line.ahead_of(request.lane):
            return grant, None
        try:
            return grant, self._try(request, grant, None)
        except DragomanError:
            self._orders.give_back(grant.orders)
            raise

    def refund(self, grant: Grant) -> None:
        """Give back what a request took that provably never left; a second time changes nothing."""
        if grant.refunded:
            return
        grant.refunded = True
        if grant.plan is not None and grant.native is not None:
            try:
                grant.native.refund(grant.plan, grant.mono_ns, int(grant.lane))
            except (TimeoutError, RuntimeError) as error:
                _log.warning("what an unsent request took stays counted: %s", error)
        self._orders.give_back(grant.orders)
        for line in self._lines.values():
            line.changed.set()

    def _try(self, request: Request, grant: Grant, arrival_ns: int | None) -> int:
        """Take what `request` costs and fill in `grant`; return 0, or the wait in ns.

        Parameters
        ----------
        arrival_ns : int or None
            When the request came: its place among those who wait in all processes. None for one that does not wait.
        """
        grant.native, grant.plan, grant.mono_ns = self._native, self._plan(request), self._clock.mono_ns()
        if grant.native is None or grant.plan is None:
            return 0
        lane = int(request.lane)
        if self.path is None:
            return grant.native.try_acquire(grant.mono_ns, self._local_ns(), grant.plan, lane)
        shared = cast("SharedRateLimiter", grant.native)
        try:
            if arrival_ns is None:
                return shared.try_acquire(grant.mono_ns, self._local_ns(), grant.plan, lane)
            return shared.try_acquire(grant.mono_ns, self._local_ns(), grant.plan, lane, arrival_ns)
        except (TimeoutError, RuntimeError) as error:
            if request.lane is Lane.RISK:
                # What reduces risk does not wait for our own bookkeeping.
                _log.warning("%s: a risk-reducing request goes out uncounted: %s", self._broker, error)
                self.uncounted += 1
                grant.native = grant.plan = None
                return 0
            if isinstance(error, TimeoutError):
                raise Throttled(
                    f"{self._broker}: {error}",
                    retry_after_s=0.1,
                    broker=self._broker or None,
                    remedy="look for a stopped process that uses this account, and send it again; nothing was sent",
                ) from error
            raise UsageError(f"{self._broker}: {error}", broker=self._broker or None) from error

    def _plan(self, request: Request) -> int | None:
        key = (request.meter, request.cost, request.lane)
        try:
            return self._plans[key]
        except KeyError:
            pass
        where = f"{self._broker}: {request.method} {request.path}"
        limits = self._by_meter.get(request.meter, [])
        if not limits and request.meter != _DEFAULT_METER and request.meter not in self._orders:
            raise UsageError(
                f"{where} spends meter {request.meter!r}, which has no limits",
                remedy=f"the adapter's limits know {', '.join(sorted(self._by_meter)) or 'none'}",
            )
        for name, limit in limits:
            most = limit.count - (limit.reserve if request.lane is Lane.NORMAL else 0)
            if not 1 <= request.cost <= most:
                raise UsageError(f"{where} costs {request.cost} of limit {name}, which never grants more than {most}")
        plan = None
        if limits and self._native is not None:
            plan = self._native.plan([(name, request.cost) for name, _ in limits])
        self._plans[key] = plan
        return plan

    async def _serve(self, meter: str, line: Line) -> None:
        """Serve one line until it is empty."""
        last: Request | None = None
        try:
            while (head := line.head()) is not None:
                line.changed.clear()
                last = head.request
                try:
                    wait = self._try(head.request, head.grant, head.arrival_ns)
                except DragomanError as error:
                    line.leave(head)
                    head.served.set_exception(error)
                    continue
                if wait == 0:
                    line.leave(head)
                    head.served.set_result(None)
                    continue
                # Nobody behind the head comes before it does, so whoever must be gone by then hears it now.
                ready = head.grant.mono_ns + wait
                for waiter in line.everybody():
                    if not waiter.served.done() and ready > waiter.deadline_ns:
                        waiter.served.set_exception(self._too_late(meter, wait))
                if line.head() is not head:
                    continue
                pause = wait / _NS if self.path is None else min(wait / _NS, _LOOK_AGAIN_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await line.changed.wait()
        finally:
            line.pump = None
            for waiter in line.everybody():
                waiter.served.cancel()  # the line is empty here unless it was stopped or broke
            if last is not None:
                self._leave(last)

    def _leave(self, request: Request) -> None:
        """Give up this process's place among the others' for the meter of `request`."""
        plan = self._plan(request)
        if self.path is None or plan is None:
            return
        shared = cast("SharedRateLimiter", self._native)
        try:
            for lane in Lane:
                shared.leave(plan, int(lane))
        except (TimeoutError, RuntimeError) as error:
            _log.warning("others wait until our place in the line lapses: %s", error)

    # -- learning ----------------------------------------------------------------------------------------------------

    def learn(self, request: Request, reply: Reply | None = None, failure: Failure | None = None) -> float | None:
        """Close a meter for as long as the broker asks, after a 429 or a RATE_LIMITED failure.

        Returns
        -------
        float or None
            Seconds it stays closed; None where the reply says nothing about limits.
        """
        limited = failure is not None and failure.kind is ErrorKind.RATE_LIMITED
        if not limited and (reply is None or reply.status != 429):
            return None
        asked = failure.retry_after_s if failure is not None else None
        if asked is None and reply is not None:
            asked = retry_after_s(reply.headers, self._wall_ns())
        limits = self._by_meter.get(request.meter, [])
        if asked is None:
            # It did not say: the shortest window of the meter is the least that can have been full.
            asked = min((limit.period_ns for _, limit in limits if limit.period_ns), default=_NS) / _NS
        asked = min(max(asked, 0.0), _LONGEST_PENALTY_S)
        if self._native is not None:
            until = self._clock.mono_ns() + int(asked * _NS)
            try:
                for name, _ in limits:
                    self._native.penalise(name, until)
            except (TimeoutError, RuntimeError) as error:
                _log.warning("%s: not all of the penalty of %r was noted: %s", self._broker, request.meter, error)
        self.penalties += 1
        return asked

    def observe(self, used: Mapping[str, int]) -> None:
        """Count at least what the broker says is used of its limits, by name; a name of no limit is ignored."""
        if self._native is None or not used:
            return
        now, wall = self._clock.mono_ns(), self._local_ns()
        try:
            state = self._native.state(now, wall)
            for name, count in used.items():
                if name not in state:
                    continue
                missing = min(count, state[name]["count"]) - state[name]["used"]
                # In powers of two, so that few plans serve every difference.
                for bit in range(max(missing, 0).bit_length()):
                    if missing >> bit & 1:
                        self._native.try_acquire(now, wall, self._native.plan([(name, 1 << bit)]), int(Lane.RISK))
        except (TimeoutError, RuntimeError) as error:
            _log.warning("%s: what the broker counts was not noted: %s", self._broker, error)

    def state(self) -> dict[str, dict[str, int]]:
        """Return, by limit: count, used, left, reserve_left, reset_ns, and how many wait for its meter."""
        if self._native is None:
            return {}
        found = self._native.state(self._clock.mono_ns(), self._local_ns())
        for meter, limits in self._by_meter.items():
            line = self._lines.get(meter)
            waiting = len(line.everybody()) if line else 0
            for name, _ in limits:
                found[name] = {**found[name], "waiting": waiting}
        return found

    # -- refusing ----------------------------------------------------------------------------------------------------

    def _too_late(self, meter: str, wait_ns: int) -> Throttled:
        self.throttled += 1
        seconds = wait_ns / _NS
        return Throttled(
            f"{self._broker}: limit {meter!r} is used up for {seconds:.3f} s, longer than the deadline allows",
            retry_after_s=seconds,
            broker=self._broker or None,
            remedy=f"send it again after {seconds:.3f} s, or allow more time; nothing was sent",
        )


def retry_after_s(headers: Mapping[str, str], now_ns: int) -> float | None:
    """Read ``Retry-After``: seconds, or an HTTP date against `now_ns`. None where it is absent or unreadable."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        when = http_date_ns(text)
        return None if when is None else max(0.0, (when - now_ns) / _NS)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
