"""The broker's clock, written to be read: what the native one must say."""

from __future__ import annotations

from collections import deque
from statistics import median_low

S = 1_000_000_000


class ReferenceClock:
    """Keeps the last samples, and applies their median where it is beyond the threshold."""

    def __init__(self, threshold_ns: int, samples: int) -> None:
        self._threshold_ns = threshold_ns
        self._samples: deque[int] = deque(maxlen=samples)

    def observe(self, when: int | None, sent: int, received: int) -> None:
        if when is not None and received >= sent:
            self._samples.append(when + S // 2 - (sent + (received - sent) // 2))

    @property
    def measured_ns(self) -> int | None:
        ordered = sorted(self._samples)
        if not ordered:
            return None
        low, high = median_low(ordered), -median_low([-one for one in ordered])
        return (low + high) // 2

    @property
    def offset_ns(self) -> int:
        median = self.measured_ns
        if median is None or len(self._samples) < 3 or abs(median) <= self._threshold_ns:
            return 0
        return median
