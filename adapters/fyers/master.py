"""The symbol masters: one record of them into one instrument under its canonical id.

References
----------
Documentation, symbol master in JSON (mirrored in public copies of it): an object keyed by symbol, ticks and strikes in
rupees, expiries in epoch seconds as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Final

from dragoman.plugin import indian, model
from dragoman.plugin.json_rows import JsonRows
from dragoman.plugin.records import IST, Row, number, text_or_none

from .words import VENUE

FOLDER: Final = "/sym_details"
INDEX_NAMES: Final = f"{FOLDER}/index_hsm_mapping.json"
"""Symbols of indices -> the exchange's full names of them, which the market feed's topics carry."""
FILES: Final = ("NSE_CM", "NSE_FO", "NSE_CD", "NSE_COM", "BSE_CM", "BSE_FO", "MCX_COM")
INDEX: Final = 10
"""The instrument type of indices in the cash segments."""
_SHARE: Final = frozenset(("NSE", "BSE"))
_decimal = lru_cache(maxsize=4096)(number)  # ticks, lots and strikes repeat


def path_of(name: str) -> str:
    return f"{FOLDER}/{name}_sym_master.json"


def parser(index_names: Mapping[str, str]) -> JsonRows:
    return JsonRows("fyers", partial(read_instrument, index_names), keyed=True)


def read_instrument(index_names: Mapping[str, str], row: Row) -> model.Instrument | None:
    """Read one record; None of a segment that is new to us.

    Raises
    ------
    ValueError, ArithmeticError, LookupError, TypeError
        Where a value is not what its key holds.
    """
    token, symbol = str(row["fyToken"]), str(row["symTicker"])
    venue = VENUE.get(token[:4])
    if venue is None:
        return None
    exchange, _, ticker = symbol.partition(":")
    if not exchange or not ticker or not token[10:]:
        raise ValueError(f"symTicker {symbol!r} or fyToken {token!r} is cut")
    more: dict[str, Any] = {}
    name, right = str(row.get("symDetails") or ""), indian.RIGHTS.get(str(row.get("optType")))
    if row.get("expiryDate") and venue not in _SHARE:
        strike = _decimal(row["strikePrice"]) if right else None
        root, expiry = str(row["underSym"]), _day(str(row["expiryDate"]))
        ident, asset_class, instrument_type = indian.contract(venue, root, expiry, strike, right)
        more = {"underlying": ident.symbol, "expiry": ident.expiry, "strike": strike, "option_type": right}
    elif int(row["exInstType"]) == INDEX:
        # A name that the map does not have is the symbol's own, as the broker's client takes it.
        name = index_names.get(symbol) or ticker.removesuffix("-INDEX")
        ident, asset_class, instrument_type = indian.index(venue, name)
    else:
        bare, _, series = ticker.rpartition("-")
        # Groups of BSE are no series.
        ident, asset_class, instrument_type = indian.cash(venue, bare or ticker, series if venue == "NSE" else "")
    tick, lot, freeze = (_decimal(row.get(key)) for key in ("tickSize", "minLotSize", "qtyFreeze"))
    if not (tick >= 0 and lot >= 0):
        raise ValueError(f"lot size {lot} or tick size {tick} is negative")
    return model.Instrument(
        instrument_id=str(ident),
        symbol=ident.symbol if ident.expiry is None else ticker,
        exchange=venue,
        asset_class=asset_class,
        instrument_type=instrument_type,
        broker_symbol=symbol,
        broker_token=token,
        exchange_token=token[10:],
        name=name,
        segment=token[:4],
        series=ident.series,
        isin=text_or_none(row.get("isin")),
        tick_size=tick,
        lot_size=lot or Decimal(1),
        freeze_quantity=freeze or None,
        tradable=instrument_type is not model.InstrumentType.INDEX,
        **more,
    )


@lru_cache(maxsize=4096)
def _day(expiry_s: str) -> date:
    return datetime.fromtimestamp(int(expiry_s), IST).date()
