"""`Disk` over the operating system's files."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dragoman.runtime.base import DiskFile, DiskLock, DiskMap, Holder
from dragoman.runtime.real_lock import lock_file, lock_holder
from dragoman.runtime.real_map import RealMap

if TYPE_CHECKING:
    import sqlite3

_ZEROS = bytes(256 * 1024)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # a file system without second names


class RealFile:
    """`DiskFile` over a descriptor."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, n: int) -> bytes:
        """Return `n` bytes, fewer at the end of the file."""
        pieces = []
        while n > 0 and (piece := os.pread(self._descriptor, n, offset)):
            pieces.append(piece)
            offset, n = offset + len(piece), n - len(piece)
        return b"".join(pieces)

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Write all of `data`, in as many calls as the system needs."""
        written = os.pwrite(self._descriptor, data, offset)
        while written < len(data):  # a full disk is often told only by the call after the one it cut short
            more = os.pwrite(self._descriptor, memoryview(data)[written:], offset + written)
            if more == 0:
                raise OSError(errno.EIO, "a write took no bytes", self._path)
            written += more

    def sync(self) -> None:
        """Make everything written durable."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class RealDisk:
    """Files of the operating system. Every call blocks."""

    instant = False

    def open(self, path: str, *, size: int) -> DiskFile:
        """Open a file, made of zeros where it is absent; see `Disk.open`.

        The zeros are written out, not merely reserved: the first write into a reserved block changes the file
        system's own tables too, and would make each sync as slow as two.
        """
        return RealFile(path, self._open(path, (_ZEROS[: size - at] for at in range(0, size, len(_ZEROS)))))

    def map(self, path: str, *, initial: bytes) -> DiskMap:
        """Map a file, made of `initial` where it is absent; see `Disk.map`."""
        return RealMap(path, self._open(path, (initial,)), len(initial))

    def _open(self, path: str, initial: Iterable[bytes]) -> int:
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            folder = _made_folder(path)
        descriptor, temporary = _temporary(folder, path)
        try:
            for piece in initial:
                while piece:
                    piece = piece[os.write(descriptor, piece) :]
            os.fsync(descriptor)
            _put(temporary, path)
        except FileExistsError:  # another process was faster
            os.close(descriptor)
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except BaseException:
            os.close(descriptor)
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        _sync_folder(folder)
        return descriptor

    def lock(self, path: str, *, now_ns: int) -> DiskLock:
        """Lock the file, made where it is absent; see `Disk.lock`."""
        _made_folder(path)
        return lock_file(path, now_ns=now_ns)

    def holder(self, path: str) -> Holder | None:
        """Return who has the lock at this moment."""
        return lock_holder(path)

    def database(self, path: str, *, read_only: bool = False) -> sqlite3.Connection:
        """Open an SQLite database; see `Disk.database`."""
        import sqlite3  # few runs need one, and importing the package must stay cheap

        if read_only:
            connection = sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)
            connection.execute("PRAGMA query_only = ON")  # also for what a statement may attach
            return connection
        _made_folder(path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return sqlite3.connect(path)

    def read(self, path: str) -> bytes:
        """Return the file's bytes. Raises FileNotFoundError."""
        with open(path, "rb") as file:
            return file.read()

    def write_atomic(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Replace the file durably: temporary file in the same folder, fsync, rename, fsync of the folder.

        A missing folder is made with mode 0700. The temporary file is created 0600, so the bytes are never readable
        by others, not even for a moment.
        """
        folder = _made_folder(path)
        descriptor, temporary = _temporary(folder, path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        _sync_folder(folder)

    def exists(self, path: str) -> bool:
        """Say whether a file or folder is there."""
        return os.path.exists(path)

    def mode(self, path: str) -> int:
        """Return permission bits. Raises FileNotFoundError."""
        return stat.S_IMODE(os.stat(path).st_mode)

    def remove(self, path: str) -> None:
        """Remove the file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def listdir(self, path: str) -> list[str]:
        """Return sorted names; empty where the folder is absent."""
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []


def _made_folder(path: str) -> str:
    """Return the folder of `path`, made durably with those above it that are missing."""
    folder = os.path.dirname(path) or "."
    missing = []
    above = folder
    while not os.path.isdir(above):
        missing.append(above)
        above = os.path.dirname(above) or "."
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(one, mode=0o700)
        _sync_folder(os.path.dirname(one) or ".")
    return folder


def _temporary(folder: str, path: str) -> tuple[int, str]:
    return tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", suffix=".tmp", dir=folder)


def _put(temporary: str, path: str) -> None:
    """Give a file its name, unless another has it: FileExistsError."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from error
        os.rename(temporary, path)


def _quoted(path: str) -> str:
    """Return a path as SQLite's URIs want it."""
    return "".join(f"%{ord(letter):02x}" if letter in "%?#" else letter for letter in os.path.abspath(path))


def _sync_folder(folder: str) -> None:
    # Without this the rename itself may be lost in a crash.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
