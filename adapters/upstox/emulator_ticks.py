"""The streams: the market's protobuf frames, and what the account is told of its orders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    As,
    ConflatedClient,
    Each,
    HttpAnswer,
    HttpCall,
    Listeners,
    ProtoTable,
    Push,
    QuoteView,
    TickDesk,
    VenueProtocol,
    cents,
    millis,
    proto_field,
    proto_message,
    write,
    write_proto,
)

from .emulator_more import AccountDesk
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


class Streams(Upstox, TickDesk[NameTable]):
    """All sockets of the app. Nothing they say is acknowledged, and what is wrong is ignored."""

    per_frame: ClassVar = PER_FRAME

    def __init__(
        self,
        venue: VenueProtocol,
        names: NameTable,
        session: SessionDesk,
        money: AccountDesk,
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
        taken = self.sockets.take(client, tokens, mode, most)
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


# --- the feed of an instrument ----------------------------------------------------------------------------------------

_PRICE: Final[ProtoTable] = (
    (1, "double", ".market.last_price"),
    (2, "int64", As(".market.last_trade_ts", millis)),
    (4, "double", ".market.close"),
)
_LTPC: Final[ProtoTable] = (*_PRICE, (3, "int64", ".last_quantity"))
_PAIR: Final[ProtoTable] = (
    (1, "int64", ".bid_quantity"),
    (2, "double", ".bid"),
    (3, "int64", ".ask_quantity"),
    (4, "double", ".ask"),
)
_TIME: Final[ProtoTable] = ((7, "int64", As(".market.ts", millis)),)
_DAY: Final[ProtoTable] = (
    (1, "string", "1d"),
    (2, "double", ".market.open"),
    (3, "double", ".market.high"),
    (4, "double", ".market.low"),
    (5, "double", ".market.last_price"),
)
_MINUTE: Final[ProtoTable] = (
    (1, "string", "I1"),
    *((at, "double", ".market.last_price") for at in range(2, 6)),
)
_VOLUME: Final[ProtoTable] = ((6, "int64", ".volume"),)


def _candles(*tail: Any) -> ProtoTable:
    """The day, and the minute twice: the one before and the running one go by the same name."""
    return tuple((1, "message", (*candle, *tail)) for candle in (_DAY, _MINUTE, _MINUTE))


def _full(levels: int) -> ProtoTable:
    body: ProtoTable = (
        (1, "message", _LTPC),
        (2, "message", ((1, "message", Each(".pairs", _PAIR, levels)),)),
        (4, "message", _candles(*_VOLUME, *_TIME)),
        (5, "double", As(".market.average_price", cents)),
        (6, "int64", ".volume"),
        (7, "double", ".oi"),
        (9, "double", ".buy_quantity"),
        (10, "double", ".sell_quantity"),
    )
    return ((2, "message", ((1, "message", body),)),)


FEEDS: Final[Mapping[str, ProtoTable]] = {
    "ltpc": ((1, "message", _LTPC),),
    "full": (*_full(5), (4, "enum", MODES["full"])),
    "option_greeks": (
        (
            3,
            "message",
            (
                (1, "message", _LTPC),
                (2, "message", Each(".pairs", _PAIR, 1)),
                (4, "int64", ".volume"),
                (5, "double", ".oi"),
            ),
        ),
        (4, "enum", MODES["option_greeks"]),
    ),
    "full_d30": (*_full(30), (4, "enum", MODES["full_d30"])),
}
INDEX: Final[ProtoTable] = (
    (2, "message", ((2, "message", ((1, "message", _PRICE), (2, "message", _candles(*_TIME)))),)),
)


def feed(one: QuoteView[Any], mode: str) -> bytes:
    """Write one instrument's feed."""
    if not one.named.is_index:
        return write_proto(FEEDS[mode], one)
    last: ProtoTable = ((1, "message", _PRICE),)
    return write_proto(last if mode == "ltpc" else (*INDEX, (4, "enum", MODES[mode])), one)
