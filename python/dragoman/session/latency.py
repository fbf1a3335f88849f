"""How long requests take, by meter, in bounded memory."""

from __future__ import annotations

from collections import deque

_KEPT = 1024


class Latencies:
    """The last thousand round trips of each meter, from the first byte written to the reply's last."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[int]] = {}
        self._counts: dict[str, int] = {}

    def add(self, meter: str, ns: int) -> None:
        if ns < 0:
            return
        samples = self._samples.get(meter)
        if samples is None:
            samples = self._samples[meter] = deque(maxlen=_KEPT)
        samples.append(ns)
        self._counts[meter] = self._counts.get(meter, 0) + 1

    def summary(self) -> dict[str, dict[str, float]]:
        """Return, by meter: count of all, and p50_us, p99_us, max_us of those kept."""
        found: dict[str, dict[str, float]] = {}
        for meter, samples in self._samples.items():
            ordered = sorted(samples)
            last = len(ordered) - 1
            found[meter] = {
                "count": self._counts[meter],
                "p50_us": ordered[last // 2] / 1000,
                "p99_us": ordered[min(last, round(last * 0.99))] / 1000,
                "max_us": ordered[last] / 1000,
            }
        return found
