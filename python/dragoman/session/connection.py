"""One connection of a feed: frames in, frames out, and whether it still lives."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Final

from dragoman._core import FrameCounts, Intake
from dragoman.errors import DragomanError, ErrorKind, NotSent, OutcomeUnknown, UsageError
from dragoman.model import Instrument, Notice
from dragoman.plugin import (
    Adapter,
    Context,
    Control,
    Correlated,
    Fatal,
    Feed,
    FeedEvent,
    Missed,
    QuoteSeen,
    Raw,
    Ready,
    Reconnect,
    Reply,
    Send,
)
from dragoman.runtime.base import Runtime
from dragoman.session.secrets import redact

if TYPE_CHECKING:
    from dragoman._core import Batch, Decoder
    from dragoman.transport.base import WebSocket

_NS: Final = 1_000_000_000
_TICK_NS: Final = _NS
_QUIET_TIMES: Final = 4
_LIVELY: Final = 10
_LIVELY_MOST: Final = 30


class StreamCounters(FrameCounts):
    """What one stream counted, over all its connections; what every frame counts is counted natively."""

    taps: ClassVar[bool] = True
    """Whether a wire may hand frames to `intake` past `on_binary`."""

    def __init__(self) -> None:
        self.connects = 0
        self.reconnects = 0
        self.stalls = 0
        self.control_errors = 0
        self.handler_errors = 0
        self.unknown_messages = 0
        self.gaps = 0

    def counts(self) -> dict[str, int]:
        """Return all counts by name."""
        return {"frames": self.frames, "bytes": self.bytes, "messages": self.messages, **vars(self)}


class _Quiet:
    """How long a stream is silent as a rule, while data are expected of it; looked at once a second.

    Only a stream that has been lively can be found dead by its silence: a snapshot after subscribing, or an instrument
    that trades now and then, promises nothing.
    """

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._longest_ns = 0
        self._lively = 0

    def look(self, last_data_ns: int) -> None:
        """Take note of when data came last."""
        if self._last_ns is not None and last_data_ns > self._last_ns:
            gap_ns = last_data_ns - self._last_ns
            self._longest_ns = max(self._longest_ns, gap_ns)
            self._lively = min(_LIVELY_MOST, max(0, self._lively - gap_ns // _NS + 1) + 1)
        self._last_ns = last_data_ns

    def pause(self) -> None:
        """Nothing is expected: the silence that begins here says nothing."""
        self._last_ns = None
        self._lively = 0

    def too_long(self, silent_ns: int, data_s: float) -> bool:
        """Whether a silence is too long, where the feed's rule says `data_s` at least."""
        return self._lively >= _LIVELY and silent_ns >= max(int(data_s * _NS), _QUIET_TIMES * self._longest_ns)


