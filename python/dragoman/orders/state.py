"""The order state machine: what the broker reports, merged into what is known, by rules and without a clock.

A report may be late, doubled or out of order: a stream and a poll overlap, snapshots are older than the stream. Reports
are ordered by the broker's version, then event time, then how far along the life of an order they are; an older one
never undoes a newer. Cumulative fill never falls, and a fill is believed whatever came with it. An order that ended
comes back only by a report of a later moment; one that only we took for refused, by any (`Verdict.LATE` both).

Stamps are often whole seconds. Within one, a report that does not show the change we asked for is from before it, once
another has shown it; and one that shows it counts although its status is less far along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from dragoman.model import Fill, Order, OrderStatus, Origin, Pending, PriceBasis

S = OrderStatus
ZERO = Decimal(0)

_RANK = {
    S.CREATED: 0,
    S.SUBMITTED: 1,
    S.UNKNOWN: 1,
    S.ACCEPTED: 2,
    S.TRIGGER_PENDING: 3,
    S.TRIGGERED: 4,
    S.OPEN: 5,
    S.PARTIALLY_FILLED: 6,
    S.DENIED: 9,
    S.REJECTED: 9,
    S.EXPIRED: 9,
    S.CANCELED: 9,
    S.FILLED: 10,
}

_LIVE = frozenset((S.ACCEPTED, S.OPEN, S.TRIGGER_PENDING, S.TRIGGERED, S.PARTIALLY_FILLED))
_DONE = frozenset((S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED))

_UNREPORTED = frozenset((S.CREATED, S.SUBMITTED, S.UNKNOWN))

_ALLOWED: dict[OrderStatus, frozenset[OrderStatus]] = {
    S.CREATED: _LIVE | _DONE | {S.DENIED, S.SUBMITTED, S.UNKNOWN},
    S.SUBMITTED: _LIVE | _DONE | {S.UNKNOWN, S.DENIED},
    S.UNKNOWN: _LIVE | _DONE,
    S.ACCEPTED: (_LIVE | _DONE) - {S.ACCEPTED},
    S.OPEN: _DONE | {S.TRIGGER_PENDING, S.PARTIALLY_FILLED},
    S.TRIGGER_PENDING: _DONE | {S.OPEN, S.TRIGGERED, S.PARTIALLY_FILLED},
    S.TRIGGERED: _DONE | {S.OPEN, S.PARTIALLY_FILLED},
    S.PARTIALLY_FILLED: (_DONE - {S.REJECTED}) | {S.PARTIALLY_FILLED},
    S.CANCELED: frozenset(),
    S.EXPIRED: frozenset(),
    S.REJECTED: frozenset(),
    S.FILLED: frozenset(),
    S.DENIED: frozenset(),
}

_LATE: dict[OrderStatus, frozenset[OrderStatus]] = {
    S.PARTIALLY_FILLED: frozenset({S.REJECTED}),
    S.CANCELED: frozenset({S.OPEN, S.PARTIALLY_FILLED, S.FILLED}),
    S.EXPIRED: frozenset({S.OPEN, S.PARTIALLY_FILLED, S.FILLED}),
    S.REJECTED: frozenset({S.ACCEPTED, S.OPEN, S.TRIGGER_PENDING, S.PARTIALLY_FILLED, S.FILLED}),
}

TERMS = ("price", "quantity", "trigger_price", "order_type", "time_in_force", "display_quantity")
"""What a change can change, and a report tells."""
UNTOLD = ("market_protection",)
"""What a change can change and a report need not tell: it stays as we asked for it."""


class Verdict(Enum):
    APPLIED = "applied"
    SAME = "same"
    STALE = "stale"
    LATE = "late"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Merge:
    order: Order
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Asked:
    """The change or cancel we asked for last.

    Attributes
    ----------
    terms : mapping
        Names of `TERMS` and the values asked for; empty for a cancel.
    untold : mapping
        Names of `UNTOLD` and the values asked for.
    shown : bool
        A report has shown it in flight, so one that no longer does is from after it.
    answered_at : int or None
        How many full readings had begun when the broker took the request; None before it has.
    """

    terms: Mapping[str, Any] = field(default_factory=dict)
    untold: Mapping[str, Any] = field(default_factory=dict)
    shown: bool = False
    answered_at: int | None = None

    def met_by(self, order: Order) -> bool:
        """Whether the order has the terms that were asked for."""
        return bool(self.terms) and all(getattr(order, name) == value for name, value in self.terms.items())


_NOTHING = Asked(shown=True)  # what is in flight and was not asked for here, a report has told


def allowed(old: OrderStatus, new: OrderStatus) -> Verdict:
    """Say whether a firm status may follow another: APPLIED, SAME, LATE (only as late truth) or REFUSED."""
    if old is new:
        return Verdict.SAME
    if new in _ALLOWED[old]:
        return Verdict.APPLIED
    return Verdict.LATE if new in _LATE.get(old, ()) else Verdict.REFUSED


def unchanged(known: Order, merged: Order) -> bool:
    """Whether there is nothing to tell: only how fresh the view is may differ."""
    return merged is known or merged == known.but(ts_recv=merged.ts_recv, complete_as_of=merged.complete_as_of)


def merge(known: Order, seen: Order, asked: Asked | None = None, *, settles: bool = False) -> Merge:
    """Merge a broker's report into what is known.

    Parameters
    ----------
    known : Order
    seen : Order
        As the adapter read it: one report, complete for the fields the broker sends.
    asked : Asked, optional
        What we asked for last.
    settles : bool
        The report is of a full reading that began after the broker had taken what we asked for: where it shows nothing
        in flight, nothing is.

    Returns
    -------
    Merge
        The new view and what was made of the report. For STALE and REFUSED the view is `known`, except that a larger
        cumulative fill is kept whatever the status said. For SAME only its freshness differs.
    """
    asked = asked or _NOTHING
    moment = _moment(known, seen)
    more = seen.filled_quantity > known.filled_quantity
    if seen.status is S.UNKNOWN:
        # A status text nobody has mapped: keep the firm status, show the raw text, never take it for something else.
        told = known if moment < 0 else known.but(raw_status=seen.raw_status, ts_recv=seen.ts_recv)
        return Merge(fills_of(told, seen), Verdict.REFUSED)
    if known.status in _UNREPORTED:
        return Merge(_overlay(known, seen, seen.status, asked, settles), Verdict.APPLIED)
    if seen.filled_quantity < known.filled_quantity and (moment < 0 or not _ends(known, seen)):
        return Merge(known, Verdict.STALE)
    status = _status(known, seen)
    verdict = allowed(known.status, status)
    if more and (moment < 0 or verdict is Verdict.REFUSED or _is_over(known, seen, moment)):
        return Merge(fills_of(known, seen), Verdict.LATE if known.status.terminal else Verdict.APPLIED)
    if not more and (moment < 0 or _is_over(known, seen, moment) or _is_behind(known, seen, status, asked, settles)):
        return Merge(known, Verdict.STALE)
    if verdict is Verdict.REFUSED:
        return Merge(known, Verdict.REFUSED)
    merged = _overlay(known, seen, status, asked, settles)
    if verdict is Verdict.SAME and unchanged(known, merged):
        return Merge(known.but(ts_recv=merged.ts_recv, complete_as_of=merged.complete_as_of), Verdict.SAME)
    return Merge(merged, Verdict.APPLIED if verdict is Verdict.SAME else verdict)


def _ends(known: Order, seen: Order) -> bool:
    """Whether a report is the end of an order that works. Some brokers tell the end without the fills before it."""
    return seen.status_is_firm and seen.status.terminal and not known.status.terminal


def _is_over(known: Order, seen: Order, moment: int) -> bool:
    """Whether the order has ended, by the broker's word, and the report is no later word that it works on."""
    if not (known.status.terminal and known.status_is_firm) or (seen.status.terminal and seen.status_is_firm):
        return False
    return moment <= 0 or not seen.status_is_firm


