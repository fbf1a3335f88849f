"""What do live marks, totals and a thousand stops cost a tick, and how long is it from a tick to the order it fires?"""

from __future__ import annotations

import math
import random
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from benchmarks.bench_decode import sdk_parser
from benchmarks.frames import TOKENS, packet
from benchmarks.measure import Finding, Value, alternate, faster
from dragoman._core import Books, Decoder, Handout, Marks, Triggers, intern_instrument
from dragoman.plugin.registry import load_adapter

TITLE = "Positions and rules on ticks"
METHOD = (
    "1,000 instruments of which each has a position and a rule, half of them stops, half trailing ones, in ten groups"
    " with totals; frames of 50 full packets whose prices walk. Ours decodes a frame and hands the batch out, with"
    " books, marks and triggers on. The peer is the official SDK's parser and, over its dicts, the same work in plain"
    " Python: positions and rules found by token, an older or zero price passed over, profit and total brought up to"
    " date, stops compared and trailing ones moved. Both are first fed the same frames with rules so close that many"
    " fire; marks, profits and totals agree, and what fired agrees in its order. Then the rules stand where none"
    " fires. Times are processor time of one core."
)
POSITIONS = 1000
GROUPS = 10
PER_FRAME = 50
SDK_GOAL = 20.0
TICK_GOAL_US = 10.0  # 100,000 ticks a second


@dataclass(frozen=True)
class Holding:
    """A position and the rule on it: a stop at `level`, or one that trails by `trail`."""

    token: int
    quantity: float
    average: float
    group: int
    level: float = math.nan
    trail: float = math.nan


def holdings(share: float, start: Sequence[int]) -> list[Holding]:
    """Return the book; each rule stands a share of the price away from it."""
    dice, made = random.Random(11), []
    for at, paise in enumerate(start):
        price = paise / 100
        average = round(price * dice.uniform(0.9, 1.1), 2)
        rule = {"level": price * (1 - share)} if at % 2 else {"trail": price * share}
        made.append(Holding(TOKENS[at], dice.choice((1, 5, 25, 100)), average, at % GROUPS, **rule))
    return made


