"""`Disk` in memory, with failures on demand."""

from __future__ import annotations

import errno
import os
import posixpath
from dataclasses import dataclass


@dataclass(slots=True)
class _Failure:
    operation: str
    path: str | None
    code: int
    left: int


class VirtualDisk:
    """Files as a table of path to bytes and mode. It outlives the runs of its runtime, as a disk outlives a process.

    Attributes
    ----------
    files : dict of str to tuple of bytes and int
        Content and permission bits by normalised path; tests may read and damage it.
    writes : int
        Successful `write_atomic` calls.
    """

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, int]] = {}
        self.writes = 0
        self._failures: list[_Failure] = []

    def fail(self, code: int = errno.EIO, *, operation: str = "write", path: str | None = None, times: int = 1) -> None:
        """Make the next calls fail.

        Parameters
        ----------
        code : int
            ``errno.ENOSPC``, ``errno.EIO``, ...
        operation : {"write", "read", "remove", "list"}
        path : str or None
            Only this path; None takes any.
        times : int
            How many calls fail; -1 for all until `heal`.
        """
        if operation not in ("write", "read", "remove", "list"):
            raise ValueError(f"operation is {operation!r}, expected write, read, remove or list")
        self._failures.append(_Failure(operation, None if path is None else posixpath.normpath(path), code, times))

    def heal(self) -> None:
        """Forget all failures that are still to come."""
        self._failures.clear()

    def read(self, path: str) -> bytes:
        """Return the file's bytes. Raises FileNotFoundError."""
        return self._entry("read", path)[0]

    def write_atomic(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Replace the file; one that fails leaves the old bytes."""
        path = posixpath.normpath(path)
        self._check("write", path)
        self.files[path] = (bytes(data), mode)
        self.writes += 1

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
        self._check("remove", path)
        self.files.pop(path, None)

    def listdir(self, path: str) -> list[str]:
        """Return sorted names; empty where the folder is absent."""
        path = posixpath.normpath(path)
        self._check("list", path)
        prefix = "" if path == "." else path.rstrip("/") + "/"
        return sorted({name[len(prefix) :].split("/")[0] for name in self.files if name.startswith(prefix)})

    def _entry(self, operation: str, path: str) -> tuple[bytes, int]:
        path = posixpath.normpath(path)
        self._check(operation, path)
        try:
            return self.files[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None

    def _check(self, operation: str, path: str) -> None:
        for failure in self._failures:
            if failure.operation == operation and failure.path in (None, path):
                if failure.left > 0:
                    failure.left -= 1
                    if failure.left == 0:
                        self._failures.remove(failure)
                raise OSError(failure.code, os.strerror(failure.code), path)
