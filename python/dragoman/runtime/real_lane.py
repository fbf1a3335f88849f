"""`Lane` over a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from dragoman.errors import UsageError
from dragoman.runtime.process import process_id

T = TypeVar("T")

_Job = tuple[Callable[[], Any], Callable[[Any, BaseException | None], object]]


class ThreadLane:
    """A thread of its own, started with the first work.

    It is a daemon: a call that never returns, on a dead disk, must not keep the process from ending.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._pid = process_id()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._ended = asyncio.Event()

    def submit(self, work: Callable[[], T], on_done: Callable[[T | None, BaseException | None], object]) -> None:
        """Queue `work`; see `Lane.submit`."""
        if self._closed or process_id() != self._pid:
            why = "is closed" if self._closed else f"belongs to process {self._pid}, and this is {process_id()}"
            raise UsageError(f"lane {self._name} {why}", remedy="open what uses it again")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put((work, on_done))

    def _run(self) -> None:
        jobs, loop = self._jobs, self._loop
        # A closed loop means that the handle was dropped with its loop: nobody is left to be told.
        with contextlib.suppress(RuntimeError):
            while (job := jobs.get()) is not None:
                work, on_done = job
                try:
                    result = work()
                except BaseException as error:  # noqa: BLE001 (it is the caller's, and handed to him)
                    loop.call_soon_threadsafe(on_done, None, error)
                else:
                    loop.call_soon_threadsafe(on_done, result, None)
                del job, work, on_done
            loop.call_soon_threadsafe(self._ended.set)

    async def close(self, *, patience_s: float) -> bool:
        """Wait for what was submitted, for `patience_s` at most."""
        if not self._closed:
            self._closed = True
            if self._thread is None or process_id() != self._pid:
                self._ended.set()
            else:
                self._jobs.put(None)
        try:
            async with asyncio.timeout(patience_s):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True
