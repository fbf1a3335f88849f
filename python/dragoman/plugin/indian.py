"""Instruments of Indian exchanges: canonical ids from what brokers' masters say, the same at every broker."""

from __future__ import annotations

import re
from datetime import date, time
from decimal import Decimal
from functools import lru_cache
from typing import Final

from dragoman.model import AssetClass, CanonicalId, IdKind, InstrumentType, OptionType
from dragoman.plugin.adapter import TradingHours

ASSET_CLASS: Final = {
    "CDS": AssetClass.CURRENCY,
    "BCD": AssetClass.CURRENCY,
    "MCX": AssetClass.COMMODITY,
    "NCO": AssetClass.COMMODITY,
}
"""Of the venues whose contracts are not on shares or indices."""

INDIAN_HOURS: Final = (
    TradingHours(frozenset(("NSE", "BSE", "NFO", "BFO")), time(9, 15), time(15, 30)),
    TradingHours(frozenset(("CDS", "BCD")), time(9), time(17)),
    TradingHours(frozenset(("MCX", "NCO")), time(9), time(23, 30)),
)
"""Continuous trading, in Asia/Kolkata. Commodities end later in winter; silence is not held against a stream then."""

INDEX_ROOTS: Final = frozenset("NIFTY BANKNIFTY FINNIFTY MIDCPNIFTY NIFTYNXT50 SENSEX BANKEX SENSEX50".split())
RIGHTS: Final = {"CE": OptionType.CALL, "PE": OptionType.PUT}
SHARES: Final = ("NSE", "BSE")
PLAIN_SERIES: Final = frozenset(("EQ", ""))
DEBT_SERIES: Final = re.compile(r"G[BS]|SG|TB|[NYZ][0-9A-Z]")
"""Series of NSE that are bonds: government securities, sovereign gold bonds, treasury bills, debentures."""


def cash(venue: str, symbol: str, series: str = "EQ") -> tuple[CanonicalId, AssetClass, InstrumentType]:
    """Return what a share, or another paper of NSE with its own series, is.

    Parameters
    ----------
    series : str
        As NSE names it; elsewhere leave it out, groups of BSE are no series.
    """
    if series in PLAIN_SERIES:
        return CanonicalId(venue, symbol), AssetClass.EQUITY, InstrumentType.SPOT
    ident = CanonicalId(venue, symbol, IdKind.SERIES, series=series)
    if DEBT_SERIES.fullmatch(series):
        return ident, AssetClass.DEBT, InstrumentType.BOND
    return ident, AssetClass.EQUITY, InstrumentType.SPOT


def index(venue: str, name: str) -> tuple[CanonicalId, AssetClass, InstrumentType]:
    """Return what an index is. `name` is the exchange's full name: ``Nifty Bank``, not ``BANKNIFTY``."""
    return CanonicalId(venue, name.strip().upper(), IdKind.INDEX), AssetClass.INDEX, InstrumentType.INDEX


@lru_cache(maxsize=65_536)
def contract(
    venue: str, root: str, expiry: date, strike: Decimal | None = None, right: OptionType | None = None
) -> tuple[CanonicalId, AssetClass, InstrumentType]:
    """Return what a future is, or with `strike` and `right` an option."""
    kind = IdKind.FUTURE if right is None else IdKind.OPTION
    ident = CanonicalId(venue, root.strip().upper(), kind, expiry=expiry, strike=strike, option_type=right)
    asset_class = ASSET_CLASS.get(venue, AssetClass.INDEX if ident.symbol in INDEX_ROOTS else AssetClass.EQUITY)
    return ident, asset_class, InstrumentType.FUTURE if right is None else InstrumentType.OPTION
