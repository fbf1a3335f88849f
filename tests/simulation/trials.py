"""A client at each broker's emulator on the virtual clock, and how long it takes to get over what happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from dragoman.model import Order
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.virtual import MONDAY_MORNING_NS, VirtualRuntime
from dragoman.testing.conformance.stage import Stage, staged

BROKERS = ("alpaca", "binance", "fyers", "upstox", "zerodha")
LATENCY_S = (0.005, 0.04)
"""One way; a round trip takes 10 to 80 ms, as from an office to a broker of the same country."""
NS = 1_000_000_000


class Trial:
    """One client, connected, that wants the prices of one instrument.

    Attributes
    ----------
    stage : Stage
    runtime : VirtualRuntime
    """

    def __init__(self, stage: Stage, runtime: VirtualRuntime) -> None:
        self.stage = stage
        self.runtime = runtime

    @property
    def client(self) -> Any:
        return self.stage.client

    @property
    def order_streams(self) -> tuple[str, ...]:
        """The streams that carry orders."""
        return self.client._streams.carrying_orders

    async def rest(self, name: str, percent: int = -3) -> Order:
        """Place an order that rests in the book, and wait until it does."""
        stage, cast = self.stage, self.stage.cast
        terms = {"order_type": "LIMIT", "price": cast.price("A", Decimal(percent), 0), "product": cast.product("A")}
        await self.client.place(stage.id_of("A"), "BUY", cast.unit("A"), **terms, client_order_id=name)
        return await self.client.wait_order(name, lambda order: order.status == "OPEN" and order.pending == "NONE")

    def fill(self, order: Order) -> None:
        """Let the market fall through a resting order, and come back."""
        listing = self.stage.cast.listing("A")
        name, tick = listing.instrument.instrument_id, listing.instrument.tick_size
        assert order.price is not None
        self.stage.venue.set_price(name, order.price - tick)
        self.stage.venue.set_price(name, self.stage.cast.price("A", Decimal(0), 0))

    def counted(self, what: str) -> int:
        """Return a counter, summed over all streams."""
        return sum(stream.counters[what] for stream in self.client.streams.values())

    async def seconds_until(self, condition: Callable[[], Any], most_s: float = 120.0) -> float:
        """Wait until a condition holds; return how long that took."""
        began = self.runtime.clock.mono_ns()
        async with asyncio.timeout(most_s):
            while not condition():
                await self.runtime.sleep(0.01)
        return (self.runtime.clock.mono_ns() - began) / NS

    def whole(self) -> bool:
        """Whether every stream in use is connected and all orders have been read since."""
        streams = self.client.streams
        used = [name for name in streams if name in self.order_streams or streams[name].primary.wanted]
        return all(streams[name].ready for name in used) and not self.client.orders_service.stale


def at(
    broker: str,
    scenario: Callable[[Trial], Awaitable[Any]],
    *,
    seed: int = 7,
    start_wall_ns: int = MONDAY_MORNING_NS,
    poll_interval_s: float = 0.1,
) -> Any:
    """Run a scenario with a client of a broker and return what it returns."""

    async def run(runtime: VirtualRuntime) -> Any:
        async with staged(runtime, load_adapter(broker), state_dir="/state", seed=seed) as stage:
            stage.host._poll_interval_s = poll_interval_s
            await stage.connect()
            trial = Trial(stage, runtime)
            stage.client.subscribe(stage.id_of("A"))
            await trial.seconds_until(trial.whole)
            return await scenario(trial)

    with VirtualRuntime(seed=seed, start_wall_ns=start_wall_ns) as runtime:
        runtime.net.shape.latency_s = LATENCY_S
        return runtime.run(run(runtime))


def share(values: list[float], part: float) -> float:
    """Return the value that a part of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
