"""How things are timed: alternately, medians and ratios, and how far the ratio strayed.

Each side is called in rounds that last about `round_ms`; rounds of the sides alternate, so that a machine whose speed
drifts is slow for all of them. The figure of a side is the median over its rounds of the time per call; the ratio is
the median of the ratios of neighbouring rounds, and its spread the 10th and 90th percentile of them.

A benchmark is a module with ``TITLE``, ``METHOD`` and ``run()``, which returns rows, values and curves in the order in
which the report shows them.
"""

from __future__ import annotations

import gc
import statistics
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

SHARES = (0.0, 0.01, 0.05, *(tenth / 10 for tenth in range(1, 10)), 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, 1.0)
"""Where a distribution is kept: dense towards the slow end, which is what one looks for."""

Quantiles: TypeAlias = tuple[tuple[float, float], ...]
RatioIs = Literal["times faster", "of the peer's time"]


class Effort:
    """How much time a run may take; ``--quick`` sets `quick`."""

    quick = False

    @classmethod
    def rounds(cls, wanted: int) -> int:
        """Return how many rounds to do where a full run does `wanted`."""
        return max(5, wanted // 3) if cls.quick else wanted

    @classmethod
    def count(cls, wanted: int) -> int:
        """Return how many messages, rows or instruments to take where a full run takes `wanted`."""
        return max(1, wanted // 5) if cls.quick else wanted


@dataclass(frozen=True, slots=True)
class Timing:
    """Time per call in ns: median, and the 10th and 90th percentile over rounds.

    Attributes
    ----------
    rounds : tuple of float
        The figure of each round.
    quantiles : tuple of (share, ns)
        The distribution of single calls, where each was timed by itself; otherwise empty.
    """

    median_ns: float
    low_ns: float
    high_ns: float
    rounds: tuple[float, ...]
    quantiles: Quantiles = ()

    def quantile(self, share: float) -> float | None:
        """Return a quantile of single calls, ns; None where they were not timed one by one."""
        return dict(self.quantiles).get(share)


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: ours against a peer, and the goal for the ratio where there is one."""

    question: str
    ours: Timing
    peer: str
    theirs: Timing
    ratio: float
    ratio_is: RatioIs
    goal: float | None = None

    @property
    def ratios(self) -> tuple[float, ...]:
        """The ratio of each pair of neighbouring rounds."""
        pairs = zip(self.ours.rounds, self.theirs.rounds, strict=True)
        return tuple(b / a if self.ratio_is == "times faster" else a / b for a, b in pairs)

    @property
    def spread(self) -> tuple[float, float]:
        """The 10th and 90th percentile of the ratios."""
        ordered = sorted(self.ratios)
        return _at(ordered, 0.1), _at(ordered, 0.9)

    @property
    def best(self) -> float:
        """The ratio of the best round of each: what is left where other work on the machine slowed some of them."""
        a, b = min(self.ours.rounds), min(self.theirs.rounds)
        return b / a if self.ratio_is == "times faster" else a / b

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.ratio_is == "times faster" else self.ratio <= self.goal

    @property
    def slower(self) -> bool:
        """Whether the peer is the faster one."""
        return self.ratio < 1 if self.ratio_is == "times faster" else self.ratio > 1


@dataclass(frozen=True, slots=True)
class Value:
    """One figure without a peer: bytes, seconds, and the most it should be where there is a goal."""

    question: str
    value: float
    unit: str
    goal: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.value <= self.goal


@dataclass(frozen=True, slots=True)
class Curve:
    """How a cost grows: for each named line, points (x, y)."""

    question: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    log_x: bool = False
    log_y: bool = False
    note: str = ""


Finding: TypeAlias = Row | Value | Curve


@dataclass(frozen=True, slots=True)
class Section:
    """What one benchmark found."""

    name: str
    title: str
    method: str
    findings: tuple[Finding, ...]
    seconds: float = 0.0


Clock: TypeAlias = Callable[[], int]


def _calls_for(work: Callable[[], object], round_ms: float) -> int:
    calls, elapsed = 1, 0.0
    while elapsed < round_ms / 4:
        calls *= 2
        started = time.perf_counter_ns()
        for _ in range(calls):
            work()
        elapsed = (time.perf_counter_ns() - started) / 1e6
    return max(1, round(calls * round_ms / elapsed))


def _round(work: Callable[[], object], calls: int, clock: Clock) -> float:
    started = clock()
    for _ in range(calls):
        work()
    return (clock() - started) / calls


class _NoGarbage:
    """Garbage collection is off inside: a pause would be charged to whoever happened to run."""

    def __enter__(self) -> None:
        self._enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._enabled:
            gc.enable()


def alternate(
    *sides: Callable[[], object], rounds: int = 15, round_ms: float = 20.0, clock: Clock = time.perf_counter_ns
) -> list[Timing]:
    """Time the sides in turn, by `time.process_time_ns` for their processor time; garbage collection is off."""
    calls = [_calls_for(side, round_ms) for side in sides]
    found: list[list[float]] = [[] for _ in sides]
    with _NoGarbage():
        for _ in range(Effort.rounds(rounds)):
            for results, side, count in zip(found, sides, calls, strict=True):
                results.append(_round(side, count, clock))
    return [timing(results) for results in found]


async def alternate_async(
    *sides: Callable[[], Awaitable[object]], rounds: int = 15, calls: int = 100, warm: int = 50
) -> list[Timing]:
    """Await the sides in turn, `calls` times a round, each call timed by itself; a round's figure is its median."""
    for side in sides:
        for _ in range(warm):
            await side()
    found: list[list[list[float]]] = [[] for _ in sides]
    with _NoGarbage():
        for _ in range(Effort.rounds(rounds)):
            for results, side in zip(found, sides, strict=True):
                results.append([])
                for _ in range(calls):
                    started = time.perf_counter_ns()
                    await side()
                    results[-1].append(float(time.perf_counter_ns() - started))
    return [timing_of_calls(results) for results in found]


def timing(results: Sequence[float]) -> Timing:
    """Return the timing of rounds that gave one figure each, ns."""
    ordered = sorted(results)
    return Timing(statistics.median(ordered), _at(ordered, 0.1), _at(ordered, 0.9), tuple(results))


def timing_of_calls(rounds: Sequence[Sequence[float]]) -> Timing:
    """Return the timing of rounds whose calls were timed one by one, ns; a round's figure is its median."""
    whole = timing([statistics.median(calls) for calls in rounds])
    pooled = [ns for calls in rounds for ns in calls]
    return Timing(whole.median_ns, whole.low_ns, whole.high_ns, whole.rounds, quantiles(pooled))


def quantiles(values: Iterable[float]) -> Quantiles:
    """Return the distribution at `SHARES`; shares finer than the number of values allows are left out."""
    ordered = sorted(values)
    finest = bisect_right(SHARES[:-1], 1 - 1 / len(ordered))
    return tuple((share, _at(ordered, share)) for share in (*SHARES[:finest], 1.0))


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[round((len(ordered) - 1) * share)]


def faster(question: str, ours: Timing, peer: str, theirs: Timing, goal: float | None = None) -> Row:
    """Compare: how many times faster ours is."""
    ratio = statistics.median(b / a for a, b in zip(ours.rounds, theirs.rounds, strict=True))
    return Row(question, ours, peer, theirs, ratio, "times faster", goal)


def share(question: str, ours: Timing, peer: str, theirs: Timing, goal: float | None = None) -> Row:
    """Compare: what share of the peer's time ours takes."""
    ratio = statistics.median(a / b for a, b in zip(ours.rounds, theirs.rounds, strict=True))
    return Row(question, ours, peer, theirs, ratio, "of the peer's time", goal)
