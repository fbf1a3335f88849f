"""Kite ticker frames with plausible numbers: what the feed benchmarks decode, send and count."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

SIZES = {"ltp": 8, "quote": 44, "full": 184}
TOKENS = tuple(index * 256 + 1 for index in range(1, 3001))
"""Instrument tokens of the segment NSE, whose prices are in paise."""


def packet(kind: str, token: int, random_: random.Random, tick: int = 5, price: int = 0) -> bytes:
    """Make one packet: a last price, random unless given, a multiple of `tick` paise, and what the kind has besides."""
    price = price or tick * random_.randint(50_000 // tick, 500_000 // tick)
    words = [price, random_.randint(1, 500), price - 10 * tick, random_.randint(1, 10**7), 10**6, 2 * 10**6]
    words += [price - 20 * tick, price + 80 * tick, price - 60 * tick, price - 4 * tick]
    body = struct.pack(">I", token) + struct.pack(f">{len(words)}i", *words)
    if kind != "full":
        return body[: SIZES[kind]]
    body += struct.pack(">5i", 1_767_600_000, 1000, 2000, 500, 1_767_600_001)
    for side in (-tick, tick):
        for level in range(1, 6):
            body += struct.pack(">iiHxx", random_.randint(1, 900), price + side * level, random_.randint(1, 40))
    return body


def frame(kind: str, tokens: Sequence[int], random_: random.Random, tick: int = 5) -> bytes:
    """Make a frame of one packet for each token."""
    packets = [packet(kind, token, random_, tick) for token in tokens]
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(p)) + p for p in packets)


def stream(instruments: int, per_frame: int, *, kind: str = "full", frames: int = 200, seed: int = 1) -> list[bytes]:
    """Make frames that go round `instruments` again and again, `per_frame` ticks in each, none like another.

    All prices are multiples of 0.25, so that sums of them are exact and the order of adding does not matter.
    """
    random_, made, at = random.Random(seed), [], 0
    for _ in range(max(frames, -(-instruments // per_frame))):
        made.append(frame(kind, [TOKENS[(at + i) % instruments] for i in range(per_frame)], random_, 25))
        at += per_frame
    return made


def master(instruments: int) -> bytes:
    """Return the instrument dump that lists `TOKENS`."""
    header = (
        "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
        "instrument_type,segment,exchange"
    )
    rows = [f"{token},{token >> 8},T{token},SHARE {token},0.0,,0.0,0.05,1,EQ,NSE,NSE" for token in TOKENS[:instruments]]
    return "\n".join([header, *rows, ""]).encode()
