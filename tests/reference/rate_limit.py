"""A rate limiter that keeps every grant for ever and counts anew each time: the judge of the native one.

Each budget answers one question, `admits(mono, wall, cost)`, from the list of all grants so far.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Grant(NamedTuple):
    mono: int
    wall: int
    cost: int


@dataclass
class Budget:
    """One count over one window, from the full history."""

    limit: int
    period: int
    window: str
    offset: int = 0
    grants: list[Grant] = field(default_factory=list)

    def admits(self, mono: int, wall: int, cost: int) -> bool:
        return getattr(self, f"_{self.window}")(mono, wall) + cost <= self.limit

    def _bucket(self, mono: int, _wall: int) -> int:
        """Units still in the bucket: the worst over all moments it may last have been empty."""
        interval = -(-self.period // self.limit)
        backlog = max(
            (
                sum(g.cost for g in self.grants[i:]) * interval - (mono - first.mono)
                for i, first in enumerate(self.grants)
            ),
            default=0,
        )
        return max(0, -(-backlog // interval))

    def _rolling(self, mono: int, _wall: int) -> int:
        return sum(g.cost for g in self.grants if g.mono > mono - self.period)

    def _calendar(self, mono: int, wall: int) -> int:
        """Grants since the window began by the present reading, or more where the clock stepped back."""
        now, phase = divmod(wall + self.offset, self.period)
        since_start = sum(g.cost for g in self.grants if g.mono >= mono - phase)
        latest, used, last = None, 0, 0
        for grant in self.grants:
            window = (grant.wall + self.offset) // self.period
            if latest is None or window > latest or grant.mono - last >= self.period:
                latest, used = window, 0
            used += grant.cost
            if window == latest:
                last = grant.mono
        if latest is None or mono - last >= self.period or now > latest:
            return since_start
        return max(since_start, used) if now == latest else self._rolling(mono, wall)


@dataclass
class OracleLimiter:
    """Meters as the native constructor takes them; lane 0 has a second budget of ``count - reserve``."""

    meters: list[tuple[str, int, int, str, int]]
    offset: int = 0

    def __post_init__(self) -> None:
        self.total = {m[0]: Budget(m[1], m[2], m[3], self.offset) for m in self.meters}
        self.normal = {m[0]: Budget(m[1] - m[4], m[2], m[3], self.offset) for m in self.meters}

    def _budgets(self, lane: int) -> list[dict[str, Budget]]:
        return [self.total] if lane else [self.total, self.normal]

    def admits(self, mono: int, wall: int, costs: list[tuple[str, int]], lane: int) -> bool:
        return all(b[name].admits(mono, wall, cost) for b in self._budgets(lane) for name, cost in costs)

    def take(self, mono: int, wall: int, costs: list[tuple[str, int]], lane: int) -> None:
        for budgets in self._budgets(lane):
            for name, cost in costs:
                budgets[name].grants.append(Grant(mono, wall, cost))


class CalendarServer:
    """A broker that counts arrivals in the windows of its own clock, which is `skew` off, and never refuses."""

    def __init__(self, period: int, skew: int) -> None:
        self._period = period
        self._skew = skew
        self._counts: dict[int, int] = {}

    def arrive(self, wall: int) -> None:
        window = (wall + self._skew) // self._period
        self._counts[window] = self._counts.get(window, 0) + 1

    @property
    def worst(self) -> int:
        """Most that arrived in one window."""
        return max(self._counts.values(), default=0)
