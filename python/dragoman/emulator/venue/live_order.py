"""An order inside the venue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dragoman.emulator.venue.accounts import Account
from dragoman.emulator.venue.market import Market
from dragoman.emulator.venue.matching import Resting
from dragoman.emulator.venue.types import OrderState

if TYPE_CHECKING:
    from dragoman.emulator.venue.risk import Ticket


class LiveOrder:
    """The state callers see, and the same in whole ticks and lots."""

    __slots__ = (
        "_reserve",
        "account",
        "change",
        "filled_lots",
        "filled_value",
        "history",
        "lots",
        "market",
        "resting",
        "sign",
        "state",
        "ticks",
        "trigger",
        "triggered",
        "turn",
    )

    def __init__(self, account: Account, market: Market, ticket: Ticket, state: OrderState) -> None:
        self.account = account
        self.market = market
        self.state = state
        self.history: list[OrderState] = []
        self.sign = ticket.sign
        self.lots = ticket.lots
        self.ticks = ticket.ticks
        self.trigger = ticket.trigger
        self.triggered = ticket.trigger is None
        self.filled_lots = 0
        self.filled_value = 0
        self.resting: Resting[LiveOrder] | None = None
        self.change: Ticket | None = None
        self.turn = 0  # counts what supersedes a scheduled step
        self._reserve = ticket.reserve

    @property
    def left(self) -> int:
        return self.lots - self.filled_lots

    @property
    def reserved_lots(self) -> int:
        """Lots the margin counts: the larger of the order and of a change in flight."""
        lots = self.lots if self.change is None else max(self.lots, self.change.lots)
        return lots - self.filled_lots

    @property
    def reserved_ticks(self) -> int:
        """Price the margin counts: the higher of the order's and of a change in flight."""
        return self._reserve if self.change is None else max(self._reserve, self.change.reserve)

    def take(self, ticket: Ticket) -> None:
        """Become what `ticket` says."""
        self.lots, self.ticks, self._reserve = ticket.lots, ticket.ticks, ticket.reserve
        if ticket.trigger is None:
            self.triggered = True
        elif ticket.trigger != self.trigger:
            self.triggered = False
        self.trigger = ticket.trigger
        self.state.order = ticket.order

    def too_late(self, ticket: Ticket) -> bool:
        """Return whether `ticket` sets a trigger on an order whose trigger was passed, or that has traded."""
        if ticket.trigger is None or ticket.trigger == self.trigger:
            return False
        return self.filled_lots > 0 or (self.trigger is not None and self.triggered)
