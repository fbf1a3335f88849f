"""The market socket in topics, the depth socket in differences by place, and the order socket.

Ticks are conflated: at every beat of the tick rate a socket gets what changed of each topic since its last frame.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    SECOND,
    BookSockets,
    EventSockets,
    HttpAnswer,
    HttpCall,
    KindSocket,
    PlacedSocket,
    SocketsByPath,
    Topic,
    TopicDesk,
    TopicEncoder,
    TopicSocket,
    TradeView,
    VenueProtocol,
    market_values,
    proto_field,
    proto_map,
    proto_message,
    proto_wrapped,
    write,
)
from dragoman.plugin.field_frames import bits_of, fields_of, frame, names_of
from dragoman.plugin.layout_protobuf import ProtoType

from . import hsm
from .emulator_names import Named, NameTable
from .emulator_session import SessionDesk, feed_token
from .emulator_words import POSITION_MESSAGE, TRADE_MESSAGE, Fyers, order_message
from .feed import MARKET_PATH, ORDER_PATH, STREAM, SUBSCRIBED

DEEP_PATH: Final = "/versova"
MOST_TOPICS: Final = 5000
ACK_EVERY: Final = 3
LEVELS: Final = 50
OVER_LIMIT: Final = 51001
KINDS: Final = ("sf", "if", "dp")
_HEAD: Final = struct.Struct(">HBIH")
_TOTALS: Final = 2**31 - 1
_CELLS: Final[tuple[ProtoType, ...]] = ("int64", "uint32", "uint32")
_ANSWERED: Final = (hsm.ACK, hsm.SUBSCRIBE, hsm.UNSUBSCRIBE, hsm.MODE, hsm.PAUSE, hsm.RESUME)
_TOO_MANY: Final = f"Symbol limit of {MOST_TOPICS} exceeded".encode()
_UNREAD: Final = json.dumps({"code": -50, "message": "Invalid message", "s": "error"})
_HEARD: Final = json.dumps({"code": SUBSCRIBED, "message": "Successfully subscribed", "s": "ok"})


class MarketStream(Fyers, TopicDesk[NameTable]):
    """The market socket: topics, in frames of bytes. The real server answers nothing it cannot read."""

    encoder: ClassVar = TopicEncoder(STREAM)
    per_frame: ClassVar = 100

    def muted(self, call: HttpCall) -> bool:
        """The real server hears nothing of a client that shows a token here, and says nothing."""
        return "authorization" in call.headers

    def command(self, one: TopicSocket, data: bytes) -> bytes | None:
        kind, fields = fields_of(data)
        if kind == hsm.AUTH:
            one.token = feed_token(self.session, fields[1].decode("ascii", "replace"), self.now_ns)
            return frame(kind, hsm.GOOD if one.token else b"N", struct.pack(">I", ACK_EVERY))
        if one.token is None or kind not in _ANSWERED:
            return None
        if kind == hsm.ACK:
            (one.acknowledged,) = struct.unpack(">I", fields[1])
            return None
        if kind == hsm.SUBSCRIBE:
            names = names_of(fields[1])
            if len(one.topics.keys() | set(names)) > MOST_TOPICS:
                return frame(hsm.MESSAGE, struct.pack(">i", OVER_LIMIT), _TOO_MANY, bytes((kind,)))
            one.subscribe({name: topic for name in names if (topic := self._topic(name))}, fields[2][0])
        elif kind == hsm.UNSUBSCRIBE:
            one.unsubscribe(names_of(fields[1]))
        else:
            held = one.lite if kind == hsm.MODE else one.paused
            more = kind == hsm.PAUSE or fields.get(2) == hsm.LITE
            (held.update if more else held.difference_update)(bits_of(fields[1]))
        return frame(kind, hsm.GOOD)

    def _topic(self, name: bytes) -> Topic | None:
        word, _, rest = name.decode("utf-8", "replace").partition("|")
        named = self.names.by_topic.get(rest)
        if named is None or word not in KINDS or (word == "if") is not named.is_index:
            return None
        return Topic(word, named, (*(part.encode() for part in rest.split("|")), named.root.encode()), word != "dp")

    def values(self, topic: Topic) -> dict[str, Any]:
        market = self.quote(topic.named).market
        values = market_values(market, topic.named.unit, most=_TOTALS)
        values |= {"price_band_low": market.band_low, "price_band_high": market.band_high}
        for word, side in (("bid", values["bids"]), ("ask", values["asks"])):
            if side and topic.kind == "sf":
                values |= {f"{word}_price": side[0][0], f"{word}_quantity": side[0][1]}
        return values

    def frame(self, number: int, records: Sequence[bytes]) -> bytes:
        body = _HEAD.pack(0, hsm.DATA, number, len(records)) + b"".join(records)
        return struct.pack(">H", len(body) - 2 & 0xFFFF) + body[2:]


class DeepStream(Fyers, BookSockets[NameTable]):
    """The depth socket: fifty levels, in differences by place."""

    unread: ClassVar = _UNREAD
    most: ClassVar = 5
    unknown: ClassVar = "Invalid symbol {}"
    full: ClassVar = "Symbol limit reached"

    def heard(self, one: PlacedSocket, message: Any) -> Iterator[bytes]:
        told = message["data"]
        if message["type"] == 2:
            one.on = (one.on | set(told["resumeChannels"])) - set(told["pauseChannels"])
        for symbol in told["symbols"] if message["type"] == 1 else ():
            one.forget(symbol)
            fault = self.subscribe(one, symbol, str(told["channel"])) if told["subs"] == 1 else None
            if fault is not None:
                yield proto_field(1, "enum", 8) + proto_field(4, "string", fault) + proto_field(5, "bool", True)

    def offers(self, named: Named) -> bool:
        return named.exchange in ("NSE", "NFO") and not named.is_index

    def difference(self, one: PlacedSocket, named: Named, now_ns: int) -> bytes:
        """Return a snapshot the first time, and then what changed of each place."""
        quote, cents = self.quote(named), 100
        sides = (islice(levels, LEVELS) for levels in (quote.asks, quote.bids))
        rows = [[(int(price * cents), size, count) for price, size, count in side] for side in sides]
        told = one.change(named.key, rows)
        depth = [proto_wrapped(1, "uint64", quote.buy_quantity), proto_wrapped(2, "uint64", quote.sell_quantity)]
        for number, side in zip((3, 4), told.sides, strict=True):
            for place, row in side.items():
                cells = (proto_wrapped(at, *cell) for at, cell in enumerate(zip(_CELLS, row, strict=True), 1))
                depth.append(proto_message(number, *cells, proto_wrapped(4, "uint32", place)))
        feed = (
            proto_message(5, *depth),
            proto_wrapped(6, "uint64", quote.market.ts // SECOND),
            proto_wrapped(7, "uint64", now_ns // SECOND),
            proto_field(8, "string", named.fy_token),
            proto_field(9, "uint64", told.number),
            proto_field(10, "bool", told.whole),
            proto_field(11, "string", named.key),
        )
        whole = proto_field(3, "bool", told.whole)
        return proto_field(1, "enum", 6) + proto_map(2, {named.key: b"".join(feed)}) + whole


class OrderStream(Fyers, EventSockets[NameTable]):
    """The order socket: orders, trades and positions."""

    unread: ClassVar = _UNREAD

    def heard(self, one: KindSocket, message: Any) -> Iterator[str]:
        kinds = set(message["SLIST"]) if message["T"] == "SUB_ORD" else None
        if kinds is not None:
            one.kinds = {*one.kinds, *kinds} if message["SUB_T"] == 1 else set(one.kinds) - kinds
        yield _UNREAD if kinds is None else _HEARD

    def news(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for event, shown in self.updates():
            named = self.names.by_id[event.order.order.instrument_id]
            if event.fill is not None:
                yield _news("trades", write(TRADE_MESSAGE, TradeView(event.fill, event.order, named)))
                yield from (
                    _news("positions", write(POSITION_MESSAGE, one)) for one in self.positions() if one.named is named
                )
            yield from (_news("orders", order_message(one)) for one in shown)


def _news(kind: str, row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return kind, {kind: row, "s": "ok"}


class Streams(SocketsByPath):
    """All sockets of the app."""

    def __init__(self, venue: VenueProtocol, names: NameTable, session: SessionDesk, pace_ns: int) -> None:
        market, deep, orders = (
            stream(venue, names, session, pace_ns) for stream in (MarketStream, DeepStream, OrderStream)
        )
        super().__init__({MARKET_PATH: market, DEEP_PATH: deep, ORDER_PATH: orders}, lambda: HttpAnswer(404))
        self.markets, self.deep = market.sockets, deep.sockets
