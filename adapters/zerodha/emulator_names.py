"""How the broker names what the venue lists: tokens, trading symbols, the instrument dump, lots.

References
----------
Instrument dump of the official mock responses; trading symbols as its derivatives show them: ``NIFTY2580724400CE``
(weekly) and ``BANKNIFTY18JAN23500CE`` (the last expiry of its month).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Final

from dragoman.emulator.forms import FieldError, Form
from dragoman.emulator.listed import Listed, Month, csv_bytes, last_expiries, month_of
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


@dataclass(frozen=True)
class Named:
    """A listing under the broker's names."""

    listing: Listing
    token: int
    tradingsymbol: str

    @property
    def instrument_id(self) -> str:
        return self.listing.instrument.instrument_id

    @property
    def exchange(self) -> str:
        return self.listing.instrument.exchange

    @property
    def key(self) -> str:
        """``EXCHANGE:TRADINGSYMBOL``, as quotes ask for it."""
        return f"{self.exchange}:{self.tradingsymbol}"

    @property
    def is_index(self) -> bool:
        return self.listing.instrument.instrument_type is model.InstrumentType.INDEX

    @property
    def decimals(self) -> int:
        """Digits of an average price."""
        return 4 if self.exchange in ("CDS", "BCD") else 2

    @cached_property
    def unit(self) -> Decimal:
        """Units of the thing priced in one of what the wire counts."""
        return self.listing.instrument.lot_size if self.exchange in COUNTED_IN_LOTS else Decimal(1)

    @cached_property
    def multiplier(self) -> Decimal:
        """What positions report beside a quantity in wire units: money = price x quantity x this."""
        return self.unit * self.listing.instrument.multiplier

    def wire_quantity(self, units: Decimal) -> int:
        """Return a venue quantity as the wire counts it."""
        return int(units / self.unit)

    def units(self, wire: int) -> Decimal:
        """Return a wire quantity as the venue counts it."""
        return wire * self.unit


class NameTable(Listed[Named]):
    """Everything on the venue that this broker offers, by token and by ``EXCHANGE:TRADINGSYMBOL``.

    Quotes also take instrument tokens (unverified at the broker).
    """

    def __init__(self, listings: Iterable[Listing]) -> None:
        offered = [listing for listing in listings if listing.instrument.exchange in SEGMENT_CODE]
        last = last_expiries(listing.instrument for listing in offered)
        super().__init__(
            Named(listing, _token(listing.instrument), _symbol(listing.instrument, last)) for listing in offered
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
    instrument, listing = named.listing.instrument, named.listing
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
        named.tradingsymbol,
        _root(instrument) if derivative else instrument.name,
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
        return f"{_root(instrument)}{when}FUT"
    return f"{_root(instrument)}{when}{model.ids.strike_text(instrument.strike)}{_RIGHT[instrument.option_type]}"


def _root(instrument: model.Instrument) -> str:
    return model.CanonicalId.parse(instrument.instrument_id).symbol
