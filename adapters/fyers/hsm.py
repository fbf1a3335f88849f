"""Frames of the market socket that are no data, as `dragoman.plugin.field_frames` makes and reads them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from dragoman.plugin.field_frames import bits_field, frame, names_field

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


def login(hsm_key: str, source: str) -> bytes:
    return frame(AUTH, hsm_key.encode(), b"P", b"\x01", source.encode())


def topics(kind: int, names: Sequence[bytes], channel: int) -> bytes:
    """Return the frame that subscribes or unsubscribes topics on a channel."""
    return frame(kind, names_field(names), bytes((channel,)))


def mode(channels: Iterable[int], word: bytes) -> bytes:
    return frame(MODE, bits_field(channels), word)


def acknowledgement(number: int) -> bytes:
    return frame(ACK, struct.pack(">I", number & 0xFFFF_FFFF))
