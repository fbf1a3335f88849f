"""A thousand positions, a rule on each, and prices that walk: what the benchmarks of live money hold and hear."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.frames import TOKENS, packet
from dragoman._core import Marks, Triggers

POSITIONS = 1000
GROUPS = 10
PER_FRAME = 50


@dataclass(frozen=True)
class Holding:
    """A position and the rule on it: a stop at `level`, which trails by `trail` where that is a number."""

    token: int
    quantity: float
    average: float
    group: int
    level: float
    trail: float

    def enter(self, slot: int, handle: int, marks: Marks) -> None:
        marks.set(slot, handle, self.quantity, self.average, group=self.group)

    def arm(self, slot: int, handle: int, triggers: Triggers) -> None:
        if math.isnan(self.trail):
            triggers.arm(slot, handle, "below", self.level)
        else:
            triggers.arm(slot, handle, "trail_below", self.level, trail=self.trail)


def holdings(share: float, start: Sequence[int]) -> list[Holding]:
    """Return the book; each rule stands a share of the price away from it."""
    dice, made = random.Random(11), []
    for at, paise in enumerate(start):
        price = paise / 100
        average = round(price * dice.uniform(0.9, 1.1), 2)
        trail = math.nan if at % 2 else price * share
        quantity = dice.choice((1, 5, 25, 100))
        made.append(Holding(TOKENS[at], quantity, average, at % GROUPS, price * (1 - share), trail))
    return made


def walks(count: int, seed: int = 3, *, falls: bool = False) -> tuple[list[int], list[bytes]]:
    """Return prices to start from, in paise, and frames in which they walk, within 5% of there.

    With `falls` one price of each frame is less by a third for that frame, and each frame's is another instrument's.
    """
    dice = random.Random(seed)
    start = [5 * dice.randint(10_000, 100_000) for _ in range(POSITIONS)]
    now, frames, at = list(start), [], 0
    for number in range(count):
        packets = []
        falling = (number // (POSITIONS // PER_FRAME)) % PER_FRAME if falls else -1
        for place in range(PER_FRAME):
            moved = now[at] + 5 * dice.randint(-now[at] // 2500, now[at] // 2500)
            now[at] = min(max(moved, start[at] * 95 // 100), start[at] * 105 // 100)
            price = start[at] // 15 * 10 if place == falling else now[at]
            packets.append(packet("full", TOKENS[at], dice, 5, price))
            at = (at + 1) % POSITIONS
        frames.append(struct.pack(">H", PER_FRAME) + b"".join(struct.pack(">H", len(p)) + p for p in packets))
    return start, frames
