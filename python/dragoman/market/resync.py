"""Heals books that lost a message: fetches a snapshot, or subscribes again, and tells when each is whole.

The native books find the gaps and hold what comes meanwhile (`dragoman._core.Books`); here is what needs the network.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from dragoman._core import Batch, Books
from dragoman.errors import DragomanError
from dragoman.model import BookGap
from dragoman.plugin import BookSync, Want
from dragoman.session.backoff import Backoff
from dragoman.session.session import AccountSession

_AT_ONCE: Final = 4
_SNAPSHOT_S: Final = 10.0
_AGAIN_S: Final = 5.0
"""How long a stream may take to send the snapshot that a new subscription promises."""
_QUIET_S: Final = 2.0
"""How long a stream may be silent about a book before its snapshot is fetched unasked."""
_log = logging.getLogger("dragoman.market")


class Resync:
    """Keeps the books of one client whole, by each stream's `BookSync`.

    Parameters
    ----------
    session : AccountSession
    books : Books
    resubscribe : callable
        Drops an instrument from its stream and asks for it again.
    publish : callable
        Takes a `BookGap` when a book breaks and when it is whole again.
    """

    def __init__(
        self,
        session: AccountSession,
        books: Books,
        resubscribe: Callable[[Want], object],
        publish: Callable[[BookGap], object],
    ) -> None:
        self._session = session
        self._books = books
        self._resubscribe = resubscribe
        self._publish = publish
        self._followed: dict[int, tuple[Want, BookSync]] = {}
        self._healing: dict[int, asyncio.Task[None]] = {}
        self._expected: dict[int, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._gaps_seen = 0
        self.attempts = 0

    def follow(self, handle: int, want: Want) -> None:
        """Take up the sync rule of the stream that carries the instrument's depth."""
        sync = self._sync(want)
        self._followed[handle] = (want, sync)
        self._books.follow(handle, rule=sync.rule, hold=sync.hold)
        self.expect(handle)

    def expect(self, handle: int) -> None:
        """The stream begins: a quiet market may send no change for hours that would ask for the snapshot."""
        if handle in self._followed and self._followed[handle][1].hold and handle not in self._expected:
            task = self._session.runtime.spawn(self._unasked(handle), name=f"first snapshot of book {handle}")
            self._expected[handle] = task

    async def _unasked(self, handle: int) -> None:
        try:
            await self._session.runtime.sleep(_QUIET_S)
            if self._books.book(handle).stale:
                self._heal((handle,))
        finally:
            if self._expected.get(handle) is asyncio.current_task():
                del self._expected[handle]

    def forget(self, handle: int) -> None:
        """The instrument's depth is not subscribed any more: what is being fetched for it is dropped."""
        self._followed.pop(handle, None)
        self.interrupt(handle)

    def interrupt(self, handle: int) -> None:
        """The stream is gone: a snapshot that nothing follows must not make the book live."""
        for tasks in (self._healing, self._expected):
            if (task := tasks.pop(handle, None)) is not None:
                task.cancel()

    def _sync(self, want: Want) -> BookSync:
        adapter, ctx = self._session.adapter, self._session.ctx
        serving = {
            feed.kind: feed.sync
            for feed in reversed(adapter.feeds)
            if feed.kind != "orders" and feed.enabled(ctx) and feed.serves(want.instrument, want.mode)
        }
        return serving.get("depth") or serving.get("market") or BookSync()

    def check(self, batch: Batch) -> None:
        """Act on what the last batch broke; the native half calls it only then."""
        books = self._books
        if books.wanting:
            self._heal(books.take_wanting())
        if books.gaps != self._gaps_seen:
            self._gaps_seen = books.gaps
            self._heal(handle for handle in books.gapped if self._resubscribes(handle))

    def _resubscribes(self, handle: int) -> bool:
        found = self._followed.get(handle)
        return found is not None and found[1].resubscribe

    def _heal(self, handles: Iterable[int]) -> None:
        for handle in handles:
            if handle in self._followed and handle not in self._healing:
                task = self._session.runtime.spawn(self._healed(handle), name=f"snapshot for book {handle}")
                self._healing[handle] = task

    async def _healed(self, handle: int) -> None:
        book = self._books.book(handle)
        broken = book.broken_since
        if broken is not None:
            self._publish(BookGap(book.instrument_id, "broken", since_ns=broken, gaps=book.gaps))
        before, backoff, attempts = book.broken_ns, Backoff(self._session.runtime.random.uniform), 0
        try:
            while handle in self._followed:
                attempts += 1
                self.attempts += 1
                async with self._room:
                    whole = await self._attempt(handle)
                if whole:
                    lasted = book.broken_ns - before
                    event = BookGap(
                        book.instrument_id, "whole", since_ns=broken, gaps=book.gaps, duration_ns=lasted, tries=attempts
                    )
                    self._publish(event)
                    return
                await self._session.runtime.sleep(backoff.next())
        finally:
            if self._healing.get(handle) is asyncio.current_task():
                del self._healing[handle]

    async def _attempt(self, handle: int) -> bool:
        want, sync = self._followed[handle]
        if not sync.hold:
            self._resubscribe(want)
            await self._session.runtime.sleep(_AGAIN_S)
            return not self._books.book(handle).gapped
        adapter, ctx = self._session.adapter, self._session.ctx
        try:
            quote = await self._session.run(adapter.depth(want.instrument, ctx), timeout_s=_SNAPSHOT_S)
        except DragomanError as error:
            _log.warning("%s: no snapshot of %s: %s", adapter.name, want.instrument.instrument_id, error)
            return False
        if handle not in self._followed:
            return False
        return self._books.snapshot(
            handle,
            quote.bids,
            quote.asks,
            sequence=quote.sequence,
            ts_event=quote.ts_event,
            ts_recv=self._session.runtime.clock.wall_ns(),
        )

    def close(self) -> None:
        """Stop fetching."""
        self._followed.clear()
        for tasks in (self._healing, self._expected):
            for task in tasks.values():
                task.cancel()
            tasks.clear()
