"""Market orders that an exchange takes with a protection only: the percent beyond the market at which they stop."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from dragoman.model import Order, OrderChange, OrderType, Origin
from dragoman.plugin.records import Records

PROTECTED: Final = (OrderType.MARKET, OrderType.STOP_MARKET)
"""Order types that take a protection."""
AUTOMATIC: Final = -1
"""Leaves the percent to the broker; without any the order is refused."""


def check_protection(
    records: Records, order_type: OrderType, percent: Decimal | None, *, most: int = 100, whole: bool = False
) -> None:
    """Refuse a protection of what has none, and one beyond `most` percent or, for `whole`, of a fraction.

    Raises
    ------
    UsageError
        Zero bytes were sent.
    """
    if percent is None:
        return
    lowest, kind = (1, "a whole percent from 1") if whole else (0, "a percent above 0, up")
    bad = not lowest <= percent <= most or not percent or (whole and percent != int(percent))
    records.check(
        (order_type not in PROTECTED, f"a {order_type} order takes no market_protection", "leave it out"),
        (bad, f"market_protection {percent} is not {kind} to {most}", "leave it out for automatic protection"),
    )


def kept_protection(records: Records, order: Order, change: OrderChange) -> Decimal | None:
    """Return the protection that a change must repeat: one that names none is protected by the broker's own percent.

    Of our own order that had none the broker's is kept; of one that was placed elsewhere nobody tells the percent.

    Raises
    ------
    UsageError
        The order was placed elsewhere, and the change names no percent.
    """
    stays = (change.order_type or order.order_type) in PROTECTED
    if change.market_protection is not None or not stays:
        return change.market_protection
    lost = order.market_protection is None and order.order_type in PROTECTED and order.origin is not Origin.US
    records.check(
        (
            lost,
            f"order {order.order_id} is {order.order_type} and was placed elsewhere: a change would replace the market"
            " protection it has, which the book does not tell",
            "give market_protection with the change",
        )
    )
    return order.market_protection


def wire_protection(order_type: OrderType, percent: Decimal | None) -> dict[str, int]:
    """Return the field of a request, in whole percent; nothing for an order that takes none."""
    if order_type not in PROTECTED:
        return {}
    return {"market_protection": AUTOMATIC if percent is None else int(percent)}
