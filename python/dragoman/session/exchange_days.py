"""When exchanges trade, day by day: holidays, half days, special sessions and dated hours, as data.

One TOML file for exchanges that keep the same days; those known here lie in ``holidays/`` beside this module, and a
profile may name more under ``calendars``. What a later file says of an exchange and a day counts::

    exchanges = ["NSE", "NFO"]        # as instruments name them
    years = [2026]                    # of which every day is known: what no row is for follows the hours of the week
    source = "circular 171/2025"
    as_of = 2025-12-12                # the day that was read

    [[hours]]                         # instead of the adapter's, from `since` to `until`, both included
    exchanges = ["NFO"]               # where not all of the file
    since = 2026-08-03
    opens = 09:15:00
    closes = 15:40:00

    [[day]]
    date = 2026-01-26
    name = "Republic Day"             # closed; or
    sessions = [[18:00:00, 19:00:00]] # open then alone, whatever the day of the week; or
    unknown = true                    # what happens is not known

Times are those of the exchange. A file of the user's own has the same fields.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final, Literal

DayState = Literal["open", "closed", "unknown"]
_FOLDER: Final = "holidays"
_HEAD: Final = frozenset(("exchanges", "years", "source", "as_of", "hours", "day"))
_HOURS: Final = frozenset(("exchanges", "since", "until", "opens", "closes", "auction", "source"))
_DAY: Final = frozenset(("exchanges", "date", "name", "sessions", "unknown", "source"))


@dataclass(frozen=True, slots=True)
class Stretch:
    """From when to when an exchange trades, by its clock; a close that is not later than the opening is next morning's.

    `auction` is from when some of what it lists trades in a closing auction alone; None where there is none.
    """

    opens: time
    closes: time
    auction: time | None = None


@dataclass(frozen=True, slots=True)
class DatedHours:
    """Hours of the week's working days while they are in force; `since` and `until` are included."""

    stretch: Stretch
    since: date | None
    until: date | None


