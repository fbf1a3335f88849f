"""How the journal lies on the disk: chunks of fixed size, records within them.

Theory: a chunk is made of zeros before it is used, so its length never changes and one `fdatasync` covers a commit. It
begins with a header; records follow one another, each padded to 8 bytes, and none spans two chunks; the rest is zeros.
Every byte is therefore covered: by the header's checksum, by a record's (padding included), or by having to be zero. A
flipped bit is always seen, and so is a file that is shorter than its header says.

A record names its predecessor's hash, so that what is missing between two good ones is seen as well, and the run that
wrote it, so that ids minted by that run are still known to be ours when the record that began the run is damaged.

::

    chunk header (64 bytes)                        record (56 bytes, payload, zeros up to a multiple of 8)
      0  8  magic "DRGMJRNL"                         0  4  CRC-32C of all that follows, padding included
      8  4  version                                  4  4  length of the payload
     12  4  chunk number, from 1                     8  8  sequence, from 1, one more than the record before
     16  8  sequence of the first record            16  8  time, ns since the epoch, UTC
     24  8  size of the chunk                       24  4  epoch: which opening of the journal wrote it
     32  8  time it was begun, ns UTC               28  2  kind
     40 16  hash of the last record before it       30  5  run: the journal id of that epoch, ASCII
     56  4  zero                                    35  5  zero
     60  4  CRC-32C of the 60 bytes before          40 16  hash of the record before, zero for the first

Integers are little-endian, hashes 16-byte BLAKE2b of a whole record, payloads one JSON object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from struct import Struct
from typing import Any

import orjson

from dragoman._core import crc32c, journal_record

MAGIC = b"DRGMJRNL"
VERSION = 1
SUFFIX = ".journal"
DEFAULT_CHUNK = 4 * 1024 * 1024
SMALLEST_CHUNK = 1024

HEADER = Struct("<8sIIQQq16sI")
HEADER_SIZE = HEADER.size + 4
RECORD = Struct("<IIQqIH5s5x16s")
RECORD_SIZE = RECORD.size
NO_HASH = bytes(16)
_CRC = Struct("<I")


class Kind(IntEnum):
    """What a record tells.

    Attributes
    ----------
    OPEN
        An epoch begins: who opened the journal, what was found damaged.
    INTENT
        A request that is about to be sent.
    REPLY
        What the broker, or the transport, answered to one.
    STREAM
        An event of an order stream.
    POLL
        What a look at the broker's book showed.
    DECISION
        What was concluded: a resolution, an adoption, a refusal.
    SESSION
        Login, expiry, takeover.
    CLOSE
        The epoch ended properly.
    REFUSED
        A record that was refused before it was written (the disk was full): `kind` and `payload` tell which, and
        nothing was sent because of it.
    RULE
        What a rule watches for, and how far it got.
    CONTROL
        What is of the whole account: the kill switch was engaged or released, what margins and profit are.
    """

    OPEN = 1
    INTENT = 2
    REPLY = 3
    STREAM = 4
    POLL = 5
    DECISION = 6
    SESSION = 7
    CLOSE = 8
    REFUSED = 9
    RULE = 10
    CONTROL = 11

    @classmethod
    def _missing_(cls, value: object) -> Kind | None:
        # Written by a later version: kept under its number, since a journal is read for years.
        if not isinstance(value, int) or not 0 <= value < 1 << 16:
            return None
        member = int.__new__(cls, value)
        member._name_, member._value_ = f"KIND_{value}", value
        return member


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was written.

    Attributes
    ----------
    kind : Kind
    time_ns : int
        Wall clock, ns UTC.
    epoch, sequence : int
    journal_id : str
        Of the run that wrote it.
    payload : dict
    """

    kind: Kind
    time_ns: int
    epoch: int
    sequence: int
    journal_id: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChunkHeader:
    """The first bytes of a chunk; see the module's table."""

    number: int
    first_sequence: int
    size: int
    time_ns: int
    previous: bytes
    version: int = VERSION

    def packed(self) -> bytes:
        """Return its 64 bytes."""
        head = HEADER.pack(
            MAGIC, self.version, self.number, self.first_sequence, self.size, self.time_ns, self.previous, 0
        )
        return head + _CRC.pack(crc32c(head))


def read_header(data: bytes) -> ChunkHeader | None:
    """Return the header that a chunk begins with; None where those bytes are not one."""
    if len(data) < HEADER_SIZE:
        return None
    head = data[: HEADER.size]
    if _CRC.unpack_from(data, HEADER.size)[0] != crc32c(head):
        return None
    magic, version, number, first, size, time_ns, previous, zero = HEADER.unpack(head)
    if magic != MAGIC or zero != 0:
        return None
    return ChunkHeader(number, first, size, time_ns, previous, version)


def chunk_name(number: int) -> str:
    """Return the file name of a chunk."""
    return f"{number:08d}{SUFFIX}"


def chunk_number(name: str) -> int | None:
    """Return the number of the chunk with that file name; None where it is another file."""
    number = name.removesuffix(SUFFIX)
    if number == name or not (number.isascii() and number.isdigit()) or chunk_name(int(number)) != name:
        return None
    return int(number)


def record_hash(record: bytes | bytearray | memoryview) -> bytes:
    """Return the hash by which the next record names this one."""
    return blake2b(record, digest_size=16).digest()


def record_length(payload: bytes) -> int:
    """Return how many bytes a record with that payload takes."""
    return RECORD_SIZE + len(payload) + -len(payload) % 8


def encode_record(
    kind: int, payload: bytes, *, sequence: int, time_ns: int, epoch: int, run: bytes, previous: bytes
) -> bytes:
    """Return the bytes of a record."""
    return journal_record(kind, payload, sequence, time_ns, epoch, run, previous)[0]


def encode_payload(payload: Mapping[str, Any]) -> bytes:
    """Return a payload as JSON.

    Raises
    ------
    TypeError
        It holds something that JSON does not know; `dragoman.orders.journal.codec` makes the model's values plain.
    """
    try:
        return orjson.dumps(payload)
    except TypeError:
        # Text of others may hold halves of characters, which no file can; what is known is written down all the same.
        return orjson.dumps(_writable(payload))


def _writable(value: Any) -> Any:
    """Return a value with every half of a character spelled out."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_writable(key): _writable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(one) for one in value]
    return value
