"""A plain-Python order book over dicts, slow and obvious: what `dragoman._core.Book` must agree with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Message:
    """One depth record: levels are (side, price, quantity, orders), quantity 0 removes."""

    levels: list[tuple[str, float, float, int]]
    snapshot: bool = False
    sequence: int | None = None
    prev_sequence: int | None = None
    instrument: int = 0


@dataclass
class OracleBook:
    """Depth of one instrument as two dicts from price to (quantity, orders)."""

    rule: str = "none"
    max_levels: int = 0
    state: str = "empty"
    sequence: int | None = None
    updates: int = 0
    gaps: int = 0
    duplicates: int = 0
    ignored: int = 0
    rejected_levels: int = 0
    last: int = 0
    unnumbered_base: bool = False
    sides: dict[str, dict[float, tuple[float, int]]] = field(default_factory=lambda: {"bid": {}, "ask": {}})

    @property
    def stale(self) -> bool:
        return self.state != "live"

    @property
    def gapped(self) -> bool:
        return self.state == "gapped"

    def levels(self, side: str) -> tuple[tuple[float, float, int], ...]:
        """Best first."""
        prices = sorted(self.sides[side], reverse=side == "bid")
        return tuple((price, *self.sides[side][price]) for price in prices)

    def mark_stale(self) -> None:
        if not self.gapped:
            self.state = "stale"

    def apply(self, message: Message) -> None:
        if not self._admits(message):
            return
        if message.snapshot:
            self.sides = {"bid": {}, "ask": {}}
        for side, price, quantity, orders in message.levels:
            if not (math.isfinite(price) and price > 0 and math.isfinite(quantity) and quantity >= 0):
                self.rejected_levels += 1
            elif quantity == 0:
                self.sides[side].pop(price, None)
            else:
                self.sides[side][price] = (quantity, orders)
        self.state = "live"
        self.sequence = message.sequence
        self.updates += 1

    def truncate(self) -> None:
        """Call at the end of each batch."""
        if self.max_levels:
            for side in self.sides:
                kept = self.levels(side)[: self.max_levels]
                self.sides[side] = {price: (quantity, orders) for price, quantity, orders in kept}

    def vwap(self, side: str, quantity: float) -> float | None:
        left, cost = quantity, 0.0
        for price, size, _ in self.levels(side):
            taken = min(left, size)
            cost += taken * price
            left -= taken
            if left <= 0:
                return cost / quantity
        return None

    def imbalance(self, levels: int) -> float | None:
        bid, ask = (sum(level[1] for level in self.levels(side)[:levels]) for side in ("bid", "ask"))
        return None if bid + ask == 0 else (bid - ask) / (bid + ask)

    def _admits(self, message: Message) -> bool:
        if message.snapshot:
            return self._admits_snapshot(message)
        if self.state in ("stale", "gapped"):
            self.ignored += 1
            return False
        verdict = self._verdict(message)
        if verdict == "gap":
            self.gaps += 1
            self.state = "gapped"
        elif verdict == "duplicate":
            self.duplicates += 1
        return verdict == "follows"

    def _admits_snapshot(self, message: Message) -> bool:
        if self.rule == "none":
            return True
        if message.sequence is None:
            self.unnumbered_base = True
            return True
        if self.state == "live" and message.sequence < self.last:
            self.duplicates += 1
            return False
        self.last, self.unnumbered_base = message.sequence, False
        return True

    def _verdict(self, message: Message) -> str:
        if self.rule == "none":
            return "follows"
        last = message.sequence
        expected = message.prev_sequence if self.rule in ("ranged", "linked") else None
        if last is None or (expected is None and self.rule == "linked"):
            return "gap"
        if expected is None:
            expected = last - 1
        if not self.unnumbered_base and expected != self.last:
            if last <= self.last:
                return "duplicate"
            if expected > self.last:
                return "gap"
        self.last, self.unnumbered_base = last, False
        return "follows"
