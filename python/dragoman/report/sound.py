"""Values that a journal's records hold, taken only where they are what they should be.

Anybody may have written to the file since. What is not sound raises one of `UNREADABLE`: its record is counted, and
left out.
"""

from __future__ import annotations

from decimal import Decimal
from math import isfinite
from typing import Any, Final

from dragoman.model import Fill, Order, OrderStatus, OrderType, Origin, Product, Reject, Side

UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, OSError)
_SIDES: Final = ("NET", "LONG", "SHORT")


def sound(fill: Fill) -> Fill:
    """Return a fill that can be counted.

    Raises
    ------
    TypeError, ValueError
        Something in it is of another type than a fill has.
    """
    texts = (fill.trade_id, fill.order_id, fill.instrument_id, fill.exchange, fill.client_order_id)
    times = (one for one in (fill.ts_event, fill.ts_recv) if one is not None)
    if not all(type(one) is str for one in texts) or not all(type(one) is int for one in times):
        raise TypeError("a fill holds text and times of other types")
    if type(fill.side) is not Side or type(fill.product) is not Product or fill.position_side not in _SIDES:
        raise ValueError("a fill has no side, or is of no product")
    if not fill.quantity.is_finite() or not fill.price.is_finite():
        raise ValueError("a fill has numbers that are none")
    return fill


def whole(order: Order) -> bool:
    """Whether an order has everything that is shown of it."""
    texts = (order.client_order_id, order.order_id, order.instrument_id)
    choices = ((order.side, Side), (order.status, OrderStatus), (order.order_type, OrderType))
    numbers = (order.quantity, order.filled_quantity, order.remaining_quantity)
    maybe = (order.price, order.trigger_price, order.average_price)
    return (
        all(type(one) is str for one in texts)
        and all(type(value) is kind for value, kind in (*choices, (order.product, Product), (order.origin, Origin)))
        and all(type(one) is Decimal and one.is_finite() for one in numbers)
        and all(one is None or one.is_finite() for one in maybe)
        and type(order.order_ids) is tuple
        and all(type(one) is str for one in order.order_ids)
        and (order.reject is None or (type(order.reject) is Reject and type(order.reject.text) is str))
    )


def text(value: Any) -> str:
    """Return text, of a number too. Raises TypeError."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return str(value)
    raise TypeError(f"a {type(value).__name__} where text belongs")


def number(value: Any) -> Decimal | None:
    """Return a number exactly; None where there is none. Raises one of `UNREADABLE`."""
    if value is None:
        return None
    found = Decimal(repr(value) if isinstance(value, float) else value)
    if not found.is_finite():
        raise ValueError(f"{value!r} is no number")
    return found


def price(value: Any) -> Decimal | None:
    """Return a price; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return None
    return above_zero(Decimal(repr(value)))


def above_zero(value: Decimal | None) -> Decimal | None:
    """Return a number that is above 0; None of any other."""
    return value if value is not None and value.is_finite() and value > 0 else None
