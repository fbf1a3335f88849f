"""The streams of a client: which are open, which carries what, and whether orders are followed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dragoman.errors import ErrorKind, UsageError
from dragoman.market import MarketData
from dragoman.plugin import Want
from dragoman.session.session import AccountSession
from dragoman.session.shards import ShardedStream


class ClientStreams:
    """The streams of one account, by name.

    Parameters
    ----------
    session : AccountSession
    market : MarketData
        Gets the batches, and asks for instruments.
    told : callable
        Gets whatever else the streams tell.
    """

    def __init__(self, session: AccountSession, market: MarketData, told: Callable[[Any], None]) -> None:
        self.open: dict[str, ShardedStream] = {}
        self.carrying_orders: tuple[str, ...] = ()
        self._session = session
        self._market = market
        self._told = told

    async def start(self) -> None:
        """Open the first market stream and all that carry orders; the others wait for an instrument."""
        feeds = [feed for feed in self._session.adapter.feeds if feed.enabled(self._session.ctx)]
        streams_orders = bool(self._session.adapter.capabilities.features["order_stream"])
        carrying = [feed for feed in feeds if feed.kind == "orders" or feed.carries_orders] if streams_orders else []
        self.carrying_orders = tuple(feed.stream() for feed in carrying)
        first = next((feed for feed in feeds if feed.kind == "market"), None)
        for feed in feeds:
            if feed.kind == "orders" and feed not in carrying:
                continue
            stream = self._session.stream(
                feed.stream(), self._market.on_batch, self._told, lazy=feed is not first and feed not in carrying
            )
            self.open[feed.stream()] = stream
            await stream.start()
        if first is not None:
            self._market.apply = self._apply

    def _apply(self, add: Sequence[Want], drop: Sequence[Want]) -> None:
        """Subscribe each instrument on the streams that serve it in its mode, and end it on those that do not."""
        streams = [stream for stream in self.open.values() if stream.kind != "orders"]
        adds: dict[str, list[Want]] = {stream.name: [] for stream in streams}
        drops = {stream.name: [want for want in drop if stream.carries(want)] for stream in streams}
        for want in add:
            serving: dict[str, str] = {}
            for stream in streams:
                if stream.kind not in serving and stream.feed_class.serves(want.instrument, want.mode):
                    serving[stream.kind] = stream.name
                    adds[stream.name].append(want)
                elif stream.carries(want):
                    drops[stream.name].append(want)
            if not serving:
                broker = self._session.adapter.name
                raise UsageError(
                    f"{broker}: no stream carries {want.instrument.instrument_id} in mode {want.mode}",
                    kind=ErrorKind.NOT_SUPPORTED,
                    broker=broker,
                    remedy="another mode may be streamed; nothing was sent",
                )
        for stream in streams:
            stream.check_room(adds[stream.name])
        for stream in streams:
            if adds[stream.name]:
                stream.subscribe(adds[stream.name])
            if drops[stream.name]:
                stream.unsubscribe(drops[stream.name])

    def following(self) -> bool:
        """Whether every stream that carries orders stands."""
        return all(name in self.open and self.open[name].primary.ready for name in self.carrying_orders)

    def delivers(self, instrument_id: str) -> bool:
        """Whether the socket that carries an instrument stands."""
        return any(stream.delivers(instrument_id) for stream in self.open.values() if stream.kind != "orders")

    def distrust(self, reason: str) -> None:
        """Begin the order streams anew: they left something out, and nobody knows what else."""
        for name in self.carrying_orders:
            self.open[name].primary.distrust(reason)
