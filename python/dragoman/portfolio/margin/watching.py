"""Margins for one consumer: the newest of each segment, where it is slower than they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from dragoman.model import Margin, Segment


class MarginQueue(AsyncIterator[Margin]):
    """Margins as they change; `MarginMonitor.watch` makes it. `conflated` counts those that gave way to newer ones."""

    def __init__(self) -> None:
        self._waiting: dict[Segment, Margin] = {}
        self._ready = asyncio.Event()
        self._closed = False
        self.conflated = 0

    def put(self, margin: Margin) -> None:
        """Take a margin; one of the same segment that still waits gives way."""
        if not self._closed:
            self.conflated += margin.segment in self._waiting
            self._waiting[margin.segment] = margin
            self._ready.set()

    def end(self) -> None:
        """End once what waits has been read."""
        self._closed = True
        self._ready.set()

    async def aclose(self) -> None:
        """End at once."""
        self._waiting.clear()
        self.end()

    @property
    def closed(self) -> bool:
        return self._closed

    def __aiter__(self) -> MarginQueue:
        return self

    async def __anext__(self) -> Margin:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        return self._waiting.pop(next(iter(self._waiting)))
