"""What a broker offers of a venue's listings, found by its own names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from dragoman.emulator.contract import HttpCall
from dragoman.emulator.forms import FieldError, Form
from dragoman.emulator.venue.types import Listing
from dragoman.model import CanonicalId, Instrument, InstrumentType, OptionType
from dragoman.model.ids import strike_text

CURRENCIES = frozenset(("CDS", "BCD"))
"""Indian exchanges whose prices have four digits."""
COUNTED_IN_LOTS = CURRENCIES | {"MCX", "NCO"}
"""Indian exchanges whose quantities are lots on the wire of most brokers."""


class Named(Protocol):
    """A listing under a broker's names."""

    @property
    def token(self) -> int: ...

    @property
    def key(self) -> str: ...

    @property
    def instrument_id(self) -> str: ...


@dataclass(frozen=True)
class ListingName:
    """A listing under the names most brokers have: a number, and ``EXCHANGE:SYMBOL``.

    Attributes
    ----------
    lots : bool
        Whether the broker's wire counts its quantities in lots; the venue counts units of the thing priced.
    """

    listing: Listing
    token: int
    symbol: str
    lots: bool = False

    @property
    def instrument(self) -> Instrument:
        return self.listing.instrument

    @property
    def instrument_id(self) -> str:
        return self.instrument.instrument_id

    @property
    def exchange(self) -> str:
        return self.instrument.exchange

    @property
    def root(self) -> str:
        """The symbol of the thing itself, of a contract that of its underlying."""
        return CanonicalId.parse(self.instrument_id).symbol

    @property
    def key(self) -> str:
        return f"{self.exchange}:{self.symbol}"

    @property
    def is_index(self) -> bool:
        return self.instrument.instrument_type is InstrumentType.INDEX

    @cached_property
    def unit(self) -> Decimal:
        """Units of the thing priced in one of what the wire counts."""
        return self.instrument.lot_size if self.lots else Decimal(1)

    @property
    def decimals(self) -> int:
        """Digits of an average price."""
        return 4 if self.exchange in CURRENCIES else 2

    def wire_quantity(self, units: Decimal) -> int:
        """Return a venue quantity as the wire counts it."""
        return int(units / self.unit)

    def units(self, wire: int) -> Decimal:
        """Return a wire quantity as the venue counts it."""
        return wire * self.unit


NamedT = TypeVar("NamedT", bound=Named)
Month = tuple[str, str, int, int]


class Listed(Generic[NamedT]):
    """Everything offered, by token, by the key quotes ask for, and by canonical id.

    Raises
    ------
    ValueError
        Where two share a token or a key.
    """

    def __init__(self, items: Iterable[NamedT]) -> None:
        self.all: Sequence[NamedT] = tuple(items)
        self.by_token: Mapping[int, NamedT] = {named.token: named for named in self.all}
        self.by_key: Mapping[str, NamedT] = {named.key: named for named in self.all}
        self.by_id: Mapping[str, NamedT] = {named.instrument_id: named for named in self.all}
        if not len(self.by_token) == len(self.by_key) == len(self.all):
            raise ValueError("two listings of the venue share a token or a trading symbol")

    def asked(self, call: HttpCall, name: str, most: int) -> dict[str, NamedT]:
        """Return what a call's repeated query field names, those unknown left out.

        Raises
        ------
        FieldError
            Where it names none, or more than `most`.
        """
        keys = [value for field, value in call.query if field == name]
        if not keys:
            raise FieldError(f"Missing or empty field `{name}`")
        if len(keys) > most:
            raise FieldError(f"Only {most} instruments can be asked for at once.")
        return {key: named for key in keys if (named := self.find(key))}

    def of(self, form: Form) -> NamedT:
        """Return the instrument a request names. Raises the broker's error where there is none."""
        raise TypeError(f"{type(self).__name__} does not define of")

    def tokens(self, keys: Iterable[str]) -> list[int]:
        """Return the tokens of those of `keys` that are known."""
        return [self.by_key[key].token for key in keys if key in self.by_key]

    def find(self, text: str) -> NamedT | None:
        """Find by key, or by token in digits."""
        return self.by_key.get(text) or (self.by_token.get(int(text)) if text.isdecimal() and len(text) < 12 else None)


def month_of(instrument: Instrument) -> Month:
    """Return what contracts of one root that expire in one month share."""
    assert instrument.expiry is not None
    root = CanonicalId.parse(instrument.instrument_id).symbol
    return instrument.exchange, root, instrument.expiry.year, instrument.expiry.month


def last_expiries(instruments: Iterable[Instrument]) -> dict[Month, date]:
    """Return the last expiry of each root and month: brokers name it by the month, earlier ones by the day."""
    found: dict[Month, date] = {}
    for instrument in instruments:
        if instrument.expiry is not None:
            month = month_of(instrument)
            found[month] = max(found.get(month, instrument.expiry), instrument.expiry)
    return found


_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_WEEKLY_MONTH = "123456789OND"
RIGHT = {OptionType.CALL: "CE", OptionType.PUT: "PE"}


def kind_word(instrument: Instrument, cash: str = "EQ") -> str:
    """Return ``FUT``, ``CE`` or ``PE`` of a contract, `cash` of anything else."""
    if instrument.expiry is None:
        return cash
    return RIGHT[instrument.option_type] if instrument.option_type else "FUT"


def exchange_symbol(instrument: Instrument, last: Mapping[Month, date]) -> str:
    """Name an instrument as Indian exchanges do, and many brokers with them.

    Shares with their series behind a dash (``CENTRALBK-BE``); contracts by month where they are the last of it
    (``BANKNIFTY18JAN23500CE``), by day otherwise (``NIFTY2580724400CE``).

    Parameters
    ----------
    last : mapping
        What `last_expiries` says of all that is listed.
    """
    ident, expiry = CanonicalId.parse(instrument.instrument_id), instrument.expiry
    if expiry is None:
        return f"{ident.symbol}-{ident.series}" if ident.series else ident.symbol
    if last[month_of(instrument)] == expiry:
        when = f"{expiry:%y}{_MONTHS[expiry.month - 1]}"
    else:
        when = f"{expiry:%y}{_WEEKLY_MONTH[expiry.month - 1]}{expiry:%d}"
    strike = "" if instrument.strike is None else strike_text(instrument.strike)
    return f"{ident.symbol}{when}{strike}{kind_word(instrument)}"


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Write a table as CSV with plain line ends."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()
