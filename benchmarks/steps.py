"""How many steps of Python a call takes: frames and bytecodes, counted and not timed.

What runs once in a while runs in cold caches: there these say more of its cost than the time of a loop does, and they
are the same on every machine with the same Python.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any


async def steps(call: Callable[[], Awaitable[object]], *, calls: int = 20) -> tuple[float, float]:
    """Return frames entered and bytecodes executed for each call, all callbacks until its end included.

    It has to have been called before, so that what is done once is not in it.
    """
    frames = bytecodes = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal frames, bytecodes
        if event == "call":
            frames += 1
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            bytecodes += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for _ in range(calls):
            await call()
    finally:
        sys.settrace(before)
    return frames / calls, bytecodes / calls
