"""Those who listen to the player, each a process of its own: our client, the broker's SDK, and bare picows.

Run as ``python -m benchmarks.consumers NAME PORT PATH[,PATH...] INSTRUMENTS``. A consumer prints ``ready`` once it is
subscribed. On the player's word "begin" it forgets what it saw, on "report" it prints a line of JSON: how many frames
and ticks it handled, the sum of all it read, and when each handler call ended.

All handlers read the same of each tick: five fields, and price and quantity of the best bid and ask.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from typing import Any

from benchmarks import peers
from benchmarks.frames import TOKENS

clock = time.monotonic_ns


class Tally:
    """What one consumer saw since the last "begin"."""

    def __init__(self) -> None:
        self.ends: list[int] = []
        self.ticks = 0
        self.sum = 0.0

    def told(self, word: str) -> None:
        """Obey the player."""
        if word == "begin":
            self.ends.clear()
            self.ticks, self.sum = 0, 0.0
        elif word == "report":
            found = {"frames": len(self.ends), "ticks": self.ticks, "sum": self.sum, "ends": self.ends}
            print(json.dumps(found), flush=True)


def rows(tally: Tally) -> Any:
    """Read each row of a batch, in Python."""

    def on_batch(batch: Any) -> None:
        total = 0.0
        for row in batch.cursor():
            total += row.last_price + row.last_quantity + row.average_price + row.volume + row.oi
            total += row.bid_price + row.bid_quantity + row.ask_price + row.ask_quantity
        tally.sum += total
        tally.ticks += len(batch)
        tally.ends.append(clock())

    return on_batch


def dragoman(tally: Tally, port: int, paths: list[str], instruments: int) -> None:
    """Our client as a user has it: a session per path, inline handlers, books and measurements included."""
    import dragoman as library
    from dragoman.model import Notice
    from dragoman.runtime.loops import run

    def on_event(event: object) -> None:
        if isinstance(event, Notice):
            tally.told(event.text)

    async def main() -> None:
        with tempfile.TemporaryDirectory() as state_dir:
            clients = []
            for at, path in enumerate(paths):
                client = await library.connect(
                    "zerodha",
                    f"bench{at}",
                    environment="emulator",
                    overrides={
                        "hosts": {
                            "rest": f"http://127.0.0.1:{port}",
                            "ws": f"ws://127.0.0.1:{port}/{path}",
                            "login": f"http://127.0.0.1:{port}/connect/login",
                        },
                        "credentials": {"api_key": "emu_bench", "api_secret": "emu_bench"},
                    },
                    access_token="emu_bench",
                    state_dir=state_dir,
                )
                clients.append(client)
                client.on_batch(rows(tally))
                client.on_event(on_event)
                client.subscribe([f"NSE:T{token}" for token in TOKENS[:instruments]], "full")
            print("ready", flush=True)
            await asyncio.Event().wait()

    run(main())


def kiteconnect(tally: Tally, port: int, paths: list[str], instruments: int) -> None:
    """The SDK as its documentation uses it."""
    peers.add("kiteconnect==5.2.2")
    from kiteconnect import KiteTicker  # type: ignore[import-not-found]

    def on_ticks(ws: Any, ticks: list[dict[str, Any]]) -> None:
        total = 0.0
        for row in ticks:
            total += (
                row["last_price"]
                + row["last_traded_quantity"]
                + row["average_traded_price"]
                + row["volume_traded"]
                + row["oi"]
            )
            bid, ask = row["depth"]["buy"][0], row["depth"]["sell"][0]
            total += bid["price"] + bid["quantity"] + ask["price"] + ask["quantity"]
        tally.sum += total
        tally.ticks += len(ticks)
        tally.ends.append(clock())

    def on_connect(ws: Any, response: Any) -> None:
        ws.subscribe(list(TOKENS[:instruments]))
        ws.set_mode(ws.MODE_FULL, list(TOKENS[:instruments]))
        print("ready", flush=True)

    ticker = KiteTicker("bench", "bench", root=f"ws://127.0.0.1:{port}/{paths[0]}")
    ticker.on_ticks = on_ticks
    ticker.on_connect = on_connect
    ticker.on_error = lambda ws, code, reason: tally.told(reason)
    ticker.connect()


def picows(tally: Tally, port: int, paths: list[str], instruments: int) -> None:
    """Nothing but the time of each frame: what no client on this WebSocket library can beat."""
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    from dragoman.runtime.loops import run

    class Listener(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.BINARY:
                tally.ends.append(clock())
            elif frame.msg_type == WSMsgType.TEXT:
                tally.told(json.loads(frame.get_payload_as_bytes())["data"])

    async def main() -> None:
        transport, _ = await ws_connect(Listener, f"ws://127.0.0.1:{port}/{paths[0]}")
        print("ready", flush=True)
        await transport.wait_disconnected()

    run(main())


CONSUMERS = {"dragoman": dragoman, "kiteconnect": kiteconnect, "picows": picows}


if __name__ == "__main__":
    name, port, paths, instruments = sys.argv[1:]
    CONSUMERS[name](Tally(), int(port), paths.split(","), int(instruments))
