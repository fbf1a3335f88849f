"""The ticker: subscriptions, ticks in three modes, heartbeats and order updates on one socket.

Ticks are conflated: at every beat of the tick rate a socket gets one frame with the latest packet of each of its
instruments that changed. Packets are written by the layouts of `feed.STREAM`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from dragoman.emulator.parts import (
    AppSession,
    ConflatedSockets,
    HttpAnswer,
    HttpCall,
    MarketView,
    Push,
    StreamDesk,
    StreamEncoder,
    VenueProtocol,
    market_values,
)

from .emulator_names import Named, NameTable
from .emulator_words import Kite, KiteError, order_row, update_word
from .feed import STREAM

MOST_SOCKETS: Final = 3  # per api_key
MOST_INSTRUMENTS: Final = 3000  # per socket
PACKETS_PER_FRAME: Final = 250
HEARTBEAT: Final = b"\x00"
MODES: Final = ("ltp", "quote", "full")
_INDEX_CHANGE: Final = (24, struct.Struct(">i"))  # field no official parser reads, so that no layout has it


class Ticker(Kite, StreamDesk[NameTable]):
    """All sockets of the app."""

    def __init__(self, venue: VenueProtocol, names: NameTable, session: AppSession, pace_ns: int) -> None:
        super().__init__(venue, names, session)
        self._encoder = StreamEncoder(STREAM)
        self.sockets = ConflatedSockets(
            pace_ns,
            lambda token, mode: self.packet(names.by_token[token], self.quote(names.by_token[token]).market, mode),
            self._encoder.frame,
            per_frame=PACKETS_PER_FRAME,
            heartbeat=HEARTBEAT,
        )
        self.close = self.sockets.close

    # --- sockets ----------------------------------------------------------------------------------------------------

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        query = dict(call.query)
        api_key, token = query.get("api_key"), query.get("access_token")
        if call.path not in ("", "/"):
            return KiteError.gated(404, None).answer()
        if not api_key or not token:
            return HttpAnswer(400)
        if not self.session.admits(api_key, token, now_ns):
            return HttpAnswer(403)
        if len(self.sockets) >= MOST_SOCKETS:
            return KiteError("NetworkException", "Too many connections").answer()
        self.sockets.open(socket, token, now_ns)
        return None

    # --- what a client says -------------------------------------------------------------------------------------------

    def hear(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        client = self.sockets.get(socket)
        if client is None:
            return ()
        try:
            message = json.loads(data)
            action, value = message["a"], message["v"]
            mode, tokens = value if action == "mode" else ("quote", value)
            wanted = [token for token in map(int, tokens) if token in self.names.by_token]  # unknown ones are ignored
        except (ValueError, KeyError, TypeError, RecursionError):
            return (_error(socket, "Invalid message"),)
        if mode not in MODES:
            return (_error(socket, f"Invalid mode {mode!r}"),)
        try:
            self.sockets.command(client, action, wanted, mode, MOST_INSTRUMENTS)
        except ValueError as refused:
            return (_error(socket, str(refused)),)
        return ()

    # --- what clients hear --------------------------------------------------------------------------------------------

    def poll(self, now_ns: int) -> Sequence[Push]:
        """Return what became due; sockets whose token died end (unverified: the broker may let them live)."""
        self.sockets.drop(self.dead(now_ns))
        return self.sockets.poll(now_ns, self._order_updates(), self.changed)

    def packet(self, named: Named, market: MarketView, mode: str) -> bytes:
        """Return the packet of an instrument in a mode."""
        values = market_values(market, named.unit) | {"key": named.token}
        if not named.is_index:
            return self._encoder.packet(mode, values)
        if mode == "ltp":
            return self._encoder.packet("ltp_index", values)
        packet = bytearray(self._encoder.packet(f"index_{mode}", values))
        offset, change = _INDEX_CHANGE
        change.pack_into(packet, offset, round((market.last_price - market.close) * 100))
        return bytes(packet)

    def _order_updates(self) -> Iterator[str]:
        """Write the account's new order events as text frames: every state, of every order, to every socket."""
        for _, shown in self.updates():
            for one in shown:
                row = order_row(one) | {"status": update_word(one)}
                yield json.dumps({"type": "order", "id": "", "data": row})


def _error(socket: int, text: str) -> Push:
    return Push(socket, json.dumps({"type": "error", "data": text}))
