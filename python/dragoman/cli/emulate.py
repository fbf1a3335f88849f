"""``dragoman emulate``: the broker's side of its protocol on loopback."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys

import orjson

from dragoman.emulator.contract import Emulator
from dragoman.emulator.faults import Faults
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import UsageError
from dragoman.plugin.registry import emulator_factory, load_adapter
from dragoman.runtime.base import Runtime
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime


async def _serve(
    runtime: Runtime, broker: str, *, port: int, seed: int, tick_rate: float, faults: str, redirect_port: int
) -> None:
    spec = Faults.parse(faults, seed=seed) if faults else None
    make = emulator_factory(load_adapter(broker))
    emulator: Emulator = make(seed, runtime.clock.wall_ns(), tick_rate=tick_rate, redirect_port=redirect_port)
    host = EmulatorHost(emulator, runtime, faults=spec, port=port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Before the line that says where it serves: who reads that line may end us at once.
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
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
        print(orjson.dumps(line).decode(), flush=True)
        await stop.wait()
    finally:
        await host.close()
    print(f"dragoman: {orjson.dumps(dataclasses.asdict(host.counters)).decode()}", file=sys.stderr)


def serve(broker: str, *, port: int, seed: int, tick_rate: float, faults: str, redirect_port: int) -> None:
    runtime = RealRuntime()
    try:
        run(
            _serve(
                runtime, broker, port=port, seed=seed, tick_rate=tick_rate, faults=faults, redirect_port=redirect_port
            )
        )
    finally:
        runtime.close()
