"""The order events of one account, each with the state before it: what streams and postbacks are written from."""

from __future__ import annotations

from collections.abc import Iterator

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
