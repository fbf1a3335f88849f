"""When a broker's markets are open, by its clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from dragoman.plugin import TradingHours
from dragoman.session.exchange_days import DayRow, ExchangeDays, Stretch, packaged

_NS: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _NS
_Window = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Today:
    """When an exchange trades around now: windows of (opens, closes, end of continuous trading), ns UTC."""

    begins: int
    ends: int
    windows: tuple[_Window, ...]
    known: bool


class TradingCalendar:
    """The trading hours of one adapter, with the holidays and special sessions of its exchanges.

    A day nobody has told of is unknown: of a year that no list covers, or one whose session has no times yet. Nothing
    is guessed of it: `is_open` says None, and who has to act (`open_for_s`) goes by the hours of the week, so that a
    broker's refusal, or ticks that do not come, say the rest. What trades around the clock has no holidays.

    Parameters
    ----------
    hours : sequence of TradingHours
    time_zone : str
    now_ns : callable
        The broker's clock, ns UTC.
    days : ExchangeDays, optional
        What is known of days; without it, what the library knows.
    """

    def __init__(
        self,
        hours: Sequence[TradingHours],
        time_zone: str,
        now_ns: Callable[[], int],
        days: ExchangeDays | None = None,
    ) -> None:
        self._hours = tuple(hours)
        self.zone = ZoneInfo(time_zone)
        self.days = packaged() if days is None else days
        self.now_ns = now_ns
        self._today: dict[str, _Today] = {}
        self._made_of = self._hours

    # -- one day -----------------------------------------------------------------------------------------------------

    def day(self, exchange: str, day: date) -> DayRow:
        """Return whether an exchange trades on a day, when, and who says so.

        A day that is unknown has the hours that would be usual.
        """
        told = self.days.rows.get((exchange, day))
        if told is not None and told.state != "unknown":
            return told
        found = tuple(
            self._usual(hours, exchange, day) for hours in self._of(exchange) if day.weekday() in hours.weekdays
        )
        if told is not None or not (self.is_endless(exchange) or self.days.covers(exchange, day)):
            name, source = ("", "") if told is None else (told.name, told.source)
            return DayRow("unknown", found, name, source)
        return DayRow("open" if found else "closed", found)

    def trades(self, day: date) -> bool:
        """Whether anything may trade on a day; False only where every exchange is known to be closed all of it."""
        names = {name for hours in self._hours for name in hours.exchanges or ("",)}
        return not names or any(self.day(name, day).state != "closed" for name in names)

    def continuous(self, exchange: str, day: date) -> list[tuple[int, int]]:
        """Return from when to when continuous trading is on a day that is not known to be closed, ns UTC, in order."""
        row = self.day(exchange, day)
        return sorted((opens, ends) for opens, _, ends in self._windows(day, row))

    def has_hours(self, exchange: str) -> bool:
        """Whether the adapter tells when an exchange trades."""
        return bool(self._of(exchange))

    def is_endless(self, exchange: str) -> bool:
        """Whether it trades around the clock, and so knows no holidays."""
        found = self._of(exchange)
        return bool(found) and all(hours.opens == hours.closes for hours in found)

    def open_at(self, exchange: str, ts: int) -> bool:
        """Whether an exchange trades at a time (ns UTC); a day that is unknown counts by the hours of the week."""
        day = self._date(ts)
        if self.is_endless(exchange):
            return any(day.weekday() in hours.weekdays for hours in self._of(exchange))
        return any(opens <= ts < closes for opens, closes, _ in self._around(exchange, day))

    # -- now ---------------------------------------------------------------------------------------------------------

    def is_open(self, exchange: str) -> bool | None:
        """Whether an exchange trades now; None where nobody has told of this day."""
        return self.open_for_s((exchange,)) is not None if self.knows_today(exchange) else None

    def knows_today(self, exchange: str) -> bool:
        """Whether anybody has told of this day."""
        return self._look(exchange).known

    def open_for_s(self, exchanges: Collection[str] = (), *, continuous: bool = False) -> float | None:
        """Return for how many seconds one of these exchanges (empty: any) has been open; None while all are closed.

        Parameters
        ----------
        continuous : bool
            Leave closing auctions out, in which few prices come.
        """
        names = exchanges or {name for hours in self._hours for name in hours.exchanges or ("",)}
        now, found = self.now_ns(), None
        for name in names:
            for opens, closes, ends in self._look(name).windows:
                if opens <= now < (ends if continuous else closes) and (found is None or now - opens > found):
                    found = now - opens
        return None if found is None else found / _NS

    def _look(self, exchange: str) -> _Today:
        if self._made_of is not self._hours:
            self._today.clear()
            self._made_of = self._hours
        now, known = self.now_ns(), self._today.get(exchange)
        if known is None or not known.begins <= now < known.ends:
            known = self._today[exchange] = self._make(exchange, now)
        return known

    def _make(self, exchange: str, now: int) -> _Today:
        today = self._date(now)
        begins, ends = self._ns(today, time()), self._ns(today + timedelta(days=1), time())
        if self.is_endless(exchange):
            windows = ((now - _DAY_NS, ends, ends),) if self.open_at(exchange, now) else ()
            return _Today(begins, ends, windows, known=True)
        known = self.day(exchange, today).state != "unknown"
        return _Today(begins, ends, tuple(self._around(exchange, today)), known)

    def _around(self, exchange: str, today: date) -> Iterator[_Window]:
        """Yield the windows that may hold a time of a day: a session may run past midnight."""
        for day in (today - timedelta(days=1), today):
            yield from self._windows(day, self.day(exchange, day))

    def _windows(self, day: date, row: DayRow) -> Iterator[_Window]:
        for one in row.stretches:
            after = day + timedelta(days=1) if one.closes <= one.opens else day
            opens, closes = self._ns(day, one.opens), self._ns(after, one.closes)
            yield opens, closes, closes if one.auction is None else self._ns(day, one.auction)

    def _of(self, exchange: str) -> list[TradingHours]:
        return [hours for hours in self._hours if not hours.exchanges or exchange in hours.exchanges]

    def _usual(self, hours: TradingHours, exchange: str, day: date) -> Stretch:
        told = self.days.usual(exchange, day)
        return Stretch(hours.opens, hours.closes) if told is None else told

    def _date(self, ts: int) -> date:
        return datetime.fromtimestamp(ts // _NS, UTC).astimezone(self.zone).date()

    def _ns(self, day: date, at: time) -> int:
        return int(datetime.combine(day, at, self.zone).timestamp()) * _NS
