"""What transports promise: bytes out, bytes in, and the exact difference between NOT_SENT and MAYBE_SENT.

A request is NOT_SENT only where it is proven that none of its bytes reached the kernel's socket: the address did not
resolve, the connection or TLS handshake failed, the deadline passed while waiting for a connection. From the first
write on it is MAYBE_SENT, on a fresh connection and on a reused one alike: a kept-alive connection that dies under a
request may have delivered it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from dragoman.plugin import Reply


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go: scheme, host, port."""

    scheme: str  # http, https, ws, wss
    host: str
    port: int

    @property
    def tls(self) -> bool:
        return self.scheme in ("https", "wss")

    @property
    def authority(self) -> str:
        """Host header value: the port only where it is not the scheme's own."""
        default = {"http": 80, "ws": 80, "https": 443, "wss": 443}[self.scheme]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == default else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request in its final bytes. `target` is path and query as they stand in the request line.

    `head` is what the encoder of its origin has made of all but the body, and kept here: a copy with another body, to
    the same origin, needs it no more.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    head: bytes = field(default=b"", compare=False, repr=False)

    def __repr__(self) -> str:
        return f"WireRequest({self.method} {self.target.split('?')[0]!r}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """Every choice of the HTTP client in one place.

    Attributes
    ----------
    connect_timeout_s : float
        Resolve, connect, proxy CONNECT and TLS together.
    idle_timeout_s : float
        A connection unused this long is closed, not reused: shorter than servers' own idle limits, because a reused
        connection that dies is MAYBE_SENT.
    max_header_bytes, max_body_bytes : int
        Larger replies are an unknown outcome (BAD_RESPONSE); after gzip the same cap holds, so a bomb stops at it.
        `Download` bodies are not capped, they are not kept.
    source_address : str or None
        Local address to bind: brokers accept orders from the registered one only.
    proxy : str or None
        ``http://host:port`` of a proxy that is asked to CONNECT; TLS stays end to end.
    """

    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 30.0
    max_connections: int = 16
    max_header_bytes: int = 64 * 1024
    max_body_bytes: int = 32 * 1024 * 1024
    source_address: str | None = None
    proxy: str | None = None
    user_agent: str = "dragoman"


@dataclass(frozen=True, slots=True, kw_only=True)
class WsOptions:
    """Every choice of the WebSocket client in one table; the in-memory twin obeys the same one.

    Attributes
    ----------
    handshake_timeout_s : float
        Connect, TLS and upgrade together.
    max_redirects : int
        0, and nothing else is accepted: following one would hand the credentials to another host.
    max_frame_bytes, max_message_bytes : int
        A longer frame, or fragments that add up to more, close the connection with 1009.
    ping_interval_s, ping_timeout_s : float
        Our own pings (0: none); no pong in time closes with 1011.
    auto_pong : bool
        Server pings are answered at once.
    close_timeout_s : float
        Longest wait for the peer's close frame.
    max_buffered_bytes : int
        What a peer that does not read may leave in our send buffer, beyond the kernel's; more closes with 1008.
    read_buffer_bytes : int
        First size of the receive buffer; it grows with the frames.
    compression : bool
        False, and nothing else is accepted: no broker we know needs it and it costs a copy a frame.
    """

    handshake_timeout_s: float = 10.0
    max_redirects: int = 0
    max_frame_bytes: int = 8 * 1024 * 1024
    max_message_bytes: int = 16 * 1024 * 1024
    ping_interval_s: float = 0.0
    ping_timeout_s: float = 10.0
    auto_pong: bool = True
    close_timeout_s: float = 2.0
    max_buffered_bytes: int = 4 * 1024 * 1024
    read_buffer_bytes: int = 64 * 1024
    compression: bool = False
    source_address: str | None = None
    proxy: str | None = None
    user_agent: str = "dragoman"


class WsHandler(Protocol):
    """Where a connection's messages go. An exception from any of these is caught, counted and reported, and the
    connection lives on."""

    def on_binary(self, data: bytes | memoryview, ts_recv: int) -> None:
        """Take a whole binary message. `data` is valid during the call only: copy what is kept."""
        ...

    def on_text(self, data: str, ts_recv: int) -> None:
        """Take a whole text message; invalid UTF-8 closes with 1007 before it gets here."""
        ...

    def on_pong(self, ts_recv: int) -> None: ...

    def on_closed(self, code: int, reason: str) -> None:
        """The connection is over, once, however it ended: with our code where we gave it up (1002, 1007, 1008, 1009,
        1011), else with the peer's (1005 where its close frame has none), 1006 where no close frame came."""
        ...


class WebSocket(Protocol):
    """An open connection. Sending never blocks; a peer that does not read closes it at a buffered cap. Sending on one
    that is closed or closing raises NotSent."""

    def send_text(self, data: str) -> None: ...

    def send_binary(self, data: bytes) -> None: ...

    def ping(self) -> None: ...

    @property
    def open(self) -> bool: ...

    @property
    def handler_errors(self) -> int: ...

    async def close(self, code: int = 1000) -> None:
        """Close; returns within `close_timeout_s` on a dead peer too."""
        ...


class HandshakeRefusedError(Exception):
    """The server answered the upgrade with something else than 101. Carries the whole reply, for `classify`."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"the server answered {reply.status} instead of upgrading")
        self.reply = reply


Prepare = Callable[[], WireRequest]
"""Called once the connection stands, immediately before the write: signing happens here, so that time and nonce are
fresh and leave in order. What it raises means NOT_SENT."""


OnEnd = Callable[["Reply | Exception"], object]
"""Called once, on the loop, with the whole reply or the error `HttpTransport.send` would raise. It must not raise."""


class Line(Protocol):
    """A warm connection that was taken: it waits for one request."""

    def carry(self, request: WireRequest, on_end: OnEnd, timeout_s: float) -> None:
        """Write a request in the step in which the line was taken: what was signed for it is fresh.

        Where this raises, nothing was sent and the line is free again.
        """
        ...

    def release(self) -> None:
        """Give it back unused."""
        ...

    def abandon(self) -> None:
        """Close it; a request under way ends as on a lost connection."""
        ...


class HttpTransport(Protocol):
    """An HTTP/1.1 client over a warm pool. It retries nothing and follows no redirect."""

    def take(self, origin: Origin) -> Line | None:
        """Return a connection that is ready now, or None where `send` would have to wait for one."""
        ...

    async def send(self, origin: Origin, prepare: Prepare, *, timeout_s: float) -> Reply:
        """Send one request and return the whole reply.

        Raises
        ------
        NotSent
            Proven; see the module's text.
        OutcomeUnknown
            Kind MAYBE_SENT (connection lost), TIMEOUT, or BAD_RESPONSE (not HTTP, over a cap, bad gzip).
        """
        ...

    async def download(
        self, origin: Origin, prepare: Prepare, sink: Callable[[bytes], None], *, timeout_s: float
    ) -> Reply:
        """Like `send`, handing the decoded body of a 2xx reply to `sink` as it comes, under back-pressure; `timeout_s`
        bounds each silence, not the whole. Replies of other statuses come back whole."""
        ...

    async def warm(self, origin: Origin, connections: int = 1) -> None:
        """Open connections ahead of need."""
        ...

    async def close(self) -> None:
        """Close all connections; requests in flight end as they would on a lost connection."""
        ...
