"""Every order of an account as it is known now, whoever reported it last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

from dragoman.model import Fill, Order, OrderStatus, OrderUpdate, Origin, Outcome, Pending, Reject
from dragoman.orders.fills import FillLedger
from dragoman.orders.identity import read_wire_id
from dragoman.orders.state import Verdict, allowed, merge

Source = Literal["stream", "poll", "reply", "local"]


class OrderStore:
    """Merges reports into views and says what changed.

    An order is owned by its `client_order_id`; one first seen at the broker gets ``EXT-<order id>``. Reports find their
    order by broker id, or by the wire id in its tag when the reply that would have told the id is still missing.

    Parameters
    ----------
    trading_day : callable
        See `FillLedger`.
    """

    def __init__(self, trading_day: Callable[[int | None], str]) -> None:
        self._orders: dict[str, Order] = {}
        self._by_order_id: dict[str, str] = {}
        self._by_wire_id: dict[str, str] = {}
        self._orphans: dict[str, list[Fill]] = {}
        self._listeners: list[Callable[[OrderUpdate], None]] = []
        self.fills = FillLedger(trading_day)
        self.counters: dict[str, int] = {verdict.value: 0 for verdict in Verdict}
        self.counters.update(unknown_status=0, fill_conflicts=0, external=0, listener_errors=0)
        self.unknown_words: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[Order]:
        return iter(self._orders.values())

    def get(self, name: str) -> Order | None:
        """Return an order by client order id, any of its broker ids, or its wire id."""
        owner = name if name in self._orders else self._by_order_id.get(name) or self._by_wire_id.get(name)
        return self._orders.get(owner) if owner else None

    def listen(self, listener: Callable[[OrderUpdate], None]) -> Callable[[], None]:
        """Call `listener` after every change; returns what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    # -- our own acts ------------------------------------------------------------------------------------------------

    def create(self, order: Order) -> Order:
        """Enter an order of ours before anything is sent."""
        self._orders[order.client_order_id] = order
        if order.wire_id:
            self._by_wire_id[order.wire_id] = order.client_order_id
        self._tell(OrderUpdate(order, source="local"))
        return order

    def settle(self, client_order_id: str, outcome: Outcome, ts: int) -> Order:
        """Apply the outcome of placing. A stream may have been faster: then only the id is new."""
        known = self._orders[client_order_id]
        if outcome.order_id:
            self._bind(outcome.order_id, client_order_id)
            known = known.but(order_id=outcome.order_id, order_ids=_with(known.order_ids, outcome.order_id))
        match outcome.effect:
            case "ACCEPTED" | "PARTIAL":
                status = OrderStatus.ACCEPTED
            case "REJECTED":
                status = OrderStatus.REJECTED
            case "UNKNOWN":
                status = OrderStatus.UNKNOWN
        if known.status in (OrderStatus.SUBMITTED, OrderStatus.UNKNOWN) and known.status is not status:
            stamp = {"ts_accepted": ts} if status is OrderStatus.ACCEPTED else {}
            if status.terminal:
                stamp["ts_closed"] = ts
            known = known.but(status=status, reject=outcome.reject, ts_recv=ts, **stamp)
        self._orders[client_order_id] = known
        self._tell(OrderUpdate(known, source="reply"))
        self._adopt_orphans(client_order_id)
        return self._orders[client_order_id]

    def deny(self, client_order_id: str, reject: Reject, ts: int) -> Order:
        """Record that the order never left this machine."""
        order = self._orders[client_order_id].but(status=OrderStatus.DENIED, reject=reject, ts_closed=ts)
        self._orders[client_order_id] = order
        self._tell(OrderUpdate(order, source="local"))
        return order

    def mark(self, client_order_id: str, pending: Pending) -> Order:
        """Set what is in flight beside the firm status; a finished order has nothing in flight."""
        order = self._orders[client_order_id]
        if order.pending is not pending and not (order.status.terminal and pending is not Pending.NONE):
            order = order.but(pending=pending)
            self._orders[client_order_id] = order
            self._tell(OrderUpdate(order, source="local"))
        return order

    def rename(self, client_order_id: str, order_id: str) -> Order:
        """Record a new broker id of the same order (a replace chain)."""
        order = self._orders[client_order_id]
        self._bind(order_id, client_order_id)
        order = order.but(order_id=order_id, order_ids=_with(order.order_ids, order_id))
        self._orders[client_order_id] = order
        return order

    # -- the broker's reports ----------------------------------------------------------------------------------------

    def see(self, seen: Order, source: Source) -> Verdict:
        """Merge one report of an order."""
        if seen.status is OrderStatus.UNKNOWN:
            self._count_unknown(seen.raw_status)
        owner = self._owner(seen)
        known = self._orders.get(owner)
        if known is None:
            verdict = Verdict.APPLIED
            merged = seen.but(client_order_id=owner, order_ids=(seen.order_id,), origin=Origin.EXTERNAL)
            self.counters["external"] += 1
        else:
            result = merge(known, seen)
            verdict, merged = result.verdict, result.order
        self._bind(seen.order_id, owner)
        self._orders[owner] = merged
        self.counters[verdict.value] += 1
        change = self.fills.report(merged, owner)
        self.counters["fill_conflicts"] += change.refused is not None
        if merged is not known or change.added or change.replaced:
            self._tell(OrderUpdate(merged, change.added, change.replaced, source))
        self._adopt_orphans(owner)
        return verdict

    def see_fill(self, fill: Fill, source: Source) -> None:
        """Count one itemised fill; one whose order is not known yet waits for it."""
        owner = self._by_order_id.get(fill.order_id)
        if owner is None:
            self._orphans.setdefault(fill.order_id, []).append(fill)
            return
        order = self._orders[owner]
        fill = replace(fill, client_order_id=owner)
        change = self.fills.add(fill, owner)
        if change.refused is not None:
            self.counters["fill_conflicts"] += 1
        if not change.added and not change.replaced:
            return
        total = sum((f.quantity for f in self.fills.of(owner)), start=fill.quantity * 0)
        if total > order.filled_quantity:
            full = total >= order.quantity
            status = OrderStatus.FILLED if full else OrderStatus.PARTIALLY_FILLED
            changes: dict[str, Any] = {
                "filled_quantity": total,
                "remaining_quantity": max(order.quantity - total, total * 0),
            }
            if allowed(order.status, status) in (Verdict.APPLIED, Verdict.LATE):
                changes["status"] = status
            order = order.but(last_price=fill.price, last_quantity=fill.quantity, **changes)
            self._orders[owner] = order
        self._tell(OrderUpdate(order, change.added, change.replaced, source))

    @property
    def orphan_fills(self) -> tuple[Fill, ...]:
        """Fills of orders nobody has reported yet."""
        return tuple(fill for fills in self._orphans.values() for fill in fills)

    @property
    def open(self) -> tuple[Order, ...]:
        return tuple(order for order in self if order.is_open)

    @property
    def unknown(self) -> tuple[Order, ...]:
        """Orders that may be live and whose outcome nobody has proven yet."""
        return tuple(order for order in self if order.status is OrderStatus.UNKNOWN)

    def _owner(self, seen: Order) -> str:
        owner = self._by_order_id.get(seen.order_id)
        if owner is None:
            wire_id = read_wire_id(seen.tag) or next(filter(None, map(read_wire_id, seen.tags)), None)
            owner = self._by_wire_id.get(wire_id) if wire_id else None
        return owner or f"EXT-{seen.order_id}"

    def _bind(self, order_id: str, owner: str) -> None:
        if order_id:
            self._by_order_id[order_id] = owner

    def _adopt_orphans(self, owner: str) -> None:
        for order_id in self._orders[owner].order_ids:
            for fill in self._orphans.pop(order_id, ()):
                self.see_fill(fill, "poll")

    def _count_unknown(self, word: str) -> None:
        self.counters["unknown_status"] += 1
        if word in self.unknown_words or len(self.unknown_words) < 1000:
            self.unknown_words[word] = self.unknown_words.get(word, 0) + 1

    def _tell(self, update: OrderUpdate) -> None:
        for listener in tuple(self._listeners):
            listener(update)


def _with(ids: tuple[str, ...], order_id: str) -> tuple[str, ...]:
    return ids if order_id in ids else (*ids, order_id)
