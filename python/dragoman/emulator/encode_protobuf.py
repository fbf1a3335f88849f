"""Writing protobuf messages: what an emulator sends where its broker speaks protobuf. Pure.

A message is the concatenation of its fields, so writing one is adding up bytes.

Example
-------
>>> trade = proto_field(1, "double", 815.75) + proto_field(2, "int64", 1753327800000)
>>> frame = proto_map(2, {"NSE_EQ|INE062A01020": proto_message(1, trade)}) + proto_field(3, "int64", 1753327800456)
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

from dragoman.plugin.layout_protobuf import ProtoType

ProtoScalar: TypeAlias = float | int | bool | str | bytes | Decimal

_FIXED: Final = {
    "double": (1, "<d"),
    "fixed64": (1, "<Q"),
    "sfixed64": (1, "<q"),
    "float": (5, "<f"),
    "fixed32": (5, "<I"),
    "sfixed32": (5, "<i"),
}
_RANGES: Final = {
    "int32": (-(2**31), 2**31 - 1),
    "enum": (-(2**31), 2**31 - 1),
    "sint32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "sint64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "bool": (0, 1),
}
_LENGTH: Final = 2


def proto_field(number: int, type: ProtoType, value: ProtoScalar | None, *, keep_zero: bool = False) -> bytes:
    """Return one scalar field.

    Parameters
    ----------
    number : int
    type : ProtoType
        ``decimal`` writes the value as text, as `str` does.
    value
        None writes nothing.
    keep_zero : bool
        Write 0, False and empty texts too, as fields with explicit presence and members of a oneof do; proto3 leaves
        them out otherwise.

    Raises
    ------
    ValueError
        If the number or the value does not fit.
    """
    if value is None or (not keep_zero and not value and str(value) != "-0.0"):
        return b""
    wire, body = _scalar(number, type, value)
    return _tag(number, wire) + (_varint(len(body)) + body if wire == _LENGTH else body)


def proto_packed(number: int, type: ProtoType, values: Iterable[ProtoScalar]) -> bytes:
    """Return a repeated scalar, packed; nothing for no values.

    Raises
    ------
    ValueError
        If a value does not fit, or the type has a length of its own and cannot be packed.
    """
    parts = [_scalar(number, type, value) for value in values]
    if any(wire == _LENGTH for wire, _ in parts):
        raise ValueError(f"protobuf field {number}: found repeated {type}, expected a number: texts are not packed")
    return proto_message(number, *(body for _, body in parts)) if parts else b""


def proto_message(number: int, *fields: bytes) -> bytes:
    """Return a nested message made of `fields`; an empty one is written too, since its presence says something.

    Raises
    ------
    ValueError
        If the number is none of protobuf's.
    """
    body = b"".join(fields)
    return _tag(number, _LENGTH) + _varint(len(body)) + body


def proto_wrapped(number: int, type: ProtoType, value: ProtoScalar | None) -> bytes:
    """Return a scalar in a message of its own, as wrapper types have it: it is there where its value is 0, too."""
    return b"" if value is None else proto_message(number, proto_field(1, type, value))


def proto_map(number: int, entries: Mapping[str, bytes] | Mapping[int, bytes]) -> bytes:
    """Return a map from text or integers to messages: each value is the message's own fields.

    Raises
    ------
    ValueError
        If a number does not fit.
    """
    parts = []
    for key, body in entries.items():
        name = proto_field(1, "string" if isinstance(key, str) else "int64", key)
        parts.append(proto_message(number, name, proto_message(2, body)))
    return b"".join(parts)


def _scalar(number: int, type: ProtoType, value: ProtoScalar) -> tuple[int, bytes]:
    if type in ("string", "bytes", "decimal"):
        return _LENGTH, value if isinstance(value, bytes) else str(value).encode()
    if isinstance(value, str | bytes):
        found = f"protobuf field {number}: found {value!r}"
        raise ValueError(f"{found}, expected a number for type {type}")  # noqa: TRY004  a value that does not fit
    if type in _FIXED:
        wire, code = _FIXED[type]
        try:
            return wire, struct.pack(code, float(value) if code in ("<d", "<f") else int(value))
        except (struct.error, OverflowError) as error:
            raise ValueError(f"protobuf field {number}: found {value!r}, expected what {type} holds") from error
    low, high = _RANGES[type]
    whole = int(value)
    if whole != value or not low <= whole <= high:
        raise ValueError(f"protobuf field {number}: found {value!r}, expected {type}: {low} to {high}")
    if type in ("sint32", "sint64"):
        whole = whole * 2 if whole >= 0 else -whole * 2 - 1
    return 0, _varint(whole & 2**64 - 1)


def _tag(number: int, wire: int) -> bytes:
    if not 1 <= number < 2**29:
        raise ValueError(f"protobuf field: found number {number}, expected 1 to 536870911")
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
