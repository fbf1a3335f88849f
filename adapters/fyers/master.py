"""The symbol masters: one record of them into one instrument under its canonical id.

References
----------
Documentation, symbol master in JSON (mirrored in public copies of it): an object keyed by symbol, ticks and strikes in
rupees, expiries in epoch seconds as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from dragoman.plugin import indian, model
from dragoman.plugin.parts import JsonRows, Row, text_or_none

from .words import VENUE

FOLDER: Final = "/sym_details"
INDEX_NAMES: Final = f"{FOLDER}/index_hsm_mapping.json"
"""Symbols of indices -> the exchange's full names of them, which the market feed's topics carry."""
FILES: Final = ("NSE_CM", "NSE_FO", "NSE_CD", "NSE_COM", "BSE_CM", "BSE_FO", "MCX_COM")
INDEX: Final = 10
"""The instrument type of indices in the cash segments."""


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
    name, right = str(row.get("symDetails") or ""), indian.RIGHTS.get(str(row.get("optType")))
    if row.get("expiryDate") and venue not in indian.SHARES:
        strike = indian.decimal(row["strikePrice"]) if right else None
        what = indian.contract(venue, str(row["underSym"]), indian.day_of(int(row["expiryDate"])), strike, right)
    elif int(row["exInstType"]) == INDEX:
        # A name that the map does not have is the symbol's own, as the broker's client takes it.
        name = index_names.get(symbol) or ticker.removesuffix("-INDEX")
        what = indian.index(venue, name)
    else:
        bare, _, series = ticker.rpartition("-")
        # Groups of BSE are no series.
        what = indian.cash(venue, bare or ticker, series if venue == "NSE" else "")
    return indian.instrument(
        what,
        ticker,
        tick=indian.decimal(row.get("tickSize")),
        lot=indian.decimal(row.get("minLotSize")),
        broker_symbol=symbol,
        broker_token=token,
        exchange_token=token[10:],
        name=name,
        segment=token[:4],
        isin=text_or_none(row.get("isin")),
        freeze_quantity=indian.decimal(row.get("qtyFreeze")) or None,
    )
