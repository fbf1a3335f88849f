"""How fast are JSON messages decoded, from Python, against a typed JSON library and a decoder written by hand?"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.build import handwritten
from benchmarks.measure import Row, alternate, faster, share
from dragoman._core import Decoder, intern_instrument
from dragoman.plugin import JsonField, JsonKey, JsonLayout, JsonLevels, JsonStream, JsonWhen

TITLE = "Decoding JSON"
METHOD = (
    "Generated messages in the shape of a crypto exchange's depth updates and of a stock feed's arrays of quotes and"
    " trades. Before anything is timed, values and levels are compared with the peer's. msgspec decodes into typed"
    " structs, which leaves prices that are text as text; here they are numbers. The hand-written decoder"
    " (benchmarks/handwritten, same compiler flags) knows the keys and their order; it is compared on arrays of 200"
    " messages, where the call from Python costs nothing. Ours takes any order, and is faster where a message has the"
    " keys of one before in the same order. Shuffled: the keys of each message are in random order, for us alone."
)
LONG_GOAL, SHORT_GOAL, HAND_GOAL, SHUFFLED_GOAL = 2.0, 1.3, 2.0, 3.0
NAMES = ["SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT", "BTCUSDT", "ETHUSDT"]

STREAM = JsonStream(
    "bench",
    layouts=(
        JsonLayout(
            "depth",
            when=(JsonWhen.equals("e", "depthUpdate"),),
            key=JsonKey("s"),
            kind="depth_delta",
            fields=(
                JsonField("ts_event", "E", unit="ms"),
                JsonField("last_trade_time", "T", unit="ms"),
                JsonField("sequence", "u"),
                JsonField("prev_sequence", "pu"),
            ),
            levels=(JsonLevels("bid", "b"), JsonLevels("ask", "a")),
        ),
        JsonLayout(
            "quote",
            when=(JsonWhen.equals("T", "q"),),
            key=JsonKey("S"),
            fields=(
                JsonField("bid_price", "bp"),
                JsonField("bid_quantity", "bs"),
                JsonField("ask_price", "ap"),
                JsonField("ask_quantity", "as"),
                JsonField("ts_event", "t", unit="rfc3339"),
            ),
        ),
        JsonLayout(
            "trade",
            when=(JsonWhen.equals("T", "t"),),
            key=JsonKey("S"),
            kind="trade",
            fields=(
                JsonField("last_price", "p"),
                JsonField("last_quantity", "s"),
                JsonField("last_trade_time", "t", unit="rfc3339"),
                JsonField("sequence", "i"),
            ),
        ),
    ),
)


def depth(dice: random.Random, levels: int) -> dict[str, Any]:
    stamp = 1_626_992_741_000 + dice.randint(0, 10**6)
    first = 600_859_599_090 + dice.randint(0, 10**8)
    sides = [
        [[f"{dice.randint(70_000, 79_999) / 10_000:.4f}", str(dice.randint(0, 9999))] for _ in range(count)]
        for count in (levels // 2, levels - levels // 2)
    ]
    return {
        "e": "depthUpdate",
        "E": stamp,
        "T": stamp - 13,
        "s": dice.choice(NAMES),
        "U": first,
        "u": first + 1827,
        "pu": first - 1029,
        "b": sides[0],
        "a": sides[1],
    }


def stock(dice: random.Random) -> dict[str, Any]:
    price = dice.randint(8_000, 20_000) / 100
    stamp = f"2021-02-22T15:{dice.randint(10, 59)}:{dice.randint(10, 59)}.{dice.randint(10**8, 10**9 - 1)}Z"
    if dice.random() < 0.7:
        quote = {"T": "q", "S": dice.choice(NAMES), "bx": "U", "bp": price, "bs": dice.randint(1, 20), "ax": "Q"}
        return {**quote, "ap": round(price + 0.02, 2), "as": dice.randint(1, 20), "t": stamp, "c": ["R"], "z": "C"}
    trade = {"T": "t", "i": dice.randint(1, 10**8), "S": dice.choice(NAMES), "x": "D", "p": price}
    return {**trade, "s": dice.randint(1, 500), "t": stamp, "c": ["@", "I"], "z": "C"}


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def shuffled(messages: list[dict[str, Any]], dice: random.Random) -> list[dict[str, Any]]:
    return [dict(dice.sample(list(message.items()), len(message))) for message in messages]


def decoder() -> Decoder:
    made = Decoder(STREAM.compile())
    for name in NAMES:
        made.bind_text(name.encode(), intern_instrument(f"BENCH:{name}"))
    return made


def typed() -> tuple[Callable[[bytes], Any], Callable[[bytes], Any]]:
    """Return msgspec's decoders of one depth message and of an array of quotes and trades."""
    peers.add("msgspec==0.20.0")
    import msgspec  # type: ignore[import-not-found]

    pairs = list[tuple[str, str]]
    names = [("E", int), ("T", int), ("s", str), ("U", int), ("u", int), ("pu", int), ("b", pairs), ("a", pairs)]
    depth_type = msgspec.defstruct("Depth", [("e", str), *names], gc=False)
    head = [("S", str), ("t", str), ("c", list[str]), ("z", str)]
    quote_fields = [("bx", str), ("bp", float), ("bs", float), ("ax", str), ("ap", float), ("as_", float)]
    quote_type = msgspec.defstruct(
        "Quote", [*head, *quote_fields], tag_field="T", tag="q", rename={"as_": "as"}, gc=False
    )
    trade_fields = [("i", int), ("x", str), ("p", float), ("s", float)]
    trade_type = msgspec.defstruct("Trade", [*head, *trade_fields], tag_field="T", tag="t", gc=False)
    stock_type = list[quote_type | trade_type]  # type: ignore[valid-type]
    return msgspec.json.Decoder(depth_type).decode, msgspec.json.Decoder(stock_type).decode


