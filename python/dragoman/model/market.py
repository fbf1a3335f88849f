"""Market data as values: a pulled quote, its depth, a candle, a public trade.

Streamed data stays in native batches (`dragoman._core`); names and meanings are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from dragoman.model.enums import Mode
from dragoman.model.shown import Shown


class DepthLevel(NamedTuple):
    price: float
    quantity: float
    orders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote(Shown):
    """One instrument's market as a request returned it. What the mode does not carry is None.

    Prices are the float64 nearest to the broker's decimal; bids and asks are best first and hold real levels only.
    """

    instrument_id: str
    mode: Mode
    last_price: float | None
    instrument: int = -1
    last_quantity: float | None = None
    average_price: float | None = None
    volume: float | None = None
    total_buy_quantity: float | None = None
    total_sell_quantity: float | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    previous_close: float | None = None
    net_change: float | None = None
    oi: float | None = None
    oi_high: float | None = None
    oi_low: float | None = None
    price_band_low: float | None = None
    price_band_high: float | None = None
    bids: tuple[DepthLevel, ...] = ()
    asks: tuple[DepthLevel, ...] = ()
    last_trade_time: int | None = None
    sequence: int | None = None
    """Number of the last depth message this quote contains, where the venue numbers them."""
    ts_event: int | None = None
    ts_recv: int | None = None
    raw: Any = field(default=None, compare=False, repr=False)

    @property
    def bid_price(self) -> float | None:
        return self.bids[0].price if self.bids else None

    @property
    def ask_price(self) -> float | None:
        return self.asks[0].price if self.asks else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle(Shown):
    instrument_id: str
    interval: str
    ts_open: int
    open: float
    high: float
    low: float
    close: float
    volume: float | None = None
    oi: float | None = None
    trades: int | None = None
    vwap: float | None = None
    is_closed: bool = True
    source: str = ""
    adjusted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A public print."""

    instrument_id: str
    price: Decimal
    quantity: Decimal
    aggressor: Literal["BUY", "SELL", "NONE"] = "NONE"
    trade_id: str = ""
    conditions: tuple[str, ...] = ()
    ts_event: int | None = None
    ts_recv: int | None = None
