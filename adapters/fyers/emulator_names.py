"""How the broker names what the venue lists: symbols, tokens, topics, the symbol masters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any, Final

from dragoman.emulator.parts import (
    COUNTED_IN_LOTS,
    As,
    Form,
    Listed,
    Listing,
    ListingName,
    Or,
    Table,
    exchange_symbol,
    kind_word,
    last_expiries,
    num,
    write,
)
from dragoman.plugin.values import IST, moment_ns

from . import words
from .emulator_words import FyersError
from .master import FILES

CODE: Final = {venue: code for code, venue in words.VENUE.items()}
FILE: Final = dict(zip(("NSE", "NFO", "CDS", "NCO", "BSE", "BFO", "MCX"), FILES, strict=True))
_EXCHANGE: Final = {"10": "NSE", "12": "BSE", "11": "MCX"}
_TYPES: Final = {"FUT": 11, "CE": 14, "PE": 14}


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
        return FyersError.found(self.by_key.get(str(symbol)), "-300", "Please provide valid symbol")

    def of(self, form: Form) -> Named:
        return self.named(form.text("symbol"))

    def index_names(self) -> dict[str, str]:
        return {one.key: one.index_name for one in self.all if one.is_index}

    def master(self, name: str) -> dict[str, Any]:
        """Return one symbol master. Raises FyersError for a name that is none."""
        rows = {one.key: master_row(one) for one in self.all if FILE.get(one.exchange) == name}
        return FyersError.found(rows if name in FILES else None, *FyersError.gates[404], 404)


MASTER: Final[Table] = {
    "fyToken": ".fy_token",
    "isin": Or(".instrument.isin", ""),
    "exSymbol": ".root",
    "symTicker": ".key",
    "exchange": As(".code", lambda code: int(code[:2])),
    "segment": As(".code", lambda code: int(code[2:])),
    "exToken": As(".instrument.exchange_token", int),
    "underSym": ".root",
    "underFyTok": "",
    "minLotSize": As(".instrument.lot_size", int),
    "tickSize": As(".instrument.tick_size", float),
    "expiryDate": As(".instrument.expiry", lambda day: "" if day is None else str(_closes(day))),
    "strikePrice": As(".instrument.strike", lambda strike: -1.0 if strike is None else num(strike)),
    "qtyFreeze": As(".instrument.freeze_quantity", lambda most: str(int(most or 0) or "")),
    "tradeStatus": 1,
    "currencyCode": "INR",
    "qtyMultiplier": 1.0,
}


def master_row(named: Named) -> dict[str, Any]:
    kind, cash = kind_word(named.instrument, "XX"), named.instrument.expiry is None
    return write(MASTER, named) | {
        "symDetails": named.symbol if named.is_index else named.instrument.name,
        "exSeries": (named.instrument.series or "EQ") if cash else "XX",
        "optType": kind if kind in ("CE", "PE") else "XX",
        "exInstType": 10 if named.is_index else _TYPES.get(kind, 0),
    }


def _closes(expiry: date) -> int:
    return moment_ns(datetime.combine(expiry, time(15, 30), IST)) // 1_000_000_000


def _token(listing: Listing) -> str:
    instrument = listing.instrument
    expiry = f"{instrument.expiry:%y%m%d}" if instrument.expiry else "000000"
    return f"{CODE[instrument.exchange]}{expiry}{instrument.exchange_token}"


def _symbol(listing: Listing, last: Mapping[Any, date]) -> str:
    instrument, named = listing.instrument, ListingName(listing, 0, "")
    if named.is_index:
        return f"{named.root.replace(' ', '')}-INDEX"
    if instrument.expiry is not None:
        return exchange_symbol(instrument, last)
    return f"{named.root}-{'A' if instrument.exchange == 'BSE' else instrument.series or 'EQ'}"
