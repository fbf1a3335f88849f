"""How the broker names what the venue lists: tokens, trading symbols, the instrument dump, lots.

References
----------
Instrument dump of the official mock responses; trading symbols as its derivatives show them: ``NIFTY2580724400CE``
(weekly) and ``BANKNIFTY18JAN23500CE`` (the last expiry of its month).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dragoman.emulator.parts import (
    COUNTED_IN_LOTS,
    As,
    Form,
    Listed,
    Listing,
    ListingName,
    Table,
    csv_bytes,
    exchange_symbol,
    kind_word,
    last_expiries,
    write,
)
from dragoman.plugin import model

from .emulator_words import KiteError
from .master import COLUMNS

SEGMENT_CODE: Final = {"NSE": 1, "NFO": 2, "CDS": 3, "BSE": 4, "BFO": 5, "BCD": 6, "MCX": 7}
INDEX_CODE: Final = 9
Named = ListingName


class NameTable(Listed[Named]):
    """Everything on the venue that this broker offers, by token and by ``EXCHANGE:TRADINGSYMBOL``.

    Quotes also take instrument tokens (unverified at the broker).
    """

    def __init__(self, listings: Iterable[Listing]) -> None:
        offered = [listing for listing in listings if listing.instrument.exchange in SEGMENT_CODE]
        last = last_expiries(listing.instrument for listing in offered)
        super().__init__(
            Named(
                listing,
                _token(listing.instrument),
                exchange_symbol(listing.instrument, last),
                # Lots on this broker's wire (unverified), in orders, trades, positions and ticks.
                listing.instrument.exchange in COUNTED_IN_LOTS,
            )
            for listing in offered
        )

    def of(self, form: Form) -> Named:
        """Return the instrument a form names. Raises FieldError and KiteError."""
        exchange, symbol = form.choice("exchange", SEGMENT_CODE), form.text("tradingsymbol")
        text = f"The instrument `{symbol}` has either expired or does not exist."
        return KiteError.found(self.by_key.get(f"{exchange}:{symbol}"), "InputException", text)

    def csv(self, exchange: str | None = None) -> bytes:
        """Return the instrument dump, of one exchange or of all."""
        rows = (write(DUMP, named) for named in self.all if exchange in (None, named.exchange))
        return csv_bytes(COLUMNS, ([row[name] for name in COLUMNS] for row in rows))


def _segment(named: Named) -> str:
    if named.instrument.expiry is None:
        return "INDICES" if named.is_index else named.exchange
    return f"{named.exchange}-{'OPT' if named.instrument.option_type else 'FUT'}"


DUMP: Final[Table] = {
    "instrument_token": ".token",
    "exchange_token": As(".token", lambda token: token >> 8),
    "tradingsymbol": ".symbol",
    "name": As(".", lambda named: named.root if named.instrument.expiry else named.instrument.name),
    # Not live, and absent for cash.
    "last_price": As(".", lambda named: float(named.listing.reference) if named.instrument.expiry else 0.0),
    "expiry": As(".instrument.expiry", lambda day: day.isoformat() if day else ""),
    "strike": As(".instrument.strike", lambda strike: float(strike or 0)),
    "tick_size": As(".instrument.tick_size", float),
    "lot_size": As(".instrument.lot_size", int),
    "instrument_type": As(".instrument", kind_word),
    "segment": As(".", _segment),
    "exchange": ".exchange",
}


def _token(instrument: model.Instrument) -> int:
    code = INDEX_CODE if instrument.instrument_type is model.InstrumentType.INDEX else SEGMENT_CODE[instrument.exchange]
    return int(instrument.exchange_token) << 8 | code
