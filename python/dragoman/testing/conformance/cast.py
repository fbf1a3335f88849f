"""Who plays the roles: instruments of the emulated venue that the client knows too, chosen by what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Final

from dragoman.emulator.venue.types import Listing
from dragoman.market import InstrumentMaster
from dragoman.model import Instrument, InstrumentType, Product, QuantityUnit
from dragoman.plugin import Adapter
from dragoman.testing.conformance.grammar import ROLES
from dragoman.testing.conformance.needs import NotOfferedError

_CASH: Final = (InstrumentType.SPOT, InstrumentType.ETF)
_FUTURES: Final = (InstrumentType.FUTURE, InstrumentType.PERP)
_PREFERRED: Final = (Product.INTRADAY, Product.CARRY, Product.MARGIN, Product.CASH, Product.DELIVERY, Product.MTF)
_OWNED: Final = (Product.CASH, Product.DELIVERY)
_BORROWED: Final = (Product.MARGIN, Product.CARRY)
_LEAST_VALUE: Final = Decimal(20)
_HANDY: Final = (Decimal(50), Decimal(5000))


class Cast:
    """Instruments by role, chosen once per client.

    Parameters
    ----------
    adapter : Adapter
    listings : iterable of Listing
        Of the venue.
    master : InstrumentMaster
        Of the client: what it does not know plays no role.
    held : collection of str
        Instruments the account holds from the start; they play no role while others can.
    """

    def __init__(
        self, adapter: Adapter, listings: Iterable[Listing], master: InstrumentMaster, held: Iterable[str]
    ) -> None:
        self._adapter = adapter
        self._listings = tuple(listings)
        self._master = master
        self._held = frozenset(held)
        self._chosen: dict[str, Listing] = {}

    def listing(self, role: str) -> Listing:
        """Return who plays a role.

        Raises
        ------
        NotOfferedError
            Nobody can.
        """
        if role == "P":
            return self.listing("F" if self.product("A") is Product.CASH else "A")
        if role not in self._chosen:
            self._chosen[role] = self._choose(role)
        return self._chosen[role]

    def role_of(self, instrument_id: str) -> str:
        """Return the role an instrument plays, or its id."""
        found = (role for role, one in self._chosen.items() if one.instrument.instrument_id == instrument_id)
        return next(found, instrument_id)

    def instrument(self, role: str) -> Instrument:
        """Return the client's view of who plays a role."""
        return self._master.resolve(self.listing(role).instrument.instrument_id)

    def product(self, role: str) -> Product:
        """Return the product this broker trades it in, the one that ties up least where there are several."""
        offered, listing = self._adapter.capabilities.products, self.listing(role)
        both = [product for product in _PREFERRED if product in offered and product in listing.margin_rate]
        plain = _OWNED if listing.instrument.instrument_type in _CASH else _BORROWED
        return next(iter([*both, *(one for one in (*plain, *_PREFERRED) if one in offered)]), Product.DELIVERY)

    def unit(self, role: str) -> Decimal:
        """Return what one step of quantity is: a lot, or as many small steps as are worth an order."""
        listing = self.listing(role)
        lot = listing.grain or listing.instrument.lot_size  # fractions have rules of their own
        value = lot * listing.reference
        return lot if value >= _LEAST_VALUE else lot * (_LEAST_VALUE / value).quantize(Decimal(1), ROUND_CEILING)

    def price(self, role: str, percent: Decimal, ticks: int) -> Decimal:
        """Return a price on the tick, relative to the reference."""
        listing = self.listing(role)
        tick = listing.instrument.tick_size or Decimal("0.01")
        wanted = listing.reference * (1 + percent / 100) / tick
        return (wanted.quantize(Decimal(1), ROUND_HALF_UP) + ticks) * tick

    # -- choosing ----------------------------------------------------------------------------------------------------

    def _choose(self, role: str) -> Listing:
        taken = {one.instrument.instrument_id for one in self._chosen.values()}
        able = [one for one in self._listings if self._can(one, role) and one.instrument.instrument_id not in taken]
        if not able:
            raise NotOfferedError(f"the emulated market offers no {role}: {ROLES[role]}")
        return min(able, key=self._worth(role))

    def _can(self, listing: Listing, role: str) -> bool:
        one = listing.instrument
        known = self._master.get(one.instrument_id)
        unit = self._adapter.capabilities.quantity_unit.get(one.exchange)
        if known is None or unit is QuantityUnit.UNVERIFIED:
            return False
        if role == "I":
            return one.instrument_type is InstrumentType.INDEX
        kinds = {"F": _FUTURES, "E": (InstrumentType.OPTION,)}.get(role, _CASH)
        return one.tradable and known.tradable and one.instrument_type in kinds

    def _worth(self, role: str) -> Callable[[Listing], tuple[bool, bool, bool, Decimal]]:
        low, high = _HANDY

        def key(listing: Listing) -> tuple[bool, bool, bool, Decimal]:
            one = listing.instrument
            derivative = one.instrument_type not in _CASH
            value = one.lot_size * listing.reference if derivative else Decimal(0)  # a cheap contract: money lasts
            return (
                one.instrument_id in self._held,
                one.series not in (None, "", "EQ") or listing.band < Decimal("0.1"),
                not derivative and not low <= listing.reference <= high,
                value,
            )

        return key
