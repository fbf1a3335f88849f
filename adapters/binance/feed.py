"""The streams: market data of both markets, and what happens to the account's orders.

References
----------
Spot WebSocket streams, WebSocket API and user data stream; USD-M routed market streams (``/public``, ``/market``,
``/private``) and user data streams. Layouts are proven on recorded traffic (tests/wire/test_binance_recorded.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from dragoman.plugin import (
    BookSync,
    Context,
    Control,
    Endpoint,
    Fatal,
    Feed,
    FeedEvent,
    Flow,
    JsonAggressor,
    JsonField,
    JsonKey,
    JsonLayout,
    JsonLevels,
    JsonStream,
    JsonWhen,
    MarginSeen,
    OrderSeen,
    Raw,
    Ready,
    Reconnect,
    Request,
    Send,
    StallRule,
    Want,
    model,
)
from dragoman.plugin.parts import Subscriptions, batches, fetch, is_ed25519, needed, number, send_json

from .account import cash_of, spot_margin
from .requests import KEY_ONLY, REPLACING, USER_STREAM, markets_of, read, signed_params
from .words import ALGO_EVENT, RECORDS, SPOT, USDM, Market, ms, read_algo, read_report, renamed

BATCH: Final = 200
"""Streams in one SUBSCRIBE; a frame of them is about 5 kB."""
PACE_S: Final = 0.25
"""Between two frames: the venue takes five a second, pongs included."""
LISTEN_KEY: Final = "/listenKey"
_PING: Final = StallRule(any_frame_s=9.5, ping_s=4.0)
_SUBSCRIBED: Final = "subscribe"
_LOGON: Final = "logon"

_TIME: Final = JsonField("ts_event", "E", unit="ms")
_KEY: Final = JsonKey("s")


def _trade(name: str) -> JsonLayout:
    return JsonLayout(
        name,
        when=(JsonWhen.equals("e", name),),
        at="data",
        key=_KEY,
        kind="trade",
        mode="ltp",
        fields=(
            _TIME,
            JsonField("last_price", "p"),
            JsonField("last_quantity", "q"),
            JsonField("last_trade_time", "T", unit="ms"),
        ),
        # m: the buyer was the maker, so the seller took.
        aggressor=JsonAggressor("m", buyer=(False,), seller=(True,)),
    )


_TOP: Final = (
    JsonField("bid_price", "b"),
    JsonField("bid_quantity", "B"),
    JsonField("ask_price", "a"),
    JsonField("ask_quantity", "A"),
)


def _depth(previous: JsonField) -> JsonLayout:
    return JsonLayout(
        "depthUpdate",
        when=(JsonWhen.equals("e", "depthUpdate"),),
        at="data",
        key=_KEY,
        kind="depth_delta",
        mode="full",
        fields=(_TIME, JsonField("sequence", "u"), previous),
        levels=(JsonLevels("bid", "b"), JsonLevels("ask", "a")),
    )


SPOT_STREAM: Final = JsonStream(
    "binance-spot",
    layouts=(
        _depth(JsonField("prev_sequence", "U", add=-1)),
        _trade("aggTrade"),
        # Of the rolling day only what has a field of its own; open, high and low are no session's.
        JsonLayout(
            "24hrMiniTicker",
            when=(JsonWhen.equals("e", "24hrMiniTicker"),),
            at="data",
            key=_KEY,
            mode="ltp",
            fields=(_TIME, JsonField("last_price", "c"), JsonField("volume_24h", "v")),
        ),
        # The only one without an event type, and without a time.
        JsonLayout(
            "bookTicker",
            when=(JsonWhen.absent("e"), JsonWhen.has("u"), JsonWhen.has("B")),
            at="data",
            key=_KEY,
            mode="quote",
            fields=_TOP,
        ),
    ),
)
FUTURES_STREAM: Final = JsonStream(
    "binance-usdm",
    layouts=(
        _depth(JsonField("prev_sequence", "pu")),
        _trade("aggTrade"),
        JsonLayout(
            "bookTicker",
            when=(JsonWhen.equals("e", "bookTicker"),),
            at="data",
            key=_KEY,
            mode="quote",
            fields=(_TIME, *_TOP),
        ),
        JsonLayout(
            "markPriceUpdate",
            when=(JsonWhen.equals("e", "markPriceUpdate"),),
            at="data",
            key=_KEY,
            mode="ltp",
            fields=(_TIME, JsonField("mark_price", "p"), JsonField("index_price", "i")),
        ),
    ),
)


class _MarketFeed(Feed):
    """A market stream: subscriptions by name, many to a frame."""

    market: ClassVar[Market]
    path = "/stream"
    streams: ClassVar[Mapping[model.Mode, tuple[str, ...]]]
    stall = _PING

    def __init__(self) -> None:
        self._sent = 0
        self._subscriptions = Subscriptions[str]()

    @classmethod
    def enabled(cls, ctx: Context) -> bool:
        return cls.market.exchange in markets_of(ctx)

    @classmethod
    def serves(cls, instrument: model.Instrument, mode: model.Mode) -> bool:
        return instrument.exchange == cls.market.exchange and mode in cls.streams

    def want(self, add: Sequence[Want], drop: Sequence[Want], ctx: Context) -> Sequence[Send]:
        wishes = ((one.instrument.broker_symbol.lower(), self.streams[one.mode]) for one in add)
        gone, fresh = self._subscriptions.change(
            ((symbol, [f"{symbol}@{kind}" for kind in kinds]) for symbol, kinds in wishes),
            (one.instrument.broker_symbol.lower() for one in drop),
        )
        return [*self._frames("UNSUBSCRIBE", gone), *self._frames("SUBSCRIBE", fresh)]

    def keys(self, instrument: model.Instrument) -> Sequence[int | bytes]:
        return (instrument.broker_symbol.encode(),)

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        found = RECORDS.loads(frame)
        message = found.get("data", found) if isinstance(found, Mapping) else {}
        if message.get("e") == "serverShutdown":
            return Control(events=(model.Notice("warning", "the venue closes this connection soon", raw=found),))
        error = found.get("error", found) if isinstance(found, Mapping) else {}
        if isinstance(error, Mapping) and "code" in error and "msg" in error:
            return Control(events=(model.Notice("error", str(error["msg"]), code=str(error["code"]), raw=found),))
        if isinstance(found, Mapping) and "id" in found and found.get("result", "") is None:
            return Control()
        return Control(events=(Raw(str(message.get("e", "message")), found),))

    def _frames(self, method: str, wanted: Sequence[str]) -> Iterator[Send]:
        for at, names in enumerate(batches(wanted, BATCH)):
            self._sent += 1
            message = {"method": method, "params": names, "id": self._sent}
            yield send_json(message, PACE_S if at else 0.0)


class SpotMarket(_MarketFeed):
    """Spot trades, best prices and book deltas on one socket."""

    name = "spot"
    market, host = SPOT, "ws"
    layouts = SPOT_STREAM
    streams = {
        # A trade stream begins with the next trade; the ticker brings the last price within a second.
        model.Mode.LTP: ("aggTrade", "miniTicker"),
        model.Mode.QUOTE: ("aggTrade", "bookTicker"),
        model.Mode.FULL: ("aggTrade", "bookTicker", "depth@100ms"),
    }
    max_instruments = 340
    max_sockets = 16
    sync = BookSync("ranged", "fetch", levels=1000)


class FuturesTrades(_MarketFeed):
    """Futures trades and mark prices: what the venue routes to ``/market``."""

    name = "usdm"
    market, host, path = USDM, "futures_ws", "/market/stream"
    layouts = FUTURES_STREAM
    streams = dict.fromkeys((model.Mode.LTP, model.Mode.QUOTE, model.Mode.FULL), ("aggTrade", "markPrice@1s"))
    max_instruments = 500
    max_sockets = 8


class FuturesDepth(_MarketFeed):
    """Futures best prices and book deltas: what the venue routes to ``/public``."""

    kind = "depth"
    name = "usdm-depth"
    market, host, path = USDM, "futures_ws", "/public/stream"
    layouts = FUTURES_STREAM
    streams = {model.Mode.QUOTE: ("bookTicker",), model.Mode.FULL: ("bookTicker", "depth@100ms")}
    max_instruments = 500
    max_sockets = 8
    sync = BookSync("linked", "fetch", levels=1000)


class SpotUser(Feed):
    """The spot account's events, on a socket of the WebSocket API that also takes requests."""

    kind = "orders"
    name = USER_STREAM
    host = "ws_api"
    stall = _PING
    authenticates_in_band = True

    @classmethod
    def enabled(cls, ctx: Context) -> bool:
        return SPOT.exchange in markets_of(ctx)

    def opened(self, ctx: Context) -> Sequence[Send]:
        """Log the session on where the key can (Ed25519), and subscribe; other keys sign the subscription."""
        if is_ed25519(ctx.credentials["api_secret"].reveal()):
            return [_call(_LOGON, "session.logon", signed_params({}, ctx))]
        return [_call(_SUBSCRIBED, "userDataStream.subscribe.signature", signed_params({}, ctx))]

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        message = RECORDS.loads(frame)
        if not isinstance(message, Mapping):
            return Control(events=(Raw("message", message),))
        if "event" in message:
            return _spot_event(message["event"], ctx)
        error, name = message.get("error"), message.get("id")
        if error is not None:
            return _refusal(error, name, message)
        if name == _LOGON:
            return Control(send=(_call(_SUBSCRIBED, "userDataStream.subscribe", {}),))
        if name == _SUBSCRIBED:
            return Control(events=(Ready(),))
        return Control(events=(Raw("reply", message),))


