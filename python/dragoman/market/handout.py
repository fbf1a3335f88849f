"""Market data of one account: pulled quotes, streamed batches, live books.

Streamed data is handed out in three ways. An *inline* handler gets each native `Batch` on the I/O loop: the fast path,
nothing is made per tick, and it must return at once. `ticks` makes a `Tick` value per record and conflates per
instrument and kind of record when the consumer is slower than the stream. `book` is live depth: what it says includes
the batch that a handler is looking at.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import replace

from dragoman._core import Batch, Book, Books, Handout, Tick, intern_instrument
from dragoman.checks import choice, seconds
from dragoman.errors import UsageError
from dragoman.market.master import InstrumentMaster
from dragoman.market.resync import Resync
from dragoman.market.rewrite import QuoteWriter
from dragoman.model import BookGap, Instrument, InstrumentType, Mode, Quote
from dragoman.plugin import Want
from dragoman.session.fanout import Fanout
from dragoman.session.session import AccountSession

Names = str | Instrument | Iterable[str | Instrument]

_ON_ITS_WAY_NS = 60_000_000_000
"""How long after an unsubscription its frames may still arrive; far beyond what any stream lives through silently."""


def conflation_key(tick: Tick) -> tuple[int, str]:
    """Return what ticks conflate by: the instrument, or the wire's key where it is bound to none, and the kind.

    A trade and a quote of one instrument say different things, so neither may stand for the other.
    """
    return (tick.instrument if tick.instrument >= 0 else -1 - tick.key, tick.kind)


class TickQueue(AsyncIterator[Tick]):
    """Ticks for one consumer: the newest of each instrument and kind; `MarketData.ticks` makes it.

    `conflated` counts those that gave way to newer ones.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, str], Tick] = {}
        self._ready = asyncio.Event()
        self._closed = False
        self.conflated = 0

    def put(self, batch: Batch) -> int:
        """Take a batch; an older tick still waiting gives way to the newer one. Return how many did."""
        waiting, before = self._waiting, self.conflated
        for tick in batch:
            key = conflation_key(tick)
            self.conflated += key in waiting
            waiting[key] = tick
        if waiting:
            self._ready.set()
        return self.conflated - before

    def close(self) -> None:
        """End once what waits has been read."""
        self._closed = True
        self._ready.set()

    async def aclose(self) -> None:
        """End at once."""
        self._waiting.clear()
        self.close()

    def __aiter__(self) -> TickQueue:
        return self

    async def __anext__(self) -> Tick:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        return self._waiting.pop(next(iter(self._waiting)))

    @property
    def closed(self) -> bool:
        return self._closed


