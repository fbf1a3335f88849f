"""Positions of one account as its fills make them, live and exact; `client.portfolio.live`.

Theory. The order store tells every fill once, says which synthetic ones it takes back, and never in a promised order.
The book puts each into its instrument's `Timeline`, which counts in the order of events. The broker's own positions
enter once, as what the day began with; from then on they are only compared with, never copied.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Literal, cast

from dragoman._core import intern_instrument
from dragoman.errors import ErrorKind, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import (
    Adjustment,
    Charges,
    Fill,
    Instrument,
    LivePosition,
    OrderUpdate,
    PnL,
    Position,
    PositionAlert,
    PositionCode,
    Product,
    QuantityUnit,
)
from dragoman.plugin import ChargesTable
from dragoman.portfolio.adjust import Converted, Told, check_adjustment, followed_by_net_alone, in_opening
from dragoman.portfolio.counted import Counted
from dragoman.portfolio.days import TradingDays
from dragoman.portfolio.kept import KeptRows
from dragoman.portfolio.lines import Line, Lines
from dragoman.portfolio.lots import Lots
from dragoman.portfolio.marking import Marking
from dragoman.portfolio.money import exact
from dragoman.portfolio.money import quantity as plain
from dragoman.portfolio.net import Discrepancy, PositionKey
from dragoman.portfolio.opening import Traded, of_today
from dragoman.portfolio.replay import Costs, openings
from dragoman.portfolio.rows import DayMade, Facts
from dragoman.portfolio.timeline import ADJUST, CONVERT, ROLL, Adjusting, Conversion, Place, Roll, Timeline, Trade
from dragoman.portfolio.versus import both_sides, differences
from dragoman.portfolio.view import View

log = logging.getLogger("dragoman.portfolio")


class PositionBook:
    """Live positions of one account.

    Parameters
    ----------
    instruments : InstrumentMaster
    days : TradingDays
    marking : Marking
    alert : callable
        Told of what somebody should know, as `PositionAlert`.
    delivered : callable
        Whether positions of a product in an instrument become holdings when the day ends.
    charges : ChargesTable, optional
        What trades cost.
    broker, currency : str
        The currency counts where the master does not know an instrument.
    account : callable
        Name of the account, once it is known.
    doubted : callable
        Called when a correction cannot be counted because what it corrects is part of what the book began with, or
        nobody has told it: the broker's positions are to be read, and the book begun with them anew.
    """

    def __init__(
        self,
        instruments: InstrumentMaster,
        days: TradingDays,
        marking: Marking,
        alert: Callable[[PositionAlert], object],
        *,
        delivered: Callable[[Instrument, Product], bool] = lambda instrument, product: False,
        charges: ChargesTable | None = None,
        broker: str = "",
        account: Callable[[], str] = str,
        currency: str = "INR",
        doubted: Callable[[], object] = lambda: None,
    ) -> None:
        self._instruments = instruments
        self._days = days
        self.marking = marking
        self._alert = alert
        self._delivered = delivered
        self._doubted = doubted
        self._costs, self._lines = Costs(charges), Lines()
        facts = Facts(broker=broker, account_id="", currency=currency)
        self._view = View(self._lines, instruments, marking, self._costs, facts, account)
        self._counted = Counted(days.day)
        self._without_fill = Told()
        self._told: set[object] = set()
        self._listeners: tuple[Callable[[PositionKey], object], ...] = ()
        self._day = ""
        self._off: dict[PositionKey, Decimal] = {}
        self._tallies = dict.fromkeys(("before_opening", "unknown_instrument", "not_in_units", "listener_errors"), 0)

    # -- what comes in -----------------------------------------------------------------------------------------------

    def on_update(self, update: OrderUpdate) -> None:
        """Take what an update of an order brings; the order store's listener."""
        if not update.fills and not update.replaced:
            return
        self._look()
        changed: set[PositionKey] = set()
        for trade_id in update.replaced:
            void = self._counted.take_back(trade_id)
            changed |= self._leave(void) if void is not None else set()
        for fill in update.fills:
            changed |= self._take(fill)
        self._changed(changed)

    def recall(self, fills: Iterable[Fill]) -> None:
        """Count what was told before anybody listened, as the journal has it; each fill counts once."""
        self._look()
        changed: set[PositionKey] = set()
        for fill in fills:
            changed |= self._take(fill)
        self._changed(changed)

    def seed(
        self, positions: Iterable[Position], fills: Iterable[Fill], as_of: int, *, keep: Collection[Product] = ()
    ) -> list[Discrepancy]:
        """Begin the day of `as_of` with the broker's positions; return where they contradict themselves or our fills.

        Parameters
        ----------
        positions : iterable of Position
            As the broker has them now, in units.
        fills : iterable of Fill
            Those known of that day, at least.
        as_of : int
            When reading the positions began, ns UTC.
        keep : collection of Product
            What the broker lists nowhere: it begins the day with what was counted until then.
        """
        known = list(fills)
        start, self._day = self._days.start(as_of), self._days.day(as_of)
        self._lines.rolls = [(start, ROLL, 0, "", "")]
        for fill in known:
            self._take(fill)
        known_positions = list(positions)
        for timeline in self._lines.values():
            timeline.forget_overnight(as_of)
            timeline.forget_scaling(lambda one: self._begun_with(one, known_positions, as_of))
        traded = Traded.sums(self._counted.counting(start))
        bases: dict[Line, dict[Product, Lots]] = {
            line: {product: lots for product, lots in timeline.carried_to(start).items() if product in keep}
            for line, timeline in self._lines.items()
        }
        found: list[Discrepancy] = []
        self._view.openings.clear()
        self._costs.forget()
        for key, position, opening in openings(known_positions, self._lines, traded, start):
            self._view.openings[key] = opening
            bases.setdefault((key[0], key[2]), {})[key[1]] = opening.lots()
            if opening.difference is not None:
                found.append(opening.difference)
            if position.close_price is not None:
                self._view.closes.told(key[0], position.close_price, "the broker's positions")
            if position.quantity_unit is not QuantityUnit.UNITS:
                self._view.units[key] = position.quantity_unit
            instrument = self._instruments.get(position.instrument_id)
            if instrument is not None:
                self.marking.polled(self._instruments.handle(instrument), position.last_price, as_of)
        for line, base in bases.items():
            self._tallies["before_opening"] += self._lines.setdefault(line, Timeline()).begin(base, start)
        for trade in self._counted.settle(of_today(self._counted.held(), traded, known_positions)):
            self._enter(trade)
        self._view.complete_as_of = as_of
        for (name, _), timeline in self._lines.items():
            self._problems(name, timeline)
        self._changed(self._view.keys())
        for one in found:
            self._say("OPENING_DIFFERS", both_sides(one), one, one)
        return found

    def adjust(self, adjustment: Adjustment, *, restored: bool = False) -> None:
        """Apply an explicit adjustment from its time on; one given before (by its id) changes nothing.

        It is known to this book alone: `Portfolio.adjust` writes it down first. With `restored` it was told to an
        earlier run, and what cannot be applied is told once the opening is known.

        Raises
        ------
        UsageError
            It lacks what its kind needs, its id names another one, or it needs to say `as_of`.
        """
        check_adjustment(adjustment)
        if self.adjusted(adjustment):
            return
        self._look()
        try:
            begun_with = in_opening(adjustment, self.complete_as_of)
        except UsageError as error:
            if not restored:
                raise
            begun_with = True
            self._taken_for_done(adjustment, str(error))
        self._without_fill.adjust(adjustment)
        if begun_with:
            return  # what the broker said the day began with has it
        name = adjustment.adjustment_id
        line = self._lines.of(adjustment.instrument_id, adjustment.position_side)
        line.put(Adjusting((adjustment.ts_event, ADJUST, len(name), name, ""), adjustment))
        if adjustment.ts_event >= self._lines.rolls[-1][0]:
            self._view.closes.scale(adjustment)
        name = adjustment.instrument_id  # all sides have the same close
        self._changed({key for key, _ in self._lines.all() if key[0] == name})
        self._problems(adjustment.instrument_id, line, restored=restored)

    def _begun_with(self, one: Adjustment, positions: Sequence[Position], read: int) -> bool:
        """Whether the positions that the book begins with have a split or bonus that was told before."""
        try:
            return in_opening(one, read)
        except UsageError as error:
            mine = [held for held in positions if held.instrument_id == one.instrument_id]
            if mine and all(followed_by_net_alone(one, held) for held in mine):
                return False
            self._taken_for_done(one, str(error))
            return True

    def _taken_for_done(self, one: Adjustment, why: str) -> None:
        text = f"{why}. They are taken for what can be sold, and not multiplied here"
        self._say("NOT_APPLIED", text, one, ("in the opening", one.adjustment_id))

    def adjusted(self, adjustment: Adjustment) -> bool:
        """Whether an adjustment was told before.

        Raises
        ------
        UsageError
            Its id names another one.
        """
        return self._without_fill.adjusted(adjustment)

    def in_opening(self, adjustment: Adjustment) -> bool:
        """Whether what the broker said the day began with has a split or bonus already.

        Raises
        ------
        UsageError
            It needs to say `as_of`.
        """
        return in_opening(adjustment, self.complete_as_of)

    def is_of_today(self, ts: int) -> bool:
        """Whether a time is of the trading day, or of a later one."""
        return ts >= self._days.start()

    def converted(
        self,
        key: PositionKey,
        product: Product,
        quantity: Decimal,
        *,
        overnight: bool,
        ts: int | None = None,
    ) -> None:
        """Move `quantity` units, signed as the position, to another product at what they cost; at `ts`, or now.

        It is known to this book alone: `Portfolio.converted` writes it down first.
        """
        self.move(
            Converted(
                conversion_id=self._without_fill.number(),
                instrument_id=key[0],
                product=key[1],
                position_side=key[2],
                to_product=product,
                quantity=quantity,
                overnight=overnight,
                ts_event=self._days.now_ns() if ts is None else ts,
            )
        )

    def move(self, one: Converted, *, restored: bool = False) -> bool:
        """Count a conversion, once; False where nothing changed. `restored`: it was told to an earlier run."""
        if restored and (one.ts_event < (self.complete_as_of or 0) or not self.is_of_today(one.ts_event)):
            return False  # what the broker said the day began with has it
        if not self._without_fill.convert(one):
            return False
        self._look()
        name, line = one.conversion_id, self._lines.of(one.instrument_id, one.position_side)
        place: Place = (one.ts_event, CONVERT, len(name), name, "")
        line.put(Conversion(place, one.product, one.to_product, exact(one.quantity), one.overnight))
        self._changed({(one.instrument_id, product, one.position_side) for product in (one.product, one.to_product)})
        self._problems(one.instrument_id, line, restored=restored)
        return True

    def roll(self, day: str, closes: dict[str, Decimal] | None = None) -> None:
        """Begin a trading day: what is held is carried over, at its cost.

        Called by itself at the first sign of the new day. The last marks become the previous close until somebody
        says better: `closes`, by instrument.
        """
        start = self._days.began(day)
        place: Place = (start, ROLL, 0, "", "")
        if place not in self._lines.rolls:
            self._view.carry_marks(day)
            for (name, _), line in self._lines.items():
                line.put(Roll(place, frozenset(self._leaving(name, line))))
            self._lines.rolls = [*self._lines.rolls, place][-2:]
            self._day = max(self._day, day)
            self._costs.forget()
            self._lines.fold()
        for name, close in (closes or {}).items():
            self._view.closes.told(name, close, "given")
        self._changed(self._view.keys())

    def closed(self, closes: Mapping[str, Decimal], source: str) -> None:
        """Take previous closes by instrument, where nobody has said one yet."""
        fresh = {name: close for name, close in closes.items() if self._view.closes.get(name) is None}
        for name, close in fresh.items():
            self._view.closes.told(name, close, source)
        self._changed({key for key, _ in self._lines.all() if key[0] in fresh})

    def orphan(self, fill: Fill) -> None:
        """Tell, once, of a fill whose order nobody has reported; it counts when the order store tells it."""
        text = f"fill {fill.trade_id} of order {fill.order_id} in {fill.instrument_id}: nobody reports the order"
        self._say("ORPHAN_FILL", text, fill, ("orphan", fill.order_id, fill.trade_id))

    # -- what it says ------------------------------------------------------------------------------------------------

    def rows(self) -> list[LivePosition]:
        """Return every position of the day, flat ones that traded included, by instrument and product."""
        return self._renewed().rows()

    def quantity(self, key: PositionKey) -> Decimal:
        """Return how large a position is, signed: what `row` tells of it, without the rest."""
        self._look()
        lots = self._lines.lots(key)
        if lots is None or not lots.quantity:
            return Decimal(0)
        held = lots.quantity
        return Decimal(held.numerator) if held.denominator == 1 else plain(held)

    def row(
        self,
        position: PositionKey | str | Instrument,
        product: Product | str | None = None,
        position_side: Literal["NET", "LONG", "SHORT"] = "NET",
    ) -> LivePosition | None:
        """Return one position, by its key or by instrument; None where there is none.

        Raises
        ------
        UsageError
            The instrument is held in several products, and none was named.
        """
        if isinstance(position, tuple):
            key = position
        else:
            name = position if isinstance(position, str) else position.instrument_id
            self._look()
            lots = self._lines.products(name, position_side)
            held = [one for one in lots if not lots[one].empty and (product is None or one == product)]
            if len(held) > 1:
                words = ", ".join(sorted(held))
                raise UsageError(f"{name} is held as {words}", remedy="name the product", kind=ErrorKind.BAD_REQUEST)
            if not held:
                return None
            key = (name, held[0], position_side)
        return self._renewed().get(key)

    def charges(self, key: PositionKey) -> Charges | None:
        """Return the day's charges of a position part by part, and what of their rates no document confirms.

        They are the adapter's table applied to the day's orders, not what a contract note says; None where there is no
        such position, or the table has nothing for some of it.
        """
        self._look()
        line = self._lines.get((key[0], key[2]))
        return None if line is None else self._costs.itemised(key, line, self._instruments.get(key[0]))

    def mark(self, instrument_id: str) -> tuple[Decimal | None, int | None, bool]:
        """Return the newest mark of an instrument, when it arrived, and whether it is stale."""
        return self.marking.read(intern_instrument(instrument_id))

    def keys(self) -> list[PositionKey]:
        """Return the keys of all positions there are."""
        self._look()
        return [key for key, lots in self._lines.all() if lots.quantity]

    def totals(self) -> dict[str, PnL]:
        """Return profit by currency: the sums of `rows`, in as much time as it takes to count what changed."""
        return self._renewed().totals()

    def day_made(self) -> dict[str, DayMade]:
        """Return what the day made by currency: what was carried over counts from the previous close on.

        It is the sum of the positions' `m2m` to 4 digits, and costs little however many there are.
        """
        self._look()
        return self._view.sums.made(self.row)

    def day_charges(self) -> dict[str, Decimal]:
        """Return what the day was charged by currency, as far as it is known: what `totals` says of it."""
        return self._renewed().charges()

    def listen(self, callback: Callable[[PositionKey], object]) -> Callable[[], None]:
        """Call back with the key of every position that changes; returns what ends it."""
        self._listeners += (callback,)

        def end() -> None:
            self._listeners = tuple(one for one in self._listeners if one is not callback)

        return end

    def compare(self, positions: Iterable[Position], *, skip: Iterable[Product] = ()) -> list[Discrepancy]:
        """Return where the broker's positions and ours differ, at rest; nothing is overwritten."""
        skipped = frozenset(skip)
        found = differences(positions, [one for one in self.rows() if one.product not in skipped])
        self._off = {
            (one.instrument_id, one.product, cast("Literal['NET', 'LONG', 'SHORT']", one.position_side)): one.broker
            - one.ours
            for one in found
            if one.field == "quantity"
        }
        return found

    def off(self, key: PositionKey) -> Decimal:
        """Return how much more the broker had of a position than is counted here, when they were compared last."""
        return self._off.get(key, Decimal(0))

    def short(self, keys: Mapping[PositionKey, Decimal]) -> None:
        """Take by how much less a wallet has of positions than is counted here; see `off`."""
        self._off.update(keys)

    @property
    def counters(self) -> dict[str, int]:
        """What was counted, and what could not be.

        ``before_opening`` are fills older than what the book began with, hence part of it; ``unknown_synthetic`` were
        taken back and never told.
        """
        names = ("fills", "repeated", "corrected", "replaced", "unknown_synthetic")
        return {name: getattr(self._counted, name) for name in names} | self._tallies

    @property
    def complete_as_of(self) -> int | None:
        """When the broker's positions were read that the day began with, ns UTC; None: never."""
        return self._view.complete_as_of

    @property
    def seeded(self) -> bool:
        """Whether the day's opening was read from the broker."""
        return self.complete_as_of is not None

    @property
    def day(self) -> str:
        """The trading day the book is in."""
        self._look()
        return self._day

    # -- fills -------------------------------------------------------------------------------------------------------

    def _take(self, fill: Fill) -> set[PositionKey]:
        """Count a fill, once; return the positions that it changed."""
        told = fill.ts_event if fill.ts_event is not None else fill.ts_recv
        ts = self._days.now_ns() if told is None else told
        new, old = self._counted.take(fill, ts)
        changed = self._leave(old) if old is not None else set()
        # What does not count any more: another trade that this one corrects, or this one, whose correction came first.
        gone = old.place[0] if old is not None else ts if new is not None and new.fill is not fill else None
        if new is not None and gone is not None and gone < self._lines.of(fill.instrument_id, fill.position_side).since:
            text = (
                f"{new.fill.trade_id} corrects fill {(old.fill if old is not None else fill).trade_id} of "
                f"{fill.instrument_id}, which is part of what the book began with by now: neither is counted; the "
                "broker's positions are read anew"
            )
            self._doubt(text, new.fill)
            return changed
        if new is None and self._counted.waits(fill):
            text = (
                f"{fill.trade_id} corrects trade {fill.correction_of} of {fill.instrument_id}, which nobody has told: "
                "it may be part of what the day began with. Nothing is counted until it is told; the broker's "
                "positions are read anew"
            )
            self._doubt(text, fill)
        return changed | (self._enter(new) if new is not None else set())

    def _doubt(self, text: str, fill: Fill) -> None:
        """Tell, once, of a correction that is not counted, and have positions read."""
        once = ("corrected", fill.order_id, fill.trade_id)
        if once not in self._told:
            self._say("NOT_APPLIED", text, fill, once)
            self._doubted()

    def _enter(self, trade: Trade) -> set[PositionKey]:
        fill = trade.fill
        key: PositionKey = (fill.instrument_id, fill.product, fill.position_side)
        line = self._lines.of(key[0], key[2])
        if trade.place[0] < line.since:
            # Older than what the book began with, or than what it keeps apart: the broker's opening has it.
            self._tallies["before_opening"] += 1
            return set()
        if fill.quantity_unit is not QuantityUnit.UNITS:
            self._tallies["not_in_units"] += 1
            self._view.units[key] = fill.quantity_unit
            self._say("NOT_IN_UNITS", f"fills of {key[0]} count {fill.quantity_unit}, not units", fill, ("units", key))
        if self._instruments.get(key[0]) is None:
            self._tallies["unknown_instrument"] += 1
            text = f"{key[0]} is filled and not in the instrument master: its multiplier and currency are guessed"
            self._say("UNKNOWN_INSTRUMENT", text, fill, ("unknown", key[0]))
        line.put(trade)
        self._costs.count(key, trade)
        return {key}

    def _leave(self, trade: Trade) -> set[PositionKey]:
        fill = trade.fill
        key: PositionKey = (fill.instrument_id, fill.product, fill.position_side)
        if self._lines.of(key[0], key[2]).drop(trade):
            self._costs.count(key, trade, -1)
        return {key}

    # -- within ------------------------------------------------------------------------------------------------------

    def _renewed(self) -> KeptRows:
        self._look()
        return self._view.renewed()

    def _changed(self, keys: Collection[PositionKey]) -> None:
        """Hand what changed to the native marks, and tell whoever listens."""
        for key in self._view.changed(keys):
            for listener in self._listeners:
                try:
                    listener(key)
                except Exception:
                    self._tallies["listener_errors"] += 1
                    log.exception("a position listener raised")

    def _look(self) -> None:
        """See whether a new trading day has begun, or other instruments are known."""
        today = self._days.day()
        self._view.look()
        if not self._day:
            self._day = today
            self._lines.rolls = [(self._days.start(), ROLL, 0, "", "")]
        elif today > self._day:
            self.roll(today)

    def _leaving(self, instrument_id: str, line: Timeline) -> Iterator[Product]:
        instrument = self._instruments.get(instrument_id)
        if instrument is not None:
            yield from (product for product in line.rows if self._delivered(instrument, product))

    def _problems(self, instrument_id: str, line: Timeline, *, restored: bool = False) -> None:
        if restored and not self.seeded:
            return  # what it is about is not known yet
        line.rows  # noqa: B018 - counts what was just put in
        for place, problem in line.problems.items():
            self._say("NOT_APPLIED", f"{instrument_id}: {problem}", None, ("problem", instrument_id, place))

    def _say(self, code: PositionCode, text: str, subject: object, once: Hashable) -> None:
        """Tell something, once."""
        if once not in self._told:
            self._told.add(once)
            self._alert(PositionAlert(code, text, subject=subject, ts=self._days.now_ns()))
