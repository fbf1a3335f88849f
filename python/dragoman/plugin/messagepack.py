"""MessagePack in plain Python, for the few messages a program writes and reads itself; data is decoded natively.

Example
-------
>>> unpack_messagepack(pack_messagepack([{"T": "success", "t": Moment(1_700_000_000_000_000_000)}]))
[{'T': 'success', 't': Moment(ns=1700000000000000000)}]
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dragoman.errors import DecodeError

_NS: Final = 1_000_000_000
_DEEPEST: Final = 64
_NUMBERS: Final = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_SIZED: Final = {
    0xC4: ("bytes", ">B"),
    0xC5: ("bytes", ">H"),
    0xC6: ("bytes", ">I"),
    0xC7: ("ext", ">B"),
    0xC8: ("ext", ">H"),
    0xC9: ("ext", ">I"),
    0xD9: ("text", ">B"),
    0xDA: ("text", ">H"),
    0xDB: ("text", ">I"),
    0xDC: ("array", ">H"),
    0xDD: ("array", ">I"),
    0xDE: ("map", ">H"),
    0xDF: ("map", ">I"),
}
_CONSTANTS: Final = {0xC0: None, 0xC2: False, 0xC3: True}
_INTEGERS: Final = ((">BB", 0xCC, 2**8), (">BH", 0xCD, 2**16), (">BI", 0xCE, 2**32), (">BQ", 0xCF, 2**64))
_NEGATIVES: Final = ((">Bb", 0xD0, 2**7), (">Bh", 0xD1, 2**15), (">Bi", 0xD2, 2**31), (">Bq", 0xD3, 2**63))
_LENGTHS: Final = ((">BB", 2**8), (">BH", 2**16), (">BI", 2**32))


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, ns since the epoch: MessagePack's own timestamp."""

    ns: int


def pack_messagepack(value: Any) -> bytes:
    """Write a value: None, bool, int, float, text, bytes, `Moment`, and sequences and mappings of them.

    Raises
    ------
    ValueError, TypeError
        An integer beyond 64 bits; a value of another kind.
    """
    out = bytearray()
    _pack(value, out)
    return bytes(out)


def _pack(value: Any, out: bytearray) -> None:
    match value:
        case None:
            out.append(0xC0)
        case bool():
            out.append(0xC3 if value else 0xC2)
        case int():
            out += _integer(value)
        case float():
            out += struct.pack(">Bd", 0xCB, value)
        case str():
            text = value.encode()
            out += bytes((0xA0 | len(text),)) if len(text) < 32 else _length(len(text), 0xD9)
            out += text
        case bytes():
            out += _length(len(value), 0xC4) + value
        case Moment(ns):
            seconds, rest = divmod(ns, _NS)
            if 0 <= seconds < 2**34:
                out += struct.pack(">BbQ", 0xD7, -1, rest << 34 | seconds)
            else:
                out += struct.pack(">BBbIq", 0xC7, 12, -1, rest, seconds)
        case Mapping():
            out += bytes((0x80 | len(value),)) if len(value) < 16 else _length(len(value), 0xDD, at_least=1)
            for key, item in value.items():
                _pack(key, out)
                _pack(item, out)
        case Sequence():
            out += bytes((0x90 | len(value),)) if len(value) < 16 else _length(len(value), 0xDB, at_least=1)
            for item in value:
                _pack(item, out)
        case _:
            raise TypeError(f"MessagePack has no {type(value).__name__}")


def _integer(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack(">b" if value < 0 else ">B", value)
    if value > 0:
        for form, code, end in _INTEGERS:
            if value < end:
                return struct.pack(form, code, value)
    for form, code, end in _NEGATIVES:
        if -end <= value < 0:
            return struct.pack(form, code, value)
    raise ValueError(f"{value} does not fit 64 bits")


def _length(size: int, first: int, *, at_least: int = 0) -> bytes:
    """Write a length under the code of its width; `first` is the code of one byte, whether it exists or not."""
    for width, (form, end) in enumerate(_LENGTHS):
        if width >= at_least and size < end:
            return struct.pack(form, first + width, size)
    raise ValueError(f"a length of {size} does not fit")


def unpack_messagepack(data: bytes) -> Any:
    """Read one value that is all of `data`; arrays are lists, timestamps `Moment`, other extensions (type, bytes).

    Raises
    ------
    DecodeError
        For any other bytes.
    """
    try:
        value, end = _unpack(data, 0, 0)
    except (IndexError, struct.error, UnicodeDecodeError, TypeError) as error:
        raise DecodeError(f"not MessagePack: {len(data)} bytes, {type(error).__name__} {error}") from error
    if end != len(data):
        raise DecodeError(f"not MessagePack: {len(data) - end} of {len(data)} bytes are left over")
    return value


def _unpack(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    code = data[at]
    at += 1
    if depth > _DEEPEST:
        raise DecodeError(f"not MessagePack: more than {_DEEPEST} levels nest")
    if code < 0x80 or code >= 0xE0:
        return code if code < 0x80 else code - 0x100, at
    if code < 0xC0:
        kind, size = ("map", code & 15) if code < 0x90 else ("array", code & 15) if code < 0xA0 else ("text", code & 31)
    elif code in _CONSTANTS:
        return _CONSTANTS[code], at
    elif code in _NUMBERS:
        form = _NUMBERS[code]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    elif code in _SIZED:
        kind, form = _SIZED[code]
        size, at = struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    elif 0xD4 <= code <= 0xD8:
        kind, size = "ext", 1 << (code - 0xD4)
    else:
        raise DecodeError(f"not MessagePack: byte {code:#x} begins nothing")
    if kind in ("array", "map"):
        found = []
        for _ in range(size * 2 if kind == "map" else size):
            value, at = _unpack(data, at, depth + 1)
            found.append(value)
        return (dict(zip(found[::2], found[1::2], strict=True)) if kind == "map" else found), at
    extension = data[at] - 0x100 * (data[at] > 127) if kind == "ext" else 0
    at += kind == "ext"
    body = data[at : at + size]
    if len(body) != size:
        raise DecodeError(f"not MessagePack: {size} bytes announced, {len(body)} are there")
    if kind == "text":
        return body.decode(), at + size
    if kind == "bytes":
        return body, at + size
    return _moment(body) if extension == -1 else (extension, body), at + size


def _moment(body: bytes) -> Moment:
    if len(body) == 4:
        return Moment(struct.unpack(">I", body)[0] * _NS)
    if len(body) == 8:
        (value,) = struct.unpack(">Q", body)
        return Moment((value & (2**34 - 1)) * _NS + (value >> 34))
    rest, seconds = struct.unpack(">Iq", body)
    return Moment(seconds * _NS + rest)
