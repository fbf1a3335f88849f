"""Market data of one account: pulled quotes, streamed batches, live books.

Streamed data is handed out in three ways. An *inline* handler gets each native `Batch` on the I/O loop: the fast path,
nothing is made per tick, and it must return at once. `ticks` makes a `Tick` value per record and conflates per
instrument when the consumer is slower than the stream. `book` is live depth, updated before any handler runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace

from dragoman._core import Batch, Book, Books, Tick
from dragoman.errors import UsageError
from dragoman.market.master import InstrumentMaster
from dragoman.model import Instrument, Mode, Quote
from dragoman.plugin import Want
from dragoman.session.fanout import Fanout
from dragoman.session.session import AccountSession

Names = str | Instrument | Iterable[str | Instrument]


class TickQueue:
    """Ticks waiting for one consumer: the newest of each instrument, and how many it replaced."""

    def __init__(self) -> None:
        self._waiting: dict[int, Tick] = {}
        self._ready = asyncio.Event()
        self._closed = False
        self.conflated = 0

    def put(self, batch: Batch) -> None:
        """Take a batch; an older tick still waiting gives way to the newer one."""
        waiting = self._waiting
        for tick in batch:
            key = tick.instrument if tick.instrument >= 0 else -1 - tick.key
            self.conflated += key in waiting
            waiting[key] = tick
        if waiting:
            self._ready.set()

    def close(self) -> None:
        self._closed = True
        self._ready.set()

    async def drain(self) -> AsyncIterator[Tick]:
        """Yield ticks until closed."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            waiting, self._waiting = self._waiting, {}
            for tick in waiting.values():
                yield tick
            if self._closed and not self._waiting:
                return


class MarketData:
    """Quotes, ticks and books of one account."""

    def __init__(self, session: AccountSession, master: InstrumentMaster) -> None:
        self._session = session
        self._master = master
        self._wanted: dict[str, Want] = {}
        self._tick_queues: list[TickQueue] = []
        self.batches: Fanout[Batch] = Fanout("batch")
        self.books = Books()
        self.ticks_seen = 0
        self.apply: Callable[[Sequence[Want], Sequence[Want]], None] | None = None

    # -- pulled ------------------------------------------------------------------------------------------------------

    async def quotes(self, names: Names, mode: Mode = Mode.FULL, *, timeout_s: float = 10.0) -> dict[str, Quote]:
        """Return quotes by canonical id. An instrument the broker left out (expired, dead) is missing.

        Raises
        ------
        UsageError
            For an unknown instrument, naming the nearest. Zero bytes were sent.
        """
        instruments = self.resolve(names)
        adapter, ctx = self._session.adapter, self._session.ctx
        adapter.capabilities.require("quotes", adapter.name)
        rows = await self._session.run(adapter.quotes(instruments, Mode(mode), ctx), timeout_s=timeout_s)
        return {
            row.instrument_id: replace(row, instrument=self._master.handle(self._master.resolve(row.instrument_id)))
            for row in rows
        }

    def resolve(self, names: Names) -> list[Instrument]:
        """Return the instruments behind one name or several."""
        if isinstance(names, (str, Instrument)):
            names = (names,)
        return [self._master.resolve(name) for name in names]

    # -- streamed ----------------------------------------------------------------------------------------------------

    def subscribe(self, names: Names, mode: Mode = Mode.QUOTE) -> list[Instrument]:
        """Ask for instruments on the stream; asking again with another mode changes it.

        Raises
        ------
        UsageError
            Unknown instrument, a mode the broker lacks, or more instruments than its sockets carry.
        """
        can, broker = self._session.adapter.capabilities, self._session.adapter.name
        mode = Mode(mode)
        can.require_value("mode", mode, frozenset(can.modes), broker)
        instruments = self.resolve(names)
        changed = [
            Want(instrument, mode)
            for instrument in instruments
            if (had := self._wanted.get(instrument.instrument_id)) is None or had.mode is not mode
        ]
        total = len(self._wanted.keys() | {want.instrument.instrument_id for want in changed})
        if total > can.max_instruments_per_socket:
            raise UsageError(
                f"{broker}: {total} instruments, a socket carries {can.max_instruments_per_socket}",
                remedy="unsubscribe some first",
            )
        self._apply(changed, ())
        for want in changed:
            self._master.handle(want.instrument)
            self._wanted[want.instrument.instrument_id] = want
        return instruments

    def unsubscribe(self, names: Names) -> None:
        """Drop instruments from the stream; their books read stale from now on."""
        dropped = [want for i in self.resolve(names) if (want := self._wanted.pop(i.instrument_id, None)) is not None]
        self._apply((), dropped)
        for want in dropped:
            self.books.mark_stale(self._master.handle(want.instrument))

    @property
    def subscribed(self) -> dict[str, Mode]:
        return {name: want.mode for name, want in self._wanted.items()}

    def _apply(self, add: Sequence[Want], drop: Sequence[Want]) -> None:
        if self.apply is None:
            raise UsageError("the market stream is not open", remedy="connect with streams=True")
        if add or drop:
            self.apply(add, drop)

    def book(self, name: str | Instrument) -> Book:
        """Return the live book of an instrument; it fills once the instrument is subscribed with depth."""
        return self.books.book(self._master.handle(self._master.resolve(name)))

    async def ticks(self) -> AsyncIterator[Tick]:
        """Yield ticks of everything subscribed, the newest per instrument where the consumer is slow."""
        queue = TickQueue()
        self._tick_queues.append(queue)
        try:
            async for tick in queue.drain():
                yield tick
        finally:
            self._tick_queues.remove(queue)

    @property
    def conflated(self) -> int:
        """Ticks that gave way to a newer one before they were read."""
        return sum(queue.conflated for queue in self._tick_queues)

    # -- from the stream ---------------------------------------------------------------------------------------------

    def on_batch(self, batch: Batch) -> None:
        """Take a decoded frame: books first, then inline handlers, then queues."""
        self.ticks_seen += len(batch)
        self.books.apply(batch)
        self.batches.publish(batch)
        for queue in self._tick_queues:
            queue.put(batch)

    def on_gap(self) -> None:
        """The stream is gone: no book is to be believed until it has a new snapshot."""
        self.books.mark_stale()

    def close(self) -> None:
        self.batches.close()
        for queue in self._tick_queues:
            queue.close()
