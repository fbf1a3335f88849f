"""The market feed, version 3 (protobuf), and the portfolio stream (text): each connection by a URL that works once.

References
----------
Documentation, market data feed v3 and portfolio stream feed; the schema is the official ``MarketDataFeedV3.proto``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, Literal

from dragoman.plugin import (
    Context,
    Control,
    Endpoint,
    Feed,
    Flow,
    OrderSeen,
    ProtoColumn,
    ProtoKey,
    ProtoLevels,
    ProtoOnly,
    ProtoRecords,
    ProtoShape,
    ProtoSide,
    ProtoStream,
    ProtoSub,
    ProtoValue,
    Raw,
    Request,
    Send,
    StallRule,
    Want,
    model,
    read_protobuf,
)
from dragoman.plugin.parts import Pairs, Subscriptions, batches, fetch

from .gtt import read_gtt
from .words import MARKET_STATUS, RECORDS, read_order, reading

BATCH: Final = 500
"""Keys in one frame. The broker names no limit; this keeps a frame near 12 kB."""
MODES: Final = {
    model.Mode.LTP: "ltpc",
    # There is no mode between: `full` has what a quote has, and five levels.
    model.Mode.QUOTE: "full",
    model.Mode.FULL: "full",
    model.Mode.DEEP: "full_d30",
}
_MARKET_INFO: Final = 2
_SEGMENT_STATUS: Final = 1

# Zeros are left out on the wire, so a last price that is missing where its message came is 0.
LTPC: Final = (
    ProtoValue(1, "double", "last_price", default=0),
    ProtoValue(2, "int64", "last_trade_time", unit="ms"),
    ProtoValue(3, "int64", "last_quantity"),
    ProtoValue(4, "double", "previous_close"),
)
# Of the day; the list also has the candle of the minute, and the one before it under the same name.
DAY: Final = (
    ProtoSub(
        1,
        (
            ProtoValue(2, "double", "open"),
            ProtoValue(3, "double", "high"),
            ProtoValue(4, "double", "low"),
            ProtoValue(5, "double", "session_close"),
        ),
        only_if=ProtoOnly(1, "string", ("1d",)),
    ),
)
LEVELS: Final = ProtoLevels(
    1,
    bid=ProtoSide(ProtoColumn(2, "double"), ProtoColumn(1, "int64")),
    ask=ProtoSide(ProtoColumn(4, "double"), ProtoColumn(3, "int64")),
    max_rows=64,
)
FIRST_LEVEL: Final = (
    ProtoValue(1, "int64", "bid_quantity", default=0),
    ProtoValue(2, "double", "bid_price", default=0),
    ProtoValue(3, "int64", "ask_quantity", default=0),
    ProtoValue(4, "double", "ask_price", default=0),
)
FULL: Final = (
    ProtoSub(1, LTPC),
    ProtoSub(2, (LEVELS,)),
    ProtoSub(4, DAY),
    ProtoValue(5, "double", "average_price"),
    ProtoValue(6, "int64", "volume"),
    ProtoValue(7, "double", "oi"),
    ProtoValue(9, "double", "total_buy_quantity"),
    ProtoValue(10, "double", "total_sell_quantity"),
)
FIRST: Final = (
    ProtoSub(1, LTPC),
    ProtoSub(2, FIRST_LEVEL),
    ProtoValue(4, "int64", "volume"),
    ProtoValue(5, "double", "oi"),
)
FEED: Final = (
    ProtoSub(1, LTPC, shape=ProtoShape("ltpc", mode="ltp")),
    ProtoSub(
        2,
        (
            ProtoSub(1, FULL, shape=ProtoShape("full", mode="full")),
            ProtoSub(
                2,
                (ProtoSub(1, LTPC), ProtoSub(2, DAY)),
                shape=ProtoShape("index_full", mode="full", flags=("index",)),
            ),
        ),
    ),
    ProtoSub(3, FIRST, shape=ProtoShape("first_level", mode="quote")),
)
STREAM: Final = ProtoStream(
    "upstox-market",
    (
        ProtoRecords(2, (ProtoKey(1, "string"), ProtoSub(2, FEED))),
        ProtoValue(3, "int64", "ts_event", unit="ms"),
    ),
    control_when=ProtoOnly(1, "enum", (_MARKET_INFO,)),
    merge=True,
    merge_shapes=False,  # the variant of the message is the mode subscribed
)


class MarketFeed(Feed):
    """Ticks and five levels."""

    kind: ClassVar[Literal["market", "depth", "orders"]] = "market"
    layouts = STREAM
    # The broker pings when idle and beats not at all; a pong to our own ping counts as a sign of life.
    stall = StallRule(any_frame_s=9.5, data_s=5.0, ping_s=4.0)
    _modes: ClassVar[frozenset[model.Mode]] = frozenset((model.Mode.LTP, model.Mode.QUOTE, model.Mode.FULL))

    def __init__(self) -> None:
        self._subscribed = Subscriptions[tuple[str, str]]()

    @classmethod
    def serves(cls, instrument: model.Instrument, mode: model.Mode) -> bool:
        return mode in cls._modes

    def connect(self, ctx: Context) -> Flow[Endpoint]:
        return (yield from _authorised("/v3/feed/market-data-feed/authorize"))

    def want(self, add: Sequence[Want], drop: Sequence[Want], ctx: Context) -> Sequence[Send]:
        left, _ = self._subscribed.change((), [wish.instrument.broker_token for wish in drop])
        wanted = [(wish.instrument.broker_token, MODES[wish.mode]) for wish in add]
        before, fresh = self._subscribed.change(((key, ((key, mode),)) for key, mode in wanted), ())
        known, groups = dict(before), dict[tuple[str, str], list[str]]()
        for key, mode in fresh:
            groups.setdefault(("change_mode" if key in known else "sub", mode), []).append(key)
        frames = list(_frames("unsub", {}, [key for key, _ in left], ctx))
        for (method, mode), keys in groups.items():
            frames += _frames(method, {"mode": mode}, keys, ctx)
        return frames

    def keys(self, instrument: model.Instrument) -> Sequence[int | bytes]:
        return (instrument.broker_token.encode(),)

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        if isinstance(frame, str):
            return Control(events=(model.Notice("warning", frame[:500], raw=frame),))
        message = read_protobuf(frame)
        if message.get(1, [0])[-1] != _MARKET_INFO:
            return Control(events=(Raw("feed", frame),))
        with reading("market status"):
            info = read_protobuf(_bytes(message[4][-1]))
            states = dict(_segment(_bytes(entry)) for entry in info.get(_SEGMENT_STATUS, ()))
        text = ", ".join(f"{segment} {status}" for segment, status in sorted(states.items()))
        return Control(events=(model.Notice("info", f"market status: {text}", "MARKET_STATUS", states),))


class DeepFeed(MarketFeed):
    """Thirty levels, on the Plus plan: set ``plus_plan = true`` in the profile's settings."""

    kind = "depth"
    name = "deep"
    max_instruments = 50
    _modes = frozenset((model.Mode.DEEP,))

    @classmethod
    def enabled(cls, ctx: Context) -> bool:
        return bool(ctx.settings.get("plus_plan"))


