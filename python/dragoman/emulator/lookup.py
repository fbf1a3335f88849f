"""What a broker offers, found by any of its own names: a symbol, an id, a symbol on a market; more may be added."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from dragoman.emulator.listed import ListingName
from dragoman.emulator.venue.types import Listing, VenueProtocol

NamedT = TypeVar("NamedT", bound=ListingName)


class Lookup(Generic[NamedT]):
    """Base of a broker's table of names.

    Attributes
    ----------
    by_id : dict of str to NamedT
        By canonical id, in the order they were listed.
    """

    def __init__(self, listings: Iterable[Listing]) -> None:
        self.by_id: dict[str, NamedT] = {}
        self._by_name: dict[Hashable, NamedT] = {}
        for listing in listings:
            self.add(listing)

    @property
    def all(self) -> list[NamedT]:
        return list(self.by_id.values())

    def name(self, listing: Listing, number: int) -> NamedT | None:
        """Return a listing, the `number`-th, under the broker's names; None of one it does not offer."""
        raise TypeError(f"{type(self).__name__} does not define name")

    def names(self, named: NamedT) -> Iterable[Hashable]:
        """Return everything it is found by beside its canonical id."""
        raise TypeError(f"{type(self).__name__} does not define names")

    def add(self, listing: Listing) -> None:
        """Offer a listing, if it is the broker's."""
        named = self.name(listing, len(self.by_id))
        if named is not None:
            self.by_id[named.instrument_id] = named
            self._by_name |= dict.fromkeys(self.names(named), named)

    def admit(self, venue: VenueProtocol, listings: Iterable[Listing]) -> None:
        """List on a venue, and offer, what is not listed there yet."""
        for listing in listings:
            if venue.listing(listing.instrument.instrument_id) is None:
                venue.list(listing)
                self.add(listing)

    def find(self, name: Hashable) -> NamedT | None:
        return self._by_name.get(name)

    def get(self, name: str) -> NamedT:
        """Find, or raise the broker's error."""
        raise TypeError(f"{type(self).__name__} does not define get")
