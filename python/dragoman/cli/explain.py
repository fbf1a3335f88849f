"""``dragoman layout explain``: an annotated dump of one captured message."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from dragoman.cli.output import print_json
from dragoman.errors import UsageError
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.real import RealRuntime
from dragoman.testing.explain import Note, explain, hexdump

_HEX: Final = frozenset(b"0123456789abcdefABCDEF \t\r\n")
_WIDEST: Final = 40


def read_message(text: str) -> bytes:
    """Return the message: of a file (its bytes, or the hexadecimal digits in it), or as typed.

    Raises
    ------
    UsageError
        It is neither a file, nor hexadecimal digits, nor JSON.
    """
    path = Path(text)
    if len(text) < 1024 and path.is_file():
        data = RealRuntime().disk.read(str(path))
        return _unhex(data) if data and set(data) <= _HEX else data
    if text.lstrip()[:1] in ("{", "["):
        return text.encode()
    if text and set(text.encode()) <= _HEX:
        return _unhex(text.encode())
    raise UsageError(f"{text[:60]!r} is no file, no hexadecimal digits and no JSON")


def _unhex(text: bytes) -> bytes:
    try:
        return binascii.unhexlify(b"".join(text.split()))
    except binascii.Error as error:
        raise UsageError(f"hexadecimal digits: {error}") from error


def explain_message(broker: str, text: str, *, feed: str, as_json: bool) -> None:
    """Print what a message is to the layouts of a stream."""
    stream = load_adapter(broker).feed_class(feed).layouts
    if stream is None:
        raise UsageError(f"{broker}: no layout reads the {feed} stream; its messages all go to the feed")
    data = read_message(text)
    notes = explain(stream, data)
    if as_json:
        print_json([asdict(note) for note in notes])
        return
    lines = list(hexdump(data, notes)) if all(note.start >= 0 for note in notes) else list(_paths(notes))
    print("\n".join(lines))
    loose = [note for note in notes if not note.covered]
    if loose:
        whole = sum(note.end - note.start for note in loose)
        print(f"\nno field covers {whole} bytes" if notes[0].start >= 0 else f"\nno field covers {len(loose)} paths")


def _paths(notes: Sequence[Note]) -> list[str]:
    wide = min(_WIDEST, max(len(note.path) for note in notes))
    text = min(_WIDEST, max(len(note.raw) for note in notes))
    lines, layout = [], ""
    for note in notes:
        if note.packet and note.packet != layout:
            layout = note.packet
            lines.append(f"-- {layout} --")
        told = note.name if note.value is None else f"{note.name} = {note.value}"
        lines.append(f"{note.path.ljust(wide)}  {note.raw.ljust(text)}  {told}")
    return lines
