"""The broker's side of a protocol, as pure functions over a venue.

An emulator turns HTTP calls and socket messages into venue operations and venue events into replies and frames. It
owns no socket and no clock, so the same object runs in memory on the virtual clock and on loopback for real clients.
The host (`dragoman.emulator.host`) carries the bytes, the time and the faults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from dragoman.emulator.venue.recorded import RecordedMarket
from dragoman.emulator.venue.types import VenueFill, VenueProtocol

CONTRACT = 1


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A request as it arrived. Header names are lower case; `query` and `form` keep order and repeats.

    `raw_query` is the query as it stood in the request line, still encoded: what signatures are made over.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    peer: str = "127.0.0.1"
    raw_query: str = ""

    @property
    def form(self) -> tuple[tuple[str, str], ...]:
        from urllib.parse import parse_qsl

        return tuple(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Push:
    """A frame for one socket, or (``close_code``) the end of it."""

    socket: int
    data: str | bytes = b""
    close_code: int | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """A request the broker's side makes on its own: to a URL that the user registered, on loopback."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the host serves: what a client is pointed at."""

    rest: str
    ws: str
    login: str
    extra: Mapping[str, str] = field(default_factory=dict)


class Emulator:
    """Base of all emulators.

    Class attributes
    ----------------
    name : str
        The adapter's name.
    gzip : bool
        Whether the host compresses large replies for clients that accept it, as the broker does.
    subprotocols : tuple of str
        WebSocket subprotocols the broker takes; the host selects the first one a client offers.

    Attributes
    ----------
    credentials : mapping of str to str
        What a client needs; every secret starts with ``emu_``.
    """

    contract: ClassVar[int] = CONTRACT
    name: ClassVar[str]
    gzip: ClassVar[bool] = True
    subprotocols: ClassVar[tuple[str, ...]] = ()

    def __init__(self, venue: VenueProtocol, *, seed: int = 1) -> None:
        self.venue = venue
        self.credentials: Mapping[str, str] = {}

    def roots(self, base_http: str, base_ws: str) -> Roots:
        """Say what clients are pointed at, given where the host listens."""
        raise TypeError(f"{type(self).__name__} does not define roots")

    def handle(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Answer one HTTP call."""
        raise TypeError(f"{type(self).__name__} does not define handle")

    def open_socket(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        """Accept an upgrade (None) or refuse it with an answer."""
        raise TypeError(f"{type(self).__name__} does not define open_socket")

    def on_message(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        """Take a message from a client; return frames for any socket."""
        return ()

    def on_close(self, socket: int) -> None:
        """Forget a socket."""

    def poll(self, now_ns: int) -> Sequence[Push]:
        """Return the frames that became due: ticks, order updates, heartbeats. Asked for often; cheap when idle."""
        return ()

    def posts(self) -> Sequence[Post]:
        """Return the requests that became due to URLs of the user's (postbacks). Asked after each `poll`."""
        return ()

    def list_recorded(self, markets: Sequence[RecordedMarket]) -> None:
        """List what a recording names and the venue does not have; told before anybody connects.

        An emulator whose contracts need more than a recording tells (expiries, margins) lists none.
        """

    def expire_tokens(self) -> None:
        """End every session, as the broker does each morning: calls are refused until a new login. For faults."""
        raise TypeError(f"{type(self).__name__} does not define expire_tokens")

    def error_answer(self, status: int, call: HttpCall) -> HttpAnswer:
        """Answer `status` in the broker's own words, without processing the call. For faults."""
        return HttpAnswer(status, (("Content-Type", "text/plain"),), f"fault {status}".encode())

    def order_name(self, order_id: str) -> str:
        """Return the id under which the broker shows an order of the venue now."""
        return order_id

    def fill_name(self, fill: VenueFill) -> tuple[str, str]:
        """Return under which order id and which trade id an adapter shows a fill of the venue."""
        return fill.order_id, fill.trade_id

    def ledger(self) -> Mapping[str, Any]:
        """The venue's own truth about the emulated account: orders, fills, positions, money. For judges and demos."""
        return {}
