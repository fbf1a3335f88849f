"""Orders that stand in the way of an exit, and exits' own orders that no longer fit: cancelled, and waited for."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from dragoman.errors import DragomanError
from dragoman.model import Order, OrderStatus, Origin, Pending
from dragoman.orders import OrderService
from dragoman.rules.exit import Exit
from dragoman.rules.working import ZERO, Working, left
from dragoman.session.secrets import redact
from dragoman.session.session import AccountSession

if TYPE_CHECKING:
    from dragoman.rules.exits import Exits

_PATIENCE_S: Final = 30.0
_CANCEL_S: Final = 10.0
_log = logging.getLogger("dragoman.rules")


class Clearing:
    """Cancels for the exits of one account.

    Attributes
    ----------
    owners : dict of str to Exit
        Which exit an order is of, by the order's name.
    """

    def __init__(self, session: AccountSession, orders: OrderService, working: Working, exits: Exits) -> None:
        self._session = session
        self._orders = orders
        self._store = orders.store
        self._working = working
        self._exits = exits
        self.owners: dict[str, Exit] = {}

    def wait_or_clear(self, one: Exit, missing: Decimal, free: Decimal, size: Decimal) -> None:
        """Nothing can be sent: another order is in the way, or what is left is less than a lot."""
        if any(other is not one and other.working for other in self._exits.running(one.key)):
            return  # another exit of the same position; it will be looked at again when that moves
        in_the_way = [order for order in self._working.reducing(one.key, one.side) if self.owner(order) is None]
        if not in_the_way and not any(other.entering for other in self._exits.running(one.key)):
            lot = one.instrument.lot_size
            self._exits.end(one, f"what is left, {min(missing, size)}, is less than a lot of {lot}", failed=True)
            return
        needed = missing - max(free, ZERO)
        for order in sorted(in_the_way, key=left, reverse=True):
            if needed <= 0:
                break
            if self._may_clear(one, order):
                needed -= left(order)
                if order.pending is not Pending.CANCEL:
                    self._cancel(order, f"{one.name} needs what it stands for")
        if one.patience is None:
            loop = asyncio.get_running_loop()
            one.patience = loop.call_later(_PATIENCE_S, self._lose_patience, one)

    def _lose_patience(self, one: Exit) -> None:
        one.patience = None
        blocking = [order for order in self._working.reducing(one.key, one.side) if self.owner(order) is None]
        if one.done or one.working or not blocking:
            self._exits.touch(one.key)
            return
        names = ", ".join(order.client_order_id for order in blocking[:5])
        self._exits.end(one, f"orders that work already leave it nothing to exit: {names}", failed=True)

    def _may_clear(self, one: Exit, order: Order) -> bool:
        if not order.order_id or one.send.clears == "none":
            return False
        return one.send.clears == "all" or order.origin is Origin.US

    def owner(self, order: Order) -> Exit | None:
        owner = self.owners.get(order.client_order_id)
        return None if owner is None or owner.done else owner

    def reprice(self, one: Exit, name: str) -> None:
        """Cancel a limit order that has not filled; what is left goes out at the price of then."""
        order = self._store.get(name)
        if one.done or order is None or order.status.terminal or order.status is OrderStatus.UNKNOWN:
            return
        if order.order_id and order.pending is Pending.NONE:
            one.retracted.add(name)
            self._cancel(order, "the price has moved on")

    def retract(self, one: Exit, excess: Decimal) -> None:
        """Cancel orders of an exit that would take the position past zero, because others made it smaller."""
        for order in reversed(one.known):
            if excess <= 0:
                return
            if left(order) and order.order_id and order.pending is not Pending.CANCEL:
                one.retracted.add(order.client_order_id)
                excess -= left(order)
                self._cancel(order, "the position is smaller than what works against it")

    def _cancel(self, order: Order, why: str) -> None:
        async def cancel() -> None:
            try:
                await self._orders.cancel(order, timeout_s=_CANCEL_S)
            except DragomanError as error:
                _log.warning("order %s is not cancelled (%s): %s", order.client_order_id, why, redact(str(error)))

        _log.info("cancel %s: %s", order.client_order_id, why)
        self._session.runtime.spawn(cancel(), name=f"cancel {order.client_order_id}")