def _moment(known: Order, seen: Order) -> int:
    """Return 1 where `seen` is of a later moment than what is known, -1 of an earlier, 0 where nothing tells."""
    for at, before in ((seen.version, known.version), (seen.ts_event, known.ts_event)):
        if at is not None and before is not None and at != before:
            return 1 if at > before else -1
    return 0


def _status(known: Order, seen: Order) -> OrderStatus:
    """Return the status a report speaks for: a word without one says no more than the fills beside it."""
    if seen.status_is_firm or not known.status_is_firm:
        return seen.status
    return _by_fills(known.status, seen.filled_quantity, known.quantity)


def _is_behind(known: Order, seen: Order, status: OrderStatus, asked: Asked, settles: bool) -> bool:
    """Whether a report without a new fill, of the same moment, is of a state before the one that is known."""
    if _moment(known, seen) != 0:
        return False
    if asked.met_by(known) and not asked.met_by(seen) and not status.terminal:
        return True
    changed = any(getattr(known, name) != getattr(seen, name) for name in TERMS)
    if seen.pending is not Pending.NONE and known.pending is Pending.NONE and (changed or asked.met_by(known)):
        return True  # in flight comes before done
    if not (known.status_is_firm and seen.status_is_firm) or _RANK[status] >= _RANK[known.status]:
        return False
    if known.status.terminal or known.pending is not Pending.MODIFY:
        return True
    return not (asked.met_by(seen) or (settles and changed))


