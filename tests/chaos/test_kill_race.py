"""A kill in the middle of everything: from the moment it was asked for, no new order is handed to the wire.

Every seed makes another tangle of orders on their way (waiting for the disk, for a limit, for a connection, for stale
views to be read again, for an answer), faults and changes, and kills at another moment. What leaves is noted where a
request is signed, immediately before its bytes are written. ``make chaos`` takes more seeds.
"""

from __future__ import annotations

import asyncio
import os
import random

import pytest
from dragoman.adapters.zerodha.adapter import ZerodhaAdapter

from dragoman.errors import DragomanError
from dragoman.model import OrderStatus
from wire.trading import play

SEEDS = int(os.environ.get("CHAOS_KILL_SEEDS", "200"))
A_WORLD = 20
"""Races in one world; then another begins."""
FAULTS = (
    "",
    "",
    "drop_reply@POST /orders*1",
    "reset_request@POST /orders*1",
    "delay=200ms@POST /orders",
    "http:503@DELETE*2",
    "delay=300ms@DELETE*1",
    "reset_socket*1",
    "http:503@GET /orders*2",
    "drop_frames*3",
)
S = OrderStatus


class Noting(ZerodhaAdapter):
    """Notes each request at the moment it leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[tuple[str, str]] = []

    def authorize(self, request, body, ctx):
        self.left.append((request.method, request.path))
        return super().authorize(request, body, ctx)


async def trade(world, chance, stop):
    """Place, change and cancel until somebody says stop; every answer is fine."""
    ours = []
    while not stop.is_set():
        try:
            what = chance.random()
            if what < 0.75 or not ours:
                more = {"allow_stale": chance.random() < 0.5, "allow_unknown": True}
                ours.append(await world.rest(timeout_s=chance.choice((0.2, 2.0)), price=world.price(-40), **more))
            elif what < 0.9:
                await world.client.modify(chance.choice(ours), price=world.price(-chance.randint(30, 60)))
            else:
                await world.client.cancel(ours.pop(chance.randrange(len(ours))))
        except DragomanError:
            pass
        await world.runtime.sleep(chance.random() * 0.02)


async def race(world, seed):
    chance, left = random.Random(seed), world.client.session.adapter.left
    world.runtime.disk.latency_s = chance.choice((0.0, 0.0, 0.001, 0.02))
    if fault := chance.choice(FAULTS):
        world.fault(fault)
    stop = asyncio.Event()
    traders = [asyncio.ensure_future(trade(world, chance, stop)) for _ in range(chance.randint(1, 8))]
    await world.runtime.sleep(chance.random() * 0.4)
    switch, before = world.client.orders_service.switch, []
    stops = switch.stop

    def stop_now(entropy):
        before.append(len(left))
        return stops(entropy)

    switch.stop = stop_now
    killing = asyncio.ensure_future(world.client.kill(f"seed {seed}", timeout_s=20))
    await world.runtime.sleep(chance.random() * 0.2)
    switch.stop = stops
    stop.set()
    world.heal()
    await killing
    await asyncio.wait(traders)
    after = [request for request in left[before[0] :] if request[0] == "POST"]
    assert after == [], f"seed {seed}: {after} left after the kill"
    while world.client.killed.unknown or not all(order.status.terminal for order in world.live):
        await world.runtime.sleep(1)
    world.runtime.disk.latency_s = 0.0
    await world.client.release(await world.client.release())


@pytest.mark.logs("faults are told of, as they should be")
@pytest.mark.parametrize("first", range(0, SEEDS, A_WORLD))
def test_no_new_order_leaves_after_a_kill(first):
    async def scenario(world):
        for seed in range(first, min(first + A_WORLD, SEEDS)):
            try:
                await race(world, seed)
            except Exception as error:
                raise AssertionError(f"seed {seed} of the world that begins at {first}") from error

    play(scenario, seed=first, adapter=Noting, poll_interval_s=0.1, lasts_s=600 * A_WORLD)
