"""How fast is a protobuf feed decoded, from Python, against the broker's own SDK and a decoder written by hand?"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
from dragoman.adapters.upstox.feed import STREAM

from benchmarks import peers
from benchmarks.build import handwritten
from benchmarks.measure import Row, alternate, faster, share
from dragoman._core import Decoder, intern_instrument
from dragoman.emulator.encode_protobuf import proto_field, proto_map, proto_message
from dragoman.plugin import ProtoStream

TITLE = "Decoding a protobuf feed"
METHOD = (
    "Generated messages of full feeds (5 levels, greeks, two candles) and of last prices. Before anything is timed,"
    " every field and level is compared with the peer's. The SDK rows use the adapter's own layout, which merges, and"
    " time what the SDK's feeder does with a message: `FeedResponse` and `MessageToDict`. The hand-written decoder"
    " (benchmarks/handwritten, same compiler flags) knows every field number at compile time, checks every bound and"
    " makes the same records and levels, but keeps no counters; it is compared on messages of 400 instruments, where"
    " the call from Python costs nothing. Ours tries whether keys come in the order of the last message before it"
    " hashes them, the hand-written one always hashes: so there are rows where each message has another order."
)
SDK_GOALS = {("full", 20): 150.0}
HAND_GOAL = 1.6
KEYS = [f"NSE_FO|{45000 + index}" for index in range(400)]
NOW_MS = 1_753_327_800_456


def feed(kind: str, random_: random.Random) -> bytes:
    """Make the fields of one instrument's feed with plausible numbers."""
    price = random_.randint(5_000, 50_000) / 20
    trade = proto_field(1, "double", price) + proto_field(2, "int64", NOW_MS - random_.randint(1, 5000))
    trade += proto_field(3, "int64", 75 * random_.randint(1, 20)) + proto_field(4, "double", price - 7.1)
    if kind == "ltpc":
        return proto_message(1, trade) + b""
    rows = [
        proto_message(
            1,
            proto_field(1, "int64", 75 * random_.randint(1, 400)),
            proto_field(2, "double", round(price - at / 20, 2)),
            proto_field(3, "int64", 75 * random_.randint(1, 400)),
            proto_field(4, "double", round(price + (at + 1) / 20, 2)),
        )
        for at in range(5)
    ]
    greeks = [proto_field(at, "double", random_.uniform(-5, 5)) for at in range(1, 6)]
    candles = [
        proto_message(
            1,
            proto_field(1, "string", interval),
            proto_field(2, "double", price - 3),
            proto_field(3, "double", price + 4),
            proto_field(4, "double", price - 5),
            proto_field(5, "double", price),
            proto_field(6, "int64", random_.randint(1, 10**7)),
            proto_field(7, "int64", NOW_MS),
        )
        for interval in ("1d", "I1")
    ]
    full = [proto_message(1, trade), proto_message(2, *rows), proto_message(3, *greeks), proto_message(4, *candles)]
    full += [proto_field(5, "double", price + 0.8), proto_field(6, "int64", random_.randint(1, 10**7))]
    full += [proto_field(at, "double", float(random_.randint(1, 10**6))) for at in (7, 9, 10)]
    full += [proto_field(8, "double", 0.12)]
    return proto_message(2, proto_message(1, *full)) + proto_field(4, "enum", 1)


def frame(kind: str, count: int, seed: int = 1, *, shuffle: bool = False) -> bytes:
    """Make a message of `count` instruments."""
    random_ = random.Random(seed)
    keys = random_.sample(KEYS[:count], count) if shuffle else KEYS[:count]
    feeds = {key: feed(kind, random_) for key in keys}
    return proto_field(1, "enum", 1) + proto_map(2, feeds) + proto_field(3, "int64", NOW_MS)


def bound(layouts: ProtoStream) -> Decoder:
    made = Decoder(layouts.compile())
    for key in KEYS:
        made.bind_text(key.encode(), intern_instrument(f"NFO:{key[7:]}"))
    return made


def decoder() -> Decoder:
    """Return one that merges nothing, as the hand-written does not."""
    return bound(dataclasses.replace(STREAM, merge=False))


def sdk_parser() -> Callable[[bytes], dict[str, Any]]:
    peers.add("upstox-python-sdk==2.30.0")
    from google.protobuf import json_format  # type: ignore[import-untyped]
    from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as schema  # type: ignore[import-not-found]

    def parse(data: bytes) -> dict[str, Any]:
        # As upstox_client/feeder/market_data_streamer_v3.py handles a message.
        found: dict[str, Any] = json_format.MessageToDict(schema.FeedResponse.FromString(data))
        return found

    return parse


