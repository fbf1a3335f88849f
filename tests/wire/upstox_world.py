"""A client at Upstox's adapter, against its emulator, in memory: the whole way on the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import chain
from typing import Any

from dragoman.adapters.upstox.adapter import UpstoxAdapter
from dragoman.adapters.upstox.emulator import USER_ID, UpstoxEmulator

from dragoman.connecting import connect
from dragoman.emulator.host import EmulatorHost
from dragoman.emulator.venue import FUNDS, Venue, default_universe
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.testing.emulated import browser, overrides_of
from wire.trading import World

INFY, SBIN, INDEX = "NSE:INFY", "NSE:SBIN", "NSE:NIFTY_50=INDEX"
LISTED = ("NSE", "NFO", "CDS", "MCX")


def play(scenario: Callable[[World], Awaitable[Any]], *, seed: int = 7, quiet: bool = True, **options: Any) -> Any:
    """Run `scenario(world)` on a virtual runtime and return what it returns.

    Parameters
    ----------
    quiet : bool
        Whether the market stands still unless the scenario moves it.
    options
        As `connect` takes them; ``emulator`` holds those of the emulator.
    """

    async def run(runtime: VirtualRuntime) -> Any:
        now = runtime.clock.wall_ns()
        venue = Venue(7, now, quiet=quiet)
        shown = [one for one in default_universe(now, seed=7) if one.instrument.exchange in LISTED]
        for listing in chain(shown[:30], (one for one in shown[30:] if one.instrument.expiry is not None)):
            venue.list(listing)
        told = options.pop("emulator", {})
        emulator = UpstoxEmulator(venue, seed=7, accounts={USER_ID: FUNDS}, **told)
        parts = {"t1_quantity": Decimal(10), "pledged_quantity": Decimal(30)}
        venue.set_holding(USER_ID, SBIN, Decimal(100), Decimal(800), **parts)
        host = EmulatorHost(emulator, runtime, poll_interval_s=0.02)
        roots = await host.start()
        line = {"rest": roots.rest, "ws": roots.ws, "login": roots.login, "extra": roots.extra}
        overrides = overrides_of(line | {"credentials": emulator.credentials}, UpstoxAdapter())
        connecting = connect(
            options.pop("adapter", UpstoxAdapter)(),
            "test",
            environment="emulator",
            overrides=overrides | options.pop("overrides", {}),
            state_dir="/state",
            open_url=browser(runtime),
            runtime=runtime,
            **options,
        )
        try:
            async with asyncio.timeout(3600), connecting as client:
                here = World(runtime, host, client)
                here.account = USER_ID
                return await scenario(here)
        finally:
            await host.close()

    with VirtualRuntime(seed=seed) as runtime:
        return runtime.run(run(runtime))
