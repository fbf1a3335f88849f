"""Which working orders make a position smaller: what is spoken for already when another exit is planned."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from dragoman.model import Order, OrderUpdate, Product, Side
from dragoman.orders.store import OrderStore
from dragoman.portfolio.net import PositionKey

ZERO: Final = Decimal(0)


class Working:
    """The unfinished orders of an account by instrument, kept from what the store tells.

    An order of unknown outcome counts as working: it may be.
    """

    def __init__(self, store: OrderStore) -> None:
        self._store = store
        self._names: dict[str, set[str]] = {}
        self.end = store.listen(self._on_update)
        self.recount()

    def recount(self) -> None:
        """Go through the whole store: after orders were entered of which nobody was told."""
        self._names.clear()
        for order in self._store:
            self._take(order)

    def reducing(self, key: PositionKey, side: Side) -> list[Order]:
        """Return the unfinished orders on `side` of a position."""
        instrument_id, product, position_side = key
        names = self._names.get(instrument_id)
        if not names:
            return []
        found = []
        for name in tuple(names):
            order = self._store.get(name)
            if order is None or order.client_order_id != name or order.status.terminal:
                names.discard(name)  # it has ended, or goes by another name by now
                continue
            parent, slash, _ = name.rpartition("/")
            if slash and self._store.get(parent) is not None:
                continue  # its parent stands for it
            # An order whose product nobody could read may be on this position.
            if (
                order.side is side
                and order.product in (product, Product.UNKNOWN)
                and order.position_side == position_side
            ):
                found.append(order)
        return found

    def taken(self, key: PositionKey, side: Side) -> Decimal:
        """Return how much of a position its unfinished orders may take."""
        return sum((self._store.most_left(order) for order in self.reducing(key, side)), ZERO)

    def _on_update(self, update: OrderUpdate) -> None:
        order = update.order
        if order.status.terminal or order.client_order_id not in self._names.get(order.instrument_id, ()):
            self._take(order)

    def _take(self, order: Order) -> None:
        if order.status.terminal:
            names = self._names.get(order.instrument_id)
            if names is not None:
                names.discard(order.client_order_id)
        else:
            self._names.setdefault(order.instrument_id, set()).add(order.client_order_id)


def left(order: Order) -> Decimal:
    """Return how much of an order may still fill."""
    return ZERO if order.status.terminal else max(order.quantity - order.filled_quantity, ZERO)
