"""Exclusive locks on files, which end with the process that took them.

Theory: of the system's locks on files, those of `fcntl(F_SETLK)` end when the process closes any descriptor of the
file, even one a library opened for a moment. Locks of an open file description have no such trap, and can be asked
about without being taken. A forked child shares its parent's description, though, and would keep the lock alive after
the parent's death; so a child closes what it inherited as its first act. A program started with `exec` never has it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import weakref

from dragoman.runtime.base import Holder, LockTaken

_FLOCK = "hhqqi4x"  # type, whence, start, length (0: to the end), pid (must be 0 for these locks)
_TAKEN = (errno.EACCES, errno.EAGAIN)


class FileLock:
    """A lock that this process has. Made by `lock_file`."""

    def __init__(self, descriptor: int, holder: Holder) -> None:
        self._descriptor = descriptor
        self.holder = holder
        _held.add(self)

    def release(self) -> None:
        """Give it up; a second call does nothing.

        The file stays: if it were removed, two processes could each lock a file of that name.
        """
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_inherited() -> None:
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_forget_inherited)


def _asked(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def lock_file(path: str, *, now_ns: int) -> FileLock:
    """Lock a file, made (mode 0600) where it is absent.

    Raises
    ------
    LockTaken
        Another handle has it.
    OSError
        The file cannot be opened or locked.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _asked(fcntl.F_WRLCK))
        holder = Holder(os.getpid(), os.uname().nodename, now_ns)
        text = json.dumps({"pid": holder.pid, "host": holder.host, "since_ns": now_ns})
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
    except OSError as error:
        taken = LockTaken(path, _told(descriptor)) if error.errno in _TAKEN else None
        os.close(descriptor)
        if taken is not None:
            raise taken from None
        raise
    return FileLock(descriptor, holder)


def lock_holder(path: str) -> Holder | None:
    """Return who has the lock of a file; None where nobody has, or the file is absent."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _asked(fcntl.F_RDLCK))
        free = struct.unpack(_FLOCK, answer)[0] == fcntl.F_UNLCK
        return None if free else _told(descriptor)
    finally:
        os.close(descriptor)


def _told(descriptor: int) -> Holder:
    """Return what a holder wrote about itself; an empty one where it has not yet."""
    try:
        said = json.loads(os.pread(descriptor, 4096, 0))
        return Holder(int(said["pid"]), str(said["host"]), int(said["since_ns"]))
    except (ValueError, KeyError, TypeError):
        return Holder()
