"""The market socket in topics, the depth socket in differences by place, and the order socket.

Ticks are conflated: at every beat of the tick rate a socket gets what changed of each topic since its last frame.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    SECOND,
    HttpAnswer,
    HttpCall,
    MarketChanges,
    MarketView,
    Push,
    TopicEncoder,
    Vector,
    VenueProtocol,
    market_values,
    proto_field,
    proto_map,
    proto_message,
)

from . import hsm
from .emulator_names import Named, NameTable
from .emulator_session import SessionDesk
from .emulator_words import STATUS, order_message, order_row, position_row, trade_message
from .feed import MARKET_PATH, ORDER_PATH, STREAM, SUBSCRIBED

DEEP_PATH: Final = "/versova"
MOST_TOPICS: Final = 5000
MOST_DEEP: Final = 5
ACK_EVERY: Final = 3
PER_FRAME: Final = 100
LEVELS: Final = 50
OVER_LIMIT: Final = 51001
_HEAD: Final = struct.Struct(">HBIH")
_TOTALS: Final = 2**31 - 1


@dataclass(slots=True)
class Topic:
    """A subscribed topic: its id and channel, and what the socket was told of it."""

    number: int
    channel: int
    kind: str
    named: Named
    told: Vector | None = None
    dirty: bool = True


@dataclass(slots=True)
class MarketSocket:
    """One market socket; `token` is None until its key was accepted."""

    token: str | None = None
    topics: dict[bytes, Topic] = field(default_factory=dict)
    modes: dict[int, bytes] = field(default_factory=dict)
    paused: set[int] = field(default_factory=set)
    given: int = 0
    message: int = 0
    acknowledged: int = 0
    next_ns: int = 0


@dataclass(slots=True)
class DeepSocket:
    """One depth socket: its symbols by channel, the channels that are on, and what was told of each symbol."""

    token: str
    symbols: dict[str, str] = field(default_factory=dict)
    on: set[str] = field(default_factory=set)
    told: dict[str, list[Any]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    dirty: set[str] = field(default_factory=set)
    next_ns: int = 0


@dataclass(slots=True)
class OrderSocket:
    token: str
    kinds: set[str] = field(default_factory=set)


class Streams:
    """All sockets of the app."""

    def __init__(
        self, venue: VenueProtocol, names: NameTable, session: SessionDesk, account: str, tick_rate: float
    ) -> None:
        if tick_rate <= 0:
            raise ValueError(f"fyers: tick_rate is {tick_rate}, expected ticks per second above 0")
        self._venue, self._names, self._session, self._account = venue, names, session, account
        self._pace_ns = int(SECOND / tick_rate)
        self._encoder = TopicEncoder(STREAM)
        self._changes = MarketChanges(venue)
        self._seen = 0
        self._states: dict[str, Any] = {}
        self.markets: dict[int, MarketSocket] = {}
        self.deep: dict[int, DeepSocket] = {}
        self.orders: dict[int, OrderSocket] = {}

    # --- sockets ----------------------------------------------------------------------------------------------------

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        if call.path == MARKET_PATH:
            # The real server hears nothing of a client that shows a token here, and says nothing.
            muted = "authorization" in call.headers
            self.markets[socket] = MarketSocket(message=-1 if muted else 0, next_ns=now_ns)
            return None
        if call.path not in (DEEP_PATH, ORDER_PATH):
            return HttpAnswer(404)
        app, _, token = call.headers.get("authorization", "").rpartition(":")
        if not self._session.admits(app, token, now_ns):
            return HttpAnswer(403)
        if call.path == DEEP_PATH:
            self.deep[socket] = DeepSocket(token, next_ns=now_ns)
        else:
            self.orders[socket] = OrderSocket(token)
        return None

    def close(self, socket: int) -> None:
        for table in (self.markets, self.deep, self.orders):
            table.pop(socket, None)

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
            if socket in self.orders and message["T"] == "SUB_ORD":
                kinds = set(message["SLIST"])
                one = self.orders[socket]
                one.kinds = one.kinds | kinds if message["SUB_T"] == 1 else one.kinds - kinds
                return (
                    Push(socket, json.dumps({"code": SUBSCRIBED, "message": "Successfully subscribed", "s": "ok"})),
                )
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        return (Push(socket, json.dumps({"code": -50, "message": "Invalid message", "s": "error"})),)

    def _hear_market(self, one: MarketSocket, data: str | bytes, now_ns: int) -> Iterator[bytes]:
        if isinstance(data, str) or one.message < 0:
            return
        try:
            kind, fields = hsm.fields_of(data)
            if kind == hsm.AUTH:
                key = fields[1].decode("ascii", "replace")
                good = self._session.opens_feed(key, now_ns)
                one.token = self._session.tokens.access if good else None
                yield hsm.frame(kind, hsm.GOOD if good else b"N", struct.pack(">I", ACK_EVERY))
            elif one.token is None:
                return
            elif kind == hsm.ACK:
                (one.acknowledged,) = struct.unpack(">I", fields[1])
            elif kind in (hsm.SUBSCRIBE, hsm.UNSUBSCRIBE):
                yield from self._topics(one, kind, hsm.listed(fields[1]), fields[2][0])
            elif kind == hsm.MODE:
                one.modes |= dict.fromkeys(hsm.channels_of(fields[1]), fields[2])
                yield hsm.frame(kind, hsm.GOOD)
            elif kind in (hsm.PAUSE, hsm.RESUME):
                channels = set(hsm.channels_of(fields[1]))
                one.paused = one.paused | channels if kind == hsm.PAUSE else one.paused - channels
                yield hsm.frame(kind, hsm.GOOD)
        except (ValueError, LookupError, struct.error):
            return  # the real server answers nothing it cannot read

    def _topics(self, one: MarketSocket, kind: int, names: Sequence[bytes], channel: int) -> Iterator[bytes]:
        if kind == hsm.UNSUBSCRIBE:
            for name in names:
                one.topics.pop(name, None)
            yield hsm.frame(kind, hsm.GOOD)
            return
        if len(one.topics.keys() | set(names)) > MOST_TOPICS:
            text = f"Symbol limit of {MOST_TOPICS} exceeded".encode()
            yield hsm.frame(hsm.MESSAGE, struct.pack(">i", OVER_LIMIT), text, bytes((kind,)))
            return
        yield hsm.frame(kind, hsm.GOOD)
        for name in names:
            word, _, rest = name.decode("utf-8", "replace").partition("|")
            named = self._names.by_topic.get(rest)
            if named is not None and (word == "if") is named.is_index and word in ("sf", "if", "dp"):
                one.given += 1
                one.topics[name] = Topic(one.given, channel, word, named)

    def _hear_deep(self, one: DeepSocket, message: Mapping[str, Any]) -> Iterator[bytes]:
        told = message["data"]
        if message["type"] == 2:
            one.on = (one.on | set(told["resumeChannels"])) - set(told["pauseChannels"])
        elif message["type"] == 1:
            for symbol in told["symbols"]:
                named = self._names.by_key.get(symbol)
                one.symbols.pop(symbol, None)
                one.told.pop(symbol, None)
                if told["subs"] != 1:
                    continue
                if named is None or named.exchange not in ("NSE", "NFO") or named.is_index:
                    yield _deep_error(f"Invalid symbol {symbol}")
                elif len(one.symbols) >= MOST_DEEP:
                    yield _deep_error("Symbol limit reached")
                else:
                    one.symbols[symbol] = str(told["channel"])
                    one.dirty.add(symbol)

    # --- what clients hear ------------------------------------------------------------------------------------------

    def poll(self, now_ns: int) -> Sequence[Push]:
        """Return what became due; sockets whose token died end (unverified: the market socket may stay, mute)."""
        pushes = list(self._ended(now_ns))
        changed = [self._names.by_id[name] for name in self._changes.fresh() if name in self._names.by_id]
        pushes += self._order_pushes()
        for socket, one in self.markets.items():
            fresh = {named.token for named in changed}
            for topic in one.topics.values():
                topic.dirty = topic.dirty or topic.named.token in fresh
            if now_ns >= one.next_ns:
                frames = list(self._frames(one))
                one.next_ns = now_ns + self._pace_ns if frames else one.next_ns
                pushes += (Push(socket, frame) for frame in frames)
        for socket, deep in self.deep.items():
            deep.dirty |= {named.key for named in changed if named.key in deep.symbols}
            if now_ns >= deep.next_ns and (due := [one for one in deep.dirty if deep.symbols.get(one) in deep.on]):
                deep.next_ns = now_ns + self._pace_ns
                deep.dirty -= set(due)
                pushes += (Push(socket, self._difference(deep, symbol, now_ns)) for symbol in sorted(due))
        return pushes

    def _ended(self, now_ns: int) -> Iterator[Push]:
        alive = self._session.tokens.valid
        for table in (self.markets, self.deep, self.orders):
            found: Mapping[int, Any] = table
            dead = [at for at, one in found.items() if one.token is not None and not alive(one.token, now_ns)]
            for socket in dead:
                self.close(socket)
                yield Push(socket, close_code=1000)

    def _order_pushes(self) -> Iterator[Push]:
        for event in self._venue.events(self._account, self._seen):
            self._seen = event.sequence
            before, after = self._states.get(event.order.order_id), event.order
            self._states[after.order_id] = after
            named = self._names.by_id[after.order.instrument_id]
            if event.fill is not None:
                yield from self._tell("trades", trade_message(event.fill, named, after))
                for held in self._venue.positions(self._account):
                    if held.instrument_id == named.instrument_id:
                        row = position_row(held, self._venue.market(named.instrument_id), named)
                        yield from self._tell("positions", _position_message(row))
            for status in STATUS.between(before, after):
                row = order_row(after, status, named, self._account)
                yield from self._tell("orders", order_message(row, after))

    def _tell(self, kind: str, row: Mapping[str, Any]) -> Iterator[Push]:
        text = json.dumps({kind: row, "s": "ok"})
        return (Push(socket, text) for socket, one in self.orders.items() if kind in one.kinds)

    # --- bytes: topics ----------------------------------------------------------------------------------------------

    def _frames(self, one: MarketSocket) -> Iterator[bytes]:
        found: list[bytes] = []
        for name, topic in one.topics.items():
            if topic.dirty and topic.channel not in one.paused:
                topic.dirty = False
                found += self._records(one, name, topic)
        for at in range(0, len(found), PER_FRAME):
            part = found[at : at + PER_FRAME]
            one.message += 1
            body = _HEAD.pack(0, hsm.DATA, one.message, len(part)) + b"".join(part)
            yield struct.pack(">H", len(body) - 2 & 0xFFFF) + body[2:]

    def _records(self, one: MarketSocket, name: bytes, topic: Topic) -> Iterator[bytes]:
        named, divisor = topic.named, 10**topic.named.precision
        market = self._venue.market(named.instrument_id)
        values = market_values(market, named.unit, most=_TOTALS)
        values |= {"price_band_low": market.band_low, "price_band_high": market.band_high}
        vector = self._encoder.vector(name, _topic_values(topic.kind, values), divisor)
        before, topic.told = topic.told, vector
        if before is None:
            texts = (
                named.topic.partition("|")[0].encode(),
                named.topic.partition("|")[2].encode(),
                named.root.encode(),
            )
            yield self._encoder.define("snapshot", topic.number, name, vector, precision=named.precision, texts=texts)
        elif one.modes.get(topic.channel) == hsm.LITE:
            if topic.kind != "dp" and before[0] != vector[0]:
                yield self._encoder.lite("lite", topic.number, values, divisor)
        elif before != vector:
            yield self._encoder.update("update", topic.number, self._encoder.changes(before, vector))

    # --- bytes: 50 levels -------------------------------------------------------------------------------------------

    def _difference(self, one: DeepSocket, symbol: str, now_ns: int) -> bytes:
        """Return a snapshot the first time, and then what changed of each place."""
        named = self._names.by_key[symbol]
        market = self._venue.market(named.instrument_id)
        before, whole = one.told.get(symbol), symbol not in one.told
        after = [_rows(market, named, side) for side in ("asks", "bids")]
        one.told[symbol] = after
        number = one.numbers[symbol] = one.numbers.get(symbol, 0) + 1
        depth = [
            _wrapped(1, "uint64", named.wire_quantity(market.total_buy_quantity)),
            _wrapped(2, "uint64", named.wire_quantity(market.total_sell_quantity)),
        ]
        for at, field_number in enumerate((3, 4)):
            old = before[at] if before else []
            for place in range(max(len(after[at]), len(old))):
                new = after[at][place] if place < len(after[at]) else (0, 0, 0)
                was = old[place] if place < len(old) else (None, None, None)
                told = enumerate(zip(("int64", "uint32", "uint32"), new, was, strict=True), 1)
                cells = [_wrapped(cell, kind, value) for cell, (kind, value, then) in told if value != then]
                if cells:
                    depth.append(proto_message(field_number, *cells, _wrapped(4, "uint32", place)))
        feed = (
            proto_message(5, *depth)
            + _wrapped(6, "uint64", market.ts // SECOND)
            + _wrapped(7, "uint64", now_ns // SECOND)
        )
        feed += proto_field(8, "string", named.fy_token) + proto_field(9, "uint64", number)
        feed += proto_field(10, "bool", whole) + proto_field(11, "string", symbol)
        return proto_field(1, "enum", 6) + proto_map(2, {symbol: feed}) + proto_field(3, "bool", whole)


def _topic_values(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    bids, asks = values["bids"], values["asks"]
    best = {
        f"{word}_{what}": side[0][at]
        for word, side in (("bid", bids), ("ask", asks))
        if side
        for at, what in enumerate(("price", "quantity"))
    }
    return values | best if kind == "sf" else values


def _rows(market: MarketView, named: Named, side: str) -> list[tuple[int, int, int]]:
    return [
        (int(price * 100), named.wire_quantity(quantity), orders)
        for price, quantity, orders in list(getattr(market, side))[:LEVELS]
    ]


def _wrapped(number: int, kind: Any, value: int | Decimal) -> bytes:
    return proto_message(number, proto_field(1, kind, value))


def _misread(socket: int, why: str) -> Push:
    return Push(socket, json.dumps({"code": -50, "message": f"Invalid message: {why}", "s": "error"}))


def _deep_error(text: str) -> bytes:
    return proto_field(1, "enum", 8) + proto_field(4, "string", text) + proto_field(5, "bool", True)


_POSITION: Final[Mapping[str, str | Callable[[Mapping[str, Any]], Any]]] = {
    "symbol": "symbol",
    "id": "id",
    "buy_avg": "buyAvg",
    "buy_qty": "buyQty",
    "buy_val": "buyVal",
    "sell_avg": "sellAvg",
    "sell_qty": "sellQty",
    "sell_val": "sellVal",
    "net_avg": "netAvg",
    "net_qty": "netQty",
    "tran_side": "side",
    "qty": "qty",
    "product_type": "productType",
    "pl_realized": "realized_profit",
    "pl_unrealized": "unrealized_profit",
    "pl_total": "pl",
    "day_buy_qty": "dayBuyQty",
    "day_sell_qty": "daySellQty",
    "cf_buy_qty": "cfBuyQty",
    "cf_sell_qty": "cfSellQty",
    "qty_multiplier": "qtyMulti_com",
    "rbirefrate": "rbiRefRate",
    "cross_curr_flag": "crossCurrency",
    "fy_token": "fyToken",
    "exchange": "exchange",
    "segment": "segment",
}


def _position_message(row: Mapping[str, Any]) -> dict[str, Any]:
    return {raw: row[str(book)] for raw, book in _POSITION.items()}
