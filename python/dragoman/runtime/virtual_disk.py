"""`Disk` in memory, with failures on demand and what a loss of power does to bytes nobody made durable.

Theory: a real disk writes sectors. Of what was written and not synced a crash may keep any sector, new or old, in any
combination; so the disk remembers, for each sector written since the last sync, what it held before, and `crash` tosses
a coin for each. A sync that fails is worse: the system forgets that those sectors were to be written and goes on to
show them, so the next sync succeeds, and after the crash the bytes are gone. That is modelled as it is.

`cut_power_after` makes the n-th call the last one of the process: it is carried out, or not, or half, and that call and
all later ones raise `PowerCut` until `crash` brings the machine back. Code under test may catch it and go on as long
as it likes; nothing it does reaches the disk.
"""

from __future__ import annotations

import errno
import os
import posixpath
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dragoman.runtime.base import DiskFile, DiskLock, DiskMap, Holder, LockTaken
from dragoman.runtime.virtual_map import VirtualMap

if TYPE_CHECKING:
    import sqlite3

    from dragoman.runtime.virtual_map import Bell

SECTOR = 512
OPERATIONS = ("write", "read", "remove", "list", "open", "sync", "lock")


class PowerCut(OSError):
    """The machine has no power: this process is dead and does not know it yet."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EIO, "the power is out", path)


@dataclass(slots=True)
class _Failure:
    operation: str
    path: str | None
    code: int
    left: int
    short: bool


class VirtualFile:
    """A `DiskFile` of a `VirtualDisk`."""

    def __init__(self, disk: VirtualDisk, path: str) -> None:
        self._disk = disk
        self._path = path
        self._life = disk.crashes
        self.size = len(disk.files[path][0])

    def read(self, offset: int, n: int) -> bytes:
        """Return `n` bytes, fewer at the end of the file."""
        disk = self._alive()
        disk._begin("read", self._path)
        return bytes(memoryview(disk.files[self._path][0])[offset : offset + n])

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Write all of `data`: seen at once, durable after `sync`."""
        disk = self._alive()
        kept = disk._begin("write", self._path, len(data))
        disk._put(self._path, offset, data[:kept])
        disk._end(self._path)
        if kept < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)

    def sync(self) -> None:
        """Make everything written durable."""
        disk = self._alive()
        try:
            disk._begin("sync", self._path)
        except PowerCut:
            raise
        except OSError:
            disk._forget(self._path)
            raise
        disk._settle(self._path)
        disk._end(self._path)

    def close(self) -> None:
        """Forget the file; what was not synced may still be lost."""
        self._life = -1

    def _alive(self) -> VirtualDisk:
        if self._life != self._disk.crashes:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), self._path)
        return self._disk


class VirtualLock:
    """A `DiskLock` of a `VirtualDisk`."""

    def __init__(self, disk: VirtualDisk, path: str, holder: Holder) -> None:
        self._disk = disk
        self._path = path
        self.holder = holder

    def release(self) -> None:
        """Give it up, unless it is another's by now."""
        if self._disk._locks.get(self._path) is self:
            del self._disk._locks[self._path]


