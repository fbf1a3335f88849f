"""The sockets: market data in JSON or MessagePack, and the order stream in binary frames of JSON.

Data is conflated: at every beat of the tick rate a socket gets one message with what changed. A subscription is
answered with the latest of what it asks for, where the real streams wait for the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    DAY,
    SECOND,
    ChannelFault,
    ChannelSocket,
    ChannelSockets,
    GuardedSockets,
    HttpCall,
    KeyPair,
    MinuteChanges,
    SpanBar,
    TopView,
    VenueProtocol,
    write,
)

from .emulator_words import BAR, MINUTE_BAR, QUOTE, TRADE, Assets, book_of, levels

PATHS: Final = {
    **dict.fromkeys((f"/v2/{name}" for name in "iex sip delayed_sip boats overnight".split()), "us_equity"),
    "/v1beta3/crypto/us": "crypto",
    **dict.fromkeys(("/v1beta1/indicative", "/v1beta1/opra"), "us_option"),
}
ORDERS: Final = "/stream"
FAULTS: Final = {
    ChannelFault.MALFORMED: (400, "invalid syntax"),
    ChannelFault.STRANGER: (401, "not authenticated"),
    ChannelFault.DENIED: (402, "auth failed"),
    ChannelFault.TWICE: (403, "already authenticated"),
    ChannelFault.LATE: (404, "auth timeout"),
    ChannelFault.LIMIT: (405, "symbol limit exceeded"),
    ChannelFault.CROWDED: (406, "connection limit exceeded"),
    ChannelFault.UNKNOWN: (410, "invalid subscribe action for this feed"),
}
Told = Callable[[], Iterable[tuple[str, Mapping[str, Any]]]]


class DataStreams(ChannelSockets):
    """All market data connections of the user.

    Parameters
    ----------
    tick_rate : float
        Messages per second and socket, at most.
    symbol_limit : int, optional
        Of the plan: symbols of trades and quotes on a connection.
    """

    channels: ClassVar = {
        "us_equity": (
            "trades quotes bars updatedBars dailyBars statuses lulds corrections cancelErrors imbalances".split()
        ),
        "crypto": "trades quotes bars updatedBars dailyBars orderbooks".split(),
        "us_option": "trades quotes".split(),
    }
    counted: ClassVar = ("trades", "quotes")

    def __init__(
        self, venue: VenueProtocol, assets: Assets, keys: KeyPair, tick_rate: float, symbol_limit: int | None
    ) -> None:
        super().__init__(tick_rate, login_ns=10 * SECOND, most=symbol_limit)
        self._venue, self._assets, self._keys, self._changes = venue, assets, keys, MinuteChanges(venue)

    def kind(self, socket: ChannelSocket) -> str:
        return PATHS[socket.path]

    def success(self, text: str) -> dict[str, Any]:
        return {"T": "success", "msg": text}

    def fault(self, fault: ChannelFault) -> dict[str, Any]:
        return _error(*FAULTS[fault])

    def subscription(self, channels: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        return {"T": "subscription"} | dict(channels)

    def greeting(self, socket: ChannelSocket, call: HttpCall) -> list[dict[str, Any]]:
        if self.kind(socket) == "us_option" and not socket.packed:
            return [_error(412, "option messages are only available in MsgPack format")]
        pair = self._keys.pair(call)
        shown = [self.admit(socket, known=True)] if pair[0] and self._keys.accepts(*pair) else []
        return [self.success("connected"), *shown]

    def shows(self, message: Mapping[str, Any]) -> bool:
        return self._keys.accepts(str(message.get("key")), str(message.get("secret")))

    def forbidden(self, socket: ChannelSocket, asked: Mapping[str, Iterable[str]]) -> dict[str, Any] | None:
        every = self.kind(socket) == "us_option" and "*" in asked.get("quotes", ())
        return _error(413, '"*" is not supported for option quotes') if every else None

    def symbols(self, kind: str) -> Iterable[str]:
        return (asset.symbol for asset in self._assets.all if asset.kind == kind)

    def changed(self, now_ns: int) -> Iterator[tuple[str, str]]:
        found = (self._assets.by_id.get(name) for name in self._changes.take(now_ns))
        return ((asset.kind, asset.symbol) for asset in found if asset)

    def news(self, socket: ChannelSocket, symbol: str, now_ns: int) -> Iterator[dict[str, Any]]:
        asset, listener = self._assets.get(symbol), socket.listener
        market, minute = self._venue.market(asset.instrument_id), self._changes.minute(asset.instrument_id)
        top, today = TopView(market, asset), SpanBar(market, now_ns // DAY * DAY)
        tops = tuple(side[:1] for side in (market.bids, market.asks))
        # Channel, type, what has to be new, the record and its table.
        news: tuple[tuple[str, str, Any, Any, Any], ...] = (
            ("trades", "t", (market.volume, market.last_price), top, TRADE[asset.kind]),
            ("quotes", "q", tops, top, QUOTE[asset.kind]),
            ("dailyBars", "d", market.volume, today, BAR),
            ("bars", "b", minute and minute.start_ns, minute, MINUTE_BAR),
        )
        for channel, kind, seen, record, table in news:
            if record is not None and listener.news(channel, symbol, seen):
                yield {"T": kind} | write(table, record) | {"S": symbol}
        book = listener.book("orderbooks", symbol, book_of(market))
        if book is not None:
            yield {"T": "o", "S": symbol, "t": market.ts} | levels(book[1]) | ({"r": True} if book[0] else {})


def _error(code: int, text: str) -> dict[str, Any]:
    return {"T": "error", "code": code, "msg": text}


class OrderStreams(GuardedSockets):
    """All connections to the order stream; `told` takes the events of orders that were not told yet."""

    streams: ClassVar = ("trade_updates",)

    def __init__(self, keys: KeyPair, told: Told) -> None:
        super().__init__()
        self._keys, self._told = keys, told

    def framed(self, stream: str, data: Mapping[str, Any]) -> bytes:
        return json.dumps({"stream": stream, "data": data}).encode()

    def shows(self, data: Mapping[str, Any]) -> bool:
        key, secret, token = (str(data.get(name)) for name in ("key_id", "secret_key", "oauth_token"))
        return self._keys.accepts(key, secret) or self._keys.bears(token)

    def due(self) -> list[bytes]:
        return [self.framed("trade_updates", {"event": word, **data}) for word, data in self._told()]
