"""What changed since somebody looked last: orders of an account, markets. Streams and postbacks are written from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dragoman.emulator.venue.types import OrderState, VenueProtocol


class OrderChanges:
    """Reads an account's events once each. Every stream that must not share a position takes one of its own."""

    def __init__(self, venue: VenueProtocol, account: str) -> None:
        self._venue = venue
        self._account = account
        self._seen = 0
        self._states: dict[str, OrderState] = {}

    def fresh(self) -> Iterator[tuple[OrderState | None, OrderState]]:
        """Yield (state before, state after) of every event since the last call; None before an order's first."""
        for event in self._venue.events(self._account, self._seen):
            self._seen = event.sequence
            before = self._states.get(event.order.order_id)
            self._states[event.order.order_id] = event.order
            yield before, event.order


class MarketChanges:
    """Names the instruments whose market changed, once each; every stream has one of its own."""

    def __init__(self, venue: VenueProtocol) -> None:
        self._venue = venue
        self._cursor = 0

    def fresh(self) -> Sequence[str]:
        """Return the canonical ids of what changed since the last call."""
        self._cursor, changed = self._venue.changed(self._cursor)
        return changed
