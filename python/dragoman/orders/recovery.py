"""What an earlier run of this account knew, read back from its journal."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from dragoman.model import Fill, Order, OrderChange, OrderRequest, OrderStatus, Origin, Pending
from dragoman.orders.intents import Intent
from dragoman.orders.journal import Kind, Record
from dragoman.orders.journal.codec import from_plain
from dragoman.orders.requests import order_of
from dragoman.orders.state import TERMS, UNTOLD

_log = logging.getLogger("dragoman.orders")
_VIEWS: Final = (Kind.STREAM, Kind.POLL, Kind.REPLY, Kind.DECISION)
POSITION_CHANGES: Final = ("adjustment", "conversion")
"""What a record of kind CONTROL says it is where it changed a position."""


@dataclass(slots=True)
class Amendment:
    """A change or cancel of which nobody knows yet what became.

    Attributes
    ----------
    terms : mapping
        What a change asks for.
    answered : bool
        The broker has taken it; its reports are missing.
    """

    pending: Pending
    terms: Mapping[str, Any] = field(default_factory=dict)
    answered: bool = False


@dataclass(slots=True)
class Recovered:
    """The orders of the journal as they were known last.

    Attributes
    ----------
    intents : dict of str to Intent
    orders : dict of str to Order
        Those of intents without an outcome are UNKNOWN.
    fills : dict of str to list of Fill
        Itemised ones, by order.
    changing : dict of (str, Pending) to Amendment
    lost : dict of str to int
        Orders taken for lost, and when that was concluded.
    carried : bool
        Whether a start wrote down everything that worked then: nothing before it has to be read.
    unreadable : int
        Records whose content nobody can read: written by a later version.
    rules : dict of str to dict
        What rules wrote down, by rule: their terms (``rule``) and how far they got last (``state``).
    changes : list of dict
        What changed positions without a fill, see `POSITION_CHANGES`.
    """

    intents: dict[str, Intent] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    fills: dict[str, list[Fill]] = field(default_factory=dict)
    changing: dict[tuple[str, Pending], Amendment] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0
    carried: bool = False
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def working_rules(self) -> dict[str, dict[str, Any]]:
        """Those that are not over, which a start carries on."""
        return {name: found for name, found in self.rules.items() if not found.get("over")}


def recover(records: Iterable[Record], broker: str) -> Recovered:
    """Read what the records of a journal, in their order, come to."""
    found = Recovered()
    for record in records:
        try:
            _take(found, record, broker)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            found.unreadable += 1
            _log.warning("journal record %d cannot be read: %r", record.sequence, error)
    for name, order in found.orders.items():
        if order.status is OrderStatus.SUBMITTED:
            found.orders[name] = order.but(status=OrderStatus.UNKNOWN, status_is_firm=False)
        if order.pending is not Pending.NONE:
            # Its reports showed it in flight: what came of it readings will tell.
            found.changing.setdefault((name, order.pending), Amendment(order.pending))
    return found


def _take(found: Recovered, record: Record, broker: str) -> None:
    payload = record.payload
    if record.kind is Kind.INTENT:
        _intent(found, payload, record.time_ns, broker)
        return
    if record.kind is Kind.RULE:
        take_rule(found.rules, payload)
        return
    if record.kind is Kind.CONTROL and payload.get("what") in POSITION_CHANGES:
        found.changes.append(payload)
        return
    if record.kind not in _VIEWS:
        return
    if "carried" in payload:
        for entry in payload["carried"]:
            _take(found, replace(record, payload=entry), broker)
        for rule in payload.get("rules", ()):
            take_rule(found.rules, rule)
        found.carried = True
    elif "order" in payload:
        order = from_plain(Order, payload["order"])
        name = order.client_order_id
        if order.origin is not Origin.EXTERNAL:
            for order_id in order.order_ids:
                found.orders.pop(f"EXT-{order_id}", None)  # it was seen before anybody knew whose it is
        found.orders[name] = order
        if order.pending is Pending.NONE:
            # Whatever was asked of it before is settled: the store says so by this.
            for pending in (Pending.MODIFY, Pending.CANCEL):
                found.changing.pop((name, pending), None)
        if "request" in payload:
            found.intents.setdefault(name, Intent(from_plain(OrderRequest, payload["request"]), payload["at"]))
        replaced = set(payload.get("replaced", ()))
        kept = [fill for fill in found.fills.get(name, ()) if fill.trade_id not in replaced]
        new = [from_plain(Fill, fill) for fill in payload.get("fills", ())]
        found.fills[name] = kept + [fill for fill in new if not fill.is_synthetic]
    elif record.kind is Kind.REPLY and payload["op"] == "place":
        _accepted(found, payload)
    elif record.kind is Kind.REPLY:
        _answered(found, payload)
    elif payload.get("what") == "never arrived":
        found.lost[payload["name"]] = payload["at"]
    elif payload.get("what") == "late":
        found.lost.pop(payload["name"], None)


def take_rule(rules: dict[str, dict[str, Any]], payload: Mapping[str, Any]) -> None:
    """Put what one record says of a rule over what earlier ones said."""
    known = rules.setdefault(payload["name"], {"name": payload["name"]})
    known.update(payload)


def _accepted(found: Recovered, payload: Mapping[str, Any]) -> None:
    """The broker took an order of which nothing else was known yet."""
    name, order_id, at = payload["name"], payload["order_id"], payload["at"]
    known = found.orders[name]
    if known.order_id:
        return
    found.orders[name] = known.but(
        status=OrderStatus.ACCEPTED,
        status_is_firm=False,
        order_id=order_id,
        order_ids=(order_id,),
        ts_recv=at,
        ts_accepted=at,
    )
    found.orders.pop(f"EXT-{order_id}", None)


def _answered(found: Recovered, payload: Mapping[str, Any]) -> None:
    key = payload["name"], Pending(payload["op"].upper())
    amendment = found.changing.get(key)
    if amendment is None or payload["effect"] in ("UNKNOWN", "APPLIED"):
        return
    if payload["effect"] == "ACCEPTED":
        amendment.answered = True
    else:
        del found.changing[key]


def _intent(found: Recovered, payload: dict[str, Any], time_ns: int, broker: str) -> None:
    name = payload["name"]
    if payload["op"] != "place":
        change = from_plain(OrderChange, payload.get("change", {}))
        terms = {term: value for term in (*TERMS, *UNTOLD) if (value := getattr(change, term)) is not None}
        pending = Pending(payload["op"].upper())
        found.changing[name, pending] = Amendment(pending, terms)
        return
    request = from_plain(OrderRequest, payload["request"])
    found.intents[name] = Intent(request, payload["at"], exits=bool(payload.get("exit")))
    found.orders.setdefault(name, order_of(request, broker, time_ns))
