"""A broker's charges as data: rates by segment and day, each with its source and the day that one was read.

A table is a TOML file beside the adapter, ``charges.toml``: one ``[[charge]]`` per row. Of the rows with one `charge`
the first that fits a trade counts, so the narrow ones stand first. What every broker of a country passes on alike
(taxes, exchanges' fees) stands once, in a table of this package that others name under ``include``: their own rows are
tried first.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from typing import Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

from dragoman.model import Instrument, InstrumentType, Liquidity, Product, Side

Charge = Literal[
    "brokerage",
    "transaction_tax",
    "exchange_fee",
    "protection_fund",
    "clearing_fee",
    "regulator_fee",
    "stamp_duty",
    "depository_fee",
    "gst",
]
ZERO: Final = Decimal(0)
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRow:
    """One rate. What an order pays is ``rate x turnover + per_unit x units + per_order``, `at_most` that.

    Attributes
    ----------
    charge : str
        What it is. Notes and calculators show `protection_fund` and `clearing_fee` within the exchange's fee.
    name : str
        What the broker or the law calls it.
    exchanges, types, products, sides, liquidity : frozenset
        Trades it is for; empty for all.
    on : frozenset of str
        Of a tax on other charges: `rate` is a fraction of these instead of the turnover.
    round_up : Decimal or None
        The order's charge is rounded up to a multiple of it.
    per_debit : Decimal
        Once, however many orders it took, for an instrument of which more units were sold than bought that day.
    since, until : date or None
        First and last day on which it is in force, both included.
    source : str
        Document of whoever charges it.
    as_of : date
        When that was read.
    unverified : str
        What of it no document confirms; empty where one does.
    """

    charge: Charge
    source: str
    as_of: date
    unverified: str = ""
    name: str = ""
    rate: Decimal = ZERO
    per_unit: Decimal = ZERO
    per_order: Decimal = ZERO
    per_debit: Decimal = ZERO
    at_most: Decimal | None = None
    round_up: Decimal | None = None
    on: frozenset[str] = frozenset()
    exchanges: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    sides: frozenset[str] = frozenset()
    liquidity: frozenset[str] = frozenset()
    since: date | None = None
    until: date | None = None

    def fits(self, instrument: Instrument, product: Product, side: Side, liquidity: Liquidity, day: date) -> bool:
        """Whether it is for such a trade on that day."""
        if (self.since is not None and day < self.since) or (self.until is not None and day > self.until):
            return False
        pairs: tuple[tuple[frozenset[str], str], ...] = (
            (self.exchanges, instrument.exchange),
            (self.types, instrument.instrument_type),
            (self.products, product),
            (self.sides, side),
            (self.liquidity, liquidity),
        )
        return all(not allowed or value in allowed for allowed, value in pairs)


@dataclass(frozen=True, slots=True)
class ChargesTable:
    """All rates of a broker, in order of trial.

    Attributes
    ----------
    rows : tuple of ChargeRow
    currency : str
        "" where it is the instrument's own.
    time_zone : str
        By which a trade has its day.
    needs : frozenset of str
        Charges without a row for which what a trade costs is not known.
    """

    rows: tuple[ChargeRow, ...]
    currency: str
    time_zone: str = "UTC"
    needs: frozenset[str] = field(default=frozenset())

    @classmethod
    def load(cls, package: str, name: str = "charges.toml") -> ChargesTable:
        """Read the table that lies beside an adapter.

        Raises
        ------
        ValueError
            Names the row and the field that is wrong.
        """
        document = _document(package, name)
        rows = _rows(package, name, document)
        needs = frozenset(document.get("needs", ()))
        for included in document.get("include", ()):
            shared = _document(__package__, included)
            rows += _rows(__package__, included, shared)
            needs |= frozenset(shared.get("needs", ()))
        if needs - frozenset(get_args(Charge)):
            raise ValueError(f"{package}: {name}: needs has {sorted(needs)}, expected of {get_args(Charge)}")
        return cls(rows, str(document["currency"]), str(document.get("time_zone", "UTC")), needs)

    @property
    def as_of(self) -> date:
        """The day the newest of its sources was read."""
        return max(row.as_of for row in self.rows)

    def day(self, ts: int | None) -> date:
        """Return on which day a time (ns UTC) is; None is the day the table was read."""
        return self.as_of if ts is None else _day(ts // _NS, self.time_zone)

    def rows_for(
        self,
        instrument: Instrument,
        product: Product,
        side: Side,
        liquidity: Liquidity = Liquidity.NONE,
        day: date | None = None,
    ) -> dict[Charge, ChargeRow]:
        """Return what a trade of that day pays, by charge; empty where the table lacks a charge that it needs.

        Parameters
        ----------
        day : date, optional
            None is the day the table was read.
        """
        found: dict[Charge, ChargeRow] = {}
        when = self.as_of if day is None else day
        for row in self.rows:
            if row.charge not in found and row.fits(instrument, product, side, liquidity, when):
                found[row.charge] = row
        return {} if self.needs - found.keys() else found


@lru_cache(maxsize=64)
def _day(second: int, zone: str) -> date:
    return datetime.fromtimestamp(second, UTC).astimezone(ZoneInfo(zone)).date()


def _document(package: str | None, name: str) -> dict[str, Any]:
    assert package is not None  # an adapter's own, or this one
    return tomllib.loads(resources.files(package).joinpath(name).read_text("utf-8"))


def _rows(package: str | None, name: str, document: dict[str, Any]) -> tuple[ChargeRow, ...]:
    rows = enumerate(document.get("charge", ()), 1)
    return tuple(_row(f"{package}: {name}: charge {at}", dict(row)) for at, row in rows)


_NUMBERS = ("rate", "per_unit", "per_order", "per_debit", "at_most", "round_up")
_DAYS = ("as_of", "since", "until")
_WORDS: dict[str, frozenset[str]] = {
    "on": frozenset(get_args(Charge)),
    "exchanges": frozenset(),
    "types": frozenset(InstrumentType),
    "products": frozenset(Product),
    "sides": frozenset(Side),
    "liquidity": frozenset(Liquidity),
}
_TEXTS = ("charge", "source", "name", "unverified")


def _row(where: str, given: dict[str, Any]) -> ChargeRow:
    unknown = given.keys() - {*_NUMBERS, *_WORDS, *_TEXTS, *_DAYS}
    if unknown:
        raise ValueError(f"{where}: {sorted(unknown)} are no fields of a charge")
    for name in ("charge", "source", "as_of"):
        if not given.get(name):
            raise ValueError(f"{where}: {name} is missing")
    if given["charge"] not in get_args(Charge):
        raise ValueError(f"{where}: charge {given['charge']!r} is none of {get_args(Charge)}")
    for name in _NUMBERS:
        if name in given:
            if not isinstance(given[name], str):
                raise ValueError(f"{where}: {name} is {given[name]!r}, expected a number in quotes, which stays exact")
            given[name] = Decimal(given[name])
    for name, words in _WORDS.items():
        if name in given:
            given[name] = frozenset(given[name])
            if words and given[name] - words:
                raise ValueError(f"{where}: {name} has {sorted(given[name] - words)}, expected of {sorted(words)}")
    for name in _DAYS:
        if name in given and type(given[name]) is not date:
            raise ValueError(f"{where}: {name} is {given[name]!r}, expected a date")
    return ChargeRow(**given)
