"""A trader that somebody else kills: ``python -m chaos.kill_worker FOLDER``; its first input line is the broker's.

Says ``up`` with its pid once it is connected and orders of its work; from then on it places one after the other and
says ``placed`` or ``refused`` for each, until its input ends. On an account that is killed already it says ``killed``,
and ends once nothing works any more.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

import dragoman
from chaos.trading_worker import Quick, say
from dragoman.errors import DragomanError, NotSent, Rejected
from dragoman.runtime.real import RealRuntime
from dragoman.testing.emulated import browser, overrides_of


async def trade(folder: str, served: dict) -> None:
    runtime, adapter = RealRuntime(), Quick()
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    async with dragoman.connect(
        adapter,
        "chaos",
        environment="emulator",
        overrides=overrides_of(served, adapter),
        state_dir=folder,
        open_url=browser(runtime),
        runtime=runtime,
    ) as client:
        if client.killed.engaged:
            say("killed", client.killed.why)
            while client.killed.working:
                await runtime.sleep(0.05)
            return
        instrument, reference, tick = served["prices"][0]
        low = f"{float(reference) - 100 * float(tick):.2f}"
        terms = {"order_type": "LIMIT", "price": low, "product": "INTRADAY", "allow_stale": True}
        for _ in range(3):
            await client.place(instrument, "BUY", 1, **terms)
        say("up", os.getpid())
        loop.add_reader(sys.stdin, ended.set)
        while not ended.is_set():
            try:
                await client.place(instrument, "BUY", 1, **terms)
            except (Rejected, NotSent) as error:
                say("refused" if "kill switch" in str(error) else "failed", str(error))
            except DragomanError as error:
                say("failed", str(error))
            else:
                say("placed", "")
            await runtime.sleep(0.02)
        loop.remove_reader(sys.stdin)


async def main() -> None:
    try:
        await trade(sys.argv[1], json.loads(sys.stdin.readline()))
    finally:
        say("out", "")


if __name__ == "__main__":
    dragoman.run(main())