def _by_fills(status: OrderStatus, filled: Decimal, quantity: Decimal) -> OrderStatus:
    """Return what a status becomes by how much is filled: an end stays the end, unless all of it is filled."""
    whole = 0 < quantity <= filled  # a slice's quantity is 0 until it is first reported
    reached = S.FILLED if whole else S.PARTIALLY_FILLED if filled > 0 and not status.terminal else status
    return reached if allowed(status, reached) in (Verdict.APPLIED, Verdict.LATE) else status


def fills_of(known: Order, seen: Order) -> Order:
    """Take the fills of a report and nothing else."""
    if seen.filled_quantity <= known.filled_quantity:
        return known
    return _filled(
        known,
        seen.filled_quantity,
        seen.ts_event or seen.ts_recv,
        average_price=seen.average_price,
        average_price_basis=seen.average_price_basis,
    )


def with_fills(known: Order, last: Fill, fills: Sequence[Fill]) -> Order:
    """Return the order as its itemised fills show it, where they come to more than its last report said."""
    total = sum((fill.quantity for fill in fills), start=ZERO)
    if total <= known.filled_quantity:
        return known
    return _filled(
        known,
        total,
        last.ts_event or last.ts_recv,
        average_price=sum((fill.quantity * fill.price for fill in fills), start=ZERO) / total,
        average_price_basis=PriceBasis.FILLS,
        last_price=last.price,
        last_quantity=last.quantity,
    )


def _filled(known: Order, total: Decimal, ts: int | None, **changes: Any) -> Order:
    """Return the order with more filled.

    A finished order that was not filled whole stays finished: a fill that was reported late happened before the end.
    """
    status = _by_fills(known.status, total, known.quantity)
    left = max(known.quantity - total, ZERO)
    if status is S.FILLED:
        changes.update(pending=Pending.NONE, ts_closed=known.ts_closed or ts)
    return known.but(
        status=status,
        status_is_firm=known.status_is_firm or status is not known.status,
        filled_quantity=total,
        remaining_quantity=ZERO if status.terminal else left,
        canceled_quantity=min(known.canceled_quantity, left),
        **changes,
    )


