"""All that happened, by instrument: the timelines of a book, and the days that part them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from dragoman.model import Product
from dragoman.portfolio.lots import Lots
from dragoman.portfolio.net import PositionKey
from dragoman.portfolio.timeline import Place, Roll, Timeline

Side = Literal["NET", "LONG", "SHORT"]
Line = tuple[str, Side]
"""An instrument, and a side where the account keeps both apart: its products share one timeline."""
_EVER: Final = -(2**63)


class Lines(dict[Line, Timeline]):
    """The timelines of a book.

    Attributes
    ----------
    rolls : list of Place
        Where the days began that are kept apart: at most the one before, and the one that is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rolls: list[Place] = []

    def of(self, instrument_id: str, position_side: Side) -> Timeline:
        """Return the timeline of an instrument, made on first use with the days there are."""
        found = self.get((instrument_id, position_side))
        if found is None:
            since = self.rolls[0][0] if self.rolls else _EVER
            found = self[instrument_id, position_side] = Timeline(since=since)
            for place in self.rolls[1:]:
                found.put(Roll(place))
        return found

    def lots(self, key: PositionKey) -> Lots | None:
        """Return the count of a position; None where nothing is known of it."""
        line = self.get((key[0], key[2]))
        return None if line is None else line.rows.get(key[1])

    def all(self) -> Iterator[tuple[PositionKey, Lots]]:
        """Yield every count there is, empty ones too."""
        for (name, side), line in self.items():
            for product, lots in line.rows.items():
                yield (name, product, side), lots

    def products(self, instrument_id: str, position_side: Side) -> dict[Product, Lots]:
        """Return the counts of one instrument."""
        line = self.get((instrument_id, position_side))
        return {} if line is None else line.rows

    def fold(self) -> None:
        """Keep apart what happened since the first of `rolls`; the rest will not change any more."""
        for line in self.values():
            line.fold(self.rolls[0])
