"""Random trading days of one instrument against the exact oracle: `python -m property.position_soak [TRADES] [SEED]`.

A day has orders filled in parts, in several products, through zero and back, some of them charged in the coin that was
traded; brokers that count before they itemise,
fills told late, twice, in any order; corrections and busts; conversions, splits, bonuses, dividends, an expiry; a day
roll in the middle. At random moments, and at the end, every number of every row is compared, exactly.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from dragoman._core import Marks
from dragoman.market import InstrumentMaster
from dragoman.model import (
    Adjustment,
    AdjustmentKind,
    AssetClass,
    Fill,
    Instrument,
    InstrumentType,
    LivePosition,
    Order,
    OrderStatus,
    OrderUpdate,
    Position,
    Product,
    Side,
)
from dragoman.orders.fills import FillLedger
from dragoman.portfolio.book import PositionBook
from dragoman.portfolio.days import TradingDays
from dragoman.portfolio.marking import Marking
from reference.position_oracle import Product as Counted
from reference.position_oracle import replay

NS = 1_000_000_000
DAY_NS = 86_400 * NS
START = 1_767_571_200 * NS  # 2026-01-05 00:00 UTC
NAME = "XX:THING/USD"
PRODUCTS = (Product.INTRADAY, Product.DELIVERY, Product.CARRY)
MULTIPLIERS = ("1", "1", "100", "0.01", "50")
FEES = (
    *({},) * 4,
    *({"fee": Decimal(fee), "fee_currency": "THING"} for fee in ("0.001", "0.125", "1", "-0.01")),
    {"fee": Decimal("0.3"), "fee_currency": "USD"},
    {"fee": Decimal("0.01"), "fee_currency": "OTHER"},
)


@dataclass
class World:
    """A book, the ledger that feeds it, and the oracle's list of what happened."""

    multiplier: Decimal
    now: int = START
    events: list[dict] = field(default_factory=list)
    opening: dict[str, tuple[Fraction, Fraction]] = field(default_factory=dict)
    rolled: set[int] = field(default_factory=set)
    compared: int = 0
    heard: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        master = InstrumentMaster()
        instrument = Instrument(
            instrument_id=NAME,
            symbol="THING",
            exchange="XX",
            asset_class=AssetClass.EQUITY,
            instrument_type=InstrumentType.FUTURE,
            broker_symbol="THING",
            broker_token="1",
            multiplier=self.multiplier,
            currency="USD",
        )
        master.add([instrument])
        self.days = TradingDays("UTC", lambda: self.now)
        self.ledger = FillLedger(self.days.day)
        self.marks = Marks()
        self.handle = master.handle(instrument)
        self.alerts: list = []
        marking = Marking(self.marks, lambda: self.now)
        self.book = PositionBook(master, self.days, marking, self.alerts.append)

    def counts(self, fill: Fill) -> bool:
        """Whether a fill of the ledger counts: a correction does once the trade it corrects was told."""
        return fill.correction_of is None or (fill.order_id, fill.correction_of) in self.heard

    def tell(self, change) -> None:
        self.heard.update((fill.order_id, fill.trade_id) for fill in change.added)
        if change.added or change.replaced:
            known = Order(instrument_id=NAME, side=Side.BUY, quantity=Decimal(0))
            self.book.on_update(OrderUpdate(known, change.added, change.replaced))

    def truth(self) -> dict[str, Counted]:
        """Ask the oracle, with the fills that the ledger counts."""
        events = [*self.events, *({"what": "roll", "ts": ts, "number": ()} for ts in self.rolled)]
        events += [
            {
                "what": "trade",
                "ts": fill.ts_event,
                "number": (len(fill.trade_id), fill.trade_id, fill.order_id),
                "product": fill.product,
                "units": Fraction(fill.quantity) * (1 if fill.side == "BUY" else -1),
                "price": Fraction(fill.price),
                "fee": Fraction(fill.fee or 0) * (fill.fee_currency == "THING"),
            }
            for fill in self.ledger.all()
            if self.counts(fill)
        ]
        return replay([one for one in events if one["what"] != "trade" or one["units"]], self.opening)

    def check(self) -> None:
        """Compare every number of every row."""
        rows = {row.product: row for row in self.book.rows()}
        mark = Fraction(repr(self.marks.price(self.handle))) if self.marks.price(self.handle) > 0 else None
        times = Fraction(self.multiplier)
        truth = self.truth()
        for name, mine in truth.items():
            row = rows.pop(Product(name), None)
            if row is None:
                assert (mine.units, mine.carried) == (0, 0), name
                continue
            compare(row, mine, mark, times)
            self.compared += 1
        assert not rows, rows