class PortfolioFeed(Feed):
    """Order and GTT updates of the whole account, wherever they were given."""

    kind = "orders"
    carries_orders = True
    max_sockets = 1
    stall = StallRule(any_frame_s=9.5, ping_s=4.0)

    def connect(self, ctx: Context) -> Flow[Endpoint]:
        return (
            yield from _authorised("/v2/feed/portfolio-stream-feed/authorize", (("update_types", "order,gtt_order"),))
        )

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        message = RECORDS.message(frame, "update_type")
        kind = message["update_type"]
        if kind == "order":
            return Control(events=(OrderSeen(read_order(message, ctx)),))
        if kind == "gtt_order":
            gtt = read_gtt(message, ctx)
            text = f"GTT {gtt.gtt_id} is {gtt.status} ({gtt.raw_status})"
            return Control(events=(model.Notice("info", text, "GTT", gtt),))
        return Control(events=(Raw(kind, message),))


def _authorised(path: str, query: Pairs = ()) -> Flow[Endpoint]:
    """Ask for a URL. It works once: every connection asks anew, and the token stays out of it."""
    found = yield from fetch(RECORDS, Request(path=path, query=query), "data")
    with reading(path):
        return Endpoint(str(found.get("authorized_redirect_uri") or found["authorizedRedirectUri"]))


def _frames(method: str, more: dict[str, str], keys: Sequence[str], ctx: Context) -> Iterator[Send]:
    for batch in batches(keys, BATCH):
        data = more | {"instrumentKeys": list(batch)}
        # JSON in a binary frame: text frames are ignored.
        yield Send(json.dumps({"guid": ctx.random_bytes(8).hex(), "method": method, "data": data}).encode())


def _segment(entry: bytes) -> tuple[str, str]:
    fields = read_protobuf(entry)
    number = fields.get(2, [0])[-1]
    known = isinstance(number, int) and number < len(MARKET_STATUS)
    return _bytes(fields[1][-1]).decode(), MARKET_STATUS[int(number)] if known else f"UNKNOWN {number!r}"


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"found {value!r}, expected a message")
    return value
