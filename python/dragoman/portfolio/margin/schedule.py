"""When the next reading of the margin is due: pure, on times that are told."""

from __future__ import annotations

from typing import Final

_NS: Final = 1_000_000_000
_SETTLE_S: Final = 0.5
"""After an order or position changed, readings wait for so much quiet, and at most six times as long in all."""
_BUSY_S: Final = 6 * _SETTLE_S
_DOUBT_S: Final = 1.5
_CROWDED_S: Final = 1.0
_CROWDED_MOST_S: Final = 30.0
_IN_FLIGHT_S: Final = 0.1
_IN_FLIGHT_MOST_S: Final = 1.0
_LONGEST_S: Final = 60.0


class Schedule:
    """Times of readings, in monotonic ns.

    Attributes
    ----------
    failures : int
        Readings in a row that did not come.
    put_off : int
        Times a reading gave way.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.put_off = 0
        self._asked_ns: int | None = None
        self._not_before_ns = 0
        self._first_change_ns: int | None = None
        self._last_change_ns = 0
        self._waits_since_ns: int | None = None

    def changed(self, now: int) -> None:
        """Bring the next reading forward: to when it is quiet, or a little later where it does not become so."""
        self._last_change_ns = now
        if self._first_change_ns is None:
            self._first_change_ns = now

    def due_ns(self, *, interval_s: float | None, floor_s: float, doubt: bool) -> int | None:
        """Return when the next reading is due; None for not before something happens.

        Parameters
        ----------
        interval_s : float or None
            The time between two readings as things are.
        floor_s : float
            The least there may be between any two.
        doubt : bool
            Whether the last one left a question open.
        """
        if self._asked_ns is None:
            return self._not_before_ns
        due = []
        if interval_s is not None:
            due.append(self._asked_ns + int(interval_s * _NS))
        if self._first_change_ns is not None:
            quiet = self._last_change_ns + int(_SETTLE_S * _NS)
            due.append(min(quiet, self._first_change_ns + int(_BUSY_S * _NS)))
        if self.failures:
            due.append(self._not_before_ns)
        if doubt:
            due.append(self._asked_ns + int(_DOUBT_S * _NS))
        if not due:
            return None
        return max(min(due), self._asked_ns + int(max(_SETTLE_S, floor_s) * _NS), self._not_before_ns)

    def gives_way(self, now: int, *, crowded: bool, in_flight: bool) -> bool:
        """Whether a reading that is due is put off: others need the broker, or something is being asked of it.

        For others it waits half a minute at most, and a second for what is in flight: then it is read all the same.
        """
        since = now if self._waits_since_ns is None else self._waits_since_ns
        waited_s = (now - since) / _NS
        pause_s = 0.0
        if crowded and waited_s < _CROWDED_MOST_S:
            pause_s = _CROWDED_S
        elif in_flight and waited_s < _IN_FLIGHT_MOST_S:
            pause_s = _IN_FLIGHT_S
        if not pause_s:
            self._waits_since_ns = None
            return False
        self._waits_since_ns = since
        self._not_before_ns = now + int(pause_s * _NS)
        self.put_off += 1
        return True

    def asked(self, now: int) -> None:
        """Note that a reading begins."""
        self._asked_ns = now

    def looked(self) -> None:
        """Note that what changed until now is known to whoever compares the reading."""
        self._first_change_ns = None

    def answered(self) -> None:
        """Note that it came."""
        self.failures = 0

    def failed(self, now: int, *, at_least_s: float = 0.0) -> None:
        """Note that it did not: the next one waits longer each time, or as long as the broker asks."""
        self.failures += 1
        wait_s = max(min(_LONGEST_S, 2.0 ** min(self.failures, 6)), at_least_s)
        self._not_before_ns = now + int(wait_s * _NS)
