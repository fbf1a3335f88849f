"""The streams: the market's protobuf frames, and what the account is told of its orders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice, zip_longest
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    ConflatedClient,
    HttpAnswer,
    HttpCall,
    Listeners,
    Push,
    QuoteView,
    TickDesk,
    VenueProtocol,
    millis,
    proto_field,
    proto_message,
    write,
)

from .emulator_more import MoneyDesk
from .emulator_names import NameTable
from .emulator_session import MARKET, SessionDesk, updates_of
from .emulator_triggers import GttDesk
from .emulator_words import ORDER, Upstox
from .words import MARKET_STATUS, SEGMENT

MOST_SOCKETS: Final = 2  # of the market, per user
PER_FRAME: Final = 100
INITIAL, LIVE, INFO = 0, 1, 2
MODES: Final = {"ltpc": 0, "full": 1, "option_greeks": 2, "full_d30": 3}
ALONE: Final = {"ltpc": 5000, "option_greeks": 3000, "full": 2000, "full_d30": 50}
MIXED: Final = {"ltpc": 2000, "option_greeks": 2000, "full": 1500, "full_d30": 1500}
LEVELS: Final = {"full": 5, "full_d30": 30}


class Streams(Upstox, TickDesk[NameTable]):
    """All sockets of the app. Nothing they say is acknowledged, and what is wrong is ignored."""

    per_frame: ClassVar = PER_FRAME

    def __init__(
        self,
        venue: VenueProtocol,
        names: NameTable,
        session: SessionDesk,
        money: MoneyDesk,
        gtts: GttDesk,
        pace_ns: int,
    ) -> None:
        super().__init__(venue, names, session, pace_ns)
        self._desk, self._money, self._gtts = session, money, gtts
        self._listeners = Listeners()
        self._greeted: list[Push] = []

    # --- sockets ----------------------------------------------------------------------------------------------------

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        if call.path.startswith("/market-data-feeder") and len(self.sockets) >= MOST_SOCKETS:
            return HttpAnswer(403)
        stream, token = self._desk.admit(call, now_ns), self.session.tokens.access
        if isinstance(stream, HttpAnswer):
            return stream
        if stream == MARKET:
            self.sockets.open(socket, token, now_ns)
            self._greeted.append(Push(socket, market_info(now_ns)))
        else:
            self._listeners.open(socket, token, updates_of(dict(call.query).get("update_types", "order")))
        return None

    def close(self, socket: int) -> None:
        super().close(socket)
        self._listeners.close(socket)

    # --- what a client says -------------------------------------------------------------------------------------------

    def hear(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        """Take a request: JSON in a binary frame."""
        return () if isinstance(data, str) else super().hear(socket, data, now_ns)

    def command(self, socket: int, client: ConflatedClient, message: Mapping[str, Any]) -> Sequence[Push]:
        method, asked = message["method"], message["data"]
        tokens, mode = self.names.tokens(asked["instrumentKeys"]), asked.get("mode") or "ltpc"
        if method == "unsub":
            self.sockets.unsubscribe(client, tokens)
        elif mode in MODES and method in ("sub", "change_mode"):
            return self._subscribe(socket, client, tokens, mode)
        return ()

    def _subscribe(self, socket: int, client: ConflatedClient, tokens: list[int], mode: str) -> Sequence[Push]:
        wanted = client.modes | dict.fromkeys(tokens, mode)
        most = (ALONE if len(set(wanted.values())) == 1 else MIXED)[mode]
        room = most - sum(1 for key, had in client.modes.items() if had == mode and key not in tokens)
        taken = tokens[: max(room, 0)]
        self.sockets.subscribe(client, taken, mode, len(client.modes) + len(taken))
        self.sockets.set_mode(client, taken, mode)
        for token in taken:
            client.dirty.pop(token, None)
        parts = [taken[at : at + PER_FRAME] for at in range(0, len(taken), PER_FRAME)]
        greetings, self._greeted = self._greeted, []  # they come first
        frames = (self.frame([self.entry(key, mode) for key in part], INITIAL) for part in parts)
        return [*greetings, *(Push(socket, frame) for frame in frames)]

    # --- what clients hear --------------------------------------------------------------------------------------------

    def poll(self, now_ns: int) -> Sequence[Push]:
        greetings, self._greeted = self._greeted, []
        return [*greetings, *self._listeners.poll(self.dead(now_ns), self._news()), *super().poll(now_ns)]

    def _news(self) -> Iterator[tuple[str, str]]:
        """Write the account's new events as text frames: every state of every order, positions after fills, GTTs."""
        who, filled = {"user_id": self.account}, False
        for event, shown in self.updates():
            filled |= event.fill is not None
            for one in shown:
                head = {"update_type": "order", "instrument_key": one.named.key}
                yield "order", json.dumps(head | who | write(ORDER, one))
        for row in self._gtts.changes():
            yield "gtt_order", json.dumps(row | who)
        for row in self._money.rows(funded=False) if filled else ():
            yield "position", json.dumps({"update_type": "position"} | who | row)

    # --- bytes --------------------------------------------------------------------------------------------------------

    def entry(self, token: int, mode: str) -> bytes:
        """Return the map entry of an instrument in a mode."""
        named = self.names.by_token[token]
        return proto_message(2, proto_field(1, "string", named.key), proto_message(2, feed(self.quote(named), mode)))

    def frame(self, packets: Sequence[bytes], kind: int = LIVE) -> bytes:
        stamp = proto_field(3, "int64", millis(self.now_ns))
        return proto_field(1, "enum", kind) + b"".join(packets) + stamp


