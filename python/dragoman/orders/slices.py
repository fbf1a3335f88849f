"""Orders that the broker answers with several: what a child begins as, and what its parent comes to."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from dragoman.model import Order, OrderStatus, Pending, PriceBasis

S = OrderStatus
ZERO = Decimal(0)


def child_of(parent: Order, name: str) -> Order:
    """Return a child before its first report: the parent's terms, its own share not known yet."""
    return parent.but(
        client_order_id=name,
        wire_id="",
        order_id="",
        order_ids=(),
        parent_order_id=parent.order_id or None,
        status=S.SUBMITTED,
        pending=Pending.NONE,
        reject=None,
        quantity=ZERO,
        remaining_quantity=ZERO,
        filled_quantity=ZERO,
        canceled_quantity=ZERO,
        average_price=None,
        ts_closed=None,
    )


def rolled_up(parent: Order, children: Sequence[Order]) -> Order:
    """Return a parent as the sum of its children. Fills belong to the children: sums of fills count them once."""
    filled = sum((child.filled_quantity for child in children), ZERO)
    priced = [child for child in children if child.filled_quantity and child.average_price is not None]
    value = sum((child.filled_quantity * (child.average_price or ZERO) for child in priced), ZERO)
    counted = sum((child.filled_quantity for child in priced), ZERO)
    status = _status(parent, children, filled)
    left = max(parent.quantity - filled, ZERO)
    times = [child.ts_event for child in children if child.ts_event is not None]
    closed = [child.ts_closed for child in children if child.ts_closed is not None]
    return parent.but(
        status=status,
        filled_quantity=filled,
        remaining_quantity=ZERO if status.terminal else left,
        canceled_quantity=left if status is S.CANCELED else ZERO,
        average_price=value / counted if counted else None,
        average_price_basis=PriceBasis.DERIVED,
        reject=parent.reject if status is not S.REJECTED else next((c.reject for c in children if c.reject), None),
        ts_event=max(times, default=parent.ts_event),
        ts_closed=max(closed, default=parent.ts_closed) if status.terminal else None,
    )


def _status(parent: Order, children: Sequence[Order], filled: Decimal) -> OrderStatus:
    states = {child.status for child in children}
    alive = {status for status in states if status.working and status is not S.UNKNOWN}
    if alive:
        if filled:
            return S.PARTIALLY_FILLED
        return next((status for status in (S.OPEN, S.TRIGGERED, S.TRIGGER_PENDING) if status in alive), S.ACCEPTED)
    if S.UNKNOWN in states:
        return S.UNKNOWN
    if filled >= parent.quantity > 0:
        return S.FILLED
    return S.REJECTED if states == {S.REJECTED} else S.CANCELED