class FeedConnection:
    """The life of one connection, from the handshake to its end; a `dragoman.transport.base.WsHandler`.

    Parameters
    ----------
    runtime, adapter, feed, ctx
        `feed` and the native decoder are new for each connection: nothing old is merged into anything new.
    counters : StreamCounters
    on_batch : callable
        Called inline with each `Batch`; a native `Handout` is entered without Python.
    on_batch_error, on_event : callable
        Called inline; they must not raise. The first gets what `on_batch` raised.

    Attributes
    ----------
    intake : Intake
        Takes each frame natively: `on_binary` goes through it, and so may a wire, past `on_binary`.
    ended : Future of str
        Done, with the reason, once the connection is over or counts as dead.
    ready : asyncio.Event
        The broker accepted the connection in-band.
    fatal : DragomanError or None
        Why reconnecting would not help.
    generation : int
        The login it was opened under.
    """

    def __init__(
        self,
        runtime: Runtime,
        adapter: Adapter,
        feed: Feed,
        ctx: Context,
        counters: StreamCounters,
        on_batch: Callable[[Batch], object],
        on_batch_error: Callable[[Exception], None],
        on_event: Callable[[FeedEvent], None],
    ) -> None:
        self._runtime = runtime
        self._adapter = adapter
        self.feed = feed
        self._ctx = ctx
        self.counters = counters
        self._on_event = on_event
        self._mono_ns = runtime.clock.mono_ns
        self._decoder: Decoder | None = None
        self._counts = False
        self._reads_text = False
        if feed.layouts is not None:
            from dragoman._core import Decoder

            layout = feed.layouts.compile()
            self._decoder = Decoder(layout)
            self._counts = layout.counts_messages
            self._reads_text = layout.reads_text
        self._handles: dict[int | bytes, int] = {}
        self._distrusted: set[int | bytes] = set()
        self._ws: WebSocket | None = None
        self._outgoing: deque[Send] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._pending: dict[str, asyncio.Future[Reply]] = {}
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.ready = asyncio.Event()
        self.fatal: DragomanError | None = None
        self.generation = -1
        self.intake = Intake(
            self._decoder,
            counters,
            on_batch=on_batch,
            on_error=on_batch_error,
            beside=self._beside,
            mono_ns=runtime.clock.mono_ns,
            wall_ns=runtime.clock.wall_ns,
            numbered=self._counts,
        )

    # -- out ---------------------------------------------------------------------------------------------------------

    def attach(self, ws: WebSocket) -> None:
        """Take the open connection; frames queued so far leave."""
        self._ws = ws
        self.intake.last_frame_ns = self.intake.last_data_ns = self._mono_ns()
        self._flush()

    def send(self, frames: Iterable[Send]) -> None:
        """Send frames in order, each at the pace it asks for. Returns at once."""
        self._outgoing.extend(frames)
        self._flush()

    def _flush(self) -> None:
        """Send what may leave now; leave the rest to a task that keeps the pace."""
        if self._ws is None or self._sender is not None:
            return
        while self._outgoing and not self.ended.done():
            if self._outgoing[0].delay_s > 0:
                self._sender = self._runtime.spawn(self._paced(), name=f"{self._adapter.name} paced frames")
                return
            self._write(self._outgoing.popleft().data)

    async def _paced(self) -> None:
        while self._outgoing and not self.ended.done():
            if self._outgoing[0].delay_s > 0:
                await self._runtime.sleep(self._outgoing[0].delay_s)
            if not self.ended.done():
                self._write(self._outgoing.popleft().data)
        self._sender = None

    def _write(self, data: str | bytes) -> None:
        if self._ws is None or not self._ws.open:
            return  # what it asked for is asked again on the next connection
        if isinstance(data, str):
            self._ws.send_text(data)
        else:
            self._ws.send_binary(data)

    def bind(self, instruments: Iterable[Instrument]) -> None:
        """Tell the decoder what the wire keys of these instruments mean; before their first frame can come."""
        if self._decoder is None:
            return
        from dragoman._core import intern_instrument

        for instrument in instruments:
            handle = intern_instrument(instrument.instrument_id)
            for key in self.feed.keys(instrument):
                self._handles[key] = handle
                if key not in self._distrusted:
                    self._bind(self._decoder, key)

    async def exchange(self, correlation: str, make: Callable[[], str | bytes], timeout_s: float) -> Reply:
        """Send one request and wait for the message with its correlation id.

        Raises
        ------
        NotSent
            The connection does not stand.
        OutcomeUnknown
            It broke, or the time passed, after the request was written.
        """
        if self._ws is None or not self._ws.open or self.ended.done():
            raise NotSent(f"{self._adapter.name}: the stream is not connected", broker=self._adapter.name)
        if correlation in self._pending:
            raise UsageError(f"{self._adapter.name}: correlation id {correlation!r} is in use", remedy="use a new one")
        data = make()
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[correlation] = waiter
        try:
            self._write(data)
            async with asyncio.timeout(timeout_s):
                return await waiter
        except TimeoutError:
            raise OutcomeUnknown(
                f"{self._adapter.name}: no reply over the socket within {timeout_s:g} s",
                kind=ErrorKind.TIMEOUT,
                broker=self._adapter.name,
                remedy="look for it at the broker before acting",
            ) from None
        finally:
            del self._pending[correlation]

    # -- in (WsHandler) ----------------------------------------------------------------------------------------------

    def on_binary(self, data: bytes | memoryview, ts_recv: int) -> None:
        self.intake.take(data, ts_recv, self._mono_ns())

    def _beside(self, data: bytes | memoryview, batch: Batch | None, ts_recv: int) -> None:
        """Read what the decoder left of a frame, or all of it where there is no decoder."""
        if batch is None:
            self._control(bytes(data), ts_recv)
            return
        for start, end in batch.control:
            self._control(bytes(data[start:end]), ts_recv)
        # What could not be read was not received.
        if self._counts and not batch.errors and (decoder := self._decoder) is not None:
            self._ask("on_count", lambda: self._follow(self.feed.on_count(decoder.count, self._ctx)))

    def on_text(self, data: str, ts_recv: int) -> None:
        if self._decoder is not None and self._reads_text:
            self.on_binary(data.encode(), ts_recv)
            return
        if self.ended.done():
            return
        self._arrived(len(data), ts_recv)
        self._control(data, ts_recv)

    def on_pong(self, ts_recv: int) -> None:
        self.intake.last_frame_ns, self.intake.last_frame_wall_ns = self._mono_ns(), ts_recv

    def on_closed(self, code: int, reason: str) -> None:
        self.end(f"closed with {code}{f': {reason}' if reason else ''}")

    def _arrived(self, size: int, ts_recv: int) -> None:
        intake = self.intake
        intake.frame_before_wall_ns, intake.last_frame_wall_ns = intake.last_frame_wall_ns, ts_recv
        intake.last_frame_ns = self.counters.last_frame_ns = self._mono_ns()
        self.counters.frames += 1
        self.counters.bytes += size

    def _control(self, frame: str | bytes, ts_recv: int) -> None:
        self.counters.messages += 1
        try:
            if self._pending and (correlation := self._adapter.correlate(frame)) in self._pending:
                body = frame.encode() if isinstance(frame, str) else frame
                self._settle(str(correlation), Reply(200, {}, body, ts_recv))
                return
            control = self.feed.on_control(frame, self._ctx)
        except Exception as error:  # noqa: BLE001 - any bytes may come, and adapters are third-party code
            self.counters.control_errors += 1
            text = redact(f"{self._adapter.name}: a control message of {len(frame)} bytes cannot be read: {error}")
            self._on_event(Notice("error", text, code=type(error).__name__))
            if self.feed.kind == "orders" or self.feed.carries_orders:
                self._on_event(Missed("a message that may have been an order's could not be read"))
            return
        self._follow(control)

    def _follow(self, control: Control) -> None:
        self._believe(control)
        self.send(control.send)
        for event in control.events:
            self._seen(event)

    def _believe(self, control: Control) -> None:
        """Take the keys that are not to be believed from the decoder, and give back those that begin anew."""
        if (decoder := self._decoder) is None:
            return
        for key in control.distrust:
            self._distrusted.add(key)
            if isinstance(key, bytes):
                decoder.unbind_text(key)
            else:
                decoder.unbind(key)
        for key in control.trust:
            self._distrusted.discard(key)
            if key in self._handles:
                self._bind(decoder, key)

    def _bind(self, decoder: Decoder, key: int | bytes) -> None:
        if isinstance(key, bytes):
            decoder.bind_text(key, self._handles[key])
        else:
            decoder.bind(key, self._handles[key])

    def _seen(self, event: FeedEvent) -> None:
        match event:
            case Ready():
                self.ready.set()
            case QuoteSeen():
                self.intake.last_data_ns = self.counters.last_data_ns = self.intake.last_frame_ns
                self._on_event(event)
            case Fatal(error):
                self.fatal = error
                self.end(str(error))
            case Reconnect(reason):
                self.end(reason)
            case Correlated(correlation, reply) if correlation in self._pending:
                self._settle(correlation, reply)
            case Correlated(correlation):
                # Its caller has given up; what it says may still be news.
                self._on_event(Notice("warning", f"a late reply to {correlation}", raw=event))
            case Raw():
                self.counters.unknown_messages += 1
                self._on_event(event)
            case _:
                self._on_event(event)

    def _settle(self, correlation: str, reply: Reply) -> None:
        waiter = self._pending[correlation]
        if not waiter.done():
            waiter.set_result(reply)

    def _ask(self, what: str, act: Callable[[], object]) -> None:
        """Ask the feed; one that raises is counted and reported, and the stream lives on."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - third-party code
            self.counters.control_errors += 1
            text = redact(f"{self._adapter.name}: {what} of the feed raised {type(error).__name__}: {error}")
            self._on_event(Notice("error", text, code=type(error).__name__))

    # -- life --------------------------------------------------------------------------------------------------------

    async def watch(self, open_for_s: Callable[[], float | None]) -> None:
        """Tick the feed once a second and end the connection once it is silent for too long; returns when it ended.

        Data are missed only where they came before on this trading day: nothing comes on a holiday. And only after a
        silence several times as long as any before it: quiet instruments are no dead stream.

        Parameters
        ----------
        open_for_s : callable
            Returns for how long markets have been open of which data are expected; None where none are.
        """
        rule, intake = self.feed.stall, self.intake
        judged_from = ticked = self._mono_ns()
        quiet, began = _Quiet(), intake.last_data_ns
        while not self.ended.done():
            before = self._mono_ns()
            nap = _TICK_NS
            if rule.any_frame_s > 0:
                nap = min(nap, max(0, intake.last_frame_ns + int(rule.any_frame_s * _NS) - before) + 1_000_000)
            await self._runtime.sleep(nap / _NS)
            now = self._mono_ns()
            if intake.last_data_ns != began:
                self.counters.last_data_ns = intake.last_data_ns
            open_s = open_for_s() if rule.data_s > 0 else None
            if open_s is None or now - self.counters.last_data_ns > int(open_s * _NS):
                judged_from = now
                quiet.pause()
            else:
                quiet.look(intake.last_data_ns)
            lag_s = (now - before - nap) / _NS
            if lag_s > 1.0:
                if 0 < rule.any_frame_s < lag_s:
                    self.end(f"the I/O loop stood still for {lag_s:.1f} s, longer than the broker's heartbeat")
                # Frames may lie unread in the kernel: this silence was ours, so it is not held against the broker.
                intake.last_frame_ns = judged_from = now
            elif rule.any_frame_s > 0 and now - intake.last_frame_ns >= int(rule.any_frame_s * _NS):
                self.counters.stalls += 1
                self.end(f"no frame for {rule.any_frame_s:g} s")
            elif rule.data_s > 0 and quiet.too_long(silent := now - max(intake.last_data_ns, judged_from), rule.data_s):
                self.counters.stalls += 1
                self.end(f"no data for {silent / _NS:.0f} s in an open market")
            if now - ticked >= _TICK_NS and not self.ended.done():
                ticked = now
                self._ask("tick", lambda: self.send(self.feed.tick(self._ctx.now_ns, self._ctx)))

    def loop_stalled(self, seconds: float, reason: str) -> None:
        """End the connection if the loop stood still for longer than the broker's heartbeat."""
        if 0 < self.feed.stall.any_frame_s < seconds:
            self.end(f"{reason}, longer than the broker's heartbeat")

    def end(self, reason: str) -> None:
        """The connection is over; only the first reason counts."""
        self.intake.deaf = True
        if not self.ended.done():
            self.ended.set_result(reason)
        for waiter in self._pending.values():
            if not waiter.done():
                waiter.set_exception(
                    OutcomeUnknown(
                        f"{self._adapter.name}: the socket was lost while a request was on it",
                        broker=self._adapter.name,
                        remedy="look for it at the broker before acting",
                    )
                )

    async def close(self) -> None:
        """Close the socket; bounded by the transport's close timeout."""
        self.end("closed by us")
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None
        if self._ws is not None:
            await self._ws.close()

    @property
    def decoder_counters(self) -> dict[str, int]:
        return self._decoder.counters if self._decoder is not None else {}
