"""What the crash drill trades: positions of every kind a broker offers, each with its part in the story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from dragoman.client import Client
from dragoman.errors import UsageError
from dragoman.model import AssetClass, Instrument, InstrumentType, Product, Side
from dragoman.portfolio.net import PositionKey

BULK: Final = "bulk"
TRAIL: Final = "trail"
LADDER: Final = "ladder"
HELD: Final = "held"
_MEAL: Final = 20
_DERIVED: Final = (InstrumentType.FUTURE, InstrumentType.PERP)


@dataclass(slots=True)
class Leg:
    """One position of the drill.

    Attributes
    ----------
    label : str
        A letter; tables have no room for names.
    part : str
        ``bulk``: large, long, and what the margin floor takes. ``trail``: guarded by a trailing stop. ``ladder``: a
        short, bought back rung by rung as the market falls. ``held``: long until the kill switch closes it.
    product : Product
    sign : int
        1 for long, -1 for short.
    quantity : Decimal
        How much was opened; 0 until it was.
    opened : str
        Name of the order that opened it.
    price : Decimal or None
        What that cost on average.
    """

    label: str
    part: str
    instrument: Instrument
    product: Product
    sign: int = 1
    quantity: Decimal = Decimal(0)
    opened: str = ""
    price: Decimal | None = None

    @property
    def key(self) -> PositionKey:
        return (self.instrument.instrument_id, self.product, "NET")

    @property
    def side(self) -> Side:
        """Side of the order that opens it."""
        return Side.BUY if self.sign > 0 else Side.SELL

    def sized(self, worth: Decimal, price: Decimal) -> Decimal:
        """Return about `worth` of it in whole units, at least three of them."""
        unit = unit_of(self.instrument, price)
        count = (worth / (price * self.instrument.multiplier * unit)).to_integral_value(ROUND_FLOOR)
        return max(count, 1 if self.instrument.lot_size > 1 else 3) * unit


def unit_of(instrument: Instrument, price: Decimal) -> Decimal:
    """Return a quantity that is worth trading: a lot, one share where they are split, or the price of a meal."""
    lot = instrument.lot_size
    if lot >= 1:
        return lot
    return Decimal(1) if price < 1000 else (_MEAL / (price * lot)).to_integral_value(ROUND_CEILING) * lot


def legs_of(client: Client) -> list[Leg]:
    """Choose the legs: derivatives first, then shares within the day, then what is paid in full, then commodities.

    Raises
    ------
    UsageError
        Fewer than four instruments can be held on margin.
    """
    capabilities = client.session.adapter.capabilities
    offered = frozenset(capabilities.products)
    tradable = [one for one in client.instruments if one.tradable]
    spots = [one for one in tradable if one.instrument_type is InstrumentType.SPOT]
    currency = spots[0].currency if spots else tradable[0].currency
    spots = [one for one in spots if one.currency == currency]
    derived = [one for one in tradable if one.instrument_type in _DERIVED and one.currency == currency]
    shares = [one for one in derived if one.asset_class not in (AssetClass.COMMODITY, AssetClass.CURRENCY)]
    goods = [one for one in derived if one.asset_class is AssetClass.COMMODITY]
    wallet = bool(capabilities.features.get("balances"))
    day = Product.INTRADAY if Product.INTRADAY in offered else None

    def product(instrument: Instrument, wanted: Product | None = None) -> Product:
        if wanted in offered and wanted is not None:
            return wanted
        return Product(client.session.adapter.order_defaults(instrument).get("product") or sorted(offered)[0])

    pledged = shares if wallet else [*shares[:1], *spots]
    if len(pledged) < 4:
        raise UsageError(
            f"{client.session.adapter.name}: {len(pledged)} instruments can be held on margin, the drill needs 4",
            remedy="choose another broker",
        )
    terms = [(BULK, 1), (BULK, 1), (TRAIL, 1), (LADDER, -1)]
    chosen = [
        (part, one, product(one, Product.CARRY if one.instrument_type in _DERIVED else day), sign)
        for (part, sign), one in zip(terms, pledged, strict=False)
    ]
    if wallet:
        chosen.append((HELD, spots[0], product(spots[0]), 1))
    elif day is not None and Product.DELIVERY in offered:
        chosen.append((HELD, pledged[4], Product.DELIVERY, 1))
    other = [one for one in spots if one.exchange != spots[0].exchange]
    if not wallet and day is None and other:
        chosen.append((HELD, other[0], product(other[0]), 1))
    if goods:
        chosen.append((HELD, goods[0], product(goods[0], Product.CARRY), 1))
    return [Leg("ABCDEFGH"[at], part, one, kind, sign) for at, (part, one, kind, sign) in enumerate(_distinct(chosen))]


def _distinct(
    chosen: Sequence[tuple[str, Instrument, Product, int]],
) -> list[tuple[str, Instrument, Product, int]]:
    seen: set[tuple[str, Product]] = set()
    kept = []
    for one in chosen:
        key = one[1].instrument_id, one[2]
        if key not in seen:
            seen.add(key)
            kept.append(one)
    return kept
