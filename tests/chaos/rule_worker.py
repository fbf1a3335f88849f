"""A trader whose rules outlive it: ``python -m chaos.rule_worker FOLDER``.

The first line of its input is what the broker said of itself. Each further line begins a life, a process of its own: a
JSON object with its number (``life``), when it is to kill itself (``kill``: ``fired`` when a rule has fired and nothing
is planned, ``intent`` once the exit is durable and before its first byte, ``sent`` behind it, ``later`` at some moment
after arming, or null). A life first lets every rule of earlier lives end. Then it opens a position, arms a stop that
the next tick reaches, and lives until it is killed. Says, one JSON list a line:

``["armed", rule]``                      it is durable
``["ended", rule, status, exits]``       of one from an earlier life, and the names and wire ids of its exits
``["held", instrument, quantity]``       what is left of its position
``["end"]``                              of a life that is not killed
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import os
import random
import signal
import sys
from contextlib import suppress
from decimal import Decimal
from typing import Any, NoReturn

from chaos.trading_worker import LOADED_LATE, Quick, say
from dragoman.client import Client
from dragoman.connecting import connect
from dragoman.errors import DragomanError, OutcomeUnknown
from dragoman.model import Order
from dragoman.rules import StopLoss
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.testing.emulated import browser, overrides_of

SIZE = 10
PATIENCE_S = 60.0


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit


def kill_when(client: Client, moment: str, chance: random.Random) -> None:
    """See to it that this process ends at a moment between trigger and order."""
    recorder = client.orders_service.recorder
    if moment == "later":
        asyncio.get_running_loop().call_later(chance.uniform(0, 0.05), die)
    elif moment == "fired":
        write = recorder.rule

        def fired(entry: Any) -> None:
            write(entry)
            if entry["what"] == "fired":
                die()

        recorder.rule = fired  # type: ignore[method-assign]
    else:
        leave = recorder.exit

        def exits(request: Any, sent_ns: int) -> Any:
            durable = leave(request, sent_ns)

            async def then_die() -> None:
                if durable is not None:
                    await durable
                if moment == "intent":
                    die()
                asyncio.get_running_loop().call_later(chance.uniform(0, 0.004), die)

            return then_die()

        recorder.exit = exits  # type: ignore[method-assign]


async def buy(client: Client, instrument: str, name: str) -> Order:
    """Open a position, whatever the weather."""
    try:
        order = await client.place(instrument, "BUY", SIZE, product="INTRADAY", client_order_id=name)
    except OutcomeUnknown:
        order = await client.wait_order(name, lambda one: one.status.terminal, timeout_s=PATIENCE_S)
    return await client.wait_order(order, timeout_s=PATIENCE_S)


async def settle(client: Client) -> None:
    """Let the rules of earlier lives end, and say what became of them."""
    changed = asyncio.Event()
    client.rules.on_rule(lambda event: changed.set())
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while client.rules.list():
                changed.clear()
                await changed.wait()
    for state in client.rules.list(everything=True):
        exits = [[name, order.wire_id] for name in state.orders if (order := client.order(name)) is not None]
        say("ended", state.rule_id, state.status.value, exits)
        row = client.portfolio.live.row(state.rule.key)
        say("held", state.rule.instrument_id, str(Decimal(0) if row is None else row.quantity))


async def live(folder: str, served: dict[str, Any], plan: dict[str, Any]) -> None:
    runtime, adapter = RealRuntime(), Quick()
    chance = random.Random(plan["seed"])
    connecting = connect(
        adapter,
        "chaos",
        environment="emulator",
        overrides=overrides_of(served, adapter),
        state_dir=folder,
        open_url=browser(runtime),
        runtime=runtime,
    )
    async with connecting as client:
        await settle(client)
        if plan["kill"] is not None:
            instrument, reference, tick = served["prices"][plan["life"] % len(served["prices"])]
            while (await _bought(client, instrument, plan["life"])) is None:
                pass
            level = Decimal(reference) * 2 // Decimal(tick) * Decimal(tick)  # the next tick is below it
            if plan["kill"] != "later":
                kill_when(client, plan["kill"], chance)
            rule = StopLoss(instrument_id=instrument, product="INTRADAY", price=level, rule_id=f"stop{plan['life']}")
            state = await client.rules.add(rule)
            say("armed", state.rule_id)
            if plan["kill"] == "later":
                kill_when(client, "later", chance)
            await asyncio.sleep(PATIENCE_S)
        say("end")
    runtime.close()


async def _bought(client: Client, instrument: str, life: int) -> Order | None:
    try:
        order = await buy(client, instrument, f"in{life}.{len(client.orders_service.store)}")
    except DragomanError:
        return None
    return order if order.filled_quantity == SIZE else None


def main(folder: str) -> None:
    logging.getLogger("dragoman").setLevel(logging.CRITICAL)
    served = json.loads(sys.stdin.readline())
    for module in LOADED_LATE:
        importlib.import_module(module)
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                run(live(folder, served, json.loads(line)))
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test has to hear of it
                say("died", repr(error))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    main(sys.argv[1])
