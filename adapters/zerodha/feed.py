"""The ticker: market data and order updates over one WebSocket.

References
----------
Kite Connect 3 documentation, "WebSocket streaming"; packet lengths, index order and the BCD divisor as the official
parsers have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

from dragoman.plugin import (
    Column,
    Context,
    Control,
    Endpoint,
    Feed,
    Framing,
    Key,
    Levels,
    OrderSeen,
    PackedLayout,
    PackedStream,
    Raw,
    Scale,
    Select,
    Send,
    StallRule,
    Want,
    WirePart,
    errors,
    model,
)
from dragoman.plugin.parts import batches, count, price, seconds, send_json

from .words import RECORDS, read_order, reading

BATCH: Final = 1000
"""Tokens in one subscribe frame. The broker names no limit; this keeps a frame near 10 kB."""

TOKEN: Final = Key(WirePart("u32", 0))
SEGMENT: Final = WirePart("u8", 3)  # low byte of the token
INDICES: Final = 9
# Currency at NSE and at BSE, NSE commodities (in the official Python parser only); the rest.
PRICE: Final = Scale.by_part(SEGMENT, {3: 10_000_000, 6: 10_000, 12: 10_000}, default=100)


LTP_FIELDS: Final = (price("last_price", 4),)
QUOTE_FIELDS: Final = (
    *LTP_FIELDS,
    count("last_quantity", 8),
    price("average_price", 12),
    count("volume", 16),
    count("total_buy_quantity", 20),
    count("total_sell_quantity", 24),
    price("open", 28),
    price("high", 32),
    price("low", 36),
    price("previous_close", 40),
)
FULL_FIELDS: Final = (
    *QUOTE_FIELDS,
    seconds("last_trade_time", 44),
    count("oi", 48),
    count("oi_high", 52),
    count("oi_low", 56),
    seconds("ts_event", 60),
)
INDEX_FIELDS: Final = (
    *LTP_FIELDS,
    price("high", 8),
    price("low", 12),
    price("open", 16),
    price("previous_close", 20),
)


def _side(side: Literal["bid", "ask"], at: int) -> Levels:
    rates, quantities, orders = Column("i32", at + 4), Column("u32", at), Column("u16", at + 8)
    return Levels(side, 5, rates, quantities, orders, stride=12, scaled=True)


DEPTH: Final = (_side("bid", 64), _side("ask", 124))

STREAM: Final = PackedStream(
    "zerodha-ticker",
    "big",
    Framing.counted(count=WirePart("u16", 0), header=2, length="u16", min_frame=4),
    Select.by_length(),
    layouts=(
        PackedLayout(
            "ltp_index", 8, TOKEN, LTP_FIELDS, scale=PRICE, mode="ltp", flags=("index",), when=(SEGMENT, INDICES)
        ),
        PackedLayout("ltp", 8, TOKEN, LTP_FIELDS, scale=PRICE, mode="ltp"),
        PackedLayout("index_quote", 28, TOKEN, INDEX_FIELDS, scale=PRICE, mode="quote", flags=("index",)),
        PackedLayout(
            "index_full",
            32,
            TOKEN,
            (*INDEX_FIELDS, seconds("ts_event", 28)),
            scale=PRICE,
            mode="full",
            flags=("index",),
        ),
        PackedLayout("quote", 44, TOKEN, QUOTE_FIELDS, scale=PRICE, mode="quote"),
        PackedLayout("full", 184, TOKEN, FULL_FIELDS, DEPTH, scale=PRICE, mode="full"),
    ),
)


class Ticker(Feed):
    """Ticks in three modes, and the order updates of the whole account, on one socket."""

    kind = "market"
    layouts = STREAM
    # The broker beats about once a second and wants no pings; its Go and JS clients call five silent seconds dead.
    stall = StallRule(any_frame_s=5.0, data_s=5.0)
    carries_orders = True

    def endpoint(self, ctx: Context) -> Endpoint:
        token = ctx.login.get("access_token")
        if token is None:
            raise errors.AuthRequired(
                "zerodha: the ticker needs a session", broker="zerodha", remedy="log in or import an access token"
            )
        root = ctx.hosts["ws"]
        slash = "" if urlsplit(root).path else "/"
        key = quote(ctx.credentials["api_key"].reveal(), safe="")
        url = f"{root}{slash}?api_key={key}&access_token={quote(token.reveal(), safe='')}"
        return Endpoint(url, headers=(("X-Kite-Version", "3"),))

    def want(self, add: Sequence[Want], drop: Sequence[Want], ctx: Context) -> Sequence[Send]:
        frames = [_frame("unsubscribe", batch) for batch in _batches(drop)]
        by_mode: dict[model.Mode, list[Want]] = {}
        for wish in add:
            by_mode.setdefault(wish.mode, []).append(wish)
        for mode, wishes in by_mode.items():
            for batch in _batches(wishes):
                # Subscribing alone means quote; the mode must come after it.
                frames += (_frame("subscribe", batch), _frame("mode", [mode.value, batch]))
        return frames

    def keys(self, instrument: model.Instrument) -> Sequence[int | bytes]:
        return (int(instrument.broker_token),)

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        if isinstance(frame, bytes):
            return Control(events=(Raw("binary", frame),))
        message = RECORDS.message(frame, "type")
        return Control(events=(_event(message["type"], message.get("data"), ctx),))


def _event(kind: str, data: Any, ctx: Context) -> OrderSeen | model.Notice | Raw:
    match kind:
        case "order":
            with reading("order update"):
                return OrderSeen(read_order(data, ctx))
        case "error":
            return model.Notice("error", str(data), raw=data)
        case "message":
            return model.Notice("info", str(data), raw=data)
    return Raw(kind, data)


def _batches(wishes: Sequence[Want]) -> Iterator[list[int]]:
    return (list(batch) for batch in batches([int(wish.instrument.broker_token) for wish in wishes], BATCH))


def _frame(action: str, value: Any) -> Send:
    return send_json({"a": action, "v": value})
