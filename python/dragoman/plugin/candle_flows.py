"""Candles from brokers that answer a span of time in each request: what they all do, around what each one asks.

An adapter derives from `SpanCandles`, names its intervals and writes its requests; cutting, reading, sorting and what
is refused is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import Any, ClassVar, Final

from dragoman.model import Candle, Instrument
from dragoman.plugin.adapter import Adapter
from dragoman.plugin.context import Context
from dragoman.plugin.effects import Flow, Reply, Request
from dragoman.plugin.history import check_stretch, history, read_rows
from dragoman.plugin.records import Records
from dragoman.plugin.values import moment_ns

DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Interval:
    """A length of candles that a broker has.

    Attributes
    ----------
    word : str
        The broker's name of it.
    length : timedelta
        How long a candle lasts.
    longest : timedelta or None
        Most that one request may span; None for any.
    """

    word: str
    length: timedelta
    longest: timedelta | None = None

    @property
    def whole_days(self) -> bool:
        return self.length >= DAY


@dataclass(frozen=True, slots=True)
class Stretch:
    """What candles are asked for: from `start` to `end`, in the broker's zone.

    `first` and `last` are the same, or for candles of a day and longer when their days began: those count whole.
    """

    instrument: Instrument
    interval: Interval
    first: datetime
    last: datetime
    start: datetime
    end: datetime
    continuous: bool = False


def interval_of(records: Records, known: Mapping[str, Interval], name: str, told: str) -> Interval:
    """Return the broker's interval of our name. Raises UsageError, which says what is `told` to use."""
    found = known.get(name)
    if found is None:
        raise records.refused(f"there are no candles of {name!r}", f"use {told}")
    return found


def midnight(moment: datetime, zone: tzinfo) -> datetime:
    """Return when the day of a moment began in `zone`."""
    return datetime.combine(moment.astimezone(zone).date(), time(0), zone)


class SpanCandles(Adapter):
    """The history's part of an adapter.

    Class attributes
    ----------------
    intervals : mapping of str to Interval
        By our name of each: ``"5m"``.
    intervals_told : str
        The same, in the words of an error's remedy.
    candle_zone : tzinfo
        In which the broker's days begin.
    candles_at_once : int
        Requests between two reports of progress: what the broker takes in a second.
    candle_oi : bool
        Whether a seventh column is open interest wherever it stands; otherwise it is of contracts only, as some brokers
        write 0 for shares.
    """

    intervals: ClassVar[Mapping[str, Interval]]
    intervals_told: ClassVar[str]
    candle_zone: ClassVar[tzinfo]
    candles_at_once: ClassVar[int] = 5
    candle_oi: ClassVar[bool] = False

    def candle_requests(self, asked: Stretch, ctx: Context) -> Sequence[Request]:
        """Return the requests for a stretch, in the order of time."""
        raise TypeError(f"{type(self).__name__} does not define candle_requests")

    def candle_rows(self, reply: Reply) -> list[Any]:
        """Return the rows of one reply: time, open, high, low, close, volume, and open interest where it is told."""
        return Records(self.name).as_rows("candles", reply.json["data"], "candles")

    def candle_opens(self, stamp: Any, interval: Interval) -> int | None:
        """Return when the candle of a stamp begins, ns UTC; None is no time."""
        raise TypeError(f"{type(self).__name__} does not define candle_opens")

    def check_continuous(self, instrument: Instrument, interval: Interval) -> None:
        """Refuse a continuous series where the broker has none of it. Raises UsageError."""
        raise Records(self.name).refused("there are no continuous series", "leave continuous out")

    def candles(
        self,
        instrument: Instrument,
        interval: str,
        start: datetime,
        end: datetime,
        ctx: Context,
        *,
        continuous: bool = False,
    ) -> Flow[list[Candle]]:
        records = Records(self.name)
        known = interval_of(records, self.intervals, interval, self.intervals_told)
        check_stretch(records, start, end)
        if continuous:
            self.check_continuous(instrument, known)
        start, end = start.astimezone(self.candle_zone), end.astimezone(self.candle_zone)
        first, last = (midnight(moment, self.candle_zone) if known.whole_days else moment for moment in (start, end))
        requests = self.candle_requests(Stretch(instrument, known, first, last, start, end, continuous), ctx)
        low, high = moment_ns(first), moment_ns(end)

        def read(reply: Reply) -> Iterable[Candle]:
            found = read_rows(
                self.candle_rows(reply),
                instrument,
                interval,
                known.length,
                ctx,
                source=self.name,
                time_ns=lambda stamp: self.candle_opens(stamp, known),
                oi=self.candle_oi or instrument.expiry is not None,
            )
            # A request may reach beyond what was asked for: days come whole, today's call tells of an earlier one.
            return (one for one in found if low <= one.ts_open <= high)

        return (yield from history(records, requests, read, at_once=self.candles_at_once))
