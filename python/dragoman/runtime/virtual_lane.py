"""`Lane` without a thread: its work takes virtual time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from dragoman.errors import UsageError

T = TypeVar("T")


class VirtualLane:
    """Performs one call at a time, each at the end of the time it takes.

    Parameters
    ----------
    name : str
    loop : asyncio.AbstractEventLoop
    latency_s : callable
        How long the next call takes, in virtual seconds.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, latency_s: Callable[[], float]) -> None:
        self._name = name
        self._loop = loop
        self._latency_s = latency_s
        self._jobs: deque[tuple[Callable[[], Any], Callable[[Any, BaseException | None], object]]] = deque()
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, work: Callable[[], T], on_done: Callable[[T | None, BaseException | None], object]) -> None:
        """Queue `work`; see `Lane.submit`."""
        if self._closed:
            raise UsageError(f"lane {self._name} is closed", remedy="open what uses it again")
        self._jobs.append((work, on_done))
        if len(self._jobs) == 1:
            self._idle.clear()
            self._loop.call_later(self._latency_s(), self._perform)

    def _perform(self) -> None:
        work, on_done = self._jobs[0]
        result, error = None, None
        try:
            result = work()
        except Exception as raised:  # noqa: BLE001 (it is the caller's, and handed to him)
            error = raised
        self._loop.call_soon(on_done, result, error)
        self._jobs.popleft()
        if self._jobs:
            self._loop.call_later(self._latency_s(), self._perform)
        else:
            self._idle.set()

    async def close(self, *, patience_s: float) -> bool:
        """Wait for what was submitted, for `patience_s` at most."""
        self._closed = True
        try:
            async with asyncio.timeout(patience_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
