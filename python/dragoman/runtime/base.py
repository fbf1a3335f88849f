"""The only door to clock, sleep, randomness, disk, sockets and worker threads.

The engine takes a `Runtime` and asks it for everything that would make a run differ from the last one. `RealRuntime`
answers from the machine, `VirtualRuntime` from a seed. Nothing outside this package imports ``time``, ``random`` or
``threading``, opens a file, makes a socket or calls ``asyncio.sleep``; ``tests/unit/test_architecture.py`` holds it.

``asyncio`` primitives (futures, events, tasks, ``asyncio.timeout``) are free to use: they ask the running loop, and the
virtual loop answers with virtual time.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dragoman.runtime.watchdog import Stall

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

ProtocolFactory = Callable[[], asyncio.Protocol]

NOTICED_S = 0.2
"""How long a change of a mapped file may go unnoticed by a process that only listens."""


class Clock(Protocol):
    def mono_ns(self) -> int:
        """Return monotonic ns: for rates, deadlines and durations."""
        ...

    def wall_ns(self) -> int:
        """Return ns since the epoch, UTC: for record times and the calendar. May step."""
        ...


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lock.

    Attributes
    ----------
    pid : int
        0 where the holder did not say.
    host : str
    since_ns : int
        Wall clock, ns UTC.
    """

    pid: int = 0
    host: str = ""
    since_ns: int = 0


class LockTaken(Exception):
    """Another handle, of this process or another, has the lock."""

    def __init__(self, path: str, holder: Holder) -> None:
        super().__init__(f"{path} is locked by process {holder.pid} on {holder.host}")
        self.path = path
        self.holder = holder


class DiskLock(Protocol):
    """An exclusive lock. It ends with `release` or with the process; a forked child does not have it."""

    @property
    def holder(self) -> Holder:
        """What others are told."""
        ...

    def release(self) -> None:
        """Give it up; a second call does nothing."""
        ...


class DiskFile(Protocol):
    """One file of fixed size, read and written at offsets. Blocking; every failure is an OSError."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, n: int) -> bytes:
        """Return `n` bytes, fewer at the end of the file."""
        ...

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Write all of `data`. It is durable after `sync`; until then a crash may keep any of its sectors."""
        ...

    def sync(self) -> None:
        """Make everything written durable.

        A failure is final: what was written before is lost or not, and a second `sync` that succeeds proves nothing.
        """
        ...

    def close(self) -> None: ...


class DiskMap(Protocol):
    """A small file whose bytes every process of the host sees at once, at the price of a look at memory."""

    @property
    def view(self) -> memoryview:
        """Its bytes, to read and write: others see a change at once, and it is durable after `sync`."""
        ...

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Write all of `data`, as `DiskFile.write` does."""
        ...

    def sync(self) -> None:
        """Make everything written durable; a failure is final, as `DiskFile.sync` says."""
        ...

    def listen(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call back, on the running loop, within `NOTICED_S` of a change by anybody, or of its loss; return the end."""
        ...

    def lost(self) -> bool:
        """Whether whoever opens the path now does not see this file: it was removed, or another is in its place."""
        ...

    def close(self) -> None:
        """Let go of the file. What was taken of `view` before goes on to show it."""
        ...


