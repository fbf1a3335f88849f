"""Instructions of an entry and what protects it: the entry waits for a price or goes at once, and once it is filled, a
target and a stop rest in its place, of which the first that fires ends the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from dragoman.emulator.triggers import Leg, Resting, TriggerBook
from dragoman.emulator.venue.types import VenueOrder, VenueProtocol
from dragoman.model import OrderStatus


class Fate(StrEnum):
    """What became of a part; ORDERED: its order is at the market."""

    PENDING = "pending"
    WAITING = "waiting"
    ORDERED = "ordered"
    DONE = "done"
    CANCELED = "canceled"
    EXPIRED = "expired"
    FAILED = "failed"


_BY_ORDER = {
    OrderStatus.FILLED: Fate.DONE,
    OrderStatus.REJECTED: Fate.FAILED,
    OrderStatus.CANCELED: Fate.CANCELED,
}
_BY_REST = {"active": Fate.WAITING, "expired": Fate.EXPIRED}


@dataclass(slots=True)
class Part:
    """One trigger and its order.

    Attributes
    ----------
    at_once : bool
        The order goes without waiting for the trigger.
    terms : object
        What the broker's own record needs of it.
    refusal : str
        Why it came to nothing.
    """

    trigger: Decimal
    order: VenueOrder
    at_once: bool = False
    terms: Any = None
    rest: Resting | None = None
    refusal: str = ""
    canceled: bool = False
    sent: str = ""

    @property
    def leg(self) -> Leg | None:
        return next((leg for leg in self.rest.legs if leg.order is self.order), None) if self.rest else None

    @property
    def order_id(self) -> str:
        """Of its order, empty where there is none yet."""
        return self.sent or (self.leg.order_id if self.leg else "")

    @property
    def reason(self) -> str | None:
        """Why it, or its order when it fired, came to nothing."""
        return self.refusal or (self.leg.refusal if self.leg else None)


@dataclass(slots=True)
class Bracket:
    """One instruction; `parts` are the entry and, perhaps, one or two that protect it."""

    key: str
    parts: list[Part]
    created_ns: int
    told: Any = field(default=None)

    @property
    def entry(self) -> Part:
        return self.parts[0]


class BracketBook:
    """All instructions of one account.

    Parameters
    ----------
    life_ns : int
        After how long a part that waits expires.
    """

    def __init__(self, venue: VenueProtocol, account: str, life_ns: int) -> None:
        self._venue, self._account = venue, account
        self._triggers = TriggerBook(venue, account, life_ns)
        self._all: dict[str, Bracket] = {}

    def all(self) -> Sequence[Bracket]:
        return tuple(self._all.values())

    def get(self, key: str) -> Bracket:
        """Return an instruction. Raises LookupError where there is none."""
        return self._all[key]

    def place(self, key: str, parts: list[Part], now_ns: int) -> Bracket:
        """Add an instruction. Raises ValueError where its trigger cannot be, VenueRejectError for an order at once."""
        bracket = Bracket(key, parts, now_ns)
        self._start(parts[:1], now_ns)
        self._all[key] = bracket
        return bracket

    def change(self, bracket: Bracket, parts: list[Part], now_ns: int) -> None:
        """Replace the terms of an instruction whose entry waits. Raises ValueError where it does not; as `place`."""
        if self.fate(bracket, bracket.entry) is not Fate.WAITING or bracket.entry.rest is None:
            raise ValueError("its entry does not wait any more")
        self._start(parts[:1], now_ns)
        self._triggers.delete(bracket.entry.rest, now_ns)
        bracket.parts = parts

    def cancel(self, bracket: Bracket, now_ns: int) -> None:
        """End what waits; orders that were placed live on."""
        for part in bracket.parts:
            part.canceled = not part.order_id
            if part.rest is not None and part.rest.status == "active":
                self._triggers.delete(part.rest, now_ns)

    def poll(self, now_ns: int) -> None:
        """Fire what is due; rest what protects an entry that was filled."""
        self._triggers.poll(now_ns)
        for bracket in self._all.values():
            exits = bracket.parts[1:]
            if not exits or exits[0].rest or exits[0].refusal or exits[0].canceled:
                continue
            if self.fate(bracket, bracket.entry) is Fate.DONE:
                try:
                    self._start(exits, now_ns)
                except ValueError as wrong:
                    for part in exits:
                        part.refusal = str(wrong)

    def fate(self, bracket: Bracket, part: Part) -> Fate:
        """Say what became of a part."""
        if part.order_id:
            state = self._venue.order(self._account, part.order_id)
            return _BY_ORDER.get(state.status, Fate.ORDERED) if state else Fate.ORDERED
        if part.refusal or (part.leg is not None and part.leg.refusal):
            return Fate.FAILED
        if part.canceled:
            return Fate.CANCELED
        return _BY_REST.get(part.rest.status, Fate.CANCELED) if part.rest else Fate.PENDING

    def _start(self, parts: Sequence[Part], now_ns: int) -> None:
        first = parts[0]
        if first.at_once:
            first.sent = self._venue.submit(self._account, first.order, now_ns)
            return
        last = self._venue.market(first.order.instrument_id).last_price
        legs = [Leg(part.trigger, part.order) for part in sorted(parts, key=lambda part: part.trigger)]
        rest = self._triggers.place(legs, last, now_ns)
        for part in parts:
            part.rest = rest
