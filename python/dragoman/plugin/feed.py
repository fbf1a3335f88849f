"""The per-connection object of an adapter: what to send, and what control frames mean.

A feed is made by the session for each connection and dropped with it, so whatever a connection must remember lives here
or in its native `Decoder`. Data frames never reach Python: the layouts decode them. A feed does no I/O outside
`connect`, which is a flow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

from dragoman.errors import DragomanError
from dragoman.model import Fill, Instrument, Margin, Mode, Notice, Order, Quote
from dragoman.plugin.context import Context
from dragoman.plugin.effects import Flow, Pairs, Reply
from dragoman.plugin.sync import BookSync

if TYPE_CHECKING:
    from dragoman._core import Layout


class StreamLayouts(Protocol):
    """The described messages of a stream, of whatever engine: `PackedStream`, `JsonStream` and their kind."""

    def compile(self) -> Layout:
        """Return the compiled layout, the same object at every call."""


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """Where to connect. The URL may carry tokens, so it is never shown."""

    url: str
    headers: Pairs = ()
    subprotocol: str | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.url.split('?')[0]!r})"


@dataclass(frozen=True, slots=True)
class Send:
    """One frame to send: text or bytes, after `delay_s` since the one before (the broker's pace)."""

    data: str | bytes
    delay_s: float = 0.0


def send_json(message: Any, delay_s: float = 0.0) -> Send:
    """Return the text frame of a message, without white space."""
    return Send(json.dumps(message, separators=(",", ":")), delay_s)


@dataclass(frozen=True, slots=True)
class OrderSeen:
    """The broker reported an order's state, and the fills it itemised with it."""

    order: Order
    fills: tuple[Fill, ...] = ()


@dataclass(frozen=True, slots=True)
class FillSeen:
    fill: Fill


@dataclass(frozen=True, slots=True)
class QuoteSeen:
    """Market data of a stream that no layout reads (text that is not decoded natively yet): whole, already merged.

    It reaches books, batch handlers and ticks as a native record does, under its quote's `instrument_id`.
    """

    quote: Quote


@dataclass(frozen=True, slots=True)
class MarginSeen:
    """The broker told, unasked, what money there is now: as much of one segment's margin as the message carries.

    What it leaves out stays as it was read last. Where it tells neither `net` nor `used.total`, say in `paid` what came
    in (or went out) beside trading since the message before: deposits, transfers, funding; `net` moves by that.

    Attributes
    ----------
    margin : Margin
        Of the time in `ts_event`; without one it is taken for the newest there is. Parts that are not told are None.
    paid : Decimal
    """

    margin: Margin
    paid: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Correlated:
    """The reply to a request that went over this socket."""

    correlation: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Ready:
    """The broker accepted the connection (some authenticate in-band): subscriptions may be sent."""


@dataclass(frozen=True, slots=True)
class Fatal:
    """The stream is over for a reason that reconnecting alone does not cure."""

    error: DragomanError


@dataclass(frozen=True, slots=True)
class Reconnect:
    """The connection is of no more use though it stands (its key ran out, the broker is about to close it)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Missed:
    """The feed saw that messages of its connection are missing: a number was left out, or the broker says so.

    What the connection carries counts as gapped from then on: its books read stale until a snapshot comes, orders until
    they were read again. The feed may ask for a snapshot itself, in `Control.send`. `since_ns` is the wall time up to
    which all was seen, where the feed knows it better than by the frame before.
    """

    reason: str
    since_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """A message of a kind nobody knows yet: counted, shown to whoever listens, never dropped silently."""

    kind: str
    data: Any = None


FeedEvent: TypeAlias = (
    OrderSeen | FillSeen | QuoteSeen | MarginSeen | Correlated | Ready | Fatal | Reconnect | Missed | Notice | Raw
)


@dataclass(frozen=True, slots=True)
class Control:
    """What a control frame, or the count of messages, led to.

    Attributes
    ----------
    send : sequence of Send
    events : sequence of FeedEvent
    distrust : sequence of int or bytes
        Wire keys whose messages are not read any more until they are in `trust`: they tell only what changed, and
        something that changed was missed.
    trust : sequence of int or bytes
        Keys whose messages begin anew: what comes from here on starts with all values.
    """

    send: Sequence[Send] = ()
    events: Sequence[FeedEvent] = ()
    distrust: Sequence[int | bytes] = ()
    trust: Sequence[int | bytes] = ()


@dataclass(frozen=True, slots=True)
class StallRule:
    """When a silent connection counts as dead.

    `any_frame_s`: no frame of any kind, heartbeats included. `data_s`: no data while the market is open and something
    is subscribed. `ping_s`: send a WebSocket ping this often (0: the broker wants none).
    """

    any_frame_s: float = 10.0
    data_s: float = 0.0
    ping_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Want:
    """One instrument to subscribe or drop, with the mode asked for."""

    instrument: Instrument
    mode: Mode = field(default=Mode.QUOTE)


class Feed:
    """Base of an adapter's feeds.

    Class attributes
    ----------------
    kind : "market", "depth" or "orders"
    name : str
        Of the stream, where a broker has several of a kind; otherwise the kind is its name.
    channel : "websocket", "http-stream" or "tcp"
        On ``http-stream`` each line of a chunked reply is one text frame.
    layouts : PackedStream, JsonStream or another described stream, or None
        The stream's messages; None where all are control. Text frames go to layouts that read text, and are control
        otherwise.
    host, path : str
        Where the stream is, for those whose address is a root of the environment and a fixed path; others define
        `connect`.
    authenticates_in_band : bool
        The session waits for `Ready` before it subscribes.
    carries_orders : bool
        Order updates arrive on this connection.
    max_instruments, max_sockets : int or None
        Of this stream, where they differ from the capabilities' ``max_instruments_per_socket`` and ``max_sockets``,
        which count all sockets of a key together. A `max_sockets` of its own is counted within a process.
    sync : BookSync
        How the depth of this stream proves that it is whole.
    keep_alive_s : float
        Run `keep_alive` this often while the connection stands; 0: never.
    """

    kind: ClassVar[Literal["market", "depth", "orders"]] = "market"
    name: ClassVar[str] = ""
    channel: ClassVar[Literal["websocket", "http-stream", "tcp"]] = "websocket"
    envelope: ClassVar[tuple[str, ...]] = ()
    layouts: ClassVar[StreamLayouts | None] = None
    host: ClassVar[str] = ""
    path: ClassVar[str] = ""
    stall: ClassVar[StallRule] = StallRule()
    authenticates_in_band: ClassVar[bool] = False
    carries_orders: ClassVar[bool] = False
    max_instruments: ClassVar[int | None] = None
    max_sockets: ClassVar[int | None] = None
    sync: ClassVar[BookSync] = BookSync()
    keep_alive_s: ClassVar[float] = 0.0

    @classmethod
    def stream(cls) -> str:
        """Return the name of the stream."""
        return cls.name or cls.kind

    @classmethod
    def enabled(cls, ctx: Context) -> bool:
        """Whether this account has the stream at all (a segment it does not trade has none)."""
        return True

    @classmethod
    def serves(cls, instrument: Instrument, mode: Mode) -> bool:
        """Whether this stream carries `instrument` in `mode`.

        An instrument is subscribed on the first market stream that serves it, and on the first depth stream that does.
        """
        return cls.kind == "market"

    def connect(self, ctx: Context) -> Flow[Endpoint]:
        """Find out where to connect; may fetch a single-use URL or a socket token first. Else `endpoint` says it."""
        yield from ()
        return self.endpoint(ctx)

    def endpoint(self, ctx: Context) -> Endpoint:
        """Return where to connect, where nobody has to be asked for it."""
        if not self.host:
            raise TypeError(f"{type(self).__name__} names no host and does not define connect")
        return Endpoint(ctx.hosts[self.host] + self.path)

    def keep_alive(self, ctx: Context) -> Flow[None]:
        """Prolong what the connection lives on (a key that runs out), by requests; a failure makes a new connection."""
        raise TypeError(f"{type(self).__name__} does not define keep_alive")

    def opened(self, ctx: Context) -> Sequence[Send]:
        """Return what to send right after the connection stands."""
        return ()

    def want(self, add: Sequence[Want], drop: Sequence[Want], ctx: Context) -> Sequence[Send]:
        """Return the frames that subscribe `add` and unsubscribe `drop`, in the broker's batch size and pace."""
        raise TypeError(f"{type(self).__name__} does not define want")

    def keys(self, instrument: Instrument) -> Sequence[int | bytes]:
        """Return the wire keys (ints) or topic names (bytes) by which this stream names `instrument`."""
        raise TypeError(f"{type(self).__name__} does not define keys")

    def tick(self, now_ns: int, ctx: Context) -> Sequence[Send]:
        """Return what the passing of time calls for (keep-alives); asked about once a second."""
        return ()

    def on_count(self, number: int, ctx: Context) -> Control:
        """Return what message `number` calls for; asked after each frame of a counting layout.

        An acknowledgement is `Control.send`; a number that was left out is `Missed`, and where the messages tell only
        changes, `Control.distrust` of their keys.
        """
        return Control()

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        """Read a message that is not data: text as `str` where no layout reads the stream, otherwise its bytes.

        Any bytes give a result; a DragomanError is counted by the session.
        """
        return Control()