def walks(count: int, seed: int = 3) -> tuple[list[int], list[bytes]]:
    """Return prices to start from, in paise, and frames in which they walk, within 5% of there."""
    dice = random.Random(seed)
    start = [5 * dice.randint(10_000, 100_000) for _ in range(POSITIONS)]
    now, frames, at = list(start), [], 0
    for _ in range(count):
        packets = []
        for _ in range(PER_FRAME):
            moved = now[at] + 5 * dice.randint(-now[at] // 2500, now[at] // 2500)
            now[at] = min(max(moved, start[at] * 95 // 100), start[at] * 105 // 100)
            packets.append(packet("full", TOKENS[at], dice, 5, now[at]))
            at = (at + 1) % POSITIONS
        frames.append(struct.pack(">H", PER_FRAME) + b"".join(struct.pack(">H", len(p)) + p for p in packets))
    return start, frames


class Native:
    """A stream's decoder and hand-out with everything on."""

    def __init__(self, book: Sequence[Holding]) -> None:
        self.decoder = Decoder(load_adapter("zerodha").feed("market").layouts.compile())  # type: ignore[union-attr]
        self.marks, self.triggers = Marks(), Triggers()
        self.fired: list[int] = []
        self.handout = Handout(Books(), mono_ns=time.monotonic_ns, wall_ns=time.time_ns, failed=print)
        self.handles = []
        for slot, one in enumerate(book):
            handle = intern_instrument(f"NSE:T{one.token}")
            self.handles.append(handle)
            self.decoder.bind(one.token, handle)
            self.marks.set(slot, handle, one.quantity, one.average, group=one.group)
            if math.isnan(one.trail):
                self.triggers.arm(slot, handle, "below", one.level)
            else:
                self.triggers.arm(slot, handle, "trail_below", math.nan, trail=one.trail)
        self.handout.marks, self.handout.triggers = self.marks, self.triggers
        self.handout.moved = self.fired.extend

    def take(self, frame: bytes) -> None:
        self.handout(self.decoder.decode(frame, 1))


@dataclass(slots=True)
class Position:
    """What the plain program keeps of one instrument: its position, its mark, and the rule."""

    slot: int
    quantity: float
    average: float
    group: int
    level: float
    trail: float
    best: float = -math.inf
    price: float = math.nan
    profit: float = 0.0
    newest: datetime | None = None
    armed: bool = True


class Plain:
    """The same over the SDK's dicts, as one would write it who cares for speed."""

    def __init__(self, book: Sequence[Holding], parse: Callable[[bytes], list[dict[str, Any]]]) -> None:
        self.parse = parse
        self.by_token = {
            one.token: Position(
                slot,
                one.quantity,
                one.average,
                one.group,
                -math.inf if math.isnan(one.level) else one.level,
                one.trail,
            )
            for slot, one in enumerate(book)
        }
        self.totals = [0.0] * GROUPS
        self.fired: list[int] = []

    def take(self, frame: bytes) -> None:
        totals, by_token = self.totals, self.by_token
        for tick in self.parse(frame):
            one = by_token.get(tick["instrument_token"])
            price = tick["last_price"]
            if one is None or price <= 0:
                continue
            when = tick.get("exchange_timestamp")
            if when is not None:
                if one.newest is not None and when < one.newest:
                    continue
                one.newest = when
            if price != one.price:
                one.price = price
                profit = (price - one.average) * one.quantity
                totals[one.group] += profit - one.profit
                one.profit = profit
            if one.armed:
                if price > one.best and one.trail == one.trail:
                    one.best = price
                    one.level = max(one.level, price - one.trail)
                if price <= one.level:
                    one.armed = False
                    self.fired.append(one.slot)


def check(frames: Sequence[bytes], start: Sequence[int], parse: Callable[[bytes], list[dict[str, Any]]]) -> None:
    """Fail unless both hold the same marks, profits and totals, and fired the same rules in the same order."""
    book = holdings(0.005, start)
    native, plain = Native(book), Plain(book, parse)
    for frame in frames:
        native.take(frame)
        plain.take(frame)
    assert native.fired == plain.fired
    assert POSITIONS // 10 < len(plain.fired) < POSITIONS, "too few rules fired, or all of them, to compare anything"
    for slot, (handle, one) in enumerate(zip(native.handles, plain.by_token.values(), strict=True)):
        assert native.marks.price(handle) == one.price
        assert native.marks.unrealised(slot) == one.profit
    for group, total in enumerate(plain.totals):
        found = native.marks.total(group)
        exact = math.fsum(one.profit for one in plain.by_token.values() if one.group == group)
        assert abs(found - exact) <= 1e-12 * max(1.0, abs(exact))
        assert abs(found - total) <= 1e-6 * max(1.0, abs(exact)), "the plain program's total drifts, but not that far"


def over(take: Callable[[Any], object], frames: Sequence[Any]) -> Callable[[], None]:
    """Return a call that takes the next frame, round and round; the prices go to and fro, so nothing jumps."""
    turns = [*frames, *reversed(frames)]
    at = 0

    def call() -> None:
        nonlocal at
        take(turns[at])
        at = at + 1 if at + 1 < len(turns) else 0

    return call


def on_ticks() -> list[Finding]:
    """The sustained rate, and the comparison with plain Python."""
    parse = sdk_parser()
    start, frames = walks(400)
    check(frames, start, parse)
    book = holdings(0.2, start)
    native, plain = Native(book), Plain(book, parse)
    ours, theirs = alternate(over(native.take, frames), over(plain.take, frames), clock=time.process_time_ns)
    assert (native.fired, plain.fired, len(native.triggers)) == ([], [], POSITIONS)
    batches = [Decoder.decode(native.decoder, frame, 1) for frame in frames]  # each held, so each has its own block
    each = (over(native.marks.apply, batches), over(native.triggers.apply, batches))
    alone = alternate(*each, clock=time.process_time_ns)
    tick_us = ours.median_ns / PER_FRAME / 1000
    rate = f"{1e6 / tick_us:,.0f} ticks a second"
    return [
        Value("a tick, decoded, with books, marks and triggers", tick_us, "us", TICK_GOAL_US, note=rate),
        faster(
            f"frame of {PER_FRAME}: marks, totals and rules", ours, "plain Python on the SDK's ticks", theirs, SDK_GOAL
        ),
        *(
            Value(f"of a tick: {what} alone", one.median_ns / PER_FRAME, "ns")
            for what, one in zip(("marks", "triggers"), alone, strict=True)
        ),
        *crowded(frames),
    ]


def crowded(frames: Sequence[bytes]) -> list[Finding]:
    """What a tick costs whose instrument has all positions and rules."""
    decoder = Decoder(load_adapter("zerodha").feed("market").layouts.compile())  # type: ignore[union-attr]
    handle = intern_instrument(f"NSE:T{TOKENS[0]}")
    decoder.bind(TOKENS[0], handle)
    marks, stops, trails = Marks(), Triggers(), Triggers()
    for slot in range(POSITIONS):
        marks.set(slot, handle, 1 + slot % 7, 1000.0, group=slot % GROUPS)
        stops.arm(slot, handle, "below", 1.0 + slot / 1000)
        trails.arm(slot, handle, "trail_below", math.nan, trail=900_000.0 + slot)
    dice = random.Random(2)

    def rising(count: int) -> list[bytes]:
        packets = [packet("full", TOKENS[0], dice, 5, 50_000 + 5 * at) for at in range(count)]
        return [struct.pack(">HH", 1, len(one)) + one for one in packets]

    calm = [decoder.decode(frame, 1) for frame in rising(2)]
    marked, stopped = alternate(over(marks.apply, calm), over(stops.apply, calm), clock=time.process_time_ns)
    found = []
    for frame in rising(400):  # a new best each, so they cannot go round
        batch = decoder.decode(frame, 1)
        began = time.perf_counter_ns()
        trails.apply(batch)
        found.append(time.perf_counter_ns() - began)
    return [
        Value("a tick of an instrument that has all 1,000 positions", marked.median_ns, "ns"),
        Value("a tick of one that has all 1,000 stops, none reached", stopped.median_ns, "ns"),
        Value("a new best price of one that has all 1,000 trailing stops", float(sorted(found)[len(found) // 2]), "ns"),
    ]


def run() -> list[Finding]:
    """Compare, then time."""
    return on_ticks()
