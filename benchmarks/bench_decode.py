"""How fast are broker frames decoded, from Python, against the broker's own SDK and a decoder written by hand?"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.build import handwritten
from benchmarks.frames import TOKENS, frame
from benchmarks.measure import Row, alternate, faster, share
from dragoman._core import Decoder, intern_instrument
from dragoman.plugin.registry import load_adapter

TITLE = "Decoding ticks"
METHOD = (
    "Generated frames of 8 (ltp), 44 (quote) and 184 byte (full) packets. Before anything is timed, every field and"
    " level is compared with the peer's. The SDK row times its parser method on the same bytes. The hand-written"
    " decoder (benchmarks/handwritten, same compiler flags) makes the same records; it is compared on frames of 400"
    " packets, where the call from Python costs nothing."
)
SDK_GOALS = {("full", 50): 400.0, ("full", 1): 60.0}
HAND_GOALS = {"full": 1.4, "ltp": 1.3, "quote": 1.8}


def made_frame(kind: str, count: int) -> bytes:
    return frame(kind, TOKENS[:count], random.Random(1))


def decoder() -> Decoder:
    made = Decoder(load_adapter("zerodha").feed("market").layouts.compile())  # type: ignore[union-attr]
    for token in TOKENS[:400]:
        made.bind(token, intern_instrument(f"NSE:T{token}"))
    return made


def sdk_parser() -> Callable[[bytes], list[dict[str, Any]]]:
    peers.add("kiteconnect==5.2.2")
    from kiteconnect import KiteTicker  # type: ignore[import-not-found]

    parser: Callable[[bytes], list[dict[str, Any]]] = KiteTicker("key", "token")._parse_binary
    return parser


OHLC = {"open": "open", "high": "high", "low": "low", "close": "previous_close"}
SDK_NAMES = {
    "last_price": "last_price",
    "last_traded_quantity": "last_quantity",
    "average_traded_price": "average_price",
    "volume_traded": "volume",
    "total_buy_quantity": "total_buy_quantity",
    "total_sell_quantity": "total_sell_quantity",
    "oi": "oi",
    "oi_day_high": "oi_high",
    "oi_day_low": "oi_low",
}


def check_against_sdk(data: bytes, parse: Callable[[bytes], list[dict[str, Any]]]) -> None:
    """Fail unless both read the same values, to the last bit: both divide."""
    batch = decoder().decode(data)
    theirs = parse(data)
    assert len(batch) == len(theirs)
    for index, (tick, row) in enumerate(zip(batch, theirs, strict=True)):
        ours = tick.as_dict()
        assert tick.key == row["instrument_token"]
        for name, slot in SDK_NAMES.items():
            assert name not in row or ours[slot] == row[name], (name, ours[slot], row[name])
        for name, slot in OHLC.items():
            assert "ohlc" not in row or ours[slot] == row["ohlc"][name]
        if "depth" in row:
            sides = batch.levels(index)
            for levels, side in zip(sides, ("buy", "sell"), strict=True):
                assert [(x["price"], x["quantity"], x["orders"]) for x in row["depth"][side]] == list(levels)


def check_against_hand(data: bytes, hand: Any) -> None:
    """Fail unless both make the same records and levels, bit for bit but for the layout's index and NaN payloads."""
    made = decoder()
    batch = made.decode(data, 5)
    for token in TOKENS[:400]:
        hand.bind(token, intern_instrument(f"NSE:T{token}"))
    records, levels = hand.arrays(*hand.decode(data, 5))
    theirs = np.frombuffer(records, dtype=batch.records.dtype)
    assert len(theirs) == len(batch.records)
    for name in theirs.dtype.names or ():
        if name != "layout":
            np.testing.assert_array_equal(theirs[name], batch.records[name], err_msg=name)
    np.testing.assert_array_equal(np.frombuffer(levels, dtype=batch.level_ops.dtype), batch.level_ops)


def run() -> list[Row]:
    """Compare, then time."""
    parse, hand, made = sdk_parser(), handwritten(), decoder()
    rows = []
    for kind in ("full", "quote", "ltp"):
        for count in (50, 1):
            data = made_frame(kind, count)
            check_against_sdk(data, parse)
            ours, theirs = alternate(lambda d=data: made.decode(d), lambda d=data: parse(d))  # type: ignore[misc]
            goal = SDK_GOALS.get((kind, count))
            rows.append(faster(f"frame of {count} {kind}", ours, "official SDK parser", theirs, goal))
    for kind in ("full", "quote", "ltp"):
        data = made_frame(kind, 400)
        check_against_hand(data, hand)
        ours, theirs = alternate(
            lambda d=data: made.decode(d, 5),  # type: ignore[misc]
            lambda d=data: hand.decode(d, 5),  # type: ignore[misc]
            rounds=25,
        )
        rows.append(share(f"frame of 400 {kind}", ours, "hand-written C++", theirs, HAND_GOALS[kind]))
    return rows
