"""The streams: shares, pairs and options, each on a connection of its own; and order updates.

The server speaks first on the data streams. There are no numbers and no replay: what was missed is read again. The
option stream speaks MessagePack only.

References
----------
Documentation, real-time stock, crypto and option data, and "WebSocket streaming" (order updates).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, Final

from dragoman.plugin import (
    BookSync,
    Context,
    Control,
    Endpoint,
    Fatal,
    Feed,
    FeedEvent,
    JsonAggressor,
    JsonField,
    JsonKey,
    JsonLayout,
    JsonLevels,
    JsonRow,
    JsonStream,
    JsonWhen,
    Missed,
    OrderSeen,
    Raw,
    Ready,
    Reconnect,
    Send,
    StallRule,
    Want,
    error_for,
    model,
)
from dragoman.plugin.parts import ChannelFeed, Topic, by_channel, pack_messagepack, send_json, unpack_messagepack

from .words import (
    CODES,
    EVENTS,
    FILL_EVENTS,
    OPTIONS,
    OTHER_PAIR,
    PAIRS,
    RECORDS,
    STOCKS,
    Kind,
    key_pair,
    kind_of,
    legs_of,
    loads,
    oauth_token,
    read_execution,
    read_order,
    reading,
    refused_change,
)

BATCH: Final = 400
"""Symbols of a kind in one message: the server takes frames of up to 32,768 bytes."""
AUTH_TRIES: Final = 15
_WHOLE: Final = ("trades", "quotes", "dailyBars")

_KEY: Final = JsonKey("S")
_TIME: Final = JsonField("ts_event", "t", unit="rfc3339")
_PRINT: Final = (
    _TIME,
    JsonField("last_price", "p"),
    JsonField("last_quantity", "s"),
    JsonField("last_trade_time", "t", unit="rfc3339"),
)
_TOP: Final = (JsonLevels("bid", rows=(JsonRow("bp", "bs"),)), JsonLevels("ask", rows=(JsonRow("ap", "as"),)))
_TOP_FIELDS: Final = (
    JsonField("bid_price", "bp"),
    JsonField("bid_quantity", "bs"),
    JsonField("ask_price", "ap"),
    JsonField("ask_quantity", "as"),
)
_DAY: Final = (
    JsonField("open", "o"),
    JsonField("high", "h"),
    JsonField("low", "l"),
    JsonField("volume", "v"),
    JsonField("average_price", "vw"),
)


def _is(letter: str) -> tuple[JsonWhen, ...]:
    return (JsonWhen.equals("T", letter),)


# Records are not merged: after a mode is left, what it carried would go on standing in them.
_TRADE: Final = JsonLayout("trade", _is("t"), _KEY, _PRINT, kind="trade", mode="ltp")
_QUOTE: Final = JsonLayout("quote", _is("q"), _KEY, (_TIME,), _TOP, mode="quote")
_BAR: Final = JsonLayout("daily bar", _is("d"), _KEY, _DAY, mode="quote")
# Sizes may come with an exponent, which has no digits of its own to keep.
_BOOK: Final = JsonLayout(
    "book",
    _is("o"),
    _KEY,
    (_TIME,),
    (
        JsonLevels("bid", "b", price="p", quantity="s", exact=False),
        JsonLevels("ask", "a", price="p", quantity="s", exact=False),
    ),
    kind="depth_delta",
    snapshot_when=JsonWhen.equals("r", True),
    mode="full",
)
STOCK_STREAM: Final = JsonStream("alpaca-stocks", (_TRADE, _QUOTE, _BAR))
OPTION_STREAM: Final = JsonStream("alpaca-options", (_TRADE, _QUOTE), encoding="msgpack")
CRYPTO_STREAM: Final = JsonStream(
    "alpaca-crypto",
    (
        JsonLayout(
            "trade",
            _is("t"),
            _KEY,
            _PRINT,
            aggressor=JsonAggressor("tks", buyer=("B",), seller=("S",)),
            kind="trade",
            mode="ltp",
        ),
        # Without levels: they would replace the book.
        JsonLayout("quote", _is("q"), _KEY, (_TIME, *_TOP_FIELDS), mode="quote"),
        _BAR,
        _BOOK,
    ),
)


class DataFeed(ChannelFeed):
    """One market data stream; the broker takes one connection to each from a user.

    Class attributes
    ----------------
    source : Kind
        Whose instruments it carries.
    path : str
        Of the stream; ``{source}`` is what the profile's setting names.
    packed : bool
        Whether it speaks MessagePack.
    """

    stall = StallRule(any_frame_s=10.0, data_s=60.0, ping_s=4.0)
    authenticates_in_band = True
    max_sockets = 1
    channels = {model.Mode.LTP: _WHOLE[:1], model.Mode.QUOTE: _WHOLE, model.Mode.FULL: _WHOLE}
    source: ClassVar[Kind]
    packed: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._tries = 0

    @classmethod
    def serves(cls, instrument: model.Instrument, mode: model.Mode) -> bool:
        return kind_of(instrument) is cls.source and super().serves(instrument, mode)

    def endpoint(self, ctx: Context) -> Endpoint:
        source = self.source.source(ctx)
        headers = (("Content-Type", "application/msgpack"),) if self.packed else ()
        return Endpoint(ctx.hosts["data_ws"] + self.path.format(source=source), headers)

    def want(self, add: Sequence[Want], drop: Sequence[Want], ctx: Context) -> Sequence[Send]:
        less, more = self.moved(add, drop)
        return [*self._frames("unsubscribe", less), *self._frames("subscribe", more)]

    def _frames(self, action: str, topics: Iterable[Topic]) -> Iterator[Send]:
        wanted = by_channel(topics)
        for at in range(0, max(map(len, wanted.values()), default=0), BATCH):
            parts = {channel: names[at : at + BATCH] for channel, names in wanted.items()}
            yield self._send({"action": action} | {channel: names for channel, names in parts.items() if names})

    def _send(self, message: Mapping[str, Any], delay_s: float = 0.0) -> Send:
        return Send(pack_messagepack(message), delay_s) if self.packed else send_json(message, delay_s)

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        found = unpack_messagepack(frame) if self.packed and isinstance(frame, bytes) else loads(frame)
        with reading("control message"):
            answers = [self._hear(message, ctx) for message in (found if isinstance(found, list) else [found])]
        sends, events = (one.send for one in answers), (one.events for one in answers)
        return Control([*chain.from_iterable(sends)], [*chain.from_iterable(events)])

    def _hear(self, message: Mapping[str, Any], ctx: Context) -> Control:
        match message["T"], message.get("msg"):
            case "success", "connected":
                return Control((self._auth(ctx),))
            case "success", "authenticated":
                return Control(events=(Ready(),))
            case "subscription", _:
                return Control()
            case "error", text:
                return self._error(int(message.get("code") or 0), str(text or ""), ctx)
        # Corrections and cancellations of trades among them; they come with the trades, and no slot holds them.
        return Control(events=(Raw(str(message["T"]), message),))

    def _auth(self, ctx: Context, delay_s: float = 0.0) -> Send:
        token = oauth_token(ctx)
        key, secret = key_pair(ctx) if token is None else ("oauth", token)
        return self._send({"action": "auth", "key": key, "secret": secret}, delay_s)

    def _error(self, code: int, text: str, ctx: Context) -> Control:
        match code:
            case 406 if self._tries < AUTH_TRIES:
                # The session before may live on for a while after an unclean end: the socket is kept.
                self._tries += 1
                said = model.Notice("warning", f"{self.stream()}: {text}; try {self._tries}", str(code))
                return Control((self._auth(ctx, 0.5 * min(self._tries, 10)),), (said,))
            case 407:
                return Control(events=(Missed(f"slow client: {text}"), model.Notice("warning", text, str(code))))
            case 400 | 403 | 405 | 410 | 413:
                return Control(events=(model.Notice("error", f"{self.stream()}: {text}", str(code)),))
            case 404 | 406 | 500:
                return Control(events=(Reconnect(f"{code}: {text}"),))
        failure = CODES.classify(code=f"stream/{code}", text=text, status=0, mutates=False)
        error = error_for(
            failure.kind,
            f"alpaca {self.stream()} stream: {code} {text}",
            mutates=False,
            code=str(code),
            text=text,
            remedy=failure.remedy,
            broker="alpaca",
        )
        return Control(events=(Fatal(error),))


class StockFeed(DataFeed):
    """Trades, quotes and daily bars of shares; the plan decides of which exchanges (`settings.stock_feed`)."""

    name = "stocks"
    layouts = STOCK_STREAM
    source = STOCKS
    path = "/v2/{source}"


class OptionFeed(DataFeed):
    """Trades and quotes of options, in MessagePack (`settings.option_feed`: indicative or opra)."""

    name = "options"
    layouts = OPTION_STREAM
    source = OPTIONS
    path = "/v1beta1/{source}"
    packed = True
    channels = {model.Mode.LTP: _WHOLE[:1], model.Mode.QUOTE: _WHOLE[:2], model.Mode.FULL: _WHOLE[:2]}


class CryptoFeed(DataFeed):
    """Trades, quotes, daily bars and, in mode full, whole books of pairs: a reset first, then changes."""

    name = "crypto"
    layouts = CRYPTO_STREAM
    source = PAIRS
    path = "/v1beta3/crypto/us"
    sync = BookSync(rule="none", snapshot="stream", resubscribe=True)
    channels = DataFeed.channels | {model.Mode.FULL: (*_WHOLE, "orderbooks")}


class TradeUpdates(Feed):
    """Every event of every order of the account. Frames are binary on some hosts, text on others; both hold JSON."""

    kind = "orders"
    host = "ws"
    stall = StallRule(any_frame_s=9.5, ping_s=4.0)
    authenticates_in_band = True
    carries_orders = True

    def opened(self, ctx: Context) -> Sequence[Send]:
        token = oauth_token(ctx)
        pair = dict(zip(("key_id", "secret_key"), key_pair(ctx), strict=True)) if token is None else {}
        return (send_json({"action": "authenticate", "data": pair or {"oauth_token": token}}),)

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        message = loads(frame)
        with reading("order stream message"):
            data = message["data"]
            match message["stream"]:
                case "authorization" if data["status"] == "authorized":
                    return Control((send_json({"action": "listen", "data": {"streams": ["trade_updates"]}}),))
                case "authorization":
                    what = f"the order stream does not take the keys: {data.get('status')}"
                    return Control(events=(Fatal(RECORDS.denied(what, OTHER_PAIR)),))
                case "listening" if "trade_updates" in data["streams"]:
                    return Control(events=(Ready(),))
                case "listening":
                    return Control(events=(Reconnect(f"the broker listens to {data['streams']}"),))
                case "trade_updates":
                    return Control(events=tuple(_updates(data, ctx)))
        return Control(events=(Raw(str(message["stream"]), data),))


def _updates(data: Mapping[str, Any], ctx: Context) -> Iterable[FeedEvent]:
    row, event = data["order"], str(data["event"])
    if refused_change(row) or event == "order_replace_rejected":
        # The order lives on as it was, under the id before: the book tells how.
        yield model.Notice("warning", f"a change of order {row.get('replaces') or row['id']} was rejected", event, data)
        yield Missed("a change was rejected")
        return
    for leg in legs_of(row):
        order = read_order(leg, ctx)
        fills = (read_execution(data, order, ctx),) if event in FILL_EVENTS and leg is row else ()
        yield OrderSeen(order, fills)
    if event not in EVENTS:
        yield Raw(event, data)
