"""The market socket in topics, the depth socket in differences by place, and the order socket.

Ticks are conflated: at every beat of the tick rate a socket gets what changed of each topic since its last frame.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dragoman.emulator.parts import (
    SECOND,
    HttpAnswer,
    HttpCall,
    Listeners,
    PlacedSocket,
    Push,
    Sockets,
    StreamDesk,
    Topic,
    TopicEncoder,
    TopicSocket,
    TopicSockets,
    TradeView,
    VenueProtocol,
    market_values,
    proto_field,
    proto_map,
    proto_message,
    proto_wrapped,
    write,
)
from dragoman.plugin.layout_protobuf import ProtoType

from . import hsm
from .emulator_names import NameTable
from .emulator_session import SessionDesk
from .emulator_words import POSITION_MESSAGE, TRADE_MESSAGE, Fyers, order_message
from .feed import MARKET_PATH, ORDER_PATH, STREAM, SUBSCRIBED

DEEP_PATH: Final = "/versova"
MOST_TOPICS: Final = 5000
MOST_DEEP: Final = 5
ACK_EVERY: Final = 3
PER_FRAME: Final = 100
LEVELS: Final = 50
OVER_LIMIT: Final = 51001
KINDS: Final = ("sf", "if", "dp")
_HEAD: Final = struct.Struct(">HBIH")
_TOTALS: Final = 2**31 - 1
_CELLS: Final[tuple[ProtoType, ...]] = ("int64", "uint32", "uint32")
_UNREAD: Final = json.dumps({"code": -50, "message": "Invalid message", "s": "error"})
_HEARD: Final = json.dumps({"code": SUBSCRIBED, "message": "Successfully subscribed", "s": "ok"})


class Streams(Fyers, StreamDesk[NameTable]):
    """All sockets of the app."""

    def __init__(self, venue: VenueProtocol, names: NameTable, session: SessionDesk, pace_ns: int) -> None:
        super().__init__(venue, names, session)
        self._market_session, self._pace_ns = session, pace_ns
        encoder = TopicEncoder(STREAM)
        self.markets = TopicSockets(encoder, self._values, _data, per_frame=PER_FRAME, pace_ns=pace_ns)
        self.deep: Sockets[PlacedSocket] = Sockets()
        self.listeners = Listeners()

    # --- sockets ----------------------------------------------------------------------------------------------------

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        if call.path == MARKET_PATH:
            # The real server hears nothing of a client that shows a token here, and says nothing.
            self.markets[socket] = TopicSocket(muted="authorization" in call.headers, next_ns=now_ns)
            return None
        if call.path not in (DEEP_PATH, ORDER_PATH):
            return HttpAnswer(404)
        app, _, token = call.headers.get("authorization", "").rpartition(":")
        if not self.session.admits(app, token, now_ns):
            return HttpAnswer(403)
        if call.path == DEEP_PATH:
            self.deep[socket] = PlacedSocket(token, now_ns)
        else:
            self.listeners.open(socket, token, ())
        return None

    def close(self, socket: int) -> None:
        self.markets.pop(socket, None)
        self.deep.pop(socket, None)
        self.listeners.close(socket)

    # --- what a client says -----------------------------------------------------------------------------------------

    def hear(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        if socket in self.markets:
            return [Push(socket, frame) for frame in self._hear_market(self.markets[socket], data, now_ns)]
        if data in ("ping", b"ping"):
            return (Push(socket, "pong"),)
        try:
            message = json.loads(data)
            if socket in self.deep:
                return [Push(socket, frame) for frame in self._hear_deep(self.deep[socket], message)]
            if message["T"] != "SUB_ORD":
                return (Push(socket, _UNREAD),)
            self.listeners.ask(socket, message["SLIST"], more=message["SUB_T"] == 1)
        except (ValueError, KeyError, TypeError, RecursionError):
            return (Push(socket, _UNREAD),)
        return (Push(socket, _HEARD),)

    def _hear_market(self, one: TopicSocket, data: str | bytes, now_ns: int) -> Iterator[bytes]:
        if isinstance(data, str) or one.muted:
            return
        try:
            kind, fields = hsm.fields_of(data)
            if kind == hsm.AUTH:
                good = self._market_session.opens_feed(fields[1].decode("ascii", "replace"), now_ns)
                one.token = self.session.tokens.access if good else None
                yield hsm.frame(kind, hsm.GOOD if good else b"N", struct.pack(">I", ACK_EVERY))
            elif one.token is not None:
                yield from self._command(one, kind, fields)
        except (ValueError, LookupError, struct.error):
            return  # the real server answers nothing it cannot read

    def _command(self, one: TopicSocket, kind: int, fields: Mapping[int, bytes]) -> Iterator[bytes]:
        if kind == hsm.ACK:
            (one.acknowledged,) = struct.unpack(">I", fields[1])
            return
        if kind == hsm.SUBSCRIBE:
            names = hsm.listed(fields[1])
            if len(one.topics.keys() | set(names)) > MOST_TOPICS:
                text = f"Symbol limit of {MOST_TOPICS} exceeded".encode()
                yield hsm.frame(hsm.MESSAGE, struct.pack(">i", OVER_LIMIT), text, bytes((kind,)))
                return
            one.subscribe({name: topic for name in names if (topic := self._topic(name))}, fields[2][0])
        elif kind == hsm.UNSUBSCRIBE:
            one.unsubscribe(hsm.listed(fields[1]))
        elif kind in (hsm.MODE, hsm.PAUSE, hsm.RESUME):
            held = one.lite if kind == hsm.MODE else one.paused
            more = kind == hsm.PAUSE or fields.get(2) == hsm.LITE
            (held.update if more else held.difference_update)(hsm.channels_of(fields[1]))
        else:
            return
        yield hsm.frame(kind, hsm.GOOD)

    def _topic(self, name: bytes) -> Topic | None:
        word, _, rest = name.decode("utf-8", "replace").partition("|")
        named = self.names.by_topic.get(rest)
        if named is None or word not in KINDS or (word == "if") is not named.is_index:
            return None
        return Topic(word, named, (*(part.encode() for part in rest.split("|")), named.root.encode()), word != "dp")

    def _hear_deep(self, one: PlacedSocket, message: Mapping[str, Any]) -> Iterator[bytes]:
        told = message["data"]
        if message["type"] == 2:
            one.on = (one.on | set(told["resumeChannels"])) - set(told["pauseChannels"])
        for symbol in told["symbols"] if message["type"] == 1 else ():
            named = self.names.by_key.get(symbol)
            one.forget(symbol)
            if told["subs"] != 1:
                continue
            if named is None or named.exchange not in ("NSE", "NFO") or named.is_index:
                yield _deep_error(f"Invalid symbol {symbol}")
            elif len(one.symbols) >= MOST_DEEP:
                yield _deep_error("Symbol limit reached")
            else:
                one.subscribe(symbol, str(told["channel"]))

    # --- what clients hear ------------------------------------------------------------------------------------------

    def poll(self, now_ns: int) -> Sequence[Push]:
        """Return what became due; sockets whose token died end (unverified: the market socket may stay, mute)."""
        dead, changed = self.dead(now_ns), set(self.changed())
        ends = [*self.markets.end(dead), *self.deep.end(dead)]
        keys = {self.names.by_token[token].key for token in changed}
        books = [
            Push(socket, self._difference(one, symbol, now_ns))
            for socket, one in self.deep.items()
            for symbol in one.due(keys, now_ns, self._pace_ns)
        ]
        return [*ends, *self.listeners.poll(dead, self._news()), *self.markets.poll(now_ns, changed), *books]

    def _news(self) -> Iterator[tuple[str, str]]:
        """Yield what the account is told of, by kind."""
        for event, shown in self.updates():
            named = self.names.by_id[event.order.order.instrument_id]
            rows: list[tuple[str, dict[str, Any]]] = [("orders", order_message(one)) for one in shown]
            if event.fill is not None:
                trade = write(TRADE_MESSAGE, TradeView(event.fill, event.order, named))
                held = (write(POSITION_MESSAGE, one) for one in self.positions() if one.named is named)
                rows = [("trades", trade), *(("positions", one) for one in held), *rows]
            for kind, row in rows:
                yield kind, json.dumps({kind: row, "s": "ok"})

    # --- bytes ------------------------------------------------------------------------------------------------------

    def _values(self, topic: Topic) -> dict[str, Any]:
        market = self.quote(topic.named).market
        values = market_values(market, topic.named.unit, most=_TOTALS)
        values |= {"price_band_low": market.band_low, "price_band_high": market.band_high}
        for word, side in (("bid", values["bids"]), ("ask", values["asks"])):
            if side and topic.kind == "sf":
                values |= {f"{word}_price": side[0][0], f"{word}_quantity": side[0][1]}
        return values

    def _difference(self, one: PlacedSocket, symbol: str, now_ns: int) -> bytes:
        """Return a snapshot the first time, and then what changed of each place."""
        named, cents = self.names.by_key[symbol], 100
        quote = self.quote(named)
        sides = (list(levels)[:LEVELS] for levels in (quote.asks, quote.bids))
        told = one.change(
            symbol, [[(int(price * cents), size, count) for price, size, count in side] for side in sides]
        )
        depth = [proto_wrapped(1, "uint64", quote.buy_quantity), proto_wrapped(2, "uint64", quote.sell_quantity)]
        for number, side in zip((3, 4), told.sides, strict=True):
            for place, row in side.items():
                cells = (
                    proto_wrapped(at, kind, cell) for at, (kind, cell) in enumerate(zip(_CELLS, row, strict=True), 1)
                )
                depth.append(proto_message(number, *cells, proto_wrapped(4, "uint32", place)))
        feed = (
            proto_message(5, *depth),
            proto_wrapped(6, "uint64", quote.market.ts // SECOND),
            proto_wrapped(7, "uint64", now_ns // SECOND),
            proto_field(8, "string", named.fy_token),
            proto_field(9, "uint64", told.number),
            proto_field(10, "bool", told.whole),
            proto_field(11, "string", symbol),
        )
        whole = proto_field(3, "bool", told.whole)
        return proto_field(1, "enum", 6) + proto_map(2, {symbol: b"".join(feed)}) + whole


def _data(number: int, records: Sequence[bytes]) -> bytes:
    body = _HEAD.pack(0, hsm.DATA, number, len(records)) + b"".join(records)
    return struct.pack(">H", len(body) - 2 & 0xFFFF) + body[2:]


def _deep_error(text: str) -> bytes:
    return proto_field(1, "enum", 8) + proto_field(4, "string", text) + proto_field(5, "bool", True)
