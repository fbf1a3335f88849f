"""What a client's streams report besides ticks."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from dragoman.model.margins import Margin
from dragoman.model.order import Fill, Order


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """An order changed. `order` is the whole view after it.

    `fills` are those this update brought; `replaced` are trade ids of synthetic fills that they make void.
    """

    order: Order
    fills: tuple[Fill, ...] = ()
    replaced: tuple[str, ...] = ()
    source: Literal["stream", "poll", "reply", "local"] = "stream"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the broker said that is not data: an announcement, an error text, an unknown message type."""

    level: Literal["info", "warning", "error"]
    text: str
    code: str | None = None
    raw: Any = None


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream's life: connecting, ready, stale, waiting (before another try), fatal, closed."""

    stream: str
    state: Literal["connecting", "ready", "stale", "waiting", "fatal", "closed"]
    reason: str = ""
    attempt: int = 0
    ts: int = 0
    shard: int = 1
    """Which of the stream's sockets, from 1."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Nothing was seen of a stream between two wall-clock times; what it carried in between is not known from it."""

    stream: str
    start_ns: int
    end_ns: int
    reason: str
    shard: int = 1
    """Which of the stream's sockets, from 1: the others saw everything."""


@dataclass(frozen=True, slots=True)
class BookGap:
    """A book lost a message (``"broken"``), or a snapshot made it whole again (``"whole"``).

    Attributes
    ----------
    since_ns : int or None
        Wall clock from which it cannot be believed; None for a book that starts.
    gaps : int
        Breaks of this book so far.
    duration_ns : int
        How long it was broken, once it is whole.
    tries : int
        Snapshots, or subscriptions, that took.
    """

    instrument_id: str
    state: Literal["broken", "whole"]
    since_ns: int | None = None
    gaps: int = 0
    duration_ns: int = 0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class OrderAlert:
    """Something about the account's orders that somebody should know: what was concluded, or could not be.

    Attributes
    ----------
    code : str
        ``RESOLVED``: an order, a change or a cancel of unknown outcome has one now. ``UNRESOLVED``: it has none, and
        needs you: see `candidates`. ``LATE_ORDER``: an order taken for lost has turned up. ``ADOPTED``: an order placed
        elsewhere, or before a restart, is followed from here on. ``MISSED_UPDATE``: a reading told what the order
        stream had not. ``POSITION_DIFFERS``: at rest, a position is not the sum of its fills. ``UNJOURNALED``: a
        cancel or exit was sent though it could not be written down first. ``JOURNAL_DAMAGED``: what the journal's file
        had lost when it was opened. ``JOURNAL_FAILED``: nothing can be written down any more; cancels still go out.
    text : str
    order : Order or None
    candidates : tuple of Order
        Orders at the broker any of which could be it.
    subject : object
        What else it is about: a `Discrepancy`, the damage of a journal.
    ts : int
        Wall clock, ns UTC.
    """

    code: Literal[
        "RESOLVED",
        "UNRESOLVED",
        "LATE_ORDER",
        "ADOPTED",
        "MISSED_UPDATE",
        "POSITION_DIFFERS",
        "UNJOURNALED",
        "JOURNAL_DAMAGED",
        "JOURNAL_FAILED",
    ]
    text: str
    order: Order | None = None
    candidates: tuple[Order, ...] = ()
    subject: Any = None
    ts: int = 0


@dataclass(frozen=True, slots=True)
class MarginAlert:
    """Something about a margin that somebody should know: a limit of yours is crossed, or its figures are in doubt.

    Attributes
    ----------
    code : str
        ``BELOW``, ``UTILISATION``, ``FALLING``: a threshold was crossed; it is told again once the value was back
        beyond its hysteresis. ``STALE``: the figures are older than they should be. ``DOUBTFUL``: the broker's numbers
        contradict each other, or leapt without a reason that is known; the ones before stay until it repeats them.
        ``DIFFERS``: they are further from what was projected than the projection's own error bound.
    text : str
    margin : Margin
        As it was then.
    name : str
        Of the threshold.
    level, value : Decimal or None
        What was to be crossed, and what is there now: money, a share, or money in the last minute.
    ts : int
        Wall clock, ns UTC.
    """

    code: Literal["BELOW", "UTILISATION", "FALLING", "STALE", "DOUBTFUL", "DIFFERS"]
    text: str
    margin: Margin
    name: str = ""
    level: Decimal | None = None
    value: Decimal | None = None
    ts: int = 0


PositionCode = Literal["OPENING_DIFFERS", "UNKNOWN_INSTRUMENT", "NOT_IN_UNITS", "ORPHAN_FILL", "NOT_APPLIED"]


@dataclass(frozen=True, slots=True)
class PositionAlert:
    """Something about the account's live positions that somebody should know.

    Attributes
    ----------
    code : str
        ``OPENING_DIFFERS``: what the broker says a position began the day with is not its net less our fills; the net
        was believed. ``UNKNOWN_INSTRUMENT``: a fill of an instrument that is not in the master; it counts, with a
        multiplier of 1. ``NOT_IN_UNITS``: fills whose quantities could not be converted. ``ORPHAN_FILL``: a fill whose
        order nobody has reported; it is kept, and counts once the order is known. ``NOT_APPLIED``: an adjustment or
        conversion of more than there is.
    text : str
    subject : object
        A `Discrepancy`, a `Fill`.
    ts : int
        Wall clock, ns UTC.
    """

    code: PositionCode
    text: str
    subject: Any = None
    ts: int = 0
