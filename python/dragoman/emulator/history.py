"""Candles of days the venue never lived through: any stretch, any interval, the same each time they are asked for.

A price path is a pure function of (seed, instrument, time): a sum of smooth noises of several periods around the
reference price. A candle opens and closes on the path, so candles of different intervals agree wherever they meet,
each opens where the one before it in its session closed, and no request depends on the one before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice

from dragoman.emulator.bodies import num
from dragoman.emulator.venue.rng import MASK, mix64, salt
from dragoman.emulator.venue.types import Listing

_PERIODS_S = ((86_400 * 40, 0.06), (86_400 * 5, 0.02), (14_400, 0.006), (1_800, 0.002), (240, 0.0007))
_CENT = Decimal("0.01")
_LOOKS = 4  # points of the path inside one candle that its high and low are taken from


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle; `start` is in the zone that was asked in, prices are on the tick."""

    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    oi: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """When an exchange trades: between two minutes of the day in the zone of the request, Monday to Friday or daily."""

    opens: int
    closes: int
    daily: bool = False


EQUITY_HOURS = Sessions(555, 930)
INDIAN_HOURS = {"CDS": Sessions(540, 1020), "BCD": Sessions(540, 1020), "MCX": Sessions(540, 1410)}
"""Of the exchanges that do not keep the hours of equity, 09:15 to 15:30."""
ALWAYS = Sessions(0, 1440, daily=True)


def candle(bar: Bar, start: object, *, oi: bool = True) -> list[object]:
    """Write a candle as most brokers do: a list of its start, open, high, low, close, volume and perhaps interest."""
    return [start, *map(num, (bar.open, bar.high, bar.low, bar.close)), bar.volume, *([bar.oi] if oi else [])]


class StretchError(Exception):
    """A stretch of time that ends before it starts, or is longer than one request may ask for."""


class History:
    """The past of one instrument.

    Parameters
    ----------
    seed : int
    name : str
        The instrument: with the seed, what the path is drawn from.
    reference : Decimal
        What the path swings around.
    tick : Decimal
    """

    def __init__(self, seed: int, name: str, reference: Decimal, tick: Decimal, sessions: Sessions) -> None:
        self._salt = salt(seed, name)
        self._drawn: dict[tuple[int, int], float] = {}
        self._reference = float(reference)
        self._tick = tick
        self._sessions = sessions

    @classmethod
    def of(cls, seed: int, listing: Listing, hours: Sessions | None = None) -> History:
        """Return the past of a listing, in the hours of its exchange (an Indian one) where none are given."""
        instrument = listing.instrument
        hours = hours or INDIAN_HOURS.get(instrument.exchange, EQUITY_HOURS)
        return cls(seed, instrument.instrument_id, listing.reference, instrument.tick_size or _CENT, hours)

    def stretch(
        self, first: datetime, last: datetime, length: timedelta, longest: timedelta, now_ns: int
    ) -> Iterator[Bar]:
        """Return the candles of one request: none of the future. Raises StretchError."""
        self.check(first, last, longest)
        return self.bars(first, min(last, datetime.fromtimestamp(now_ns // 1_000_000_000, first.tzinfo)), length)

    def price(self, moment: datetime) -> Decimal:
        """Return the path at a moment, on the tick."""
        at = moment.timestamp()
        swing = sum(size * self._noise(number, at / period) for number, (period, size) in enumerate(_PERIODS_S))
        ticks = round(self._reference * math.exp(swing) / float(self._tick))
        return max(ticks, 1) * self._tick

    @staticmethod
    def check(first: datetime, last: datetime, longest: timedelta) -> None:
        """Raise StretchError for a stretch that ends before it starts or is longer than `longest`."""
        if not first <= last <= first + longest:
            raise StretchError(f"interval exceeds max limit: {longest.days} days, or ends before it starts")

    def bars(self, first: datetime, last: datetime, length: timedelta) -> Iterator[Bar]:
        """Yield the candles that open in ``[first, last]``; a length of a day gives one candle a session."""
        self._drawn.clear()
        day = first.replace(hour=0, minute=0, second=0, microsecond=0)
        whole = length >= timedelta(days=1)
        while day <= last:
            if self._sessions.daily or day.weekday() < 5:
                start = day + timedelta(minutes=self._sessions.opens)
                closes = day + timedelta(minutes=self._sessions.closes)
                while start < closes:
                    stop = closes if whole else min(start + length, closes)
                    stamp = day if whole else start
                    if first <= stamp <= last:
                        yield self._bar(stamp, start, stop)
                    start = stop
            day += timedelta(days=1)

    def window(self, start_s: float | None, end_s: float, length: timedelta, most: int) -> list[Bar]:
        """Return the candles that open in a window of UNIX times (s, UTC), at most `most` from its start.

        Without a start they are those before the end.
        """
        seconds = int(length.total_seconds())
        begins = end_s - (most - 1) * seconds if start_s is None else start_s
        first = datetime.fromtimestamp(math.ceil(begins / seconds) * seconds, UTC)
        return list(islice(self.bars(first, datetime.fromtimestamp(end_s, UTC), length), most))

    def _bar(self, stamp: datetime, start: datetime, stop: datetime) -> Bar:
        step = (stop - start) / _LOOKS
        path = [self.price(start + step * look) for look in range(_LOOKS + 1)]
        draw = mix64(self._salt ^ int(start.timestamp()))
        minutes = max(1, int((stop - start).total_seconds()) // 60)
        return Bar(stamp, path[0], max(path), min(path), path[-1], (100 + draw % 900) * minutes, 100_000 + draw % 5000)

    def _noise(self, number: int, at: float) -> float:
        """Return value noise in [-1, 1]: random at whole numbers, smooth between."""
        whole = math.floor(at)
        part = at - whole
        smooth = part * part * (3 - 2 * part)
        low, high = self._draw(number, whole), self._draw(number, whole + 1)
        return low + (high - low) * smooth

    def _draw(self, number: int, whole: int) -> float:
        found = self._drawn.get((number, whole))
        if found is None:
            word = mix64(self._salt ^ mix64((whole * len(_PERIODS_S) + number) & MASK))
            found = self._drawn[number, whole] = word / (1 << 63) - 1
        return found


def joined(days: Iterable[Bar], *, monthly: bool) -> list[Bar]:
    """Join candles of days to months, or to weeks, which start on Monday."""
    groups: dict[datetime, list[Bar]] = {}
    for one in days:
        start = one.start.replace(day=1) if monthly else one.start - timedelta(days=one.start.weekday())
        groups.setdefault(start, []).append(one)
    return [
        Bar(
            start,
            bars[0].open,
            max(one.high for one in bars),
            min(one.low for one in bars),
            bars[-1].close,
            sum(one.volume for one in bars),
            bars[-1].oi,
        )
        for start, bars in groups.items()
    ]
