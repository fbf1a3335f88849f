"""Says what each byte, or each path, of a captured message is to a layout: for writing layouts, not for speed.

>>> for note in explain(Stream.layouts, frame):        # doctest: +SKIP
...     print(note)
"""

from __future__ import annotations

from dragoman.errors import UsageError
from dragoman.plugin import JsonStream, PackedStream, ProtoStream
from dragoman.plugin.feed import StreamLayouts
from dragoman.testing.explain.json_view import explain_json
from dragoman.testing.explain.notes import Note, hexdump, uncovered
from dragoman.testing.explain.packed_view import explain_packed
from dragoman.testing.explain.proto_view import explain_protobuf

__all__ = ["Note", "explain", "hexdump", "uncovered"]


def explain(stream: StreamLayouts, data: bytes) -> list[Note]:
    """Return what a layout makes of a message, in the message's order.

    Raises
    ------
    UsageError
        For a description of an unknown engine.
    DecodeError
        The message is no protobuf, no JSON or no MessagePack at all.
    """
    if isinstance(stream, PackedStream):
        return explain_packed(stream, data)
    if isinstance(stream, ProtoStream):
        return explain_protobuf(stream, data)
    if isinstance(stream, JsonStream):
        return explain_json(stream, data)
    raise UsageError(f"{type(stream).__name__} is no description that can be explained")
