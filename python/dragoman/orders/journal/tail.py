"""The end of the log, where records are put: which chunk, where in it, and the one that comes after."""

from __future__ import annotations

import asyncio
from collections import deque

from dragoman._core import journal_records
from dragoman.orders.journal.format import (
    ChunkHeader,
    Kind,
    chunk_name,
    record_length,
)
from dragoman.orders.journal.opening import Epoch
from dragoman.runtime.base import Disk, DiskFile

_AHEAD = 0.75


class Entry:
    """A record that waits to be written."""

    __slots__ = ("future", "kind", "payload", "sequence", "time_ns")

    def __init__(self, kind: Kind, payload: bytes, time_ns: int) -> None:
        self.kind = kind
        self.payload = payload
        self.sequence = 0
        self.time_ns = time_ns
        self.future: asyncio.Future[None] | None = None


class Batch:
    """Records that go to the disk together.

    Attributes
    ----------
    entries : list of Entry
    segments : list of tuple of DiskFile, int and bytes
        What is written, and where.
    retired : DiskFile or None
        A chunk that is full after this.
    """

    __slots__ = ("entries", "retired", "segments")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
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

    Attributes
    ----------
    next : tuple of int and DiskFile, or None
        Number and file of the chunk made ahead.
    """

    def __init__(self, disk: Disk, folder: str, epoch: Epoch, chunk_size: int) -> None:
        self._disk = disk
        self._folder = folder
        self._chunk_size = chunk_size
        self._epoch = epoch.number
        self._run = epoch.journal_id.encode()
        self._file, self._number, self._end = epoch.file, epoch.chunk, epoch.end
        self._hash = epoch.hash
        self.next: tuple[int, DiskFile] | None = None

    def take(self, waiting: deque[Entry]) -> Batch:
        """Encode what waits, as far as there is a chunk for it, and take it out of the queue."""
        batch, head = Batch(), b""
        while waiting:
            start = self._end
            room = self._file.size - start - len(head)
            data, self._hash, count = journal_records(waiting, room, self._epoch, self._run, self._hash)
            if count:
                if head:
                    data = head + data
                batch.segments.append((self._file, start, data))
                self._end = start + len(data)
                if count == len(waiting):
                    batch.entries += waiting
                    waiting.clear()
                else:
                    batch.entries += [waiting.popleft() for _ in range(count)]
            if not waiting or self.next is None:
                break
            batch.retired = self._file
            (self._number, self._file), self.next = self.next, None
            first = waiting[0]
            head = ChunkHeader(self._number, first.sequence, self._file.size, first.time_ns, self._hash).packed()
            self._end = 0
        return batch

    def put(self, waiting: deque[Entry]) -> bool:
        """Write and sync all that waits, where the present chunk has room for it; else nothing is done.

        What waits is left in the queue. An OSError leaves nobody knowing what is on the disk.
        """
        file, start = self._file, self._end
        data, last, count = journal_records(waiting, file.size - start, self._epoch, self._run, self._hash)
        if count != len(waiting):
            return False
        self._hash, self._end = last, start + len(data)
        file.write(start, data)
        file.sync()
        return True

    def blocks(self, waiting: deque[Entry]) -> bool:
        """Whether what waits first has no room in the present chunk, nor in one made ahead."""
        if not waiting or self.next is not None:
            return False
        return self._end + record_length(waiting[0].payload) > self._file.size

    @property
    def nearly_full(self) -> bool:
        """Whether it is time to make the next chunk."""
        return self.next is None and self._end >= self._file.size * _AHEAD

    def make_next(self) -> tuple[int, DiskFile]:
        """Make the next chunk, or open one made ahead, for `next`. Blocking.

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
