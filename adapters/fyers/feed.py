"""The market socket (binary, topics), the depth socket (protobuf, 50 levels) and the order socket (text).

References
----------
Official Python SDK 3.2.0 (`data_ws`, `tbt_ws`, `order_ws`), official C and Go SDKs; test vectors in tests/unit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from dragoman.plugin import (
    BookSync,
    Column,
    Context,
    Control,
    Define,
    Endpoint,
    Fatal,
    FeedEvent,
    Field,
    FillSeen,
    Flow,
    Framing,
    Levels,
    Missed,
    OrderSeen,
    PackedLayout,
    PackedStream,
    ProtoColumn,
    ProtoKey,
    ProtoLevels,
    ProtoOnly,
    ProtoRecords,
    ProtoRestart,
    ProtoShape,
    ProtoSide,
    ProtoStream,
    ProtoSub,
    ProtoValue,
    Raw,
    Ready,
    Refer,
    Request,
    Scale,
    Schema,
    Select,
    Send,
    StallRule,
    Vector,
    Want,
    WirePart,
    errors,
    model,
    read_protobuf,
)
from dragoman.plugin.parts import (
    BeatingFeed,
    Renewal,
    Row,
    Subscriptions,
    batches,
    count,
    fetch,
    fields_of,
    price,
    seconds,
    send_json,
)

from . import hsm
from .words import HSM_SEGMENT, RECORDS, authorization, booked, read_fill, read_order, reading

HOLE: Final = -(2**31)
"""A value that a snapshot has not, and that an update leaves as it was."""
WHOLE_CHANNEL: Final = 11
LITE_CHANNEL: Final = 12
BATCH: Final = 1500
"""Topics in one frame, and the pause before the next."""
PACE_S: Final = 0.5
ANEW_NS: Final = 10_000_000_000
"""Least time between two subscriptions of everything, after frames that were lost."""
SOURCE: Final = "dragoman"
MARKET_PATH: Final = "/hsm/v1-5/prod"
ORDER_PATH: Final = "/trade/v3"
TEXT_PING: Final = "ping"
ANSWERED: Final = StallRule(any_frame_s=9.5, ping_s=4.0)
"""Of the text sockets, whose server answers each beat."""
_KEY_REFUSED: Final = Fatal(
    errors.AuthRequired(
        "fyers: the market socket refused the key (11001)",
        kind=errors.ErrorKind.AUTH_EXPIRED,
        broker="fyers",
        code="11001",
        remedy="log in again: the key comes with each token",
    )
)


def _side(side: Any, first: int) -> Levels:
    rates, counts, orders = (Column("i32", 4 * at) for at in (first, first + 10, first + 20))
    return Levels(side, 5, rates, counts, orders, stride=4, scaled=True)


SCHEMAS: Final = (
    Schema(
        "scrip",
        "sf",
        (
            price("last_price", 0),
            count("volume", 4),
            seconds("last_trade_time", 8, "i32"),
            seconds("ts_event", 12, "i32"),
            count("bid_quantity", 16),
            count("ask_quantity", 20),
            price("bid_price", 24),
            price("ask_price", 28),
            count("last_quantity", 32),
            count("total_buy_quantity", 36),
            count("total_sell_quantity", 40),
            price("average_price", 44),
            count("oi", 48),
            price("low", 52),
            price("high", 56),
            # 60 and 64 are the year's; the official client drops 68 and 72, whose scale is thereby unverified.
            price("price_band_low", 68),
            price("price_band_high", 72),
            price("open", 76),
            price("previous_close", 80),
        ),
    ),
    Schema(
        "index",
        "if",
        (
            price("last_price", 0),
            price("previous_close", 4),
            seconds("ts_event", 8, "i32"),
            price("high", 12),
            price("low", 16),
            price("open", 20),
        ),
        flags=("index",),
    ),
    Schema("depth", "dp", (), (_side("bid", 0), _side("ask", 5)), kind="depth_snapshot", mode="full"),
)
# The official clients differ in the byte order of the topic's id; it is only a key.
_TOPIC: Final = WirePart("u16", 1)
STREAM: Final = PackedStream(
    "fyers-market",
    "big",
    Framing.counted(count=WirePart("u16", 7), header=9, length=None),
    Select.by_code(WirePart("u8", 0)),
    layouts=(
        PackedLayout(
            "snapshot",
            0,
            code=ord("S"),
            merge=True,
            scale=Scale.topic(),
            define=Define(
                topic=_TOPIC,
                name_length=WirePart("u8", 3),
                name_offset=4,
                vector=Vector(WirePart("u8", 0), unchanged=HOLE, after_name=True),
                # Two bytes that nobody knows stand before them.
                multiplier=WirePart("u16", 2),
                precision=WirePart("u8", 4),
                tail_size=5,
                tail_texts=3,
            ),
        ),
        PackedLayout(
            "update",
            0,
            code=ord("U"),
            merge=True,
            scale=Scale.topic(),
            refer=Refer(_TOPIC, Vector(WirePart("u8", 3), unchanged=HOLE)),
        ),
        PackedLayout(
            "lite",
            7,
            code=ord("L"),
            # Not laid over what came before: nothing else of it is told any more.
            mode="ltp",
            scale=Scale.topic(),
            fields=(Field("last_price", "i32", 3, scaled=True),),
            refer=Refer(_TOPIC),
        ),
    ),
    data_when=(WirePart("u8", 2), (hsm.DATA,)),
    message_number=WirePart("u32", 3),
    schemas=SCHEMAS,
)


def topic_of(instrument: model.Instrument, kind: str) -> bytes:
    """Return the name of an instrument's topic: ``sf``, of an index ``if``, or ``dp`` for its depth."""
    segment = HSM_SEGMENT[instrument.broker_token[:4]]
    if instrument.instrument_type is model.InstrumentType.INDEX:
        return f"if|{segment}|{instrument.name}".encode()
    return f"{kind}|{segment}|{instrument.broker_token[10:]}".encode()