class Disk(Protocol):
    """Files, whole or of fixed size. Blocking; call from `Runtime.in_worker` where the loop must not wait."""

    @property
    def instant(self) -> bool:
        """Whether a write and a sync take no time, so that the loop itself may do them."""
        ...

    def open(self, path: str, *, size: int) -> DiskFile:
        """Open a file to read and write at offsets.

        An absent one is made, durably, of `size` zeros (mode 0600, a missing folder 0700): after a crash it is there
        whole or not at all. One that exists is opened as it is.
        """
        ...

    def map(self, path: str, *, initial: bytes) -> DiskMap:
        """Map a file into memory, made of `initial` (as `open` makes one of zeros) where it is absent.

        Raises
        ------
        OSError
            It cannot be; also where one that exists has not the size of `initial`.
        """
        ...

    def lock(self, path: str, *, now_ns: int) -> DiskLock:
        """Take the lock that a file stands for, without waiting; `now_ns` is what others are told as its beginning.

        Raises
        ------
        LockTaken
            Somebody else has it; tells who.
        """
        ...

    def holder(self, path: str) -> Holder | None:
        """Return who has the lock at this moment; None where nobody does."""
        ...

    def database(self, path: str, *, read_only: bool = False) -> sqlite3.Connection:
        """Open an SQLite database for the calling thread, made (mode 0600) where it is absent.

        With `read_only` nothing is made, and no statement can change it.
        """
        ...

    def read(self, path: str) -> bytes:
        """Return the file's bytes. Raises FileNotFoundError."""
        ...

    def write_atomic(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Replace the file so that a reader or a crash sees the old bytes or the new, never a mixture."""
        ...

    def exists(self, path: str) -> bool: ...

    def mode(self, path: str) -> int:
        """Return permission bits."""
        ...

    def remove(self, path: str) -> None:
        """Remove the file if it is there."""
        ...

    def listdir(self, path: str) -> list[str]:
        """Return sorted names; empty where the folder is absent."""
        ...


class Lane(Protocol):
    """One thread for calls that block, performed one after another in the order they came."""

    def submit(self, work: Callable[[], T], on_done: Callable[[T | None, BaseException | None], object]) -> None:
        """Perform `work` after all that came before; then call `on_done` with its result or error, on the loop.

        Raises
        ------
        UsageError
            The lane was closed, or belongs to another process.
        """
        ...

    async def close(self, *, patience_s: float) -> bool:
        """Take no more; wait for what was submitted. Return False where it had not ended after `patience_s`."""
        ...


class Net(Protocol):
    """Byte streams. Addresses are literal host and port; nothing here retries or redirects."""

    async def connect(
        self,
        factory: ProtocolFactory,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        local_addr: str | None = None,
        timeout: float,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Open a connection; every failure (resolve, refuse, TLS, timeout) is an OSError or ssl.SSLError."""
        ...

    async def start_tls(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
        tls: ssl.SSLContext,
        server_hostname: str,
        *,
        timeout: float,
    ) -> asyncio.Transport:
        """Upgrade a connection (a CONNECT tunnel) to TLS."""
        ...

    async def listen(
        self, factory: ProtocolFactory, host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> Listener:
        """Accept connections; port 0 picks a free one."""
        ...

    def readable(self, transport: asyncio.Transport) -> Callable[[], object]:
        """Return what is true where bytes or an end of stream wait that the protocol has not been told of yet.

        Asked before a kept connection is written to again: the peer may have closed it, or sent an unasked reply that
        would be taken for the answer to the next request. It is not to be asked of a transport that is closing.
        """
        ...


class Listener(Protocol):
    @property
    def port(self) -> int: ...

    async def close(self) -> None:
        """Stop accepting and close; returns when the port is free."""
        ...


class Runtime(Protocol):
    @property
    def name(self) -> str:
        """``"real"`` or ``"virtual"``."""
        ...

    @property
    def clock(self) -> Clock: ...

    @property
    def disk(self) -> Disk: ...

    @property
    def net(self) -> Net: ...

    @property
    def random(self) -> random.Random:
        """Jitter and simulation; never keys."""
        ...

    @property
    def virtual(self) -> bool: ...

    async def sleep(self, seconds: float) -> None: ...

    def random_bytes(self, n: int) -> bytes:
        """Return `n` bytes: from the operating system in a real runtime, from the seed in a virtual one."""
        ...

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start a task that is kept alive; an exception nobody awaits goes to the loop's handler."""
        ...

    def in_worker(self, fn: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Run blocking work on a worker thread (inline on the virtual loop)."""
        ...

    def lane(self, name: str) -> Lane:
        """Return a new lane that reports to the running loop; on a virtual loop its work takes virtual time only."""
        ...

    def watch_loop(self, on_lag: Callable[[int], object], on_stall: Callable[[Stall], object]) -> Callable[[], None]:
        """Measure how late the running loop is: `on_lag` gets each lag in ns, `on_stall` what blocked it too long.

        Both are called on the loop; what this returns ends it. A virtual loop is never late, and calls neither.
        """
        ...

    def garbage_kept(self) -> AbstractContextManager[None]:
        """Collect no garbage inside: for loads of very many values, none of which is garbage."""
        ...

    def environ(self, name: str) -> str | None:
        """Return an environment variable of this process."""
        ...

    async def run_command(self, argv: Sequence[str], *, timeout: float) -> str:
        """Run a program without a shell and return its standard output, stripped of the last newline.

        Raises
        ------
        OSError
            If it cannot be started, fails or does not finish in time; its output is not in the message.
        """
        ...