@dataclass(frozen=True, slots=True)
class DayRow:
    """What is told of one day."""

    state: DayState
    stretches: tuple[Stretch, ...] = ()
    name: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class ExchangeDays:
    """What is known of the days of exchanges, by exchange.

    Attributes
    ----------
    years : mapping of str to frozenset of int
        Years of which every day is known.
    rows : mapping of (str, date) to DayRow
        Days unlike the others of their week.
    hours : mapping of str to tuple of DatedHours
        Of which the last that is in force counts.
    """

    years: Mapping[str, frozenset[int]] = field(default_factory=lambda: MappingProxyType({}))
    rows: Mapping[tuple[str, date], DayRow] = field(default_factory=lambda: MappingProxyType({}))
    hours: Mapping[str, tuple[DatedHours, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def covers(self, exchange: str, day: date) -> bool:
        """Whether everything about that day is known."""
        return day.year in self.years.get(exchange, ())

    def usual(self, exchange: str, day: date) -> Stretch | None:
        """Return the hours in force on a working day; None where none are told."""
        found = None
        for one in self.hours.get(exchange, ()):
            if (one.since is None or one.since <= day) and (one.until is None or day <= one.until):
                found = one.stretch
        return found

    def __add__(self, later: ExchangeDays) -> ExchangeDays:
        """Return both together; where they differ `later` counts."""
        years, hours = dict(self.years), dict(self.hours)
        for exchange, known in later.years.items():
            years[exchange] = years.get(exchange, frozenset()) | known
        for exchange, told in later.hours.items():
            hours[exchange] = (*hours.get(exchange, ()), *told)
        return ExchangeDays(years, {**self.rows, **later.rows}, hours)

    @classmethod
    def read(cls, text: str, where: str) -> ExchangeDays:
        """Read one file.

        Raises
        ------
        ValueError
            Names the file, the row, and what is wrong with it.
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{where} is not TOML: {error}") from None
        _known(where, document, _HEAD)
        exchanges = _names(where, document, ())
        years, source = document.get("years", []), document.get("source", "")
        if not exchanges:
            raise ValueError(f"{where}: exchanges is missing")
        if not isinstance(years, list) or not all(type(year) is int for year in years):
            raise ValueError(f"{where}: years is {years!r}, expected a list of numbers")
        if not source or type(document.get("as_of")) is not date:
            raise ValueError(f"{where}: source and as_of are missing: who says so, and the day that was read")
        hours: dict[str, tuple[DatedHours, ...]] = {}
        rows: dict[tuple[str, date], DayRow] = {}
        for at, row in enumerate(_tables(where, document, "hours"), 1):
            here = f"{where}: hours {at}"
            for exchange in _names(here, row, exchanges):
                hours[exchange] = (*hours.get(exchange, ()), _hours(here, row))
        for at, row in enumerate(_tables(where, document, "day"), 1):
            here = f"{where}: day {at}"
            day = _date(here, row, "date")
            for exchange in _names(here, row, exchanges):
                if (exchange, day) in rows:
                    raise ValueError(f"{here}: {exchange} has {day} twice")
                rows[exchange, day] = _day(here, row, str(source))
        return cls(dict.fromkeys(exchanges, frozenset(years)), rows, hours)


def together(parts: Iterable[ExchangeDays]) -> ExchangeDays:
    """Add up, the last one first."""
    found = ExchangeDays()
    for part in parts:
        found += part
    return found


@cache
def packaged() -> ExchangeDays:
    """Return what the library itself knows; read once."""
    assert __package__ is not None
    folder = resources.files(__package__).joinpath(_FOLDER)
    files = sorted((one for one in folder.iterdir() if one.name.endswith(".toml")), key=lambda one: one.name)
    return together(ExchangeDays.read(one.read_text("utf-8"), f"{_FOLDER}/{one.name}") for one in files)


def _known(where: str, table: Mapping[str, Any], names: frozenset[str]) -> None:
    unknown = sorted(table.keys() - names)
    if unknown:
        raise ValueError(f"{where}: {unknown} are no fields of it, expected of {sorted(names)}")


def _tables(where: str, document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError(f"{where}: {name} is no list of tables: write [[{name}]]")
    return found


def _names(where: str, table: Mapping[str, Any], usual: tuple[str, ...]) -> tuple[str, ...]:
    found = table.get("exchanges", list(usual))
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"{where}: exchanges is {found!r}, expected a list of names")
    strangers = sorted(set(found) - set(usual)) if usual else []
    if strangers:
        raise ValueError(f"{where}: exchanges has {strangers}, expected of {sorted(usual)}")
    return tuple(found)


def _date(where: str, row: Mapping[str, Any], name: str) -> date:
    found = row.get(name)
    if type(found) is not date:
        raise ValueError(f"{where}: {name} is {found!r}, expected a date like 2026-01-26")
    return found


def _time(where: str, found: object, name: str) -> time:
    if type(found) is not time:
        raise ValueError(f"{where}: {name} is {found!r}, expected a time like 09:15:00")
    return found


def _hours(where: str, row: Mapping[str, Any]) -> DatedHours:
    _known(where, row, _HOURS)
    opens, closes = (_time(where, row.get(name), name) for name in ("opens", "closes"))
    auction = _time(where, row["auction"], "auction") if "auction" in row else None
    if auction is not None and not opens < auction < closes:
        raise ValueError(f"{where}: auction is {auction}, expected one between {opens} and {closes}")
    since, until = (_date(where, row, name) if name in row else None for name in ("since", "until"))
    return DatedHours(Stretch(opens, closes, auction), since, until)


def _day(where: str, row: Mapping[str, Any], source: str) -> DayRow:
    _known(where, row, _DAY)
    sessions, unknown = row.get("sessions", []), row.get("unknown", False)
    if not row.get("name"):
        raise ValueError(f"{where}: name is missing")
    if unknown and sessions:
        raise ValueError(f"{where}: it has sessions and is unknown")
    stretches = []
    for one in sessions:
        if not isinstance(one, list) or len(one) != 2:
            raise ValueError(f"{where}: sessions has {one!r}, expected [opens, closes]")
        stretches.append(Stretch(_time(where, one[0], "opens"), _time(where, one[1], "closes")))
    state: DayState = "unknown" if unknown else "open" if stretches else "closed"
    return DayRow(state, tuple(stretches), str(row["name"]), str(row.get("source", source)))
