"""All segments of an account: which position draws on which, readings taken, projections made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial

from dragoman.model import Instrument, Margin, Segment
from dragoman.plugin import MarginTerms
from dragoman.portfolio.margin.rates import RateBook
from dragoman.portfolio.margin.rule import segment_of
from dragoman.portfolio.margin.segment import COUNTED, Said, SegmentMargin
from dragoman.portfolio.margin.state import State
from dragoman.portfolio.net import PositionKey


class Segments:
    """The segments of one account, by their readings.

    Attributes
    ----------
    kept : dict of Segment to SegmentMargin
    missing : int
        Segments that a reading left out though there had been one.
    """

    def __init__(
        self, rates: RateBook, terms: MarginTerms, instrument: Callable[[PositionKey], Instrument | None]
    ) -> None:
        self._rates, self._terms, self._instrument = rates, terms, instrument
        self.kept: dict[Segment, SegmentMargin] = {}
        self.missing = 0
        self._held_by: dict[Segment, str] = {}
        self._known: dict[Segment, Margin] = {}
        self._segments: dict[PositionKey, Segment | None] = {}
        self._strange: set[PositionKey] = set()

    def take(self, rows: Sequence[Margin], states: Sequence[State], now: int, day: str, *, blind: bool) -> list[Said]:
        """Take a reading of all segments, see `SegmentMargin.take`; of two rows for one segment the first counts."""
        told: dict[Segment, Margin] = {}
        for row in rows:
            told.setdefault(row.segment, row)
        known = self._told() | told
        self.missing += len(known) - len(told)
        said: list[Said] = []
        self._assign(known)
        for segment, margin in told.items():
            if segment not in self.kept:
                mine = partial(self._draws_on, segment)
                self.kept[segment] = SegmentMargin(self._rates, self._terms, self._instrument, mine)
            said += self.kept[segment].take(margin, states, now, day, blind=blind)
        return said

    def streamed(
        self, pushes: Sequence[tuple[Margin, Decimal]], states: Sequence[State], now: int, day: str, *, blind: bool
    ) -> list[Said]:
        """Take what the broker told unasked of segments it was read of, see `SegmentMargin.streamed`."""
        said: list[Said] = []
        self._assign(self._told())
        for seen, paid in pushes:
            if seen.segment in self.kept:
                said += self.kept[seen.segment].streamed(seen, paid, states, now, day, blind=blind)
        return said

    def project(self, state: State, ts: int, stale: Callable[[SegmentMargin], bool]) -> Iterator[Margin]:
        """Yield every segment's margin as it is now."""
        self._assign(self._told())
        for keeper in list(self.kept.values()):
            if keeper.projection is not None:
                yield keeper.projection.margin(state, ts, stale=stale(keeper))

    def begin_anew(self, state: State) -> None:
        """Take what is known now for what the last reading had seen, until there is another."""
        self._assign(self._told())
        for keeper in self.kept.values():
            keeper.begin_anew(state)

    @property
    def unsettled(self) -> bool:
        """Whether a reading left a question open."""
        return any(one.doubtful or not one.clear for one in self.kept.values())

    @property
    def drifting(self) -> bool:
        """Whether marks move what was told last."""
        projections = [one.projection for one in self.kept.values() if one.projection is not None]
        return any(one.drifting for one in projections)

    def counts(self) -> dict[str, int]:
        """Return the sums of the segments' counters."""
        return {name: sum(one.counters[name] for one in self.kept.values()) for name in COUNTED}

    def _told(self) -> dict[Segment, Margin]:
        return {segment: one.projection.told for segment, one in self.kept.items() if one.projection is not None}

    def _assign(self, known: dict[Segment, Margin]) -> None:
        """Take note of the segments there are; where they or instruments are others, so is what draws on them."""
        held_by = {segment: one.currency for segment, one in known.items()}
        if held_by == self._held_by and all(self._instrument(key) is None for key in self._strange):
            return
        self._held_by, self._known = held_by, known
        self._segments.clear()
        self._strange.clear()
        for keeper in self.kept.values():
            if keeper.projection is not None:
                keeper.projection.forget()

    def _draws_on(self, segment: Segment, key: PositionKey) -> bool:
        """Whether a position is for the money of a segment."""
        if key not in self._segments:
            instrument = self._instrument(key)
            self._segments[key] = segment_of(instrument, self._known)
            if instrument is None:
                self._strange.add(key)
        return self._segments[key] is segment
