"""What do the pre-trade checks add to an order, all of them together, and the look at the kill switch?"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

from benchmarks.measure import Effort, Finding, Timing, Value, alternate, share, timing_of_calls
from dragoman._core import Marks
from dragoman.checks import RiskLimits
from dragoman.checks.kill import RELEASED_AT, KillSwitch
from dragoman.checks.pretrade import PreTrade
from dragoman.checks.risk_exposure import Exposure
from dragoman.checks.sources import Sources
from dragoman.errors import Rejected
from dragoman.market import InstrumentMaster
from dragoman.model import (
    AssetClass,
    Fill,
    Instrument,
    InstrumentType,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Product,
    Side,
)
from dragoman.plugin.registry import load_adapter
from dragoman.portfolio import PositionBook
from dragoman.portfolio.days import TradingDays
from dragoman.portfolio.guard import Guard
from dragoman.portfolio.marking import Marking
from dragoman.runtime.real_disk import RealDisk

TITLE = "Pre-trade checks"
METHOD = (
    "One order against every limit there is, at an account with 1,000 positions and 1,000 working orders. The positions"
    " are those of a position book that fills made and prices mark, and the day's loss is asked of it, charges taken"
    " off, as in life: it is summed again after 250 ms, here with every 13th order. Each call is"
    " timed by itself, with the clock's own cost inside. The peer is the same object without a limit. Orders differ"
    " from each other, so that the window of duplicates and the rates are kept up as they are in life. The kill switch"
    " is a mapped file; the peer of the look at it is a call that looks at nothing. Before anything is timed, each"
    " limit has refused an order; the switch, engaged through another handle, is seen at the end."
)
GOAL_US = 20.0
INSTRUMENTS = 1000
LIMITS = RiskLimits(
    max_order_value=10**9,
    max_order_quantity=10**6,
    quantity_by_instrument={"NSE:": 10**6, "NSE:X1": 10**6},
    price_band_percent=10,
    max_open_orders=10_000,
    max_open_orders_per_instrument=100,
    max_position=10**7,
    position_by_instrument={"NSE:": 10**7},
    max_exposure=10**13,
    max_exposure_per_instrument=10**12,
    max_exposure_per_underlying=10**12,
    duplicate_window_ms=10,
    restricted=("MCX:", "NSE:RESTRICTED"),
    allowed=("NSE:",),
    orders_per_second=99_999,
    orders_per_minute=100_000,
    max_daily_loss=10**6,
    check_margin=True,
    market_hours=True,
)
ONE = Decimal(1)


PRICE = Decimal("1500.00")
BEGAN_NS = 1_767_583_800_000_000_000


class Clock:
    """One that steps 20 ms a look at it, so that the rates of a benchmark are those of a busy day; marks stay new."""

    def __init__(self) -> None:
        self.now = 0

    def mono_ns(self) -> int:
        self.now += 20_000_000
        return self.now

    def wall_ns(self) -> int:
        return BEGAN_NS


def instruments() -> list[Instrument]:
    return [
        Instrument(
            f"NSE:X{at}", f"X{at}", "NSE", AssetClass.EQUITY, InstrumentType.SPOT, f"X{at}", str(at),
            tick_size=Decimal("0.05"),
        )
        for at in range(INSTRUMENTS)
    ]  # fmt: skip


def book_of(listed: list[Instrument]) -> tuple[InstrumentMaster, PositionBook]:
    """Return a book with a position in every instrument, marked."""
    master, clock = InstrumentMaster(), Clock()
    master.add(listed)
    marking = Marking(Marks(), clock.wall_ns)
    days = TradingDays("Asia/Kolkata", clock.wall_ns)
    book = PositionBook(
        master, days, marking, lambda alert: None, charges=load_adapter("zerodha").charges_table, broker="zerodha"
    )
    for at, one in enumerate(listed):
        units = 100 - at % 200 or 100
        terms = Fill(
            trade_id=str(at),
            order_id=str(at),
            instrument_id=one.instrument_id,
            side=Side.BUY if units > 0 else Side.SELL,
            quantity=Decimal(abs(units)),
            price=Decimal("1500.05"),
            product=Product.INTRADAY,
            ts_event=clock.wall_ns(),
        )
        book.on_update(
            OrderUpdate(Order(instrument_id=one.instrument_id, side=terms.side, quantity=terms.quantity), (terms,))
        )
        marking.polled(master.handle(one), PRICE, clock.wall_ns())
    return master, book


def checks(limits: RiskLimits, listed: list[Instrument]) -> PreTrade:
    known = {one.instrument_id: one for one in listed}
    exposure = Exposure(known.get, lambda instrument: PRICE)
    master, book = book_of(listed)
    for row in book.rows():
        exposure.hold(row.instrument_id, row.quantity, product=row.product)
    for at, one in enumerate(listed):
        order = Order(
            instrument_id=one.instrument_id,
            side=Side.BUY,
            quantity=Decimal(10),
            client_order_id=f"o{at}",
            status=OrderStatus.OPEN,
        )
        exposure.on_order(OrderUpdate(order))
    clock = Clock()
    guard = Guard(cast("Any", SimpleNamespace(runtime=SimpleNamespace(clock=clock))), master, cast("Any", None), book)
    sources = Sources(
        clock.mono_ns,
        price=lambda instrument: PRICE,
        profit=guard.day_profit,
        margin=lambda request, instrument: (Decimal(1000), Decimal(10**7)),
        open_for_s=lambda instrument: 60.0,
    )
    guard.checks = PreTrade(limits, exposure, sources, broker="examplebroker")
    return guard.checks


def orders(listed: list[Instrument]) -> list[tuple[OrderRequest, Instrument]]:
    return [
        (
            OrderRequest(
                instrument_id=one.instrument_id,
                side=(Side.BUY, Side.SELL)[at % 2],
                quantity=Decimal(1 + at % 50),
                order_type=OrderType.LIMIT,
                price=Decimal("1500.05") + at % 20,
            ),
            one,
        )
        for at, one in enumerate(listed)
    ]


def check_that_each_refuses(listed: list[Instrument]) -> None:
    """Fail unless every limit, made too small, refuses an order that all others take."""
    request, one = orders(listed)[150]  # flat enough to be opened further
    request = replace(request, side=Side.SELL, quantity=Decimal(300))
    checks(LIMITS, listed).check(request, one)
    small: dict[str, object] = {
        "max_order_value": 1,
        "quantity_by_instrument": {"NSE:": 1},
        "price_band_percent": "0.01",
        "max_open_orders": 1,
        "max_open_orders_per_instrument": 1,
        "position_by_instrument": {"NSE:": 1},
        "max_exposure": 1,
        "max_exposure_per_instrument": 1,
        "max_exposure_per_underlying": 1,
        "restricted": ("NSE:",),
        "allowed": ("BSE:",),
        "max_daily_loss": 1,
    }
    for name, value in small.items():
        try:
            checks(replace(LIMITS, **{name: value}), listed).check(request, one)
        except Rejected:
            continue
        raise AssertionError(f"{name}={value!r} refused nothing")


def each(*works: Callable[[], object]) -> list[Timing]:
    """Time single calls, the sides in turn."""
    found: list[list[list[float]]] = [[] for _ in works]
    clock = time.perf_counter_ns
    for _ in range(Effort.rounds(30)):
        for results, work in zip(found, works, strict=True):
            calls = []
            for _ in range(1000):
                started = clock()
                work()
                calls.append(float(clock() - started))
            results.append(calls)
    return [timing_of_calls(results) for results in found]


def one_by_one(checked: PreTrade, asked: list[tuple[OrderRequest, Instrument]]) -> Callable[[], None]:
    forever, check = itertools.cycle(asked), checked.check
    return lambda: check(*next(forever))


def run() -> list[Finding]:
    """Check, then time."""
    listed = instruments()
    check_that_each_refuses(listed)
    asked = orders(listed)
    ours, theirs = each(one_by_one(checks(LIMITS, listed), asked), one_by_one(checks(RiskLimits(), listed), asked))
    found: list[Finding] = [share("all checks of an order", ours, "no limit set", theirs)]
    for name, at in (("half of them", 0.5), ("99 of 100", 0.99), ("999 of 1,000", 0.999)):
        took = ours.quantile(at)
        assert took is not None
        goal = GOAL_US if at == 0.99 else None
        found.append(Value(f"all checks of an order, {name} within", took / 1000, "us", goal))
    with tempfile.TemporaryDirectory() as folder:
        switch, other = (KillSwitch.open(RealDisk(), f"{folder}/kill/account") for _ in range(2))

        def look() -> bool:
            marks = switch.marks
            return bool(marks[0] != marks[RELEASED_AT])

        assert not look()
        looked, nothing = alternate(look, lambda: False)
        found.append(share("look at the kill switch", looked, "call that looks at nothing", nothing))
        other.stop(b"12345678")
        assert look()
    return found
