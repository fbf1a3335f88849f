"""What a client offers of the market: instruments, quotes, streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable

from dragoman._core import Batch, Book, Tick
from dragoman.checks import function, seconds
from dragoman.client_parts import ClientParts
from dragoman.errors import ErrorKind, Rejected
from dragoman.model import Instrument, Mode, Quote
from dragoman.session.shards import ShardedStream


class MarketMethods(ClientParts):
    """Instruments, quotes and what is streamed; `MarketData` does the work."""

    def instrument(self, name: str | Instrument) -> Instrument:
        """Return an instrument by canonical id or ``EXCHANGE:BROKER_SYMBOL``; an unknown one names the nearest."""
        self._check("instrument")
        return self.instruments.resolve(name)

    async def quotes(
        self,
        names: str | Instrument | Iterable[str | Instrument],
        mode: Mode | str = Mode.FULL,
        *,
        timeout_s: float = 10.0,
    ) -> dict[str, Quote]:
        """Return quotes by canonical id; see `MarketData.quotes`."""
        self._check("quotes")
        return await self.market.quotes(names, mode, timeout_s=timeout_s)

    async def quote(self, name: str | Instrument, *, timeout_s: float = 10.0) -> Quote:
        """Return one full quote with depth."""
        self._check("quote")
        timeout_s = seconds("timeout_s", timeout_s)
        instrument = self.instruments.resolve(name)
        found = await self.market.quotes(instrument, Mode.FULL, timeout_s=timeout_s)
        if instrument.instrument_id not in found:
            raise Rejected(
                f"the broker has no quote of {instrument.instrument_id}",
                kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                broker=self.session.adapter.name,
                remedy="it may have expired or never traded",
            )
        return found[instrument.instrument_id]

    async def ltp(
        self, names: str | Instrument | Iterable[str | Instrument], *, timeout_s: float = 10.0
    ) -> dict[str, float | None]:
        """Return last prices by canonical id."""
        self._check("ltp")
        found = await self.market.quotes(names, Mode.LTP, timeout_s=timeout_s)
        return {name: quote.last_price for name, quote in found.items()}

    def subscribe(
        self, names: str | Instrument | Iterable[str | Instrument], mode: Mode | str = Mode.QUOTE
    ) -> list[Instrument]:
        """Stream instruments; see `MarketData.subscribe`."""
        self._check("subscribe")
        found = self.market.subscribe(names, mode)
        self._guard.follow(found)
        return found

    def unsubscribe(self, names: str | Instrument | Iterable[str | Instrument]) -> None:
        """Stop streaming instruments."""
        self._check("unsubscribe")
        self.market.unsubscribe(names)

    def on_batch(self, callback: Callable[[Batch], object]) -> Callable[[], None]:
        """Call back inline with each native batch: the fast path. It must return at once; returns what ends it."""
        self._check("on_batch")
        return self.market.batches.add(callback)

    def ticks(self) -> AsyncIterator[Tick]:
        """Yield ticks of everything subscribed, conflated per instrument and kind where the consumer is slow."""
        self._check("ticks")
        return self.market.ticks()

    def book(self, name: str | Instrument) -> Book:
        """Return the live book of an instrument."""
        self._check("book")
        return self.market.book(name)

    def on_tick(self, callback: Callable[[Tick], object]) -> Callable[[], None]:
        """Call back inline with each tick as a value. It must return at once; returns what ends it."""
        self._check("on_tick")
        function("callback", callback)

        def each_of(batch: Batch) -> None:
            for tick in batch:
                callback(tick)

        # So that a handler that raises is logged under its own name.
        each_of.__qualname__ = getattr(callback, "__qualname__", type(callback).__name__)
        return self.market.batches.add(each_of)

    @property
    def streams(self) -> dict[str, ShardedStream]:
        """The open streams by kind; `ShardedStream.shards` has the sockets of one."""
        self._check("streams")
        return dict(self._streams.open)
