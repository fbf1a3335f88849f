"""The instrument file: one row of it into one instrument under its canonical id.

References
----------
Documentation, instruments: JSON files; field notes in README.md. Ticks stand there in paise, strikes in rupees.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from dragoman.plugin import indian, model
from dragoman.plugin.parts import JsonRows, Row, given, text_or_none

from .words import SEGMENT

PATH: Final = "/market-quote/instruments/exchange/complete.json.gz"
_HUNDRED: Final = Decimal(100)


def parser() -> JsonRows:
    return JsonRows("upstox", read_instrument)


def read_instrument(row: Row) -> model.Instrument | None:
    """Read one row; None of a segment that is new to us.

    Raises
    ------
    ValueError, ArithmeticError, LookupError, TypeError
        Where a value is not what its key holds.
    """
    key, kind = str(row["instrument_key"]), str(row["instrument_type"])
    venue, symbol = SEGMENT.get(str(row["segment"])), str(row["trading_symbol"]).strip()
    if venue is None:
        return None
    if not symbol or "|" not in key:
        raise ValueError(f"instrument_key {key!r} or trading_symbol {symbol!r} is empty")
    if str(row["segment"]).endswith("_INDEX"):
        # The name in the key, not the short trading symbol, is the exchange's name of the index.
        what = indian.index(venue, key.partition("|")[2])
    elif kind in ("FUT", *indian.RIGHTS):
        right = indian.RIGHTS.get(kind)
        strike = indian.decimal(row["strike_price"]) if right else None
        root = str(row.get("underlying_symbol") or row.get("asset_symbol") or row["name"])
        what = indian.contract(venue, root, indian.day_of(int(row["expiry"]) // 1000), strike, right)
    else:
        series = kind if venue == "NSE" else ""  # groups of BSE are no series
        bare = symbol.removesuffix(f"-{series}") if series else symbol
        what = indian.cash(venue, bare, series)
    return indian.instrument(
        what,
        symbol,
        tick=indian.decimal(row.get("tick_size")) / _HUNDRED,
        lot=indian.decimal(row.get("lot_size")),
        broker_symbol=symbol,
        broker_token=key,
        exchange_token=str(row.get("exchange_token") or ""),
        name=str(row.get("name") or ""),
        segment=str(row["segment"]),
        isin=text_or_none(row.get("isin")),
        freeze_quantity=given(row, "freeze_quantity") or None,
    )
