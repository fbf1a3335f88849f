"""How the broker names what the venue lists: symbols, tokens, topics, the symbol masters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any, Final

from dragoman.emulator.parts import Listed, Listing, ListingName, exchange_symbol, kind_word, last_expiries, num
from dragoman.plugin.records import IST, moment_ns

from . import words
from .emulator_words import FyersError
from .master import FILES

CODE: Final = {venue: code for code, venue in words.VENUE.items()}
COUNTED_IN_LOTS: Final = frozenset(("CDS", "BCD", "MCX", "NCO"))
"""Exchanges whose quantities are lots on this broker's wire (unverified)."""
FILE: Final = dict(zip(("NSE", "NFO", "CDS", "NCO", "BSE", "BFO", "MCX"), FILES, strict=True))
_EXCHANGE: Final = {"10": "NSE", "12": "BSE", "11": "MCX"}
_TYPES: Final = {"FUT": 11, "CE": 14, "PE": 14}
_CLOSES: Final = time(15, 30)


class Named(ListingName):
    """A listing under the broker's names; `symbol` is what follows the exchange in its key."""

    @property
    def code(self) -> str:
        """Exchange and segment, two digits each."""
        return CODE[self.exchange]

    @property
    def key(self) -> str:
        return f"{_EXCHANGE[self.code[:2]]}:{self.symbol}"

    @property
    def fy_token(self) -> str:
        return str(self.token)

    @property
    def index_name(self) -> str:
        """The name of an index in the market feed."""
        return self.root.title()

    @property
    def topic(self) -> str:
        """What follows the kind in the name of a topic."""
        name = self.index_name if self.is_index else self.instrument.exchange_token
        return f"{words.HSM_SEGMENT[self.code]}|{name}"

    @property
    def precision(self) -> int:
        return 4 if self.exchange in ("CDS", "BCD") else 2


class NameTable(Listed[Named]):
    """Everything on the venue that this broker offers."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        offered = [one for one in listings if one.instrument.exchange in CODE]
        last = last_expiries(one.instrument for one in offered)
        super().__init__(
            Named(one, int(_token(one)), _symbol(one, last), one.instrument.exchange in COUNTED_IN_LOTS)
            for one in offered
        )
        self.by_topic: Mapping[str, Named] = {named.topic: named for named in self.all}

    def named(self, symbol: object) -> Named:
        """Return what a symbol names. Raises FyersError."""
        found = self.by_key.get(str(symbol))
        if found is None:
            raise FyersError("-300", "Please provide valid symbol")
        return found

    def index_names(self) -> bytes:
        return json.dumps({one.key: one.index_name for one in self.all if one.is_index}).encode()

    def master(self, name: str) -> bytes:
        """Return one symbol master. Raises LookupError for a name that is none."""
        if name not in FILES:
            raise LookupError(name)
        rows = {one.key: master_row(one) for one in self.all if FILE.get(one.exchange) == name}
        return json.dumps(rows).encode()


def master_row(named: Named) -> dict[str, Any]:
    instrument = named.instrument
    kind = kind_word(instrument, "XX")
    expiry = instrument.expiry
    return {
        "fyToken": named.fy_token,
        "isin": instrument.isin or "",
        "exSymbol": named.root,
        "symDetails": named.symbol if named.is_index else instrument.name,
        "symTicker": named.key,
        "exchange": int(named.code[:2]),
        "segment": int(named.code[2:]),
        "exToken": int(instrument.exchange_token),
        "exSeries": (instrument.series or "EQ") if expiry is None else "XX",
        "optType": kind if kind in ("CE", "PE") else "XX",
        "underSym": named.root,
        "underFyTok": "",
        "exInstType": 10 if named.is_index else _TYPES.get(kind, 0),
        "minLotSize": int(instrument.lot_size),
        "tickSize": float(instrument.tick_size),
        "expiryDate": "" if expiry is None else str(_closes(expiry)),
        "strikePrice": -1.0 if instrument.strike is None else num(instrument.strike),
        "qtyFreeze": str(int(instrument.freeze_quantity or 0) or ""),
        "tradeStatus": 1,
        "currencyCode": "INR",
        "qtyMultiplier": 1.0,
    }


def _closes(expiry: date) -> int:
    return moment_ns(datetime.combine(expiry, _CLOSES, IST)) // 1_000_000_000


def _token(listing: Listing) -> str:
    instrument = listing.instrument
    expiry = "000000" if instrument.expiry is None else f"{instrument.expiry:%y%m%d}"
    return f"{CODE[instrument.exchange]}{expiry}{instrument.exchange_token}"


def _symbol(listing: Listing, last: Mapping[Any, date]) -> str:
    instrument, named = listing.instrument, ListingName(listing, 0, "")
    if named.is_index:
        return f"{named.root.replace(' ', '')}-INDEX"
    if instrument.expiry is not None:
        return exchange_symbol(instrument, last)
    return f"{named.root}-{'A' if instrument.exchange == 'BSE' else instrument.series or 'EQ'}"
