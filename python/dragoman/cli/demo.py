"""``dragoman demo``: the main job from login to proof, against an emulated broker on loopback."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from dragoman.cli.capture import read_file
from dragoman.cli.demo_proof import prove
from dragoman.cli.demo_report import show
from dragoman.cli.demo_story import Story
from dragoman.connecting import connect
from dragoman.errors import UsageError
from dragoman.plugin.registry import PluginError, load_adapter, plugins
from dragoman.runtime.base import Runtime
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.testing.emulated import browser, emulated
from dragoman.testing.recorded_market import drive_market


def first_with_emulator() -> str:
    """Return the first installed adapter that ships an emulator."""
    for name, plugin in sorted(plugins().items()):
        try:
            if plugin.load().emulator:
                return name
        except PluginError:
            continue  # `dragoman brokers` tells why it does not load
    raise UsageError("no installed adapter ships an emulator")


async def demo(
    runtime: Runtime,
    broker: str,
    *,
    seconds: float,
    seed: int,
    state_dir: str,
    market: Path | None = None,
    speed: float = 1.0,
) -> dict[str, Any]:
    """Run the demonstration and return everything it saw, with the verdict in ``proof``."""
    adapter = load_adapter(broker)
    async with (
        emulated(runtime, adapter, seed=seed) as (host, overrides),
        connect(
            adapter,
            "demo",
            environment="emulator",
            overrides=overrides,
            state_dir=state_dir,
            open_url=browser(runtime),
            runtime=runtime,
        ) as client,
    ):
        if market is not None:
            await drive_market(client, adapter, host.emulator.venue, read_file(market), speed=speed)
        story = Story(client, runtime)
        await story.play(seconds)
        result = await story.result()
        result["proof"] = await prove(client, host.emulator, host)
        result["roots"] = {name: overrides["hosts"][name] for name in ("rest", "ws")}
        return result


def run_demo(
    broker: str | None,
    *,
    seconds: float,
    seed: int,
    as_json: bool,
    market: Path | None = None,
    speed: float = 1.0,
) -> int:
    """Run, print, and return the exit status: 0 only where every book agrees."""
    runtime = RealRuntime()
    name = broker or first_with_emulator()
    try:
        with tempfile.TemporaryDirectory(prefix="dragoman-demo-") as state_dir:
            result = run(
                demo(runtime, name, seconds=seconds, seed=seed, state_dir=state_dir, market=market, speed=speed)
            )
    finally:
        runtime.close()
    show(result, as_json=as_json)
    return 0 if result["proof"]["agrees"] else 1
