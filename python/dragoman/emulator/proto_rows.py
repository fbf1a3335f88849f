"""Protobuf messages as tables: each field's number and type beside what of a record stands there.

A cell is a path into the record or an `As` (see `dragoman.emulator.rows`), or another table: a message of its own.
`Each` repeats a message for every record that a path leads to. Zeros are left out, as proto3 does.

Example
-------
>>> from types import SimpleNamespace
>>> trade = ((1, "double", ".price"), (2, "int64", ".size"))
>>> write_proto(((1, "message", trade), (3, "enum", 2)), SimpleNamespace(price=1.5, size=0)).hex()
'0a0909000000000000f83f1802'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from dragoman.emulator.encode_protobuf import proto_field, proto_message
from dragoman.emulator.rows import read
from dragoman.plugin.layout_protobuf import ProtoType

ProtoTable: TypeAlias = tuple[tuple[int, ProtoType | Literal["message"], Any], ...]


@dataclass(frozen=True, slots=True)
class Each:
    """A message of `table` for every record that `path` leads to, at most `most` of them."""

    path: str
    table: ProtoTable
    most: int | None = None


def write_proto(table: ProtoTable, record: object) -> bytes:
    """Write the fields of a record's message. Raises ValueError where a value does not fit its field."""
    return b"".join(_field(number, kind, cell, record) for number, kind, cell in table)


def _field(number: int, kind: ProtoType | Literal["message"], cell: Any, record: object) -> bytes:
    if kind != "message":
        return proto_field(number, kind, read(cell, record))
    if isinstance(cell, Each):
        found = list(read(cell.path, record))[: cell.most]
        return b"".join(proto_message(number, write_proto(cell.table, one)) for one in found)
    return proto_message(number, write_proto(cell, record))
