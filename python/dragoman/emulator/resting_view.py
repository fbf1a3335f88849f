"""Instructions that rest at the broker as it shows them: their legs, counted as the wire counts."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Generic

from dragoman.emulator.triggers import Leg, Resting
from dragoman.emulator.venue.types import ZERO, VenueOrder
from dragoman.emulator.views import NamedT

_NO_LEG = SimpleNamespace(trigger=ZERO, price=ZERO, quantity=0)


@dataclass(frozen=True, slots=True)
class LegView(Generic[NamedT]):
    """One trigger and its order."""

    whole: RestingView[NamedT]
    leg: Leg
    named: NamedT
    account: str

    @property
    def order(self) -> VenueOrder:
        return self.leg.order

    @property
    def trigger(self) -> Decimal:
        return self.leg.trigger

    @property
    def price(self) -> Decimal:
        return self.leg.order.price or ZERO

    @property
    def quantity(self) -> int:
        return self.named.wire_quantity(self.leg.order.quantity)


class RestingView(Generic[NamedT]):
    """One instruction; `market` is how its instrument trades now."""

    def __init__(self, rest: Resting, named: NamedT, account: str, market: Any) -> None:
        self.rest, self.named, self.account, self.market = rest, named, account, market
        self.legs = [LegView(self, leg, named, account) for leg in rest.legs]

    @property
    def order(self) -> VenueOrder:
        """Of the first leg."""
        return self.rest.legs[0].order

    @property
    def refusal(self) -> str | None:
        """Why an order was not taken."""
        return next((leg.refusal for leg in reversed(self.rest.legs) if leg.refusal), None)

    @property
    def highest(self) -> Any:
        """The leg above the market where there are two, the only one otherwise."""
        return self.legs[-1]

    @property
    def lowest(self) -> Any:
        """The leg below the market where there are two; zeros otherwise."""
        return self.legs[0] if len(self.legs) == 2 else _NO_LEG
