"""Canonical instrument ids: one name per instrument, the same at every broker.

Grammar (everything durable hangs on it)::

    cash        VENUE:SYMBOL                      NSE:BAJAJ-AUTO
    series      VENUE:SYMBOL+SERIES               NSE:CENTRALBK+BE
    index       VENUE:SYMBOL=INDEX                NSE:NIFTY_50=INDEX
    future      VENUE:ROOT@YYYYMMDD               NFO:NIFTY@20261224
    option      VENUE:ROOT@YYYYMMDD-STRIKE{CE|PE} CDS:USDINR@20261229-84.25PE
    pair        VENUE:BASE/QUOTE                  KOINEX:BTC/USDT
    perpetual   VENUE:BASE/QUOTE=PERP             KOINEX:BTC/USDT=PERP

Symbols are upper case, blanks become ``_``; any of ``: @ = + / _ %`` inside is percent-escaped; dashes, dots and ``&``
stay. STRIKE is the shortest exact decimal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from dragoman.errors import UsageError
from dragoman.model.enums import OptionType


class IdKind(StrEnum):
    CASH = "cash"
    SERIES = "series"
    INDEX = "index"
    FUTURE = "future"
    OPTION = "option"
    PAIR = "pair"
    PERP = "perp"


_ESCAPED = re.compile(r"[:@=+/_%]")
_UNESCAPE = re.compile(r"%([0-9A-F]{2})")
_TEXT = r"(?:[^:@=+/_%\s]|_|%[0-9A-F]{2})+"
_OPTION_CODE = {OptionType.CALL: "CE", OptionType.PUT: "PE"}
_OPTION_TYPE = {code: kind for kind, code in _OPTION_CODE.items()}
_GRAMMAR = re.compile(
    rf"(?P<venue>[A-Z0-9]+):(?P<symbol>{_TEXT})"
    rf"(?:\+(?P<series>{_TEXT})"
    rf"|=(?P<index>INDEX)"
    rf"|/(?P<quote>{_TEXT})(?P<perp>=PERP)?"
    rf"|@(?P<expiry>\d{{8}})(?:-(?P<strike>\d+(?:\.\d+)?)(?P<right>CE|PE))?"
    rf")?"
)


def escape(symbol: str) -> str:
    """Return `symbol` as it stands in a canonical id."""
    return _ESCAPED.sub(lambda m: f"%{ord(m[0]):02X}", symbol.strip().upper()).replace(" ", "_")


def unescape(text: str) -> str:
    """Return the symbol that `escape` wrote as `text`."""
    return _UNESCAPE.sub(lambda m: chr(int(m[1], 16)), text.replace("_", " "))


def strike_text(strike: Decimal) -> str:
    """Return the shortest exact decimal: ``84.250`` is ``84.25``, ``24800.0`` is ``24800``."""
    text = format(strike, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class CanonicalId:
    """The parts of a canonical id; ``str()`` writes it, `parse` reads it, and ``parse(str(x)) == x``."""

    venue: str
    symbol: str
    kind: IdKind = IdKind.CASH
    series: str | None = None
    quote: str | None = None
    expiry: date | None = None
    strike: Decimal | None = None
    option_type: OptionType | None = None

    def __str__(self) -> str:
        head = f"{self.venue}:{escape(self.symbol)}"
        match self.kind:
            case IdKind.CASH:
                return head
            case IdKind.SERIES:
                return f"{head}+{escape(self.series or '')}"
            case IdKind.INDEX:
                return f"{head}=INDEX"
            case IdKind.PAIR:
                return f"{head}/{escape(self.quote or '')}"
            case IdKind.PERP:
                return f"{head}/{escape(self.quote or '')}=PERP"
        assert self.expiry is not None
        head = f"{head}@{self.expiry:%Y%m%d}"
        if self.kind is IdKind.FUTURE:
            return head
        assert self.strike is not None
        assert self.option_type is not None
        return f"{head}-{strike_text(self.strike)}{_OPTION_CODE[self.option_type]}"

    @classmethod
    def parse(cls, text: str) -> CanonicalId:
        """Read a canonical id.

        Raises
        ------
        UsageError
            If `text` does not follow the grammar; the message shows the nearest form.
        """
        match = _GRAMMAR.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} is not a canonical instrument id",
                remedy="write it as VENUE:SYMBOL, VENUE:ROOT@YYYYMMDD or VENUE:ROOT@YYYYMMDD-STRIKE{CE|PE}",
            )
        part = match.groupdict()
        venue, symbol = part["venue"], unescape(part["symbol"])
        if part["series"]:
            return cls(venue, symbol, IdKind.SERIES, series=unescape(part["series"]))
        if part["index"]:
            return cls(venue, symbol, IdKind.INDEX)
        if part["quote"]:
            kind = IdKind.PERP if part["perp"] else IdKind.PAIR
            return cls(venue, symbol, kind, quote=unescape(part["quote"]))
        if part["expiry"]:
            try:
                expiry = date(int(part["expiry"][:4]), int(part["expiry"][4:6]), int(part["expiry"][6:]))
                strike = Decimal(part["strike"]) if part["strike"] else None
            except (ValueError, InvalidOperation) as error:
                raise UsageError(f"{text!r}: {part['expiry']} is not a date", remedy="write YYYYMMDD") from error
            if strike is None:
                return cls(venue, symbol, IdKind.FUTURE, expiry=expiry)
            return cls(
                venue, symbol, IdKind.OPTION, expiry=expiry, strike=strike, option_type=_OPTION_TYPE[part["right"]]
            )
        return cls(venue, symbol)
