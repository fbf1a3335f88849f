"""Names of our orders: the client order id, and the wire id that travels in the broker's tag.

A wire id is 12 base-32 characters: 5 of the journal (this client's run), 5 of a sequence, 2 of a check over both. The
check tells our own tags from anybody else's when an order book is read after a lost reply.
"""

from __future__ import annotations

from zlib import crc32

from dragoman._core import IdMint

__all__ = ["ALPHABET", "WIRE_ID_LENGTH", "IdMint", "journal_id_of", "read_wire_id", "run_of"]

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: brokers upper-case tags, humans misread them
_INDEX = {letter: value for value, letter in enumerate(ALPHABET)}
_JOURNAL, _SEQUENCE, _CHECK = 5, 5, 2
WIRE_ID_LENGTH = _JOURNAL + _SEQUENCE + _CHECK


def _encode(value: int, width: int) -> str:
    letters = []
    for _ in range(width):
        value, low = divmod(value, 32)
        letters.append(ALPHABET[low])
    return "".join(reversed(letters))


def _decode(text: str) -> int | None:
    value = 0
    for letter in text:
        digit = _INDEX.get(letter)
        if digit is None:
            return None
        value = value * 32 + digit
    return value


def _check(head: str) -> str:
    return _encode(crc32(head.encode()) & 0x3FF, _CHECK)


def read_wire_id(tag: str | None) -> str | None:
    """Return the wire id that `tag` begins with, or None where it is not one of ours."""
    if tag is None or len(tag) < WIRE_ID_LENGTH:
        return None
    head, check = tag[: _JOURNAL + _SEQUENCE], tag[_JOURNAL + _SEQUENCE : WIRE_ID_LENGTH]
    if _decode(head) is None or _check(head) != check:
        return None
    return head + check


def run_of(wire_id: str) -> str:
    """Return the name of the run that minted a wire id."""
    return wire_id[:_JOURNAL]


def journal_id_of(entropy: bytes) -> str:
    """Return the name of a run: 25 of the bits of `entropy`, which has at least 4 random bytes."""
    return _encode(int.from_bytes(entropy[:4], "big") & 0x1FF_FFFF, _JOURNAL)
