"""What a book works out from an instrument's timeline beside the count itself: today's change, and today's charges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from dragoman.model import Charges, Instrument, Position
from dragoman.plugin import ChargesTable
from dragoman.portfolio.charges import Charging
from dragoman.portfolio.lines import Line
from dragoman.portfolio.lots import Lots
from dragoman.portfolio.money import Exact, exact
from dragoman.portfolio.net import PositionKey
from dragoman.portfolio.opening import Opening, Traded, day_change, opening_of
from dragoman.portfolio.timeline import Place, Timeline, Trade, row


def moved_by(position: Position, line: Timeline | None, since: int) -> Exact:
    """Return by how much a position changed since then, as far as we know, from the broker's overnight part."""
    if line is None:
        return 0
    told, base = exact(position.overnight_quantity), Lots()
    if told:
        base.receive(told, None)
    rows = {position.product: base}
    for entry in line.entries:
        if entry.place[0] >= since:
            entry.apply(rows)
    return row(rows, position.product).quantity - told


def converted_before(changes: Iterable[tuple[Position, Exact]]) -> set[Line]:
    """Return where units moved between products before we were there: in all they changed as our fills say.

    Parameters
    ----------
    changes : iterable of (Position, Exact)
        The broker's positions, and by how much each changed today as far as we know.
    """
    found: dict[Line, list[Exact]] = {}
    for one, ours in changes:
        found.setdefault((one.instrument_id, one.position_side), []).append(day_change(one) - ours)
    return {line for line, left in found.items() if any(left) and not sum(left)}


def openings(
    held: list[Position], lines: Mapping[Line, Timeline], traded: Mapping[PositionKey, Traded], start: int
) -> Iterator[tuple[PositionKey, Position, Opening]]:
    """Yield what each of the broker's positions was when the day began.

    Parameters
    ----------
    held : list of Position
    lines : mapping
        What is known to have happened.
    traded : mapping
        What our fills of the day come to.
    start : int
        When the day began, ns UTC.
    """
    moved = [moved_by(one, lines.get((one.instrument_id, one.position_side)), start) for one in held]
    converted = converted_before(zip(held, moved, strict=True))
    for position, change in zip(held, moved, strict=True):
        key: PositionKey = (position.instrument_id, position.product, position.position_side)
        apart = (key[0], key[2]) in converted
        yield key, position, opening_of(position, traded.get(key) or Traded(), change, converted=apart)


class Costs:
    """The day's charges of positions: each is counted once in full, then kept up fill by fill.

    Parameters
    ----------
    table : ChargesTable or None
    """

    def __init__(self, table: ChargesTable | None) -> None:
        self._table = table
        self._known: dict[PositionKey, tuple[Charging, Place | None]] = {}

    def of(self, key: PositionKey, line: Timeline, instrument: Instrument | None) -> Decimal | None:
        """Return the charges of the day's fills; None without a table that has them, or without the instrument."""
        known = self._counted(key, line, instrument)
        return None if known is None else known.total()

    def itemised(self, key: PositionKey, line: Timeline, instrument: Instrument | None) -> Charges | None:
        """Return the same part by part, with what of the rates is unverified."""
        known = self._counted(key, line, instrument)
        return None if known is None else known.charges()

    def _counted(self, key: PositionKey, line: Timeline, instrument: Instrument | None) -> Charging | None:
        if self._table is None or instrument is None:
            return None
        known = self._known.get(key)
        if known is None or known[0].instrument != instrument:
            known = self._known[key] = Charging(self._table, instrument), line.rolled
            for fill in line.trades(key[1]):
                known[0].count(fill)
        return known[0]

    def elsewhere(self, key: PositionKey) -> tuple[tuple[str, Decimal], ...]:
        """Return what fills told of fees in other currencies, where `of` has counted the position's charges."""
        known = self._known.get(key)
        return () if known is None else known[0].elsewhere()

    def count(self, key: PositionKey, trade: Trade, times: int = 1) -> None:
        """Take in that a fill entered the timeline; -1 times that it left."""
        known = self._known.get(key)
        if known is not None and trade.quantity and (known[1] is None or trade.place > known[1]):
            known[0].count(trade.fill, times)

    def forget(self) -> None:
        """Count everything in full again: a day began, or what it began with was told."""
        self._known.clear()
