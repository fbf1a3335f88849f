"""All segments of an account: which position draws on which, readings taken, projections made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

from dragoman.model import Instrument, Margin, Segment
from dragoman.plugin import MarginTerms
from dragoman.portfolio.margin.rates import RateBook
from dragoman.portfolio.margin.rule import segment_of
from dragoman.portfolio.margin.segment import COUNTED, Said, SegmentMargin
from dragoman.portfolio.margin.state import Held, State
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
        self._segments: dict[PositionKey, Segment | None] = {}

    def take(self, rows: Sequence[Margin], states: Sequence[State], now: int, day: str, *, blind: bool) -> list[Said]:
        """Take a reading of all segments, see `SegmentMargin.take`; of two rows for one segment the first counts."""
        told: dict[Segment, Margin] = {}
        for row in rows:
            told.setdefault(row.segment, row)
        known = self._told() | told
        self.missing += len(known) - len(told)
        said: list[Said] = []
        parts = [self._parts(state, known) for state in states]
        for segment, margin in told.items():
            if segment not in self.kept:
                self.kept[segment] = SegmentMargin(self._rates, self._terms, self._instrument)
            mine = [part.get(segment, {}) for part in parts]
            said += self.kept[segment].take(margin, mine, now, day, blind=blind)
        return said

    def streamed(
        self, pushes: Sequence[tuple[Margin, Decimal]], states: Sequence[State], now: int, day: str, *, blind: bool
    ) -> list[Said]:
        """Take what the broker told unasked of segments it was read of, see `SegmentMargin.streamed`."""
        known = self._told()
        said: list[Said] = []
        parts = [self._parts(state, known) for state in states]
        for seen, paid in pushes:
            if seen.segment in self.kept:
                mine = [part.get(seen.segment, {}) for part in parts]
                said += self.kept[seen.segment].streamed(seen, paid, mine, now, day, blind=blind)
        return said

    def project(self, state: State, ts: int, stale: Callable[[SegmentMargin], bool]) -> Iterator[Margin]:
        """Yield every segment's margin as it is now."""
        parts = self._parts(state, self._told())
        for segment, keeper in list(self.kept.items()):
            if keeper.projection is not None:
                yield keeper.projection.margin(parts.get(segment, {}), ts, stale=stale(keeper))

    def begin_anew(self, state: State) -> None:
        """Take what is known now for what the last reading had seen, until there is another."""
        parts = self._parts(state, self._told())
        for segment, keeper in self.kept.items():
            keeper.begin_anew(parts.get(segment, {}))

    @property
    def unsettled(self) -> bool:
        """Whether a reading left a question open."""
        return any(one.doubtful or not one.clear for one in self.kept.values())

    @property
    def drifting(self) -> bool:
        """Whether marks move what was told last."""
        projections = [one.projection for one in self.kept.values() if one.projection is not None]
        return any(held.drift for one in projections for held in one.state.values())

    def counts(self) -> dict[str, int]:
        """Return the sums of the segments' counters."""
        return {name: sum(one.counters[name] for one in self.kept.values()) for name in COUNTED}

    def _told(self) -> dict[Segment, Margin]:
        return {segment: one.projection.told for segment, one in self.kept.items() if one.projection is not None}

    def _parts(self, state: State, known: dict[Segment, Margin]) -> dict[Segment, dict[PositionKey, Held]]:
        """Return a state by the segment whose money each position is for."""
        held_by = {segment: one.currency for segment, one in known.items()}
        if held_by != self._held_by:
            self._held_by = held_by
            self._segments.clear()
        segments, parts = self._segments, dict[Segment, dict[PositionKey, Held]]()
        for key, held in state.items():
            if key in segments:
                segment = segments[key]
            else:
                instrument = self._instrument(key)
                segment = segment_of(instrument, known)
                if instrument is not None:
                    segments[key] = segment
            if segment is not None:
                parts.setdefault(segment, {})[key] = held
        return parts
