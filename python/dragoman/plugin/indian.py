"""Indian exchanges: canonical ids from what brokers' masters and records say, and times as brokers there write them."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from dragoman.model import AssetClass, CanonicalId, IdKind, Instrument, InstrumentType, OptionType, Product
from dragoman.plugin.adapter import TradingHours
from dragoman.plugin.context import Context
from dragoman.plugin.values import IST, moment_ns, number

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
"""Trading on a usual day, in Asia/Kolkata; hours that changed by date are in `dragoman.session.holidays`."""

INDEX_ROOTS: Final = frozenset("NIFTY BANKNIFTY FINNIFTY MIDCPNIFTY NIFTYNXT50 SENSEX BANKEX SENSEX50".split())
RIGHTS: Final = {"CE": OptionType.CALL, "PE": OptionType.PUT}
SHARES: Final = ("NSE", "BSE")
CASH_PRODUCTS: Final = frozenset((Product.DELIVERY, Product.INTRADAY, Product.MTF))
CONTRACT_PRODUCTS: Final = frozenset((Product.CARRY, Product.INTRADAY))
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


decimal = lru_cache(maxsize=4096)(number)
"""`number`, remembered: ticks, lots and strikes of a master repeat."""


@lru_cache(maxsize=4096)
def day_of(epoch_s: int) -> date:
    """Return the Indian day of a moment in epoch seconds, as masters write expiries."""
    return datetime.fromtimestamp(epoch_s, IST).date()


def instrument(
    what: tuple[CanonicalId, AssetClass, InstrumentType], symbol: str, *, tick: Decimal, lot: Decimal, **fields: Any
) -> Instrument:
    """Return an instrument of a master.

    Parameters
    ----------
    what : tuple
        As `cash`, `index` and `contract` return it.
    symbol : str
        The broker's; a contract goes by it, everything else by the exchange's.
    tick, lot : Decimal
        0 where the broker gives none.
    **fields
        The rest of `Instrument` that the master tells.

    Raises
    ------
    ValueError
        For a tick or a lot below 0.
    """
    ident, asset_class, instrument_type = what
    if not (tick >= 0 and lot >= 0):
        raise ValueError(f"lot size {lot} or tick size {tick} is negative")
    contract_only = ident.expiry is not None
    return Instrument(
        instrument_id=str(ident),
        symbol=symbol if contract_only else ident.symbol,
        exchange=ident.venue,
        asset_class=asset_class,
        instrument_type=instrument_type,
        series=ident.series,
        underlying=ident.symbol if contract_only else None,
        expiry=ident.expiry,
        strike=ident.strike,
        option_type=ident.option_type,
        tick_size=tick,
        lot_size=lot or Decimal(1),
        tradable=instrument_type is not InstrumentType.INDEX,
        **fields,
    )


def place_of(ctx: Context, token: str, exchange: str, symbol: str, bare: str = "") -> tuple[str, str]:
    """Return canonical id and exchange of a record's instrument.

    The broker's token finds it in the master, or its symbol there. One that is not there (expired since, or no master
    is loaded) keeps ``EXCHANGE:SYMBOL`` as the broker writes it, with the `bare` symbol where one is given.

    Raises
    ------
    LookupError
        Where neither finds it and the record has no symbol: read inside `Records.reading`.
    """
    found = ctx.instruments.by_broker_token(token) if token else None
    found = found or ctx.instruments.by_broker_symbol(exchange, symbol)
    if found is not None:
        return found.instrument_id, found.exchange
    if not symbol:
        raise LookupError(f"a record of {exchange} names no instrument")
    return str(CanonicalId(exchange, bare or symbol)), exchange


_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_DAY_FIRST: Final = re.compile(r"(\d\d?)-([A-Z][a-z]{2}|\d\d)-(\d{4}) (\d\d):(\d\d):(\d\d)")


def day_first_ns(text: str) -> int | None:
    """Return ns UTC of ``09-Mar-2023 09:34:38`` or ``09-03-2023 09:34:38``; None of text in another form.

    Raises
    ------
    ValueError
        For a day or an hour that does not exist.
    """
    found = _DAY_FIRST.fullmatch(text)
    if found is None:
        return None
    day, month, year, hour, minute, second = found.groups()
    number_of_month = int(month) if month.isdecimal() else _MONTHS.index(month) + 1
    return moment_ns(datetime(int(year), number_of_month, int(day), int(hour), int(minute), int(second), tzinfo=IST))
