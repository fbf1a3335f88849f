"""Run a coroutine in both worlds: real sockets on loopback, and the virtual runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dragoman.runtime.base import Runtime
from dragoman.runtime.loops import new_event_loop
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.virtual import VirtualRuntime

Scenario = Callable[[Runtime], Awaitable[Any]]

both = pytest.mark.parametrize("world", ["real", "virtual"])


def run_in(world: str, scenario: Scenario, *, seed: int = 7) -> Any:
    """Run `scenario(runtime)`, with a deadline that only a hang reaches."""

    async def guarded(runtime: Runtime) -> Any:
        async with asyncio.timeout(20 if world == "real" else 3600):
            return await scenario(runtime)

    if world == "virtual":
        with VirtualRuntime(seed=seed) as virtual:
            return virtual.run(guarded(virtual))
    runtime = RealRuntime()
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(guarded(runtime))
    finally:
        runtime.close()
