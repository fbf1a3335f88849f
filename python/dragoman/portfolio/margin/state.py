"""What this process knows that moves a margin: positions with their marks, open orders, what a wallet paid out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Final, Literal, Protocol

from dragoman.market import InstrumentMaster
from dragoman.model import Fill, Instrument, Order, OrderStatus, OrderUpdate, Pending, Product, QuantityUnit
from dragoman.orders.store import OrderStore
from dragoman.plugin import MarginTerms
from dragoman.portfolio.margin.rule import ZERO, Group, Kind, Working, kind_of
from dragoman.portfolio.net import PositionKey

_NS: Final = 1_000_000_000
_MOVES: Final = 16
_UNSEEN: Final = Decimal("1.25")  # moves, of the largest seen of late, that may be on their way to us
_LEAST_MOVE: Final = Decimal("0.0005")  # of the price: what an unseen print may be off by
_FIRST_MOVE: Final = Decimal("0.005")
_BLIND: Final = Decimal("0.002")  # of the price, times the root of the seconds nobody saw it
_BLIND_MOST: Final = Decimal("0.2")
_UNSURE: Final = frozenset((OrderStatus.SUBMITTED, OrderStatus.UNKNOWN))


class PositionRow(Protocol):
    """A position as a `Positions` has it: quantity in units, money in the instrument's currency."""

    @property
    def instrument_id(self) -> str: ...
    @property
    def product(self) -> Product: ...
    @property
    def position_side(self) -> Literal["NET", "LONG", "SHORT"]: ...
    @property
    def quantity(self) -> Decimal: ...
    @property
    def average_price(self) -> Decimal | None: ...
    @property
    def multiplier(self) -> Decimal: ...
    @property
    def realised_pnl(self) -> Decimal | None: ...


class Marks(Protocol):
    """Where prices come from."""

    def read(self, handle: int, /) -> tuple[Decimal | None, int | None, bool]:
        """Return an instrument's last price, when it came, and whether it is stale."""
        ...

    def glance(self, handles: Sequence[int], /) -> tuple[list[float], list[bool]]:
        """Return the same of many, as they are kept: prices, not numbers where there is none, and which are stale."""
        ...


class Positions(Protocol):
    """Where positions come from; `complete_as_of` is when their opening was read, None before that."""

    @property
    def marking(self) -> Marks: ...

    @property
    def complete_as_of(self) -> int | None: ...

    @property
    def day(self) -> str: ...

    def rows(self) -> Iterable[PositionRow]: ...

    def row(self, key: PositionKey, /) -> PositionRow | None: ...

    def listen(self, callback: Callable[[PositionKey], object], /) -> Callable[[], None]: ...


@dataclass(slots=True)
class _Mark:
    """The newest mark of an instrument, since when, and how far it moved from one to the next."""

    price: Decimal | None = None
    since_ns: int = 0
    moves: deque[Decimal] = field(default_factory=lambda: deque(maxlen=_MOVES))


@dataclass(frozen=True, slots=True)
class Held:
    """What moves the margin by one instrument and product.

    Attributes
    ----------
    realised : Decimal
        Profit taken today less fees that fills told, or what a wallet took in less what it paid out.
    owing : Decimal
        What may have been charged besides, for trades that are counted and not itemised yet.
    unrealised : Decimal or None
        Profit at the mark, where its loss comes out of what is free; None where there is no mark.
    drift : Decimal
        By how much the broker's mark may make that another.
    priced : bool
        Whether all of it has a price to count at.
    """

    group: Group
    realised: Decimal = ZERO
    unrealised: Decimal | None = ZERO
    drift: Decimal = ZERO
    priced: bool = True
    owing: Decimal = ZERO


State = Mapping[PositionKey, Held]
_numbers: Final = count(1)


