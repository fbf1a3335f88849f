"""`DiskMap` of a `VirtualDisk`: all handles of one path look at the same bytes."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from dragoman.runtime.base import NOTICED_S

if TYPE_CHECKING:
    from dragoman.runtime.virtual_disk import VirtualDisk, VirtualFile


class VirtualMap:
    """One handle. It dies with the process, like every other: after a crash its view shows what was.

    Raises
    ------
    OSError
        The file has another size than `size`.
    """

    def __init__(self, disk: VirtualDisk, file: VirtualFile, path: str, size: int) -> None:
        content, mode = disk.files[path]
        if len(content) != size:
            raise OSError(errno.EINVAL, f"it has {len(content)} bytes, expected {size}", path)
        if not isinstance(content, bytearray):
            content = bytearray(content)
            disk.files[path] = (content, mode)
        self._bells = disk.bells.setdefault(path, [])
        self._file = file
        self._disk, self._path, self._content = disk, path, content
        self.view = memoryview(content)

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Write all of `data`; those who listen are told after the time a look takes to come round."""
        try:
            self._file.write(offset, data)
        finally:
            for bell in tuple(self._bells):
                bell.ring()

    def sync(self) -> None:
        """Make everything written durable."""
        self._file.sync()

    def listen(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Tell of writes from now on; see `DiskMap.listen`."""
        bell = Bell(callback)
        self._bells.append(bell)

        def end() -> None:
            bell.end()
            if bell in self._bells:
                self._bells.remove(bell)

        return end

    def lost(self) -> bool:
        """Whether the path names another file by now, or none."""
        there = self._disk.files.get(self._path)
        return there is None or there[0] is not self._content

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Bell:
    """Tells one listener of the changes since the last time."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        if self._timer is None and not self._loop.is_closed():
            self._timer = self._loop.call_later(NOTICED_S, self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._callback()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