def market_info(now_ns: int) -> bytes:
    """Return the first frame: the status of every segment."""
    status = proto_field(2, "enum", MARKET_STATUS.index("NORMAL_OPEN"))
    segments = (proto_message(1, proto_field(1, "string", name), status) for name in SEGMENT if "INDEX" not in name)
    return proto_field(1, "enum", INFO) + proto_field(3, "int64", millis(now_ns)) + proto_message(4, *segments)


def feed(one: QuoteView[Any], mode: str) -> bytes:
    """Write one instrument's feed. Zeros are left out, as proto3 does."""
    market, index = one.market, one.named.is_index
    ltpc = proto_message(
        1,
        proto_field(1, "double", float(market.last_price)),
        proto_field(2, "int64", millis(market.last_trade_ts)),
        proto_field(3, "int64", None if index else one.last_quantity),
        proto_field(4, "double", float(market.close)),
    )
    asked = proto_field(4, "enum", MODES[mode])
    if mode == "ltpc":
        return ltpc
    if index:
        return proto_message(2, proto_message(2, ltpc, proto_message(2, *_candles(one)))) + asked
    if mode == "option_greeks":
        totals = (proto_field(4, "int64", one.volume), proto_field(5, "double", one.oi))
        return proto_message(3, ltpc, proto_message(2, *_levels(one, 1)), *totals) + asked
    body = proto_message(
        1,
        ltpc,
        proto_message(2, *(proto_message(1, row) for row in _levels(one, LEVELS[mode]))),
        proto_message(4, *_candles(one)),
        proto_field(5, "double", float(round(market.average_price, 2))),
        proto_field(6, "int64", one.volume),
        proto_field(7, "double", one.oi),
        proto_field(9, "double", one.buy_quantity),
        proto_field(10, "double", one.sell_quantity),
    )
    return proto_message(2, body) + asked


def _levels(one: QuoteView[Any], most: int) -> list[bytes]:
    """Write rows of one bid and one ask each."""
    pairs = islice(zip_longest(one.bids, one.asks, fillvalue=(Decimal(0), 0, 0)), most)
    return [
        b"".join(
            proto_field(number, "int64", quantity) + proto_field(number + 1, "double", float(price))
            for number, (price, quantity, _) in ((1, bid), (3, ask))
        )
        for bid, ask in pairs
    ]


def _candles(one: QuoteView[Any]) -> Iterator[bytes]:
    """Write the day, and the minute twice: the one before and the running one go by the same name."""
    market, last = one.market, float(one.market.last_price)
    volume = proto_field(6, "int64", None if one.named.is_index else one.volume)
    tail = volume + proto_field(7, "int64", millis(market.ts))
    day = (float(market.open), float(market.high), float(market.low), last)
    for interval, prices in (("1d", day), ("I1", (last,) * 4), ("I1", (last,) * 4)):
        values = (proto_field(at, "double", price) for at, price in enumerate(prices, 2))
        yield proto_message(1, proto_field(1, "string", interval), *values, tail)
