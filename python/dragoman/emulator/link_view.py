"""One of the ids of an order, as a broker that shows each change as an order of its own writes it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Generic

from dragoman.emulator.linked_orders import LinkedOrders
from dragoman.emulator.links import Chain, Link, NameT, Phase
from dragoman.emulator.venue.types import ZERO, OrderState
from dragoman.model import OrderStatus, Pending


class LinkView(Generic[NameT]):
    """An order under one of its ids; times are ns UTC, None where it did not happen.

    Attributes
    ----------
    kept : dict
        What was kept of the request.
    filled : Decimal
        Under this id; `average` is its price, None before the first fill.
    size : Decimal
        What this id is for: what the ids before it filled is not in it.
    legs : list of LinkView
        What waits for its fill, if it is shown `nested`.
    """

    def __init__(
        self,
        orders: LinkedOrders[NameT],
        chain: Chain[NameT],
        link: Link,
        state: OrderState | None = None,
        *,
        nested: bool = False,
    ) -> None:
        self.chain, self.link, self.named, self.kept = chain, link, chain.named, chain.fields
        self.state = state or orders.state(chain)
        self.order = link.terms or self.state.order
        self.size = self.order.quantity - link.base
        fills = [fill for fill, _ in orders.fills(chain, link, self.state)]
        self.filled = sum((fill.quantity for fill in fills), ZERO)
        self._value = sum((fill.quantity * fill.price for fill in fills), ZERO)
        self.legs = [LinkView(orders, leg, leg.link) for leg in chain.legs] if nested else []

    @property
    def average(self) -> Decimal | None:
        return self._value / self.filled if self.filled else None

    @property
    def changed(self) -> int:
        """When anything happened to it last."""
        return self.link.ended or max(self.state.ts_updated, self.link.created)

    @property
    def replaced_ns(self) -> int | None:
        return self.link.ended if self.link.phase is Phase.REPLACED else None

    @property
    def filled_ns(self) -> int | None:
        return self._ended(OrderStatus.FILLED)

    @property
    def canceled_ns(self) -> int | None:
        return self._ended(OrderStatus.CANCELED)

    @property
    def expired_ns(self) -> int | None:
        return self._ended(OrderStatus.EXPIRED)

    @property
    def rejected_ns(self) -> int | None:
        return self._ended(OrderStatus.REJECTED)

    @property
    def replaces(self) -> str | None:
        return self.link.replaces.order_id if self.link.replaces else None

    @property
    def replaced_by(self) -> str | None:
        return self.link.replaced_by.order_id if self.link.replaced_by else None

    @property
    def best(self) -> Decimal | None:
        """The best price since a trailing stop was placed."""
        return self.chain.trail.best if self.chain.trail else None

    @property
    def shown(self) -> OrderState:
        """The state it is shown in: without what was filled under the ids before, and the broker's own changes."""
        if self.state.pending is Pending.MODIFY and self.chain.waiting is None:
            return replace(self.state, pending=Pending.NONE)  # a trailing stop, moved
        elsewhere = self.state.status is OrderStatus.PARTIALLY_FILLED and not self.filled
        if elsewhere and self.state.pending is Pending.NONE:
            return replace(self.state, status=OrderStatus.OPEN)
        return self.state

    def _ended(self, status: OrderStatus) -> int | None:
        last = self.link is self.chain.link and self.link.phase is not Phase.REPLACED
        return self.state.ts_updated if last and self.state.status is status else None
