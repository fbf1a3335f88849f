"""The instrument masters: rows of ``exchangeInfo``, their filters turned into grids and limits."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from dragoman.plugin import PushParser, Skipped, model
from dragoman.plugin.json_rows import JsonRows
from dragoman.plugin.parts import Row, number

from .words import PLATFORM, RECORDS, SPOT, USDM, Market

_ONE: Final = Decimal(1)


def parser(market: Market) -> PushParser[model.Instrument | Skipped]:
    """Return what reads the document of a market as it arrives."""
    return JsonRows(RECORDS.broker, read_pair if market is SPOT else read_contract, under="symbols")


def read_pair(row: Row) -> model.Instrument:
    """Read a spot symbol; one that is listed and does not trade now is kept, and is not tradable."""
    ident = model.CanonicalId(PLATFORM, str(row["baseAsset"]), model.IdKind.PAIR, quote=str(row["quoteAsset"]))
    tradable = row["status"] == "TRADING" and row.get("isSpotTradingAllowed", True)
    return _instrument(SPOT, row, ident, model.InstrumentType.SPOT, tradable=bool(tradable))


def read_contract(row: Row) -> model.Instrument:
    """Read a futures symbol: a perpetual, or a contract that is delivered on a day."""
    base, quote = str(row["baseAsset"]), str(row["quoteAsset"])
    if str(row["contractType"]).endswith("PERPETUAL"):
        ident = model.CanonicalId(PLATFORM, base, model.IdKind.PERP, quote=quote)
        kind = model.InstrumentType.PERP
    else:
        day = datetime.fromtimestamp(int(row["deliveryDate"]) // 1000, UTC).date()
        ident = model.CanonicalId(PLATFORM, f"{base}{quote}", model.IdKind.FUTURE, expiry=day)
        kind = model.InstrumentType.FUTURE
    return _instrument(USDM, row, ident, kind, tradable=row.get("status", row.get("contractStatus")) == "TRADING")


def _short(value: object) -> Decimal:
    """Return a number without the zeros that fill it up."""
    return Decimal(format(number(value).normalize(), "f"))


def _instrument(
    market: Market, row: Row, ident: model.CanonicalId, kind: model.InstrumentType, *, tradable: bool
) -> model.Instrument:
    symbol, quote = str(row["symbol"]), str(row["quoteAsset"])
    filters = {str(one["filterType"]): one for one in row["filters"]}
    price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
    worth = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    tick, low = number(price.get("tickSize")), number(price.get("minPrice"))
    band = filters.get("PERCENT_PRICE_BY_SIDE") or filters.get("PERCENT_PRICE") or {}
    found = {
        "min_quantity": lot.get("minQty"),
        "min_notional": worth.get("minNotional") or worth.get("notional"),
        "max_market_quantity": filters.get("MARKET_LOT_SIZE", {}).get("maxQty"),
        "percent_up": band.get("multiplierUp") or band.get("bidMultiplierUp"),
        "percent_down": band.get("multiplierDown") or band.get("askMultiplierDown"),
        "order_types": ",".join(row.get("orderTypes") or ()),
    }
    # Spot prices are multiples of the tick, futures prices lie that many ticks above minPrice.
    on_grid = market is SPOT or not tick or not low % tick
    return model.Instrument(
        instrument_id=str(ident),
        symbol=f"{row['baseAsset']}/{quote}",
        exchange=market.exchange,
        asset_class=model.AssetClass.CRYPTO,
        instrument_type=kind,
        broker_symbol=symbol,
        broker_token=f"{market.letter}:{symbol}",
        name=str(row["baseAsset"]),
        segment=str(row.get("contractType") or "SPOT"),
        underlying=str(row["baseAsset"]) if market is USDM else None,
        expiry=ident.expiry,
        tick_size=_short(tick) if on_grid else Decimal(0),
        lot_size=_short(lot.get("stepSize")) or _ONE,
        freeze_quantity=_short(lot.get("maxQty")) or None,
        price_band_low=_short(low) or None,
        price_band_high=_short(price.get("maxPrice")) or None,
        currency=quote,
        tradable=tradable,
        extra={name: str(value) for name, value in found.items() if value},
    )
