"""Hand events to whoever listens: callbacks at once, iterators through a queue that never drops."""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from dragoman.errors import UsageError

if TYPE_CHECKING:
    from dragoman._core import Histogram

T = TypeVar("T")

log = logging.getLogger("dragoman.events")

_KEPT = 256
"""How many events wait for a first listener. The first ones stay: they tell how it began."""


class Subscription(AsyncIterator[T]):
    """Events from the moment it was made, for one consumer; `Fanout.iterate` makes it.

    It lives as long as its consumer holds it: one that was dropped or closed keeps nothing.
    """

    def __init__(self) -> None:
        self._waiting: deque[T] = deque()
        self._ready = asyncio.Event()
        self._ended = False

    def put(self, event: T) -> None:
        """Append an event; after the end it is not taken."""
        if not self._ended:
            self._waiting.append(event)
            self._ready.set()

    def end(self) -> None:
        """Stop once what waits has been read."""
        self._ended = True
        self._ready.set()

    async def aclose(self) -> None:
        """Stop at once; what waits is given up."""
        self._waiting.clear()
        self.end()

    def __aiter__(self) -> Subscription[T]:
        return self

    async def __anext__(self) -> T:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        return self._waiting.popleft()

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def waiting(self) -> int:
        """Events that wait to be read."""
        return len(self._waiting)


@dataclass(frozen=True, slots=True)
class Timing:
    """Where a fanout's times go.

    Attributes
    ----------
    mono_ns, wall_ns : callable
        The runtime's clocks.
    took : Histogram
        ns of each call of a callback.
    age : Histogram or None
        ns since an event's `ts_recv`, when its first callback is about to get it; for events that have one.
    """

    mono_ns: Callable[[], int]
    wall_ns: Callable[[], int]
    took: Histogram
    age: Histogram | None = None


_Timed = tuple[Callable[[], int], Callable[[int], None], Callable[[], int], Callable[[int], None] | None]
"""The parts of a `Timing`, looked up once."""


class Fanout(Generic[T]):
    """Listeners of one kind of event.

    A callback runs inline and must return at once. One that raises is counted and, at the 1st, 10th, 100th, ... time,
    logged with its name; the others and whoever published are not touched.

    Parameters
    ----------
    what : str
        What is told, for messages.
    keeps : callable, optional
        Which events wait for the first listener, where they are published before anybody can be one. It gets them, in
        their order, when it comes.

    Attributes
    ----------
    changed : callable or None
        Told that callbacks, iterators or `timing` changed: by whoever publishes in a way of its own.
    timing : Timing or None
        What `measure` was given.
    """

    def __init__(self, what: str, keeps: Callable[[T], bool] | None = None) -> None:
        self._what = what
        self._keeps = keeps
        self._kept: list[T] = []
        self._callbacks: tuple[Callable[[T], object], ...] = ()  # replaced whole, so that publishing needs no copy
        # Weak, so that an iterator nobody reads any more does not collect events for ever.
        self._subscriptions: list[weakref.ref[Subscription[T]]] = []
        self._closed = False
        self._timing: _Timed | None = None
        self.timing: Timing | None = None
        self.changed: Callable[[], object] | None = None
        self.published = 0
        self.handler_errors = 0

    def add(self, callback: Callable[[T], object]) -> Callable[[], None]:
        """Register a callback; returns what removes it.

        Raises
        ------
        UsageError
            It is no plain callable: nobody would await a coroutine function here.
        """
        if not callable(callback) or inspect.iscoroutinefunction(callback):
            found = "a coroutine function" if callable(callback) else f"a {type(callback).__name__}"
            raise UsageError(
                f"the {self._what} handler is {found}, expected a plain callable",
                remedy="give a function that returns at once, or iterate with async for",
            )
        self._callbacks += (callback,)
        self._tell()
        for event in self._handed_over():
            self._call(callback, event)

        def remove() -> None:
            kept = list(self._callbacks)
            if callback in kept:
                kept.remove(callback)
                self._callbacks = tuple(kept)
                self._tell()

        return remove

    @property
    def followed(self) -> bool:
        """Whether anybody may be there to get an event; `changed` tells when that is another."""
        return bool(self._callbacks or self._subscriptions)

    @property
    def callbacks(self) -> tuple[Callable[[T], object], ...]:
        """Who is called, in this order."""
        return self._callbacks

    def _tell(self) -> None:
        if self.changed is not None:
            self.changed()

    def publish(self, event: T) -> None:
        self.published += 1
        if self._subscriptions:
            self.queue(event)
        callbacks = self._callbacks
        if not callbacks:
            if self._keeps is not None and len(self._kept) < _KEPT and self._keeps(event):
                self._kept.append(event)
            return
        timing = self._timing
        if timing is None:
            for callback in callbacks:
                self._call(callback, event)
            return
        # In one piece, because it stands on the path of every frame.
        mono_ns, took, wall_ns, age = timing
        if age is not None:
            age(wall_ns() - event.ts_recv)  # type: ignore[attr-defined]
        began = mono_ns()
        for callback in callbacks:
            try:
                callback(event)
            except Exception as error:  # noqa: BLE001 - the user's code; `failed` logs it
                self.failed(callback, error)
            ended = mono_ns()
            took(ended - began)
            began = ended

    def _call(self, callback: Callable[[T], object], event: T) -> None:
        try:
            callback(event)
        except Exception as error:  # noqa: BLE001 - the user's code; `failed` logs it
            self.failed(callback, error)

    def queue(self, event: T) -> None:
        """Give an event to the iterators, not to the callbacks."""
        for subscription in self._live():
            subscription.put(event)

    def measure(self, timing: Timing) -> None:
        """Measure from now on how long callbacks take, and how old an event is when the first one gets it."""
        age = None if timing.age is None else timing.age.record
        self.timing = timing
        self._timing = timing.mono_ns, timing.took.record, timing.wall_ns, age
        self._tell()

    def iterate(self) -> Subscription[T]:
        """Return an iterator over every event published from this call on, until `close`."""
        subscription: Subscription[T] = Subscription()
        for event in self._handed_over():
            subscription.put(event)
        if self._closed:
            subscription.end()
        else:
            self._subscriptions.append(weakref.ref(subscription))
            self._tell()
        return subscription

    def _handed_over(self) -> list[T]:
        """Return what waited for a first listener; it is there."""
        kept, self._kept, self._keeps = self._kept, [], None
        return kept

    def close(self) -> None:
        """End all iterators once they have drained."""
        self._closed = True
        for subscription in self._live():
            subscription.end()
        self._subscriptions.clear()

    @property
    def subscriptions(self) -> int:
        """Iterators that are still held and not ended."""
        return len(self._live())

    def _live(self) -> list[Subscription[T]]:
        if not self._subscriptions:
            return []
        held = [(ref, found) for ref in self._subscriptions if (found := ref()) is not None and not found.ended]
        if len(held) != len(self._subscriptions):
            self._subscriptions = [ref for ref, _ in held]
            self._tell()
        return [found for _, found in held]

    def failed(self, callback: Callable[[T], object], error: Exception) -> None:
        """Count what a callback raised; log it at the 1st, 10th, 100th, ... time."""
        self.handler_errors += 1
        if str(self.handler_errors).rstrip("0") == "1":
            name = getattr(callback, "__qualname__", type(callback).__name__)
            log.error("%s handler %s raised (%d so far)", self._what, name, self.handler_errors, exc_info=error)
