"""The statuses a broker shows of an order, from the states the venue knows.

A venue has one state where a broker has several: an accepted order is received, then validated, then on its way to the
exchange. `StatusWords` is that broker's table; a word it does not have is None, and is then not shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dragoman.emulator.venue.types import OrderState
from dragoman.model import OrderStatus, Pending


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusWords:
    """One broker's words.

    Attributes
    ----------
    firm : mapping of OrderStatus to str
        The word of each status at rest; every status the venue has must be there.
    received : str, optional
        Shown once, before all others.
    leaving : str, optional
        Between acceptance and the exchange.
    waiting : str, optional
        An accepted order that waits for the market to open; otherwise it is shown as accepted.
    modify_received, modifying, modified : str, optional
        A change that arrived, is in flight, was made; the firm status is shown again after it.
    canceling : str, optional
    """

    firm: Mapping[OrderStatus, str]
    received: str | None = None
    leaving: str | None = None
    waiting: str | None = None
    modify_received: str | None = None
    modifying: str | None = None
    modified: str | None = None
    canceling: str | None = None

    def now(self, state: OrderState) -> str:
        """Return the status of an order in the book."""
        found: str | None = None
        if not state.status.terminal and state.pending is Pending.MODIFY:
            found = self.modifying
        elif not state.status.terminal and state.pending is Pending.CANCEL:
            found = self.canceling
        elif state.status is OrderStatus.ACCEPTED and state.order.not_before:
            found = self.waiting
        return found or self.firm[state.status]

    def between(self, before: OrderState | None, after: OrderState) -> Iterator[str]:
        """Name what the broker shows from one state to the next, oldest first; `before` is None at the start."""
        passed: str | None = None
        if before is None:
            passed = self.received
        elif (
            before.status is OrderStatus.ACCEPTED
            and after.status not in (OrderStatus.ACCEPTED, OrderStatus.REJECTED)
            and after.exchange_order_id
        ):
            passed = self.leaving
        if passed:
            yield passed
        was, is_now = (state is not None and state.pending is Pending.MODIFY for state in (before, after))
        if is_now and not was and self.modify_received:
            yield self.modify_received
        if before is not None and was and not is_now and not after.status.terminal and after.order != before.order:
            yield from filter(None, (self.modified,))
        yield self.now(after)

    def history(self, states: Iterable[OrderState]) -> Iterator[tuple[OrderState, str]]:
        """Pair every status of an order's life with the state it stands for."""
        before: OrderState | None = None
        for after in states:
            for word in self.between(before, after):
                yield after, word
            before = after
