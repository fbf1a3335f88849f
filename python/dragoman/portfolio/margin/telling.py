"""Who hears of a margin that changed: those who watch, thresholds, and whoever minds that it is stale."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable

from dragoman.model import Margin, MarginAlert, Segment
from dragoman.portfolio.margin.thresholds import Threshold
from dragoman.portfolio.margin.watching import MarginQueue

log = logging.getLogger("dragoman.portfolio")


class Teller:
    """Margins as they were told last, and everybody they are told to.

    Parameters
    ----------
    tell : callable
        Told of every `MarginAlert`.
    mono_ns, wall_ns : callable

    Attributes
    ----------
    told : dict of Segment to Margin
    thresholds : tuple of Threshold
    alerts, callback_errors : int
    changed : callable
        Called with each margin that differs from the one before.
    """

    def __init__(
        self, tell: Callable[[MarginAlert], object], mono_ns: Callable[[], int], wall_ns: Callable[[], int]
    ) -> None:
        self._tell, self._mono_ns, self._wall_ns = tell, mono_ns, wall_ns
        self._queues: list[weakref.ref[MarginQueue]] = []
        self._stale: set[Segment] = set()
        self.told: dict[Segment, Margin] = {}
        self.thresholds: tuple[Threshold, ...] = ()
        self.alerts = self.callback_errors = 0
        self.changed: Callable[[Margin], object] = lambda margin: None

    def publish(self, margin: Margin, why: Callable[[Segment], str]) -> None:
        """Tell a margin; `why` says what made it stale."""
        segment, before = margin.segment, self.told.get(margin.segment)
        self.told[segment] = margin
        if margin.stale and segment not in self._stale:
            self._stale.add(segment)
            words = f"the margin of {segment} is stale: {why(segment)}"
            self.alert(MarginAlert("STALE", words, margin, ts=self._wall_ns()))
        elif not margin.stale:
            self._stale.discard(segment)
        for one in self.thresholds:
            if one.segment is segment:
                self.look(one, margin)
        if margin != before:
            for queue in self._live():
                queue.put(margin)
            self.changed(margin)

    def look(self, one: Threshold, margin: Margin) -> None:
        """Tell what `margin` crosses."""
        alert = one.look(margin, self._mono_ns(), self._wall_ns())
        if alert is None:
            return
        self.alert(alert)
        if one.callback is not None:
            try:
                one.callback(alert)
            except Exception:
                self.callback_errors += 1
                log.exception("the callback of margin threshold %s raised", one.name or one.code)

    def alert(self, alert: MarginAlert) -> None:
        """Tell an alert."""
        self.alerts += 1
        self._tell(alert)

    def add(self, one: Threshold) -> Callable[[], None]:
        """Watch a threshold; returns what ends it."""
        self.thresholds += (one,)
        if one.segment in self.told:
            self.look(one, self.told[one.segment])

        def end() -> None:
            self.thresholds = tuple(other for other in self.thresholds if other is not one)

        return end

    @property
    def near(self) -> bool:
        """Whether a value is close to a threshold."""
        return any(one.near(self.told[one.segment]) for one in self.thresholds if one.segment in self.told)

    def queue(self) -> MarginQueue:
        """Return an iterator over what is told from now on, the newest first; it lives while its consumer holds it."""
        queue = MarginQueue()
        self._queues.append(weakref.ref(queue))
        for margin in self.told.values():
            queue.put(margin)
        return queue

    def close(self) -> None:
        """End all iterators once they have drained."""
        for queue in self._live():
            queue.end()
        self._queues.clear()

    def _live(self) -> list[MarginQueue]:
        held = [(ref, found) for ref in self._queues if (found := ref()) is not None and not found.closed]
        self._queues = [ref for ref, _ in held]
        return [found for _, found in held]
