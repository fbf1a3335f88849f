"""Records the frames of a client's streams, both ways, as they are on the wire but for secrets.

What is hidden: every credential and every secret of the login, in each spelling; where a stream logs in on its own
socket, all that is sent before the broker has accepted it; and every request that is answered over a socket, for such
frames may hold signatures. What order streams say of an account is not hidden: look before you hand a capture on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dragoman.model import Instrument, Quote
from dragoman.plugin import Adapter, Context, Flow, Reply
from dragoman.session.connection import FeedConnection
from dragoman.session.secrets import SHOWN, Secret, scrubber
from dragoman.testing.recording import Writer, instrument_row

if TYPE_CHECKING:
    from dragoman.session.session import AccountSession
    from dragoman.transport.base import WebSocket


class Capture:
    """Records one session, from before its streams start.

    Parameters
    ----------
    session : AccountSession
        Not started; its connections and its adapter's fetched books are watched from now on.
    write : callable
        Takes bytes, line by line.
    """

    def __init__(self, session: AccountSession, write: Callable[[bytes], object]) -> None:
        self._session = session
        self._generation = -1
        self._hide: Callable[[str], str] = scrubber(())
        self._sockets = 0
        self._wall_ns = session.runtime.clock.wall_ns
        self.writer = Writer(
            write,
            self._scrub,
            broker=session.adapter.name,
            environment=session.environment,
            began=self._wall_ns(),
        )
        session.connection_class = _recorded(self)

    def instruments(self, instruments: list[Instrument]) -> None:
        """Note what is subscribed."""
        for instrument in instruments:
            self.writer.instrument(self._wall_ns(), instrument_row(instrument))

    def next_socket(self) -> int:
        self._sockets += 1
        return self._sockets

    def fetched(self, instrument: Instrument, quote: Quote) -> None:
        """Note a book that was fetched."""
        self.writer.snapshot(self._wall_ns(), instrument.instrument_id, quote.sequence, quote.bids, quote.asks)

    def end(self) -> str:
        """Write the last line; return the content's hash."""
        return self.writer.end(self._wall_ns())

    def _scrub(self, text: str) -> str:
        ctx = self._session.ctx
        if ctx.generation != self._generation:
            self._generation = ctx.generation
            self._hide = scrubber(self._secrets())
        return self._hide(text)

    def _secrets(self) -> list[str]:
        ctx, secret = self._session.ctx, {one.name for one in self._session.adapter.credentials if one.secret}
        found = [ctx.credentials[name].reveal() for name in secret if name in ctx.credentials]
        return found + [value.reveal() for value in ctx.login.values() if isinstance(value, Secret)]


def _recorded(capture: Capture) -> type[FeedConnection]:
    """Return a connection that tells a capture what passes through it."""
    writer = capture.writer

    class Recorded(FeedConnection):
        taps = False  # every frame goes through `on_binary`, where it is written down

        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            self._name = self.feed.stream()
            self._number = capture.next_socket()
            self._told = False
            self._asked: str | bytes | None = None

        async def exchange(self, correlation: str, make: Callable[[], str | bytes], timeout_s: float) -> Reply:
            def made() -> str | bytes:
                self._asked = make()
                return self._asked

            return await super().exchange(correlation, made, timeout_s)

        def attach(self, ws: WebSocket) -> None:
            writer.opened(self._runtime.clock.wall_ns(), self._name, self._number)
            super().attach(ws)

        def _write(self, data: str | bytes) -> None:
            logs_in = self.feed.authenticates_in_band and not self.ready.is_set()
            hidden = logs_in or data is self._asked
            shown = SHOWN if hidden else data
            writer.frame(self._runtime.clock.wall_ns(), self._name, self._number, shown, sent=True)
            super()._write(data)

        def on_binary(self, data: bytes | memoryview, ts_recv: int) -> None:
            if not self._told:
                writer.frame(ts_recv, self._name, self._number, bytes(data), sent=False)
            super().on_binary(data, ts_recv)

        def on_text(self, data: str, ts_recv: int) -> None:
            writer.frame(ts_recv, self._name, self._number, data, sent=False)
            self._told = True  # where a layout reads text, it goes on as bytes
            try:
                super().on_text(data, ts_recv)
            finally:
                self._told = False

        def on_closed(self, code: int, reason: str) -> None:
            writer.closed(self._runtime.clock.wall_ns(), self._name, self._number, f"closed with {code} {reason}")
            super().on_closed(code, reason)

    return Recorded


def noting(adapter: Adapter, note: Callable[[Instrument, Quote], object]) -> Adapter:
    """Return the adapter, telling `note` of every book that is fetched."""
    cls: Any = type(adapter)

    class Noting(cls):  # type: ignore[misc]
        def depth(self, instrument: Instrument, ctx: Context) -> Flow[Quote]:
            quote: Quote = yield from super().depth(instrument, ctx)
            note(instrument, quote)
            return quote

    made: Adapter = Noting()
    return made
