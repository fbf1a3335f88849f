"""Traders, one life after the other, each a process of its own forked from this one, which has all modules loaded.

``python -m chaos.trading_worker FOLDER``: the first line of its input is what the broker said of itself. Each further
line begins a life: a JSON object with its ``life``, its ``seed``, the ``names`` earlier lives have tried, whether it
keeps a ``journal``, and whether it is the ``last``. Prints ``pid``, then what the life says, then ``gone``. A life
says, one JSON list a line:

``["up", n]``             connected; so many orders are of unknown outcome
``["try", name]``         `place` is about to be called
``["durable", name, id]`` the intent is on the disk, under this wire id; nothing of it was sent yet
``["placed", name, id]``  `place` returned: the broker's id
``["failed", name, kind]`` `place` raised
``["acted", act, name]``  a cancel or change was taken
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import os
import random
import sys
from collections.abc import Awaitable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from dragoman.adapters.zerodha.adapter import ZerodhaAdapter

from dragoman.client import Client
from dragoman.connecting import connect
from dragoman.errors import DragomanError
from dragoman.model import Order, OrderRequest, OrderStatus, Origin, Pending
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.testing.emulated import browser, overrides_of

LOADED_LATE = ("dragoman.transport.websocket", "dragoman.transport.ws_picows", "pydantic.main", "uvloop")
"""What a client loads when it first needs it; here that is done once, for all lives."""
MOST_AT_ONCE = 3
SETTLED_S = 60.0


class Quick(ZerodhaAdapter):
    """Limits that never bind, and a broker that sits on a request for a second at most, as this one does."""

    limits = tuple(replace(limit, count=limit.count * 10) for limit in ZerodhaAdapter.limits if limit.per != "1d")
    session = replace(ZerodhaAdapter.session, queue_time_s=1.0)


def say(*what: object) -> None:
    """Write one line at once: a pipe keeps what was written to it, whoever is killed then."""
    os.write(1, json.dumps(what).encode() + b"\n")


class Life:
    """What one trader does until it is killed: everything at random, from the seed of its life."""

    def __init__(self, client: Client, served: dict[str, Any], plan: dict[str, Any]) -> None:
        self.client = client
        self.prices = served["prices"]
        self.life = plan["life"]
        self.names = plan["names"]
        self.chance = random.Random(plan["seed"])
        self.tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._write = client.orders_service.recorder.place
        client.orders_service.recorder.place = self._written  # type: ignore[method-assign]

    def _written(self, request: OrderRequest, sent_ns: int) -> Awaitable[object] | None:
        durable = self._write(request, sent_ns)
        if durable is not None:
            return self._once_written(durable, request)
        say("durable", request.client_order_id, request.wire_id)
        return None

    async def _once_written(self, durable: Awaitable[object], request: OrderRequest) -> None:
        await durable
        say("durable", request.client_order_id, request.wire_id)

    def terms(self, name: str) -> dict[str, Any]:
        """Return an order's terms, always the same for a name, in every life."""
        chance = random.Random(name)
        instrument, reference, tick = chance.choice(self.prices)
        price = Decimal(reference) // Decimal(tick) * Decimal(tick) + chance.randint(-60, 60) * Decimal(tick)
        side, quantity = chance.choice(("BUY", "SELL")), chance.randint(1, 40)
        return {
            "instrument": instrument,
            "side": side,
            "quantity": quantity,
            "price": price,
            "order_type": "LIMIT",
            "product": "INTRADAY",
        }

    async def live(self) -> None:
        while True:
            while len(self.tasks) < MOST_AT_ONCE:
                task = asyncio.ensure_future(self._act())
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
            await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)

    async def _act(self) -> None:
        dice = self.chance.random()
        if dice < 0.5 or not self.names:
            self._count += 1
            name = f"{self.life}-{self._count}"
            self.names.append(name)
            await self._place(name)
        elif dice < 0.7:
            await self._place(self.chance.choice(self.names))
        else:
            await self._change("cancel" if dice < 0.85 else "modify")
        await asyncio.sleep(self.chance.uniform(0, 0.03))

    async def _place(self, name: str) -> None:
        say("try", name)
        try:
            order = await self.client.place(
                **self.terms(name), client_order_id=name, timeout_s=2.0, allow_unknown=True, allow_stale=True
            )
        except DragomanError as error:
            say("failed", name, f"{type(error).__name__} {error.kind}")
        else:
            say("placed", name, order.order_id)

    async def _change(self, act: str) -> None:
        working = [order for order in self.client.orders_service.store.open if may_change(order)]
        if not working:
            return
        order = self.chance.choice(working)
        try:
            if act == "cancel":
                await self.client.cancel(order, timeout_s=2.0)
            else:
                tick = next(Decimal(row[2]) for row in self.prices if row[0] == order.instrument_id)
                assert order.price is not None
                await self.client.modify(order, price=order.price + self.chance.choice((-1, 1)) * tick, timeout_s=2.0)
        except DragomanError as error:
            say("failed", order.client_order_id, f"{act}: {type(error).__name__} {error.kind}")
        else:
            say("acted", act, order.client_order_id)

    async def settle(self) -> None:
        """Ask for every order once more, wait until nothing is in doubt any more, and say what is known."""
        for name in self.names:
            await self._place(name)
        try:
            async with asyncio.timeout(SETTLED_S):
                while self._in_doubt():
                    await self.client.session.runtime.sleep(0.05)
        except TimeoutError:
            say("in doubt", self._in_doubt())
        await self.client.orders()
        for order in self.client.orders_service.store:
            reject = None if order.reject is None else order.reject.kind.value
            status, filled = order.status.value, str(order.filled_quantity)
            say("knows", order.client_order_id, order.wire_id, order.order_id, status, filled, reject)
        say("differences", [str(one) for one in await self.client.check_positions()])
        say("end")

    def _in_doubt(self) -> list[str]:
        return [
            order.client_order_id
            for order in self.client.orders_service.store
            if order.status is OrderStatus.UNKNOWN or (order.pending is not Pending.NONE and order.status.working)
        ]


def may_change(order: Order) -> bool:
    return bool(order.order_id) and order.origin is Origin.US and order.pending is Pending.NONE


async def live(folder: str, served: dict[str, Any], plan: dict[str, Any]) -> None:
    runtime, adapter = RealRuntime(), Quick()
    connecting = connect(
        adapter,
        "chaos",
        environment="emulator",
        overrides=overrides_of(served, adapter),
        state_dir=folder,
        open_url=browser(runtime),
        runtime=runtime,
        journal=plan["journal"],
    )
    async with connecting as client:
        say("up", len(client.orders_service.store.unknown))
        life = Life(client, served, plan)
        await (life.settle() if plan["last"] else life.live())
    runtime.close()


def main(folder: str) -> None:
    logging.getLogger("dragoman").setLevel(logging.ERROR)
    served = json.loads(sys.stdin.readline())
    for module in LOADED_LATE:
        importlib.import_module(module)
    gc.freeze()  # no life goes through what all share
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                run(live(folder, served, json.loads(line)))
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test has to hear of it
                say("died", repr(error))
            finally:
                os._exit(0)
        say("pid", child)
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    main(sys.argv[1])
