"""The sockets: market data in JSON or MessagePack, and the order stream in binary frames of JSON.

Data is conflated: at every beat of the tick rate a socket gets one message with what changed. A subscription is
answered with the latest of what it asks for, where the real streams wait for the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dragoman.emulator.parts import (
    DAY,
    SECOND,
    GuardedSockets,
    HttpAnswer,
    HttpCall,
    Listener,
    MarketChanges,
    Push,
    VenueProtocol,
    rfc3339,
)
from dragoman.plugin import errors
from dragoman.plugin.messagepack import Moment, pack_messagepack, unpack_messagepack

from .emulator_market import levels
from .emulator_words import Asset, Assets, Tape

PATHS: Final = {
    **dict.fromkeys((f"/v2/{name}" for name in "iex sip delayed_sip boats overnight".split()), "us_equity"),
    "/v1beta3/crypto/us": "crypto",
    **dict.fromkeys(("/v1beta1/indicative", "/v1beta1/opra"), "us_option"),
}
ORDERS: Final = "/stream"
CHANNELS: Final = {
    "us_equity": "trades quotes bars updatedBars dailyBars statuses lulds corrections cancelErrors imbalances".split(),
    "crypto": "trades quotes bars updatedBars dailyBars orderbooks".split(),
    "us_option": "trades quotes".split(),
}
AUTH_NS: Final = 10 * SECOND
ERRORS: Final = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    410: "invalid subscribe action for this feed",
    412: "option messages are only available in MsgPack format",
    413: '"*" is not supported for option quotes',
}
Accepts = Callable[[str, str], bool]


@dataclass
class DataSocket:
    """One market data connection, and what it was told last."""

    path: str
    packed: bool
    opened: int
    accepted: bool = False
    listener: Listener = field(default_factory=Listener)
    waiting: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return PATHS[self.path]

    def push(self, number: int, messages: Sequence[Mapping[str, Any]]) -> Push:
        if self.packed:
            return Push(number, pack_messagepack([_timed(one, Moment) for one in messages]))
        return Push(number, json.dumps([_timed(one, rfc3339) for one in messages]))


def _timed(message: Mapping[str, Any], write: Callable[[int], Any]) -> dict[str, Any]:
    return {name: write(value) if name == "t" else value for name, value in message.items()}


class DataStreams:
    """All market data connections of the user.

    Parameters
    ----------
    accepts : callable
        (key, secret) -> whether they are the account's.
    tick_rate : float
        Messages per second and socket, at most.
    symbol_limit : int, optional
        Of the plan: symbols of trades and quotes on a connection.
    """

    def __init__(
        self, venue: VenueProtocol, assets: Assets, accepts: Accepts, tick_rate: float, symbol_limit: int | None
    ) -> None:
        if tick_rate <= 0:
            raise ValueError(f"alpaca: tick_rate is {tick_rate}, expected messages per second above 0")
        self._venue = venue
        self._assets = assets
        self._accepts = accepts
        self._pace = int(SECOND / tick_rate)
        self._limit = symbol_limit
        self._sockets: dict[int, DataSocket] = {}
        self._markets = MarketChanges(venue)

    def open(self, call: HttpCall, number: int, now_ns: int) -> HttpAnswer | None:
        packed = "msgpack" in call.headers.get("content-type", "")
        socket = DataSocket(call.path, packed, now_ns)
        self._sockets[number] = socket
        key, secret = (call.headers.get(f"apca-api-{name}", "") for name in ("key-id", "secret-key"))
        if socket.kind == "us_option" and not packed:
            socket.waiting.append(_error(412))
            return None
        socket.waiting.append(_success("connected"))
        if key and self._accepts(key, secret):
            socket.waiting.append(self._admit(socket))
        return None

    def close(self, number: int) -> None:
        self._sockets.pop(number, None)

    def hear(self, number: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        socket = self._sockets.get(number)
        if socket is None:
            return ()
        try:
            binary = data if isinstance(data, bytes) else data.encode()
            message = unpack_messagepack(binary) if socket.packed else json.loads(data)
            answers = self._answers(socket, message)
        except (ValueError, TypeError, AttributeError, errors.DecodeError):
            answers = [_error(400)]
        greeted, socket.waiting = [[one] for one in socket.waiting], []
        return [socket.push(number, messages) for messages in (*greeted, answers)]

    def _answers(self, socket: DataSocket, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        match message.get("action"):
            case "auth" if socket.accepted:
                return [_error(403)]
            case "auth":
                if not self._accepts(str(message.get("key")), str(message.get("secret"))):
                    return [_error(402)]
                return [self._admit(socket)]
            case "subscribe" | "unsubscribe" if not socket.accepted:
                return [_error(401)]
            case "subscribe" | "unsubscribe" as action:
                return [self._subscribe(socket, message, more=action == "subscribe")]
        return [_error(400)]

    def _admit(self, socket: DataSocket) -> dict[str, Any]:
        if any(one.accepted and one.path == socket.path for one in self._sockets.values()):
            return _error(406)
        socket.accepted = True
        return _success("authenticated")

    def _subscribe(self, socket: DataSocket, message: Mapping[str, Any], *, more: bool) -> dict[str, Any]:
        channels = CHANNELS[socket.kind]
        asked = {name: set(map(str, names)) for name, names in message.items() if name != "action" and names}
        if set(asked) - set(channels):
            return _error(410)
        if socket.kind == "us_option" and "*" in asked.get("quotes", ()) and more:
            return _error(413)
        wanted = socket.listener.asked(asked, more=more)
        counted = wanted.get("trades", set()) | wanted.get("quotes", set())
        if self._limit is not None and len(counted) > self._limit:
            return _error(405)
        socket.listener.wanted = wanted
        if more:
            fresh = set().union(*asked.values()) if asked else set()
            named = (asset.symbol for asset in self._assets.all if asset.kind == socket.kind)
            socket.listener.refresh(asked, (one for one in named if one in fresh or "*" in fresh))
        return {"T": "subscription"} | {name: sorted(wanted.get(name, ())) for name in channels}

    def poll(self, now_ns: int) -> list[Push]:
        pushes = []
        changed = [self._assets.by_id[name] for name in self._markets.fresh() if name in self._assets.by_id]
        for number, socket in list(self._sockets.items()):
            if socket.waiting:
                pushes.append(socket.push(number, socket.waiting[:1]))
                del socket.waiting[:1]
                continue
            if not socket.accepted and now_ns - socket.opened >= AUTH_NS:
                pushes += [socket.push(number, [_error(404)]), Push(number, close_code=1000)]
                del self._sockets[number]
                continue
            socket.listener.changed(asset.symbol for asset in changed if asset.kind == socket.kind)
            names = socket.listener.due(now_ns, self._pace)
            messages = [one for name in names for one in self._news(socket.listener, self._assets.get(name), now_ns)]
            if messages:
                pushes.append(socket.push(number, messages))
        return pushes

    def _news(self, listener: Listener, asset: Asset, now_ns: int) -> Iterable[dict[str, Any]]:
        """Yield what a socket has not been told of a market yet."""
        market, symbol = self._venue.market(asset.instrument_id), asset.symbol
        tops = tuple(side[:1] for side in (market.bids, market.asks))
        news: tuple[tuple[str, Any, dict[str, Any]], ...] = (
            ("trades", (market.volume, market.last_price), {"T": "t"} | Tape.trade(asset, market)),
            ("quotes", tops, {"T": "q"} | Tape.quote(asset, market)),
            ("dailyBars", market.volume, {"T": "d"} | Tape.day(market, now_ns // DAY * DAY)),
        )
        for channel, seen, message in news:
            if listener.news(channel, symbol, seen):
                yield message | {"S": symbol}
        book = listener.book("orderbooks", symbol, Tape.book(market))
        if book is not None:
            yield {"T": "o", "S": symbol, "t": market.ts} | levels(book[1]) | ({"r": True} if book[0] else {})


def _success(text: str) -> dict[str, Any]:
    return {"T": "success", "msg": text}


def _error(code: int) -> dict[str, Any]:
    return {"T": "error", "code": code, "msg": ERRORS[code]}


class OrderStreams(GuardedSockets):
    """All connections to the order stream."""

    def __init__(self, accepts: Accepts, bearer: Callable[[str], bool]) -> None:
        super().__init__()
        self._accepts, self._bearer = accepts, bearer

    def malformed(self) -> bytes:
        return _framed("error", {"error": "invalid message"})

    def answer(self, socket: int, message: Mapping[str, Any]) -> bytes:
        action, data = message["action"], message.get("data") or {}
        if action in ("authenticate", "auth"):
            keys = (str(data.get(name)) for name in ("key_id", "secret_key"))
            taken = self.accepted[socket] = self._accepts(*keys) or self._bearer(str(data.get("oauth_token")))
            told = {"status": "authorized" if taken else "unauthorized", "action": "authenticate"}
            return _framed("authorization", told)
        if action != "listen" or not self.accepted[socket]:
            return _framed("authorization", {"status": "unauthorized", "action": action})
        streams = [name for name in data["streams"] if name == "trade_updates"]
        self.listen(socket, more=bool(streams))
        return _framed("listening", {"streams": streams})

    def tell(self, told: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Push]:
        """Tell events of orders to who listens."""
        frames = [_framed("trade_updates", {"event": word, **data}) for word, data in told]
        return [Push(socket, frame) for frame in frames for socket in self.listening]


def _framed(stream: str, data: Mapping[str, Any]) -> bytes:
    return json.dumps({"stream": stream, "data": data}).encode()
