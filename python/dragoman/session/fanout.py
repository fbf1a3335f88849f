"""Hand events to whoever listens: callbacks at once, iterators through a queue that never drops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger("dragoman.events")


class Fanout(Generic[T]):
    """Listeners of one kind of event.

    A callback runs inline and must return at once. One that raises is counted and logged with its name; the others
    and whoever published are not touched.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._callbacks: list[Callable[[T], object]] = []
        self._queues: list[asyncio.Queue[T | None]] = []
        self.published = 0
        self.handler_errors = 0

    def add(self, callback: Callable[[T], object]) -> Callable[[], None]:
        """Register a callback; returns what removes it."""
        self._callbacks.append(callback)

        def remove() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return remove

    def publish(self, event: T) -> None:
        self.published += 1
        for queue in self._queues:
            queue.put_nowait(event)
        for callback in tuple(self._callbacks):
            try:
                callback(event)
            except Exception:
                self.handler_errors += 1
                name = getattr(callback, "__qualname__", type(callback).__name__)
                log.exception("%s handler %s raised", self._what, name)

    async def iterate(self) -> AsyncIterator[T]:
        """Yield every event published from now on, until `close`."""
        queue: asyncio.Queue[T | None] = asyncio.Queue()
        self._queues.append(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._queues.remove(queue)

    def close(self) -> None:
        """End all iterators once they have drained."""
        for queue in self._queues:
            queue.put_nowait(None)
