"""Assets and option contracts into instruments under their canonical ids."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final

from dragoman.plugin import Context, Download, Flow, Reply, Request, model
from dragoman.plugin.parts import CENT, US, JsonRows, Row, by_token, given, number, pages, pairs, us_id, us_option

from .words import CRYPTO, RECORDS, as_rows, canonical, loads

BILLIONTH: Final = Decimal("0.000000001")
_ONE: Final = Decimal(1)
_RIGHTS: Final = {"call": model.OptionType.CALL, "put": model.OptionType.PUT}
_PAGE: Final = 10_000
_decimal = lru_cache(maxsize=4096)(number)


def read_asset(row: Row) -> model.Instrument | None:
    """Read a share or a pair; None of another class.

    Raises
    ------
    ValueError, ArithmeticError, LookupError, TypeError
        Where a value is not what its key holds.
    """
    kind, symbol = str(row["class"]), str(row["symbol"]).strip()
    if kind not in ("us_equity", "crypto") or not symbol:
        return None
    crypto = kind == "crypto"
    ident = canonical(symbol, kind)
    if crypto:
        tick, lot = _decimal(row.get("price_increment")), _decimal(row.get("min_trade_increment")) or BILLIONTH
    else:
        # Below a dollar the market has four decimals; the list does not tell where a share trades.
        tick, lot = CENT, BILLIONTH if row.get("fractionable") else _ONE
    flags = ("marginable", "shortable", "easy_to_borrow", "fractionable", "min_order_size")
    return model.Instrument(
        instrument_id=str(ident),
        symbol=symbol,
        exchange=CRYPTO if crypto else US,
        asset_class=model.AssetClass.CRYPTO if crypto else model.AssetClass.EQUITY,
        instrument_type=model.InstrumentType.SPOT,
        broker_symbol=symbol,
        broker_token=str(row["id"]),
        name=str(row.get("name") or ""),
        segment=str(row.get("exchange") or ""),
        underlying=ident.symbol if crypto else None,
        tick_size=tick,
        lot_size=lot,
        currency=(ident.quote or "USD") if crypto else "USD",
        tradable=bool(row.get("tradable")) and row.get("status", "active") == "active",
        extra={name: row[name] if isinstance(row[name], bool) else str(row[name]) for name in flags if name in row},
    )


def read_contract(row: Row) -> model.Instrument:
    """Read an option contract. Quantities count contracts; the multiplier is the shares of one.

    Raises
    ------
    ValueError, ArithmeticError, LookupError, TypeError
    """
    symbol, strike = str(row["symbol"]), _decimal(row["strike_price"])
    expiry, right = date.fromisoformat(str(row["expiration_date"])), _RIGHTS[str(row["type"])]
    ident = us_option(str(row["root_symbol"]), expiry, strike, right)
    return model.Instrument(
        instrument_id=str(ident),
        symbol=symbol,
        exchange=US,
        asset_class=model.AssetClass.EQUITY,
        instrument_type=model.InstrumentType.OPTION,
        broker_symbol=symbol,
        broker_token=str(row["id"]),
        name=str(row.get("name") or ""),
        underlying=str(us_id(str(row["underlying_symbol"]))),
        expiry=expiry,
        strike=strike,
        option_type=right,
        tick_size=CENT,
        multiplier=given(row, "size") or given(row, "multiplier") or Decimal(100),
        currency="USD",
        tradable=bool(row.get("tradable")),
        extra={"style": str(row.get("style") or "")},
    )


def instruments(ctx: Context) -> Flow[int]:
    """Download shares and pairs; and the options on what the profile's ``settings.option_underlyings`` names.

    All of them would be more than a million contracts, at 200 requests a minute.
    """
    count = 0
    for kind in ("us_equity", "crypto"):
        query = pairs(status="active", asset_class=kind)
        request = Request(path="/v2/assets", query=query, timeout_s=60.0)
        count += (yield Download(request, JsonRows("alpaca", read_asset))).rows
    underlyings = ctx.settings.get("option_underlyings", ())
    names = (underlyings,) if isinstance(underlyings, str) else tuple(underlyings)
    if not names:
        return count
    query = pairs(underlying_symbols=",".join(names), status="active", limit=str(_PAGE))
    request = Request(path="/v2/options/contracts", query=query, timeout_s=60.0)
    following = by_token("next_page_token", "page_token")
    contracts = yield from pages(RECORDS, request, following, read=_read_contracts, tell=True)
    return count + len(contracts)


def _read_contracts(reply: Reply) -> list[model.Instrument]:
    return [read_contract(row) for row in as_rows("contracts", loads(reply.body), "option_contracts")]
