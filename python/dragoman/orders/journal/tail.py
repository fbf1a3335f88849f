"""The end of the log, where records are put: which chunk, where in it, and the one that comes after."""

from __future__ import annotations

import math

from dragoman._core import JournalQueue
from dragoman.orders.journal.format import ChunkHeader, chunk_name
from dragoman.orders.journal.opening import Epoch
from dragoman.runtime.base import Disk, DiskFile

_AHEAD = 0.75


class Batch:
    """Records that go to the disk together.

    Attributes
    ----------
    segments : list of tuple of DiskFile, int and bytes
        What is written, and where.
    retired : DiskFile or None
        A chunk that is full after this.
    """

    __slots__ = ("retired", "segments")

    def __init__(self) -> None:
        self.segments: list[tuple[DiskFile, int, bytes]] = []
        self.retired: DiskFile | None = None

    def perform(self) -> None:
        """Write and sync. Blocking; an OSError leaves nobody knowing what is on the disk."""
        for file, offset, data in self.segments:
            file.write(offset, data)
        for file, _, _ in self.segments:
            file.sync()
        if self.retired is not None:
            self.retired.close()


class Tail:
    """Where the next record goes. What it hands out is taken for written; if it was not, nothing may follow.

    Parameters
    ----------
    disk : Disk
    folder : str
    epoch : Epoch
        Just begun.
    chunk_size : int
        Of each new chunk.
    queue : JournalQueue
        What waits; it knows the present chunk, and writes into it where nothing else is to be done.

    Attributes
    ----------
    next : tuple of int and DiskFile, or None
        Number and file of the chunk made ahead.
    """

    def __init__(self, disk: Disk, folder: str, epoch: Epoch, chunk_size: int, queue: JournalQueue) -> None:
        self._disk = disk
        self._folder = folder
        self._chunk_size = chunk_size
        self._queue = queue
        self._file, self._number = epoch.file, epoch.chunk
        self.next: tuple[int, DiskFile] | None = None
        queue.enter(epoch.file, epoch.end, _edge(epoch.file))

    def take(self) -> Batch:
        """Encode what waits, as far as there is a chunk for it; it is on its way then."""
        batch, queue, head = Batch(), self._queue, b""
        while queue:
            start = queue.end
            data = queue.take(head)
            if data:
                batch.segments.append((self._file, start, data))
            first = queue.first
            if first is None or self.next is None:
                break
            batch.retired = self._file
            (self._number, self._file), self.next = self.next, None
            sequence, time_ns = first
            head = ChunkHeader(self._number, sequence, self._file.size, time_ns, queue.hash).packed()
            queue.enter(self._file, 0, _edge(self._file))
        return batch

    def follow_with(self, made: tuple[int, DiskFile]) -> None:
        """Keep a chunk for when the present one is full."""
        self.next = made
        self._queue.enter(self._file, self._queue.end, self._file.size)

    @property
    def blocked(self) -> bool:
        """Whether what waits first has no room in the present chunk, nor in one made ahead."""
        return self.next is None and self._queue.blocked

    @property
    def nearly_full(self) -> bool:
        """Whether it is time to make the next chunk."""
        return self.next is None and self._queue.end >= _edge(self._file)

    def make_next(self) -> tuple[int, DiskFile]:
        """Make the next chunk, or open one made ahead, for `follow_with`. Blocking.

        One that a run with smaller chunks made is passed over: every record must fit.
        """
        number = self._number
        while True:
            number += 1
            file = self._disk.open(f"{self._folder}/{chunk_name(number)}", size=self._chunk_size)
            if file.size >= self._chunk_size:
                return number, file
            file.close()

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self.next is not None:
            self.next[1].close()


def _edge(file: DiskFile) -> int:
    return math.ceil(file.size * _AHEAD)
