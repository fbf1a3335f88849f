"""Quotes as three of the broker's calls return them."""

from __future__ import annotations

from typing import Any, Final

from dragoman.plugin import model
from dragoman.plugin.records import Row, float_at

from .words import reading, time_ns

_NAMES: Final = {
    "last_quantity": "ltq",
    "average_price": "average_price",
    "volume": "volume",
    "total_buy_quantity": "total_buy_quantity",
    "total_sell_quantity": "total_sell_quantity",
    "net_change": "net_change",
    "oi": "oi",
    "oi_high": "oi_day_high",
    "oi_low": "oi_day_low",
    "price_band_low": "lower_circuit_limit",
    "price_band_high": "upper_circuit_limit",
}


def read_quote(row: Row, instrument: model.Instrument, mode: model.Mode) -> model.Quote:
    """Read one entry of a quote reply, in any of the three modes. Raises DecodeError."""
    with reading(f"quote of {instrument.broker_symbol}"):
        day = row.get("live_ohlc") or row.get("ohlc") or {}
        before, depth = row.get("prev_ohlc") or {}, row.get("depth") or {}
        values: dict[str, Any] = {name: float_at(row, word) for name, word in _NAMES.items()}
        if values["volume"] is None:
            values["volume"] = float_at(day, "volume")
        close = float_at(row, "cp") or float_at(before, "close")
        if close is None and values["net_change"] is not None:
            # The full quote tells the change since the previous close, and in its ohlc today's close.
            close = round(float(row["last_price"]) - values["net_change"], 4)
        return model.Quote(
            instrument_id=instrument.instrument_id,
            mode=mode,
            last_price=float_at(row, "last_price"),
            open=float_at(day, "open"),
            high=float_at(day, "high"),
            low=float_at(day, "low"),
            previous_close=close,
            bids=_levels(depth.get("buy") or ()),
            asks=_levels(depth.get("sell") or ()),
            last_trade_time=time_ns(row.get("last_trade_time")),
            ts_event=time_ns(row.get("timestamp")) or time_ns(day.get("ts")),
            raw=row,
            **values,
        )


def _levels(rows: Any) -> tuple[model.DepthLevel, ...]:
    levels = (model.DepthLevel(float(row["price"]), float(row["quantity"]), int(row["orders"])) for row in rows)
    return tuple(level for level in levels if level.price or level.quantity)