class MarketData:
    """Quotes, ticks and books of one account.

    Attributes
    ----------
    on_batch : Handout
        Takes a decoded frame to books, inline handlers and queues; a book that a handler looks at knows the frame.
        Native, and Python is asked only while there is something for it to do: see `_rewire`.
    held : callable
        Returns the canonical ids whose streams others hang on, so that they are not unsubscribed.
    """

    def __init__(self, session: AccountSession, master: InstrumentMaster) -> None:
        self._session = session
        self._master = master
        self._wanted: dict[str, Want] = {}
        # Weak, so that an iterator nobody reads any more does not collect ticks for ever.
        self._tick_queues: list[weakref.ref[TickQueue]] = []
        # Handles whose depth was dropped: frames that were on their way already must not bring their books to life.
        self._depthless: set[int] = set()
        self._depthless_until_ns = 0
        self._closed = False
        self.batches: Fanout[Batch] = Fanout("batch")
        self.batches.changed = self._rewire
        self.books = Books()
        clock = session.runtime.clock
        self.on_batch = Handout(self.books, mono_ns=clock.mono_ns, wall_ns=clock.wall_ns, failed=self.batches.failed)
        self.gaps: Fanout[BookGap] = Fanout("book gap")
        self.resync = Resync(session, self.books, self._subscribe_again, self.gaps.publish)
        self.on_batch.broken = self.resync.check
        self._quotes = QuoteWriter()
        self.conflated = 0
        self.held: Callable[[], Collection[str]] = tuple
        self.apply: Callable[[Sequence[Want], Sequence[Want]], None] | None = None

    # -- pulled ------------------------------------------------------------------------------------------------------

    async def quotes(self, names: Names, mode: Mode | str = Mode.FULL, *, timeout_s: float = 10.0) -> dict[str, Quote]:
        """Return quotes by canonical id. An instrument the broker left out (expired, dead) is missing.

        Raises
        ------
        UsageError
            For an unknown instrument, naming the nearest. Zero bytes were sent.
        """
        instruments, timeout_s = self.resolve(names), seconds("timeout_s", timeout_s)
        adapter, ctx = self._session.adapter, self._session.ctx
        adapter.capabilities.require("quotes", adapter.name)
        mode = choice(Mode, "mode", mode)
        rows = await self._session.run(adapter.quotes(instruments, mode, ctx), timeout_s=timeout_s)
        return {
            row.instrument_id: replace(row, instrument=self._master.handle(self._master.resolve(row.instrument_id)))
            for row in rows
        }

    def resolve(self, names: Names) -> list[Instrument]:
        """Return the instruments behind one name or several."""
        return self._master.resolve_all(names)

    # -- streamed ----------------------------------------------------------------------------------------------------

    def subscribe(self, names: Names, mode: Mode | str = Mode.QUOTE) -> list[Instrument]:
        """Ask for instruments on the stream; asking again with another mode changes it.

        Raises
        ------
        UsageError
            Unknown instrument, a mode the broker lacks, more instruments than the sockets of a key carry, or a further
            socket is needed and other processes hold them all. Zero bytes were sent.
        """
        can, broker = self._session.adapter.capabilities, self._session.adapter.name
        mode = choice(Mode, "mode", mode)
        can.require_value("mode", mode, frozenset(can.modes), broker)
        instruments = self.resolve(names)
        changed = [
            Want(instrument, mode)
            for instrument in instruments
            if (had := self._wanted.get(instrument.instrument_id)) is None or had.mode is not mode
        ]
        followed = [want for want in changed if mode.has_depth]
        for want in followed:
            self.resync.follow(self._master.handle(want.instrument), want)
        try:
            self._apply(changed, ())
        except BaseException:
            for want in followed:
                if want.instrument.instrument_id not in self._wanted:
                    self.resync.forget(self._master.handle(want.instrument))
            raise
        for want in changed:
            handle = self._master.handle(want.instrument)
            had = self._wanted.get(want.instrument.instrument_id)
            self._wanted[want.instrument.instrument_id] = want
            if mode.has_depth:
                self._depthless.discard(handle)
            elif had is not None and had.mode.has_depth:
                self._no_depth(handle)
        self._rewire()
        return instruments

    def unsubscribe(self, names: Names) -> None:
        """Drop instruments from the stream; their books read stale from now on.

        Those that rules watch stay: cancel the rules first.
        """
        held = self.held()
        dropped = [
            want
            for instrument in self.resolve(names)
            if (want := self._wanted.get(instrument.instrument_id)) is not None and instrument.instrument_id not in held
        ]
        self._apply((), dropped)
        for want in dropped:
            if self._wanted.pop(want.instrument.instrument_id, None) is not None:
                self._no_depth(self._master.handle(want.instrument))
        self._rewire()

    def _no_depth(self, handle: int) -> None:
        self.resync.forget(handle)
        self._depthless.add(handle)
        self._depthless_until_ns = self._session.runtime.clock.mono_ns() + _ON_ITS_WAY_NS
        self.books.mark_stale(handle)

    def _subscribe_again(self, want: Want) -> None:
        if self.apply is not None and self._wanted.get(want.instrument.instrument_id) == want:
            self.apply((), (want,))
            self.apply((want,), ())

    @property
    def subscribed(self) -> dict[str, Mode]:
        return {name: want.mode for name, want in self._wanted.items()}

    def _apply(self, add: Sequence[Want], drop: Sequence[Want]) -> None:
        if self.apply is None:
            remedy = "connect again" if self._closed else "connect with streams=True"
            raise UsageError("the market stream is not open", remedy=remedy)
        if add or drop:
            self.apply(add, drop)

    def book(self, name: str | Instrument) -> Book:
        """Return the live book of an instrument; it fills once the instrument is subscribed with depth."""
        return self.books.book(self._master.handle(self._master.resolve(name)))

    def ticks(self) -> TickQueue:
        """Return an iterator over ticks of everything subscribed, from this call on.

        Where its consumer is slow it yields the newest of each instrument and kind of record; `conflated` counts those
        that gave way.
        """
        queue = TickQueue()
        if self._closed:
            queue.close()
        else:
            self._tick_queues.append(weakref.ref(queue))
            self._rewire()
        return queue

    # -- from the stream ---------------------------------------------------------------------------------------------

    @property
    def ticks_seen(self) -> int:
        return self.on_batch.ticks

    def _rewire(self) -> None:
        """Tell the native half what to call; called whenever that changes."""
        hand, timing = self.on_batch, self.batches.timing
        hand.handlers = self.batches.callbacks
        hand.took, hand.age = (None, None) if timing is None else (timing.took, timing.age)
        hand.aside = self._aside if self._depthless or self.batches.subscriptions else None
        hand.after = self._queue_ticks if self._tick_queues else None

    def _aside(self, batch: Batch) -> None:
        """Do what has its place between the books and the handlers."""
        if self._depthless:
            self._keep_stale(batch)
        self.batches.queue(batch)
        self._rewire()

    def _queue_ticks(self, batch: Batch) -> None:
        for queue in self._live_queues():
            self.conflated += queue.put(batch)
        if not self._tick_queues:
            self._rewire()

    def _keep_stale(self, batch: Batch) -> None:
        cursor = batch.cursor()
        for row in cursor:
            if row.instrument in self._depthless:
                self.books.mark_stale(row.instrument)
        cursor.close()
        if self._session.runtime.clock.mono_ns() > self._depthless_until_ns:
            self._depthless.clear()

    def _live_queues(self) -> list[TickQueue]:
        held = [(ref, queue) for ref in self._tick_queues if (queue := ref()) is not None and not queue.closed]
        if len(held) != len(self._tick_queues):
            self._tick_queues = [ref for ref, _ in held]
        return [queue for _, queue in held]

    def on_quote(self, quote: Quote) -> None:
        """Take a quote that a feed read in Python: from here on it is a batch of one record, like any other."""
        if self._closed:
            return
        instrument = self._master.get(quote.instrument_id)
        handle = self._master.handle(instrument) if instrument is not None else intern_instrument(quote.instrument_id)
        depth = instrument is None or instrument.instrument_type is not InstrumentType.INDEX
        now = self._session.runtime.clock.wall_ns()
        self.on_batch(self._quotes.batch(quote, handle, now, depth=depth))

    def on_gap(self, wants: Iterable[Want]) -> None:
        """Their stream is gone or left something out: no book of theirs is to be believed until it has a snapshot."""
        for want in wants:
            handle = self._master.handle(want.instrument)
            self.resync.interrupt(handle)
            self.books.mark_stale(handle)

    def on_ready(self, wants: Iterable[Want]) -> None:
        """Their stream stands."""
        for want in wants:
            self.resync.expect(self._master.handle(want.instrument))

    def close(self) -> None:
        """End all iterators; every book reads stale."""
        self._closed = self.on_batch.closed = True
        self.apply = None
        self.books.mark_stale()
        self.resync.close()
        self.gaps.close()
        self.batches.close()
        for queue in self._live_queues():
            queue.close()
