"""Orders that become several: slices of one too large, legs of an iceberg one after the other, a stop after an entry.

`Chains` watches an account's events and submits what follows an order once that order is filled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from dragoman.emulator.venue.types import OrderState, VenueOrder, VenueProtocol, VenueRejectError
from dragoman.model import OrderStatus, OrderType

Follow = Callable[[OrderState], VenueOrder | None]
"""Given a filled order, what comes after it; None where nothing does."""


class Chains:
    """What follows the orders of one account."""

    def __init__(self, venue: VenueProtocol, account: str) -> None:
        self._venue = venue
        self._account = account
        self._seen = 0
        self._after: dict[str, Follow] = {}

    def start(self, order: VenueOrder, follow: Follow, now_ns: int) -> str:
        """Submit an order and remember what follows it. Raises VenueRejectError."""
        order_id = self._venue.submit(self._account, order, now_ns)
        self._after[order_id] = follow
        return order_id

    def poll(self, now_ns: int) -> None:
        """Submit what became due. What the venue refuses then, ends its chain."""
        for event in self._venue.events(self._account, self._seen):
            self._seen = event.sequence
            if not event.order.status.terminal:
                continue
            follow = self._after.pop(event.order.order_id, None)
            order = follow(event.order) if follow and event.order.status is OrderStatus.FILLED else None
            if follow is not None and order is not None:
                try:
                    self.start(order, follow, now_ns)
                except VenueRejectError:
                    continue


def pieces(total: Decimal, largest: Decimal) -> Iterator[Decimal]:
    """Yield parts of `total`, none above `largest`, the rest last."""
    while total > 0:
        part = min(total, largest)
        yield part
        total -= part


def slices(
    venue: VenueProtocol, account: str, order: VenueOrder, largest: Decimal, lot: Decimal, now_ns: int
) -> list[str | VenueRejectError]:
    """Submit an order in parts of whole lots, none above `largest`; return each part's id or refusal, in order."""
    found: list[str | VenueRejectError] = []
    for quantity in pieces(order.quantity, largest - largest % lot):
        try:
            found.append(venue.submit(account, replace(order, quantity=quantity), now_ns))
        except VenueRejectError as refused:
            found.append(refused)
    return found


def iceberg(
    order: VenueOrder, shown: Decimal, mark: Callable[[int, Sequence[Decimal]], dict[str, object]]
) -> tuple[VenueOrder, Follow]:
    """Cut an order into legs, of which the next is placed when one is filled.

    Parameters
    ----------
    mark : callable
        (number of a leg from 1, all legs) -> what to add to the leg's `extra`.

    Returns
    -------
    The first leg, and what follows each.
    """
    parts = list(pieces(order.quantity, shown))

    def leg(number: int) -> VenueOrder:
        return replace(order, quantity=parts[number - 1], extra=order.extra | mark(number, parts))

    left = iter(range(2, len(parts) + 1))
    return leg(1), lambda state: next((leg(number) for number in left), None)


def cover(order: VenueOrder, trigger: Decimal, extra: dict[str, object]) -> Follow:
    """Follow an entry with a stop order the other way round, `extra` and its parent's id (``parent``) in it.

    Raises
    ------
    ValueError
        Where the trigger is not on the losing side of the entry's price.
    """
    sign = order.side.sign
    if trigger <= 0 or (order.price is not None and sign * order.price <= sign * trigger):
        raise ValueError(f"trigger {trigger} is not on the losing side of {order.price}")

    def second(state: OrderState) -> VenueOrder | None:
        if "parent" in state.order.extra:
            return None
        return VenueOrder(
            instrument_id=order.instrument_id,
            side=order.side.opposite,
            quantity=state.filled_quantity,
            order_type=OrderType.STOP_MARKET,
            product=order.product,
            trigger_price=trigger,
            extra=extra | {"parent": state.order_id},
        )

    return second
