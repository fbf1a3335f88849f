"""A process of its own, as far as a client can tell: its clock, its disk and its connections can fail it alone.

Several clients and the broker's side share one runtime in a scenario. What stands between each client and that runtime
is a `ProcessRuntime`: it passes everything on, until somebody bends its clock, breaks its disk, or kills it. A killed
one has no tasks, connections and locks any more, and reaches neither disk nor network again, whatever still runs of it.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from dragoman.runtime.base import (
    Clock,
    Disk,
    DiskFile,
    DiskLock,
    DiskMap,
    Holder,
    Lane,
    Listener,
    Net,
    ProtocolFactory,
    Runtime,
)
from dragoman.runtime.watchdog import Stall

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")


class ProcessClock:
    """A clock that may be wrong.

    Attributes
    ----------
    offset_ns : int
        By how much the wall clock is ahead.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset_ns = 0

    def mono_ns(self) -> int:
        return self._clock.mono_ns()

    def wall_ns(self) -> int:
        return self._clock.wall_ns() + self.offset_ns


class ProcessFile:
    """A file of a `ProcessDisk`."""

    def __init__(self, disk: ProcessDisk, file: DiskFile) -> None:
        self._disk = disk
        self._file = file

    @property
    def size(self) -> int:
        return self._file.size

    def read(self, offset: int, n: int) -> bytes:
        self._disk.check()
        return self._file.read(offset, n)

    def write(self, offset: int, data: bytes | bytearray) -> None:
        self._disk.check()
        self._file.write(offset, data)

    def sync(self) -> None:
        self._disk.check("sync")
        self._file.sync()

    def close(self) -> None:
        self._file.close()


