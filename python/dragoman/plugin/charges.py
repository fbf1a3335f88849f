"""A broker's charges as data: rates by segment, each with its source and the day it was read.

A table is a TOML file beside the adapter, ``charges.toml``: one ``[[charge]]`` per row. Of the rows with one `charge`
the first that fits a trade counts, so the narrow ones stand first.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib import resources
from typing import Any, Literal, get_args

from dragoman.model import Instrument, InstrumentType, Liquidity, Product, Side

Charge = Literal["brokerage", "transaction_tax", "exchange_fee", "regulator_fee", "stamp_duty", "gst"]
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRow:
    """One rate. What an order pays is ``rate x turnover + per_unit x units + per_order``, `at_most` that.

    Attributes
    ----------
    charge : str
        Which of the parts of `Charges` it is.
    name : str
        What the broker or the law calls it.
    exchanges, types, products, sides, liquidity : frozenset
        Trades it is for; empty for all.
    on : frozenset of str
        Of a tax on other charges: `rate` is a fraction of these instead of the turnover.
    round_up : Decimal or None
        The order's charge is rounded up to a multiple of it.
    source : str
        Document, and whether it is verified.
    as_of : date
        When that was read.
    """

    charge: Charge
    source: str
    as_of: date
    name: str = ""
    rate: Decimal = ZERO
    per_unit: Decimal = ZERO
    per_order: Decimal = ZERO
    at_most: Decimal | None = None
    round_up: Decimal | None = None
    on: frozenset[str] = frozenset()
    exchanges: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    sides: frozenset[str] = frozenset()
    liquidity: frozenset[str] = frozenset()

    def fits(self, instrument: Instrument, product: Product, side: Side, liquidity: Liquidity) -> bool:
        """Whether it is for such a trade."""
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
    """All rates of a broker, in order of trial. `currency` is "" where it is the instrument's own."""

    rows: tuple[ChargeRow, ...]
    currency: str

    @classmethod
    def load(cls, package: str, name: str = "charges.toml") -> ChargesTable:
        """Read the table that lies beside an adapter.

        Raises
        ------
        ValueError
            Names the row and the field that is wrong.
        """
        document = tomllib.loads(resources.files(package).joinpath(name).read_text("utf-8"))
        rows = (_row(f"{package}: {name}: charge {at}", dict(row)) for at, row in enumerate(document["charge"], 1))
        return cls(tuple(rows), str(document["currency"]))

    def rows_for(
        self, instrument: Instrument, product: Product, side: Side, liquidity: Liquidity = Liquidity.NONE
    ) -> dict[Charge, ChargeRow]:
        """Return what a trade pays, by charge."""
        found: dict[Charge, ChargeRow] = {}
        for row in self.rows:
            if row.charge not in found and row.fits(instrument, product, side, liquidity):
                found[row.charge] = row
        return found


_NUMBERS = ("rate", "per_unit", "per_order", "at_most", "round_up")
_WORDS: dict[str, frozenset[str]] = {
    "on": frozenset(get_args(Charge)),
    "exchanges": frozenset(),
    "types": frozenset(InstrumentType),
    "products": frozenset(Product),
    "sides": frozenset(Side),
    "liquidity": frozenset(Liquidity),
}
_TEXTS = ("charge", "source", "as_of", "name")


def _row(where: str, given: dict[str, Any]) -> ChargeRow:
    unknown = given.keys() - {*_NUMBERS, *_WORDS, *_TEXTS}
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
    if type(given["as_of"]) is not date:
        raise ValueError(f"{where}: as_of is {given['as_of']!r}, expected a date")
    return ChargeRow(**given)
