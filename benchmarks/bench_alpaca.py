"""How fast are the messages of a MessagePack stream decoded, from Python, against the broker's own SDK?"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from dragoman.adapters.alpaca.feed import OPTION_STREAM

from benchmarks import peers
from benchmarks.measure import Row, alternate, faster
from dragoman._core import Decoder, intern_instrument
from dragoman.plugin.messagepack import Moment, pack_messagepack

TITLE = "Decoding quotes and trades in MessagePack"
METHOD = (
    "Generated messages in the shape of Alpaca's option stream, decoded by the layout of the adapter. The SDK row times"
    " what its stream does with a message before it calls a handler: `msgpack.unpackb`, then each element becomes a"
    " model by the stream's own `_cast`. Before anything is timed, prices, sizes and times are compared."
)
SDK_GOAL = 15.0
NAMES = [f"AAPL240315C00{strike}000" for strike in range(150, 190)]


def element(dice: random.Random) -> dict[str, Any]:
    """Make a quote, or less often a trade."""
    price = dice.randint(100, 20_000) / 100
    when = Moment(1_710_338_400_000_000_000 + dice.randint(0, 10**13))
    head = {"S": dice.choice(NAMES), "t": when}
    if dice.random() < 0.7:
        bid = {"T": "q", **head, "bx": "U", "bp": price, "bs": dice.randint(1, 400)}
        return {**bid, "ax": "Q", "ap": round(price + 0.05, 2), "as": dice.randint(1, 400), "c": "A"}
    return {"T": "t", **head, "p": price, "s": dice.randint(1, 50), "x": "C", "c": "g"}


def decoder() -> Decoder:
    made = Decoder(OPTION_STREAM.compile())
    for name in NAMES:
        made.bind_text(name.encode(), intern_instrument(f"BENCH:{name}"))
    return made


def sdk_parser() -> Callable[[bytes], list[Any]]:
    peers.add("alpaca-py==0.44.0")
    import msgpack  # type: ignore[import-not-found]
    from alpaca.data.live.option import OptionDataStream  # type: ignore[import-not-found]

    cast = OptionDataStream("key", "secret")._cast

    def parse(data: bytes) -> list[Any]:
        # As alpaca/data/live/websocket.py handles a message.
        return [cast(message) for message in msgpack.unpackb(data)]

    return parse


def check(data: bytes, parse: Callable[[bytes], list[Any]]) -> None:
    """Fail unless both read the same values."""
    batch, theirs = decoder().decode(data), parse(data)
    assert len(batch) == len(theirs)
    for index, (tick, other) in enumerate(zip(batch, theirs, strict=True)):
        ours = tick.as_dict()
        # The SDK's times end at the microsecond.
        assert ours["ts_event"] // 1000 == round(other.timestamp.timestamp() * 1_000_000)
        if hasattr(other, "bid_price"):
            bid, ask = batch.levels(index)
            assert bid == ((other.bid_price, other.bid_size, 0),)
            assert ask == ((other.ask_price, other.ask_size, 0),)
        else:
            assert (ours["last_price"], ours["last_quantity"]) == (other.price, other.size)


def run() -> list[Row]:
    """Compare, then time."""
    dice, made, parse = random.Random(1), decoder(), sdk_parser()
    rows = []
    for count in (1, 20):
        data = pack_messagepack([element(dice) for _ in range(count)])
        check(data, parse)
        ours, theirs = alternate(lambda d=data: made.decode(d), lambda d=data: parse(d))  # type: ignore[misc]
        rows.append(faster(f"message of {count}, {len(data)} bytes", ours, "official SDK", theirs, SDK_GOAL))
    return rows
