"""Journals for tests: on a disk in memory, small chunks, records that fit into a line."""

from __future__ import annotations

import contextlib

from dragoman.errors import DragomanError
from dragoman.orders.journal import Journal, Kind
from dragoman.orders.journal.scan import Scan
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.runtime.virtual_disk import VirtualDisk

FOLDER = "/state/journal/x"
WHOSE = {"broker": "examplebroker", "environment": "emulator", "account": "AB1234"}


async def opened(runtime, *, folder=FOLDER, chunk_size=4096, **options) -> Journal:
    return await Journal.open(runtime, folder, **WHOSE, chunk_size=chunk_size, **options)


async def committed(journal: Journal, payload: dict, kind: Kind = Kind.INTENT) -> None:
    done = journal.commit(kind, payload)
    if done is not None:
        await done


def on(disk: VirtualDisk, scenario, *, seed=0):
    """Run `scenario(runtime)` in a new process, as it were, on a disk that others had before."""
    with VirtualRuntime(seed) as runtime:
        runtime.disk = disk
        result = runtime.run(scenario(runtime))
        assert runtime.loop.unhandled == []
        return result


def filled(records: int, *, chunk_size=4096, close=True, disk: VirtualDisk | None = None) -> VirtualDisk:
    """Return a disk with a journal of `records` records besides the first and, where it is closed, the last."""
    disk = VirtualDisk() if disk is None else disk

    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=chunk_size)
        for number in range(records):
            await committed(journal, {"n": number})
        if close:
            await journal.close()

    on(disk, scenario)
    if not close:
        disk.end_processes()
    return disk


def copy_of(disk: VirtualDisk) -> VirtualDisk:
    """Return another disk with the same files."""
    other = VirtualDisk()
    other.files = {path: (bytes(data), mode) for path, (data, mode) in disk.files.items()}
    return other


def scanned(disk: VirtualDisk, folder: str = FOLDER):
    """Return a finished scan and the records it found."""
    scan = Scan()
    return scan, [raw.read() for raw in scan.folder(disk, folder)]


def numbers(records) -> list[int]:
    return [record.payload["n"] for record in records if record.kind is Kind.INTENT]


async def until_it_fails(work) -> None:
    """Await something that may end with the power, or with an error because of it."""
    with contextlib.suppress(OSError, DragomanError):
        await work
