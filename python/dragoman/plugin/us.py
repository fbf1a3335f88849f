"""Instruments of US exchanges: canonical ids, prices and hours, the same at every broker.

References
----------
OCC, "Options Symbology Initiative" (root, yymmdd, C or P, strike in thousandths); SEC Regulation NMS, rule 612
(sub-penny rule: two decimals from a dollar on, four below).
"""

from __future__ import annotations

import re
from datetime import date, time
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from dragoman.errors import ErrorKind
from dragoman.model import CanonicalId, IdKind, OptionType
from dragoman.plugin.adapter import TradingHours
from dragoman.plugin.records import Records

US: Final = "US"
NEW_YORK: Final = ZoneInfo("America/New_York")
US_HOURS: Final = TradingHours(frozenset((US,)), time(9, 30), time(16))
"""Regular trading, in New York."""
CENT: Final = Decimal("0.01")
_MILL: Final = Decimal("0.0001")
_OCC: Final = re.compile(r"(?P<root>[A-Z0-9.]{1,6}) *(?P<day>\d{6})(?P<right>[CP])(?P<strike>\d{8})")
_RIGHTS: Final = {"C": OptionType.CALL, "P": OptionType.PUT}


def us_id(symbol: str) -> CanonicalId:
    """Return what a symbol names: an option where it reads as one, otherwise a share."""
    match = _OCC.fullmatch(symbol)
    if match is None:
        return CanonicalId(US, symbol)
    day = match["day"]
    return us_option(
        match["root"],
        date(2000 + int(day[:2]), int(day[2:4]), int(day[4:])),
        Decimal(match["strike"]) / 1000,
        _RIGHTS[match["right"]],
    )


def us_option(root: str, expiry: date, strike: Decimal, right: OptionType) -> CanonicalId:
    """Return the canonical id of an option."""
    return CanonicalId(US, root, IdKind.OPTION, expiry=expiry, strike=strike, option_type=right)


def check_penny(records: Records, price: Decimal) -> None:
    """Refuse a price with more decimals than the market takes. Raises UsageError."""
    step = CENT if price >= 1 else _MILL
    low = price // step * step
    if price != low:
        raise records.refused(
            f"price {price} has more decimals than the market takes",
            f"nearest valid: {low} or {low + step}",
            kind=ErrorKind.INVALID_PRICE_TICK,
        )
