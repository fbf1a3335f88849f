"""What stands behind a blocking client: the asynchronous one, the thread it lives on, and its dispatcher."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from dragoman._core import Batch, Tick
from dragoman.client import Client
from dragoman.errors import UsageError
from dragoman.market.handout import conflation_key
from dragoman.runtime.dispatch import Dispatcher, Mailbox
from dragoman.runtime.io_thread import IoThread, close_at_exit
from dragoman.session.fanout import Fanout, Timing
from dragoman.sync.human import attended
from dragoman.sync.iterators import Following, Pulling

T = TypeVar("T")
Add = Callable[[Callable[[Any], object]], Callable[[], None]]
"""Registers an inline handler, on the I/O thread; returns what ends it."""


class Engine:
    """One asynchronous client on the I/O thread, with the queues that lead away from it.

    Threads: its methods may be called from any thread but the I/O thread; there they raise UsageError, as they do
    after a fork and after `close`, before doing anything.
    """

    def __init__(self, io: IoThread, client: Client) -> None:
        self.io = io
        self.client = client
        self.name = f"{client.session.profile}"
        self.dispatcher = Dispatcher(f"dragoman-handlers {self.name}")
        self.closed = False
        self._queued: dict[str, Fanout[Any]] = {}
        self._boxes: weakref.WeakSet[Mailbox[Any]] = weakref.WeakSet()
        self._calls: set[asyncio.Task[Any]] = set()
        self._forget_exit = close_at_exit(self.close)

    # -- calls -------------------------------------------------------------------------------------------------------

    def check(self, what: str) -> str:
        """Return the full name of a call, or raise UsageError where it cannot be made."""
        self.io.check(f"{self.name}: {what}")
        if self.closed:
            raise UsageError(f"{self.name}: {what}: the client is closed", remedy="connect again")
        return f"{self.name}: {what}"

    def call(self, make: Callable[[], Coroutine[Any, Any, T]], what: str, patience_s: float | None = None) -> T:
        """Run a coroutine on the I/O thread and wait; errors as `IoThread.call`."""

        async def tracked() -> T:
            task = asyncio.current_task()
            assert task is not None
            self._calls.add(task)
            try:
                return await make()
            finally:
                self._calls.discard(task)

        return self.io.call(tracked, self.check(what), patience_s=patience_s)

    def run(self, work: Callable[[], T], what: str) -> T:
        """Run a function on the I/O thread and wait."""
        return self.io.run(work, self.check(what))

    def attend(self, make: Callable[[], Coroutine[Any, Any, T]], what: str) -> T:
        """Run a coroutine that may ask a human on the I/O thread; what it asks runs on the calling thread."""
        return self.io.attend(attended(make), self.check(what))

    # -- handlers ----------------------------------------------------------------------------------------------------

    def register(self, add: Add, callback: Callable[[Any], object], what: str, *, inline: bool) -> Callable[[], None]:
        """Register a handler through `add`, inline or queued; what it returns ends it, from any thread."""
        if inline:
            return self._anywhere(self.run(lambda: add(callback), what))
        post = self.dispatcher.post

        def queue(publish: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda event: post(lambda: publish(event))

        return self._queue(what, callback, add, queue)

    def register_ticks(self, callback: Callable[[Tick], object], *, inline: bool) -> Callable[[], None]:
        """Register a handler of ticks; queued, it gets the newest of each instrument when it is slower than they."""
        if inline:
            return self._anywhere(self.run(lambda: self.client.on_tick(callback), "on_tick"))
        post = self.dispatcher.post_latest

        def queue(publish: Callable[[Tick], None]) -> Callable[[Batch], None]:
            def spread(batch: Batch) -> None:
                post((conflation_key(tick), lambda tick=tick: publish(tick)) for tick in batch)  # type: ignore[misc]

            return spread

        return self._queue("on_tick", callback, self.client.on_batch, queue)

    def _queue(
        self,
        what: str,
        callback: Callable[[Any], object],
        add: Add,
        make: Callable[[Callable[[Any], None]], Callable[[Any], None]],
    ) -> Callable[[], None]:
        """Add a callback to the queued ones of its kind; the first brings the feed from the I/O thread with it."""
        name = self.check(what)
        fanout = self._queued.get(what)
        if fanout is None:
            fanout = self._queued[what] = Fanout(f"queued {what}")
            fanout.measure(self._timing(what))
            self.dispatcher.start()
            feed = make(fanout.publish)
            remove = fanout.add(callback)
            self.io.run(lambda: add(feed), name)
            return remove
        return fanout.add(callback)

    def _timing(self, what: str) -> Timing:
        clock, metrics = self.client.session.runtime.clock, self.client.session.metrics
        age = metrics.frame_to_queued if what == "on_tick" else None
        return Timing(clock.mono_ns, clock.wall_ns, metrics.queued_handler, age)

    def _anywhere(self, remove: Callable[[], None]) -> Callable[[], None]:
        """Return what ends an inline handler, at once on the I/O thread and soon from any other."""
        return lambda: remove() if self.io.current else self.io.post(remove)

    @property
    def handler_errors(self) -> int:
        """How often queued handlers raised."""
        return sum(fanout.handler_errors for fanout in self._queued.values())

    # -- iterators ---------------------------------------------------------------------------------------------------

    def follow(self, add: Add, what: str, put: Callable[[Mailbox[Any], Any], object]) -> Following[Any]:
        """Return an iterator over what `put` makes of everything `add` calls back with, from now on.

        Nothing is kept once nobody holds the iterator any more.
        """
        box: Mailbox[Any] = Mailbox()
        ref = weakref.ref(box)
        ends: list[Callable[[], None]] = []

        def take(event: Any) -> None:
            found = ref()
            if found is not None and not found.closed:
                put(found, event)
            else:
                for end in ends:
                    end()

        self.run(lambda: ends.append(add(take)), what)
        self._boxes.add(box)
        return Following(box, lambda: self.check(what))

    def iterate(self, source: AsyncIterator[T], what: str) -> Pulling[T]:
        """Return a blocking iterator over an asynchronous one."""
        return Pulling(source, lambda make: self.call(make, what))

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the client, let queued handlers finish what waits, end iterators and waiting calls."""
        self.io.check(f"{self.name}: close")
        if self.closed:
            return
        self.closed = True
        self._forget_exit()
        try:
            self.io.call(self.client.close, f"{self.name}: close")
        finally:
            self.io.post(self._cancel_calls)
            for box in list(self._boxes):
                box.close()
            self.dispatcher.close()

    def _cancel_calls(self) -> None:
        for task in list(self._calls):
            task.cancel()
