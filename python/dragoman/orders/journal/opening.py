"""Begin an epoch: take the lock, read what is there, put damage aside, write the record that says so. All of it blocks.

Nothing that is on the disk is ever written over. A chunk in which anything is damaged stays as it was found, with a
copy of the damaged bytes beside it, and the epoch begins in the next chunk; so opening twice reads the same as opening
once, wherever a first opening was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from dragoman.errors import AccountBusy, DragomanError, ErrorKind, UsageError, error_for
from dragoman.orders.identity import journal_id_of
from dragoman.orders.journal.format import (
    HEADER_SIZE,
    SMALLEST_CHUNK,
    ChunkHeader,
    Kind,
    chunk_name,
    encode_payload,
    encode_record,
    record_hash,
    record_length,
)
from dragoman.orders.journal.scan import Damage, Scan
from dragoman.runtime.base import Disk, DiskFile, DiskLock, LockTaken

LOCK = "writer.lock"
ASIDE = "damaged"
_MARGIN = 256


@dataclass(slots=True)
class Epoch:
    """An epoch that has begun, and where it goes on.

    Attributes
    ----------
    scan : Scan
        Of everything before it.
    damage : tuple of Damage
    number : int
        Of the epoch.
    journal_id : str
    file : DiskFile
        The chunk that is written to.
    chunk, end : int
        Number of that chunk, and where the next record goes.
    sequence, hash : int, bytes
        Of the record that began it.
    lock : DiskLock
    """

    scan: Scan
    damage: tuple[Damage, ...]
    number: int
    journal_id: str
    file: DiskFile
    chunk: int
    end: int
    sequence: int
    hash: bytes
    lock: DiskLock


def begin_epoch(
    disk: Disk,
    folder: str,
    *,
    about: dict[str, str],
    entropy: Callable[[], bytes],
    now_ns: Callable[[], int],
    chunk_size: int,
) -> Epoch:
    """Begin an epoch, durably.

    Raises
    ------
    AccountBusy
        Another handle writes this journal; says which.
    UsageError
        It is the journal of another account, or of a later version.
    Rejected
        The disk does not let it be written.
    """
    try:
        lock = disk.lock(f"{folder}/{LOCK}", now_ns=now_ns())
    except LockTaken as taken:
        who = taken.holder
        raise AccountBusy(
            f"journal {folder} is written by process {who.pid} on {who.host or 'this machine'}",
            remedy="trade through that process, or end it: its lock goes with it",
            pid=who.pid,
            host=who.host,
            since_ns=who.since_ns,
        ) from None
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        return _begin(disk, folder, lock, about, entropy, now_ns, chunk_size)
    except OSError as error:
        lock.release()
        raise cannot_write(folder, error) from error
    except BaseException:
        lock.release()
        raise


def _begin(
    disk: Disk,
    folder: str,
    lock: DiskLock,
    about: dict[str, str],
    entropy: Callable[[], bytes],
    now_ns: Callable[[], int],
    chunk_size: int,
) -> Epoch:
    scan = Scan(skim=True)
    for name in disk.listdir(folder):
        # The making of a chunk was cut off. Nobody else makes one while we have the lock.
        if name.startswith(".") and name.endswith(".tmp"):
            disk.remove(f"{folder}/{name}")
    for _ in scan.folder(disk, folder):
        pass
    if scan.opened is not None:
        _check_account(folder, scan.opened, about)
    damage = tuple(_put_aside(disk, folder, one) for one in scan.damage)
    number = scan.epoch + 1
    journal_id = journal_id_of(entropy())
    while journal_id in scan.journal_ids:
        journal_id = journal_id_of(entropy())
    said: dict[str, Any] = {**about, "journal_id": journal_id, "pid": lock.holder.pid, "host": lock.holder.host}
    if damage:
        said["damage"] = [one.key for one in damage]
        said["found"] = [str(one) for one in damage if not one.known]
    payload = encode_payload(said)
    needed = HEADER_SIZE + record_length(payload)
    file, chunk, end = _place(disk, folder, scan, needed, chunk_size)
    time_ns = now_ns()
    sequence = scan.sequence + 1
    head = ChunkHeader(chunk, sequence, file.size, time_ns, scan.hash).packed() if end == 0 else b""
    record = encode_record(
        Kind.OPEN,
        payload,
        sequence=sequence,
        time_ns=time_ns,
        epoch=number,
        run=journal_id.encode(),
        previous=scan.hash,
    )
    try:
        file.write(end, head + record)
        file.sync()
    except BaseException:
        file.close()
        raise
    end += len(head) + len(record)
    return Epoch(scan, damage, number, journal_id, file, chunk, end, sequence, record_hash(record), lock)


def _place(disk: Disk, folder: str, scan: Scan, needed: int, chunk_size: int) -> tuple[DiskFile, int, int]:
    """Return the chunk in which the epoch begins, its number and the offset; 0 where its header is still to write."""
    used = [chunk for chunk in scan.chunks if chunk.end or chunk.damaged]
    if used and not used[-1].damaged and used[-1].size - used[-1].end >= needed:
        last = used[-1]
        return disk.open(f"{folder}/{last.name}", size=last.size), last.number, last.end
    spoiled = {one.file for one in scan.damage}
    number = used[-1].number + 1 if used else 1
    while True:
        if chunk_name(number) not in spoiled:
            file = disk.open(f"{folder}/{chunk_name(number)}", size=max(chunk_size, needed + _MARGIN))
            if file.size >= max(needed, SMALLEST_CHUNK):
                return file, number, 0
            file.close()
        number += 1


def _check_account(folder: str, opened: dict[str, Any], about: dict[str, str]) -> None:
    found = {key: opened.get(key) for key in about}
    if found != about:
        raise UsageError(
            f"journal {folder} is of {' '.join(map(str, found.values()))}, expected {' '.join(about.values())}",
            remedy="give each account a folder of its own",
        )


def _put_aside(disk: Disk, folder: str, damage: Damage) -> Damage:
    """Copy damaged bytes to where nothing will touch them."""
    if damage.length == 0:
        return damage
    path = f"{folder}/{ASIDE}/{damage.file}.{damage.offset}.{damage.digest[:8]}"
    if not disk.exists(path):
        data = disk.read(f"{folder}/{damage.file}")
        disk.write_atomic(path, data[damage.offset : damage.offset + damage.length])
    return replace(damage, kept=path)


def cannot_write(folder: str, error: BaseException, *, doing: str = "opened for writing") -> DragomanError:
    """Return the typed error for a journal that its disk refuses."""
    code = getattr(error, "errno", None)
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return error_for(
        ErrorKind.LOCAL_DENIED,
        f"journal {folder} cannot be {doing}: {why}",
        code=None if code is None else f"ERRNO_{code}",
        remedy="no order is sent without a journal: free or repair the disk, then start again",
    )


def slow_disk(folder: str, seconds: float) -> DragomanError:
    """Return the typed error for a disk that does not come to an end with a write."""
    return error_for(
        ErrorKind.LOCAL_DENIED,
        f"journal {folder}: its disk has not finished a write in {seconds:g} s; what waits for it is not sent",
        remedy="look at the disk; orders go on by themselves once it answers, cancels are sent without it",
    )
