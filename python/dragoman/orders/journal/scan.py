"""Read chunks, trust nothing, and say exactly what is not as it was written.

A record counts only with its checksum. Where one does not, the search goes on in steps of 8 bytes for the next that
does, so that a damaged record costs itself and not what follows; a payload is JSON and cannot look like a record, since
JSON has no zero bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from struct import Struct
from typing import Any, NamedTuple

import orjson

from dragoman._core import crc32c, journal_run
from dragoman.errors import UsageError
from dragoman.orders.journal.format import (
    HEADER_SIZE,
    NO_HASH,
    RECORD,
    RECORD_SIZE,
    SMALLEST_CHUNK,
    VERSION,
    Kind,
    Record,
    chunk_name,
    chunk_number,
    read_header,
    record_hash,
)
from dragoman.runtime.base import Disk

_HEAD = Struct("<IIQ")
_FARTHEST = 1 << 40
_ALIGN = 8


@dataclass(frozen=True, slots=True)
class Damage:
    """One place where the journal is not as it was written.

    Attributes
    ----------
    file : str
        Name of the chunk within the journal's folder.
    offset, length : int
        Which of its bytes; a length of 0 where something is absent rather than wrong.
    what : str
        torn: the bytes after the last good record are not a whole one, as a crash in the middle of a write leaves them;
        damaged: bytes between good records; header: those a chunk begins with; cut short, too long: a file that has
        not the size its header says; missing: good records whose numbers leave a gap; missing chunk: a file that is not
        there; out of order: a record that repeats an earlier number, or goes back to an earlier epoch; unlinked: a
        record that does not name the one before it as its predecessor.
    after : int
        Sequence of the last good record before it.
    lost : int or None
        How many records are not there because of it; None where nothing after it tells.
    digest : str
        Of the bytes as they are, by which the same damage is known again.
    kept : str or None
        Where a copy of the bytes was put aside.
    known : bool
        Whether an earlier opening found the same, and said so in the journal.
    """

    file: str
    offset: int
    length: int
    what: str
    after: int
    lost: int | None = None
    digest: str = ""
    kept: str | None = None
    known: bool = False

    @property
    def key(self) -> tuple[str, int, int, str, str]:
        """What is the same for the same damage at every look."""
        return (self.file, self.offset, self.length, self.what, self.digest)

    def __str__(self) -> str:
        lost = {None: "", 0: ", no record is lost"}.get(self.lost, f", {self.lost} records are lost")
        kept = f", a copy is in {self.kept}" if self.kept else ""
        size = f", {self.length} bytes" if self.length else ""
        return f"{self.file} at byte {self.offset}{size}: {self.what} after record {self.after}{lost}{kept}"


class Raw(NamedTuple):
    """A record whose payload has not been read yet."""

    sequence: int
    time_ns: int
    epoch: int
    kind: int
    run: bytes
    payload: memoryview

    def read(self) -> Record:
        """Return it with its payload as values."""
        return Record(
            Kind(self.kind), self.time_ns, self.epoch, self.sequence, self.run.decode(), orjson.loads(self.payload)
        )


@dataclass(slots=True)
class Chunk:
    """What a scan found in one chunk.

    Attributes
    ----------
    number, size : int
    records : int
    first_sequence, last_sequence : int
        Of its good records, 0 where there is none.
    newest_ns : int
        Latest time of a record in it.
    end : int
        Offset after its last good record; 0 where the chunk is not begun.
    before : tuple of int and bytes
        Sequence and hash the scan had before it.
    damaged : bool
    """

    number: int
    size: int
    before: tuple[int, bytes]
    records: int = 0
    first_sequence: int = 0
    last_sequence: int = 0
    newest_ns: int = 0
    end: int = 0
    damaged: bool = False

    @property
    def name(self) -> str:
        return chunk_name(self.number)


class Scan:
    """Goes through chunks in order, yields good records and gathers what is wrong.

    Parameters
    ----------
    sequence, previous : int, bytes
        Of the record before the first chunk that will be given.
    skim : bool
        Check everything, but yield only some of the records: several times faster, for who wants to know what there
        is and what is wrong.

    Attributes
    ----------
    sequence : int
        Of the last good record; like all that follows it is right once a chunk was gone through to its end.
    hash : bytes
        By which the next record will name it.
    epoch, kind : int
        Of the last good record; 0 where there is none.
    epochs : dict of int to str
        The run that wrote each epoch.
    opened : dict or None
        Payload of the last record that began an epoch.
    chunks : list of Chunk
    """

    def __init__(self, *, sequence: int = 0, previous: bytes = NO_HASH, skim: bool = False) -> None:
        self._skim = skim
        self.sequence = sequence
        self.hash = previous
        self.epoch = 0
        self.kind = 0
        self.records = 0
        self.epochs: dict[int, str] = {}
        self.opened: dict[str, Any] | None = None
        self.chunks: list[Chunk] = []
        self._damage: list[Damage] = []
        self._known: set[tuple[Any, ...]] = set()
        self._unsettled: list[int] = []

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What is wrong, in the order of the files."""
        return tuple(replace(one, known=one.key in self._known) for one in self._damage)

    @property
    def journal_ids(self) -> frozenset[str]:
        return frozenset(self.epochs.values())

    @property
    def time_ns(self) -> int:
        """Latest time of any record."""
        return max((chunk.newest_ns for chunk in self.chunks), default=0)

    def folder(self, disk: Disk, folder: str) -> Iterator[Raw]:
        """Go through all chunks of a folder."""
        for number in chunk_numbers(disk, folder):
            yield from self.chunk(number, disk.read(f"{folder}/{chunk_name(number)}"))

    def chunk(self, number: int, data: bytes) -> Iterator[Raw]:
        """Go through one chunk.

        Raises
        ------
        UsageError
            A later version of the library wrote it.
        """
        expected = self.chunks[-1].number + 1 if self.chunks else number if self.sequence else 1
        if number != expected:
            self._add(expected, 0, b"", "missing chunk")
        chunk = Chunk(number, len(data), (self.sequence, self.hash))
        self.chunks.append(chunk)
        if not data.strip(b"\0"):
            if len(data) < SMALLEST_CHUNK:
                self._add(number, len(data), b"", "cut short")
            return
        size = self._headed(number, data)
        yield from self._records(chunk, data if size >= len(data) else data[:size])
        if len(data) < size:
            self._add(number, len(data), b"", "cut short")
        chunk.damaged = any(one.file == chunk.name for one in self._damage)

    def _headed(self, number: int, data: bytes) -> int:
        """Check a chunk's header and return how many bytes the chunk has."""
        header = read_header(data)
        if header is None:
            self._add(number, 0, data[:HEADER_SIZE], "header")
            return len(data)
        if header.version > VERSION:
            raise UsageError(
                f"journal chunk {chunk_name(number)} has version {header.version}, expected at most {VERSION}",
                remedy="read it with the version of dragoman that wrote it, or a later one",
            )
        if header.number != number:
            self._add(number, 0, data[:HEADER_SIZE], "out of order")
        if header.first_sequence > self.sequence + 1:
            self._settle(header.first_sequence, number, 0)
            self.hash = header.previous
        elif header.first_sequence < self.sequence + 1 or header.previous != self.hash:
            self._add(number, 0, data[:HEADER_SIZE], "unlinked", lost=0)
        if len(data) > header.size:
            self._add(number, header.size, data[header.size :], "too long", lost=0)
        return header.size

    def _records(self, chunk: Chunk, data: bytes) -> Iterator[Raw]:
        unpack, checksum = RECORD.unpack_from, crc32c
        view, size = memoryview(data), len(data)
        offset, newest, hole = HEADER_SIZE, 0, bool(self._unsettled)
        sequence, link, count = self.sequence, self.hash, 0
        while offset <= size - RECORD_SIZE:
            if self._skim and not hole:
                offset, sequence, link, latest, run_length, last = journal_run(
                    data, offset, sequence, link, self.epoch, Kind.OPEN
                )
                if run_length:
                    chunk.first_sequence = chunk.first_sequence or sequence - run_length + 1
                    newest, count, self.kind = max(newest, latest), count + run_length, last
                    continue
            crc, length, number, time_ns, epoch, kind, run, previous = unpack(data, offset)
            stop = offset + RECORD_SIZE + length + (-length & 7)
            if length < 2 or stop > size or checksum(view[offset + 4 : stop]) != crc:
                if crc == 0 and length == 0 and not data[offset:].strip(b"\0"):
                    break
                self.sequence = sequence
                offset = self._hole(chunk.number, data, view, offset)
                hole = True
                continue
            if number != sequence + 1 or hole:
                self.sequence = sequence
                if number <= sequence:
                    self._add(chunk.number, offset, data[offset:stop], "out of order")
                    offset, hole = stop, True
                    continue
                self._settle(number, chunk.number, offset)
            elif previous != link:
                self.sequence = sequence
                self._add(chunk.number, offset, b"", "unlinked", lost=0)
            hole = False
            sequence, link, count = number, record_hash(view[offset:stop]), count + 1
            chunk.first_sequence = chunk.first_sequence or number
            if time_ns > newest:
                newest = time_ns
            if epoch != self.epoch or kind == Kind.OPEN:
                self._turn(chunk.number, offset, sequence, epoch, kind, run, view[offset + RECORD_SIZE : stop])
            body = offset + RECORD_SIZE
            offset = stop
            yield Raw(number, time_ns, epoch, kind, run, view[body : body + length])
            self.kind = kind
        self.sequence, self.hash = sequence, link
        self.records += count
        chunk.records, chunk.last_sequence, chunk.newest_ns, chunk.end = count, sequence if count else 0, newest, offset
        if data[offset:].strip(b"\0"):  # fewer bytes than a record has, and not zero
            self._hole(chunk.number, data, view, offset)

    def _turn(
        self, number: int, offset: int, sequence: int, epoch: int, kind: int, run: bytes, payload: memoryview
    ) -> None:
        """Take note of an epoch's first record."""
        if epoch < self.epoch:
            self.sequence = sequence
            self._add(number, offset, b"", "out of order", lost=0)
            return
        self.epoch = epoch
        self.epochs.setdefault(epoch, run.decode("ascii", "replace"))
        if kind == Kind.OPEN:
            self.opened = found = orjson.loads(bytes(payload).rstrip(b"\0"))
            self._known |= {tuple(one) for one in found.get("damage", ())}

    def _hole(self, number: int, data: bytes, view: memoryview, offset: int) -> int:
        """Note bytes that are no record; return where the next one begins, or the end of what is not zero."""
        size = len(data)
        for at in range(offset, size - RECORD_SIZE + 1, _ALIGN):
            crc, length, sequence = _HEAD.unpack_from(data, at)
            if length >= 2 and self.sequence < sequence < self.sequence + _FARTHEST:
                stop = at + RECORD_SIZE + length + (-length & 7)
                if stop <= size and crc32c(view[at + 4 : stop]) == crc:
                    self._add(number, offset, data[offset:at], "damaged")
                    return at
        end = len(data.rstrip(b"\0"))
        self._add(number, offset, data[offset:end], "torn")
        return end + -end % _ALIGN

    def _add(self, number: int, offset: int, found: bytes, what: str, *, lost: int | None = None) -> None:
        if lost is None:
            self._unsettled.append(len(self._damage))
        digest = record_hash(found).hex() if found else ""
        self._damage.append(Damage(chunk_name(number), offset, len(found), what, self.sequence, lost, digest))

    def _settle(self, sequence: int, number: int, offset: int) -> None:
        """Work out what earlier damage cost, now that the next good record is known to be `sequence`."""
        lost = sequence - self.sequence - 1
        if lost and not self._unsettled:
            self._add(number, offset, b"", "missing", lost=lost)
        for place, index in enumerate(self._unsettled):
            # Several places between the same two records: the first carries what they cost together.
            self._damage[index] = replace(self._damage[index], lost=0 if place else lost)
        self._unsettled.clear()
        self.sequence = sequence - 1


def chunk_numbers(disk: Disk, folder: str) -> list[int]:
    """Return the numbers of the chunks in a folder, rising."""
    found = [chunk_number(name) for name in disk.listdir(folder)]
    return sorted(number for number in found if number is not None)