def check_depth(data: bytes, decode: Callable[[bytes], Any]) -> None:
    """Fail unless both read the same numbers and levels."""
    batch, theirs = decoder().decode(data), decode(data)
    row = batch.records[0]
    assert len(batch) == 1
    assert (row["ts_event"], row["sequence"]) == (theirs.E * 1_000_000, theirs.u)
    rows = [(float(price), float(quantity)) for price, quantity in (*theirs.b, *theirs.a)]
    assert [(float(x["price"]), float(x["quantity"])) for x in batch.level_ops] == rows


def check_stock(data: bytes, decode: Callable[[bytes], Any]) -> None:
    """Fail unless both read the same prices and quantities."""
    batch, theirs = decoder().decode(data), decode(data)
    assert len(batch) == len(theirs)
    for row, other in zip(batch.records, theirs, strict=True):
        if hasattr(other, "bp"):
            assert (row["bid_price"], row["ask_price"], row["bid_quantity"]) == (other.bp, other.ap, other.bs)
        else:
            assert (row["last_price"], row["last_quantity"], row["sequence"]) == (other.p, other.s, other.i)


def check_against_hand(data: bytes, hand: Any) -> None:
    """Fail unless both make the same records and levels, bit for bit but for the layout's index and NaN payloads."""
    batch = decoder().decode(data, 5)
    for name in NAMES:
        hand.bind(name.encode(), intern_instrument(f"BENCH:{name}"))
    records, levels = hand.arrays(*hand.decode(data, 5))
    theirs = np.frombuffer(records, dtype=batch.records.dtype)
    assert len(theirs) == len(batch.records)
    for name in theirs.dtype.names or ():
        if name != "layout":
            np.testing.assert_array_equal(theirs[name], batch.records[name], err_msg=name)
    np.testing.assert_array_equal(np.frombuffer(levels, dtype=batch.level_ops.dtype), batch.level_ops)


def run() -> list[Row]:
    """Compare, then time."""
    dice, made, hand = random.Random(1), decoder(), handwritten("json_decoder")
    decode_depth, decode_stock = typed()
    rows = []
    single = [(f"depth update of {levels} levels", dump(depth(dice, levels))) for levels in (2, 6, 20, 100)]
    arrays = [(f"array of {count} quotes and trades", dump([stock(dice) for _ in range(count)])) for count in (1, 10)]
    for pool, decode, check in ((single, decode_depth, check_depth), (arrays, decode_stock, check_stock)):
        for name, data in pool:
            check(data, decode)
            ours, theirs = alternate(lambda d=data: made.decode(d, 5), lambda d=data, f=decode: f(d))  # type: ignore[misc]
            goal = LONG_GOAL if len(data) >= 200 else SHORT_GOAL
            rows.append(faster(f"{name}, {len(data)} bytes", ours, "msgspec typed", theirs, goal))
    for name, messages in (
        ("depth updates of 10 levels", [depth(dice, 10) for _ in range(200)]),
        ("quotes and trades", [stock(dice) for _ in range(200)]),
    ):
        data, mixed = dump(messages), dump(shuffled(messages, dice))
        check_against_hand(data, hand)
        assert len(made.decode(mixed)) == len(messages)
        ours, theirs, shuffle = alternate(
            lambda d=data: made.decode(d, 5),  # type: ignore[misc]
            lambda d=data: hand.decode(d, 5),  # type: ignore[misc]
            lambda d=mixed: made.decode(d, 5),  # type: ignore[misc]
            rounds=25,
        )
        rows.append(share(f"200 {name}", ours, "hand-written C++", theirs, HAND_GOAL))
        rows.append(share(f"200 {name}, shuffled keys", shuffle, "hand-written C++", theirs, SHUFFLED_GOAL))
    return rows
