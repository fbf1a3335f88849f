"""Those who listen to the player, each a process of its own: our client, the broker's SDK, and picows without either.

Run as ``python -m benchmarks.consumers NAME PORT PATH[,PATH...] INSTRUMENTS``. A consumer prints ``ready`` once it is
subscribed. On the player's words "begin", "check" and "pace" it forgets what it saw; on "report" it prints a line of
JSON: how many frames it handled, after "check" also the ticks and the sum of what it read, and after "pace" when each
call of its handler ended.

All handlers read the same of each tick: five fields, and price and quantity of the best bid and ask. Only that of bare
picows reads nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks import peers
from benchmarks.frames import TOKENS

clock = time.monotonic_ns
FIELDS = ("last_price", "last_quantity", "average_price", "volume", "oi")
WANTED = (*FIELDS, "bid_price", "bid_quantity", "ask_price", "ask_quantity")


class Tally:
    """What one consumer saw since it was last told to begin.

    Attributes
    ----------
    adding : bool
        Whether the handler shall add up what it reads.
    spans : list of int
        ns that the consumer times by itself, for the report.
    """

    def __init__(self) -> None:
        self.ends: list[int] = []
        self.spans: list[int] = []
        self.ticks = 0
        self.sum = 0.0
        self.adding = self._timed = False

    def told(self, word: str) -> None:
        """Obey the player."""
        if word == "report":
            found = {"frames": len(self.ends), "ticks": self.ticks, "sum": self.sum}
            print(json.dumps({**found, "ends": self.ends if self._timed else [], "spans": self.spans}), flush=True)
        else:
            self.ends.clear()
            self.spans.clear()
            self.ticks, self.sum = 0, 0.0
            self.adding, self._timed = word == "check", word == "pace"


Handler = Callable[[Any], None]


def by_row(tally: Tally) -> Handler:
    """Read a batch in a loop over its rows, each a tuple of what is wanted."""

    def on_batch(batch: Any) -> None:
        adding = tally.adding
        for price, quantity, average, volume, oi, bid, bid_quantity, ask, ask_quantity in batch.rows(WANTED):
            if adding:
                tally.sum += price + quantity + average + volume + oi + bid + bid_quantity + ask + ask_quantity
                tally.ticks += 1
        tally.ends.append(clock())

    return on_batch


def by_attribute(tally: Tally) -> Handler:
    """Read a batch in a loop with a cursor, attribute by attribute: the counterpart of the SDK's dicts."""

    def on_batch(batch: Any) -> None:
        adding = tally.adding
        for row in batch.cursor():
            price, quantity, average, volume, oi = (
                row.last_price,
                row.last_quantity,
                row.average_price,
                row.volume,
                row.oi,
            )
            bid, bid_quantity, ask, ask_quantity = row.bid_price, row.bid_quantity, row.ask_price, row.ask_quantity
            if adding:
                tally.sum += price + quantity + average + volume + oi + bid + bid_quantity + ask + ask_quantity
                tally.ticks += 1
        tally.ends.append(clock())

    return on_batch


def by_column(tally: Tally) -> Handler:
    """Read a batch as one NumPy array, a row for each tick and a column for each thing wanted."""

    def on_batch(batch: Any) -> None:
        table = batch.table(WANTED)
        if tally.adding:
            tally.sum += float(table.sum())
            tally.ticks += len(table)
        tally.ends.append(clock())

    return on_batch


READERS = {"by-row": by_row, "by-attribute": by_attribute, "by-column": by_column}


def dragoman(tally: Tally, port: int, paths: list[str], instruments: int, read: Callable[[Tally], Handler]) -> None:
    """Run our client as a user has it: a session for each path, inline handlers, books and measurements included."""
    import dragoman as library
    from dragoman.model import Notice
    from dragoman.runtime.loops import run

    def on_event(event: object) -> None:
        if isinstance(event, Notice):
            tally.told(event.text)

    async def main() -> None:
        root = f"http://127.0.0.1:{port}"
        with tempfile.TemporaryDirectory() as state_dir:
            clients = []  # kept, so that none is collected
            for at, path in enumerate(paths):
                hosts = {"rest": root, "ws": f"ws://127.0.0.1:{port}/{path}", "login": f"{root}/connect/login"}
                client = await library.connect(
                    "zerodha",
                    f"bench{at}",
                    environment="emulator",
                    overrides={"hosts": hosts, "credentials": {"api_key": f"emu_{path}", "api_secret": "emu_bench"}},
                    access_token=f"emu_{path}",
                    state_dir=f"{state_dir}/{path}",  # other accounts: a broker allows one few sockets
                )
                clients.append(client)
                client.on_batch(read(tally))
                client.on_event(on_event)
                client.subscribe([f"NSE:T{token}" for token in TOKENS[:instruments]], "full")
            print("ready", flush=True)
            await asyncio.Event().wait()

    run(main())