class FuturesUser(Feed):
    """The futures account's events: a socket that lives on a listen key."""

    kind = "orders"
    name = "usdm-user"
    stall = _PING
    keep_alive_s = 1800.0

    @classmethod
    def enabled(cls, ctx: Context) -> bool:
        return USDM.exchange in markets_of(ctx)

    def connect(self, ctx: Context) -> Flow[Endpoint]:
        key = yield from fetch(RECORDS, _listen_key("POST"), "listenKey")
        return Endpoint(f"{ctx.hosts['futures_ws']}/private/ws?listenKey={key}")

    def keep_alive(self, ctx: Context) -> Flow[None]:
        yield _listen_key("PUT")

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        event = RECORDS.loads(frame)
        with RECORDS.reading("user event"):
            kind = event["e"]
            match kind:
                case "ORDER_TRADE_UPDATE":
                    return Control(events=(read_report(USDM, event["o"], ctx),))
                case "ALGO_UPDATE":
                    row = {"T": event.get("T") or event.get("E")} | renamed(event["o"], {})
                    return Control(events=(OrderSeen(read_algo(renamed(row, ALGO_EVENT), ctx)),))
                case "listenKeyExpired":
                    return Control(events=(Reconnect("the listen key ran out"),))
                case "MARGIN_CALL":
                    return Control(events=(model.Notice("warning", "margin call", kind, event),))
                case "ACCOUNT_UPDATE" | "ACCOUNT_CONFIG_UPDATE" | "TRADE_LITE":
                    told = _futures_wallet(event, ctx) if kind == "ACCOUNT_UPDATE" else ()
                    return Control(events=(*told, model.Notice("info", kind, kind, event)))
        return Control(events=(Raw(str(kind), event),))


