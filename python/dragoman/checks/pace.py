"""How fast orders come, and whether one came just before: the windows of rates and duplicates."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NoReturn, Protocol, TypeAlias

from dragoman.checks.risk import RiskLimits
from dragoman.errors import ErrorKind
from dragoman.model import OrderRequest

_MS: Final = 1_000_000
_SECOND: Final = 1_000_000_000
_MINUTE: Final = 60 * _SECOND

Terms: TypeAlias = tuple[Any, ...]
"""What a duplicate is told by."""


class Refuse(Protocol):
    """Raises what a limit says; see `dragoman.checks.pretrade.PreTrade`."""

    def __call__(
        self,
        check: str,
        found: str,
        remedy: str,
        *,
        kind: ErrorKind = ...,
        retry_after_s: float | None = ...,
    ) -> NoReturn: ...


class Pace:
    """Counts the orders that passed, and refuses what comes too fast, or again.

    Parameters
    ----------
    limits : RiskLimits
    refuse : Refuse

    Attributes
    ----------
    limited : bool
        Whether any limit asks for it.
    """

    def __init__(self, limits: RiskLimits, refuse: Refuse) -> None:
        self._limits = limits
        self._refuse = refuse
        self._second: deque[int] = deque(maxlen=limits.orders_per_second)
        self._minute: deque[int] = deque(maxlen=limits.orders_per_minute)
        self._recent: dict[Terms, int] = {}
        self._in_order: deque[tuple[int, Terms]] = deque()
        self._on_their_way: dict[str, tuple[int, Terms | None]] = {}  # what was counted for them
        self._window_ns = (limits.duplicate_window_ms or 0) * _MS
        self.limited = bool(self._window_ns) or self._second.maxlen is not None or self._minute.maxlen is not None

    def check(self, request: OrderRequest, now: int) -> Terms | None:
        """Duplicates and rates; return what a duplicate is told by.

        Raises
        ------
        Rejected
        """
        for times, span, check in (
            (self._second, _SECOND, "orders_per_second"),
            (self._minute, _MINUTE, "orders_per_minute"),
        ):
            if times.maxlen is not None and len(times) == times.maxlen and now - times[0] < span:
                self._refuse(
                    check,
                    f"{times.maxlen} orders were placed in the last {span // _SECOND} s, which is the limit",
                    "wait",
                    retry_after_s=(span - now + times[0]) / _SECOND,
                )
        return self._check_duplicate(request, now) if self._window_ns else None

    def count(self, name: str, now: int, key: Terms | None) -> None:
        """Count an order that passed all checks."""
        if self._second.maxlen is not None:
            self._second.append(now)
        if self._minute.maxlen is not None:
            self._minute.append(now)
        if key is not None:
            self._recent[key] = now
            self._in_order.append((now, key))
        if name:
            self._on_their_way[name] = now, key

    def ended(self, name: str, *, never_left: bool) -> None:
        """Take note that an order is on its way no more; one that never left is not counted any more."""
        counted = self._on_their_way.pop(name, None)
        if counted is None or not never_left:
            return
        at, key = counted
        for times in (self._second, self._minute):
            if at in times:
                times.remove(at)
        if key is not None and self._recent.get(key) == at:
            del self._recent[key]

    def _check_duplicate(self, request: OrderRequest, now: int) -> Terms:
        key = (
            request.instrument_id,
            request.side,
            request.quantity,
            request.price,
            request.trigger_price,
            request.order_type,
            request.product,
            request.notional,
        )
        while self._in_order and now - self._in_order[0][0] >= self._window_ns:
            at, old = self._in_order.popleft()
            if self._recent.get(old) == at:
                del self._recent[old]
        before = self._recent.get(key)
        if before is not None:
            self._refuse(
                "duplicate_window_ms",
                f"the same order of {request.instrument_id} was placed {(now - before) // _MS} ms ago, the window is"
                f" {self._limits.duplicate_window_ms} ms",
                "wait, if you do want it twice",
                kind=ErrorKind.DUPLICATE_ORDER,
                retry_after_s=(self._window_ns - now + before) / _SECOND,
            )
        return key
