"""Orders that stand in the way of an exit, and exits' own orders that no longer fit: cancelled, and waited for."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from dragoman.errors import DragomanError
from dragoman.model import Order, OrderStatus, OrderType, Origin, Pending
from dragoman.orders import OrderService
from dragoman.rules.exit import Exit
from dragoman.rules.working import ZERO, Working, left
from dragoman.session.secrets import redact
from dragoman.session.session import AccountSession

if TYPE_CHECKING:
    from dragoman.rules.exits import Exits

_PATIENCE_S: Final = 30.0
_CANCEL_S: Final = 10.0
_YIELD_S: Final = 2.0
"""How long an exit that has to succeed lets another one of the same position try."""
_AGAIN_S: Final = 1.0
_SELDOM_S: Final = 5.0
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
        self._asked: set[str] = set()  # cancelled not long ago, by the order's name

    def wait_or_clear(self, one: Exit, missing: Decimal, free: Decimal, size: Decimal) -> None:
        """Nothing can be sent: another order is in the way, or what is left is less than a lot."""
        others = [other for other in self._exits.running(one.key) if other is not one and other.working]
        if others:
            # Looked at again when that moves. It may rest at a price nobody takes: one that has to succeed takes over.
            if one.send.clears == "all" and one.patience is None:
                loop = asyncio.get_running_loop()
                one.patience = loop.call_later(_YIELD_S, self._take_over, one)
            return
        in_the_way = [order for order in self._working.reducing(one.key, one.side) if self.owner(order) is None]
        if not in_the_way and not any(other.entering for other in self._exits.running(one.key)):
            lot = one.instrument.lot_size
            words = f"what is left, {min(missing, size)}, is less than a lot of {lot}"
            dust = one.filled > 0 or size < lot  # nobody could sell it, and all else is gone
            self._exits.end(one, f"done but for dust: {words}" if dust else words, failed=not dust)
            return
        needed = missing - max(free, ZERO)
        for order in sorted(in_the_way, key=left, reverse=True):
            if needed <= 0:
                break
            if self._may_clear(one, order):
                needed -= left(order)
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
        if any(order.status is OrderStatus.UNKNOWN or self._may_clear(one, order) for order in blocking):
            # One that nobody knows of is being looked for, one that is not cancelled yet is cancelled again: the
            # position stays to be closed for as long as that takes.
            one.waits_for = f"orders in its way are neither gone nor known to be: {names}"
            _log.warning("exit %s waits on: %s", one.name, one.waits_for)
            if one.changed is not None:
                one.changed(one)
            one.patience = asyncio.get_running_loop().call_later(_PATIENCE_S, self._lose_patience, one)
            self._exits.touch(one.key)
            return
        self._exits.end(one, f"orders that work already leave it nothing to exit: {names}", failed=True)

    def _take_over(self, one: Exit) -> None:
        """Let the other exits of a position send no more, and cancel what they have there."""
        one.patience = None
        if one.done or one.working:
            return
        for other in self._exits.running(one.key):
            if other is not one and other.working and other.send.clears != "all":
                other.stopped, other.yielded = f"{one.name} took over what it had left", True
                for order in other.known:
                    self.withdraw(other, order, f"{one.name} takes over")
        self._exits.touch(one.key)

    def _may_clear(self, one: Exit, order: Order) -> bool:
        if not order.order_id or one.send.clears == "none":
            return False
        return one.send.clears == "all" or order.origin is Origin.US

    def owner(self, order: Order) -> Exit | None:
        owner = self.owners.get(order.client_order_id)
        return None if owner is None or owner.done else owner

    def take(self, one: Exit, name: str) -> None:
        """Take note of an order of an exit that an earlier run placed."""
        self.owners[name] = one
        self.watch(one, name)

    def watch(self, one: Exit, name: str, after_s: float | None = None) -> None:
        """See to it that an order is repriced for as long as it works; `after_s`: later than that, not at its time."""
        after_s = one.send.reprice_s if after_s is None else after_s
        asyncio.get_running_loop().call_later(after_s, self._reprice, one, name)

    def _reprice(self, one: Exit, name: str) -> None:
        """Cancel a limit order that has not filled; what is left goes out at the price of then."""
        order = self._store.get(name)
        if one.done or (order is not None and (order.status.terminal or order.order_type is OrderType.MARKET)):
            return
        if order is not None:
            self.withdraw(one, order, "the price has moved on")
        # Its cancel may fail, it may be unknown just now or busy with another change: looked at until it has ended.
        self.watch(one, name, max(_AGAIN_S, min(one.send.reprice_s, _SELDOM_S)))

    def withdraw(self, one: Exit, order: Order, why: str) -> bool:
        """Cancel an order of an exit where that can be asked for now; whether it was."""
        if order.status.terminal or order.status is OrderStatus.UNKNOWN or not order.order_id:
            return False
        if order.pending is Pending.MODIFY:
            return False
        one.retracted.add(order.client_order_id)
        self._cancel(order, why)
        return True

    def retract(self, one: Exit, excess: Decimal) -> None:
        """Cancel orders of an exit that would take the position past zero, because others made it smaller."""
        for order in reversed(one.known):
            if excess <= 0:
                return
            if left(order) and order.order_id:
                one.retracted.add(order.client_order_id)
                excess -= left(order)
                self._cancel(order, "the position is smaller than what works against it")

    def _cancel(self, order: Order, why: str) -> None:
        """Ask for a cancel, and look again a while later: it may have failed, and nobody may know what came of it."""
        name = order.client_order_id
        if name in self._asked:
            return

        async def cancel() -> None:
            wait_s = _SELDOM_S
            try:
                await self._orders.cancel(order, timeout_s=_CANCEL_S)
            except DragomanError as error:
                wait_s = max(_AGAIN_S, error.retry_after_s or 0.0)
                _log.warning("order %s is not cancelled (%s): %s", name, why, redact(str(error)))
            finally:
                asyncio.get_running_loop().call_later(wait_s, self._ask_again, order)

        self._asked.add(name)
        _log.info("cancel %s: %s", name, why)
        self._session.runtime.spawn(cancel(), name=f"cancel {name}")

    def _ask_again(self, order: Order) -> None:
        self._asked.discard(order.client_order_id)
        self._exits.touch_all(order.instrument_id)
