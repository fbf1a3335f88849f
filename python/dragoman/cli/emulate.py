"""``dragoman emulate``: the broker's side of its protocol on loopback."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson

from dragoman.cli import emulators
from dragoman.cli.capture import read_file
from dragoman.emulator.contract import Emulator
from dragoman.emulator.faults import Faults
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import UsageError
from dragoman.plugin.registry import emulator_factory, load_adapter
from dragoman.runtime.base import Runtime
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.session.emulators import DEFAULT_NAME
from dragoman.testing.emulated import connected
from dragoman.testing.recorded_market import drive_market, recorded_markets


async def _serve(
    runtime: Runtime,
    broker: str,
    *,
    port: int,
    seed: int,
    tick_rate: float,
    faults: str,
    redirect_port: int,
    name: str,
    market: Path | None = None,
    speed: float = 1.0,
) -> None:
    spec = Faults.parse(faults, seed=seed) if faults else None
    make = emulator_factory(load_adapter(broker))
    emulator: Emulator = make(seed, runtime.clock.wall_ns(), tick_rate=tick_rate, redirect_port=redirect_port)
    host = EmulatorHost(emulator, runtime, faults=spec, port=port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Before the line that says where it serves: who reads that line may end us at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        roots = await host.start()
    except OSError as error:
        raise UsageError(
            f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}", remedy="free it, or name another --port"
        ) from error
    try:
        line = {
            "broker": broker,
            "rest": roots.rest,
            "ws": roots.ws,
            "login": roots.login,
            "credentials": dict(emulator.credentials),
            **({"extra": dict(roots.extra)} if roots.extra else {}),
        }
        if market is not None:
            await play_market(runtime, broker, emulator, line, market, speed)
        published = await _publish(runtime, name, line)
        print(orjson.dumps(line).decode(), flush=True)
        if published and sys.stderr.isatty():
            print(f"dragoman: aim at it: dragoman login -b {broker} {aim(name)} (Ctrl-C ends it)", file=sys.stderr)
        try:
            await stop.wait()
        finally:
            if published:
                await runtime.in_worker(emulators.withdraw, runtime, name, line)
    finally:
        await host.close()
    print(f"dragoman: {orjson.dumps(dataclasses.asdict(host.counters)).decode()}", file=sys.stderr)


async def play_market(
    runtime: Runtime, broker: str, emulator: Emulator, line: dict[str, Any], path: Path, speed: float
) -> tuple[str, ...]:
    """Let a recording drive the venue of an emulator that is served; return the instruments it drives."""
    recording = read_file(path)
    if recording.broker and recording.broker != broker:
        raise UsageError(f"{path} was captured at {recording.broker}, not at {broker}")
    adapter = load_adapter(broker)
    emulator.list_recorded(recorded_markets(adapter, recording))
    with tempfile.TemporaryDirectory(prefix="dragoman-market-") as state_dir:
        async with connected(broker, line, state_dir=state_dir, runtime=runtime, streams=False) as client:
            driven = await drive_market(client, adapter, emulator.venue, recording, speed=speed)
    print(f"dragoman: {path.name} moves {', '.join(driven)}", file=sys.stderr)
    return driven


async def _publish(runtime: Runtime, name: str, line: dict[str, Any]) -> bool:
    """Let other commands find this emulator; return whether they do. A name that a living one has stays its own."""
    try:
        if (root := await emulators.owner(runtime, line["broker"], name)) is not None:
            raise UsageError(
                f"the name {name!r} is that of the emulator at {root}",
                remedy="end that one first, or give this one a --name of its own",
            )
        await runtime.in_worker(emulators.publish, runtime, name, line)
    except UsageError as error:  # it serves all the same, to whoever reads the line
        print(f"dragoman: other commands cannot find this emulator: {error}", file=sys.stderr)
        return False
    return True


def aim(name: str) -> str:
    """Return the options with which other commands find an emulator."""
    return "-e emulator" + ("" if name == DEFAULT_NAME else f" -p {name}")


def serve(
    broker: str,
    *,
    port: int,
    seed: int,
    tick_rate: float,
    faults: str,
    redirect_port: int,
    name: str,
    market: Path | None = None,
    speed: float = 1.0,
) -> None:
    runtime = RealRuntime()
    try:
        run(
            _serve(
                runtime,
                broker,
                port=port,
                seed=seed,
                tick_rate=tick_rate,
                faults=faults,
                redirect_port=redirect_port,
                name=name,
                market=market,
                speed=speed,
            )
        )
    finally:
        runtime.close()
