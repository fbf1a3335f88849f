"""Binary frames of numbered fields: two bytes of length, a type, a count, and the fields. All of it big-endian.

A field is a number, two bytes of length and a value. Two kinds of values have a form of their own: lists of names, each
behind a byte of length, and sets of channels as bits. Such frames log in, subscribe and acknowledge; data has layouts.

Example
-------
>>> frame(4, b"ab").hex()
'000704010100026162'
>>> fields_of(frame(4, b"ab"))
(4, {1: b'ab'})
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence


def frame(kind: int, *fields: bytes) -> bytes:
    """Return a frame of fields, numbered from 1."""
    body = bytes((kind, len(fields))) + b"".join(
        struct.pack(">BH", number, len(value)) + value for number, value in enumerate(fields, 1)
    )
    return struct.pack(">H", len(body)) + body


def fields_of(data: bytes) -> tuple[int, dict[int, bytes]]:
    """Return type and fields of a frame; its own length is not looked at: clients write it wrong.

    Raises
    ------
    ValueError
        Where it ends early.
    """
    if len(data) < 3:
        raise ValueError(f"{len(data)} bytes, expected at least 3")
    found: dict[int, bytes] = {}
    at = 4
    for _ in range(data[3] if len(data) > 3 else 0):
        number, size = struct.unpack_from(">BH", data.ljust(at + 3, b"\0"), at)
        if at + 3 + size > len(data):
            raise ValueError(f"field {number} of {size} bytes, {len(data) - at - 3} are left")
        found[number] = data[at + 3 : at + 3 + size]
        at += 3 + size
    return data[2], found


def names_field(names: Sequence[bytes]) -> bytes:
    """Return a list of names as the value of a field."""
    return struct.pack(">H", len(names)) + b"".join(bytes((len(name),)) + name for name in names)


def names_of(value: bytes) -> list[bytes]:
    """Return the names in the value of a field. Raises ValueError where it ends early."""
    (count,) = struct.unpack_from(">H", value.ljust(2, b"\0"))
    names, at = [], 2
    for _ in range(count):
        size = value[at] if at < len(value) else len(value)
        if at + 1 + size > len(value):
            raise ValueError(f"{count} topics in {len(value)} bytes")
        names.append(value[at + 1 : at + 1 + size])
        at += 1 + size
    return names


def bits_field(channels: Iterable[int]) -> bytes:
    """Return a set of channels, 0 to 63, as the value of a field."""
    return struct.pack(">Q", sum(1 << channel for channel in set(channels)))


def bits_of(value: bytes) -> list[int]:
    """Return the channels in the value of a field, lowest first."""
    (bits,) = struct.unpack(">Q", value)
    return [channel for channel in range(64) if bits >> channel & 1]
