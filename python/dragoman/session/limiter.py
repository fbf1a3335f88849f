"""Keeps requests under the broker's limits: the native counters, and the line of those who wait.

Each meter has two lines, first in first out: RISK (cancels, risk-reducing exits) is served before NORMAL. Whoever
cannot be served before its deadline is told at once, with the time it would have to wait; nothing of it was sent.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from dragoman.errors import ErrorKind, Retry, Throttled, UsageError
from dragoman.plugin import Failure, Lane, RateLimit, Reply, Request, Scope
from dragoman.runtime.base import Runtime
from dragoman.session.brokertime import http_date_ns

if TYPE_CHECKING:
    from dragoman._core import RateLimiter

_NS: Final = 1_000_000_000
_ORDERS_KEPT: Final = 100_000
_LONGEST_PENALTY_S: Final = 86_400.0
_DEFAULT_METER: Final = "default"


@dataclass(slots=True, eq=False)
class Grant:
    """What one request took; `Limiter.refund` gives it back if the request never left."""

    plan: int | None
    lane: Lane
    orders: tuple[str, ...] = ()
    mono_ns: int = 0  # when it was taken: the native refund finds it by that
    refunded: bool = False


@dataclass(slots=True, eq=False)
class _Waiter:
    plan: int
    request: Request
    deadline_ns: int
    served: asyncio.Future[int]  # with the monotonic time it was served at

    @property
    def lane(self) -> Lane:
        return self.request.lane


@dataclass(slots=True)
class _Line:
    """Those who wait for one meter."""

    waiting: tuple[deque[_Waiter], deque[_Waiter]] = field(default_factory=lambda: (deque(), deque()))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    pump: asyncio.Task[None] | None = None

    def head(self) -> _Waiter | None:
        for line in (self.waiting[Lane.RISK], self.waiting[Lane.NORMAL]):
            while line and line[0].served.done():
                line.popleft()  # cancelled while it waited
            if line:
                return line[0]
        return None

    def ahead_of(self, lane: Lane) -> bool:
        """Whether someone stands before a newcomer of `lane`."""
        head = self.head()
        return head is not None and head.lane >= lane


class Limiter:
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

        self._clock = runtime.clock
        self._spawn = runtime.spawn
        self._wall_ns = wall_ns or runtime.clock.wall_ns
        self._broker = broker
        self._by_meter: dict[str, list[tuple[str, RateLimit]]] = {}
        self._per_order: dict[str, list[RateLimit]] = {}
        self._orders: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._plans: dict[tuple[str, int, Lane], int | None] = {}
        self._lines: dict[str, _Line] = {}
        self.throttled = 0
        self.penalties = 0
        meters = self._sort(limits)
        offset = _utc_offset_ns(time_zone, self._wall_ns())
        self._native: RateLimiter | None = RateLimiter(meters, calendar_offset_ns=offset) if meters else None

    def _sort(self, limits: Sequence[RateLimit]) -> list[tuple[str, int, int, str, int]]:
        meters: dict[str, tuple[str, int, int, str, int]] = {}
        for limit in limits:
            if limit.scope is Scope.ORDER:
                self._per_order.setdefault(limit.meter, []).append(limit)
                continue
            name = limit.name if limit.name not in meters else f"{limit.name}/{limit.scope}/{len(meters)}"
            meters[name] = (name, limit.count, limit.period_ns, limit.window.value, limit.reserve)
            self._by_meter.setdefault(limit.meter, []).append((name, limit))
        return list(meters.values())

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
        plan = self._plan(request)
        orders = self._take_order(request)
        grant = Grant(plan, request.lane, orders)
        if plan is None:
            return grant
        line = self._lines.get(request.meter)
        if line is None or not line.ahead_of(request.lane):
            now, wait = self._try(plan, request.lane)
            if wait == 0:
                grant.mono_ns = now
                return grant
            if now + wait > deadline_mono_ns:
                self._return_order(orders)
                raise self._too_late(request.meter, wait)
        if line is None:
            line = self._lines[request.meter] = _Line()
        waiter = _Waiter(plan, request, deadline_mono_ns, asyncio.get_running_loop().create_future())
        line.waiting[request.lane].append(waiter)
        line.changed.set()
        if line.pump is None:
            line.pump = self._spawn(self._serve(request.meter, line), name=f"limiter {request.meter}")
        try:
            grant.mono_ns = await waiter.served
        except asyncio.CancelledError:
            if waiter.served.done() and not waiter.served.cancelled() and waiter.served.exception() is None:
                grant.mono_ns = waiter.served.result()
                self.refund(grant)  # served in the same instant as it was cancelled
            else:
                self._return_order(orders)
            line.changed.set()
            raise
        except Throttled:
            self._return_order(orders)
            raise
        return grant

    def refund(self, grant: Grant) -> None:
        """Give back what a request took that provably never left; a second time changes nothing."""
        if grant.refunded:
            return
        grant.refunded = True
        if grant.plan is not None and self._native is not None:
            self._native.refund(grant.plan, grant.mono_ns, int(grant.lane))
        self._return_order(grant.orders)
        for line in self._lines.values():
            line.changed.set()

    def _try(self, plan: int, lane: Lane) -> tuple[int, int]:
        """Return the monotonic time of the attempt and the wait, 0 when taken."""
        now = self._clock.mono_ns()
        if self._native is None:
            return now, 0
        return now, self._native.try_acquire(now, self._wall_ns(), plan, int(lane))

    def _plan(self, request: Request) -> int | None:
        key = (request.meter, request.cost, request.lane)
        try:
            return self._plans[key]
        except KeyError:
            pass
        where = f"{self._broker}: {request.method} {request.path}"
        limits = self._by_meter.get(request.meter, [])
        if not limits and request.meter != _DEFAULT_METER and request.meter not in self._per_order:
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

    async def _serve(self, meter: str, line: _Line) -> None:
        """Serve one line until it is empty."""
        try:
            while (head := line.head()) is not None:
                line.changed.clear()
                now, wait = self._try(head.plan, head.lane)
                if wait == 0:
                    line.waiting[head.lane].popleft()
                    head.served.set_result(now)
                    continue
                # Nobody behind the head comes before it does, so whoever must be gone by then hears it now.
                for waiter in (*line.waiting[Lane.RISK], *line.waiting[Lane.NORMAL]):
                    if not waiter.served.done() and now + wait > waiter.deadline_ns:
                        waiter.served.set_exception(self._too_late(meter, wait))
                if line.head() is not head:
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait / _NS):
                        await line.changed.wait()
        finally:
            line.pump = None
            for waiter in (*line.waiting[Lane.RISK], *line.waiting[Lane.NORMAL]):
                waiter.served.cancel()  # the line is empty here unless it was stopped or broke

    # -- per order ---------------------------------------------------------------------------------------------------

    def _take_order(self, request: Request) -> tuple[str, ...]:
        if request.limit_key is None or request.meter not in self._per_order:
            return ()
        key = (request.meter, request.limit_key)
        used = self._orders.get(key, 0)
        for limit in self._per_order[request.meter]:
            if used + request.cost > limit.count:
                self.throttled += 1
                raise Throttled(
                    f"{self._broker}: order {request.limit_key} used {used} of {limit.count} requests of {limit.meter}",
                    kind=ErrorKind.DAILY_LIMIT_REACHED,
                    retry=Retry.NEVER,
                    broker=self._broker or None,
                    remedy="cancel the order and place another",
                )
        self._orders[key] = used + request.cost
        self._orders.move_to_end(key)
        if len(self._orders) > _ORDERS_KEPT:
            self._orders.popitem(last=False)
        return (*key, str(request.cost))

    def _return_order(self, orders: tuple[str, ...]) -> None:
        if orders:
            meter, key, cost = orders
            self._orders[meter, key] = max(0, self._orders.get((meter, key), 0) - int(cost))

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
            for name, _ in limits:
                self._native.penalise(name, until)
        self.penalties += 1
        return asked

    def state(self) -> dict[str, dict[str, int]]:
        """Return, by limit: count, used, left, reserve_left, reset_ns, and how many wait for its meter."""
        if self._native is None:
            return {}
        found = self._native.state(self._clock.mono_ns(), self._wall_ns())
        for meter, limits in self._by_meter.items():
            line = self._lines.get(meter)
            waiting = sum(len(lane) for lane in line.waiting) if line else 0
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


def _utc_offset_ns(time_zone: str, now_ns: int) -> int:
    offset = datetime.fromtimestamp(now_ns / _NS, ZoneInfo(time_zone)).utcoffset()
    return 0 if offset is None else int(offset.total_seconds()) * _NS
