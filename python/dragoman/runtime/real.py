"""The machine's own clock, disk, sockets, threads and programs."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

from dragoman.runtime.base import Disk, Lane, Net
from dragoman.runtime.garbage import garbage_kept
from dragoman.runtime.real_disk import RealDisk
from dragoman.runtime.real_lane import ThreadLane
from dragoman.runtime.real_net import RealNet
from dragoman.runtime.watchdog import Stall, watch_loop

T = TypeVar("T")

_WORKERS = 4


class RealClock:
    """`Clock` over the kernel's monotonic and realtime clocks."""

    # Bound straight to the C functions: the order path reads the clock several times a request.
    mono_ns = staticmethod(time.monotonic_ns)
    wall_ns = staticmethod(time.time_ns)


class RealRuntime:
    """A `Runtime` that answers from the machine.

    It holds no loop: every call uses the running one, so one runtime serves any number of loops, one after another.
    `close` ends its worker threads; they are made on first use.
    """

    name = "real"
    virtual = False

    def __init__(self) -> None:
        self.clock = RealClock()
        self.disk: Disk = RealDisk()
        self.net: Net = RealNet()
        self.random = random.Random()
        self._workers: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of monotonic time."""
        await asyncio.sleep(seconds)

    def random_bytes(self, n: int) -> bytes:
        """Return `n` bytes fit for keys and nonces."""
        return os.urandom(n)

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start a task and keep it alive until it ends; asyncio itself only holds tasks weakly."""
        task = asyncio.get_running_loop().create_task(coro, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def in_worker(self, fn: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Run blocking work on one of a few worker threads."""
        if self._workers is None:
            self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="dragoman-worker")
        return asyncio.get_running_loop().run_in_executor(self._workers, partial(fn, *args))

    def lane(self, name: str) -> Lane:
        """Return a new lane with a thread of its own."""
        return ThreadLane(name)

    def watch_loop(self, on_lag: Callable[[int], object], on_stall: Callable[[Stall], object]) -> Callable[[], None]:
        """Watch the running loop from a thread; see `Runtime.watch_loop`."""
        return watch_loop(on_lag, on_stall)

    def garbage_kept(self) -> AbstractContextManager[None]:
        """Collect no garbage inside; see `Runtime.garbage_kept`."""
        return garbage_kept()

    def environ(self, name: str) -> str | None:
        """Return an environment variable of this process."""
        return os.environ.get(name)

    async def run_command(self, argv: Sequence[str], *, timeout: float) -> str:
        """Run a program without a shell; see `Runtime.run_command`."""
        # A session of its own, so that a time-out ends what the program started, too: a grandchild that holds the
        # pipe would keep `communicate` waiting for ever.
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout):
                output, _ = await process.communicate()
        except BaseException as error:
            _kill_session(process.pid)
            await process.wait()
            if isinstance(error, TimeoutError):
                raise TimeoutError(f"{argv[0]} did not finish within {timeout:g} s and was stopped") from None
            raise
        if process.returncode != 0:
            raise OSError(f"{argv[0]} ended with status {process.returncode}, expected 0")
        try:
            text = output.decode()
        except UnicodeDecodeError:
            raise OSError(f"{argv[0]} wrote something that is not UTF-8 text") from None
        return text.removesuffix("\n").removesuffix("\r")

    def close(self) -> None:
        """End the worker threads. Work already queued is finished first."""
        if self._workers is not None:
            self._workers.shutdown()
            self._workers = None


def _kill_session(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended between the deadline and here
