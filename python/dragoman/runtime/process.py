"""To which process, thread and loop a handle belongs: a fork must not use it, and no other thread may touch it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from threading import get_ident
from typing import Any

from dragoman._core import Guard
from dragoman.errors import UsageError

_pid = os.getpid()
"""Kept, because asking the system costs more than most calls that want to know."""


def process_id() -> int:
    """Return the id of the running process; in a forked child another than in its parent."""
    return _pid


def _after_fork() -> None:
    global _pid
    _pid = os.getpid()


os.register_at_fork(after_in_child=_after_fork)


class Owner:
    """Where a handle may be used: in the process that made it, on the loop it was bound to.

    Parameters
    ----------
    name : str
        Whose handle it is, for messages.

    Attributes
    ----------
    check : callable
        Raises UsageError, naming the call it is given, after a fork, on another thread and on another loop. Before
        `bind`, and between two runs of the loop on its own thread, only the process counts.
    create_future : callable
        Of the loop it was bound to: asking which loop runs is a system call on some versions of Python.

    Notes
    -----
    A check is native, since every call makes one: the loop is known by its thread and by running.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._pid = _pid
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self.create_future: Callable[[], asyncio.Future[Any]] = _future_of_the_running_loop
        self._guard = Guard(self._look_closer)
        self.check: Callable[[str], None] = self._guard.check

    def bind(self) -> None:
        """Belong to the running loop from now on.

        Raises
        ------
        UsageError
            It belongs to another one, or to another process.
        """
        self.check("start")
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self.create_future = self._loop.create_future
        self._guard.bind(self._loop.is_running)

    def check_process(self, what: str) -> None:
        """Raise UsageError after a fork; for what any thread may look at."""
        if _pid != self._pid:
            raise UsageError(
                f"{self._name}: {what}: this handle belongs to process {self._pid}, and this is process {_pid}",
                remedy="connect again after the fork; a socket must not be shared by two processes",
            )

    def _look_closer(self, what: str) -> None:
        self.check_process(what)
        if self._loop is None or (get_ident() == self._thread and asyncio._get_running_loop() is None):
            return
        where = "another loop" if get_ident() == self._thread else "another thread"
        raise UsageError(
            f"{self._name}: {what}: called on {where} than the one that connected",
            remedy="hand it over with asyncio.run_coroutine_threadsafe or loop.call_soon_threadsafe, or use"
            " dragoman.sync, whose handles any thread may call",
        )


def _future_of_the_running_loop() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()