class VirtualDisk:
    """Files as a table of path to bytes and mode. It outlives the runs of its runtime, as a disk outlives a process.

    Parameters
    ----------
    seed : int or str
        Decides what a crash keeps.

    Attributes
    ----------
    files : dict of str to tuple of bytes and int
        Content and permission bits by normalised path; tests may read and damage it.
    writes : int
        Successful `write_atomic` calls.
    latency_s : float
        How long work on a lane takes. 0: nothing takes time, and the disk is `instant`.
    calls : int
        Calls that change something or could, so far: what `cut_power_after` counts.
    crashes : int
    bells : dict of str to list
        Who listens to changes of mapped files.
    dark : bool
        The power is out, until `crash`.
    """

    def __init__(self, seed: int | str = 0) -> None:
        self.files: dict[str, tuple[bytes | bytearray, int]] = {}
        self.writes = 0
        self.latency_s = 0.0
        self.calls = 0
        self.crashes = 0
        self._random = random.Random(seed)
        self._failures: list[_Failure] = []
        self._unsynced: dict[str, dict[int, bytes]] = {}
        self._doomed: dict[str, dict[int, bytes]] = {}
        self._locks: dict[str, VirtualLock] = {}
        self.bells: dict[str, list[Bell]] = {}
        self._processes = 0
        self._cut_at: int | None = None
        self.dark = False
        self._databases: dict[str, str] = {}
        self._kept_open: list[sqlite3.Connection] = []

    @property
    def instant(self) -> bool:
        """Whether a write and a sync take no time."""
        return self.latency_s == 0.0

    # -- what goes wrong ---------------------------------------------------------------------------------------------

    def fail(
        self,
        code: int = errno.EIO,
        *,
        operation: str = "write",
        path: str | None = None,
        times: int = 1,
        short: bool = False,
    ) -> None:
        """Make the next calls fail.

        Parameters
        ----------
        code : int
            ``errno.ENOSPC``, ``errno.EIO``, ``errno.EROFS``, ...
        operation : {"write", "read", "remove", "list", "open", "sync", "lock"}
            ``write`` is of whole files and of parts; ``open`` fails only where it makes the file. A failed ``sync``
            loses what it was called for.
        path : str or None
            Only this path; None takes any.
        times : int
            How many calls fail; -1 for all until `heal`.
        short : bool
            A write of a part puts some of its bytes before it fails, with ENOSPC.
        """
        if operation not in OPERATIONS:
            raise ValueError(f"operation is {operation!r}, expected one of {', '.join(OPERATIONS)}")
        self._failures.append(
            _Failure(operation, None if path is None else posixpath.normpath(path), code, times, short)
        )

    def heal(self) -> None:
        """Forget all failures that are still to come, a cut of the power as well."""
        self._failures.clear()
        self._cut_at = None

    def cut_power_after(self, calls: int) -> None:
        """Let `calls` more calls pass; the one after them is the last thing that happens before `crash`."""
        self._cut_at = self.calls + calls

    def crash(self) -> None:
        """Lose the power, and come back: unsynced sectors are kept or lost by the seed, locks and handles are gone."""
        for path, sectors in self._unsynced.items():
            self._restore(path, {at: old for at, old in sectors.items() if self._random.random() < 0.5})
        for path, sectors in self._doomed.items():
            self._restore(path, sectors)
        self._unsynced.clear()
        self._doomed.clear()
        self.end_processes()
        self._cut_at, self.dark = None, False

    def end_processes(self) -> None:
        """End every process, as `kill -9` does: locks and handles are gone, everything written stays."""
        self._locks.clear()
        self.bells.clear()
        self.crashes += 1

    # -- whole files -------------------------------------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        """Return the file's bytes. Raises FileNotFoundError."""
        return bytes(self._entry("read", path)[0])

    def write_atomic(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Replace the file; one that fails leaves the old bytes."""
        path = posixpath.normpath(path)
        if self._begin("write", path, 1):
            self.files[path] = (bytes(data), mode)
            self._unsynced.pop(path, None)
            self._doomed.pop(path, None)
            self.writes += 1
        self._end(path)

    def exists(self, path: str) -> bool:
        """Say whether a file or folder is there."""
        path = posixpath.normpath(path)
        return path in self.files or any(name.startswith(f"{path}/") for name in self.files)

    def mode(self, path: str) -> int:
        """Return permission bits. Raises FileNotFoundError."""
        return self._entry("read", path)[1]

    def remove(self, path: str) -> None:
        """Remove the file if it is there."""
        path = posixpath.normpath(path)
        if self._begin("remove", path, 1):
            self.files.pop(path, None)
            self._unsynced.pop(path, None)
            self._doomed.pop(path, None)
            for bell in self.bells.get(path, ()):
                bell.ring()
        self._end(path)

    def listdir(self, path: str) -> list[str]:
        """Return sorted names; empty where the folder is absent."""
        path = posixpath.normpath(path)
        self._begin("list", path)
        prefix = "" if path == "." else path.rstrip("/") + "/"
        return sorted({name[len(prefix) :].split("/")[0] for name in self.files if name.startswith(prefix)})

    # -- files of fixed size, locks, databases -----------------------------------------------------------------------

    def open(self, path: str, *, size: int) -> DiskFile:
        """Open a file, made of zeros where it is absent; see `Disk.open`."""
        return self._open(posixpath.normpath(path), bytes(size))

    def map(self, path: str, *, initial: bytes) -> DiskMap:
        """Map a file, made of `initial` where it is absent; see `Disk.map`."""
        path = posixpath.normpath(path)
        return VirtualMap(self, self._open(path, initial), path, len(initial))

    def _open(self, path: str, initial: bytes) -> VirtualFile:
        if path not in self.files:
            if self._begin("open", path, 1):
                self.files[path] = (bytearray(initial), 0o600)
            self._end(path)
        elif self.dark:
            raise PowerCut(path)
        return VirtualFile(self, path)

    def lock(self, path: str, *, now_ns: int) -> DiskLock:
        """Lock a path; see `Disk.lock`. Every handle counts as a process of its own."""
        path = posixpath.normpath(path)
        self._begin("lock", path)
        if path in self._locks:
            raise LockTaken(path, self._locks[path].holder)
        self._processes += 1
        lock = self._locks[path] = VirtualLock(self, path, Holder(self._processes, "virtual", now_ns))
        return lock

    def holder(self, path: str) -> Holder | None:
        """Return who has the lock at this moment."""
        lock = self._locks.get(posixpath.normpath(path))
        return None if lock is None else lock.holder

    def database(self, path: str, *, read_only: bool = False) -> sqlite3.Connection:
        """Open an SQLite database that lives in memory, as long as this disk does."""
        import sqlite3  # few runs need one, and importing the package must stay cheap

        path = posixpath.normpath(path)
        known = self._databases.get(path)
        if known is None:
            if read_only:
                raise sqlite3.OperationalError(f"unable to open database file: {path}")
            known = self._databases[path] = f"file:virtual-{id(self)}-{len(self._databases)}?mode=memory&cache=shared"
            # SQLite drops a database in memory with its last connection.
            self._kept_open.append(sqlite3.connect(known, uri=True, check_same_thread=False))
        connection = sqlite3.connect(known, uri=True)
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        return connection

    # -- how it is done ----------------------------------------------------------------------------------------------

    def _entry(self, operation: str, path: str) -> tuple[bytes | bytearray, int]:
        path = posixpath.normpath(path)
        self._begin(operation, path)
        try:
            return self.files[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None

    def _begin(self, operation: str, path: str, amount: int = 0) -> int:
        """Count a call and return how much of it is carried out; raise where none is."""
        if self.dark:
            raise PowerCut(path)
        kept = amount
        if operation not in ("read", "list"):
            if self.calls == self._cut_at:
                self.dark = True
                kept = self._random.choice((0, amount, self._random.randint(0, amount)))
                if kept == 0:
                    raise PowerCut(path)
            self.calls += 1
        for failure in self._failures:
            if failure.operation == operation and failure.path in (None, path):
                if failure.left > 0:
                    failure.left -= 1
                    if failure.left == 0:
                        self._failures.remove(failure)
                if failure.short and amount > 1:
                    return self._random.randint(1, amount - 1)
                raise OSError(failure.code, os.strerror(failure.code), path)
        return kept

    def _end(self, path: str) -> None:
        if self.dark:
            raise PowerCut(path)

    def _put(self, path: str, offset: int, data: bytes | bytearray) -> None:
        content, mode = self.files[path]
        if not isinstance(content, bytearray):
            content = bytearray(content)
            self.files[path] = (content, mode)
        sectors = self._unsynced.setdefault(path, {})
        for at in range(offset - offset % SECTOR, offset + len(data), SECTOR):
            if at not in sectors:
                sectors[at] = bytes(content[at : at + SECTOR])
        content[offset : offset + len(data)] = data

    def _settle(self, path: str) -> None:
        """Make what was written durable; a sector that an earlier sync lost is with it, if it was written to again."""
        doomed = self._doomed.get(path, {})
        for at in self._unsynced.pop(path, {}):
            doomed.pop(at, None)

    def _forget(self, path: str) -> None:
        """Do as a system does whose sync failed: take the sectors for clean, though they are not on the disk."""
        doomed = self._doomed.setdefault(path, {})
        for at, old in self._unsynced.pop(path, {}).items():
            doomed.setdefault(at, old)

    def _restore(self, path: str, sectors: dict[int, bytes]) -> None:
        if path not in self.files:
            return
        content, mode = self.files[path]
        content = bytearray(content)
        for at, old in sectors.items():
            content[at : at + len(old)] = old
        self.files[path] = (content, mode)
