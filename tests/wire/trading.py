"""A client at the real adapter, against its emulator, in memory: the whole order path on the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import islice
from typing import Any

from dragoman.adapters.zerodha.adapter import ZerodhaAdapter
from dragoman.adapters.zerodha.emulator import FUNDS, USER_ID, ZerodhaEmulator

from dragoman.cli.demo import browser
from dragoman.client import Client
from dragoman.connecting import connect
from dragoman.emulator.fault_spec import parse_faults
from dragoman.emulator.host import EmulatorHost
from dragoman.emulator.venue import Venue, default_universe
from dragoman.emulator.venue.types import VenueOrder
from dragoman.model import InstrumentType, OrderType, OrderUpdate, Product, Side
from dragoman.runtime.base import Runtime
from dragoman.runtime.virtual import VirtualRuntime

REDIRECT_PORT = 5010
INFY, SBIN = "NSE:INFY", "NSE:SBIN"
KINDS = (InstrumentType.SPOT, InstrumentType.INDEX)


class World:
    """What a scenario has: the client, and levers on the other side."""

    def __init__(self, runtime: Runtime, host: EmulatorHost, client: Client) -> None:
        self.runtime = runtime
        self.host = host
        self.emulator = host.emulator
        self.venue: Venue = host.emulator.venue
        self.client = client
        self.store = client.orders_service.store
        self.account = USER_ID
        self.updates: list[OrderUpdate] = []
        self.events: list[Any] = []
        client.on_order(self.updates.append)
        client.on_event(self.events.append)

    # -- faults ------------------------------------------------------------------------------------------------------

    def fault(self, spec: str) -> None:
        for fault in parse_faults(spec):
            self.host.faults.add(fault)

    def heal(self) -> None:
        self.host.faults.clear()

    async def cut(self) -> None:
        """Break the stream, refuse the next ones, and return once the client has noticed."""
        self.fault("reset_socket*1;refuse_upgrade:503")
        await self.until(lambda: not self.client.streams["market"].ready)

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def requests(self) -> int:
        return self.host.counters.requests

    @property
    def live(self) -> list[Any]:
        """The venue's orders of this account."""
        return list(self.venue.orders(self.account))

    def statuses(self, name: str) -> list[str]:
        """Every status an order was reported to have, repeats left out."""
        seen: list[str] = []
        for update in self.updates:
            if update.order.client_order_id == name and seen[-1:] != [update.order.status]:
                seen.append(update.order.status)
        return seen

    async def until(self, condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await self.runtime.sleep(0.01)

    # -- acting ------------------------------------------------------------------------------------------------------

    async def rest(self, **more: Any) -> Any:
        """Place a limit order that rests in the book."""
        terms = {"order_type": "LIMIT", "price": self.price(), "product": "INTRADAY"} | more
        return await self.client.place(INFY, "BUY", 10, **terms)

    def price(self, ticks: int = -20) -> Decimal:
        listing = self.venue.listing(INFY)
        tick = listing.instrument.tick_size
        return listing.reference // tick * tick + ticks * tick

    def sell_into(self, price: Decimal, quantity: int) -> None:
        """Let somebody else sell at `price`."""
        self.venue.place_external(INFY, Side.SELL, Decimal(quantity), price)

    def place_elsewhere(self, tag: str | None = None) -> str:
        """Place an order as another terminal of the same account does; return its id."""
        order = VenueOrder(
            instrument_id=INFY,
            side=Side.BUY,
            quantity=Decimal(3),
            order_type=OrderType.LIMIT,
            product=Product.INTRADAY,
            price=self.price(),
            tag=tag,
        )
        return self.venue.submit(self.account, order, self.runtime.clock.wall_ns())


@asynccontextmanager
async def world(
    runtime: Runtime,
    *,
    faults: str = "",
    adapter: type[ZerodhaAdapter] = ZerodhaAdapter,
    most: int | None = None,
    kinds: Iterable[InstrumentType] = KINDS,
    poll_interval_s: float = 0.02,
    quiet: bool = True,
    state_dir: str = "/state",
    **options: Any,
) -> AsyncIterator[World]:
    """Connect a client to an emulator that lists the currencies and what is of `kinds`, or the first `most` of them."""
    now = runtime.clock.wall_ns()
    venue = Venue(7, now, quiet=quiet)
    offered = (
        listing
        for listing in default_universe(now, seed=7)
        if listing.instrument.instrument_type in kinds or listing.instrument.exchange in ("CDS", "BCD")
    )
    for listing in islice(offered, most):
        venue.list(listing)
    emulator = ZerodhaEmulator(venue, seed=7, accounts={USER_ID: FUNDS})
    host = EmulatorHost(emulator, runtime, poll_interval_s=poll_interval_s)
    roots = await host.start()
    overrides = {
        "hosts": {"rest": roots.rest, "ws": roots.ws, "login": roots.login},
        "credentials": {name: emulator.credentials[name] for name in ("api_key", "api_secret")},
        "redirect_port": REDIRECT_PORT,
    }
    connecting = connect(
        adapter(),
        "test",
        environment="emulator",
        overrides=overrides,
        state_dir=state_dir,
        open_url=browser(runtime),
        runtime=runtime,
        **options,
    )
    try:
        async with connecting as client:
            here = World(runtime, host, client)
            here.fault(faults)
            yield here
    finally:
        await host.close()


def play(scenario: Callable[[World], Awaitable[Any]], *, seed: int = 7, lasts_s: float = 3600, **options: Any) -> Any:
    """Run `scenario(world)` on a virtual runtime and return what it returns."""

    async def run(runtime: VirtualRuntime) -> Any:
        async with asyncio.timeout(lasts_s), world(runtime, **options) as here:
            return await scenario(here)

    with VirtualRuntime(seed=seed) as runtime:
        return runtime.run(run(runtime))
