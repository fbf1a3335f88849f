"""How the broker names what the venue lists: tokens, trading symbols, the instrument dump, lots.

References
----------
Instrument dump of the official mock responses; trading symbols as its derivatives show them: ``NIFTY2580724400CE``
(weekly) and ``BANKNIFTY18JAN23500CE`` (the last expiry of its month).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

from dragoman.emulator.forms import FieldError, Form
from dragoman.emulator.listed import Listed, ListingName, Month, csv_bytes, last_expiries, month_of
from dragoman.emulator.venue.types import Listing
from dragoman.plugin import model

from .master import COLUMNS

SEGMENT_CODE: Final = {"NSE": 1, "NFO": 2, "CDS": 3, "BSE": 4, "BFO": 5, "BCD": 6, "MCX": 7}
INDEX_CODE: Final = 9
COUNTED_IN_LOTS: Final = frozenset(("CDS", "BCD", "MCX"))
"""Exchanges whose quantities are lots on this broker's wire (unverified), in orders, trades, positions and ticks."""

_MONTHS: Final = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_WEEKLY_MONTH: Final = "123456789OND"
_RIGHT: Final = {model.OptionType.CALL: "CE", model.OptionType.PUT: "PE"}


class Named(ListingName):
    """A listing under the broker's names; `symbol` is its trading symbol."""

    @property
    def decimals(self) -> int:
        """Digits of an average price."""
        return 4 if self.exchange in ("CDS", "BCD") else 2


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
                _symbol(listing.instrument, last),
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
    derivative = instrument.expiry is not None
    kind = "EQ"
    if derivative:
        kind = _RIGHT[instrument.option_type] if instrument.option_type else "FUT"
    segment = named.exchange
    if named.is_index:
        segment = "INDICES"
    elif derivative:
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


def _symbol(instrument: model.Instrument, last: Mapping[Month, date]) -> str:
    ident = model.CanonicalId.parse(instrument.instrument_id)
    expiry = instrument.expiry
    if expiry is None:
        return f"{ident.symbol}-{ident.series}" if ident.series else ident.symbol
    if last[month_of(instrument)] == expiry:
        when = f"{expiry:%y}{_MONTHS[expiry.month - 1]}"
    else:
        when = f"{expiry:%y}{_WEEKLY_MONTH[expiry.month - 1]}{expiry:%d}"
    if instrument.option_type is None or instrument.strike is None:
        return f"{ident.symbol}{when}FUT"
    return f"{ident.symbol}{when}{model.ids.strike_text(instrument.strike)}{_RIGHT[instrument.option_type]}"
