"""The market of the crash drill: prices of its legs are walked up, then down, on the simulated exchange itself."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from dragoman.cli.drill_legs import Leg
from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.rng import Rng
from dragoman.model import Side

_DEPTH: Final = 8
_NOISE: Final = Decimal("0.0004")


class FallingMarket:
    """Moves the legs' prices together, each by a little of its own.

    Nobody else should: with the simulated crowd sent home the same seed gives the same prices.

    Parameters
    ----------
    venue : Venue
    legs : sequence of Leg
    seed : int
    """

    def __init__(self, venue: Venue, legs: Sequence[Leg], seed: int) -> None:
        self._venue = venue
        self._legs = legs
        self._random = Rng(seed)
        self._outside: list[int] = []
        self.start = {leg.instrument.instrument_id: self.price(leg) for leg in legs}

    def price(self, leg: Leg) -> Decimal:
        """Return the last price of a leg."""
        return self._venue.market(leg.instrument.instrument_id).last_price

    def move(self, share: Decimal) -> None:
        """Let every leg trade at `share` of the price it began with, as far as its circuit band goes.

        Buyers and sellers wait a tick away, for several times what the drill holds.
        """
        for number in self._outside:
            self._venue.cancel_external(number)
        self._outside.clear()
        sizes: dict[str, Decimal] = {}
        for leg in self._legs:
            name = leg.instrument.instrument_id
            sizes[name] = sizes.get(name, leg.instrument.lot_size) + leg.quantity
        for name, size in sizes.items():
            self._trade(name, self.start[name] * (share + _NOISE * self._random.between(-2, 2) / 2), size * _DEPTH)

    def _trade(self, name: str, wanted: Decimal, depth: Decimal) -> None:
        venue, view = self._venue, self._venue.market(name)
        tick = venue.listing(name).instrument.tick_size  # type: ignore[union-attr] # a leg is listed
        price = min(max(wanted, view.band_low + 2 * tick), view.band_high - 2 * tick) // tick * tick
        if price == view.last_price:
            price -= tick
        venue.set_price(name, price)
        self._outside.append(venue.place_external(name, Side.BUY, depth, price - tick))
        self._outside.append(venue.place_external(name, Side.SELL, depth, price + tick))
