"""What the book asks of native marks, as dictionaries; `tests/reference/money.py` is the full twin."""

from __future__ import annotations

import math

NEVER = -(2**63)


class PlainMarks:
    """Rows by slot, prices by instrument."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple] = {}
        self.prices: dict[int, tuple[float, int]] = {}

    def set(self, slot, instrument, quantity, average, multiplier=1.0, close=math.nan, group=0):
        self.rows[slot] = (instrument, quantity, average, multiplier, close, group)

    def remove(self, slot):
        del self.rows[slot]

    def mark(self, instrument, price, ts):
        if not math.isfinite(price) or price <= 0 or ts < self.time(instrument):
            return False
        self.prices[instrument] = price, ts
        return True

    def price(self, instrument):
        return self.prices.get(instrument, (math.nan, NEVER))[0]

    def time(self, instrument):
        return self.prices.get(instrument, (math.nan, NEVER))[1]

    def total(self, group):
        return sum(
            (self.price(instrument) - average) * quantity * multiplier
            for instrument, quantity, average, multiplier, _, its in self.rows.values()
            if its == group and not math.isnan(self.price(instrument) - average)
        )