class ProcessDisk:
    """A disk that can fail one process.

    Attributes
    ----------
    failing : int
        The errno of every sync, and of every file that is made; 0 while the disk works.
    full : bool
        Whether no file can be made.
    next_size : int or None
        How long the next file of fixed size that it makes is, at most: one that is soon full.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._locks: list[DiskLock] = []
        self._dead = False
        self.failing = 0
        self.full = False
        self.next_size: int | None = None

    def check(self, operation: str = "") -> None:
        """Raise what an operation fails with now."""
        code = errno.EIO if self._dead else self.failing if operation else 0
        if not code and self.full and operation in ("open", "write"):
            code = errno.ENOSPC
        if code:
            raise OSError(code, errno.errorcode[code])

    def kill(self) -> None:
        """Let go of all locks, and do nothing any more."""
        self._dead = True
        for lock in self._locks:
            lock.release()

    @property
    def instant(self) -> bool:
        return self._disk.instant

    def open(self, path: str, *, size: int) -> DiskFile:
        if not self._disk.exists(path):
            self.check("open")
            size, self.next_size = min(size, self.next_size or size), None
        self.check()
        return ProcessFile(self, self._disk.open(path, size=size))

    def map(self, path: str, *, initial: bytes) -> DiskMap:
        self.check("" if self._disk.exists(path) else "open")
        return self._disk.map(path, initial=initial)

    def lock(self, path: str, *, now_ns: int) -> DiskLock:
        self.check()
        lock = self._disk.lock(path, now_ns=now_ns)
        self._locks.append(lock)
        return lock

    def holder(self, path: str) -> Holder | None:
        return self._disk.holder(path)

    def database(self, path: str, *, read_only: bool = False) -> sqlite3.Connection:
        self.check()
        return self._disk.database(path, read_only=read_only)

    def read(self, path: str) -> bytes:
        self.check()
        return self._disk.read(path)

    def write_atomic(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        self.check("write")
        self._disk.write_atomic(path, data, mode=mode)

    def exists(self, path: str) -> bool:
        return self._disk.exists(path)

    def mode(self, path: str) -> int:
        return self._disk.mode(path)

    def remove(self, path: str) -> None:
        self.check()
        self._disk.remove(path)

    def listdir(self, path: str) -> list[str]:
        return self._disk.listdir(path)


class ProcessNet:
    """A net that can be taken from one process.

    Attributes
    ----------
    connects : int
        Connections that were tried, successful or not.
    """

    def __init__(self, net: Net) -> None:
        self._net = net
        self._open: list[asyncio.Transport] = []
        self._listening: list[Listener] = []
        self._dead = False
        self.connects = 0

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
        self._check()
        self.connects += 1
        transport, protocol = await self._net.connect(
            factory, host, port, tls=tls, server_hostname=server_hostname, local_addr=local_addr, timeout=timeout
        )
        self._keep(transport)
        return transport, protocol

    async def start_tls(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
        tls: ssl.SSLContext,
        server_hostname: str,
        *,
        timeout: float,
    ) -> asyncio.Transport:
        self._check()
        upgraded = await self._net.start_tls(transport, protocol, tls, server_hostname, timeout=timeout)
        self._keep(upgraded)
        return upgraded

    async def listen(
        self, factory: ProtocolFactory, host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> Listener:
        self._check()
        listener = await self._net.listen(factory, host, port, tls=tls)
        self._listening.append(listener)
        return listener

    def readable(self, transport: asyncio.Transport) -> Callable[[], object]:
        return self._net.readable(transport)

    async def kill(self) -> None:
        """Break every connection, and make none any more."""
        self._dead = True
        for transport in self._open:
            transport.abort()
        for listener in self._listening:
            await listener.close()

    def _check(self) -> None:
        if self._dead:
            raise OSError(errno.ENETDOWN, "the process was killed")

    def _keep(self, transport: asyncio.Transport) -> None:
        self._open = [one for one in self._open if not one.is_closing()]
        self._open.append(transport)


class ProcessRuntime:
    """A `Runtime` that passes everything on to another, as one process of the machine.

    Parameters
    ----------
    runtime : Runtime

    Attributes
    ----------
    clock : ProcessClock
    disk : ProcessDisk
    net : ProcessNet
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._lanes: list[Lane] = []
        self._watches: list[Callable[[], None]] = []
        self._dead = False
        self.clock = ProcessClock(runtime.clock)
        self.disk = ProcessDisk(runtime.disk)
        self.net = ProcessNet(runtime.net)

    async def kill(self) -> None:
        """End it as ``kill -9`` does: nothing is said, finished or written; what is on the disk stays there."""
        self._dead = True
        self.disk.kill()
        tasks = [task for task in self._tasks if not task.done()]
        for task in tasks:
            task.cancel()
        await self.net.kill()
        for remove in self._watches:
            remove()
        if tasks:
            await asyncio.wait(tasks)
        for lane in self._lanes:
            await lane.close(patience_s=1.0)

    @property
    def name(self) -> str:
        return self._runtime.name

    @property
    def random(self) -> Any:
        return self._runtime.random

    @property
    def virtual(self) -> bool:
        return self._runtime.virtual

    async def sleep(self, seconds: float) -> None:
        await self._runtime.sleep(seconds)

    def random_bytes(self, n: int) -> bytes:
        return self._runtime.random_bytes(n)

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        task = self._runtime.spawn(coro, name=name)
        if self._dead:
            task.cancel()
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def in_worker(self, fn: Callable[..., T], *args: Any) -> Awaitable[T]:
        return self._runtime.in_worker(fn, *args)

    def lane(self, name: str) -> Lane:
        lane = self._runtime.lane(name)
        self._lanes.append(lane)
        return lane

    def watch_loop(self, on_lag: Callable[[int], object], on_stall: Callable[[Stall], object]) -> Callable[[], None]:
        remove = self._runtime.watch_loop(on_lag, on_stall)
        self._watches.append(remove)
        return remove

    def garbage_kept(self) -> AbstractContextManager[None]:
        return self._runtime.garbage_kept()

    def environ(self, name: str) -> str | None:
        return self._runtime.environ(name)

    async def run_command(self, argv: Sequence[str], *, timeout: float) -> str:
        return await self._runtime.run_command(argv, timeout=timeout)
