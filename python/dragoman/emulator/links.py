"""An order under a row of ids, with the orders that leave its position, and a trigger that trails the market.

An exchange keeps one order through all its changes. Some brokers show each change as an order of its own that counts
from 0 (`Link`); what an account placed and all its links are a `Chain`. `LinkedOrders` keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeVar

from dragoman.emulator.venue.types import ZERO, OrderState, VenueOrder
from dragoman.model import Side

NameT = TypeVar("NameT")


class Phase(StrEnum):
    """What an id is: the order itself, or held until another fills, or a change asked for, refused or left behind."""

    IN_FORCE = "in force"
    HELD = "held"
    ASKED = "asked"
    REFUSED = "refused"
    REPLACED = "replaced"


class Told(StrEnum):
    """What happened to an id."""

    RECEIVED = "received"
    WORKING = "working"
    FILLED = "filled"
    ENDED = "ended"
    CHANGING = "changing"
    CHANGED = "changed"
    CHANGE_REFUSED = "change refused"
    REFUSED = "refused"
    CANCELING = "canceling"


@dataclass(slots=True)
class Trail:
    """How far a stop stays behind the best price since it was placed: by `offset`, or by `percent` of the price."""

    best: Decimal
    tick: Decimal
    offset: Decimal | None = None
    percent: Decimal | None = None

    def trigger(self, side: Side) -> Decimal:
        """Return where a stop that trades `side` is now, on the tick."""
        away = self.best * (self.percent or ZERO) / 100 if self.offset is None else self.offset
        return (self.best + side.sign * away) // self.tick * self.tick

    def change(self, distance: Decimal) -> str:
        """Stay this far behind from now on; return what that is, ``offset`` or ``percent``."""
        what = "percent" if self.offset is None else "offset"
        setattr(self, what, distance)
        return what

    def moved(self, side: Side, last: Decimal) -> bool:
        """Take a last price; say whether it is the best so far for a stop that trades `side`."""
        better = side.sign * last < side.sign * self.best
        self.best = last if better else self.best
        return better


@dataclass(slots=True)
class Link:
    """One of the ids of an order.

    Attributes
    ----------
    base : Decimal
        What was filled under the ids before.
    top : Decimal, optional
        Where its own fills end; None while they may go on.
    terms : VenueOrder, optional
        Of an id that is not in force: what it asks or asked for.
    ended : int, optional
        When it was replaced or refused, ns UTC.
    """

    order_id: str
    client_order_id: str
    created: int
    phase: Phase = Phase.IN_FORCE
    replaces: Link | None = None
    replaced_by: Link | None = None
    base: Decimal = ZERO
    top: Decimal | None = None
    terms: VenueOrder | None = None
    ended: int | None = None


@dataclass(slots=True, eq=False)
class Chain(Generic[NameT]):
    """One order of the account, whatever became of it.

    Attributes
    ----------
    named : object
        The instrument as the broker names it.
    fields : dict
        What the broker's own record needs of the request.
    venue_id : str
        Empty for a leg that is held until its parent fills, or that never came to the exchange.
    fate : OrderState, optional
        Stands in for the exchange's state of an order that is not there.
    legs, siblings : list of Chain
        What is sent once this one is filled; what ends once this one trades.
    waiting : Link, optional
        The change that is under way.
    """

    named: NameT
    order: VenueOrder
    fields: dict[str, Any]
    links: list[Link]
    venue_id: str = ""
    fate: OrderState | None = None
    parent: Chain[NameT] | None = None
    legs: list[Chain[NameT]] = field(default_factory=list)
    siblings: list[Chain[NameT]] = field(default_factory=list)
    trail: Trail | None = None
    waiting: Link | None = None

    @property
    def link(self) -> Link:
        """The id in force."""
        return self.links[-1]

    @property
    def every(self) -> list[Link]:
        """All ids, that of a change under way last."""
        return self.links if self.waiting is None else [*self.links, self.waiting]

    def find(self, order_id: str) -> Link:
        """Return one of its ids. Raises LookupError where it is none of them."""
        found = next((link for link in self.every if link.order_id == order_id), None)
        if found is None:
            raise LookupError(f"{order_id} is no id of order {self.link.order_id}")
        return found
