"""Supervised streams: they connect, subscribe, notice silence, come back, and say what was missed.

After a loss two `Gap` events cover the time that was not seen: the first, at once, from the last frame to the moment
the loss was noticed, so that nobody acts on old data during the outage; the second, before the stream reads "ready"
again, from there to now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from dragoman.errors import AuthRequired, DragomanError, NotSent, UsageError
from dragoman.model import Gap, Notice, StreamState
from dragoman.plugin import Fatal, FeedEvent, Missed, Reply, Send, Want
from dragoman.session.backoff import Backoff
from dragoman.session.connection import FeedConnection, StreamCounters
from dragoman.session.opening import CONNECT_S, FatalError, open_connection, raise_fatal
from dragoman.session.secrets import forget_locals

if TYPE_CHECKING:
    from dragoman._core import Batch
    from dragoman.session.leases import SocketLease
    from dragoman.session.session import AccountSession

_NS: Final = 1_000_000_000
_HEALTHY_S: Final = 60.0
_LONGEST_WAIT_S: Final = 3600.0
_log = logging.getLogger("dragoman.streams")

StreamEvent = FeedEvent | StreamState | Gap
State = Literal["connecting", "ready", "stale", "waiting", "fatal", "closed"]


class Stream:
    """One socket of a feed, kept alive; a `dragoman.session.shards.ShardedStream` holds those of a kind.

    Parameters
    ----------
    session : AccountSession
    name : str
        The stream's, `Feed.stream`.
    shard : int
        Which of its sockets, from 1.
    on_batch : callable
        Takes each native `Batch` inline; it must return at once.
    on_event : callable
        Takes feed events, `StreamState` and `Gap`, inline.

    Attributes
    ----------
    wanted : dict of str to Want
        What is asked for, by canonical id; it survives reconnecting.
    state, error
        Of its life; `error` is what ended it for good.

    Notes
    -----
    A callback that raises is counted and reported as an event; it never ends the stream.
    """

    def __init__(
        self,
        session: AccountSession,
        name: str,
        shard: int,
        on_batch: Callable[[Batch], object],
        on_event: Callable[[StreamEvent], object],
    ) -> None:
        self.feed_class = session.adapter.feed_class(name)
        self.kind = self.feed_class.kind
        self.name = name
        self.shard = shard
        self._session = session
        self._runtime = session.runtime
        self._adapter = session.adapter
        self._batch_handler = on_batch
        self._event_handler = on_event
        self._backoff = Backoff(session.runtime.random.uniform)
        self.wanted: dict[str, Want] = {}
        self._lease: SocketLease | None = None
        self._ending: asyncio.Task[None] | None = None
        self._connection: FeedConnection | None = None
        self._live = False
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._missing_since_ns: int | None = None
        self._counters = StreamCounters()
        self._decoded: dict[str, int] = {}
        self._closing = False
        self.state: State = "closed"
        self.error: DragomanError | None = None

    def __repr__(self) -> str:
        return f"<Stream {self._adapter.name}/{self.name}#{self.shard} {self.state}, {len(self.wanted)} instruments>"

    # -- life --------------------------------------------------------------------------------------------------------

    def lease(self) -> None:
        """Make sure of the right to open a socket.

        Raises
        ------
        UsageError
            The account's processes hold all sockets the broker allows.
        """
        if self.feed_class.max_sockets is not None:
            return  # a count of its own, which the stream's shards keep
        if self._lease is None or not self._lease.held:
            self._lease = self._session.sockets.take(self._adapter.capabilities.max_sockets)

    def release(self) -> None:
        """Give that right back, unless the socket is in use."""
        if self._lease is not None and not self.open:
            self._lease.release()
            self._lease = None

    def begin(self) -> None:
        """Begin, and return at once; a stream that lives is left alone. Errors as `lease`."""
        if self.open:
            return
        self.lease()
        self._closing = False
        self.error = None
        self._settled.clear()
        self._backoff.reset()
        self._task = self._runtime.spawn(self._supervise(), name=f"{self._adapter.name} {self.name} stream")

    async def start(self, *, timeout_s: float = 15.0) -> None:
        """Begin, and wait until the stream is ready or `timeout_s` is over; then it goes on trying.

        Raises
        ------
        UsageError
            As `lease`.
        DragomanError
            What ended the stream for good: a dead token, an address the broker refuses.
        """
        self.begin()
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            _log.warning("%s %s stream is not ready after %g s and goes on trying", *self._label, timeout_s)
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        """End the stream; bounded, also with a dead peer. It may begin again, also while it still closes."""
        self._closing = True
        task, self._task = self._task, None
        try:
            if task is not None and not task.done():
                self._ending = task
                task.cancel()
                await asyncio.wait((task,))
        finally:
            self.release()
        if not self.open and self.state not in ("closed", "fatal"):
            self._enter("closed", "closed by us")

    @property
    def open(self) -> bool:
        """Whether it has, or goes on trying to get, a connection."""
        return self._task is not None and not self._task.done()

    def loop_stalled(self, seconds: float, reason: str) -> None:
        """Give the connection up where our own loop stood still for longer than the broker's heartbeat.

        The broker may have dropped what we did not read, so the stream counts as gapped; a new connection heals it.
        """
        if self._live and self._connection is not None:
            self._connection.loop_stalled(seconds, reason)

    def distrust(self, reason: str) -> None:
        """Give the connection up although it looks sound: it left something out. A new one heals it."""
        if self._live and self._connection is not None:
            self._connection.end(reason)

    # -- what is wanted ----------------------------------------------------------------------------------------------

    def frames(self, add: Sequence[Want], drop: Sequence[Want]) -> Sequence[Send]:
        """Return what would have to be sent now for a change of `wanted`; what the feed raises leaves all as it is."""
        connection = self._connection
        if not self._live or connection is None or not (add or drop):
            return ()  # it will be asked for once the connection stands
        return connection.feed.want(add, drop, self._session.ctx)

    def change(self, add: Sequence[Want], drop: Sequence[Want], frames: Sequence[Send]) -> None:
        """Change what is wanted, and send the `frames` made for that."""
        for want in drop:
            self.wanted.pop(want.instrument.instrument_id, None)
        for want in add:
            self.wanted[want.instrument.instrument_id] = want
        connection = self._connection
        if self._live and connection is not None:
            # Dropped keys stay bound: their last ticks may still be on the way, and have a name.
            connection.bind(want.instrument for want in add)
            connection.send(frames)

    # -- requests over the socket ------------------------------------------------------------------------------------

    async def exchange(self, correlation: str, make: Callable[[], str | bytes], timeout_s: float) -> Reply:
        """Send a request over this stream's socket; see `FeedConnection.exchange`."""
        if not self._live or self._connection is None:
            raise NotSent(
                f"{self._adapter.name}: the {self.name} stream is {self.state}",
                broker=self._adapter.name,
                remedy="wait until it is ready",
            )
        return await self._connection.exchange(correlation, make, timeout_s)

    # -- supervision -------------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        try:
            await self._live_on()
        finally:
            # Over for good, not closed: others may have the socket. After `close` it may be another task's already.
            if self._task is asyncio.current_task() and self._lease is not None:
                self._lease.release()

    async def _live_on(self) -> None:
        if self._ending is not None:
            await asyncio.wait((self._ending,))
            self._ending = None
        while not self._closing:
            self._enter("connecting", "")
            generation = self._session.ctx.generation
            try:
                reason, delay = await self._once(), 0.0
            except (FatalError, AuthRequired, UsageError) as raised:
                error = raised.error if isinstance(raised, FatalError) else raised
                if not isinstance(error, AuthRequired) or self._session.ctx.generation == generation:
                    self._fail(error)
                    return
                reason, delay = str(error), 0.0  # said of a login that another has taken the place of meanwhile
            except DragomanError as error:
                reason, delay = str(error), min(error.retry_after_s or 0.0, _LONGEST_WAIT_S)
            except Exception as error:  # noqa: BLE001 - third-party code; it is logged and ends the stream
                _log.exception("%s %s stream: the feed raised", *self._label)
                self._fail(UsageError(f"{self._adapter.name}: the feed raised {error!r}", broker=self._adapter.name))
                return
            delay = max(self._backoff.next(), delay)
            self._enter("waiting", reason)
            await self._runtime.sleep(delay)

    async def _once(self) -> str:
        """Live through one connection and return why it ended."""
        connection = self._session.connection_class(
            self._runtime,
            self._adapter,
            self.feed_class(),
            self._session.ctx,
            self._counters,
            self._batch_handler,
            self._batch_failed,
            self._on_feed_event,
        )
        self._connection = connection
        began: int | None = None
        try:
            await open_connection(self._session, self.name, connection)
            began = self._runtime.clock.mono_ns()
            self._welcome(connection)
            watch = self._runtime.spawn(
                connection.watch(self._open_for_s),
                name=f"{self._adapter.name} {self.name} watchdog",
            )
            keep = self._runtime.spawn(
                self._keep_alive(connection), name=f"{self._adapter.name} {self.name} keep-alive"
            )
            try:
                reason = await connection.ended
            finally:
                watch.cancel()
                keep.cancel()
            self._lost(connection, reason)
            raise_fatal(self._session, connection)
            return reason
        finally:
            self._live = False
            if began is not None and self._runtime.clock.mono_ns() - began >= int(_HEALTHY_S * _NS):
                self._backoff.reset()
            for name, count in connection.decoder_counters.items():
                if name != "blocks_held":  # what a decoder holds now, not what it counted
                    self._decoded[name] = self._decoded.get(name, 0) + count
            self._connection = None
            await connection.close()

    def _open_for_s(self) -> float | None:
        """Return for how long the markets of what is wanted have been open; None where nothing is expected."""
        exchanges = {want.instrument.exchange for want in self.wanted.values()}
        return self._session.calendar.open_for_s(exchanges, continuous=True) if exchanges else None

    async def _keep_alive(self, connection: FeedConnection) -> None:
        """Prolong what the connection lives on, as often as its feed says."""
        feed, session = connection.feed, self._session
        while feed.keep_alive_s > 0:
            await self._runtime.sleep(feed.keep_alive_s)
            try:
                await session.driver.run(feed.keep_alive(session.ctx), timeout_s=CONNECT_S)
            except DragomanError as error:
                connection.end(f"it could not be kept alive: {error}")
                return

    def _welcome(self, connection: FeedConnection) -> None:
        """Say what was missed, subscribe everything wanted, then read "ready"."""
        if self._missing_since_ns is not None:
            self._counters.reconnects += 1
            start, self._missing_since_ns = self._missing_since_ns, None
            self._gap(start, self._runtime.clock.wall_ns(), "reconnected")
        wants = list(self.wanted.values())
        if wants:
            connection.bind(want.instrument for want in wants)
            connection.send(connection.feed.want(wants, (), self._session.ctx))
        self._live = True
        self._enter("ready", "")
        self._settled.set()

    def _lost(self, connection: FeedConnection, reason: str) -> None:
        self._live = False
        now = self._runtime.clock.wall_ns()
        self._missing_since_ns = now
        self._enter("stale", reason)
        self._gap(min(connection.intake.last_frame_wall_ns, now), now, reason)

    def _gap(self, start_ns: int, end_ns: int, reason: str) -> None:
        self._counters.gaps += 1
        self._on_event(Gap(self.name, start_ns, end_ns, reason, self.shard))

    def _on_feed_event(self, event: FeedEvent) -> None:
        if not isinstance(event, Missed):
            self._on_event(event)
            return
        now, connection = self._runtime.clock.wall_ns(), self._connection
        seen = event.since_ns
        if seen is None:
            seen = now if connection is None else connection.intake.frame_before_wall_ns
        self._gap(min(seen, now), now, event.reason)

    def _fail(self, error: DragomanError) -> None:
        forget_locals(error)  # an address may carry the token
        self.error = error
        self._on_event(Fatal(error))
        self._enter("fatal", str(error))
        self._settled.set()

    # -- to the caller -----------------------------------------------------------------------------------------------

    def _enter(self, state: State, reason: str) -> None:
        self.state = state
        now = self._runtime.clock.wall_ns()
        self._on_event(StreamState(self.name, state, reason, self._backoff.attempt, now, self.shard))

    def _batch_failed(self, error: Exception) -> None:
        count = self._handler_failed("batch", self._batch_handler, error)
        if count is not None:
            self._on_event(Notice("error", f"the batch handler raised ({count} so far): {error!r}"))

    def _on_event(self, event: StreamEvent) -> None:
        try:
            self._event_handler(event)
        except Exception as error:  # noqa: BLE001 - the user's code; _handler_failed logs it
            self._handler_failed("event", self._event_handler, error)

    def _handler_failed(self, what: str, handler: Callable[..., object], error: Exception) -> int | None:
        """Count; log and return the count at the 1st, 10th, 100th, ... time: a handler may fail at every frame."""
        self._counters.handler_errors += 1
        count = self._counters.handler_errors
        if str(count).rstrip("0") != "1":
            return None
        name = getattr(handler, "__qualname__", type(handler).__name__)
        _log.error("%s %s stream: %s handler %s raised (%d so far)", *self._label, what, name, count, exc_info=error)
        return count

    @property
    def _label(self) -> tuple[str, str]:
        return self._adapter.name, self.name

    @property
    def ready(self) -> bool:
        return self._live

    @property
    def counters(self) -> dict[str, Any]:
        """What was counted over all connections; the decoder's own under ``decoder``, ages in seconds or None."""
        decoded = dict(self._decoded)
        if self._connection is not None:
            for name, count in self._connection.decoder_counters.items():
                decoded[name] = decoded.get(name, 0) + count
        counters, now = self._counters, self._runtime.clock.mono_ns()
        ages = {
            f"{what}_age_s": (now - last) / _NS if last else None
            for what, last in (("frame", counters.last_frame_ns), ("data", counters.last_data_ns))
        }
        return {
            **counters.counts(),
            **ages,
            "instruments": len(self.wanted),
            "ready": int(self._live),
            "decoder": decoded,
        }
