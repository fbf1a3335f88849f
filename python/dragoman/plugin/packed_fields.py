"""Fields that most packed layouts of market data have: prices of the layout's scale, counts, times in seconds."""

from __future__ import annotations

from dragoman.plugin.layout import Field, WireType


def price(to: str, offset: int) -> Field:
    """A price, signed: commodities have gone below zero."""
    return Field(to, "i32", offset, scaled=True)


def count(to: str, offset: int) -> Field:
    """A quantity or a total. Unsigned, as totals of a busy day need the bit."""
    return Field(to, "u32", offset)


def seconds(to: str, offset: int, type: WireType = "u32") -> Field:
    """A time in epoch seconds; 0 is none yet."""
    return Field(to, type, offset, unit="s", absent=0)
