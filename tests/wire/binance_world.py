"""A client of the Binance adapter against its emulator, in memory on the virtual clock."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

from dragoman.adapters.binance import BinanceAdapter

from dragoman.connecting import connect
from dragoman.model import OrderStatus
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.secrets import as_secret
from dragoman.testing.emulated import emulated

PAIR, PERP = "BINANCE:BTC/USDT", "BINANCE:BTC/USDT=PERP"
S = OrderStatus


class World:
    def __init__(self, runtime, host, client):
        self.runtime, self.host, self.client = runtime, host, client
        self.emulator, self.venue = host.emulator, host.emulator.venue
        self.events = []
        client.on_event(self.events.append)

    def price(self, percent, instrument=PAIR):
        last, tick = self.venue.market(instrument).last_price, self.venue.listing(instrument).instrument.tick_size
        return last * (100 + Decimal(percent)) / 100 // tick * tick

    async def rest(self, instrument=PAIR, quantity="0.1", percent=-3, **more):
        terms = {"order_type": "LIMIT", "price": self.price(percent, instrument)} | more
        order = await self.client.place(instrument, "BUY", quantity, **terms)
        await self.until(order, S.OPEN)
        return order

    async def until(self, order, *statuses):
        found = await self.client.wait_order(order, lambda one: one.status in statuses, timeout_s=10)
        assert found.status in statuses
        return found


@asynccontextmanager
async def world(runtime, *, settings=None, **options):
    adapter = BinanceAdapter()
    async with emulated(runtime, adapter, **options) as (host, overrides):
        host.emulator.venue.calm()
        secrets = {name: as_secret(value) for name, value in overrides["credentials"].items()}
        overrides = overrides | {"settings": settings or {}, "credentials": secrets}
        connecting = connect(
            adapter, "test", environment="emulator", overrides=overrides, state_dir="/state", runtime=runtime
        )
        async with connecting as client:
            yield World(runtime, host, client)


def play(scenario, **options):
    async def run(runtime):
        async with asyncio.timeout(3600), world(runtime, **options) as here:
            return await scenario(here)

    with VirtualRuntime(seed=7) as runtime:
        return runtime.run(run(runtime))
