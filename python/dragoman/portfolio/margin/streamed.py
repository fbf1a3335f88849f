"""What the broker tells of margins unasked: gathered for a moment, then laid over what is known."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal
from typing import Final, TypeVar

from dragoman.model import Margin, MarginAvailable, MarginUsed, Segment, Source

_TOLD: Final = ("net", "blocked", "initial", "maintenance", "leverage", "ts_event", "raw")
PartsT = TypeVar("PartsT", MarginAvailable, MarginUsed)


class Pushes:
    """Messages that wait to be taken, one a segment: a later one is laid over an earlier one.

    Attributes
    ----------
    seen : int
        Messages so far.
    """

    def __init__(self) -> None:
        self._waiting: dict[Segment, tuple[Margin, Decimal]] = {}
        self.seen = 0

    def put(self, margin: Margin, paid: Decimal) -> None:
        """Gather a message; `paid` adds up."""
        self.seen += 1
        before, sum_ = self._waiting.get(margin.segment, (None, Decimal(0)))
        self._waiting[margin.segment] = (margin if before is None else overlaid(before, margin)), sum_ + paid

    def take(self) -> list[tuple[Margin, Decimal]]:
        """Return what waits, and forget it."""
        found = list(self._waiting.values())
        self._waiting.clear()
        return found


def overlaid(known: Margin, told: Margin) -> Margin:
    """Return a margin with the parts that a message tells in the place of those known."""
    parts = {name: value for name in _TOLD if (value := getattr(told, name)) is not None}
    return replace(
        known,
        available=_over(known.available, told.available),
        used=_over(known.used, told.used),
        source=Source.STREAMED,
        **parts,
    )


def paid_in(margin: Margin, amount: Decimal) -> Margin:
    """Return a margin with that much more money in it."""
    cash = margin.available.cash
    return replace(
        margin,
        net=None if margin.net is None else margin.net + amount,
        available=replace(margin.available, cash=None if cash is None else cash + amount),
    )


def _over(known: PartsT, told: PartsT) -> PartsT:
    found = {item.name: value for item in fields(told) if (value := getattr(told, item.name)) is not None}
    return replace(known, **found)
