"""Candles of any stretch: requests of a broker's span each, some at once, every candle given once.

A broker's adapter says what it asks and how it reads a row; the rest of the way is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from dragoman.model import Candle, Instrument
from dragoman.plugin.context import Context
from dragoman.plugin.effects import All, Flow, Part, Reply, Request
from dragoman.plugin.records import Records
from dragoman.plugin.turns import in_turns
from dragoman.plugin.values import float_at


def check_stretch(records: Records, start: datetime, end: datetime) -> None:
    """Refuse a stretch of time that is none. Raises UsageError."""
    if start.tzinfo is None or end.tzinfo is None or end < start:
        raise records.refused(f"candles from {start} to {end}", "give times with a time zone, the earlier first")


def history(
    records: Records,
    requests: Sequence[Request],
    read: Callable[[Reply], Iterable[Candle]],
    *,
    at_once: int,
) -> Flow[list[Candle]]:
    """Ask for all of a history and return its candles, oldest first; use it with ``yield from``.

    Parameters
    ----------
    records : Records
        In whose name a reply that cannot be read is a DecodeError.
    requests : sequence of Request
        In the order of time.
    read : callable
        Yields the candles of one reply. One that an earlier reply told as well counts once, as it was told first.
    at_once : int
        Requests between two reports of progress: what the broker takes in a second.
    """
    known: dict[int, Candle] = {}
    for at in range(0, len(requests), at_once):
        replies = yield All(requests[at : at + at_once])
        with records.reading("candles"):
            told = yield from in_turns(one for reply in replies for one in read(reply))
        fresh: dict[int, Candle] = {}
        for one in told:
            if one.ts_open not in known:
                fresh.setdefault(one.ts_open, one)
        known |= fresh
        yield Part([fresh[ts] for ts in sorted(fresh)], min(at + at_once, len(requests)), len(requests))
    return [known[ts] for ts in sorted(known)]


def read_rows(
    rows: Iterable[Sequence[Any]],
    instrument: Instrument,
    interval: str,
    length: timedelta,
    ctx: Context,
    *,
    source: str,
    time_ns: Callable[[Any], int | None],
    early_ns: int = 0,
    oi: bool = True,
) -> Iterator[Candle]:
    """Read rows of time, open, high, low, close and volume, and of open interest where they have a seventh column.

    Parameters
    ----------
    length : timedelta
        How long a candle of `interval` lasts.
    source : str
        The broker.
    time_ns : callable
        Reads the first column as ns UTC; None is no time.
    early_ns : int
        How much earlier than its stamp a candle opens.
    oi : bool
        Whether a seventh column counts; shares have none, and some brokers write 0.

    Raises
    ------
    ValueError
        A row without a time, or of another shape.
    """
    lasts_ns = int(length.total_seconds()) * 1_000_000_000
    for row in rows:
        ts = time_ns(row[0])
        if ts is None:
            raise ValueError("a candle without a time")
        opens, high, low, close, volume = map(float, row[1:6])
        yield Candle(
            instrument_id=instrument.instrument_id,
            interval=interval,
            ts_open=ts - early_ns,
            open=opens,
            high=high,
            low=low,
            close=close,
            volume=volume,
            oi=float_at({"oi": row[6]}, "oi") if oi and len(row) > 6 else None,
            is_closed=ts - early_ns + lasts_ns <= ctx.now_ns,
            source=source,
        )
