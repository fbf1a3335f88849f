"""The order state machine: what the broker reports, merged into what is known, by rules and without a clock.

A report may be late, doubled or out of order: a stream and a poll overlap, snapshots are older than the stream. Reports
are ordered by the broker's version, then event time, then how far along the life of an order they are; an older one
never undoes a newer. Cumulative fill never falls. REJECTED, CANCELED and EXPIRED give way only to later truth from the
broker (`Verdict.LATE`), which is reported as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dragoman.model import Fill, Order, OrderStatus, Origin, Pending, PriceBasis

S = OrderStatus

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

_TERMS = ("price", "quantity", "trigger_price", "order_type", "time_in_force", "display_quantity")
"""What a change can change: a report that shows another value of one of them is later than the change."""


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


def allowed(old: OrderStatus, new: OrderStatus) -> Verdict:
    """Say whether a firm status may follow another: APPLIED, SAME, LATE (only as late truth) or REFUSED."""
    if old is new:
        return Verdict.SAME
    if new in _ALLOWED[old]:
        return Verdict.APPLIED
    return Verdict.LATE if new in _LATE.get(old, ()) else Verdict.REFUSED


def _is_older(seen: Order, known: Order) -> bool:
    """Whether `seen` describes a moment before what is known."""
    if seen.filled_quantity != known.filled_quantity:
        return seen.filled_quantity < known.filled_quantity
    if seen.version is not None and known.version is not None and seen.version != known.version:
        return seen.version < known.version
    if seen.ts_event is not None and known.ts_event is not None and seen.ts_event != known.ts_event:
        return seen.ts_event < known.ts_event
    return _RANK[seen.status] < _RANK[known.status]


def merge(known: Order, seen: Order) -> Merge:
    """Merge a broker's report into what is known.

    Parameters
    ----------
    known : Order
    seen : Order
        As the adapter read it: one report, complete for the fields the broker sends.

    Returns
    -------
    Merge
        The new view and what was made of the report. For STALE and REFUSED the view is `known`, except that a larger
        cumulative fill is kept whatever the status said.
    """
    if seen.status is S.UNKNOWN:
        # A status text nobody has mapped: keep the firm status, show the raw text, never take it for something else.
        return Merge(known.but(raw_status=seen.raw_status, ts_recv=seen.ts_recv), Verdict.REFUSED)
    status, verdict = seen.status, allowed(known.status, seen.status)
    if known.status in (S.SUBMITTED, S.UNKNOWN, S.CREATED):
        return Merge(_overlay(known, seen, status), Verdict.APPLIED)
    if _is_older(seen, known):
        return Merge(known, Verdict.STALE)
    more = seen.filled_quantity > known.filled_quantity
    if verdict is Verdict.REFUSED:
        if not more:
            return Merge(known, Verdict.REFUSED)
        status = known.status  # the fill is true whatever the status claims
    if verdict is Verdict.LATE and seen.ts_event is not None and seen.ts_event == known.ts_event and not more:
        # Same second, no new fill: a doubled or reordered report of the life before the end, not a resurrection.
        return Merge(known, Verdict.STALE)
    merged = _overlay(known, seen, status)
    if verdict is Verdict.SAME and merged == known.but(ts_recv=merged.ts_recv):
        return Merge(known, Verdict.SAME)
    return Merge(merged, Verdict.APPLIED if verdict is Verdict.SAME else verdict)


def with_fills(known: Order, last: Fill, fills: Sequence[Fill]) -> Order:
    """Return the order as its itemised fills show it, where they come to more than its last report said.

    A finished order that was not filled whole stays finished: a fill that was reported late happened before the end.
    """
    total = sum((fill.quantity for fill in fills), start=last.quantity * 0)
    if total <= known.filled_quantity:
        return known
    changes: dict[str, Any] = {}
    whole = 0 < known.quantity <= total  # a slice's quantity is 0 until it is first reported
    status = S.FILLED if whole else S.PARTIALLY_FILLED
    ended = whole or known.status.terminal
    if (whole or not ended) and allowed(known.status, status) in (Verdict.APPLIED, Verdict.LATE):
        changes["status"] = status
    left = max(known.quantity - total, total * 0)
    if whole:
        changes.update(pending=Pending.NONE, ts_closed=known.ts_closed or last.ts_event or last.ts_recv)
    return known.but(
        filled_quantity=total,
        remaining_quantity=total * 0 if ended else left,
        canceled_quantity=min(known.canceled_quantity, left),
        average_price=sum((fill.quantity * fill.price for fill in fills), start=total * 0) / total,
        average_price_basis=PriceBasis.FILLS,
        last_price=last.price,
        last_quantity=last.quantity,
        **changes,
    )


def _overlay(known: Order, seen: Order, status: OrderStatus) -> Order:
    """Lay the report over what is known; what is ours, and what never changes, stays."""
    pending = seen.pending
    if status.terminal:
        pending = Pending.NONE
    elif pending is Pending.NONE and known.pending is not Pending.NONE and not _settles(known, seen):
        pending = known.pending
    ids = known.order_ids if seen.order_id in known.order_ids else (*known.order_ids, seen.order_id)
    return seen.but(
        status=status,
        pending=pending,
        order_ids=tuple(filter(None, ids)),
        client_order_id=known.client_order_id,
        wire_id=known.wire_id or seen.wire_id,
        origin=known.origin,
        tag=known.tag if known.origin is Origin.US else seen.tag,
        parent_order_id=seen.parent_order_id or known.parent_order_id,
        ts_created=known.ts_created or seen.ts_created,
        ts_submitted=known.ts_submitted,
        ts_accepted=known.ts_accepted or seen.ts_accepted,
        ts_triggered=known.ts_triggered or (seen.ts_event if status is S.TRIGGERED else None),
        ts_closed=known.ts_closed or ((seen.ts_event or seen.ts_recv) if status.terminal else None),
        complete_as_of=max(filter(None, (known.complete_as_of, seen.complete_as_of)), default=None),
    )


def _settles(known: Order, seen: Order) -> bool:
    """Whether a report without anything in flight is later than the request that is in flight here.

    A change is settled when the report shows other terms than before; a cancel only by a terminal status, or by a
    newer report that says the order works on.
    """
    if known.pending is Pending.MODIFY and any(getattr(seen, name) != getattr(known, name) for name in _TERMS):
        return True
    if known.raw_status != seen.raw_status and "PENDING" in known.raw_status and known.ts_event is not None:
        return seen.ts_event is not None and seen.ts_event >= known.ts_event
    return seen.version is not None and known.version is not None and seen.version > known.version
