"""How things are timed: alternately, in one process, medians and ratios.

Each side is called in rounds that last about `round_ms`; rounds of the sides alternate, so that a machine whose speed
drifts is slow for all of them. The figure of a side is the median over its rounds of the time per call; the ratio is
the median of the ratios of neighbouring rounds.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Time per call in ns: median, and the 10th and 90th percentile over rounds."""

    median_ns: float
    low_ns: float
    high_ns: float
    rounds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: ours against a peer, and the goal for the ratio where there is one."""

    question: str
    ours: Timing
    peer: str
    theirs: Timing
    ratio: float
    ratio_is: str  # "times faster" or "of the peer's time"
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.ratio_is == "times faster" else self.ratio <= self.goal


def _calls_for(work: Callable[[], object], round_ms: float) -> int:
    calls, elapsed = 1, 0.0
    while elapsed < round_ms / 4:
        calls *= 2
        started = time.perf_counter_ns()
        for _ in range(calls):
            work()
        elapsed = (time.perf_counter_ns() - started) / 1e6
    return max(1, round(calls * round_ms / elapsed))


def _round(work: Callable[[], object], calls: int) -> float:
    started = time.perf_counter_ns()
    for _ in range(calls):
        work()
    return (time.perf_counter_ns() - started) / calls


def alternate(*sides: Callable[[], object], rounds: int = 15, round_ms: float = 20.0) -> list[Timing]:
    """Time the sides in turn; garbage collection is off meanwhile."""
    calls = [_calls_for(side, round_ms) for side in sides]
    found: list[list[float]] = [[] for _ in sides]
    enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for results, side, count in zip(found, sides, calls, strict=True):
                results.append(_round(side, count))
    finally:
        if enabled:
            gc.enable()
    return [timing(results) for results in found]


def timing(results: list[float]) -> Timing:
    ordered = sorted(results)
    last = len(ordered) - 1
    return Timing(statistics.median(ordered), ordered[round(last * 0.1)], ordered[round(last * 0.9)], tuple(results))


def faster(question: str, ours: Timing, peer: str, theirs: Timing, goal: float | None = None) -> Row:
    """Compare: how many times faster ours is."""
    ratio = statistics.median(b / a for a, b in zip(ours.rounds, theirs.rounds, strict=True))
    return Row(question, ours, peer, theirs, ratio, "times faster", goal)


def share(question: str, ours: Timing, peer: str, theirs: Timing, goal: float | None = None) -> Row:
    """Compare: what share of the peer's time ours takes."""
    ratio = statistics.median(a / b for a, b in zip(ours.rounds, theirs.rounds, strict=True))
    return Row(question, ours, peer, theirs, ratio, "of the peer's time", goal)
