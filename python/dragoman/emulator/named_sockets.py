"""Sockets of named streams: each hears the streams it names, in its address or by request, every message once.

Requests are ``{"method": "SUBSCRIBE", "params": [names], "id": ...}``, answered with the id. Other sockets of the same
address, which call methods or hear their user's events, are let in by the broker (`NamedSockets.door`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dragoman.emulator.bodies import compact
from dragoman.emulator.contract import HttpAnswer, HttpCall, Push
from dragoman.emulator.socket_requests import NamedStreams, SignedSession, SocketRequest, read_request

MarketT = TypeVar("MarketT")


@dataclass(frozen=True, slots=True)
class StreamRoute(Generic[MarketT]):
    """What is heard at a path.

    Attributes
    ----------
    carries : callable
        Which streams; any other is taken, and silent.
    combined : bool
        Whether messages are wrapped with the name of their stream.
    """

    market: MarketT
    carries: Callable[[str], bool]
    combined: bool


@dataclass(slots=True)
class NamedSocket(Generic[MarketT]):
    """One socket. Without a `route` it hears no streams: it calls methods (`session`), or `key` lets it listen."""

    route: StreamRoute[MarketT] | None = None
    streams: NamedStreams = field(default_factory=NamedStreams)
    session: SignedSession = field(default_factory=SignedSession)
    key: str = ""


class NamedSockets(Generic[MarketT]):
    """Base of a broker's sockets.

    Parameters
    ----------
    routes : mapping of path to StreamRoute
    most : int
        Streams of a socket.
    pace_ns : int
        Least time between two rounds of messages.
    """

    def __init__(self, routes: Mapping[str, StreamRoute[MarketT]], most: int, pace_ns: int) -> None:
        self._routes, self._most, self._pace_ns = routes, most, pace_ns
        self._next_ns = 0
        self.sockets: dict[int, NamedSocket[MarketT]] = {}

    # -- what a broker says ------------------------------------------------------------------------------------------

    def door(self, call: HttpCall, name: str, now_ns: int) -> NamedSocket[MarketT] | HttpAnswer:
        """Let in a socket at a path of no streams, or refuse it; `name` is the last part of the path."""
        return HttpAnswer(404)

    def exists(self, market: MarketT, stream: str) -> bool:
        raise TypeError(f"{type(self).__name__} does not define exists")

    def first(self, market: MarketT, stream: str, now_ns: int) -> Any:
        """Return what a stream sends at once to whoever subscribes, None where it sends nothing."""
        raise TypeError(f"{type(self).__name__} does not define first")

    def messages(self, now_ns: int) -> Iterator[tuple[MarketT, str, Any]]:
        """Yield (market, stream, message) of everything that happened since the last call."""
        raise TypeError(f"{type(self).__name__} does not define messages")

    def events(self, now_ns: int) -> Iterator[Push]:
        """Yield what sockets without streams are told; asked for at every poll."""
        raise TypeError(f"{type(self).__name__} does not define events")

    def called(self, socket: NamedSocket[MarketT], request: SocketRequest, now_ns: int) -> dict[str, Any]:
        """Return the answer to a request on a socket without streams, without its id."""
        raise TypeError(f"{type(self).__name__} does not define called")

    def invalid(self, what: str) -> dict[str, Any]:
        """Return the record of a request that is none, or names what there is not."""
        raise TypeError(f"{type(self).__name__} does not define invalid")

    # -- the contract ------------------------------------------------------------------------------------------------

    def open(self, call: HttpCall, number: int, now_ns: int) -> HttpAnswer | None:
        path = call.path.rstrip("/")
        head, _, name = path.rpartition("/")
        route = self._routes.get(path) or self._routes.get(head)
        if route is None:
            found = self.door(call, name, now_ns)
        else:
            alone = path not in self._routes and not name.isdigit()
            names = [name] if alone else dict(call.query).get("streams", "").split("/")
            found = NamedSocket(route, NamedStreams(names, self._most))
        if isinstance(found, HttpAnswer):
            return found
        self.sockets[number] = found
        return None

    def close(self, number: int) -> None:
        self.sockets.pop(number, None)

    def hear(self, number: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        socket, request = self.sockets.get(number), read_request(data)
        if socket is None:
            return ()
        if request is None:
            return (Push(number, compact(self.invalid("invalid JSON"))),)
        if socket.route is not None:
            return list(self._subscribe(socket, socket.route, number, request, now_ns))
        return (Push(number, compact({"id": request.id, **self.called(socket, request, now_ns)})),)

    def poll(self, now_ns: int) -> Sequence[Push]:
        pushes = list(self.events(now_ns))
        if now_ns < self._next_ns:
            return pushes
        self._next_ns = now_ns + self._pace_ns
        for market, stream, message in self.messages(now_ns):
            for number, socket in self.sockets.items():
                if socket.route is not None and socket.route.market is market and stream in socket.streams.names:
                    pushes += _told(socket.route, number, stream, message)
        return pushes

    def _subscribe(
        self,
        socket: NamedSocket[MarketT],
        route: StreamRoute[MarketT],
        number: int,
        request: SocketRequest,
        now_ns: int,
    ) -> Iterator[Push]:
        if request.method == "LIST_SUBSCRIPTIONS":
            yield Push(number, compact({"result": list(socket.streams.names), "id": request.id}))
            return
        wrong = socket.streams.wrong(request, lambda one: self.exists(route.market, one))
        if wrong is not None:
            yield Push(number, compact({"error": self.invalid(f"{request.method} {wrong}"), "id": request.id}))
            return
        yield Push(number, compact({"result": None, "id": request.id}))
        for stream in socket.streams.take(request):
            message = self.first(route.market, stream, now_ns)
            if message is not None:
                yield from _told(route, number, stream, message)


def _told(route: StreamRoute[Any], number: int, stream: str, message: Any) -> list[Push]:
    if not route.carries(stream):
        return []
    return [Push(number, compact({"stream": stream, "data": message} if route.combined else message))]
