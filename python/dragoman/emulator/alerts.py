"""Conditions on the market that an account rests at its broker: they are noted when they come true, or place orders.

A condition compares a figure of one instrument with a number or with a figure of another. It fires when it *becomes*
true: one that holds already fires at the first look, and again only after it was false in between. An alert that
places orders fires once and is over.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from dragoman.emulator.terms import check_terms
from dragoman.emulator.venue.types import MarketView, VenueOrder, VenueProtocol, VenueRejectError

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A field of `MarketView` of one instrument (``last_price``, ``volume``, ``oi`` ...)."""

    instrument_id: str
    attribute: str

    def read(self, venue: VenueProtocol) -> Decimal:
        """Return its value now."""
        return Decimal(getattr(venue.market(self.instrument_id), self.attribute))


@dataclass(frozen=True, slots=True)
class Condition:
    """``left comparison right``; `right` is a number or another figure."""

    left: Figure
    comparison: str
    right: Decimal | Figure

    def __post_init__(self) -> None:
        if self.comparison not in COMPARISONS:
            raise ValueError(f"comparison {self.comparison!r}, expected one of {' '.join(COMPARISONS)}")

    @property
    def instruments(self) -> tuple[str, ...]:
        """The instruments it looks at, each once."""
        other = (self.right.instrument_id,) if isinstance(self.right, Figure) else ()
        return tuple(dict.fromkeys((self.left.instrument_id, *other)))

    def text(self, number: Callable[[Decimal], object], figure: Callable[[Figure], str]) -> str:
        """Write it out, in a broker's words for numbers and figures."""
        right = figure(self.right) if isinstance(self.right, Figure) else number(self.right)
        return f"{figure(self.left)} {self.comparison} {right}"

    def holds(self, venue: VenueProtocol) -> bool:
        right = self.right.read(venue) if isinstance(self.right, Figure) else self.right
        return COMPARISONS[self.comparison](self.left.read(venue), right)


@dataclass(frozen=True, slots=True)
class Firing:
    """One time an alert fired: when, on which terms, the markets then, and each order's id or why there is none."""

    ts: int
    condition: Condition
    markets: tuple[MarketView, ...]
    placed: tuple[str | VenueRejectError, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a client asks of an alert; `echoed` is whatever the broker shows of it as it came."""

    name: str
    condition: Condition
    orders: tuple[VenueOrder, ...] = ()
    echoed: Any = None


@dataclass(slots=True)
class Alert:
    """One alert. `status` is enabled, disabled or deleted."""

    key: str
    terms: Terms
    created_ns: int
    updated_ns: int
    status: str = "enabled"
    reason: str = ""
    was_true: bool = False
    firings: list[Firing] = field(default_factory=list)


class AlertBook:
    """All alerts of one account.

    Parameters
    ----------
    venue : VenueProtocol
    account : str
        Places the orders.
    key : callable
        Number from 1 -> what the broker calls that alert.
    most : int
        Alerts an account may have that are not deleted.
    """

    def __init__(self, venue: VenueProtocol, account: str, key: Callable[[int], str], *, most: int = 500) -> None:
        self._venue = venue
        self._account = account
        self._key = key
        self._most = most
        self._all: dict[str, Alert] = {}

    def kept(self) -> Sequence[Alert]:
        """Return all that are not deleted, oldest first."""
        return [alert for alert in self._all.values() if alert.status != "deleted"]

    def get(self, key: str) -> Alert:
        """Return an alert. Raises LookupError where there is none, or it was deleted."""
        alert = self._all[key]
        if alert.status == "deleted":
            raise KeyError(key)
        return alert

    def save(self, key: str | None, terms: Terms, now_ns: int) -> Alert:
        """Add an alert, or replace the terms of one and enable it again; it then looks at the market anew.

        Raises
        ------
        LookupError
            Where there is none of this key.
        ValueError
            Where the account has too many, or an order is one that the venue could never take.
        """
        for order in terms.orders:
            check_terms(self._venue, order)
        if key is not None:
            alert = self.get(key)
            alert.terms, alert.updated_ns = terms, now_ns
            alert.status, alert.reason, alert.was_true = "enabled", "", False
            return alert
        if len(self.kept()) >= self._most:
            raise ValueError(f"an account has at most {self._most} alerts")
        key = self._key(len(self._all) + 1)
        self._all[key] = Alert(key, terms, now_ns, now_ns)
        return self._all[key]

    def delete(self, alert: Alert, now_ns: int) -> None:
        alert.status, alert.updated_ns = "deleted", now_ns

    def poll(self, now_ns: int) -> None:
        """Fire what became true. The venue has been advanced to `now_ns`."""
        for alert in self._all.values():
            if alert.status != "enabled":
                continue
            holds = alert.terms.condition.holds(self._venue)
            if holds and not alert.was_true:
                self._fire(alert, now_ns)
            alert.was_true = holds

    def _fire(self, alert: Alert, now_ns: int) -> None:
        markets = tuple(self._venue.market(name) for name in alert.terms.condition.instruments)
        placed = tuple(self._place(order, now_ns) for order in alert.terms.orders)
        alert.firings.append(Firing(now_ns, alert.terms.condition, markets, placed))
        alert.updated_ns = now_ns
        if alert.terms.orders:
            alert.status, alert.reason = "disabled", "the orders were placed"

    def _place(self, order: VenueOrder, now_ns: int) -> str | VenueRejectError:
        try:
            return self._venue.submit(self._account, order, now_ns)
        except VenueRejectError as refused:
            return refused
