"""The seam between exact positions and native marks: what is held goes down, prices come up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from dragoman._core import FreshMarks, Handout, Marks
from dragoman.portfolio.net import PositionKey

MAX_AGE_NS: Final = 60_000_000_000
_NEVER: Final = -(2**63)
_MOST: Final = Decimal(10) ** 15


class Marking:
    """Rows of the native marks, one for each position, grouped by currency.

    Parameters
    ----------
    marks : Marks
        The native half; a `Handout` feeds it.
    wall_ns : callable
        Our clock, ns UTC.
    max_age_ns : int
        A mark older than that is stale.

    Attributes
    ----------
    fresh : callable
        Returns the mark of an instrument id; None where there is none, or it is stale. Orders wait for it.
    """

    def __init__(self, marks: Marks, wall_ns: Callable[[], int], max_age_ns: int = MAX_AGE_NS) -> None:
        self.marks = marks
        self.max_age_ns = max_age_ns
        self._wall_ns = wall_ns
        self._slots: dict[PositionKey, int] = {}
        self._free: list[int] = []
        self._groups: dict[str, int] = {}
        self._interrupted: dict[int, int] = {}
        self.breaks = 0
        self.fresh = FreshMarks(marks, wall_ns, max_age_ns, self._interrupted).price

    def hang_on(self, handout: Handout) -> None:
        """Have every batch that `handout` takes mark the positions."""
        handout.marks = self.marks

    def group(self, currency: str) -> int:
        """Return the number of the native total that positions in `currency` count into."""
        return self._groups.setdefault(currency, len(self._groups))

    def put(
        self,
        key: PositionKey,
        handle: int,
        currency: str,
        quantity: Decimal,
        average: Decimal | None,
        multiplier: Decimal,
        close: Decimal | None,
    ) -> None:
        """Enter or replace a position; one of nothing leaves, and one beyond what floats are good for."""
        slot = self._slots.get(key)
        if not quantity or max(abs(quantity), average or 0) > _MOST:
            if slot is not None:
                self.marks.remove(slot)
                self._free.append(self._slots.pop(key))
            return
        if slot is None:
            slot = self._slots[key] = self._free.pop() if self._free else len(self._slots)
        cost, before = (math.nan if value is None else float(value) for value in (average, close))
        self.marks.set(slot, handle, float(quantity), cost, float(multiplier), before, self.group(currency))

    def follow(self, handle: int) -> None:
        """Keep the mark of an instrument from its next price on, also where nothing is held of it."""
        slot = self._free[-1] if self._free else len(self._slots)
        self.marks.set(slot, handle, 0.0, 0.0)
        self.marks.remove(slot)

    def slot(self, key: PositionKey) -> int | None:
        """Return the native row of a position, for whoever watches it there."""
        return self._slots.get(key)

    def polled(self, handle: int, price: Decimal | float | None, ts: int) -> None:
        """Take a price that was asked for, of ns UTC `ts`; one that is no price is left out."""
        if price is not None and price > 0:
            self.marks.mark(handle, float(price), ts)

    def interrupted(self, handles: Iterable[int]) -> None:
        """Note that the stream of instruments left something out: their marks are stale until newer ones come."""
        now = self._wall_ns()
        self.breaks += 1
        self._interrupted.update(dict.fromkeys(handles, now))

    def total(self, currency: str) -> float:
        """Return the unrealised profit of all positions in a currency that have a mark and a cost."""
        return self.marks.total(self.group(currency))

    def watch(self, currency: str, below: float) -> None:
        """Have `crossed` name a currency once its total is at `below` or under it; in place of what was watched."""
        self.marks.watch(self.group(currency), below)

    def crossed(self) -> list[str]:
        """Return the currencies whose totals have crossed what was watched since the last call, each once."""
        numbers = self.marks.crossed()
        return [currency for currency, number in self._groups.items() if number in numbers] if numbers else []

    def unrealised(self, key: PositionKey) -> float:
        """Return the unrealised profit of one of them, not a number where it has no mark."""
        slot = self._slots.get(key)
        return math.nan if slot is None else self.marks.unrealised(slot)

    def old(self, handles: Mapping[PositionKey, int]) -> list[PositionKey]:
        """Return the positions whose instrument has no mark, or a stale one."""
        oldest, time, cut = self._wall_ns() - self.max_age_ns, self.marks.time, self._interrupted
        if not cut:
            return [key for key, handle in handles.items() if time(handle) < oldest]
        return [
            key for key, handle in handles.items() if (came := time(handle)) < oldest or came <= cut.get(handle, _NEVER)
        ]

    def oldest_ns(self) -> int:
        """Return when a mark must have come at least to be no old one now."""
        return self._wall_ns() - self.max_age_ns

    def is_old(self, handle: int, ts: int, oldest: int | None = None) -> bool:
        """Whether a mark that came at `ts` is missing, old or from before a gap; `oldest` is what `oldest_ns` said."""
        return ts < (self.oldest_ns() if oldest is None else oldest) or ts <= self._interrupted.get(handle, _NEVER)

    def now_ns(self) -> int:
        """Return our clock, ns UTC."""
        return self._wall_ns()

    def fresh_until(self, handles: Iterable[int]) -> int:
        """Return when the first mark of these becomes old, where none gets newer; before 0 where one is missing."""
        return min(map(self.marks.time, handles), default=0) + self.max_age_ns

    def glance(self, handles: Sequence[int]) -> tuple[list[float], list[bool]]:
        """Return the marks of many as they are kept, not numbers where there are none, and which of them are stale."""
        times, oldest, cut = list(map(self.marks.time, handles)), self.oldest_ns(), self._interrupted
        if not cut and min(times, default=oldest) >= oldest:
            stale = [False] * len(times)
        else:
            stale = [ts < oldest or ts <= cut.get(handle, _NEVER) for handle, ts in zip(handles, times, strict=True)]
        return list(map(self.marks.price, handles)), stale

    def read(self, handle: int) -> tuple[Decimal | None, int | None, bool]:
        """Return the mark as the decimal it was sent as, when it arrived, and whether it is stale."""
        found, ts = self.marks.price(handle), self.marks.time(handle)
        if ts == _NEVER or math.isnan(found):
            return None, None, True
        stale = self._wall_ns() - ts > self.max_age_ns or ts <= self._interrupted.get(handle, _NEVER)
        return Decimal(repr(found)), ts, stale
