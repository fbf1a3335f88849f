"""Protobuf messages: every field on the wire, by its path of numbers, and what the layout makes of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

from dragoman.errors import DecodeError
from dragoman.plugin import ProtoStream
from dragoman.plugin.layout_protobuf import (
    ProtoColumn,
    ProtoColumns,
    ProtoConstant,
    ProtoControl,
    ProtoKey,
    ProtoLevels,
    ProtoMember,
    ProtoRecords,
    ProtoRestart,
    ProtoSub,
    ProtoValue,
)
from dragoman.testing.explain.notes import NOT_COVERED, Note
from dragoman.testing.explain.packed_view import moment

_FIXED: Final = {1: 8, 5: 4}
_UNITS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def explain_protobuf(stream: ProtoStream, data: bytes) -> list[Note]:
    """Explain one frame.

    Raises
    ------
    DecodeError
        It is no protobuf message.
    """
    return list(_message(data, 0, len(data), stream.members, "", stream.name))


def _message(data: bytes, at: int, end: int, members: Sequence[ProtoMember], path: str, packet: str) -> Iterator[Note]:
    while at < end:
        start = at
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        raw: int | bytes
        if wire == 0:
            raw, at = _varint(data, at, end)
            body = at
        elif wire == 2 or wire in _FIXED:
            length, body = _varint(data, at, end) if wire == 2 else (_FIXED[wire], at)
            at = body + length
            if at > end or not number:
                raise DecodeError(f"byte {start}: a field of {length} bytes, expected at most {end - body}")
            raw = data[body:at] if wire == 2 else int.from_bytes(data[body:at], "little")
        else:
            raise DecodeError(f"byte {start}: wire type {wire}, expected 0, 1, 2 or 5")
        where = f"{path}.{number}" if path else str(number)
        named = [one for one in members if number in _numbers(one)]
        inner = next((one for one in named if isinstance(one, ProtoSub | ProtoRecords)), None)
        if inner is not None and isinstance(raw, bytes):
            kind = "each makes a record" if isinstance(inner, ProtoRecords) else "message"
            name = inner.shape.name if inner.shape is not None else packet
            yield Note(start, body, f"{kind} of {len(raw)} bytes", packet=name, path=where)
            yield from _message(data, body, at, inner.members, where, name)
        elif named and isinstance(named[0], ProtoLevels) and isinstance(raw, bytes):
            yield Note(start, body, "row of depth", packet=packet, path=where)
            yield from _row(data, body, at, named[0], where, packet)
        else:
            several: Sequence[ProtoMember | None] = named or (None,)
            for one in several:
                yield _leaf(start, at, one, number, raw, where, packet)


def _numbers(member: ProtoMember) -> tuple[int, ...]:
    if isinstance(member, ProtoColumns):
        columns = (member.price, member.quantity, member.orders)
        return tuple(_first(one) for one in columns if one is not None)
    return () if isinstance(member, ProtoConstant) else (member.number,)


def _first(column: ProtoColumn) -> int:
    return column.number if isinstance(column.number, int) else column.number[0]


def _row(data: bytes, at: int, end: int, table: ProtoLevels, path: str, packet: str) -> Iterator[Note]:
    named: list[tuple[tuple[int, ...], str, ProtoColumn]] = []
    sides = (("bid", table.bid), ("ask", table.ask))
    for side, columns in sides:
        for name in ("price", "quantity", "orders") if columns is not None else ():
            if (column := getattr(columns, name)) is not None:
                steps = (column.number,) if isinstance(column.number, int) else tuple(column.number)
                named.append((steps, f"{side}.{name}", column))
    if table.position is not None:
        steps = (table.position.number,) if isinstance(table.position.number, int) else table.position.number
        named.append((tuple(steps), "position", table.position))
    for note in _message(data, at, end, _tree(steps for steps, _, _ in named), path, packet):
        relative = tuple(int(step) for step in note.path[len(path) + 1 :].split(".") if step)
        found = [(name, column) for steps, name, column in named if steps == relative]
        if not found:
            yield note
            continue
        raw: Any = int(note.raw) if note.raw.lstrip("-").isdigit() else note.raw
        name = " and ".join(name for name, _ in found)
        value = _number(found[0][1].type, raw, found[0][1].divisor, found[0][1].digits)
        yield Note(note.start, note.end, name, note.raw, value, packet, note.path)


def _tree(paths: Any) -> tuple[ProtoMember, ...]:
    """Return members that lead to each path: controls at its end, so that every leaf is named."""
    found: dict[int, list[tuple[int, ...]]] = {}
    for steps in paths:
        found.setdefault(steps[0], []).append(tuple(steps[1:]))
    made: list[ProtoMember] = []
    for number, rest in found.items():
        deeper = [steps for steps in rest if steps]
        made.append(ProtoSub(number, _tree(deeper)) if deeper else ProtoControl(number))
    return tuple(made)


def _leaf(
    start: int, end: int, member: ProtoMember | None, number: int, raw: int | bytes, path: str, packet: str
) -> Note:
    shown = (
        repr(raw.decode())
        if isinstance(raw, bytes) and _is_text(raw)
        else raw.hex()
        if isinstance(raw, bytes)
        else str(raw)
    )
    name, value = NOT_COVERED, None
    match member:
        case ProtoValue():
            name = member.to
            value = _number(member.type, raw, member.divisor, member.digits)
            if member.unit in _UNITS and isinstance(value, int | float):
                value = moment(int(value * _UNITS[member.unit]) + member.shift_s * 10**9)
            if isinstance(raw, int) and member.absent is not None and raw == member.absent:
                value = "absent"
        case ProtoKey():
            name, value = "key", raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
        case ProtoControl():
            name = "control, for the feed"
        case ProtoRestart():
            name, value = "restart of the book", bool(raw)
        case ProtoColumns():
            columns = {"price": member.price, "quantity": member.quantity, "orders": member.orders}
            name = next(
                f"{member.side}.{key}" for key, one in columns.items() if one is not None and _first(one) == number
            )
        case _:
            value = None
    return Note(start, end, name, shown, value, packet, path)


def _is_text(raw: bytes) -> bool:
    try:
        return raw.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _number(kind: str, raw: int | bytes | str, divisor: int, digits: int | None) -> Any:
    value: Any = raw
    if isinstance(raw, bytes | str):
        text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw.strip("'")
        return float(text) if kind == "decimal" and text.replace(".", "", 1).lstrip("-").isdigit() else text
    if kind in ("double", "float"):
        wire, size = ("<d", 8) if kind == "double" else ("<f", 4)
        value = struct.unpack(wire, raw.to_bytes(8, "little")[:size])[0]
    elif kind.startswith("sint"):
        value = (raw >> 1) ^ -(raw & 1)
    elif kind in ("int32", "int64", "sfixed32", "sfixed64", "enum"):
        bits = 32 if kind == "sfixed32" else 64
        value = raw - (1 << bits) if raw >> (bits - 1) else raw
    elif kind == "bool":
        value = bool(raw)
    if digits is not None:
        value = round(float(value), digits)
    return value / divisor if divisor != 1 else value


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(end, at + 10)):
        value |= (data[place] & 0x7F) << shift
        if data[place] < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place + 1
        shift += 7
    raise DecodeError(f"byte {at}: a varint that does not end, expected at most 10 bytes")
