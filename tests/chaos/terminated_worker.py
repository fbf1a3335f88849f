"""A trader that SIGTERM is to end: ``python -m chaos.terminated_worker FOLDER``; its first input line is the broker's.

Says ``up`` once it is connected; after another line ``sent``, once an order is on its way; and ``out`` in the end.
"""

from __future__ import annotations

import asyncio
import json
import sys

import dragoman
from chaos.trading_worker import Quick, say
from dragoman.runtime.real import RealRuntime
from dragoman.testing.emulated import browser, overrides_of


async def told() -> None:
    """Wait for a line of input, without a thread that the end would have to wait for."""
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(sys.stdin, told.set)
    await told.wait()
    loop.remove_reader(sys.stdin)


async def trade(folder: str, served: dict) -> None:
    runtime, adapter = RealRuntime(), Quick()
    async with dragoman.connect(
        adapter,
        "chaos",
        environment="emulator",
        overrides=overrides_of(served, adapter),
        state_dir=folder,
        open_url=browser(runtime),
        runtime=runtime,
    ) as client:
        say("up")
        await told()
        instrument, reference, _ = served["prices"][0]
        terms = {"order_type": "LIMIT", "price": reference, "product": "INTRADAY", "client_order_id": "mine"}
        placing = asyncio.ensure_future(client.place(instrument, "BUY", 1, **terms, timeout_s=60.0))
        while "mine" not in client.orders_service.intents._intents:
            await runtime.sleep(0.01)
        await runtime.sleep(0.2)
        say("sent")
        await placing


async def main() -> None:
    try:
        await trade(sys.argv[1], json.loads(sys.stdin.readline()))
    finally:
        say("out")


if __name__ == "__main__":
    dragoman.run(main())
