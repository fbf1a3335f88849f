"""The instrument file: one row of it into one instrument under its canonical id.

References
----------
Documentation, instruments: JSON files; field notes in README.md. Ticks stand there in paise, strikes in rupees.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from dragoman.plugin import indian, model
from dragoman.plugin.json_rows import JsonRows
from dragoman.plugin.records import IST, Row, given, number, text_or_none

from .words import SEGMENT

PATH: Final = "/market-quote/instruments/exchange/complete.json.gz"
_HUNDRED: Final = Decimal(100)
_decimal = lru_cache(maxsize=4096)(number)  # ticks, lots and strikes repeat


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
    more: dict[str, Any] = {}
    if str(row["segment"]).endswith("_INDEX"):
        # The name in the key, not the short trading symbol, is the exchange's name of the index.
        ident, asset_class, instrument_type = indian.index(venue, key.partition("|")[2])
    elif kind in ("FUT", *indian.RIGHTS):
        right = indian.RIGHTS.get(kind)
        strike = _decimal(row["strike_price"]) if right else None
        root = str(row.get("underlying_symbol") or row.get("asset_symbol") or row["name"])
        ident, asset_class, instrument_type = indian.contract(venue, root, _day(row["expiry"]), strike, right)
        more = {"underlying": ident.symbol, "expiry": ident.expiry, "strike": strike, "option_type": right}
    else:
        series = kind if venue == "NSE" else ""  # groups of BSE are no series
        bare = symbol.removesuffix(f"-{series}") if series else symbol
        ident, asset_class, instrument_type = indian.cash(venue, bare, series)
    tick, lot = _decimal(row.get("tick_size")), _decimal(row.get("lot_size"))
    if not (tick >= 0 and lot >= 0):
        raise ValueError(f"lot size {lot} or tick size {tick} is negative")
    return model.Instrument(
        instrument_id=str(ident),
        symbol=ident.symbol if ident.expiry is None else symbol,
        exchange=venue,
        asset_class=asset_class,
        instrument_type=instrument_type,
        broker_symbol=symbol,
        broker_token=key,
        exchange_token=str(row.get("exchange_token") or ""),
        name=str(row.get("name") or ""),
        segment=str(row["segment"]),
        series=ident.series,
        isin=text_or_none(row.get("isin")),
        tick_size=tick / _HUNDRED,
        lot_size=lot or Decimal(1),
        freeze_quantity=given(row, "freeze_quantity") or None,
        tradable=instrument_type is not model.InstrumentType.INDEX,
        **more,
    )


@lru_cache(maxsize=4096)
def _day(expiry_ms: Any) -> date:
    return datetime.fromtimestamp(int(expiry_ms) // 1000, IST).date()
