"""What happened to one instrument, in the order in which it happened, whatever order it was told in.

An instrument's products share one timeline, for conversions move units between them. An entry that belongs before
others is put in its place and what follows is counted again, from the nearest point kept; nothing is counted before
somebody looks, so that a day's fills told newest first cost no more than told in order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from dragoman.model import Adjustment, AdjustmentKind, Fill, Product
from dragoman.portfolio.adjust import SCALING
from dragoman.portfolio.in_kind import charged_units
from dragoman.portfolio.lots import Lot, Lots
from dragoman.portfolio.money import Exact, exact, has_digits, ratio, size
from dragoman.portfolio.runs import count_run, shifted

ROLL, ADJUST, TRADE, CONVERT = range(4)
"""What comes first of what happened at one time: a day begins, a corporate action takes effect, trades follow."""

Place = tuple[int, int, int, str, str]
"""Time, rank, length of the id and the id (so that running numbers are in order), and the order's id."""
Rows = dict[Product, Lots]

_KEEP_EVERY: Final = 64
_RUN: Final = 32


class Entry(Protocol):
    """Something that changes the rows of an instrument."""

    place: Place

    def apply(self, rows: Rows) -> str | None:
        """Change `rows`; return why it could not, or not in full."""
        ...


def row(rows: Rows, product: Product) -> Lots:
    """Return the count of a product, made on first use."""
    found = rows.get(product)
    if found is None:
        found = rows[product] = Lots()
    return found


@dataclass(slots=True)
class Trade:
    """A fill; of its quantity, `charged` units were kept as commission. For the rest see `runs.Plain`."""

    place: Place
    fill: Fill
    quantity: Exact = 0
    price: Exact = 0
    charged: Exact = 0
    lot: Lot = (0, 0)
    units: int | None = None
    at: int | None = None

    def __post_init__(self) -> None:
        self.lot = self.quantity, self.price
        if not self.charged and self.quantity:
            self.units, self.at = shifted(self.quantity), shifted(self.price)

    @classmethod
    def of(cls, fill: Fill, ts: int) -> Trade:
        """Make one of a fill that happened at `ts`."""
        place = (ts, TRADE, len(fill.trade_id), fill.trade_id, fill.order_id)
        return cls(place, fill, fill.side.sign * exact(fill.quantity), exact(fill.price), charged_units(fill))

    def apply(self, rows: Rows) -> str | None:
        if self.quantity:
            row(rows, self.fill.product).trade(self.quantity, self.price, self.charged)
        return None


@dataclass(slots=True)
class Conversion:
    """Units, signed as the position, moved from one product to another at what they cost."""

    place: Place
    old: Product
    new: Product
    quantity: Exact
    overnight: bool

    def apply(self, rows: Rows) -> str | None:
        source = row(rows, self.old)
        held = source.quantity if source.quantity and (source.quantity > 0) == (self.quantity > 0) else 0
        moved = self.quantity if size(self.quantity) <= size(held) else held
        if moved:
            source.convert_to(row(rows, self.new), moved, overnight=self.overnight)
        return None if moved == self.quantity else f"{self.old} holds {held}, {self.quantity} of it were converted"


@dataclass(slots=True)
class Roll:
    """A new trading day; what is delivered into holdings is no position any more."""

    place: Place
    delivered: frozenset[Product] = frozenset()

    def apply(self, rows: Rows) -> str | None:
        for product, lots in list(rows.items()):
            if product in self.delivered or not lots.quantity:
                del rows[product]
            else:
                lots.roll()
        return None


@dataclass(slots=True)
class Adjusting:
    """An explicit adjustment of one product, or of all."""

    place: Place
    adjustment: Adjustment

    def apply(self, rows: Rows) -> str | None:
        one = self.adjustment
        if one.product is not None:
            return apply(one, row(rows, one.product))
        problems = [apply(one, lots) for lots in rows.values()]
        return next((problem for problem in problems if problem), None)


