"""Streams of an app whose sockets are opened with a live token, and whose clients ask in JSON.

What is asked and told is a broker's: `TokenSockets`. `EventSockets` are told of the account's events by kind,
`BookSockets` of books by place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from dragoman.emulator.app_emulator import AppSession
from dragoman.emulator.contract import HttpAnswer, HttpCall, Push
from dragoman.emulator.desks import StreamDesk, TableT
from dragoman.emulator.listeners import KindSocket
from dragoman.emulator.placed import PlacedSocket
from dragoman.emulator.topic_sockets import Sockets
from dragoman.emulator.venue.types import VenueProtocol

SocketT = TypeVar("SocketT", bound=Any)


class TokenSockets(StreamDesk[TableT], Generic[TableT, SocketT]):
    """Base of such a stream: all its sockets.

    Class attributes
    ----------------
    unread : str or bytes
        What a client hears of a message that is none.
    """

    unread: ClassVar[str | bytes]

    def __init__(self, venue: VenueProtocol, names: TableT, session: AppSession, pace_ns: int) -> None:
        super().__init__(venue, names, session)
        self.pace_ns = pace_ns
        self.sockets: Sockets[SocketT] = Sockets()

    # -- what a broker says ------------------------------------------------------------------------------------------

    def opened(self, token: str, now_ns: int) -> SocketT:
        """Return a new socket."""
        raise TypeError(f"{type(self).__name__} does not define opened")

    def heard(self, one: SocketT, message: Any) -> Iterable[str | bytes]:
        """Do what a client says, and return the answers. Raises KeyError, TypeError or ValueError for no message."""
        raise TypeError(f"{type(self).__name__} does not define heard")

    def due(self, now_ns: int) -> Iterable[Push]:
        """Return what became due."""
        raise TypeError(f"{type(self).__name__} does not define due")

    # -- the sockets' side -------------------------------------------------------------------------------------------

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        token = self.session.shown(call, now_ns)
        if token is None:
            return HttpAnswer(403)
        self.sockets[socket] = self.opened(token, now_ns)
        return None

    def close(self, socket: int) -> None:
        self.sockets.pop(socket, None)

    def hear(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        if socket not in self.sockets:
            return ()
        if data in ("ping", b"ping"):
            return (Push(socket, "pong"),)
        try:
            return [Push(socket, answer) for answer in self.heard(self.sockets[socket], json.loads(data))]
        except (ValueError, KeyError, TypeError, RecursionError):
            return (Push(socket, self.unread),)

    def poll(self, now_ns: int) -> Sequence[Push]:
        """Return what became due; sockets whose token died end (unverified: brokers may let them live)."""
        return [*self.sockets.end(self.dead(now_ns)), *self.due(now_ns)]


class EventSockets(TokenSockets[TableT, KindSocket]):
    """Sockets that are told of the account's events by kind."""

    def opened(self, token: str, now_ns: int) -> KindSocket:
        return KindSocket(token)

    def news(self) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """Return the kind and the message of everything that happened since the last call."""
        raise TypeError(f"{type(self).__name__} does not define news")

    def due(self, now_ns: int) -> Iterable[Push]:
        for kind, message in self.news():
            text = json.dumps(message)
            yield from (Push(socket, text) for socket, one in self.sockets.items() if kind in one.kinds)


class BookSockets(TokenSockets[TableT, PlacedSocket]):
    """Sockets that are told of books as differences by place.

    Class attributes
    ----------------
    most : int
        Books of a socket.
    unknown, full : str
        What a client hears of a book that is not told, with ``{}`` for what it asked for, and of one too many.
    """

    most: ClassVar[int]
    unknown: ClassVar[str]
    full: ClassVar[str]

    def offers(self, named: Any) -> bool:
        """Say whether the books of an instrument are told."""
        return True

    def subscribe(self, one: PlacedSocket, key: str, channel: str) -> str | None:
        """Tell a book from now on; return why not."""
        named = self.names.by_key.get(key)
        if named is None or not self.offers(named):
            return self.unknown.format(key)
        if len(one.symbols) >= self.most:
            return self.full
        one.subscribe(key, channel)
        return None

    def opened(self, token: str, now_ns: int) -> PlacedSocket:
        return PlacedSocket(token, now_ns)

    def difference(self, one: PlacedSocket, named: Any, now_ns: int) -> bytes:
        """Return how a book differs from what a socket was told of it before."""
        raise TypeError(f"{type(self).__name__} does not define difference")

    def due(self, now_ns: int) -> Iterable[Push]:
        keys = {self.names.by_token[token].key for token in self.changed()}
        for socket, one in self.sockets.items():
            for key in one.due(keys, now_ns, self.pace_ns):
                yield Push(socket, self.difference(one, self.names.by_key[key], now_ns))
