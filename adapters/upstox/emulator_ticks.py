"""The streams: the market's protobuf frames, and what the account is told of its orders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Final

from dragoman.emulator.parts import (
    SECOND,
    ConflatedSockets,
    HttpAnswer,
    HttpCall,
    Listeners,
    MarketView,
    OrderChanges,
    Push,
    VenueProtocol,
    proto_field,
    proto_message,
)
from dragoman.emulator.parts import ConflatedClient as Client

from .emulator_more import MoneyDesk
from .emulator_names import Named, NameTable
from .emulator_session import MARKET, SessionDesk, updates_of
from .emulator_triggers import GttDesk
from .emulator_words import STATUS, order_row
from .words import MARKET_STATUS, SEGMENT

MOST_SOCKETS: Final = 2  # of the market, per user
PER_FRAME: Final = 100
INITIAL, LIVE, INFO = 0, 1, 2
MODES: Final = {"ltpc": 0, "full": 1, "option_greeks": 2, "full_d30": 3}
ALONE: Final = {"ltpc": 5000, "option_greeks": 3000, "full": 2000, "full_d30": 50}
MIXED: Final = {"ltpc": 2000, "option_greeks": 2000, "full": 1500, "full_d30": 1500}
LEVELS: Final = {"full": 5, "full_d30": 30}


class Streams:
    """All sockets of the app."""

    def __init__(
        self,
        venue: VenueProtocol,
        names: NameTable,
        session: SessionDesk,
        money: MoneyDesk,
        gtts: GttDesk,
        tick_rate: float,
    ) -> None:
        if tick_rate <= 0:
            raise ValueError(f"upstox: tick_rate is {tick_rate}, expected ticks per second above 0")
        self._venue, self._names, self._session, self._money, self._gtts = venue, names, session, money, gtts
        self._now_ns = 0
        self._cursor = 0
        self._orders = OrderChanges(venue, session.user_id)
        self._listeners = Listeners()
        self._greeted: list[Push] = []
        self._live = session.tokens
        self.sockets = ConflatedSockets(
            int(SECOND / tick_rate), self._entry, self._frame, per_frame=PER_FRAME, heartbeat=None
        )

    # --- sockets ----------------------------------------------------------------------------------------------------

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        if call.path.startswith("/market-data-feeder") and len(self.sockets) >= MOST_SOCKETS:
            return HttpAnswer(403)
        stream = self._session.admit(call, now_ns)
        if isinstance(stream, HttpAnswer):
            return stream
        token = self._session.tokens.access
        if stream == MARKET:
            self.sockets.open(socket, token, now_ns)
            self._greeted.append(Push(socket, market_info(now_ns)))
        else:
            asked = dict(call.query).get("update_types", "order")
            self._listeners.open(socket, token, updates_of(asked))
        return None

    def close(self, socket: int) -> None:
        self.sockets.close(socket)
        self._listeners.close(socket)

    # --- what a client says -------------------------------------------------------------------------------------------

    def hear(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        """Take a request: JSON in a binary frame. Nothing is ever acknowledged, and what is wrong is ignored."""
        client = self.sockets.get(socket)
        if client is None or isinstance(data, str):
            return ()
        try:
            message = json.loads(data)
            method, asked = message["method"], message["data"]
            tokens = [one.token for key in asked["instrumentKeys"] if (one := self._names.by_key.get(key))]
        except (ValueError, KeyError, TypeError, RecursionError):
            return ()
        mode = asked.get("mode") or "ltpc"
        if method == "unsub":
            self.sockets.unsubscribe(client, tokens)
        elif mode in MODES and method in ("sub", "change_mode"):
            return self._subscribe(socket, client, tokens, mode, now_ns)
        return ()

    def _subscribe(self, socket: int, client: Client, tokens: list[int], mode: str, now_ns: int) -> Sequence[Push]:
        wanted = client.modes | dict.fromkeys(tokens, mode)
        most = (ALONE if len(set(wanted.values())) == 1 else MIXED)[mode]
        room = most - sum(1 for key, had in client.modes.items() if had == mode and key not in tokens)
        taken = tokens[: max(room, 0)]
        self.sockets.subscribe(client, taken, mode, len(client.modes) + len(taken))
        self.sockets.set_mode(client, taken, mode)
        for token in taken:
            client.dirty.pop(token, None)
        self._now_ns = now_ns
        parts = [taken[at : at + PER_FRAME] for at in range(0, len(taken), PER_FRAME)]
        greetings, self._greeted = self._greeted, []  # they come first
        frames = (self._frame([self._entry(key, mode) for key in part], INITIAL) for part in parts)
        return [*greetings, *(Push(socket, frame) for frame in frames)]

    # --- what clients hear --------------------------------------------------------------------------------------------

    def poll(self, now_ns: int) -> Sequence[Push]:
        """Return what became due; sockets whose token died end (unverified: the broker may let them live)."""
        self._now_ns = now_ns
        pushes, self._greeted = self._greeted, []

        def dead(token: str) -> bool:
            return not self._live.valid(token, now_ns)

        self.sockets.drop(dead)
        pushes += self._listeners.poll(dead, self._updates())
        return [*pushes, *self.sockets.poll(now_ns, (), self._changes)]

    def _changes(self) -> Iterator[int]:
        self._cursor, changed = self._venue.changed(self._cursor)
        return (self._names.by_id[name].token for name in changed if name in self._names.by_id)

    def _updates(self) -> Iterator[tuple[str, str]]:
        """Write the account's new events as text frames: every state of every order, positions after fills, GTTs."""
        user, filled = self._session.user_id, False
        for before, after in self._orders.fresh():
            named = self._names.by_id[after.order.instrument_id]
            filled |= before is not None and after.filled_quantity > before.filled_quantity
            for status in STATUS.between(before, after):
                row = order_row(after, status, named, user)
                head = {"update_type": "order", "user_id": user, "instrument_key": named.key}
                yield "order", json.dumps(head | row)
        for row in self._gtts.changes():
            yield "gtt_order", json.dumps(row | {"user_id": user})
        if filled:
            for row in self._money.position_rows(funded=False):
                yield "position", json.dumps({"update_type": "position", "user_id": user} | row)

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _entry(self, token: int, mode: str) -> bytes:
        """Return the map entry of an instrument in a mode."""
        named = self._names.by_token[token]
        body = feed(named, self._venue.market(named.instrument_id), mode)
        return proto_message(2, proto_field(1, "string", named.key), proto_message(2, body))

    def _frame(self, entries: Sequence[bytes], kind: int = LIVE) -> bytes:
        stamp = proto_field(3, "int64", self._now_ns // 1_000_000)
        return proto_field(1, "enum", kind) + b"".join(entries) + stamp


def market_info(now_ns: int) -> bytes:
    """Return the first frame: the status of every segment."""
    status = proto_field(2, "enum", MARKET_STATUS.index("NORMAL_OPEN"))
    segments = (proto_message(1, proto_field(1, "string", name), status) for name in SEGMENT if "INDEX" not in name)
    return proto_field(1, "enum", INFO) + proto_field(3, "int64", now_ns // 1_000_000) + proto_message(4, *segments)


def feed(named: Named, market: MarketView, mode: str) -> bytes:
    """Write one instrument's feed. Zeros are left out, as proto3 does."""
    wire = named.wire_quantity
    ltpc = proto_message(
        1,
        proto_field(1, "double", float(market.last_price)),
        proto_field(2, "int64", market.last_trade_ts // 1_000_000),
        b"" if named.is_index else proto_field(3, "int64", wire(market.last_quantity)),
        proto_field(4, "double", float(market.close)),
    )
    asked = proto_field(4, "enum", MODES[mode])
    if mode == "ltpc":
        return ltpc
    if named.is_index:
        return proto_message(2, proto_message(2, ltpc, proto_message(2, *_candles(named, market)))) + asked
    totals = (("int64", wire(market.volume)), ("double", float(wire(Decimal(market.oi)))))
    if mode == "option_greeks":
        volume, oi = (proto_field(at, *total) for at, total in enumerate(totals, 4))  # type: ignore[arg-type]
        return proto_message(3, ltpc, proto_message(2, *_levels(named, market, 1)), volume, oi) + asked
    volume, oi = (proto_field(at, *total) for at, total in enumerate(totals, 6))  # type: ignore[arg-type]
    rows = [proto_message(1, row) for row in _levels(named, market, LEVELS[mode])]
    body = proto_message(
        1,
        ltpc,
        proto_message(2, *rows),
        proto_message(4, *_candles(named, market)),
        proto_field(5, "double", float(round(market.average_price, 2))),
        volume,
        oi,
        proto_field(9, "double", float(wire(market.total_buy_quantity))),
        proto_field(10, "double", float(wire(market.total_sell_quantity))),
    )
    return proto_message(2, body) + asked


def _levels(named: Named, market: MarketView, most: int) -> list[bytes]:
    """Write rows of one bid and one ask each."""
    pairs = zip_longest(market.bids[:most], market.asks[:most], fillvalue=(Decimal(0), Decimal(0), 0))
    return [
        b"".join(
            proto_field(number, "int64", named.wire_quantity(quantity))
            + proto_field(number + 1, "double", float(price))
            for number, (price, quantity, _) in ((1, bid), (3, ask))
        )
        for bid, ask in pairs
    ]


def _candles(named: Named, market: MarketView) -> Iterator[bytes]:
    """Write the day, and the minute twice: the one before and the running one go by the same name."""
    last = float(market.last_price)
    day = (float(market.open), float(market.high), float(market.low), last)
    for interval, prices in (("1d", day), ("I1", (last,) * 4), ("I1", (last,) * 4)):
        values = [proto_field(at, "double", price) for at, price in enumerate(prices, 2)]
        volume = b"" if named.is_index else proto_field(6, "int64", named.wire_quantity(market.volume))
        stamp = proto_field(7, "int64", market.ts // 1_000_000)
        yield proto_message(1, proto_field(1, "string", interval), *values, volume, stamp)