def topics_of(instrument: model.Instrument, mode: model.Mode) -> dict[bytes, int]:
    """Return the topics that carry an instrument in a mode -> their channel. An index has no depth."""
    channel = LITE_CHANNEL if mode is model.Mode.LTP else WHOLE_CHANNEL
    kinds = ("sf", "dp") if mode is model.Mode.FULL else ("sf",)
    return dict.fromkeys((topic_of(instrument, kind) for kind in kinds), channel)


class MarketFeed(BeatingFeed):
    """Ticks and five levels. The key for it is in the access token; the token itself must not be shown here."""

    kind = "market"
    layouts = STREAM
    authenticates_in_band = True
    # With a header of an authorisation the server hears the login and never answers.
    host, path = "ws", MARKET_PATH
    beat = hsm.PING_FRAME
    # It may stall while connected, and answers no heartbeat that is known of.
    stall = StallRule(any_frame_s=30.0, data_s=5.0, ping_s=10.0)

    def __init__(self) -> None:
        super().__init__()
        self._subscribed = Subscriptions[tuple[bytes, int]]()
        self._renewal = Renewal[bytes](ANEW_NS)
        self._every = self._frames = self._number = 0

    @classmethod
    def serves(cls, instrument: model.Instrument, mode: model.Mode) -> bool:
        return instrument.broker_token[:4] in HSM_SEGMENT

    def opened(self, ctx: Context) -> Sequence[Send]:
        key = ctx.login["hsm_key"].reveal()
        if not key:
            raise errors.AuthRequired(
                "fyers: the access token holds no hsm_key, which the market socket asks for",
                broker="fyers",
                remedy="log in through the broker's page, with the app's permission for market data",
            )
        return (Send(hsm.login(key, SOURCE)),)

    def want(self, add: Sequence[Want], drop: Sequence[Want], ctx: Context) -> Sequence[Send]:
        wanted = ((one.instrument.broker_token, topics_of(one.instrument, one.mode).items()) for one in add)
        gone, fresh = self._subscribed.change(wanted, [one.instrument.broker_token for one in drop])
        return self._frames_of((hsm.UNSUBSCRIBE, gone), (hsm.SUBSCRIBE, fresh))

    def _frames_of(self, *asked: tuple[int, Sequence[tuple[bytes, int]]]) -> list[Send]:
        """Write topics into frames, of one channel each, with a pause after each `BATCH` of topics."""
        frames: list[Send] = []
        room = BATCH
        for kind, topics in asked:
            for channel in sorted({channel for _, channel in topics}):
                for batch in batches([topic for topic, on in topics if on == channel], BATCH):
                    pause = len(batch) > room
                    room = (BATCH if pause else room) - len(batch)
                    frames.append(Send(hsm.topics(kind, batch, channel), PACE_S if pause else 0.0))
                    if kind == hsm.UNSUBSCRIBE:
                        self._renewal.left(batch)
        return frames

    def keys(self, instrument: model.Instrument) -> Sequence[bytes]:
        return tuple(topics_of(instrument, model.Mode.FULL))

    def tick(self, now_ns: int, ctx: Context) -> Sequence[Send]:
        return (*self._anew(now_ns), *super().tick(now_ns, ctx))

    def _anew(self, now_ns: int) -> list[Send]:
        """Subscribe everything again where frames are missing: a new subscription begins with a snapshot."""
        topics = self._subscribed.topics() if self._renewal.due(now_ns) else []
        return self._frames_of((hsm.UNSUBSCRIBE, topics), (hsm.SUBSCRIBE, topics))

    def on_count(self, number: int, ctx: Context) -> Control:
        if number == self._number:
            return Control()  # the frame had none that could be read
        before, self._number = self._number, number
        self._frames += 1
        due = self._every and self._frames % self._every == 0
        send = [Send(hsm.acknowledgement(number))] if due else []
        if not 0 < before != number - 1:
            return Control(send=send)
        # An update tells only what changed: after one that is missing, old values stand among the new.
        self._renewal.lost()
        missed = Missed(f"data frame {number} came after {before}")
        everything = tuple(topic for topic, _ in self._subscribed.topics())
        return Control((*send, *self._anew(ctx.now_ns)), (missed,), distrust=everything)

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        if isinstance(frame, str):
            return Control(events=(model.Notice("warning", frame[:500], raw=frame),))
        with reading("control frame"):
            kind, fields = fields_of(frame)
            if kind == hsm.MESSAGE:
                (code,) = struct.unpack(">i", fields[1])
                text = fields.get(2, b"").decode("utf-8", "replace")
                return Control(events=(model.Notice("warning", f"{code}: {text}", str(code), raw=frame),))
        if kind not in hsm.NAMES:
            return Control(events=(Raw("schema" if kind == hsm.SCHEMA else f"frame {kind}", frame),))
        good = fields.get(1) == hsm.GOOD
        if kind == hsm.AUTH:
            return self._logged_in(fields, ctx) if good else Control(events=(_KEY_REFUSED,))
        trust = self._renewal.answered(good=good) if kind == hsm.UNSUBSCRIBE else ()
        refusal = model.Notice("error", f"the broker refused a {hsm.NAMES[kind]}", raw=frame)
        return Control(events=() if good else (refusal,), trust=trust)

    def _logged_in(self, fields: Mapping[int, bytes], ctx: Context) -> Control:
        self._every = int.from_bytes(fields.get(2, b""), "big")
        self.beaten(ctx.now_ns)
        modes = (hsm.mode((WHOLE_CHANNEL,), hsm.FULL), hsm.mode((LITE_CHANNEL,), hsm.LITE))
        return Control(send=tuple(map(Send, modes)), events=(Ready(),))


