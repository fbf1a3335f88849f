"""Rate limits as a broker counts them on its own clock, for emulators that answer 429 when the real one would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND


@dataclass(frozen=True, slots=True)
class Meter:
    """So many requests in one calendar unit (second, minute, day) of the broker's clock."""

    name: str
    count: int
    span_ns: int = SECOND


class MeterFullError(Exception):
    """A request above a limit. Nothing was counted."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(f"{meter.name}: more than {meter.count} in {meter.span_ns / SECOND:g} s")
        self.meter = meter


class CalendarCounter:
    """Counts per meter; a count starts again when its calendar unit turns.

    Parameters
    ----------
    offset_ns : int
        The broker's time zone: local time less UTC, for when its day turns.
    """

    def __init__(self, offset_ns: int = 0) -> None:
        self._offset = offset_ns
        self._used: dict[str, tuple[int, int]] = {}  # meter -> calendar unit, count in it

    def take(self, meters: Sequence[Meter], now_ns: int) -> None:
        """Count one request on all of `meters`, or on none where one is full.

        Raises
        ------
        MeterFullError
            Naming the first full meter.
        """
        taken: dict[str, tuple[int, int]] = {}
        for meter in meters:
            unit = (now_ns + self._offset) // meter.span_ns
            then, used = self._used.get(meter.name, (unit, 0))
            used = used if then == unit else 0
            if used >= meter.count:
                raise MeterFullError(meter)
            taken[meter.name] = unit, used + 1
        self._used |= taken

    def spend(self, meter: Meter, cost: int, now_ns: int) -> int:
        """Count a request that weighs `cost` on one meter; return what is used of it now.

        Raises
        ------
        MeterFullError
            Where it does not fit any more; nothing was counted.
        """
        unit = (now_ns + self._offset) // meter.span_ns
        then, used = self._used.get(meter.name, (unit, 0))
        used = cost + (used if then == unit else 0)
        if used > meter.count:
            raise MeterFullError(meter)
        self._used[meter.name] = unit, used
        return used
