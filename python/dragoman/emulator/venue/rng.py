"""Seeded randomness of the venue: whole numbers only, so that a seed gives the same market on every machine."""

from __future__ import annotations

from zlib import crc32

MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def mix64(value: int) -> int:
    """Return 64 well-mixed bits of `value` (the finaliser of splitmix64)."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def salt(seed: int, text: str) -> int:
    """Return 64 bits that depend on `seed` and `text` only; Python's own ``hash`` differs from run to run."""
    return mix64((seed * _GOLDEN + crc32(text.encode())) & MASK)


class Rng:
    """A stream of 64-bit words (splitmix64): state is one integer, every seed has the full period."""

    __slots__ = ("state",)

    def __init__(self, seed: int) -> None:
        self.state = mix64(seed & MASK)

    def bits(self) -> int:
        """Return the next 64 bits."""
        self.state = state = (self.state + _GOLDEN) & MASK
        return mix64(state)

    def below(self, limit: int) -> int:
        """Return an integer in [0, `limit`)."""
        return (self.bits() * limit) >> 64

    def between(self, low: int, high: int) -> int:
        """Return an integer in [`low`, `high`]."""
        return low + self.below(high - low + 1)
