"""What a book shows of its counts: rows, totals and marks, each brought up to date where something changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from dragoman._core import intern_instrument
from dragoman.market import InstrumentMaster
from dragoman.model import LivePosition, Product, QuantityUnit
from dragoman.portfolio.closes import Closes
from dragoman.portfolio.daysums import DaySums
from dragoman.portfolio.kept import KeptRows
from dragoman.portfolio.lines import Line, Lines
from dragoman.portfolio.lots import Lots
from dragoman.portfolio.marked import Terms
from dragoman.portfolio.marking import Marking
from dragoman.portfolio.money import price, quantity, ratio
from dragoman.portfolio.net import PositionKey
from dragoman.portfolio.opening import Opening
from dragoman.portfolio.replay import Costs
from dragoman.portfolio.rows import Facts, shown

_NOTHING: Final = Lots()


class View:
    """The rows of one book, and its positions in the native marks.

    Parameters
    ----------
    lines : Lines
        The counts.
    instruments : InstrumentMaster
    marking : Marking
    costs : Costs
    facts : Facts
        What all rows have in common.
    account : callable
        Name of the account, once it is known.

    Attributes
    ----------
    closes : Closes
    openings : dict of PositionKey to Opening
    units : dict of PositionKey to QuantityUnit
        Positions whose fills could not be converted to units.
    complete_as_of : int or None
        When the broker's positions were read that the book began with.
    sums : DaySums
    """

    def __init__(
        self,
        lines: Lines,
        instruments: InstrumentMaster,
        marking: Marking,
        costs: Costs,
        facts: Facts,
        account: Callable[[], str],
    ) -> None:
        self._lines, self._instruments, self._marking, self._costs = lines, instruments, marking, costs
        self._facts, self._account = facts, account
        self._edition = instruments.edition
        self._kept = KeptRows(marking)
        self._unkept: set[PositionKey] = set()
        self._figures: dict[Line, dict[Product, tuple[object, ...]]] = {}
        self.closes = Closes()
        self.openings: dict[PositionKey, Opening] = {}
        self.units: dict[PositionKey, QuantityUnit] = {}
        self.complete_as_of: int | None = None
        self.sums = DaySums(marking)

    def renewed(self) -> KeptRows:
        """Build again the rows of what changed since somebody looked; return all of them."""
        if (account := self._account()) != self._facts.account_id:
            self._facts = replace(self._facts, account_id=account)
            self._unkept.update(self._kept)
        unkept, self._unkept = self._unkept, set()
        for key in unkept:
            lots = self._lines.lots(key)
            if lots is None or lots.empty:
                self._kept.drop(key)
            else:
                self._kept.put(key, intern_instrument(key[0]), *self.shown(key, lots))
        return self._kept

    def shown(self, key: PositionKey, lots: Lots) -> tuple[LivePosition, Terms]:
        """Return a position as everybody sees it, counted from nothing, and what marks it anew."""
        line = self._lines[key[0], key[2]]
        return shown(
            replace(
                self._facts,
                key=key,
                instrument=self._instruments.get(key[0]),
                opening=self.openings.get(key),
                close=self.closes.get(key[0]),
                mark=self._marking.read(intern_instrument(key[0])),
                unit=self.units.get(key, QuantityUnit.UNITS),
                charges=self._costs.of(key, line, self._instruments.get(key[0])),
                elsewhere=self._costs.elsewhere(key),
                ts_event=line.entries[-1].place[0] if line.entries else None,
                complete_as_of=self.complete_as_of,
            ),
            lots,
        )

    def look(self) -> None:
        """See whether other instruments are known."""
        if (edition := self._instruments.edition) != self._edition:
            self._edition = edition
            self._note([key for key, _ in self._lines.all()])

    def changed(self, keys: Collection[PositionKey]) -> list[PositionKey]:
        """Hand what changed to the native marks; return it, with what changed besides."""
        moved = [*keys, *self._others(keys)]
        self._note(moved)
        return moved

    def _others(self, keys: Collection[PositionKey]) -> list[PositionKey]:
        """Return the other products that what happened changed too: of a conversion, less or more may have been there.

        The newest entry is of all products, hence their rows are built again in any case.
        """
        found: list[PositionKey] = []
        for line in {(key[0], key[2]) for key in keys}:
            rows, known = self._lines.products(*line), self._figures.get(line, {})
            if len(known) < 2 and len(rows) < 2:
                continue
            for product in known.keys() | rows.keys():
                key: PositionKey = (line[0], product, line[1])
                self._unkept.add(key)
                if key not in keys and known.get(product) != rows.get(product, _NOTHING).figures:
                    found.append(key)
        return found

    def _note(self, keys: Iterable[PositionKey]) -> None:
        """Hand positions to the native marks; their rows are built again when somebody looks."""
        for key in keys:
            lots = self._lines.lots(key) or _NOTHING
            self._unkept.add(key)
            self._figures.setdefault((key[0], key[2]), {})[key[1]] = lots.figures
            self._mark(key, lots)

    def _mark(self, key: PositionKey, lots: Lots) -> None:
        instrument = self._instruments.get(key[0])
        currency = instrument.currency if instrument is not None else self._facts.currency
        multiplier = instrument.multiplier if instrument is not None else Decimal(1)
        average = None if lots.blank else price(ratio(lots.cost, lots.quantity)) if lots.quantity else Decimal(0)
        close = self.closes.price(key[0])
        held = quantity(lots.quantity)
        handle = intern_instrument(key[0])
        self._marking.put(key, handle, currency, held, average, multiplier, close)
        self.sums.put(key, lots, handle, currency, None if instrument is None else multiplier, close)

    def carry_marks(self, day: str) -> None:
        """Take the last marks for the previous closes of a day, until somebody says better."""
        for name, _ in self._lines:
            mark, _, _ = self._marking.read(intern_instrument(name))
            if mark is not None:
                self.closes.marked(name, mark, day)

    def keys(self) -> set[PositionKey]:
        """Return all positions there are, and those that are gone but were counted."""
        return {*(key for key, _ in self._lines.all()), *self.openings, *self.sums.keys()}
