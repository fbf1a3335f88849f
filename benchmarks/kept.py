"""Measure what kept things weigh, in a process of its own: ``python -m benchmarks.kept WHAT COUNT`` prints bytes each.

The figure is the growth of the resident set, so it holds whatever the allocators need on top; what `tracemalloc` does
not see (raw native memory) is in it too. The list that keeps the things is made before, and not counted.
"""

from __future__ import annotations

import gc
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.frames import stream

PAGE = 4096


def resident() -> int:
    """Return the resident set of this process in bytes."""
    gc.collect()
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * PAGE


def filled(count: int, make: Callable[[int], Any]) -> float:
    """Return by how many bytes the process grows for each thing it keeps."""
    for at in range(1000):  # what is loaded and pooled at the first calls is not theirs
        make(at)
    kept: list[Any] = [None] * count
    before = resident()
    for at in range(count):
        kept[at] = make(at)
    return (resident() - before) / count


def ticks(count: int) -> float:
    """Ticks as the library gives them: values, each from another frame."""
    from benchmarks.bench_decode import decoder

    made, frames = decoder(), stream(50, 1)
    return filled(count, lambda at: made.decode(frames[at % len(frames)], at)[0])


def dicts(count: int) -> float:
    """Ticks as the official SDK gives them."""
    from benchmarks.bench_decode import sdk_parser

    parse, frames = sdk_parser(), stream(50, 1)
    return filled(count, lambda at: parse(frames[at % len(frames)])[0])


def levels(count: int) -> float:
    """Levels of live books with five a side, as one stream fills them; `count` books, the figure is of a level."""
    import struct

    from dragoman._core import Books, Decoder, intern_instrument
    from dragoman.plugin.registry import load_adapter

    layouts = load_adapter("zerodha").feed("market").layouts
    assert layouts is not None
    made, books, frame = Decoder(layouts.compile()), Books(), stream(1, 1)[0]
    tokens = [at * 256 + 1 for at in range(1, count + 1001)]
    for token in tokens:
        made.bind(token, intern_instrument(f"NSE:T{token}"))

    def fill(some: list[int]) -> None:
        for token in some:
            books.apply(made.decode(frame[:4] + struct.pack(">I", token) + frame[8:], 1))

    fill(tokens[:1000])
    before = resident()
    fill(tokens[1000:])
    return (resident() - before) / count / 10


WHAT = {"ticks": ticks, "dicts": dicts, "levels": levels}


if __name__ == "__main__":
    print(WHAT[sys.argv[1]](int(sys.argv[2])))
