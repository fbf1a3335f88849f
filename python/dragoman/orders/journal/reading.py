"""Read a journal without writing to it, also while another process does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dragoman.orders.journal.format import Record, chunk_name
from dragoman.orders.journal.opening import LOCK
from dragoman.orders.journal.scan import Raw, Scan, chunk_numbers
from dragoman.runtime.base import Disk

_TRIES = 3


def read_journal(disk: Disk, folder: str, *, since_ns: int = 0) -> Iterator[Record]:
    """Yield the good records of a journal, oldest first, from `since_ns` of their wall clock on.

    A record that is being written at this moment is not among them. Blocking; one chunk at a time is in memory.
    """
    for raw in read_raw(disk, folder, Scan()):
        if raw.time_ns >= since_ns:
            yield raw.read()


def read_raw(disk: Disk, folder: str, scan: Scan, *, first: int = 1) -> Iterator[Raw]:
    """Yield the good records from chunk `first` on; of the chunk being written those before the first gap.

    What follows a gap there may be half of a write: bytes become visible in any order.
    """
    live = _live_chunk(disk, folder)
    for number in chunk_numbers(disk, folder):
        if number < first:
            continue
        last = 0
        for raw in scan.chunk(number, disk.read(f"{folder}/{chunk_name(number)}")):
            if number == live and last and raw.sequence != last + 1:
                return
            last = raw.sequence
            yield raw


def _live_chunk(disk: Disk, folder: str) -> int:
    """Return the number of the chunk that somebody writes to at this moment; 0 where nobody does."""
    if disk.holder(f"{folder}/{LOCK}") is None:
        return 0
    for number in reversed(chunk_numbers(disk, folder)):
        if disk.read(f"{folder}/{chunk_name(number)}").strip(b"\0"):  # else it is one made ahead
            return number
    return 0


def verify_journal(disk: Disk, folder: str) -> Scan:
    """Go through a whole journal and return what there is and what is wrong; see `Scan`.

    Where another process writes it, a record may be half there: damage at the end is looked at again before it is
    believed.
    """
    for _ in range(_TRIES):
        scan = Scan(skim=True)
        for _ in scan.folder(disk, folder):
            pass
        used = [chunk.number for chunk in scan.chunks if chunk.end]
        newest = chunk_name(used[-1]) if used else ""
        fresh = any(one.file >= newest for one in scan.damage if not one.known)
        if not fresh or disk.holder(f"{folder}/{LOCK}") is None:
            break
    return scan


@dataclass(frozen=True, slots=True)
class Facts:
    """What a record says of an order, in columns; empty where it says nothing.

    Attributes
    ----------
    name : str
        The client order id.
    what : str
        Of an intent what was asked for, of a decision what was decided.
    """

    name: str = ""
    what: str = ""
    order_id: str = ""
    instrument_id: str = ""
    side: str = ""
    quantity: str = ""
    price: str = ""
    status: str = ""


def facts_of(payload: dict[str, Any]) -> Facts:
    """Return the facts of a payload, whichever kind of record it is of."""
    inner = payload.get("payload")
    if isinstance(inner, dict) and "kind" in payload:  # one that was refused before it was written
        return facts_of(inner)
    if payload.get("what") == "money":
        return Facts(what="money", status=_money(payload.get("pnl")))
    order: Any = payload.get("order") or payload.get("request") or payload.get("change")
    order = order if isinstance(order, dict) else {}

    def word(*names: str) -> str:
        for source in (payload, order):
            for name in names:
                value = source.get(name)
                if isinstance(value, str | int) and value != "":
                    return str(value)
        return ""

    return Facts(
        name=word("name", "client_order_id"),
        what=word("op", "what"),
        order_id=word("order_id"),
        instrument_id=word("instrument_id"),
        side=word("side"),
        quantity=word("quantity"),
        price=word("price"),
        status=word("status", "effect"),
    )


def _money(pnl: Any) -> str:
    """Return realised and unrealised profit by currency in words."""
    rows = pnl.items() if isinstance(pnl, dict) else ()
    sums = ((name, row) for name, row in rows if isinstance(row, dict))
    return ", ".join(f"{name} {row.get('realised', 0)} + {row.get('unrealised', 0)}" for name, row in sums)