class Snapshot(dict[PositionKey, Held]):
    """A state that is not changed any more, and what it changed of the one it was made of.

    Attributes
    ----------
    number, made_of : int
        Its own, and that of the state before it.
    changed : collection of PositionKey
        Positions of which the state before has another `Held`, or which one of the two lacks.
    grouped : int
        States have it in common only if their groups are the same.
    """

    __slots__ = ("changed", "grouped", "made_of", "number")

    def __init__(
        self, before: Snapshot | None = None, changes: Mapping[PositionKey, Held | None] | None = None
    ) -> None:
        super().__init__(before or {})
        self.number = next(_numbers)
        self.made_of = 0 if before is None else before.number
        self.changed: Collection[PositionKey] = (changes or {}).keys()
        same = before is not None
        for key, held in (changes or {}).items():
            known = self.get(key)
            same = same and known is not None and held is not None and known.group is held.group
            if held is None:
                self.pop(key, None)
            else:
                self[key] = held
        self.grouped: int = before.grouped if same and before is not None else self.number


class Tracker:
    """Keeps the `State` as orders, fills and marks change.

    Parameters
    ----------
    positions : Positions
    store : OrderStore
    master : InstrumentMaster
    terms : MarginTerms
    mono_ns : callable
    changed : callable
        Told of the key that changed.
    """

    def __init__(
        self,
        positions: Positions,
        store: OrderStore,
        master: InstrumentMaster,
        terms: MarginTerms,
        mono_ns: Callable[[], int],
        changed: Callable[[PositionKey], None],
    ) -> None:
        self._positions, self._store, self._master, self._terms = positions, store, master, terms
        self._mono_ns, self._changed = mono_ns, changed
        self._orders: dict[str, tuple[PositionKey, Order]] = {}
        self._working: dict[PositionKey, dict[str, Order]] = {}
        self._wallet: dict[tuple[str, str], tuple[PositionKey, Decimal]] = {}
        self._paid: dict[PositionKey, Decimal] = {}
        self._owed: dict[PositionKey, dict[tuple[str, str], Decimal]] = {}
        self._fee_rate = ZERO
        self._state = Snapshot()
        self._dirty: set[PositionKey] = set()
        self._marks: dict[str, _Mark] = {}
        self._rows: dict[PositionKey, PositionRow] = {}
        self._renewed = True
        for order in store:
            self._note(order)
        for fill in store.fills.all():
            self._pay(fill)
        self._seen: dict[PositionKey, tuple[int, float, bool]] = {}
        self._strange: set[PositionKey] = set()
        self._handles: tuple[list[PositionKey], list[int]] | None = None
        self._changed_rows: set[PositionKey] = set()
        self._ends = (store.listen(self._on_update), positions.listen(self._on_position))

    def close(self) -> None:
        """Listen no longer."""
        for end in self._ends:
            end()

    def instrument(self, key: PositionKey) -> Instrument | None:
        return self._master.get(key[0])

    @property
    def working(self) -> int:
        """Open orders that count."""
        return len(self._orders)

    @property
    def in_flight(self) -> bool:
        """Whether something was asked of the broker that it has not confirmed yet."""
        return any(order.status in _UNSURE or order.pending is not Pending.NONE for _, order in self._orders.values())

    def moved(self) -> bool:
        """Whether a mark of a position changed since `state` looked, or became stale or new again."""
        rows = self._rows
        return any(key in rows and rows[key].quantity for key in self._moved(clocked=False))

    def _moved(self, *, clocked: bool) -> list[PositionKey]:
        """Return what is marked otherwise than it was looked at; with `clocked` also what time alone changes."""
        if self._handles is None:
            self._handles = list(self._seen), [handle for handle, _, _ in self._seen.values()]
        keys, handles = self._handles
        prices, stale = self._positions.marking.glance(handles)
        return [
            key
            for key, price, old, (_, seen, was_old) in zip(keys, prices, stale, self._seen.values(), strict=True)
            if (price != seen and price == price)
            or old is not was_old
            or (clocked and (old or price != price) and self._state[key].drift)
        ]

    # -- orders ------------------------------------------------------------------------------------------------------

    def _on_update(self, update: OrderUpdate) -> None:
        key = self._note(update.order)
        for name in update.replaced:
            self._unpay((update.order.client_order_id, name))
        for fill in update.fills:
            self._pay(fill)
        self._changed(key)

    def _on_position(self, key: PositionKey) -> None:
        self._changed_rows.add(key)
        self._changed(key)

    def _note(self, order: Order) -> PositionKey:
        """Take the newest view of an order; one that the broker split counts by its parts."""
        name = order.client_order_id
        key: PositionKey = (order.instrument_id, order.product, order.position_side)
        if order.status.working and not self._store.children(name):
            if name in self._orders and self._orders[name][0] != key:
                self._done(name)
            self._orders[name] = (key, order)
            self._working.setdefault(key, {})[name] = order
        else:
            self._done(name)
        parent, slash, _ = name.rpartition("/")
        if slash:
            self._done(parent)
        self._dirty.add(key)
        return key

    def _done(self, name: str) -> None:
        """Count an order no longer."""
        known = self._orders.pop(name, None)
        if known is not None:
            of_key = self._working[known[0]]
            del of_key[name]
            if not of_key:
                del self._working[known[0]]
            self._dirty.add(known[0])

    def _pay(self, fill: Fill) -> None:
        """Count the money that a fill moved: its value where that is settled at once in a wallet, and its fee.

        What is not itemised yet may owe a fee as high as any that was told; where none is ever told, none is owed.
        """
        key: PositionKey = (fill.instrument_id, fill.product, fill.position_side)
        name = fill.client_order_id, fill.trade_id
        self._unpay(name)
        if fill.product is not Product.CASH and not fill.fee and not (fill.is_synthetic and self._fee_rate):
            return
        instrument = self._master.get(fill.instrument_id)
        value = fill.quantity * fill.price * (instrument.multiplier if instrument else 1)
        paid = ZERO
        if fill.product is Product.CASH:
            paid = -value if fill.side == "BUY" else value
        if fill.fee is not None and instrument is not None and fill.fee_currency == instrument.currency:
            paid -= fill.fee
            self._fee_rate = max(self._fee_rate, fill.fee / value) if value else self._fee_rate
        elif fill.is_synthetic and self._fee_rate:
            self._owed.setdefault(key, {})[name] = value * self._fee_rate
        self._wallet[name] = key, paid
        self._paid[key] = self._paid.get(key, ZERO) + paid
        self._dirty.add(key)

    def _unpay(self, name: tuple[str, str]) -> None:
        """Take back what a fill moved."""
        known = self._wallet.pop(name, None)
        if known is not None:
            self._paid[known[0]] -= known[1]
            self._owed.get(known[0], {}).pop(name, None)
            self._dirty.add(known[0])

    # -- the whole ---------------------------------------------------------------------------------------------------

    def state(self, *, marks: bool = True) -> dict[PositionKey, Held]:
        """Return everything as it is known now; what did not change is the very same `Held` as before.

        Parameters
        ----------
        marks : bool
            Look at all marks, too; where not, only at what orders, fills and positions changed.
        """
        now, before = self._mono_ns(), self._state
        rows = self._current()
        looked, self._dirty = self._dirty, set()
        if marks:
            looked.update(self._moved(clocked=True), self._strange)
        found: dict[PositionKey, Held | None] = {}
        for key in looked:
            held = None
            if key in rows or key in self._working or key in self._paid:
                orders = [*self._working.get(key, {}).values()]
                held = self._held(key, rows.get(key), orders, self._paid.get(key, ZERO), now)
            else:
                self._forget(key)
            if held is not before.get(key):
                found[key] = held
        if found:
            self._state = Snapshot(before, found)
        return self._state

    def _current(self) -> dict[PositionKey, PositionRow]:
        """Return the positions; only those that changed are asked for."""
        if self._renewed:
            self._renewed = False
            self._rows = {(row.instrument_id, row.product, row.position_side): row for row in self._positions.rows()}
            self._dirty |= self._rows.keys()
        self._dirty |= self._changed_rows
        for key in self._changed_rows:
            row = self._positions.row(key)
            if row is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = row
        self._changed_rows.clear()
        return self._rows

    def _held(self, key: PositionKey, row: PositionRow | None, orders: list[Order], paid: Decimal, now: int) -> Held:
        instrument = self._master.get(key[0])
        kind = kind_of(instrument, key[1], self._terms)
        price, stale = self._look_at(key, instrument)
        mark = self._observe(key[0], price, now)
        multiplier = row.multiplier if row is not None else instrument.multiplier if instrument else Decimal(1)
        quantity = row.quantity if row is not None and kind is not Kind.WALLET else ZERO
        average = row.average_price if row is not None else None
        priced, working = not quantity or average is not None, []
        for order in orders:
            left = order.quantity - order.filled_quantity - order.canceled_quantity
            price = _reserved(order) or mark.price or average
            priced = priced and (price is not None or not left)
            sure = order.status not in _UNSURE and order.quantity_unit is QuantityUnit.UNITS
            if left > 0:
                working.append(Working(1 if order.side == "BUY" else -1, left, price or ZERO, sure))
        known, group = self._state.get(key), Group(kind, quantity, average or ZERO, multiplier, tuple(working))
        if known is not None and known.group == group:
            group = known.group
        gained = (row.realised_pnl if row is not None and kind is not Kind.WALLET else None) or ZERO
        realised, owing = paid + gained, sum(self._owed.get(key, {}).values(), ZERO)
        if not kind.at_risk(quantity) or not quantity:
            found = Held(group, realised, priced=priced, owing=owing)
        else:
            drift = abs(quantity) * multiplier * self._drift(mark, average or ZERO, now, stale=stale)
            gain = None
            if mark.price is not None and average is not None:
                gain = quantity * (mark.price - average) * multiplier
            found = Held(group, realised, gain, drift, priced, owing)
        return known if known == found and known is not None else found

    def _forget(self, key: PositionKey) -> None:
        """Look no longer at what neither is held nor has an order."""
        self._strange.discard(key)
        if self._seen.pop(key, None) is not None:
            self._handles = None

    def _look_at(self, key: PositionKey, instrument: Instrument | None) -> tuple[Decimal | None, bool]:
        """Return the mark of a position, and whether it is stale."""
        if instrument is None:
            self._strange.add(key)
            return None, True
        self._strange.discard(key)
        handle = self._master.handle(instrument)
        price, _, stale = self._positions.marking.read(handle)
        if key not in self._seen:
            self._handles = None
        self._seen[key] = handle, math.nan if price is None else float(price), stale
        return price, stale

    def _observe(self, instrument_id: str, price: Decimal | None, now: int) -> _Mark:
        """Take the newest mark of an instrument, and remember how far it moved."""
        mark = self._marks.get(instrument_id)
        if mark is None:
            mark = self._marks[instrument_id] = _Mark(since_ns=now)
        if price is not None and mark.price != price:
            if mark.price is not None:
                mark.moves.append(abs(price - mark.price))
            mark.price, mark.since_ns = price, now
        return mark

    @staticmethod
    def _drift(mark: _Mark, average: Decimal, now: int, *, stale: bool) -> Decimal:
        """Return how far the broker's mark may lie from ours."""
        if mark.price is None or stale:
            seconds = Decimal(max(0, now - mark.since_ns)) / _NS
            return (mark.price or average) * min(_BLIND_MOST, _FIRST_MOVE + _BLIND * seconds.sqrt())
        if not mark.moves:
            return mark.price * _FIRST_MOVE
        return max(_UNSEEN * max(mark.moves), mark.price * _LEAST_MOVE)


def _reserved(order: Order) -> Decimal | None:
    """Return the price an open order is reserved at, None for a market order."""
    if order.order_type.has_price and order.price:
        return order.price
    return order.trigger_price or order.price or None
