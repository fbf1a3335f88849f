"""``dragoman demo``: the main job from login to proof, against an emulated broker on loopback."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from dragoman.cli.capture import read_file
from dragoman.cli.demo_proof import prove
from dragoman.cli.demo_report import show, show_all
from dragoman.cli.demo_story import Story
from dragoman.cli.progress import say_which
from dragoman.connecting import connect
from dragoman.errors import UsageError
from dragoman.plugin.registry import PluginError, load_adapter, plugins
from dragoman.runtime.base import Runtime
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.testing.emulated import browser, emulated
from dragoman.testing.recorded_market import drive_market, recorded_markets

ALL = "all"


def with_emulator() -> list[str]:
    """Return the installed adapters that ship an emulator."""
    found = []
    for name, plugin in sorted(plugins().items()):
        try:
            if plugin.load().emulator:
                found.append(name)
        except PluginError:
            continue  # `dragoman brokers` tells why it does not load
    if not found:
        raise UsageError("no installed adapter ships an emulator")
    return found


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
    recording = None if market is None else read_file(market)
    async with emulated(runtime, adapter, seed=seed) as (host, overrides):
        if recording is not None:
            host.emulator.list_recorded(recorded_markets(adapter, recording))
        async with connect(
            adapter,
            "demo",
            environment="emulator",
            overrides=overrides,
            state_dir=state_dir,
            open_url=browser(runtime),
            runtime=runtime,
        ) as client:
            driven: tuple[str, ...] = ()
            if recording is not None:
                driven = await drive_market(client, adapter, host.emulator.venue, recording, speed=speed)
            story = Story(client, runtime, first=driven)
            await story.play(seconds)
            result = await story.result()
            result["recorded"] = list(driven)
            result["proof"] = await prove(client, host.emulator, host)
            result["roots"] = {name: overrides["hosts"][name] for name in ("rest", "ws")}
            return result


def run_demo(
    broker: str, *, seconds: float, seed: int, as_json: bool, market: Path | None = None, speed: float = 1.0
) -> int:
    """Run, print, and return the exit status: 0 only where every book agrees.

    Parameters
    ----------
    broker : str
        An adapter's name, or ``all``: the same story with each, one after the other.
    seconds : float
        With each.
    market, speed
        A recording that drives the exchange, and how fast; with one broker, whose traffic it is.
    """
    if broker == ALL and market is not None:
        raise UsageError("a recording is one broker's traffic", remedy="name the broker: --broker NAME --market FILE")
    results = []
    names = with_emulator() if broker == ALL else [broker]
    for number, name in enumerate(names, 1):
        say_which("demo", name, number, len(names))
        runtime = RealRuntime()
        try:
            with tempfile.TemporaryDirectory(prefix="dragoman-demo-") as folder:
                story = demo(runtime, name, seconds=seconds, seed=seed, state_dir=folder, market=market, speed=speed)
                results.append(run(story))
        finally:
            runtime.close()
    if broker == ALL:
        show_all(results, as_json=as_json)
    else:
        show(results[0], as_json=as_json)
    return 0 if all(result["proof"]["agrees"] for result in results) else 1