def _overlay(known: Order, seen: Order, status: OrderStatus, asked: Asked, settles: bool) -> Order:
    """Lay the report over what is known; what is ours, and what never changes, stays."""
    pending = seen.pending
    if status.terminal:
        pending = Pending.NONE
    elif pending is Pending.NONE and known.pending is not Pending.NONE and not _settles(known, seen, asked, settles):
        pending = known.pending
    elif pending is Pending.MODIFY and known.pending is Pending.CANCEL and not asked.shown:
        pending = known.pending  # an earlier change, and our cancel behind it
    done = asked.met_by(seen) and not asked.met_by(known)
    unsure = known.status in _UNREPORTED or (known.pending is Pending.MODIFY and done)  # a change may change the status
    ids = known.order_ids + tuple(one for one in seen.order_ids or (seen.order_id,) if one not in known.order_ids)
    merged = seen.but(
        # A report under an id that a replace left behind does not bring that id back.
        order_id=known.order_id if not seen.order_id or seen.order_id in known.order_ids else seen.order_id,
        status=status,
        status_is_firm=seen.status_is_firm or (known.status_is_firm and not unsure),
        pending=pending,
        order_ids=tuple(filter(None, ids)),
        exchange_order_id=seen.exchange_order_id or known.exchange_order_id,
        client_order_id=known.client_order_id,
        wire_id=known.wire_id or seen.wire_id,
        origin=known.origin,
        market_protection=known.market_protection if seen.market_protection is None else seen.market_protection,
        tag=known.tag if known.origin is Origin.US else seen.tag,
        parent_order_id=seen.parent_order_id or known.parent_order_id,
        version=max(filter(None, (known.version, seen.version)), default=seen.version),
        ts_created=known.ts_created or seen.ts_created,
        ts_submitted=known.ts_submitted,
        ts_accepted=known.ts_accepted or seen.ts_accepted,
        ts_triggered=known.ts_triggered or (seen.ts_event if status is S.TRIGGERED else None),
        ts_event=max(filter(None, (known.ts_event, seen.ts_event)), default=None),
        ts_closed=(known.ts_closed or seen.ts_event or seen.ts_recv) if status.terminal else None,
        complete_as_of=max(filter(None, (known.complete_as_of, seen.complete_as_of)), default=None),
        unjournaled=known.unjournaled,
    )
    if asked.met_by(known) and not asked.met_by(seen) and _moment(known, seen) == 0:
        # More filled, or the end, told as it was before the change.
        merged = merged.but(**{name: getattr(known, name) for name in TERMS})
        merged = merged.but(remaining_quantity=_left(merged))
    if seen.filled_quantity < known.filled_quantity:
        merged = merged.but(
            filled_quantity=known.filled_quantity,
            average_price=known.average_price,
            average_price_basis=known.average_price_basis,
            canceled_quantity=max(seen.canceled_quantity - known.filled_quantity + seen.filled_quantity, ZERO),
        )
    return merged


def seen_again(known: Order, seen: Order) -> Order:
    """Return the order as it is under the id that a replace, which was refused in the end, had left behind."""
    merged = _overlay(known, seen, seen.status, _NOTHING, settles=True)
    return merged.but(order_id=seen.order_id, pending=seen.pending)


def _left(order: Order) -> Decimal:
    return ZERO if order.status.terminal else max(order.quantity - order.filled_quantity, ZERO)


def _settles(known: Order, seen: Order, asked: Asked, settles: bool) -> bool:
    """Whether a report without anything in flight is later than the request that is in flight here.

    It is if reports have shown the request in flight, if it shows what was asked for, or if it was read after the
    broker had taken the request. A cancel that no report has shown is settled only by such a reading, or an end.
    """
    if asked.shown or settles:
        return True
    if known.pending is Pending.MODIFY:
        if asked.met_by(seen) and not asked.met_by(known):
            return True
        if _moment(known, seen) > 0 and any(getattr(seen, name) != getattr(known, name) for name in asked.terms):
            return True  # done, and not quite as asked: the broker rounds, or protects a price
    return seen.version is not None and known.version is not None and seen.version > known.version
