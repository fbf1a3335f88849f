"""A book with a thousand positions, a margin with five hundred: what the benchmarks of looking at money look at."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

from dragoman._core import Marks
from dragoman.market import InstrumentMaster
from dragoman.model import (
    AssetClass,
    Fill,
    Instrument,
    InstrumentType,
    Margin,
    MarginUsed,
    Order,
    OrderUpdate,
    Product,
    Segment,
    Side,
)
from dragoman.orders.store import OrderStore
from dragoman.plugin import MarginTerms
from dragoman.portfolio import PositionBook
from dragoman.portfolio.days import TradingDays
from dragoman.portfolio.margin.rates import RateBook
from dragoman.portfolio.margin.segments import Segments
from dragoman.portfolio.margin.state import Snapshot, State, Tracker
from dragoman.portfolio.marking import Marking

BEGAN_NS = 1_767_583_800_000_000_000  # 2026-01-05 09:00 in Kolkata
_MS = 1_000_000


class Account:
    """A book in which every instrument is held and marked; its clock steps a millisecond with each thing told."""

    def __init__(self, positions: int) -> None:
        self.now = BEGAN_NS
        self.dice = random.Random(5)
        self.master = InstrumentMaster()
        self.marking = Marking(Marks(), lambda: self.now)
        days = TradingDays("Asia/Kolkata", lambda: self.now)
        self.book = PositionBook(self.master, days, self.marking, lambda alert: None)
        self.names = [f"NFO:X{at}@20260127" for at in range(positions)]
        self.master.add(_future(name, at) for at, name in enumerate(self.names))
        self.handles = [self.master.handle(self.master.resolve(name)) for name in self.names]
        self.told = 0
        for name in self.names:
            self.trade(name, self.dice.choice((50, -25, 75)), "1000.05")
        self.mark(positions)

    def fill(self, name: str, units: int, price: str, ts: int | None = None) -> Fill:
        self.told += 1
        self.now += _MS
        return Fill(
            trade_id=str(self.told),
            order_id=str(self.told),
            instrument_id=name,
            side=Side.BUY if units > 0 else Side.SELL,
            quantity=Decimal(abs(units)),
            price=Decimal(price),
            product=Product.CARRY,
            ts_event=self.now if ts is None else ts,
        )

    def tell(self, *fills: Fill) -> None:
        order = Order(instrument_id=fills[0].instrument_id, side=fills[0].side, quantity=fills[0].quantity)
        self.book.on_update(OrderUpdate(order, fills))

    def trade(self, name: str, units: int, price: str) -> None:
        self.tell(self.fill(name, units, price))

    def mark(self, count: int) -> None:
        """Move the marks of so many instruments."""
        self.now += _MS
        for handle in self.dice.sample(self.handles, count):
            self.marking.marks.mark(handle, self.dice.randrange(19_000, 21_000) / 20, self.now)


def _future(name: str, at: int) -> Instrument:
    kind = InstrumentType.FUTURE
    return Instrument(name, f"X{at}", "NFO", AssetClass.EQUITY, kind, f"X{at}", str(at), tick_size=Decimal("0.05"))


class Projected:
    """The margin of such an account, as its monitor projects it."""

    def __init__(self, positions: int) -> None:
        self.account = Account(positions)
        rates, terms, master = RateBook(), MarginTerms(), self.account.master
        store = OrderStore(lambda ts: "2026-01-05")
        self.tracker = Tracker(
            cast("Any", self.account.book), store, master, terms, lambda: self.account.now, lambda key: None
        )
        self.segments = Segments(rates, terms, lambda key: master.get(key[0]))
        for name in self.account.names:
            rates.told((name, Product.CARRY, "NET"), Decimal("0.15"), 0)
        self.number = 0
        self.read([self.tracker.state()])

    def look(self, *, marks: bool = True) -> list[Margin]:
        state = self.tracker.state(marks=marks)
        return list(self.segments.project(state, self.account.now, lambda keeper: False))

    def read(self, states: list[State]) -> None:
        """Take a reading that the newest state explains."""
        self.number += 1
        told = next(
            iter(self.look()), Margin(segment=Segment.FO, net=Decimal(10**9), used=MarginUsed(total=Decimal(0)))
        )
        told = replace(told, ts_event=self.number, error_bound=None)
        self.segments.take([told], states, self.account.now, "2026-01-05", blind=False)

    def states(self, count: int) -> list[State]:
        """Return what is known after each of so many fills."""
        found: list[State] = [self.tracker.state()]
        for at in range(count - 1):
            self.account.trade(self.account.names[at % len(self.account.names)], 25, "1001.5")
            found.append(self.tracker.state(marks=False))
        assert all(cast("Snapshot", state).changed for state in found[1:])
        return found


def day_of(kind: str, fills: int) -> Account:
    """Return an account of one position with a long day behind it: all buys, or both sides and never flat."""
    account, held = Account(1), 0
    name, dice = account.names[0], random.Random(3)
    for at in range(fills):
        size = 1 if kind == "buys" else dice.randint(1, 97)
        buys = kind == "buys" or held < 300 or (held < 700 and dice.random() < 0.5)
        held += size if buys else -size
        account.trade(name, size if buys else -size, f"{1500 + at % 200 * 0.05:.2f}")
    account.book.rows()
    return account


def early(account: Account) -> Iterator[Callable[[], None]]:
    """Yield calls that each tell a fill of the morning and look at the position."""
    name, at = account.names[0], 0
    while True:
        at += 1
        fill = account.fill(name, 1, "1500", BEGAN_NS + at)

        def late(fill: Fill = fill) -> None:
            account.tell(fill)
            account.book.row((name, Product.CARRY, "NET"))

        yield late
