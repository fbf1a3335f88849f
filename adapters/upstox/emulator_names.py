"""How the broker names what the venue lists: instrument keys, trading symbols, the instrument file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from datetime import datetime, time
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.parts import Form, Listed, Listing, ListingName, kind_word, num
from dragoman.plugin.records import IST, moment_ns

from . import words
from .emulator_words import UpstoxError

SEGMENTS: Final = {venue: segment for segment, venue in reversed(words.SEGMENT.items()) if "INDEX" not in segment}
COUNTED_IN_LOTS: Final = frozenset(("CDS", "BCD", "MCX"))
"""Exchanges whose quantities are lots on this broker's wire (unverified)."""
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
    def book_symbol(self) -> str:
        """The trading symbol as order and trade records carry it: of shares with their series."""
        return f"{self.symbol}-EQ" if self.segment == "NSE_EQ" and self.instrument.series == "EQ" else self.symbol


class NameTable(Listed[Named]):
    """Everything on the venue that this broker offers."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        offered = [listing for listing in listings if listing.instrument.exchange in SEGMENTS]
        super().__init__(
            Named(one, _token(one), _symbol(one), one.instrument.exchange in COUNTED_IN_LOTS) for one in offered
        )

    def of(self, form: Form, field: str = "instrument_token") -> Named:
        """Return the instrument a request names."""
        found = self.by_key.get(form.text(field))
        if found is None:
            raise UpstoxError("UDAPI100011", "Invalid Instrument key", path=field, value=form.get(field))
        return found

    def asked_for(self, form: Form, most: int) -> list[Named]:
        """Return what a comma-separated list of keys names, those unknown left out."""
        keys = (form.get("instrument_key") or form.text("symbol")).split(",")
        UpstoxError.when(
            len(keys) > most, "UDAPI100042", f"Maximum {most} instrument keys are allowed", path="instrument_key"
        )
        found = [self.by_key[key] for key in keys if key in self.by_key]
        UpstoxError.when(
            not found, "UDAPI1087", "One of either symbol or instrument_key is invalid", path="instrument_key"
        )
        return found

    def file(self) -> bytes:
        """Return the instrument file, gzipped."""
        return gzip.compress(json.dumps([file_row(named) for named in self.all]).encode(), mtime=0)


def file_row(named: Named) -> dict[str, Any]:
    """Write one instrument: ticks in paise, strikes in rupees, expiries in epoch milliseconds."""
    instrument = named.instrument
    kind = "INDEX" if named.is_index else kind_word(instrument, instrument.series or ("A" if not named.lots else ""))
    row: dict[str, Any] = {
        "segment": named.segment,
        "name": instrument.name,
        "exchange": "MCX" if named.exchange == "MCX" else "BSE" if named.exchange[0] == "B" else "NSE",
        "instrument_type": kind,
        "instrument_key": named.key,
        "exchange_token": instrument.exchange_token,
        "trading_symbol": named.symbol,
    }
    if named.is_index:
        return row
    row |= {
        "lot_size": int(instrument.lot_size),
        "tick_size": float(instrument.tick_size * 100),
        "freeze_quantity": float(instrument.freeze_quantity or 0),
        "qty_multiplier": 1.0,
    }
    if instrument.expiry is None:
        return row | {"isin": instrument.isin, "short_name": instrument.name.title(), "security_type": "NORMAL"}
    row |= {
        "expiry": moment_ns(datetime.combine(instrument.expiry, _EXPIRES, IST)) // 1_000_000,
        "underlying_symbol": named.root,
        "asset_symbol": named.root,
        "minimum_lot": int(instrument.lot_size),
        "weekly": False,
    }
    return row | ({"strike_price": num(instrument.strike)} if instrument.strike is not None else {})


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
