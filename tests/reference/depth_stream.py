"""A made-up depth feed, so that books can be tested through the real decoder and no broker is named."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from dragoman._core import Batch, Decoder, intern_instrument
from dragoman.plugin.layout import (
    Column,
    Field,
    Framing,
    Key,
    Levels,
    PackedLayout,
    PackedStream,
    Part,
    Select,
    SideFlag,
)
from reference.book import Message

_HEAD = struct.Struct("<IBxxxIxxxxqqqHxxxxxx")
_ROW = struct.Struct("<ddIBxxx")
_ABSENT = -1

_FIELDS = (
    Field("sequence", "i64", 16, absent=_ABSENT),
    Field("prev_sequence", "i64", 24, absent=_ABSENT),
    Field("ts_event", "i64", 32, unit="ns", absent=_ABSENT),
)
_LEVELS = Levels(
    side=SideFlag("u8", _HEAD.size + 20, bid=0, ask=1),
    rows=Part("u16", 40),
    price=Column("f64", _HEAD.size),
    quantity=Column("f64", _HEAD.size + 8),
    orders=Column("u32", _HEAD.size + 16),
    stride=_ROW.size,
    max_rows=4096,
    empty="none",
)


def _layout(name: str, code: int) -> PackedLayout:
    key = Key(Part("u32", 8))
    return PackedLayout(name, _HEAD.size, key, _FIELDS, (_LEVELS,), code=code, kind=name, mode="full", grows=True)  # type: ignore[arg-type]


STREAM = PackedStream(
    "depth",
    "little",
    Framing.back_to_back(length_at=Part("u32", 0)),
    Select.by_code(Part("u8", 4)),
    layouts=(_layout("depth_snapshot", 1), _layout("depth_delta", 2)),
)


def encode(message: Message, ts_event: int | None = None) -> bytes:
    """Return one packet. The wire key of instrument n is ``n + 1000``."""
    rows = b"".join(_ROW.pack(price, qty, orders, side == "ask") for side, price, qty, orders in message.levels)
    numbers = [_ABSENT if n is None else n for n in (message.sequence, message.prev_sequence, ts_event)]
    code = 1 if message.snapshot else 2
    head = _HEAD.pack(_HEAD.size + len(rows), code, message.instrument + 1000, *numbers, len(message.levels))
    return head + rows


class DepthFeed:
    """Turns messages into batches. Instruments ``0 .. bound - 1`` of the test are bound to `handles`."""

    def __init__(self, bound: int = 4) -> None:
        self.handles = [intern_instrument(f"TEST:BOOK{n}") for n in range(bound)]
        self.decoder = Decoder(STREAM.compile())
        for n, handle in enumerate(self.handles):
            self.decoder.bind(n + 1000, handle)

    def batch(self, messages: Iterable[Message], ts_recv: int = 0, ts_event: int | None = None) -> Batch:
        return self.decoder.decode(b"".join(encode(message, ts_event) for message in messages), ts_recv)