FULL = {"average_price": "atp", "oi": "oi", "total_buy_quantity": "tbq", "total_sell_quantity": "tsq"}
CANDLE = {"open": "open", "high": "high", "low": "low", "session_close": "close"}


def check_against_sdk(data: bytes, parse: Callable[[bytes], dict[str, Any]]) -> None:
    """Fail unless both read the same values, to the last bit."""
    batch = bound(STREAM).decode(data)
    theirs = parse(data)
    assert len(batch) == len(theirs["feeds"])
    for index, tick in enumerate(batch):
        row = theirs["feeds"][KEYS[tick.instrument - batch[0].instrument]]
        full = row.get("fullFeed", {}).get("marketFF")
        trade = row["ltpc"] if full is None else full["ltpc"]
        ours = tick.as_dict()
        assert ours["ts_event"] == int(theirs["currentTs"]) * 1_000_000
        assert ours["last_trade_time"] == int(trade["ltt"]) * 1_000_000
        assert (ours["last_price"], ours["previous_close"]) == (trade["ltp"], trade["cp"])
        assert ours["last_quantity"] == int(trade["ltq"])
        if full is None:
            continue
        assert all(ours[slot] == full[name] for slot, name in FULL.items())
        assert ours["volume"] == int(full["vtt"])
        (day,) = (candle for candle in full["marketOHLC"]["ohlc"] if candle["interval"] == "1d")
        assert all(ours[slot] == day[name] for slot, name in CANDLE.items())
        quotes = full["marketLevel"]["bidAskQuote"]
        bids = tuple((quote["bidP"], float(quote["bidQ"]), 0) for quote in quotes)
        asks = tuple((quote["askP"], float(quote["askQ"]), 0) for quote in quotes)
        assert batch.levels(index) == (bids, asks)


def check_against_hand(data: bytes, hand: Any) -> None:
    """Fail unless both make the same records and levels, bit for bit but for the layout's index and NaN payloads."""
    batch = decoder().decode(data, 5)
    for key in KEYS:
        hand.bind(key.encode(), intern_instrument(f"NFO:{key[7:]}"))
    records, levels = hand.arrays(*hand.decode(data, 5))
    theirs = np.frombuffer(records, dtype=batch.records.dtype)
    assert len(theirs) == len(batch.records)
    for name in theirs.dtype.names or ():
        if name != "layout":
            np.testing.assert_array_equal(theirs[name], batch.records[name], err_msg=name)
    np.testing.assert_array_equal(np.frombuffer(levels, dtype=batch.level_ops.dtype), batch.level_ops)


def run() -> list[Row]:
    """Compare, then time."""
    parse, hand = sdk_parser(), handwritten("protobuf_decoder")
    merging, made = bound(STREAM), decoder()
    rows = []
    for kind in ("full", "ltpc"):
        for count in (20, 1):
            data = frame(kind, count)
            check_against_sdk(data, parse)
            ours, theirs = alternate(lambda d=data: merging.decode(d), lambda d=data: parse(d))  # type: ignore[misc]
            goal = SDK_GOALS.get((kind, count))
            rows.append(faster(f"message of {count} {kind}", ours, "official SDK", theirs, goal))
    for kind in ("full", "ltpc"):
        data = frame(kind, 400)
        check_against_hand(data, hand)
        ours, theirs = alternate(
            lambda d=data: made.decode(d, 5),  # type: ignore[misc]
            lambda d=data: hand.decode(d, 5),  # type: ignore[misc]
            rounds=25,
        )
        rows.append(share(f"message of 400 {kind}", ours, "hand-written C++", theirs, HAND_GOAL))
        frames = [frame(kind, 400, seed, shuffle=True) for seed in range(8)]
        for data in frames:
            check_against_hand(data, hand)
        turns = cycle(frames), cycle(frames)
        ours, theirs = alternate(
            lambda turn=turns[0]: made.decode(next(turn), 5),  # type: ignore[misc]
            lambda turn=turns[1]: hand.decode(next(turn), 5),  # type: ignore[misc]
            rounds=25,
        )
        rows.append(share(f"message of 400 {kind}, in another order each", ours, "hand-written C++", theirs, HAND_GOAL))
    return rows