def compare(row: LivePosition, mine: Counted, mark: Fraction | None, times: Fraction) -> None:
    """Compare a row with the oracle's product: quantities exactly, money to the last digit shown."""
    assert Fraction(row.quantity) == mine.units
    assert Fraction(row.overnight_quantity) == mine.carried
    assert (Fraction(row.day_buy_quantity), Fraction(row.day_sell_quantity)) == (mine.bought, mine.sold)
    assert Fraction(row.fee_quantity) == mine.charged
    pairs: list[tuple[Decimal | None, Fraction | None, int]] = [
        (row.day_buy_value, mine.bought_value * times, 8),
        (row.day_sell_value, mine.sold_value * times, 8),
        (row.average_price, mine.average.average, 12),
        (row.fifo_average_price, mine.fifo.average, 12),
        (row.realised_pnl, mine.average.realised * times, 8),
        (row.fifo_realised_pnl, mine.fifo.realised * times, 8),
        (row.income, mine.income * times, 8),
    ]
    if mark is not None and mine.units:
        for side, shown in ((mine.average, row.unrealised_pnl), (mine.fifo, row.fifo_unrealised_pnl)):
            gain = sum((units * (mark - cost) for units, cost in side.parcels), Fraction(0))
            pairs.append((shown, gain * times, 8))
        pairs.append((row.value, mine.units * mark * times, 8))
        if row.close_price is not None or not mine.carried:
            began = mine.carried * Fraction(row.close_price or 0)
            cash = mine.sold_value - mine.bought_value + mine.charged_value + mine.settled
            pairs.append((row.m2m, (cash + mine.units * mark - began) * times, 8))
    for shown, exact, places in pairs:
        assert (shown is None) == (exact is None), row
        assert exact is None or Fraction(shown) == round(exact, places), (row, shown, exact)


