"""What changed since somebody looked last: orders of an account, markets. Streams and postbacks are written from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import StrEnum

from dragoman.emulator.venue.types import EventKind, MarketView, OrderState, VenueEvent, VenueProtocol
from dragoman.model import OrderStatus, Pending


class OrderChanges:
    """Reads an account's events once each. Every stream that must not share a position takes one of its own."""

    def __init__(self, venue: VenueProtocol, account: str) -> None:
        self._venue = venue
        self._account = account
        self._seen = 0
        self._states: dict[str, OrderState] = {}

    def fresh(self) -> Iterator[tuple[OrderState | None, OrderState]]:
        """Yield (state before, state after) of every event since the last call; None before an order's first."""
        for before, event in self.events():
            yield before, event.order

    def events(self) -> Iterator[tuple[OrderState | None, VenueEvent]]:
        """Yield (state before, event) of every event since the last call, fills with their terms."""
        for event in self._venue.events(self._account, self._seen):
            self._seen = event.sequence
            before = self._states.get(event.order.order_id)
            self._states[event.order.order_id] = event.order
            yield before, event


class Execution(StrEnum):
    """What an execution report tells of an order."""

    NEW = "NEW"
    TRADE = "TRADE"
    AMENDED = "AMENDED"
    ENDED = "ENDED"


_QUIET = (OrderStatus.ACCEPTED, OrderStatus.TRIGGERED)


def execution(before: OrderState | None, event: VenueEvent) -> Execution | None:
    """Return what an event is to a broker that reports executions; None of one it would not tell.

    Not told: orders on their way to the exchange, changes in flight, and states that a fill has told already.
    """
    state = event.order
    if event.kind is EventKind.FILL:
        return Execution.TRADE
    if state.status in _QUIET or state.pending is not Pending.NONE:
        return None
    if before is not None and before.order != state.order and state.modified and not state.status.terminal:
        return Execution.AMENDED
    if state.status in (OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING):
        return None if before is not None and before.status is state.status else Execution.NEW
    return None if state.status in (OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED) else Execution.ENDED


class MarketChanges:
    """Names the instruments whose market changed, once each; every stream has one of its own."""

    def __init__(self, venue: VenueProtocol) -> None:
        self._venue = venue
        self._cursor = 0

    def fresh(self) -> Sequence[str]:
        """Return the canonical ids of what changed since the last call."""
        self._cursor, changed = self._venue.changed(self._cursor)
        return changed


class Prints:
    """What traded in each market since it was looked at last. What traded before the first look is told by none.

    Attributes
    ----------
    count : dict of str to int
        How many looks found a trade, by canonical id.
    """

    def __init__(self) -> None:
        self._volumes: dict[str, Decimal] = {}
        self.count: dict[str, int] = {}

    def begin(self, market: MarketView) -> None:
        """Count from now on what trades in a market, unless it is counted already."""
        self._volumes.setdefault(market.instrument_id, market.volume)

    def look(self, market: MarketView) -> Decimal:
        """Return how much traded since the last look; 0 where nothing did."""
        self.begin(market)
        name = market.instrument_id
        traded = market.volume - self._volumes[name]
        self._volumes[name] = market.volume
        if traded > 0:
            self.count[name] = self.count.get(name, 0) + 1
        return max(traded, Decimal(0))
