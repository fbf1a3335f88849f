"""Blocking iterators over what the I/O thread receives."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from dragoman._core import Batch, Tick
from dragoman.market.handout import conflation_key
from dragoman.runtime.dispatch import Ended, Mailbox

T = TypeVar("T")


def put_ticks(box: Mailbox[Tick], batch: Batch) -> None:
    """Put a batch's ticks; older ones of the same instrument and kind that still wait give way."""
    box.put_latest((conflation_key(tick), tick) for tick in batch)


class Following(Iterator[T], Generic[T]):
    """What comes from now on, in order; it ends with the client, or with `close`.

    An interrupt while it waits loses nothing: the next step goes on where it was.

    Parameters
    ----------
    box : Mailbox
    check : callable
        Raises UsageError where waiting could never end: on the I/O thread, after a fork.
    """

    def __init__(self, box: Mailbox[T], check: Callable[[], object]) -> None:
        self._box = box
        self._check = check

    def __next__(self) -> T:
        if not self._box.closed:
            self._check()
        try:
            return self._box.take()
        except Ended:
            raise StopIteration from None

    def close(self) -> None:
        """End at once; what waits is given up."""
        self._box.close(drop=True)

    @property
    def conflated(self) -> int:
        """Ticks that gave way to newer ones of their instrument; always 0 for events, which never drop."""
        return self._box.conflated

    @property
    def waiting(self) -> int:
        """Events that wait to be read."""
        return self._box.waiting


class Pulling(Iterator[T], Generic[T]):
    """An asynchronous iterator, read one value at a time on the I/O thread.

    An interrupt while it waits loses nothing: a value that arrives later is the next one.
    """

    def __init__(
        self, source: AsyncIterator[T], call: Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
    ) -> None:
        self._source = source
        self._call = call
        self._read: deque[T] = deque()
        self._reading = asyncio.Lock()
        self._ended = False

    async def _pull(self) -> None:
        async with self._reading:  # of a step whose caller was interrupted, the value is still to come
            if self._read or self._ended:
                return
            try:
                self._read.append(await anext(self._source))
            except StopAsyncIteration:
                self._ended = True

    def __next__(self) -> T:
        if not self._read and not self._ended:
            self._call(self._pull)
        if self._read:
            return self._read.popleft()
        raise StopIteration
