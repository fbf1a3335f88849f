"""The ticker: subscriptions, ticks in three modes, heartbeats and order updates on one socket.

Ticks are conflated: at every beat of the tick rate a socket gets one frame with the latest packet of each of its
instruments that changed. Packets are written by the layouts of `feed.STREAM`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dragoman.emulator.contract import HttpAnswer, HttpCall, Push
from dragoman.emulator.counting import SECOND
from dragoman.emulator.encode import StreamEncoder
from dragoman.emulator.venue.types import MarketView, OrderState, VenueProtocol
from dragoman.plugin import model

from .emulator_names import Named, NameTable
from .emulator_session import SessionDesk
from .emulator_words import KiteError, order_row, spell
from .feed import STREAM

MOST_SOCKETS: Final = 3  # per api_key
MOST_INSTRUMENTS: Final = 3000  # per socket
PACKETS_PER_FRAME: Final = 250
HEARTBEAT: Final = b"\x00"
MODES: Final = ("ltp", "quote", "full")
_INDEX_CHANGE: Final = (24, struct.Struct(">i"))  # field no official parser reads, so that no layout has it
_LARGEST: Final = 2**32 - 1


@dataclass(slots=True)
class Client:
    """One connected ticker."""

    token: str
    modes: dict[int, str] = field(default_factory=dict)  # token -> mode
    dirty: dict[int, None] = field(default_factory=dict)  # tokens that changed since their last packet, in order
    next_ns: int = 0
    last_frame_ns: int = 0


class Ticker:
    """All sockets of the app."""

    def __init__(
        self, venue: VenueProtocol, names: NameTable, session: SessionDesk, account: str, tick_rate: float
    ) -> None:
        if tick_rate <= 0:
            raise ValueError(f"zerodha: tick_rate is {tick_rate}, expected ticks per second above 0")
        self._venue = venue
        self._names = names
        self._session = session
        self._account = account
        self._pace_ns = int(SECOND / tick_rate)
        self._encoder = StreamEncoder(STREAM)
        self._clients: dict[int, Client] = {}
        self._doomed: list[int] = []
        self._cursor = 0
        self._events = 0
        self._states: dict[str, OrderState] = {}

    # --- sockets ----------------------------------------------------------------------------------------------------

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        query = dict(call.query)
        api_key, token = query.get("api_key"), query.get("access_token")
        if call.path not in ("", "/"):
            return KiteError("GeneralException", "Route not found", 404).answer()
        if not api_key or not token:
            return HttpAnswer(400)
        if api_key != self._session.api_key or not self._session.valid(token, now_ns):
            return HttpAnswer(403)
        if len(self._clients) >= MOST_SOCKETS:
            return KiteError("NetworkException", "Too many connections").answer()
        self._clients[socket] = Client(token, next_ns=now_ns, last_frame_ns=now_ns)
        return None

    def close(self, socket: int) -> None:
        self._clients.pop(socket, None)

    def drop_dead(self, now_ns: int) -> None:
        """End the sockets whose token died (unverified: the broker may let them live)."""
        dead = [socket for socket, client in self._clients.items() if not self._session.valid(client.token, now_ns)]
        for socket in dead:
            del self._clients[socket]
        self._doomed += dead

    # --- what a client says -------------------------------------------------------------------------------------------

    def hear(self, socket: int, data: str | bytes) -> Sequence[Push]:
        client = self._clients.get(socket)
        if client is None:
            return ()
        try:
            message = json.loads(data)
            action, value = message["a"], message["v"]
            if action == "mode":
                mode, tokens = value
                if mode not in MODES:
                    return (_error(socket, f"Invalid mode {mode!r}"),)
            else:
                mode, tokens = "quote", value
            wanted = [int(token) for token in tokens]
        except (ValueError, KeyError, TypeError, RecursionError):
            return (_error(socket, "Invalid message"),)
        match action:
            case "subscribe":
                return self._subscribe(socket, client, wanted)
            case "unsubscribe":
                for token in wanted:
                    client.modes.pop(token, None)
                    client.dirty.pop(token, None)
            case "mode":
                for token in wanted:
                    if token in client.modes:
                        client.modes[token] = mode
                        client.dirty[token] = None
            case _:
                return (_error(socket, f"Invalid action {action!r}"),)
        return ()

    def _subscribe(self, socket: int, client: Client, tokens: Iterable[int]) -> Sequence[Push]:
        known = [token for token in dict.fromkeys(tokens) if token in self._names.by_token]  # unknown ones are ignored
        fresh = [token for token in known if token not in client.modes]
        if len(client.modes) + len(fresh) > MOST_INSTRUMENTS:
            return (_error(socket, f"Maximum number of instruments per connection is {MOST_INSTRUMENTS}"),)
        for token in fresh:
            client.modes[token] = "quote"
            client.dirty[token] = None
        return ()

    # --- what clients hear --------------------------------------------------------------------------------------------

    def poll(self, now_ns: int) -> Sequence[Push]:
        """Return what became due. The venue has been advanced to `now_ns`."""
        pushes = [Push(socket, close_code=1000) for socket in self._doomed]
        self._doomed.clear()
        for text in self._order_updates():
            for socket, client in self._clients.items():
                client.last_frame_ns = now_ns
                pushes.append(Push(socket, text))
        if self._clients:
            self._mark_changes()
        packets: dict[tuple[int, str], bytes] = {}
        for socket, client in self._clients.items():
            if client.dirty and now_ns >= client.next_ns:
                client.next_ns = now_ns + self._pace_ns
                client.last_frame_ns = now_ns
                pushes += (Push(socket, frame) for frame in self._frames(client, packets))
            elif now_ns - client.last_frame_ns >= SECOND:
                client.last_frame_ns = now_ns
                pushes.append(Push(socket, HEARTBEAT))
        return pushes

    def _mark_changes(self) -> None:
        self._cursor, changed = self._venue.changed(self._cursor)
        by_id = self._names.by_id
        tokens = [by_id[instrument_id].token for instrument_id in changed if instrument_id in by_id]
        for client in self._clients.values():
            client.dirty.update((token, None) for token in tokens if token in client.modes)

    def _frames(self, client: Client, packets: dict[tuple[int, str], bytes]) -> Iterator[bytes]:
        """Empty the client's list of changes into frames. Clients of one poll share what is packed."""
        waiting = [(token, client.modes[token]) for token in client.dirty]
        client.dirty.clear()
        for key in waiting:
            if key not in packets:
                named = self._names.by_token[key[0]]
                packets[key] = self.packet(named, self._venue.market(named.instrument_id), key[1])
        for start in range(0, len(waiting), PACKETS_PER_FRAME):
            yield self._encoder.frame([packets[key] for key in waiting[start : start + PACKETS_PER_FRAME]])

    def packet(self, named: Named, market: MarketView, mode: str) -> bytes:
        """Return the packet of an instrument in a mode."""
        values: dict[str, Any] = {
            "key": named.token,
            "last_price": market.last_price,
            "open": market.open,
            "high": market.high,
            "low": market.low,
            "previous_close": market.close,
            "ts_event": market.ts,
        }
        if named.is_index:
            if mode == "ltp":
                return self._encoder.packet("ltp_index", values)
            packet = bytearray(self._encoder.packet(f"index_{mode}", values))
            offset, change = _INDEX_CHANGE
            change.pack_into(packet, offset, round((market.last_price - market.close) * 100))
            return bytes(packet)
        if mode != "ltp":
            unit = named.unit
            values |= {
                "average_price": market.average_price,
                "last_quantity": market.last_quantity / unit,
                "volume": min(market.volume / unit, _LARGEST),
                "total_buy_quantity": market.total_buy_quantity / unit,
                "total_sell_quantity": market.total_sell_quantity / unit,
            }
        if mode == "full":
            values |= {
                "last_trade_time": market.last_trade_ts,
                "oi": int(market.oi / unit),
                "oi_high": int(market.oi_high / unit),
                "oi_low": int(market.oi_low / unit),
                "bids": [(price, quantity / unit, orders) for price, quantity, orders in market.bids],
                "asks": [(price, quantity / unit, orders) for price, quantity, orders in market.asks],
            }
        return self._encoder.packet(mode, values)

    def _order_updates(self) -> Iterator[str]:
        """Write the account's new order events as text frames: every state, of every order, to every socket.

        A partial fill and a modification of an open order are both called UPDATE here, unlike in the book.
        """
        for event in self._venue.events(self._account, self._events):
            self._events = event.sequence
            state = event.order
            before = self._states.get(state.order_id)
            self._states[state.order_id] = state
            named = self._names.by_id[state.order.instrument_id]
            for status in spell(before, state):
                word = status
                if status == "MODIFIED" or (status == "OPEN" and state.status is model.OrderStatus.PARTIALLY_FILLED):
                    word = "UPDATE"
                row = order_row(state, word, named, self._account)
                yield json.dumps({"type": "order", "id": "", "data": row})


def _error(socket: int, text: str) -> Push:
    return Push(socket, json.dumps({"type": "error", "data": text}))
