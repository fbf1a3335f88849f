"""The Prometheus text format, version 0.0.4.

References
----------
"Exposition formats", prometheus.io, text-based format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dragoman._core import Histogram

_PREFIX: Final = "dragoman_"
_NS: Final = 1_000_000_000
_BOUNDS_NS: Final = (*(base * 10**power for power in range(3, 10) for base in (1, 2, 5)), 10 * _NS)
"""Bucket bounds: 1 us to 10 s."""


class Exposition:
    """A page of samples, grouped by metric as the format asks.

    Parameters
    ----------
    labels : dict of str to str
        On every sample.
    """

    def __init__(self, labels: dict[str, str]) -> None:
        self._labels = labels
        self._families: dict[str, list[str]] = {}

    def counter(self, name: str, text: str, value: float, **labels: str) -> None:
        """Add a number that only grows; by convention its name ends in ``_total``."""
        self._family(name, "counter", text).append(self._sample(name, value, labels))

    def gauge(self, name: str, text: str, value: float, **labels: str) -> None:
        """Add a number that goes up and down."""
        self._family(name, "gauge", text).append(self._sample(name, value, labels))

    def histogram(self, name: str, text: str, histogram: Histogram, **labels: str) -> None:
        """Add a histogram of ns as one of seconds."""
        lines = self._family(name, "histogram", text)
        for bound, count in zip(_BOUNDS_NS, histogram.cumulative(_BOUNDS_NS), strict=True):
            lines.append(self._sample(f"{name}_bucket", count, {**labels, "le": _number(bound / _NS)}))
        lines.append(self._sample(f"{name}_bucket", histogram.count, {**labels, "le": "+Inf"}))
        lines.append(self._sample(f"{name}_sum", histogram.total / _NS, labels))
        lines.append(self._sample(f"{name}_count", histogram.count, labels))

    def text(self) -> str:
        """Return the page."""
        return "".join(f"{line}\n" for lines in self._families.values() for line in lines)

    def _family(self, name: str, kind: str, text: str) -> list[str]:
        lines = self._families.get(name)
        if lines is None:
            lines = self._families[name] = [f"# HELP {_PREFIX}{name} {text}", f"# TYPE {_PREFIX}{name} {kind}"]
        return lines

    def _sample(self, name: str, value: float, labels: dict[str, str]) -> str:
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in (self._labels | labels).items())
        return f"{_PREFIX}{name}{{{inner}}} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
