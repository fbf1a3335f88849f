"""Instructions that rest at a broker until a price is reached, and then place an order.

The book looks at last prices whenever it is polled. A trigger above the price it was placed at fires when the market
reaches it from below, one below from above; the first leg that fires ends the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from dragoman.emulator.terms import check_terms
from dragoman.emulator.venue.types import VenueOrder, VenueProtocol, VenueRejectError


class TriggerOverError(ValueError):
    """An instruction that may not be changed any more."""


@dataclass(slots=True)
class Leg:
    """One trigger and its order; `refusal` says why the venue took none when it fired."""

    trigger: Decimal
    order: VenueOrder
    fired_ns: int | None = None
    fired_at: Decimal | None = None
    order_id: str = ""
    refusal: str | None = None


@dataclass(slots=True)
class Resting:
    """One instruction. `status` is active, triggered, expired or deleted."""

    number: int
    legs: list[Leg]
    placed_at: Decimal
    created_ns: int
    updated_ns: int
    expires_ns: int
    status: str = "active"

    @property
    def instrument_id(self) -> str:
        return self.legs[0].order.instrument_id


class TriggerBook:
    """All instructions of one account.

    Parameters
    ----------
    venue : VenueProtocol
    account : str
    life_ns : int
        After how long an instruction expires.
    first : int
        Number of the first one.
    on_order : callable, optional
        Takes the id of every order that is placed.
    """

    def __init__(
        self,
        venue: VenueProtocol,
        account: str,
        life_ns: int,
        *,
        first: int = 1,
        on_order: Callable[[str], object] = lambda order_id: None,
    ) -> None:
        self._venue = venue
        self._account = account
        self._life_ns = life_ns
        self._next = first
        self._on_order = on_order
        self._all: dict[int, Resting] = {}

    def since(self, ns: int) -> Sequence[Resting]:
        """Return what is active or was changed after `ns`, oldest first."""
        return [rest for rest in self._all.values() if rest.status == "active" or rest.updated_ns > ns]

    def get(self, number: int) -> Resting:
        """Return an instruction. Raises LookupError where there is none."""
        return self._all[number]

    def active(self, number: int) -> Resting:
        """Return one that may still be changed. Raises LookupError, and TriggerOverError."""
        rest = self._all[number]
        if rest.status != "active":
            raise TriggerOverError(f"it is {rest.status} already")
        return rest

    def place(self, legs: list[Leg], placed_at: Decimal, now_ns: int) -> Resting:
        """Add an instruction.

        Raises
        ------
        ValueError
            Where the market is at a trigger, two triggers are not on both sides of it, lower first, or an order is one
            that the venue could never take.
        """
        self._check(legs, placed_at)
        rest = Resting(self._next, legs, placed_at, now_ns, now_ns, now_ns + self._life_ns)
        self._all[rest.number] = rest
        self._next += 1
        return rest

    def change(self, rest: Resting, legs: list[Leg], placed_at: Decimal, now_ns: int) -> None:
        """Replace all terms of an active instruction. Raises ValueError as `place`."""
        self._check(legs, placed_at)
        rest.legs, rest.placed_at, rest.updated_ns = legs, placed_at, now_ns

    def _check(self, legs: Sequence[Leg], placed_at: Decimal) -> None:
        _check(legs, placed_at)
        for leg in legs:
            check_terms(self._venue, leg.order, leg.trigger)

    def delete(self, rest: Resting, now_ns: int) -> None:
        rest.status, rest.updated_ns = "deleted", now_ns

    def poll(self, now_ns: int) -> None:
        """Expire and fire what is due. The venue has been advanced to `now_ns`."""
        for rest in self._all.values():
            if rest.status != "active":
                continue
            if now_ns >= rest.expires_ns:
                rest.status, rest.updated_ns = "expired", now_ns
                continue
            last = self._venue.market(rest.instrument_id).last_price
            leg = next((one for one in rest.legs if _reached(one.trigger, rest.placed_at, last)), None)
            if leg is not None:
                self._fire(rest, leg, last, now_ns)

    def _fire(self, rest: Resting, leg: Leg, last: Decimal, now_ns: int) -> None:
        rest.status, rest.updated_ns = "triggered", now_ns
        leg.fired_ns, leg.fired_at = now_ns, last
        try:
            leg.order_id = self._venue.submit(self._account, leg.order, now_ns)
            self._on_order(leg.order_id)
        except VenueRejectError as refused:
            leg.refusal = refused.text


def _reached(trigger: Decimal, placed_at: Decimal, last: Decimal) -> bool:
    return last >= trigger if trigger > placed_at else last <= trigger


def _check(legs: Sequence[Leg], placed_at: Decimal) -> None:
    triggers = [leg.trigger for leg in legs]
    if len(triggers) not in (1, 2) or placed_at in triggers:
        raise ValueError(f"{len(triggers)} triggers at {placed_at}, expected one or two away from it")
    if len(triggers) == 2 and not triggers[0] < placed_at < triggers[1]:
        raise ValueError(f"triggers {triggers[0]} and {triggers[1]} are not around {placed_at}")
