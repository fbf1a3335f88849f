"""How the broker names what the venue lists: instrument keys, trading symbols, the instrument file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from datetime import datetime, time
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    COUNTED_IN_LOTS,
    As,
    Form,
    Listed,
    Listing,
    ListingName,
    Table,
    kind_word,
    num,
    write,
)
from dragoman.plugin.values import IST, moment_ns

from . import words
from .emulator_words import UpstoxError

SEGMENTS: Final = {venue: segment for segment, venue in reversed(words.SEGMENT.items()) if "INDEX" not in segment}
_CODE: Final = {venue: code for code, venue in enumerate(SEGMENTS, 1)}
_EXPIRES: Final = time(23, 59, 59)


class Named(ListingName):
    """A listing under the broker's names; `symbol` is its trading symbol, `key` its instrument key."""

    @property
    def segment(self) -> str:
        return f"{self.exchange}_INDEX" if self.is_index else SEGMENTS[self.exchange]

    @property
    def key(self) -> str:
        instrument = self.instrument
        name = instrument.name.title() if self.is_index else instrument.isin or instrument.exchange_token
        return f"{self.segment}|{name}"

    @property
    def book_exchange(self) -> str:
        """The exchange as records name it."""
        return "NSCOM" if self.segment == "NSE_COM" else self.exchange

    @property
    def book_symbol(self) -> str:
        """The trading symbol as order and trade records carry it: of shares with their series."""
        return f"{self.symbol}-EQ" if self.segment == "NSE_EQ" and self.instrument.series == "EQ" else self.symbol


class NameTable(Listed[Named]):
    """Everything on the venue that this broker offers."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        super().__init__(
            Named(one, _token(one), _symbol(one), one.instrument.exchange in COUNTED_IN_LOTS)
            for one in listings
            if one.instrument.exchange in SEGMENTS
        )

    def of(self, form: Form, field: str = "instrument_token") -> Named:
        """Return the instrument a request names."""
        named = self.by_key.get(form.text(field))
        return UpstoxError.found(named, "UDAPI100011", "Invalid Instrument key", path=field, value=form.get(field))

    def asked_for(self, form: Form, most: int) -> list[Named]:
        """Return what a comma-separated list of keys names, those unknown left out."""
        keys, path = (form.get("instrument_key") or form.text("symbol")).split(","), "instrument_key"
        UpstoxError.when(len(keys) > most, "UDAPI100042", f"Maximum {most} instrument keys are allowed", path=path)
        found = [self.by_key[key] for key in keys if key in self.by_key]
        UpstoxError.when(not found, "UDAPI1087", "One of either symbol or instrument_key is invalid", path=path)
        return found

    def file(self) -> bytes:
        """Return the instrument file, gzipped."""
        return gzip.compress(json.dumps([file_row(named) for named in self.all]).encode(), mtime=0)


# Ticks are in paise, strikes in rupees, expiries in epoch milliseconds.
INDEX: Final[Table] = {
    "segment": ".segment",
    "name": ".instrument.name",
    "exchange": As(".exchange", lambda name: "MCX" if name == "MCX" else "BSE" if name[0] == "B" else "NSE"),
    "instrument_key": ".key",
    "exchange_token": ".instrument.exchange_token",
    "trading_symbol": ".symbol",
}
TRADED: Final[Table] = INDEX | {
    "lot_size": As(".instrument.lot_size", int),
    "tick_size": As(".instrument.tick_size", lambda tick: float(tick * 100)),
    "freeze_quantity": As(".instrument.freeze_quantity", lambda most: float(most or 0)),
    "qty_multiplier": 1.0,
}
SHARE: Final[Table] = TRADED | {
    "isin": ".instrument.isin",
    "short_name": As(".instrument.name", str.title),
    "security_type": "NORMAL",
}
FUTURE: Final[Table] = TRADED | {
    "expiry": As(".instrument.expiry", lambda day: moment_ns(datetime.combine(day, _EXPIRES, IST)) // 1_000_000),
    "underlying_symbol": ".root",
    "asset_symbol": ".root",
    "minimum_lot": As(".instrument.lot_size", int),
    "weekly": False,
}
OPTION: Final[Table] = FUTURE | {"strike_price": ".instrument.strike"}


def file_row(named: Named) -> dict[str, Any]:
    """Write one instrument of the file."""
    if named.is_index:
        return write(INDEX, named) | {"instrument_type": "INDEX"}
    instrument = named.instrument
    kind = {"instrument_type": kind_word(instrument, instrument.series or ("" if named.lots else "A"))}
    if instrument.expiry is None:
        return write(SHARE, named) | kind
    return write(FUTURE if instrument.strike is None else OPTION, named) | kind


def _token(listing: Listing) -> int:
    instrument = listing.instrument
    return int(instrument.exchange_token) << 8 | (_CODE[instrument.exchange] + (0 if instrument.tradable else 128))


def _symbol(listing: Listing) -> str:
    """Name an instrument: ``NIFTY 24800 CE 24 DEC 26``, shares of another series with it (``IDEA-BE``, unverified)."""
    instrument, named = listing.instrument, ListingName(listing, 0, "")
    if instrument.expiry is None:
        series = instrument.series or "EQ"
        return named.root if series == "EQ" else f"{named.root}-{series}"
    strike = "" if instrument.strike is None else f" {num(Decimal(instrument.strike))}"
    return f"{named.root}{strike} {kind_word(instrument)} {instrument.expiry:%d %b %y}".upper()