def _listen_key(method: str) -> Request:
    """Ask for the account's listen key, or prolong it. Both may be repeated: the venue returns the one that lives."""
    return read(USDM, LISTEN_KEY, 1).but(method=method, note=KEY_ONLY)


def _call(name: str, method: str, params: Mapping[str, Any]) -> Send:
    return send_json({"id": name, "method": method, "params": params})


def _spot_event(event: Any, ctx: Context) -> Control:
    with RECORDS.reading("user event"):
        kind = event["e"]
        found: FeedEvent
        match kind:
            case "executionReport" if event.get("x") == "CANCELED" and str(event.get("c")).startswith(REPLACING):
                # Half of a replacement: its other half is the order's next report. If it fails, the reply or the next
                # reading of the order says that it is gone.
                return Control()
            case "executionReport":
                found = read_report(SPOT, event, ctx)
            case "eventStreamTerminated":
                found = Reconnect("the venue ended the subscription")
            case "outboundAccountPosition":
                return Control(events=(*_spot_wallet(event, ctx), model.Notice("info", kind, kind, event)))
            case "balanceUpdate" | "listStatus" | "externalLockUpdate":
                found = model.Notice("info", kind, kind, event)
            case "serverShutdown":
                found = model.Notice("warning", "the venue closes this connection soon", kind, event)
            case _:
                found = Raw(str(kind), event)
        return Control(events=(found,))


def _spot_wallet(event: Mapping[str, Any], ctx: Context) -> Iterator[MarginSeen]:
    """Yield what a message says of the cash: all there is to say of it."""
    for row in event["B"]:
        if row["a"] == cash_of(ctx):
            yield MarginSeen(spot_margin(needed(row, "f"), needed(row, "l"), ctx, ms(event["u"])))


def _futures_wallet(event: Mapping[str, Any], ctx: Context) -> Iterator[MarginSeen]:
    """Yield what a message says of the wallet: what is free of it, or tied up, is in none."""
    for row in event["a"].get("B", ()):
        if row["a"] == cash_of(ctx):
            wallet = model.MarginAvailable(live_balance=needed(row, "wb"))
            told = model.Margin(
                segment=model.Segment.FO, net=None, available=wallet, ts_event=ms(event["T"]), raw=event
            )
            yield MarginSeen(told, paid=number(row.get("bc")))


def _refusal(error: Mapping[str, Any], name: Any, message: Any) -> Control:
    code, text = str(error.get("code")), str(error.get("msg") or "")
    if name in (_LOGON, _SUBSCRIBED) or (name is None and message.get("status") == 401):
        what = f"the user stream is refused: {code}: {text}"
        wrong = RECORDS.denied(what, "check the key, its addresses and its permissions", code=code, text=text)
        return Control(events=(Fatal(wrong),))
    return Control(events=(model.Notice("warning", text, code, message),))
