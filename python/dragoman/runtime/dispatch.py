"""Hand values from the I/O thread to slower ones: events in full, ticks as the newest of each key."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

_log = logging.getLogger("dragoman.sync")


class Ended(Exception):
    """Nothing waits and nothing will come."""


class Mailbox(Generic[T]):
    """A queue between threads with two lanes.

    Events never drop, and are taken first. Of ticks the newest of each key waits, and `conflated` counts those that
    gave way. Neither putting nor taking ever waits for a handler.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: deque[T] = deque()
        self._latest: dict[Hashable, T] = {}
        self._closed = False
        self.conflated = 0

    def put(self, event: T) -> None:
        """Append an event; after the end it is not taken."""
        with self._changed:
            if not self._closed:
                self._events.append(event)
                self._changed.notify()

    def put_latest(self, ticks: Iterable[tuple[Hashable, T]]) -> int:
        """Take (key, tick) pairs; an older tick of the same key gives way. Return how many did."""
        with self._changed:
            if self._closed:
                return 0
            latest, before = self._latest, self.conflated
            for key, tick in ticks:
                self.conflated += key in latest
                latest[key] = tick
            self._changed.notify()
            return self.conflated - before

    def take(self) -> T:
        """Wait for the next value and return it.

        Raises
        ------
        Ended
            After `close`, once what waited has been taken.
        """
        with self._changed:
            while True:
                if self._events:
                    return self._events.popleft()
                if self._latest:
                    return self._latest.pop(next(iter(self._latest)))
                if self._closed:
                    raise Ended
                self._changed.wait()

    def close(self, *, drop: bool = False) -> None:
        """End once what waits has been taken, or at once with `drop`."""
        with self._changed:
            self._closed = True
            if drop:
                self._events.clear()
                self._latest.clear()
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """Events that wait; ticks are not counted, the newest of each key is all there ever is."""
        return len(self._events)

    @property
    def closed(self) -> bool:
        return self._closed


class Dispatcher:
    """A thread of its own that runs queued handlers, one after another, in the order events came.

    A slow handler delays later ones and nothing else: events wait in full, ticks conflate. The thread starts with the
    first handler.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._box: Mailbox[Callable[[], object]] = Mailbox()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.handled = 0

    def start(self) -> None:
        """Start the thread, unless it runs already."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def post(self, work: Callable[[], object]) -> None:
        """Queue work; it is never dropped."""
        self._box.put(work)

    def post_latest(self, work: Iterable[tuple[Hashable, Callable[[], object]]]) -> None:
        """Queue (key, work) pairs; work of the same key that waits still gives way to the newer."""
        self._box.put_latest(work)

    def _run(self) -> None:
        while True:
            try:
                work = self._box.take()
            except Ended:
                return
            self.handled += 1
            try:
                work()
            except Exception:  # noqa: BLE001 - the user's code; it is logged
                _log.exception("%s: queued work raised", self._name)

    def close(self, *, patience_s: float = 5.0) -> int:
        """Let handlers finish what waits, for `patience_s` at most; return how many events nobody got.

        Called by a handler itself it does not wait: what is queued is still delivered after that handler returns.
        """
        self._box.close()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return 0
        thread.join(patience_s)
        left = self._box.waiting
        if thread.is_alive():
            self._box.close(drop=True)
            _log.warning("%s: a handler did not return within %g s; %d events are lost", self._name, patience_s, left)
            return left
        return 0

    @property
    def current(self) -> bool:
        """Whether the caller is a handler on this thread."""
        return self._thread is threading.current_thread()

    @property
    def waiting(self) -> int:
        return self._box.waiting

    @property
    def conflated(self) -> int:
        return self._box.conflated