class Script:
    """One instrument's days, made from a seed."""

    def __init__(self, seed: int, trades: int) -> None:
        self.dice = random.Random(seed)
        self.trades = trades
        self.number = self.dice.choice((0, 7, 93, 9_985))  # ids of one time are in order of number, not of text

    def steps(self, world: World) -> list[tuple[int, object]]:
        """Return what happens, as (time, what to do), in the order in which it happened."""
        dice, steps, made = self.dice, [], 0
        ts = world.now
        while made < self.trades:
            ts += dice.choice((0, 1, NS, 60 * NS))
            if dice.random() < 0.85:
                fills = self.order(ts, min(dice.randint(1, 5), self.trades - made))
                made += len(fills)
                steps += self.told(fills)
                ts = max(fill.ts_event for fill in fills)
            else:
                ts += 1  # adjustments and conversions have a time of their own
                steps.append((ts, self.odd(world, ts)))
                ts += 1
            if dice.random() < 0.02:
                ts = (ts // DAY_NS + 1) * DAY_NS + dice.randint(0, NS)
        return steps

    def order(self, ts: int, count: int) -> list[Fill]:
        dice = self.dice
        self.number += 1
        side, product = dice.choice(("BUY", "SELL")), dice.choice(PRODUCTS[: dice.randint(1, 3)])
        price = dice.randint(1000, 1400)
        fills = []
        for _ in range(count):
            self.number += 1
            fills.append(
                Fill(
                    trade_id=f"{self.number}",
                    order_id=f"O{self.number - count}",
                    instrument_id=NAME,
                    side=Side(side),
                    quantity=Decimal(dice.choice((1, 2, 5, 7, 10, 25, 75, 300))) / dice.choice((1, 1, 1, 8)),
                    price=Decimal(price + dice.randint(-30, 30)) / dice.choice((1, 10, 20, 32)),
                    product=product,
                    exchange="XX",
                    ts_event=ts,
                    **dice.choice(FEES),
                )
            )
            ts += dice.choice((0, 0, 1, NS))
        order_id = fills[0].order_id
        return [replace(fill, order_id=order_id) for fill in fills]

    def told(self, fills: list[Fill]) -> list[tuple[int, object]]:
        """Return how an order's fills are told: sums first or not, twice or once, some corrected."""
        dice, told = self.dice, []
        done = value = Decimal(0)
        first = fills[0]
        known = Order(
            instrument_id=NAME, side=first.side, quantity=Decimal(1000), order_id=first.order_id, product=first.product
        )
        for fill in fills:
            done, value = done + fill.quantity, value + fill.quantity * fill.price
            if dice.random() < 0.4:
                report = known.but(
                    status=OrderStatus.OPEN, filled_quantity=done, average_price=value / done, ts_event=fill.ts_event
                )
                told.append((fill.ts_event, report))
            told += [(fill.ts_event, fill)] * dice.choice((1, 1, 1, 2))
            if dice.random() < 0.05:
                self.number += 1
                left = dice.choice((Decimal(0), fill.quantity, fill.quantity + 1))
                price = fill.price + dice.choice((0, Decimal("0.05")))
                ts = fill.ts_event + dice.choice((0, 5, NS))
                correction = replace(
                    fill,
                    trade_id=f"{self.number}",
                    correction_of=fill.trade_id,
                    quantity=left,
                    price=price,
                    ts_event=ts,
                )
                told.append((ts, correction))
        return told

    def odd(self, world: World, ts: int) -> object:
        """Return something that is no fill: for the book, and for the oracle."""
        dice = self.dice
        self.number += 1
        if dice.random() < 0.5:
            old, new = dice.sample(PRODUCTS, 2)
            units, overnight = Decimal(dice.choice((-50, -3, 2, 10, 400))), dice.random() < 0.4
            event = {"what": "convert", "ts": ts, "number": (), "old": old, "new": new, "units": Fraction(units)}
            return event | {"overnight": overnight}, lambda: world.book.converted(
                (NAME, old, "NET"), new, units, overnight=overnight, ts=ts
            )
        kind = dice.choice(("SPLIT", "SPLIT", "BONUS", "DIVIDEND", "EXPIRY"))
        top, bottom = dice.choice(((2, 1), (5, 1), (3, 2), (1, 2), (1, 5)))
        price = Decimal(dice.randint(0, 2000)) / 20
        product = None if kind != "EXPIRY" else dice.choice((None, *PRODUCTS))
        factor = Fraction(top, bottom) + (kind == "BONUS")
        adjustment = Adjustment(
            adjustment_id=f"A{self.number}",
            kind=AdjustmentKind(kind),
            instrument_id=NAME,
            ts_event=ts,
            product=product,
            price=price if kind in ("DIVIDEND", "EXPIRY") else None,
            numerator=Decimal(top),
            denominator=Decimal(bottom),
        )
        event = {"what": "adjust", "ts": ts, "number": (), "kind": kind, "factor": factor, "product": product}
        return event | {"price": Fraction(price)}, lambda: world.book.adjust(adjustment)

    def arrivals(self, steps: list[tuple[int, object]]) -> Iterator[tuple[int, object]]:
        """Return the steps in an order of arrival; nothing comes later than a day roll after its own."""
        days = {ts // DAY_NS for ts, _ in steps}
        delay = self.dice.choice((0, 3, 20) if len(days) > 2 else (0, 3, 20, len(steps)))
        places = [(at + self.dice.uniform(0, delay), at) for at in range(len(steps))]
        if len(days) > 2:  # what is older than the day before has become the beginning
            places = [(at if self.crosses(steps, at, place) else place, at) for place, at in places]
        yield from (steps[at] for _, at in sorted(places))

    @staticmethod
    def crosses(steps: list[tuple[int, object]], at: int, place: float) -> bool:
        reached = steps[min(int(place) + 1, len(steps) - 1)][0]
        return reached // DAY_NS > steps[at][0] // DAY_NS


def run(seed: int, trades: int) -> int:
    """Play one script; return how many rows were compared. Raises AssertionError, naming the seed, on a difference."""
    script = Script(seed, trades)
    dice = script.dice
    world = World(Decimal(dice.choice(MULTIPLIERS)))
    world.now = START + DAY_NS + 9 * 3600 * NS
    held = []
    for product in PRODUCTS[: dice.randint(0, 3)]:
        units, price = Decimal(dice.choice((-100, 10, 75))), Decimal(dice.randint(900, 1500)) / 20
        held.append(
            Position(
                instrument_id=NAME,
                product=product,
                quantity=units,
                overnight_quantity=units,
                average_price=price,
                close_price=price + 1,
                day_buy_quantity=Decimal(0),
                day_sell_quantity=Decimal(0),
            )
        )
        world.opening[product] = Fraction(units), Fraction(price)
    try:
        world.book.seed(held, [], world.now)
        first = world.now // DAY_NS
        steps = script.steps(world)
        for ts, step in script.arrivals(steps):
            world.now = max(world.now, ts)
            world.rolled.update(day * DAY_NS for day in range(first + 1, world.now // DAY_NS + 1))
            if isinstance(step, Fill):
                world.tell(world.ledger.add(step, step.order_id))
            elif isinstance(step, Order):
                world.tell(world.ledger.report(step, step.order_id))
            else:
                event, act = step
                world.events.append(event)
                act()
            if dice.random() < 0.1:
                world.marks.mark(world.handle, dice.randint(20, 3000) / 20, world.now)
            if dice.random() < 2 / len(steps):
                world.check()
        world.check()
    except Exception as error:
        raise AssertionError(f"seed {seed}, {trades} trades: {error}") from error
    return world.compared


def soak(trades: int, seed: int) -> int:
    """Play scripts until so many trades have been counted; return the rows compared."""
    dice, compared = random.Random(seed), 0
    while trades > 0:
        some = min(trades, dice.choice((5, 30, 120, 400)))
        compared += run(dice.randrange(2**48), some)
        trades -= some
    return compared


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
    print(f"{wanted} trades, seed {chosen}: {soak(wanted, chosen)} rows compared, 0 differences")
