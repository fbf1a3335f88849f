"""`DiskMap` over a file of the operating system, mapped into memory.

A process that only listens is not told of a change by the system: it looks, a few times a second. One that reads the
view sees each change at once.
"""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
from collections.abc import Callable

from dragoman.runtime.base import NOTICED_S


class RealMap:
    """A mapped file; takes the descriptor over.

    Raises
    ------
    OSError
        The file has another size than `size`, or cannot be mapped.
    """

    def __init__(self, path: str, descriptor: int, size: int) -> None:
        self._path = path
        self._descriptor = descriptor
        try:
            found = os.fstat(descriptor).st_size
            if found != size:
                raise OSError(errno.EINVAL, f"it has {found} bytes, expected {size}", path)
            self.view = memoryview(mmap.mmap(descriptor, size))
        except BaseException:
            self.close()
            raise

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Write all of `data`."""
        written = 0
        while written < len(data):
            more = os.pwrite(self._descriptor, memoryview(data)[written:], offset + written)
            if more == 0:
                raise OSError(errno.EIO, "a write took no bytes", self._path)
            written += more

    def sync(self) -> None:
        """Make everything written durable, by `write` or through the view."""
        os.fsync(self._descriptor)

    def listen(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Look for changes from now on; see `DiskMap.listen`."""
        return _Watch(self, callback).end

    def lost(self) -> bool:
        """Whether the path names another file by now, or none."""
        if self._descriptor < 0:
            return False
        try:
            there, mine = os.stat(self._path), os.fstat(self._descriptor)
        except FileNotFoundError:
            return True
        except OSError:
            return False  # nobody can tell
        return (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino)

    def close(self) -> None:
        """Close the descriptor; the memory stays mapped as long as somebody has the view."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _Watch:
    def __init__(self, mapped: RealMap, callback: Callable[[], object]) -> None:
        self._map = mapped
        self._view = mapped.view
        self._callback = callback
        self._seen = self._view.tobytes()
        self._lost = False
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(NOTICED_S, self._look)

    def _look(self) -> None:
        self._timer = self._loop.call_later(NOTICED_S, self._look)
        lost = self._lost or self._map.lost()
        if self._view != self._seen or lost is not self._lost:
            self._seen, self._lost = self._view.tobytes(), lost
            self._callback()

    def end(self) -> None:
        self._timer.cancel()
