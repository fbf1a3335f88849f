"""What do live marks, totals and a thousand stops cost a tick, and how long is it from a tick to its order?"""

from __future__ import annotations

import math
import random
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from benchmarks.bench_decode import sdk_parser
from benchmarks.frames import TOKENS, packet
from benchmarks.measure import Effort, Finding, Value, alternate, faster, timing_of_calls
from benchmarks.money import GROUPS, PER_FRAME, POSITIONS, Holding, holdings, walks
from benchmarks.stage import Stage
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
    " fires. Times are processor time of one core. From tick to order: a process sends such frames over loopback, each"
    " with one price that falls through a stop loss; our client, as a user has it, with 1,000 positions and"
    " `client.rules.add(StopLoss(...))` for each, puts the firing into the journal, plans the exit, and sends its order"
    " through checks and limits; each position is then guarded anew. It counts from when the frame was read"
    " from the socket until the loop has written the order; a price falls every 5 ms, with the journal on a disk every"
    " 20."
)
SDK_GOAL = 20.0
FALL_EVERY_S = {"stops": 0.005, "stops-on-disk": 0.02}
ORDERS = {"stops": "tick to order, the journal in memory", "stops-on-disk": "tick to order, the journal on a disk"}
TICK_GOAL_US = 10.0  # 100,000 ticks a second


Parser = Callable[[bytes], list[dict[str, Any]]]


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
            one.enter(slot, handle, self.marks)
            one.arm(slot, handle, self.triggers)
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

    def __init__(self, book: Sequence[Holding], parse: Parser) -> None:
        self.parse = parse
        self.by_token = {
            one.token: Position(
                slot,
                one.quantity,
                one.average,
                one.group,
                one.level,
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


def check(frames: Sequence[bytes], start: Sequence[int], parse: Parser) -> None:
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


def parser() -> Parser | None:
    """Return the SDK's, or say why there is none."""
    try:
        return sdk_parser()
    except pytest.skip.Exception as reason:
        print(f"left out: the comparison with the official SDK; {reason}", file=sys.stderr)
        return None


def on_ticks() -> list[Finding]:
    """The sustained rate, the comparison with plain Python, and the parts."""
    parse = parser()
    start, frames = walks(400)
    book = holdings(0.2, start)
    native = Native(book)
    compared: list[Finding] = []
    if parse is not None:
        check(frames, start, parse)
        plain = Plain(book, parse)
        ours, theirs = alternate(over(native.take, frames), over(plain.take, frames), clock=time.process_time_ns)
        assert plain.fired == []
        question = f"frame of {PER_FRAME}: marks, totals and rules"
        compared = [faster(question, ours, "plain Python on the SDK's ticks", theirs, SDK_GOAL)]
    else:
        (ours,) = alternate(over(native.take, frames), clock=time.process_time_ns)
    assert (native.fired, len(native.triggers)) == ([], POSITIONS)
    batches = [native.decoder.decode(frame, 1) for frame in frames]  # each held, so each has its own block
    each = (over(native.marks.apply, batches), over(native.triggers.apply, batches))
    alone = alternate(*each, clock=time.process_time_ns)
    tick_us = ours.median_ns / PER_FRAME / 1000
    rate = f"{1e6 / tick_us:,.0f} ticks a second"
    return [
        Value("a tick, decoded, with books, marks and triggers", tick_us, "us", TICK_GOAL_US, note=rate),
        *compared,
        *(
            Value(f"of a tick: {what} alone", one.median_ns / PER_FRAME, "ns")
            for what, one in zip(("marks", "triggers"), alone, strict=True)
        ),
        *crowded(),
    ]


def crowded() -> list[Finding]:
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


def to_order(kind: str, frames: int = 150) -> list[Finding]:
    """How long it takes from a tick to the order it fires, by a client that `benchmarks.stops` runs as `kind`."""
    with Stage() as stage:
        stage.consumer(kind, instruments=POSITIONS)
        stage.frames("falls", walks(1000, falls=True)[1])
        stage.play(kind, "falls", frames, FALL_EVERY_S[kind])  # warm
        plays = [stage.play(kind, "falls", frames, FALL_EVERY_S[kind]) for _ in range(Effort.rounds(9))]
    found, whole = (
        timing_of_calls(calls) for calls in zip(*((play.spans, play.latencies) for play in plays), strict=True)
    )
    return [
        *(
            Value(f"{ORDERS[kind]}: {what}, p{share * 100:g}", (one.quantile(share) or 0.0) / 1000, "us")
            for what, one in (("socket read to order written", found), ("from before the tick was sent", whole))
            for share in (0.5, 0.99)
        ),
    ]


def run() -> list[Finding]:
    """Compare, then time."""
    return [*on_ticks(), *(finding for kind in ORDERS for finding in to_order(kind))]
