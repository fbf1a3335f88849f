"""A client at an emulated broker: one started here, or one that ``dragoman emulate`` serves.

>>> async with connected("examplebroker", state_dir=folder) as client:        # doctest: +SKIP
...     await client.place("NSE:INFY", "BUY", 1)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from dragoman.client import Client
from dragoman.connecting import connect
from dragoman.emulator.contract import Emulator, Roots
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import DragomanError
from dragoman.plugin import Adapter
from dragoman.plugin.registry import emulator_factory, load_adapter
from dragoman.runtime.base import Runtime
from dragoman.session.emulators import overrides_of
from dragoman.transport.base import HttpOptions, Origin, WireRequest
from dragoman.transport.http import HttpClient

__all__ = ["browser", "connected", "emulated", "free_port", "overrides_of", "roots_line"]


def browser(runtime: Runtime) -> Callable[[str], Awaitable[None]]:
    """Return what a human does at an emulator's login page: open it, and go where it sends the browser.

    Pass it to `dragoman.connect` as ``open_url``.
    """

    async def visit(url: str) -> None:
        client = HttpClient(runtime, HttpOptions())
        try:
            for _ in range(3):
                parts = urlsplit(url)
                origin = Origin(parts.scheme, parts.hostname or "", parts.port or 80)
                request = WireRequest("GET", f"{parts.path or '/'}?{parts.query}", ())
                reply = await client.send(origin, lambda request=request: request, timeout_s=10.0)  # type: ignore[misc]
                if reply.status not in (302, 303):
                    return
                url = reply.headers["location"]
            raise DragomanError("the login page sends its visitor in a circle")
        finally:
            await client.close()

    return visit


async def free_port(runtime: Runtime) -> int:
    """Return a loopback port that was free a moment ago."""
    listener = await runtime.net.listen(asyncio.Protocol, "127.0.0.1", 0)
    port = listener.port
    await listener.close()
    return port


def roots_line(roots: Roots, emulator: Emulator) -> dict[str, Any]:
    """Return what ``dragoman emulate`` prints about where an emulator is served."""
    return {
        "rest": roots.rest,
        "ws": roots.ws,
        "login": roots.login,
        "extra": dict(roots.extra),
        "credentials": dict(emulator.credentials),
    }


@asynccontextmanager
async def emulated(
    runtime: Runtime, broker: str | Adapter, *, seed: int = 7, **options: Any
) -> AsyncIterator[tuple[EmulatorHost, dict[str, Any]]]:
    """Serve a broker's emulator while the context lasts; yield its host and the overrides that point at it.

    Parameters
    ----------
    runtime : Runtime
    broker : str or Adapter
    seed : int
        Same seed, same market.
    **options
        As the emulator's factory takes them.
    """
    adapter = load_adapter(broker) if isinstance(broker, str) else broker
    port = await free_port(runtime)
    emulator: Emulator = emulator_factory(adapter)(seed, runtime.clock.wall_ns(), redirect_port=port, **options)
    host = EmulatorHost(emulator, runtime)
    roots = await host.start()
    served = {"rest": roots.rest, "ws": roots.ws, "login": roots.login, "extra": roots.extra}
    try:
        yield host, overrides_of(served | {"credentials": emulator.credentials}, adapter) | {"redirect_port": port}
    finally:
        await host.close()


@asynccontextmanager
async def connected(
    broker: str | Adapter,
    served: Mapping[str, Any] | None = None,
    *,
    state_dir: str,
    runtime: Runtime | None = None,
    seed: int = 7,
    **options: Any,
) -> AsyncIterator[Client]:
    """Connect to an emulator of a broker, logged in as a human would.

    Parameters
    ----------
    broker : str or Adapter
    served : mapping, optional
        The line that ``dragoman emulate`` printed, read from JSON; without it an emulator is started here.
    state_dir : str
        Folder for the token; a temporary one will do.
    runtime : Runtime, optional
        A real one by default.
    seed : int
        Of the emulator started here.
    **options
        As `dragoman.connect` takes them.
    """
    from dragoman.runtime.real import RealRuntime

    adapter = load_adapter(broker) if isinstance(broker, str) else broker
    async with AsyncExitStack() as stack:
        if runtime is None:
            runtime = real = RealRuntime()
            stack.callback(real.close)
        if served is not None:
            overrides = overrides_of(served, adapter)
        else:
            _, overrides = await stack.enter_async_context(emulated(runtime, adapter, seed=seed))
        yield await stack.enter_async_context(
            connect(
                adapter,
                "emulator",
                environment="emulator",
                overrides=overrides,
                state_dir=state_dir,
                open_url=browser(runtime),
                runtime=runtime,
                **options,
            )
        )
