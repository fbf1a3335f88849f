"""Which option contracts a request asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeVar

from dragoman.emulator.listed import ListingName
from dragoman.model import OptionType

NamedT = TypeVar("NamedT", bound=ListingName)


@dataclass(frozen=True, slots=True)
class ContractFilter:
    """Options on some underlyings (all where there are none), of a right, between days and strikes, ends included."""

    roots: Collection[str] = ()
    right: OptionType | None = None
    first: date = date.min
    last: date = date.max
    lowest: Decimal = Decimal(0)
    highest: Decimal = Decimal("Infinity")

    def of(self, items: Iterable[NamedT]) -> Iterator[NamedT]:
        """Yield those of `items` that are options and fit."""
        for named in items:
            one = named.instrument
            if one.expiry is None or one.strike is None or (self.roots and named.root not in self.roots):
                continue
            inside = self.first <= one.expiry <= self.last and self.lowest <= one.strike <= self.highest
            if inside and self.right in (None, one.option_type):
                yield named
