"""Cut what is asked for into pieces a broker answers in one request: stretches of time, and lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

T = TypeVar("T")


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield `items` in order, at most `size` at once; nothing of an empty list."""
    for at in range(0, len(items), size):
        yield items[at : at + size]


def spans(
    start: datetime, end: datetime, longest: timedelta, *, step: timedelta = timedelta(seconds=1)
) -> list[tuple[datetime, datetime]]:
    """Return closed intervals that cover ``[start, end]``, in order, without overlap.

    Parameters
    ----------
    longest : timedelta
        Most that one interval may span.
    step : timedelta
        The broker's grid of time: an interval begins one step after the end of the one before.

    Raises
    ------
    ValueError
        Where `end` lies before `start`, or `longest` is not above `step`.
    """
    if end < start:
        raise ValueError(f"end {end} is before start {start}")
    if longest <= step:
        raise ValueError(f"longest is {longest}, expected more than the step {step}")
    found = []
    while start <= end:
        last = min(start + longest, end)
        found.append((start, last))
        start = last + step
    return found
