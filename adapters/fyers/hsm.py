"""Frames of the market socket that are no data: two bytes of length, a type, a count, and fields.

A field is a number, two bytes of length and a value; all of it big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

AUTH, ACK, SUBSCRIBE, UNSUBSCRIBE, DATA, PAUSE, RESUME, PING, MODE, SCHEMA, MESSAGE = (
    1,
    3,
    4,
    5,
    6,
    7,
    8,
    11,
    12,
    13,
    51,
)
FULL, LITE = b"F", b"L"
GOOD: Final = b"K"
PING_FRAME: Final = bytes((0, 1, PING))
NAMES: Final = {
    AUTH: "login",
    SUBSCRIBE: "subscription",
    UNSUBSCRIBE: "unsubscription",
    PAUSE: "pause",
    RESUME: "resumption",
    MODE: "change of mode",
}


def frame(kind: int, *fields: bytes) -> bytes:
    """Return a frame of fields, numbered from 1."""
    body = bytes((kind, len(fields))) + b"".join(
        struct.pack(">BH", number, len(value)) + value for number, value in enumerate(fields, 1)
    )
    return struct.pack(">H", len(body)) + body


def login(hsm_key: str, source: str) -> bytes:
    return frame(AUTH, hsm_key.encode(), b"P", b"\x01", source.encode())


def topics(kind: int, names: Sequence[bytes], channel: int) -> bytes:
    """Return the frame that subscribes or unsubscribes topics on a channel."""
    listed = struct.pack(">H", len(names)) + b"".join(bytes((len(name),)) + name for name in names)
    return frame(kind, listed, bytes((channel,)))


def mode(channels: Iterable[int], word: bytes) -> bytes:
    return frame(MODE, bitmap(channels), word)


def bitmap(channels: Iterable[int]) -> bytes:
    return struct.pack(">Q", sum(1 << channel for channel in set(channels)))


def channels_of(value: bytes) -> list[int]:
    (bits,) = struct.unpack(">Q", value)
    return [channel for channel in range(64) if bits >> channel & 1]


def acknowledgement(number: int) -> bytes:
    return frame(ACK, struct.pack(">I", number & 0xFFFF_FFFF))


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


def listed(value: bytes) -> list[bytes]:
    """Return the topics in a field of a subscription. Raises ValueError where it ends early."""
    (count,) = struct.unpack_from(">H", value.ljust(2, b"\0"))
    names, at = [], 2
    for _ in range(count):
        size = value[at] if at < len(value) else len(value)
        if at + 1 + size > len(value):
            raise ValueError(f"{count} topics in {len(value)} bytes")
        names.append(value[at + 1 : at + 1 + size])
        at += 1 + size
    return names
