"""Reading protobuf messages that are not data: market status, greeks, whatever a layout hands to `Feed.on_control`.

Ticks never come this way; layouts decode those natively.
"""

from __future__ import annotations

import struct
from typing import Final, TypeAlias

from dragoman.errors import DecodeError

ProtoFields: TypeAlias = dict[int, list["int | bytes"]]
"""Fields by number, each in wire order: varints and fixed numbers as unsigned ints, all that has a length as bytes."""

_FIXED: Final = {1: 8, 5: 4}


def read_protobuf(data: bytes | memoryview) -> ProtoFields:
    """Split one message into its fields.

    Returns
    -------
    dict
        Number to values. A field that is not there is proto3's default: 0 or empty; of several the last counts unless
        the field is repeated. See `proto_int` and `proto_double` for signed numbers and doubles.

    Raises
    ------
    DecodeError
        If the bytes are no protobuf message: they end early, a varint is longer than 10 bytes, or a group stands in
        them.
    """
    fields: ProtoFields = {}
    at, size = 0, len(data)
    while at < size:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number <= 0x1FFF_FFFF:
            raise _broken(f"field number {number}", "1 to 536870911", at)
        value: int | bytes
        if wire == 0:
            value, at = _varint(data, at)
        elif wire == 2 or wire in _FIXED:
            length, at = _varint(data, at) if wire == 2 else (_FIXED[wire], at)
            if length > size - at:
                raise _broken(f"a field of {length} bytes", f"at most the {size - at} that are left", at)
            piece = bytes(data[at : at + length])
            value = piece if wire == 2 else int.from_bytes(piece, "little")
            at += length
        else:
            raise _broken(f"wire type {wire}", "0, 1, 2 or 5", at)
        fields.setdefault(number, []).append(value)
    return fields


def proto_int(value: int | bytes) -> int:
    """Return the signed number of an int32, int64, sfixed64 or enum field.

    Raises
    ------
    DecodeError
        If the field is one with a length.
    """
    if isinstance(value, bytes):
        raise _broken("a field with a length", "a number", 0)
    return value - 2**64 if value >= 2**63 else value


def proto_double(value: int | bytes) -> float:
    """Return the number of a double field.

    Raises
    ------
    DecodeError
        If the field is one with a length.
    """
    if isinstance(value, bytes):
        raise _broken("a field with a length", "a number", 0)
    found: float = struct.unpack("<d", value.to_bytes(8, "little"))[0]
    return found


def _varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _broken("the end of the message", "the rest of a varint", at)
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, at
    raise _broken("a varint beyond 64 bits", "at most 10 bytes", at)


def _broken(found: str, expected: str, at: int) -> DecodeError:
    return DecodeError(f"protobuf message: byte {at}: found {found}, expected {expected}")
