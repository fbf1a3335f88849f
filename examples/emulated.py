"""Where the examples trade: an emulated broker, in this process or served by ``dragoman emulate``."""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import dragoman
from dragoman.cli.demo import browser, free_port
from dragoman.emulator.host import EmulatorHost
from dragoman.plugin.registry import emulator_factory, load_adapter
from dragoman.runtime.real import RealRuntime


@asynccontextmanager
async def connected(broker: str, served: str | None = None) -> AsyncIterator[dragoman.Client]:
    """Connect to the emulator of a broker.

    Parameters
    ----------
    broker : str
    served : str, optional
        File with the line that ``dragoman emulate`` printed; without it an emulator is started here.
    """
    runtime = RealRuntime()
    try:
        if served is not None:
            async with client_of(runtime, broker, _line(served)) as client:
                yield client
            return
        port = await free_port(runtime)
        emulator = emulator_factory(load_adapter(broker))(7, runtime.clock.wall_ns(), redirect_port=port)
        host = EmulatorHost(emulator, runtime)
        roots = await host.start()
        line = {"rest": roots.rest, "ws": roots.ws, "login": roots.login, "credentials": emulator.credentials}
        try:
            async with client_of(runtime, broker, line) as client:
                yield client
        finally:
            await host.close()
    finally:
        runtime.close()


@asynccontextmanager
async def client_of(runtime: RealRuntime, broker: str, line: Mapping[str, Any]) -> AsyncIterator[dragoman.Client]:
    """Connect to what the line of ``dragoman emulate`` describes. `browser` logs in as a human would."""
    adapter, given = load_adapter(broker), line["credentials"]
    overrides = {
        "hosts": {name: line[name] for name in ("rest", "ws", "login")},
        "credentials": {one.name: given[one.name] for one in adapter.credentials if one.name in given},
        "redirect_port": int(given["redirect_url"].rstrip("/").rpartition(":")[2]),
    }
    # A profile file would hold all this for a real account: dragoman.connect("zerodha", profile="main").
    with tempfile.TemporaryDirectory() as state_dir:
        async with dragoman.connect(
            adapter,
            "example",
            environment="emulator",
            overrides=overrides,
            state_dir=state_dir,
            open_url=browser(runtime),
            runtime=runtime,
        ) as client:
            yield client


def _line(served: str) -> Mapping[str, Any]:
    """Return what ``dragoman emulate`` wrote."""
    found: Mapping[str, Any] = json.loads(pathlib.Path(served).read_text())
    return found
