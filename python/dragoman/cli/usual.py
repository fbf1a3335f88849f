"""What an order is where its command does not say, also at a broker without DELIVERY or trading days."""

from __future__ import annotations

from dragoman.errors import UsageError
from dragoman.model import CanonicalId, IdKind, Product, TimeInForce
from dragoman.plugin import Adapter

_OWNED = (IdKind.CASH, IdKind.SERIES, IdKind.PAIR)


def product_of(adapter: Adapter, instrument: str) -> Product:
    """Return DELIVERY; where the broker has none of it, CASH for what is owned and MARGIN for contracts."""
    offered = adapter.capabilities.products
    try:
        owned = CanonicalId.parse(instrument).kind in _OWNED
    except UsageError:
        owned = True  # a name of the broker's own, or a wrong one: whoever looks it up says which
    for product in (Product.DELIVERY, Product.CASH if owned else Product.MARGIN):
        if product in offered:
            return product
    return Product.DELIVERY


def validity_of(adapter: Adapter) -> TimeInForce:
    """Return DAY, or GTC where the venue knows no trading days."""
    offered = adapter.capabilities.time_in_force
    return TimeInForce.GTC if TimeInForce.DAY not in offered and TimeInForce.GTC in offered else TimeInForce.DAY
