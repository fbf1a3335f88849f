"""The ticker: subscriptions, ticks in three modes, heartbeats and order updates on one socket.

Ticks are conflated: at every beat of the tick rate a socket gets one frame with the latest packet of each of its
instruments that changed. Packets are written by the layouts of `feed.STREAM`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    ConflatedClient,
    HttpAnswer,
    HttpCall,
    MarketView,
    Push,
    RequestError,
    StreamEncoder,
    TickDesk,
    market_values,
)

from .emulator_names import Named, NameTable
from .emulator_words import Kite, KiteError, update_row
from .feed import STREAM

MOST_SOCKETS: Final = 3  # per api_key
MOST_INSTRUMENTS: Final = 3000  # per socket
ENCODER: Final = StreamEncoder(STREAM)
MODES: Final = ("ltp", "quote", "full")
_INDEX_CHANGE: Final = (24, struct.Struct(">i"))  # field no official parser reads, so that no layout has it


class Ticker(Kite, TickDesk[NameTable]):
    """All sockets of the app."""

    per_frame: ClassVar = 250
    heartbeat: ClassVar = b"\x00"

    # --- sockets ----------------------------------------------------------------------------------------------------

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        query = dict(call.query)
        api_key, token = query.get("api_key"), query.get("access_token")
        KiteError.when(call.path not in ("", "/"), *KiteError.gates[404], 404)
        if not (api_key and token and self.session.admits(api_key, token, now_ns)):
            return HttpAnswer(403 if api_key and token else 400)
        KiteError.when(len(self.sockets) >= MOST_SOCKETS, "NetworkException", "Too many connections")
        self.sockets.open(socket, token, now_ns)
        return None

    def command(self, socket: int, client: ConflatedClient, message: Mapping[str, Any]) -> Sequence[Push]:
        action, value = message["a"], message["v"]
        mode, tokens = value if action == "mode" else ("quote", value)
        wanted = [token for token in map(int, tokens) if token in self.names.by_token]  # unknown ones are ignored
        if mode not in MODES:
            raise RequestError(f"Invalid mode {mode!r}")
        self.sockets.command(client, action, wanted, mode, MOST_INSTRUMENTS)
        return ()

    def unread(self, why: str) -> str:
        return json.dumps({"type": "error", "data": why})

    # --- what clients hear --------------------------------------------------------------------------------------------

    def frame(self, packets: Sequence[bytes]) -> bytes:
        return ENCODER.frame(packets)

    def entry(self, token: int, mode: str) -> bytes:
        named = self.names.by_token[token]
        return self.packet(named, self.quote(named).market, mode)

    def packet(self, named: Named, market: MarketView, mode: str) -> bytes:
        """Return the packet of an instrument in a mode."""
        values = market_values(market, named.unit) | {"key": named.token}
        if not named.is_index or mode == "ltp":
            return ENCODER.packet("ltp_index" if named.is_index else mode, values)
        packet = bytearray(ENCODER.packet(f"index_{mode}", values))
        offset, change = _INDEX_CHANGE
        change.pack_into(packet, offset, round((market.last_price - market.close) * 100))
        return bytes(packet)

    def texts(self) -> Iterator[str]:
        """Write the account's new order events as text frames: every state, of every order, to every socket."""
        told = (update_row(one) for _, shown in self.updates() for one in shown)
        return (json.dumps({"type": "order", "id": "", "data": row}) for row in told)
