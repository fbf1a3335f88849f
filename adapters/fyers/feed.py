"""The market socket (binary, topics), the depth socket (protobuf, 50 levels) and the order socket (text).

References
----------
Official Python SDK 3.2.0 (`data_ws`, `tbt_ws`, `order_ws`), official C and Go SDKs; test vectors in tests/unit.
"""

from __future__ import annotations

import json
import struct
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from dragoman.plugin import (
    BookSync,
    Column,
    Context,
    Control,
    Define,
    Endpoint,
    Fatal,
    Feed,
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
    Want,
    WirePart,
    errors,
    model,
    read_protobuf,
)
from dragoman.plugin import Vector as Values

from . import hsm
from .words import HSM_SEGMENT, booked, loads, read_fill, read_order, reading

HOLE: Final = -(2**31)
"""A value that a snapshot has not, and that an update leaves as it was."""
WHOLE_CHANNEL: Final = 11
LITE_CHANNEL: Final = 12
BATCH: Final = 1500
"""Topics in one frame, and the pause before the next."""
PACE_S: Final = 0.5
HEARTBEAT_NS: Final = 10_000_000_000
ANEW_NS: Final = 10_000_000_000
"""Least time between two subscriptions of everything, after frames that were lost."""
SOURCE: Final = "dragoman"
MARKET_PATH: Final = "/hsm/v1-5/prod"
ORDER_PATH: Final = "/trade/v3"
TEXT_PING: Final = "ping"
_KEY_REFUSED: Final = 11001


def _at(position: int) -> int:
    return 4 * position


def _price(to: str, position: int) -> Field:
    return Field(to, "i32", _at(position), scaled=True)


def _count(to: str, position: int) -> Field:
    # The wire's integers have a sign, and totals of a busy day would need none.
    return Field(to, "u32", _at(position))


def _time(to: str, position: int) -> Field:
    return Field(to, "i32", _at(position), unit="s", absent=0)


def _side(side: Any, first: int) -> Levels:
    columns = (Column("i32", _at(first)), Column("i32", _at(first + 10)), Column("i32", _at(first + 20)))
    return Levels(side, 5, *columns, stride=4, scaled=True)