# -- 50 levels ---------------------------------------------------------------------------------------------------------


def _wrapped(number: int, type: Any, to: str, unit: Any = None) -> ProtoSub:
    """A scalar in a message of its own: one that is there without its number is 0."""
    return ProtoSub(number, (ProtoValue(1, type, to, unit=unit, default=None if unit else 0),))


_ROW: Final = ProtoSide(
    price=ProtoColumn((1, 1), "int64", divisor=100),
    quantity=ProtoColumn((2, 1), "uint32"),
    orders=ProtoColumn((3, 1), "uint32"),
)
_PLACE: Final = ProtoColumn((4, 1), "uint32")
DEPTH: Final = (
    _wrapped(1, "uint64", "total_buy_quantity"),
    _wrapped(2, "uint64", "total_sell_quantity"),
    ProtoLevels(3, ask=_ROW, max_rows=50, position=_PLACE),
    ProtoLevels(4, bid=_ROW, max_rows=50, position=_PLACE),
)
DEEP_STREAM: Final = ProtoStream(
    "fyers-depth",
    (
        ProtoRecords(
            2,
            (
                ProtoKey(1, "string"),
                ProtoSub(
                    2,
                    (
                        ProtoSub(5, DEPTH, shape=ProtoShape("depth", kind="depth_delta", mode="full")),
                        _wrapped(6, "uint64", "ts_event", unit="s"),
                        ProtoValue(9, "uint64", "sequence"),
                        ProtoRestart(10),
                    ),
                ),
            ),
        ),
    ),
    control_when=ProtoOnly(5, "bool", (1,)),
    merge=True,
)
CHANNEL: Final = "1"


