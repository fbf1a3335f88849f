"""What can be traded."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from dragoman.model.enums import AssetClass, InstrumentType, OptionType
from dragoman.model.shown import Shown


@dataclass(frozen=True, slots=True)
class Instrument(Shown):
    """One instrument as one broker offers it.

    Attributes
    ----------
    instrument_id : str
        Canonical id (`dragoman.model.ids`), the same at every broker.
    exchange : str
        Exchange segment: NSE, BSE, NFO, ..., or the platform.
    broker_symbol, broker_token : str
        How the broker names it in orders, and in its streams.
    exchange_token : str
        The exchange's own number, shared by brokers.
    tick_size : Decimal
        Smallest price step; 0 where the broker gives none (then prices are not checked).
    lot_size : Decimal
        Quantities are multiples of this, in units of the thing priced.
    multiplier : Decimal
        Money = price x quantity x multiplier; only what remains after quantities are units.
    tradable : bool
        False for indices.
    """

    instrument_id: str
    symbol: str
    exchange: str
    asset_class: AssetClass
    instrument_type: InstrumentType
    broker_symbol: str
    broker_token: str
    exchange_token: str = ""
    name: str = ""
    segment: str = ""
    series: str | None = None
    isin: str | None = None
    underlying: str | None = None
    expiry: date | None = None
    strike: Decimal | None = None
    option_type: OptionType | None = None
    tick_size: Decimal = Decimal(0)
    lot_size: Decimal = Decimal(1)
    multiplier: Decimal = Decimal(1)
    freeze_quantity: Decimal | None = None
    price_band_low: Decimal | None = None
    price_band_high: Decimal | None = None
    currency: str = "INR"
    tradable: bool = True
    extra: dict[str, object] = field(default_factory=dict, compare=False)
