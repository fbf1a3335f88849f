"""The sockets: market data in JSON or MessagePack, and the order stream in binary frames of JSON.

Data is conflated: at every beat of the tick rate a socket gets one message with what changed. A subscription is
answered with the latest of what it asks for, where the real streams wait for the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from dragoman.emulator.parts import (
    DAY,
    SECOND,
    ChannelFault,
    ChannelSocket,
    ChannelSockets,
    GuardedSockets,
    HttpCall,
    MarketChanges,
    MinuteBars,
    VenueProtocol,
)

from .emulator_market import levels
from .emulator_words import Assets, Tape

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
FAULTS: Final = {
    ChannelFault.MALFORMED: 400,
    ChannelFault.STRANGER: 401,
    ChannelFault.DENIED: 402,
    ChannelFault.TWICE: 403,
    ChannelFault.LATE: 404,
    ChannelFault.LIMIT: 405,
    ChannelFault.CROWDED: 406,
    ChannelFault.UNKNOWN: 410,
}
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
Told = Callable[[], Iterable[tuple[str, Mapping[str, Any]]]]


class DataStreams(ChannelSockets):
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
        super().__init__(tick_rate, login_ns=10 * SECOND)
        self._venue, self._assets, self._accepts, self._limit = venue, assets, accepts, symbol_limit
        self._markets, self._minutes = MarketChanges(venue), MinuteBars()

    def kind(self, socket: ChannelSocket) -> str:
        return PATHS[socket.path]

    def fault(self, fault: ChannelFault) -> dict[str, Any]:
        return _error(FAULTS[fault])

    def greeting(self, socket: ChannelSocket, call: HttpCall) -> list[dict[str, Any]]:
        if self.kind(socket) == "us_option" and not socket.packed:
            return [_error(412)]
        key, secret = (call.headers.get(f"apca-api-{name}", "") for name in ("key-id", "secret-key"))
        shown = [self._admit(socket, known=True)] if key and self._accepts(key, secret) else []
        return [_success("connected"), *shown]

    def _admit(self, socket: ChannelSocket, *, known: bool) -> dict[str, Any]:
        fault = self.log_on(socket, known=known)
        return self.fault(fault) if fault else _success("authenticated")

    def answer(self, socket: ChannelSocket, message: Mapping[str, Any]) -> dict[str, Any]:
        action = message.get("action")
        if action == "auth":
            return self._admit(socket, known=self._accepts(str(message.get("key")), str(message.get("secret"))))
        if action not in ("subscribe", "unsubscribe"):
            return self.fault(ChannelFault.MALFORMED)
        kind, more = self.kind(socket), action == "subscribe"
        asked = {name: set(map(str, names)) for name, names in message.items() if name != "action" and names}
        if kind == "us_option" and "*" in asked.get("quotes", ()) and socket.accepted and more:
            return _error(413)
        symbols = (asset.symbol for asset in self._assets.all if asset.kind == kind)
        counted = ("trades", "quotes")
        fault = self.subscribe(socket, asked, CHANNELS[kind], symbols, more=more, counted=counted, most=self._limit)
        told = {name: sorted(socket.listener.wanted.get(name, ())) for name in CHANNELS[kind]}
        return self.fault(fault) if fault else {"T": "subscription"} | told

    def changed(self, now_ns: int) -> Iterator[tuple[str, str]]:
        ended, fresh = list(self._minutes.turn(now_ns)), self._markets.fresh()
        for name in fresh:
            self._minutes.look(self._venue.market(name), now_ns)
        for name in dict.fromkeys((*ended, *fresh)):
            if name in self._assets.by_id:
                yield self._assets.by_id[name].kind, self._assets.by_id[name].symbol

    def news(self, socket: ChannelSocket, symbol: str, now_ns: int) -> Iterator[dict[str, Any]]:
        asset, listener = self._assets.get(symbol), socket.listener
        market, minute = self._venue.market(asset.instrument_id), self._minutes.ended.get(asset.instrument_id)
        tops = tuple(side[:1] for side in (market.bids, market.asks))
        news: list[tuple[str, Any, dict[str, Any]]] = [
            ("trades", (market.volume, market.last_price), {"T": "t"} | Tape.trade(asset, market)),
            ("quotes", tops, {"T": "q"} | Tape.quote(asset, market)),
            ("dailyBars", market.volume, {"T": "d"} | Tape.day(market, now_ns // DAY * DAY)),
        ]
        if minute is not None:
            news.append(("bars", minute.start_ns, {"T": "b"} | Tape.minute(minute)))
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
    """All connections to the order stream; `told` takes the events of orders that were not told yet."""

    def __init__(self, accepts: Accepts, bearer: Callable[[str], bool], told: Told) -> None:
        super().__init__()
        self._accepts, self._bearer, self._told = accepts, bearer, told

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

    def due(self) -> list[bytes]:
        return [_framed("trade_updates", {"event": word, **data}) for word, data in self._told()]


def _framed(stream: str, data: Mapping[str, Any]) -> bytes:
    return json.dumps({"stream": stream, "data": data}).encode()
