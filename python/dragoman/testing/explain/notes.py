"""A note on a piece of a message, and the dump that shows notes beside their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

_WIDTH: Final = 8
NOT_COVERED: Final = "(no field covers this)"


@dataclass(frozen=True, slots=True)
class Note:
    """What one piece of a message is.

    Attributes
    ----------
    start, end : int
        Byte range; both -1 where the message is text and `path` says where.
    path : str
        Of field numbers or of keys and positions; empty in packed messages.
    name : str
        The record's slot, or what else the layout takes it for; `NOT_COVERED` where it takes it for nothing.
    raw : str
        As written on the wire.
    value : object
        What it becomes; None where it becomes nothing by itself.
    packet : str
        Name of the packet, or layout, it belongs to.
    """

    start: int
    end: int
    name: str
    raw: str = ""
    value: Any = None
    packet: str = ""
    path: str = ""

    @property
    def covered(self) -> bool:
        """Whether the layout makes something of it."""
        return self.name != NOT_COVERED

    def __str__(self) -> str:
        where = self.path or f"{self.start}..{self.end}"
        told = "" if self.value is None else f" = {self.value!r}"
        return f"{self.packet} {where} {self.name} {self.raw}{told}".strip()


def uncovered(
    data: bytes, notes: Iterable[Note], packet: str = "", start: int = 0, end: int | None = None
) -> list[Note]:
    """Return notes on the byte ranges in [start, end) that no other note covers."""
    last = len(data) if end is None else end
    spans = sorted((note.start, note.end) for note in notes if note.end > start and note.start < last)
    found, at = [], start
    for first, stop in [*spans, (last, last)]:
        if first > at:
            found.append(Note(at, first, NOT_COVERED, data[at:first].hex(), packet=packet))
        at = max(at, stop)
    return found


def hexdump(data: bytes, notes: Iterable[Note]) -> Iterator[str]:
    """Yield lines: offset, bytes, what they are. Pieces longer than eight bytes go over several lines."""
    packet = None
    for note in notes:
        if note.packet != packet and note.packet:
            packet = note.packet
            yield f"-- {packet} --"
        told = note.name if note.value is None else f"{note.name} = {note.value!r}"
        path = f"[{note.path}] " if note.path else ""
        piece = data[note.start : note.end]
        for at in range(0, max(1, len(piece)), _WIDTH):
            row = piece[at : at + _WIDTH].hex(" ")
            text = f"{path}{told}  (raw {note.raw})" if at == 0 and note.covered and note.raw else path + told
            yield f"{note.start + at:6d}  {row.ljust(3 * _WIDTH - 1)}  {text if at == 0 else ''}".rstrip()
