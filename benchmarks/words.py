"""How figures are said, in Markdown, in HTML and in comparisons alike."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Row, Timing, Value

HOW_TO_READ = (
    "Every comparison runs both sides on the same bytes in one run, in rounds that alternate, and checks that they give"
    " the same results before it times them. A time is the median over the rounds. The ratio is the median of the"
    " ratios of neighbouring rounds; its spread is their 10th and 90th percentile, and tells how noisy the machine was."
    " Best rounds is the ratio of the fastest round of each side, which other work on the machine disturbs least.",
    "Compare ratios, and only times of one machine. A peer that is a bare system call or an empty listener is a floor,"
    " not a rival: there the question is how close to it the whole is. Where ours is the slower one, it says so.",
)
SHOWN = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "slowest"))


def text(ns: float) -> str:
    """Return a time with a unit that suits it."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def bytes_or(value: Value) -> str:
    """Return a figure with its unit."""
    return f"{value.value:.4g} {value.unit}"


def goal_of(one: Row | Value) -> str:
    """Return the goal in words; empty where there is none."""
    if one.goal is None:
        return ""
    if isinstance(one, Value):
        return f"at most {one.goal:g} {one.unit}"
    return f"{'at least' if one.ratio_is == 'times faster' else 'at most'} {one.goal:g}x"


def verdict(one: Row | Value) -> str:
    """Return the goal and whether it is met; empty where there is none."""
    return "" if one.met is None else f"{goal_of(one)}: {'met' if one.met else 'MISSED'}"


def peer_quantiles(row: Row) -> Iterator[tuple[str, ...]]:
    """Yield the distribution of both sides: question, whose, and the figures at `SHOWN`."""
    yield row.question, "ours", *_shown(row.ours)
    yield "", row.peer, *_shown(row.theirs)


def _shown(timing: Timing) -> Iterator[str]:
    for share, _ in SHOWN:
        found = timing.quantile(share)
        yield "" if found is None else text(found)
