"""A runtime in which a run is a function of its seed: the same seed gives the same trace."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

from dragoman.runtime.base import Lane
from dragoman.runtime.garbage import garbage_kept
from dragoman.runtime.virtual_disk import VirtualDisk
from dragoman.runtime.virtual_lane import VirtualLane
from dragoman.runtime.virtual_loop import DeadlockError, LivelockError, Trace, VirtualLoop
from dragoman.runtime.virtual_net import VirtualNet
from dragoman.runtime.watchdog import Stall

T = TypeVar("T")

_NS = 1_000_000_000

MONDAY_MORNING_NS = 1_767_584_700 * _NS
"""2026-01-05 03:45 UTC: 09:15 in Kolkata, a Monday, when the Indian exchanges open."""


class VirtualClock:
    """Wall clock that can drift and step over a monotonic one that does neither.

    Parameters
    ----------
    loop : VirtualLoop
        Owner of the monotonic time.
    start_wall_ns : int
        Wall time at the loop's present instant, ns since the epoch, UTC.
    """

    def __init__(self, loop: VirtualLoop, start_wall_ns: int) -> None:
        self._loop = loop
        self._base_mono_ns = loop.now_ns
        self._base_wall_ns = start_wall_ns
        self._drift_ppb = 0

    def mono_ns(self) -> int:
        """Return virtual monotonic ns."""
        return self._loop.now_ns

    def wall_ns(self) -> int:
        """Return virtual ns since the epoch, UTC, with all drift and steps."""
        elapsed = self._loop.now_ns - self._base_mono_ns
        return self._base_wall_ns + elapsed + elapsed * self._drift_ppb // _NS

    def step(self, seconds: float) -> None:
        """Move the wall clock, forward or back, at once."""
        self._rebase(self.wall_ns() + round(seconds * _NS))

    def set_wall_ns(self, wall_ns: int) -> None:
        """Set the wall clock."""
        self._rebase(wall_ns)

    def drift(self, ppm: float) -> None:
        """Let the wall clock gain `ppm` microseconds a second from now on (lose, if negative)."""
        self._rebase(self.wall_ns())
        self._drift_ppb = round(ppm * 1000)

    def _rebase(self, wall_ns: int) -> None:
        self._base_mono_ns = self._loop.now_ns
        self._base_wall_ns = wall_ns


class VirtualRuntime:
    """A `Runtime` without a machine: virtual time, an in-memory net and disk, all choices drawn from one seed.

    Parameters
    ----------
    seed : int
    start_wall_ns : int
        Wall time at the start, ns since the epoch, UTC.
    keep_trace : bool
        Keep the trace as text in `trace.lines`, to find where two runs part.

    Attributes
    ----------
    loop : VirtualLoop
    clock : VirtualClock
    net : VirtualNet
    disk : VirtualDisk
    trace : Trace
    env : dict of str to str
        What `environ` answers from.
    commands : dict of tuple of str to str
        Output of `run_command` by argument list; any other is not found.

    Examples
    --------
    >>> import asyncio
    >>> async def main():
    ...     await asyncio.sleep(3600)
    ...     return "an hour later"
    >>> VirtualRuntime(seed=1).run(main())
    'an hour later'
    """

    name = "virtual"
    virtual = True

    def __init__(self, seed: int = 0, *, start_wall_ns: int = MONDAY_MORNING_NS, keep_trace: bool = False) -> None:
        self.seed = seed
        self.trace = Trace(keep=keep_trace)
        self.loop = VirtualLoop(trace=self.trace)
        self.clock = VirtualClock(self.loop, start_wall_ns)
        self.random = random.Random(seed)
        # Streams of their own, so that one more random byte here does not shift every latency there.
        self.net = VirtualNet(self.loop, random.Random(f"{seed}/net"))
        self._bytes = random.Random(f"{seed}/bytes")
        self.disk = VirtualDisk(f"{seed}/disk")
        self.env: dict[str, str] = {}
        self.commands: dict[tuple[str, ...], str] = {}
        self._spawned: dict[asyncio.Task[Any], None] = {}

    def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, then cancel what it left behind, as `asyncio.run` does.

        The loop stays usable: a second `run` goes on at the same virtual time with the same disk and open links.

        Raises
        ------
        DeadlockError
            If it waits for something that can never happen; the message lists the waiting tasks.
        """
        main = self.loop.create_task(coro, name="main")
        try:
            return self.loop.run_until_complete(main)
        finally:
            self._cancel_leftovers()

    def _cancel_leftovers(self) -> None:
        for task in self.loop.pending_tasks():
            task.cancel()
        try:
            leftovers = self.loop.pending_tasks()
            if leftovers:
                self.loop.run_until_complete(_ended(leftovers))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        except (DeadlockError, LivelockError) as error:
            raise type(error)(f"after cancelling what the run left behind: {error}") from None

    def trace_hash(self) -> str:
        """Return the hash over everything that happened so far: callbacks with their times, links, segments."""
        return self.trace.hexdigest()

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass."""
        await asyncio.sleep(seconds)

    def random_bytes(self, n: int) -> bytes:
        """Return `n` bytes of the seed's stream."""
        return self._bytes.randbytes(n)

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start a task and keep it alive until it ends."""
        task = self.loop.create_task(coro, name=name)
        self._spawned[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._spawned.pop(task, None)

    def in_worker(self, fn: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Run `fn` at once, on the spot."""
        return self.loop.run_in_executor(None, fn, *args)

    def lane(self, name: str) -> Lane:
        """Return a new lane; work on it takes the disk's `latency_s`."""
        return VirtualLane(name, self.loop, lambda: self.disk.latency_s)

    def watch_loop(self, on_lag: Callable[[int], object], on_stall: Callable[[Stall], object]) -> Callable[[], None]:
        """Watch nothing: virtual time moves only between callbacks, so no callback is ever late."""
        return lambda: None

    def garbage_kept(self) -> AbstractContextManager[None]:
        """Collect no garbage inside; see `Runtime.garbage_kept`."""
        return garbage_kept()

    def environ(self, name: str) -> str | None:
        """Return an entry of `env`."""
        return self.env.get(name)

    async def run_command(self, argv: Sequence[str], *, timeout: float) -> str:
        """Return the output `commands` holds for `argv`, stripped of the last newline."""
        try:
            return self.commands[tuple(argv)].removesuffix("\n")
        except KeyError:
            raise FileNotFoundError(f"{argv[0]} is not in the table `commands` of the virtual runtime") from None

    def close(self) -> None:
        """Close the loop."""
        self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


async def _ended(tasks: list[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
