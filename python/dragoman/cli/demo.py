"""``dragoman demo``: the main job from login to proof, against an emulated broker on loopback."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from dragoman.cli.demo_proof import prove
from dragoman.cli.demo_report import show
from dragoman.cli.demo_story import Story
from dragoman.connecting import connect
from dragoman.emulator.contract import Emulator
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import DragomanError, UsageError
from dragoman.plugin import Adapter
from dragoman.plugin.registry import PluginError, emulator_factory, load_adapter, plugins
from dragoman.runtime.base import Runtime
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.transport.base import HttpOptions, Origin, WireRequest
from dragoman.transport.http import HttpClient


def first_with_emulator() -> str:
    """Return the first installed adapter that ships an emulator."""
    for name, plugin in sorted(plugins().items()):
        try:
            if plugin.load().emulator:
                return name
        except PluginError:
            continue  # `dragoman brokers` tells why it does not load
    raise UsageError("no installed adapter ships an emulator")


def browser(runtime: Runtime) -> Callable[[str], Awaitable[None]]:
    """Return what a human does at a login page: open it, and go where it sends the browser."""

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


async def demo(runtime: Runtime, broker: str, *, seconds: float, seed: int, state_dir: str) -> dict[str, Any]:
    """Run the demonstration and return everything it saw, with the verdict in ``proof``."""
    adapter: Adapter = load_adapter(broker)
    redirect_port = await free_port(runtime)
    make = emulator_factory(adapter)
    emulator: Emulator = make(seed, runtime.clock.wall_ns(), redirect_port=redirect_port)
    host = EmulatorHost(emulator, runtime)
    roots = await host.start()
    wanted = {credential.name for credential in adapter.credentials}
    overrides = {
        "hosts": {"rest": roots.rest, "ws": roots.ws, "login": roots.login},
        "credentials": {name: value for name, value in emulator.credentials.items() if name in wanted},
        "redirect_port": redirect_port,
    }
    try:
        async with connect(
            adapter,
            "demo",
            environment="emulator",
            overrides=overrides,
            state_dir=state_dir,
            open_url=browser(runtime),
            runtime=runtime,
        ) as client:
            story = Story(client, runtime)
            await story.play(seconds)
            result = await story.result()
            result["proof"] = await prove(client, emulator, host)
            result["roots"] = {"rest": roots.rest, "ws": roots.ws}
            return result
    finally:
        await host.close()


def run_demo(broker: str | None, *, seconds: float, seed: int, as_json: bool) -> int:
    """Run, print, and return the exit status: 0 only where every book agrees."""
    runtime = RealRuntime()
    name = broker or first_with_emulator()
    try:
        with tempfile.TemporaryDirectory(prefix="dragoman-demo-") as state_dir:
            result = run(demo(runtime, name, seconds=seconds, seed=seed, state_dir=state_dir))
    finally:
        runtime.close()
    show(result, as_json=as_json)
    return 0 if result["proof"]["agrees"] else 1
