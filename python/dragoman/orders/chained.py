"""Orders whose changes give them a new id that counts from zero: the chain's ids added up to one order."""

from __future__ import annotations

from decimal import Decimal

from dragoman.model import Order, OrderStatus

ZERO = Decimal(0)


class ChainFills:
    """What each broker id of each order has filled so far."""

    def __init__(self) -> None:
        self._orders: dict[str, dict[str, tuple[Decimal, Decimal | None]]] = {}

    def whole(self, owner: str, seen: Order) -> Order:
        """Return a report of one id as one of the whole order: what the other ids filled is added.

        Parameters
        ----------
        owner : str
            The order's own name.
        seen : Order
            Its quantity is what this id was given, its fills are those of this id.
        """
        if not seen.order_id:
            return seen
        average = seen.average_price
        value = None if average is None else seen.filled_quantity * average
        ids = self._orders.setdefault(owner, {})
        if seen.filled_quantity >= ids.get(seen.order_id, (ZERO, None))[0]:
            ids[seen.order_id] = seen.filled_quantity, value
        others = [entry for order_id, entry in ids.items() if order_id != seen.order_id and entry[0]]
        filled = sum((quantity for quantity, _ in others), ZERO)
        if not filled:
            return seen
        total = seen.filled_quantity + filled
        status = seen.status
        if status.working and status is not OrderStatus.UNKNOWN:
            status = OrderStatus.PARTIALLY_FILLED  # this id has not traded, the order has
        values = [value if seen.filled_quantity else ZERO, *(worth for _, worth in others)]
        known = [worth for worth in values if worth is not None]
        return seen.but(
            status=status,
            quantity=seen.quantity + filled,
            filled_quantity=total,
            average_price=sum(known, ZERO) / total if len(known) == len(values) else None,
        )