class DeepFeed(BeatingFeed):
    """Fifty levels, tick by tick, of NSE's shares and derivatives."""

    kind = "depth"
    name = "deep"
    beat, stall = TEXT_PING, ANSWERED
    layouts = DEEP_STREAM
    max_instruments = 5
    max_sockets = 3
    sync = BookSync("plain", resubscribe=True)

    def __init__(self) -> None:
        super().__init__()
        self._resumed = False

    @classmethod
    def serves(cls, instrument: model.Instrument, mode: model.Mode) -> bool:
        return mode is model.Mode.DEEP and instrument.exchange in ("NSE", "NFO") and instrument.tradable

    def connect(self, ctx: Context) -> Flow[Endpoint]:
        found = yield from fetch(RECORDS, Request(path="/indus/home/tbtws"), "data")
        with reading("depth socket"):
            return Endpoint(str(found["socket_url"]), (authorization(ctx, ctx.login["access_token"].reveal()),))

    def want(self, add: Sequence[Want], drop: Sequence[Want], ctx: Context) -> Sequence[Send]:
        frames = [_subscription(way, wishes) for way, wishes in ((-1, drop), (1, add)) if wishes]
        if add and not self._resumed:
            # Without it a subscription delivers nothing.
            self._resumed = True
            frames.append(send_json({"type": 2, "data": {"resumeChannels": [CHANNEL], "pauseChannels": []}}))
        return frames

    def keys(self, instrument: model.Instrument) -> Sequence[bytes]:
        return (instrument.broker_symbol.encode(),)

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        if isinstance(frame, str):
            return Control() if frame == "pong" else Control(events=(Raw("depth", frame),))
        with reading("depth error"):
            said = read_protobuf(frame).get(4, [b""])[-1]
            text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return Control(events=(model.Notice("error", f"depth socket: {text}", "DEPTH", raw=frame),))


def _subscription(way: int, wishes: Iterable[Want]) -> Send:
    symbols = [wish.instrument.broker_symbol for wish in wishes]
    return send_json({"type": 1, "data": {"subs": way, "symbols": symbols, "mode": "depth", "channel": CHANNEL}})


# -- orders ------------------------------------------------------------------------------------------------------------

SUBSCRIBED: Final = 1605
_TOLD: Final[Mapping[str, Callable[[Row, Context], FeedEvent]]] = {
    "orders": lambda row, ctx: OrderSeen(read_order(row, ctx)),
    "trades": lambda row, ctx: FillSeen(read_fill(row, ctx)),
}


class OrderFeed(BeatingFeed):
    """Orders and trades of the whole account, wherever they were given."""

    kind = "orders"
    beat, stall = TEXT_PING, ANSWERED
    carries_orders = True
    max_sockets = 1

    def endpoint(self, ctx: Context) -> Endpoint:
        return Endpoint(f"{ctx.hosts['ws']}{ORDER_PATH}", (authorization(ctx, ctx.login["access_token"].reveal()),))

    def opened(self, ctx: Context) -> Sequence[Send]:
        self.beaten(ctx.now_ns)
        return (send_json({"T": "SUB_ORD", "SLIST": ["orders", "trades"], "SUB_T": 1}),)

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        if frame in ("pong", b"pong"):
            return Control()
        message = RECORDS.message(frame)
        told = [(read, message[key]) for key, read in _TOLD.items() if isinstance(message.get(key), Mapping)]
        events = [read(booked(row), ctx) for read, row in told]
        code, words = str(message.get("code")), message.get("message")
        if not events and message.get("s") == "error":
            events = [model.Notice("error", f"order socket: {code}: {words}", code, raw=message)]
        elif not events and code != str(SUBSCRIBED):
            events = [Raw(next((key for key in message if key != "s"), "message"), message)]
        return Control(events=tuple(events))
