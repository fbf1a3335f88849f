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

    Orders that were only entered are not waited for with each: they are taken in when somebody asks. An order of
    unknown outcome counts as working: it may be.
    """

    def __init__(self, store: OrderStore) -> None:
        self._store = store
        self._names: dict[str, set[str]] = {}
        self._newest = ""  # the order entered last of those that were taken in
        self._recalled = 0
        self.end = store.listen(self._on_update, first_steps=False)
        self._catch_up()

    def recount(self) -> None:
        """Go through the whole store: after orders were entered of which nobody was told."""
        self._names.clear()
        self._newest = ""
        self._catch_up()

    def _catch_up(self) -> None:
        """Take in what was entered since the last look."""
        if self._recalled != self._store.recalled:  # what came back stands behind what was new then
            self._recalled, self._newest = self._store.recalled, ""
        known, self._newest = self._newest, ""
        for order in self._store.newest_first():
            if not self._newest:
                self._newest = order.client_order_id
            if order.client_order_id == known:
                break
            self._take(order)

    def reducing(self, key: PositionKey, side: Side) -> list[Order]:
        """Return the unfinished orders on `side` of a position."""
        self._catch_up()
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
