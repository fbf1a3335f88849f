"""A client of the Alpaca adapter against its emulator, in memory on the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from dragoman.adapters.alpaca.adapter import AlpacaAdapter

from dragoman.client import Client
from dragoman.connecting import connect
from dragoman.emulator.fault_spec import parse_faults
from dragoman.emulator.host import EmulatorHost
from dragoman.emulator.venue import Venue
from dragoman.model import OrderUpdate, Side
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.testing.emulated import emulated

AAPL, BTC = "US:AAPL", "ALPACA:BTC/USD"


class World:
    """What a scenario has: the client, and levers on the other side."""

    def __init__(self, runtime: VirtualRuntime, host: EmulatorHost, client: Client) -> None:
        self.runtime = runtime
        self.host = host
        self.emulator = host.emulator
        self.venue: Venue = host.emulator.venue
        self.client = client
        self.store = client.orders_service.store
        self.updates: list[OrderUpdate] = []
        self.events: list[Any] = []
        client.on_order(self.updates.append)
        client.on_event(self.events.append)

    def fault(self, spec: str) -> None:
        for fault in parse_faults(spec):
            self.host.faults.add(fault)

    async def until(self, condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
        async with asyncio.timeout(timeout_s):
            while not (found := condition()):
                await self.runtime.sleep(0.01)
        return found

    def price(self, percent: int, name: str = AAPL) -> Decimal:
        """Return a price on the tick, relative to the reference."""
        listing = self.venue.listing(name)
        tick = listing.instrument.tick_size
        return listing.reference * (100 + percent) / 100 // tick * tick

    async def rest(self, quantity: int = 100, percent: int = -2, **more: Any) -> Any:
        """Place a limit order that rests in the book, and wait until it does."""
        terms = {"order_type": "LIMIT", "price": self.price(percent)} | more
        order = await self.client.place(AAPL, "BUY", quantity, **terms)
        return await self.client.wait_order(order, lambda one: one.status == "OPEN")

    def sell_into(self, price: Decimal, quantity: int) -> None:
        """Let somebody else sell at `price`."""
        self.venue.place_external(AAPL, Side.SELL, Decimal(quantity), price)


@asynccontextmanager
async def world(
    runtime: VirtualRuntime, *, settings: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[World]:
    async with emulated(runtime, AlpacaAdapter()) as (host, overrides):
        host.emulator.venue.calm()
        connecting = connect(
            AlpacaAdapter(),
            "test",
            environment="emulator",
            overrides=overrides | {"settings": settings or {}},
            state_dir="/state",
            runtime=runtime,
            **options,
        )
        async with connecting as client:
            yield World(runtime, host, client)


def play(scenario: Callable[[World], Awaitable[Any]], **options: Any) -> Any:
    """Run `scenario(world)` on a virtual runtime and return what it returns."""

    async def run(runtime: VirtualRuntime) -> Any:
        async with asyncio.timeout(3600), world(runtime, **options) as here:
            return await scenario(here)

    with VirtualRuntime(seed=7) as runtime:
        return runtime.run(run(runtime))
