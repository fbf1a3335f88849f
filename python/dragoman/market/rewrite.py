"""Quotes that a feed read in Python, made native batches: one path for all that listens, whatever the wire was.

The quote is written down in a layout of our own and decoded like any frame, so that books, batch handlers, ticks and
Arrow export see the same records as of a broker whose frames are decoded natively.
"""

from __future__ import annotations

import struct
from math import nan
from typing import TYPE_CHECKING, Final

from dragoman._core import FIELDS, Decoder
from dragoman.model import DepthLevel, Mode, Quote
from dragoman.plugin import Column, Field, Framing, Key, Levels, PackedLayout, PackedStream, Select, SideFlag, WirePart

if TYPE_CHECKING:
    from dragoman._core import Batch

_BEST: Final = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
_SLOTS: Final = (*_BEST, *(name for name in FIELDS if name in Quote.__dataclass_fields__))
_HEAD: Final = struct.Struct("<BxxxI")  # code, instrument handle
_VALUES: Final = struct.Struct(f"<{len(_SLOTS)}dqq")  # the slots, ts_event, last_trade_time
_LEVEL: Final = struct.Struct("<BxxxIdd")  # side, orders, price, quantity
_SIZE: Final = _HEAD.size + _VALUES.size
_TIMES: Final = _SIZE - 16
_BID, _ASK = 0, 1
_DEPTH_CODE: Final = 3
_CODES: Final = {Mode.LTP: 0, Mode.QUOTE: 1, Mode.FULL: 2}

_FIELDS: Final = (
    *(Field(name, "f64", _HEAD.size + 8 * position) for position, name in enumerate(_SLOTS)),  # absent: NaN
    Field("ts_event", "i64", _TIMES, unit="ns", absent=0),
    Field("last_trade_time", "i64", _TIMES + 8, unit="ns", absent=0),
)
_LEVELS: Final = Levels(
    SideFlag("u8", _SIZE, _BID, _ASK),
    "rest",
    Column("f64", _SIZE + 8),
    Column("f64", _SIZE + 16),
    Column("u32", _SIZE + 4),
    stride=_LEVEL.size,
)
_KEY: Final = Key(WirePart("u32", 4))
STREAM: Final = PackedStream(
    "dragoman-quote",
    "little",
    Framing.single(),
    Select.by_code(WirePart("u8", 0)),
    layouts=(
        PackedLayout("ltp", _SIZE, _KEY, _FIELDS, code=0, mode="ltp"),
        PackedLayout("quote", _SIZE, _KEY, _FIELDS, code=1, mode="quote"),
        PackedLayout("full", _SIZE, _KEY, _FIELDS, code=2, mode="full"),
        PackedLayout("depth", _SIZE, _KEY, _FIELDS, (_LEVELS,), code=_DEPTH_CODE, mode="full", grows=True),
    ),
)


class QuoteWriter:
    """Makes batches of quotes."""

    def __init__(self) -> None:
        self._decoder: Decoder | None = None
        self._bound: set[int] = set()

    def batch(self, quote: Quote, handle: int, ts_recv: int, *, depth: bool) -> Batch:
        """Return a quote as a batch of one record.

        Parameters
        ----------
        handle : int
            Of its instrument.
        ts_recv : int
            When it came, ns UTC; the quote's own goes first.
        depth : bool
            Whether its mode FULL brings a book, be it an empty one.
        """
        if self._decoder is None:
            self._decoder = Decoder(STREAM.compile())
        if handle not in self._bound:
            self._decoder.bind(handle, handle)
            self._bound.add(handle)
        with_book = depth and quote.mode is Mode.FULL
        best = (value for side in (quote.bids, quote.asks) for value in (side[0][:2] if side else (nan, nan)))
        more = (nan if (value := getattr(quote, name)) is None else value for name in _SLOTS[len(_BEST) :])
        parts = [
            _HEAD.pack(_DEPTH_CODE if with_book else _CODES[quote.mode], handle),
            _VALUES.pack(*best, *more, quote.ts_event or 0, quote.last_trade_time or 0),
        ]
        if with_book:
            parts += (_level(_BID, level) for level in quote.bids)
            parts += (_level(_ASK, level) for level in quote.asks)
        return self._decoder.decode(b"".join(parts), ts_recv if quote.ts_recv is None else quote.ts_recv)


def _level(side: int, level: DepthLevel) -> bytes:
    return _LEVEL.pack(side, level.orders or 0, level.price, level.quantity)