def apply(one: Adjustment, lots: Lots) -> str | None:
    """Apply an adjustment to one position; return why it could not be, or not in full."""
    kind = AdjustmentKind
    at = None if one.price is None else exact(one.price)
    match one.kind:
        case kind.SPLIT | kind.BONUS:
            factor = ratio(exact(one.numerator), exact(one.denominator))
            factor = factor if one.kind is kind.SPLIT else 1 + factor
            counts = (lots.quantity, lots.overnight_quantity, lots.bought, lots.sold, lots.charged)
            if not all(has_digits(units * factor) for units in counts):
                return f"{one.kind} of {lots.quantity} by {factor} leaves a fraction that is no quantity"
            lots.scale(factor)
        case kind.DIVIDEND:
            lots.income += lots.quantity * (at or 0)
        case kind.EXPIRY:
            if lots.quantity:
                lots.settle(-lots.quantity, at or 0)
        case kind.ASSIGNMENT:
            lots.settle(_signed(one), at or 0)
        case kind.EXTERNAL:
            lots.trade(_signed(one), at or 0)
        case kind.TRANSFER_IN:
            asked = _signed(one)
            if lots.quantity * asked >= 0:
                lots.receive(asked, at)
            elif at is None:
                return f"{asked} at an unknown price were transferred in against {lots.quantity}"
            else:
                lots.settle(asked, at)
        case kind.TRANSFER_OUT:
            asked = _signed(one)
            held = lots.quantity if lots.quantity and (lots.quantity > 0) == (asked > 0) else 0
            gone = asked if size(asked) <= size(held) else held
            if gone:
                lots.release(gone)
            if gone != asked:
                return f"{asked} were transferred out, {held} are held"
    return None


def _signed(one: Adjustment) -> Exact:
    return exact(one.quantity) if one.quantity is not None else 0


