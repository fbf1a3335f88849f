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
    FieldError,
    Form,
    Listed,
    Listing,
    ListingName,
    csv_bytes,
    exchange_symbol,
    kind_word,
    last_expiries,
)
from dragoman.plugin import model

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
        """Return the instrument a form names. Raises FieldError."""
        exchange, symbol = form.choice("exchange", SEGMENT_CODE), form.text("tradingsymbol")
        if (found := self.by_key.get(f"{exchange}:{symbol}")) is None:
            raise FieldError(f"The instrument `{symbol}` has either expired or does not exist.")
        return found

    def csv(self, exchange: str | None = None) -> bytes:
        """Return the instrument dump, of one exchange or of all."""
        return csv_bytes(COLUMNS, (_row(named) for named in self.all if exchange in (None, named.exchange)))


def _row(named: Named) -> tuple[object, ...]:
    instrument, listing = named.instrument, named.listing
    derivative, kind = instrument.expiry is not None, kind_word(instrument)
    segment = "INDICES" if named.is_index else named.exchange
    if derivative:
        segment = f"{named.exchange}-{'FUT' if kind == 'FUT' else 'OPT'}"
    return (
        named.token,
        named.token >> 8,
        named.symbol,
        named.root if derivative else instrument.name,
        float(listing.reference) if derivative else 0.0,  # not live, and absent for cash
        instrument.expiry.isoformat() if instrument.expiry else "",
        float(instrument.strike or 0),
        float(instrument.tick_size),
        int(instrument.lot_size),
        kind,
        segment,
        named.exchange,
    )


def _token(instrument: model.Instrument) -> int:
    code = INDEX_CODE if instrument.instrument_type is model.InstrumentType.INDEX else SEGMENT_CODE[instrument.exchange]
    return int(instrument.exchange_token) << 8 | code