SCHEMAS: Final = (
    Schema(
        "scrip",
        "sf",
        (
            _price("last_price", 0),
            _count("volume", 1),
            _time("last_trade_time", 2),
            _time("ts_event", 3),
            _count("bid_quantity", 4),
            _count("ask_quantity", 5),
            _price("bid_price", 6),
            _price("ask_price", 7),
            _count("last_quantity", 8),
            _count("total_buy_quantity", 9),
            _count("total_sell_quantity", 10),
            _price("average_price", 11),
            _count("oi", 12),
            _price("low", 13),
            _price("high", 14),
            # 15 and 16 are the year's; the official client drops 17 and 18, whose scale is thereby unverified.
            _price("price_band_low", 17),
            _price("price_band_high", 18),
            _price("open", 19),
            _price("previous_close", 20),
        ),
    ),
    Schema(
        "index",
        "if",
        (
            _price("last_price", 0),
            _price("previous_close", 1),
            _time("ts_event", 2),
            _price("high", 3),
            _price("low", 4),
            _price("open", 5),
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
                vector=Values(WirePart("u8", 0), unchanged=HOLE, after_name=True),
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
            refer=Refer(_TOPIC, Values(WirePart("u8", 3), unchanged=HOLE)),
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


class MarketFeed(Feed):
    """Ticks and five levels. The key for it is in the access token; the token itself must not be shown here."""

    kind = "market"
    layouts = STREAM
    authenticates_in_band = True
    # It may stall while connected, and answers no heartbeat that is known of.
    stall = StallRule(any_frame_s=30.0, data_s=5.0, ping_s=10.0)

    def __init__(self) -> None:
        self._subscribed: dict[bytes, int] = {}
        self._every = 0
        self._frames = 0
        self._number = 0
        self._broken = self._renewing = False
        self._leaving: deque[Sequence[bytes]] = deque()
        self._whole_ns = 0
        self._beat_ns = 0

    @classmethod
    def serves(cls, instrument: model.Instrument, mode: model.Mode) -> bool:
        return instrument.broker_token[:4] in HSM_SEGMENT

    def connect(self, ctx: Context) -> Flow[Endpoint]:
        yield from ()
        # With a header of that name the server hears the login and never answers.
        return Endpoint(f"{ctx.hosts['ws']}{MARKET_PATH}")

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
        gone = {topic: channel for wish in drop for topic, channel in self._held(wish.instrument).items()}
        fresh: dict[bytes, int] = {}
        for wish in add:
            held, wanted = self._held(wish.instrument), topics_of(wish.instrument, wish.mode)
            gone |= {topic: channel for topic, channel in held.items() if wanted.get(topic) != channel}
            fresh |= {topic: channel for topic, channel in wanted.items() if held.get(topic) != channel}
        for topic in gone:
            self._subscribed.pop(topic, None)
        self._subscribed |= fresh
        return self._frames_of((hsm.UNSUBSCRIBE, gone), (hsm.SUBSCRIBE, fresh))

    def _frames_of(self, *asked: tuple[int, Mapping[bytes, int]]) -> list[Send]:
        """Write topics into frames, of one channel each, with a pause after each `BATCH` of topics."""
        frames: list[Send] = []
        room = BATCH
        for kind, topics in asked:
            for channel in sorted(set(topics.values())):
                names = [topic for topic, on in topics.items() if on == channel]
                for at in range(0, len(names), BATCH):
                    batch = names[at : at + BATCH]
                    pause = len(batch) > room
                    room = (BATCH if pause else room) - len(batch)
                    frames.append(Send(hsm.topics(kind, batch, channel), PACE_S if pause else 0.0))
                    if kind == hsm.UNSUBSCRIBE:
                        self._leaving.append(batch)
        return frames

    def _held(self, instrument: model.Instrument) -> dict[bytes, int]:
        return {topic: self._subscribed[topic] for topic in self.keys(instrument) if topic in self._subscribed}

    def keys(self, instrument: model.Instrument) -> Sequence[bytes]:
        return tuple(topics_of(instrument, model.Mode.FULL))

    def tick(self, now_ns: int, ctx: Context) -> Sequence[Send]:
        frames = self._anew(now_ns)
        if now_ns - self._beat_ns >= HEARTBEAT_NS:
            self._beat_ns = now_ns
            frames.append(Send(hsm.PING_FRAME))
        return frames

    def _anew(self, now_ns: int) -> list[Send]:
        """Subscribe everything again where frames are missing: a new subscription begins with a snapshot."""
        unheard = self._renewing and bool(self._leaving)
        if not (self._broken or unheard) or now_ns - self._whole_ns < ANEW_NS:
            return []
        self._broken, self._renewing, self._whole_ns = False, True, now_ns
        return self._frames_of((hsm.UNSUBSCRIBE, self._subscribed), (hsm.SUBSCRIBE, self._subscribed))

    def on_count(self, number: int, ctx: Context) -> Control:
        if number == self._number:
            return Control()  # the frame had none that could be read
        before, self._number = self._number, number
        self._frames += 1
        send: list[Send] = []
        if self._every and self._frames >= self._every:
            self._frames = 0
            send.append(Send(hsm.acknowledgement(number)))
        if not 0 < before != number - 1:
            return Control(send=send)
        # An update tells only what changed: after one that is missing, old values stand among the new.
        self._broken = True
        missed = Missed(f"data frame {number} came after {before}")
        return Control((*send, *self._anew(ctx.now_ns)), (missed,), distrust=tuple(self._subscribed))

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        if isinstance(frame, str):
            return Control(events=(model.Notice("warning", frame[:500], raw=frame),))
        with reading("control frame"):
            kind, fields = hsm.fields_of(frame)
            if kind == hsm.MESSAGE:
                (code,) = struct.unpack(">i", fields[1])
                text = fields.get(2, b"").decode("utf-8", "replace")
                return Control(events=(model.Notice("warning", f"{code}: {text}", str(code), raw=frame),))
            if kind not in hsm.NAMES:
                return Control(events=(Raw("schema" if kind == hsm.SCHEMA else f"frame {kind}", frame),))
            good = fields.get(1) == hsm.GOOD
            if kind == hsm.AUTH:
                return self._logged_in(fields, ctx) if good else Control(events=(_refused(ctx),))
            if kind == hsm.UNSUBSCRIBE:
                # Answers come in the order of the requests. What comes after this one is of the new subscription.
                left = self._leaving.popleft() if self._leaving else ()
                self._renewing = self._renewing and bool(self._leaving)
                if good:
                    return Control(trust=tuple(left))
                self._broken = True
        if good:
            return Control()
        return Control(events=(model.Notice("error", f"the broker refused a {hsm.NAMES[kind]}", raw=frame),))

    def _logged_in(self, fields: Mapping[int, bytes], ctx: Context) -> Control:
        self._every = int.from_bytes(fields.get(2, b""), "big")
        self._beat_ns = ctx.now_ns
        modes = (hsm.mode((WHOLE_CHANNEL,), hsm.FULL), hsm.mode((LITE_CHANNEL,), hsm.LITE))
        return Control(send=tuple(map(Send, modes)), events=(Ready(),))


def _refused(ctx: Context) -> Fatal:
    return Fatal(
        errors.AuthRequired(
            f"fyers: the market socket refused the key ({_KEY_REFUSED})",
            kind=errors.ErrorKind.AUTH_EXPIRED,
            broker="fyers",
            code=str(_KEY_REFUSED),
            remedy="log in again: the key comes with each token",
        )
    )


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


class _Beating(Feed):
    """A socket that is kept alive by a word each ten seconds, which the server answers."""

    stall = StallRule(any_frame_s=9.5, ping_s=4.0)

    def __init__(self) -> None:
        self._beat_ns = 0

    def tick(self, now_ns: int, ctx: Context) -> Sequence[Send]:
        if now_ns - self._beat_ns < HEARTBEAT_NS:
            return ()
        self._beat_ns = now_ns
        return (Send(TEXT_PING),)


class DeepFeed(_Beating):
    """Fifty levels, tick by tick, of NSE's shares and derivatives."""

    kind = "depth"
    name = "deep"
    layouts = DEEP_STREAM
    max_instruments = 5
    max_sockets = 3
    sync = BookSync("plain", resubscribe=True)
    _segments: ClassVar[frozenset[str]] = frozenset(("NSE", "NFO"))

    def __init__(self) -> None:
        super().__init__()
        self._resumed = False

    @classmethod
    def serves(cls, instrument: model.Instrument, mode: model.Mode) -> bool:
        return mode is model.Mode.DEEP and instrument.exchange in cls._segments and instrument.tradable

    def connect(self, ctx: Context) -> Flow[Endpoint]:
        reply = yield Request(path="/indus/home/tbtws")
        with reading("depth socket"):
            url = str(reply.json["data"]["socket_url"])
        return Endpoint(url, (_authorization(ctx),))

    def want(self, add: Sequence[Want], drop: Sequence[Want], ctx: Context) -> Sequence[Send]:
        frames = [_subscription(-1, drop)] if drop else []
        if add:
            frames.append(_subscription(1, add))
        if add and not self._resumed:
            # Without it a subscription delivers nothing.
            self._resumed = True
            frames.append(_text({"type": 2, "data": {"resumeChannels": [CHANNEL], "pauseChannels": []}}))
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
    return _text({"type": 1, "data": {"subs": way, "symbols": symbols, "mode": "depth", "channel": CHANNEL}})


def _text(message: Mapping[str, Any]) -> Send:
    return Send(json.dumps(message))


def _authorization(ctx: Context) -> tuple[str, str]:
    return "authorization", f"{ctx.credentials['app_id'].reveal()}:{ctx.login['access_token'].reveal()}"


# -- orders ------------------------------------------------------------------------------------------------------------

SUBSCRIBED: Final = 1605


class OrderFeed(_Beating):
    """Orders and trades of the whole account, wherever they were given."""

    kind = "orders"
    carries_orders = True
    max_sockets = 1

    def connect(self, ctx: Context) -> Flow[Endpoint]:
        yield from ()
        return Endpoint(f"{ctx.hosts['ws']}{ORDER_PATH}", (_authorization(ctx),))

    def opened(self, ctx: Context) -> Sequence[Send]:
        self._beat_ns = ctx.now_ns
        return (_text({"T": "SUB_ORD", "SLIST": ["orders", "trades"], "SUB_T": 1}),)

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        if frame in ("pong", b"pong"):
            return Control()
        message = loads(frame)
        if not isinstance(message, Mapping):
            raise errors.DecodeError(f"fyers: order socket: found {type(message).__name__}, expected an object")
        events: list[FeedEvent] = []
        if isinstance(message.get("orders"), Mapping):
            events.append(OrderSeen(read_order(booked(message["orders"]), ctx)))
        if isinstance(message.get("trades"), Mapping):
            events.append(FillSeen(read_fill(booked(message["trades"]), ctx)))
        if not events and message.get("s") == "error":
            text = f"order socket: {message.get('code')}: {message.get('message')}"
            events.append(model.Notice("error", text, str(message.get("code")), raw=message))
        elif not events and message.get("code") != SUBSCRIBED:
            events.append(Raw(next((key for key in message if key != "s"), "message"), message))
        return Control(events=tuple(events))