@dataclass(slots=True)
class Timeline:
    """All that is known of one instrument, and what it comes to.

    Attributes
    ----------
    since : int
        What happened before is part of `base`; ns UTC.
    problems : dict of Place to str
        Entries that could not be applied in full, in words.
    version : int
        Rises with every change.
    """

    base: Rows = field(default_factory=dict)
    since: int = 0
    entries: list[Entry] = field(default_factory=list)
    problems: dict[Place, str] = field(default_factory=dict)
    version: int = 0
    _places: list[Place] = field(default_factory=list)
    _kept: list[tuple[int, Rows]] = field(default_factory=list)
    _rows: Rows = field(default_factory=dict)
    _counted: int = 0
    _keep_at: int = _KEEP_EVERY

    def put(self, entry: Entry) -> None:
        """Put an entry where it belongs."""
        at = bisect_left(self._places, entry.place)
        self._places.insert(at, entry.place)
        self.entries.insert(at, entry)
        self._from(at)

    def drop(self, entry: Entry) -> bool:
        """Take an entry out again; False where it is not here, or part of the beginning by now."""
        for at in range(bisect_left(self._places, entry.place), len(self.entries)):
            if self.entries[at] is entry:
                del self._places[at], self.entries[at]
                self._from(at)
                return True
            if self._places[at] != entry.place:
                break
        return False

    def begin(self, base: Rows, since: int) -> int:
        """Replace what it began with; return how many entries are older than that, and gone."""
        at = bisect_left(self._places, (since, -1, 0, "", ""))
        del self._places[:at], self.entries[:at]
        self.version += 1
        self.base, self.since = base, since
        self._kept.clear()
        self._rows, self._counted, self._keep_at = _copy(base), 0, _KEEP_EVERY
        self.problems.clear()
        return at

    def carried_to(self, start: int) -> Rows:
        """Return what the day that began at `start` began with."""
        rows = _copy(self.base)
        for entry in self.entries[: bisect_left(self._places, (start, ADJUST, 0, "", ""))]:
            entry.apply(rows)
        for lots in rows.values():
            lots.roll()
        return rows

    def forget_overnight(self, before: int) -> None:
        """Take out conversions of what was carried over: a broker asked since then tells it where it went."""
        for entry in list(self.entries):
            if isinstance(entry, Conversion) and entry.overnight and entry.place[0] < before:
                self.drop(entry)

    def forget_scaling(self, gone: Callable[[Adjustment], bool]) -> None:
        """Take out the splits and bonuses that `gone` says the broker's positions have already."""
        for entry in list(self.entries):
            if isinstance(entry, Adjusting) and entry.adjustment.kind in SCALING and gone(entry.adjustment):
                self.drop(entry)

    def fold(self, before: Place) -> list[Entry]:
        """Let the entries before a place become part of the beginning; return them."""
        at = bisect_left(self._places, before)
        gone = self.entries[:at]
        if gone:
            rows = _copy(self.base)
            for entry in gone:
                entry.apply(rows)
            self.begin(rows, before[0])
        return gone

    @property
    def rolled(self) -> Place | None:
        """Where the newest day that is kept apart begins; None where all of it is one."""
        return next((entry.place for entry in reversed(self.entries) if isinstance(entry, Roll)), None)

    def trades(self, product: Product) -> list[Fill]:
        """Return the fills of the newest day."""
        found: list[Fill] = []
        for entry in reversed(self.entries):
            if isinstance(entry, Roll):
                break
            if isinstance(entry, Trade) and entry.fill.product is product and entry.quantity:
                found.append(entry.fill)
        return found[::-1]

    @property
    def rows(self) -> Rows:
        """What it all comes to, by product."""
        end = len(self.entries)
        if self._counted < end:
            if end - self._counted < _RUN:
                self._each(self._counted, end)
            else:
                self._again(end)
        return self._rows

    def _each(self, start: int, end: int) -> None:
        """Count entries one by one."""
        for at in range(start, end):
            entry = self.entries[at]
            problem = entry.apply(self._rows)
            if problem is None:
                self.problems.pop(entry.place, None)
            else:
                self.problems[entry.place] = problem
            if at + 1 >= self._keep_at:
                self._keep(at + 1)
        self._counted = end

    def _again(self, end: int) -> None:
        """Count many entries, trades by the run, and keep the count at ever shorter distances from the end."""
        stops = [end]
        while end - (far := _KEEP_EVERY << (len(stops) - 1)) > self._counted:
            stops.append(end - far)
        for stop in reversed(stops):
            at = self._counted
            while at < stop:
                runs: dict[Product, list[Trade]] = {}
                while at < stop and type(entry := self.entries[at]) is Trade:
                    if entry.quantity:
                        runs.setdefault(entry.fill.product, []).append(entry)
                    at += 1
                for product, trades in runs.items():  # one product's trades are nothing to another's
                    lots, done = row(self._rows, product), 0
                    while done < len(trades):
                        done += count_run(lots, trades[done:])
                        if done < len(trades):
                            trades[done].apply(self._rows)
                            done += 1
                if at < stop:
                    self._keep_at = end + 1
                    self._each(at, at + 1)
                    at += 1
            self._counted = stop
            if stop < end:
                self._keep(stop)
        self._keep_at = end + self._spacing()

    def _from(self, at: int) -> None:
        """Forget what was counted from an entry on."""
        self.version += 1
        if at >= self._counted:
            return
        while self._kept and self._kept[-1][0] > at:
            self._kept.pop()
        self._counted, rows = self._kept[-1] if self._kept else (0, self.base)
        self._rows = _copy(rows)
        self._keep_at = self._counted + _KEEP_EVERY

    def _keep(self, at: int) -> None:
        """Keep a copy of the count after so many entries; of older ones ever fewer, for what is late is late by little.

        A copy costs as much as there are lots, hence the next one comes later where there are many.
        """
        self._kept.append((at, _copy(self._rows)))
        self._keep_at = at + self._spacing()
        thinned: list[tuple[int, Rows]] = []
        for one in reversed(self._kept):
            while len(thinned) > 1 and thinned[-2][0] - one[0] <= at - thinned[-2][0]:
                thinned.pop()
            thinned.append(one)
        self._kept = thinned[::-1]

    def _spacing(self) -> int:
        return max(_KEEP_EVERY, sum(len(lots.lots) for lots in self._rows.values()) // 32)


def _copy(rows: Rows) -> Rows:
    return {product: lots.copy() for product, lots in rows.items()}