def kiteconnect(tally: Tally, port: int, paths: list[str], instruments: int) -> None:
    """Run the SDK as its documentation uses it."""
    peers.add("kiteconnect==5.2.2")
    from kiteconnect import KiteTicker  # type: ignore[import-not-found]

    def on_ticks(ws: Any, ticks: list[dict[str, Any]]) -> None:
        adding = tally.adding
        for row in ticks:
            price, quantity, average, volume, oi = (
                row["last_price"],
                row["last_traded_quantity"],
                row["average_traded_price"],
                row["volume_traded"],
                row["oi"],
            )
            depth = row["depth"]
            buy, sell = depth["buy"][0], depth["sell"][0]
            bid, bid_quantity, ask, ask_quantity = buy["price"], buy["quantity"], sell["price"], sell["quantity"]
            if adding:
                tally.sum += price + quantity + average + volume + oi + bid + bid_quantity + ask + ask_quantity
                tally.ticks += 1
        tally.ends.append(clock())

    def on_connect(ws: Any, response: Any) -> None:
        ws.subscribe(list(TOKENS[:instruments]))
        ws.set_mode(ws.MODE_FULL, list(TOKENS[:instruments]))
        print("ready", flush=True)

    ticker = KiteTicker("bench", "bench", root=f"ws://127.0.0.1:{port}/{paths[0]}")
    ticker.on_ticks = on_ticks
    ticker.on_connect = on_connect
    ticker.on_order_update = lambda ws, word: tally.told(word)
    ticker.connect()


def picows(tally: Tally, port: int, paths: list[str], *, by_hand: bool) -> None:
    """Listen with the WebSocket library that we use, and nothing around it.

    Bare, the listener notes the time of each frame and no more: what no client on this library can beat. By hand it
    unpacks full packets, and no others, as one would without a client: no instrument, no book, no check.
    """
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    from dragoman.runtime.loops import run

    # Behind each packet's length and token; what is padding here is what nobody wants.
    wanted = struct.Struct(">2x4x4i28xi12x2i52x2i52x")

    def told(frame: WSFrame) -> None:
        tally.told(json.loads(frame.get_payload_as_bytes())["data"])

    class Bare(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.BINARY:
                tally.ends.append(clock())
            elif frame.msg_type == WSMsgType.TEXT:
                told(frame)

    class ByHand(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.TEXT:
                told(frame)
            packets = frame.get_payload_as_memoryview()[2:] if frame.msg_type == WSMsgType.BINARY else b""
            if not packets:
                return
            adding = tally.adding
            for row in wanted.iter_unpack(packets):
                price, quantity, average, volume, oi, bid_quantity, bid, ask_quantity, ask = row
                price, average, bid, ask = price / 100, average / 100, bid / 100, ask / 100
                if adding:
                    tally.sum += price + quantity + average + volume + oi + bid + bid_quantity + ask + ask_quantity
                    tally.ticks += 1
            tally.ends.append(clock())

    async def main() -> None:
        listener = ByHand if by_hand else Bare
        transport, _ = await ws_connect(listener, f"ws://127.0.0.1:{port}/{paths[0]}")
        print("ready", flush=True)
        await transport.wait_disconnected()

    run(main())


def end_with_parent() -> None:
    """Wait for the end of standard input, which comes with that of the benchmark, however it ended."""
    while os.read(0, 4096):  # not sys.stdin, whose lock a daemon thread would hold at the end
        pass
    os._exit(0)


def main(name: str, port: int, paths: list[str], instruments: int) -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    tally = Tally()
    if name == "kiteconnect":
        kiteconnect(tally, port, paths, instruments)
    elif name in ("picows", "by-hand"):
        picows(tally, port, paths, by_hand=name == "by-hand")
    elif name.startswith("stops"):
        from benchmarks.stops import stops  # it needs far more than the others

        stops(tally, port, paths[0], instruments, on_disk=name == "stops-on-disk")
    else:
        dragoman(tally, port, paths, instruments, READERS[name])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3].split(","), int(sys.argv[4]))
