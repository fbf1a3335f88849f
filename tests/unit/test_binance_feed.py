"""What the market feeds ask for, and what their control frames mean."""

from __future__ import annotations

import json
from decimal import Decimal as D

import pytest
from dragoman.adapters.binance.feed import BATCH, PACE_S, FuturesDepth, FuturesTrades, FuturesUser, SpotMarket, SpotUser

from dragoman.errors import DecodeError, ErrorKind
from dragoman.model import AssetClass, Instrument, InstrumentType, Margin, MarginAvailable, Mode, Notice, Segment
from dragoman.plugin import Fatal, MarginSeen, Raw, Ready, Reconnect, Want
from dragoman.testing import ScriptedContext, drive

CTX = ScriptedContext(
    credentials={"api_key": "emu_key", "api_secret": "emu_secret"},
    hosts={"ws": "wss://spot.example", "ws_api": "wss://api.example/ws-api/v3", "futures_ws": "wss://f.example"},
)


def pair(symbol="BTCUSDT", exchange="BINANCE"):
    return Instrument(
        instrument_id=f"BINANCE:{symbol.removesuffix('USDT')}/USDT",
        symbol=symbol,
        exchange=exchange,
        asset_class=AssetClass.CRYPTO,
        instrument_type=InstrumentType.SPOT,
        broker_symbol=symbol,
        broker_token=symbol,
    )


def asked(frames):
    return [(message["method"], message["params"]) for message in (json.loads(frame.data) for frame in frames)]


def test_a_lesser_mode_ends_what_it_does_not_need_and_a_drop_ends_all():
    feed = SpotMarket()
    full = feed.want([Want(pair(), Mode.FULL)], [], CTX)
    assert asked(full) == [("SUBSCRIBE", ["btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@depth@100ms"])]
    less = feed.want([Want(pair(), Mode.QUOTE)], [], CTX)
    assert asked(less) == [("UNSUBSCRIBE", ["btcusdt@depth@100ms"])]
    gone = feed.want([], [Want(pair(), Mode.QUOTE)], CTX)
    assert asked(gone) == [("UNSUBSCRIBE", ["btcusdt@aggTrade", "btcusdt@bookTicker"])]


def test_many_streams_leave_in_batches_at_the_venues_pace():
    frames = SpotMarket().want([Want(pair(f"C{n}USDT"), Mode.FULL) for n in range(300)], [], CTX)
    assert sum(len(params) for _, params in asked(frames)) == 900
    assert max(len(params) for _, params in asked(frames)) == BATCH
    assert [frame.delay_s for frame in frames] == [0.0] + [PACE_S] * (len(frames) - 1)


def test_each_market_and_mode_has_its_streams():
    spot, perp = pair(), pair(exchange="BINANCEUSDM")
    served = {
        (feed.stream(), mode)
        for feed in (SpotMarket, FuturesTrades, FuturesDepth)
        for mode in Mode
        if feed.serves(perp, mode)
    }
    every = (Mode.LTP, Mode.QUOTE, Mode.FULL)
    assert served == {("usdm", mode) for mode in every} | {("usdm-depth", mode) for mode in every[1:]}
    assert [mode for mode in Mode if SpotMarket.serves(spot, mode)] == list(every)
    urls = {feed: drive(feed().connect(CTX)).result.url for feed in (SpotMarket, FuturesTrades, FuturesDepth)}
    assert urls[SpotMarket] == "wss://spot.example/stream"
    assert urls[FuturesTrades] == "wss://f.example/market/stream"
    assert urls[FuturesDepth] == "wss://f.example/public/stream"


def test_a_listen_key_is_asked_for_and_stands_in_the_url_only():
    run = drive(FuturesUser().connect(CTX), [{"listenKey": "emu_listen"}])
    assert (run.requests[0].method, run.requests[0].path) == ("POST", "/fapi/v1/listenKey")
    assert run.result.url == "wss://f.example/private/ws?listenKey=emu_listen"
    assert "emu_listen" not in repr(run.result)


@pytest.mark.parametrize(
    ("feed", "frame", "kind"),
    [
        (SpotMarket, {"error": {"code": 2, "msg": "Invalid request: x"}, "id": 1}, Notice),
        (SpotMarket, {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1}}, Notice),
        (SpotMarket, {"e": "somethingNew"}, Raw),
        (SpotUser, {"id": "subscribed", "status": 200, "result": {"subscriptionId": 0}}, Raw),
        (SpotUser, {"id": "subscribe", "status": 200, "result": {"subscriptionId": 0}}, Ready),
        (SpotUser, {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 1}}, Reconnect),
        (SpotUser, {"id": None, "status": 401, "error": {"code": -2015, "msg": "Invalid API-key"}}, Fatal),
        (SpotUser, {"subscriptionId": 0, "event": {"e": "somethingNew", "E": 1}}, Raw),
        (FuturesUser, {"e": "listenKeyExpired", "E": 1, "listenKey": "k"}, Reconnect),
        (FuturesUser, {"e": "MARGIN_CALL", "E": 1}, Notice),
        (FuturesUser, {"e": "somethingNew", "E": 1}, Raw),
    ],
)
def test_a_control_frame_is_what_it_means(feed, frame, kind):
    (event,) = feed().on_control(json.dumps(frame), CTX).events
    assert isinstance(event, kind)
    if isinstance(event, Fatal):
        assert event.error.kind is ErrorKind.AUTH_INVALID


# The account events of the venue's page, as far as money is in them.
POSITION = {"e": "outboundAccountPosition", "E": 1564034571105, "u": 1564034571073}
UPDATE = {"e": "ACCOUNT_UPDATE", "E": 1564745798939, "T": 1564745798938}


def test_a_push_of_the_spot_wallet_is_a_whole_margin():
    rows = [{"a": "ETH", "f": "10000.0", "l": "0.0"}, {"a": "USDT", "f": "900.5", "l": "99.5"}]
    frame = {"subscriptionId": 0, "event": POSITION | {"B": rows}}
    seen, notice = SpotUser().on_control(json.dumps(frame), CTX).events
    assert isinstance(seen, MarginSeen)
    assert isinstance(notice, Notice)
    margin = seen.margin
    assert (margin.segment, margin.net, margin.used.total, margin.blocked) == (
        Segment.ALL,
        D("900.5"),
        D("99.5"),
        D("99.5"),
    )
    assert (margin.available.live_balance, margin.ts_event, seen.paid) == (1000, 1564034571073 * 10**6, 0)


def test_a_push_of_the_futures_wallet_says_nothing_of_what_is_free():
    rows = [
        {"a": "USDT", "wb": "122624.12345678", "cw": "100.12345678", "bc": "50.12345678"},
        {"a": "BUSD", "wb": "1.00000000", "cw": "0.00000000", "bc": "-49.12345678"},
    ]
    frame = UPDATE | {"a": {"m": "DEPOSIT", "B": rows, "P": []}}
    seen, notice = FuturesUser().on_control(json.dumps(frame), CTX).events
    assert isinstance(notice, Notice)
    assert (seen.margin.segment, seen.paid) == (Segment.FO, D("50.12345678"))
    assert seen.margin == Margin(
        segment=Segment.FO,
        net=None,
        available=MarginAvailable(live_balance=D("122624.12345678")),
        ts_event=1564745798938 * 10**6,
    )


@pytest.mark.parametrize(
    ("feed", "frame"),
    [
        (SpotUser, {"subscriptionId": 0, "event": POSITION | {"B": [{"a": "ETH", "f": "1", "l": "0"}]}}),
        (FuturesUser, UPDATE | {"a": {"m": "ORDER", "B": [{"a": "BUSD", "wb": "1", "cw": "1", "bc": "0"}]}}),
        (FuturesUser, UPDATE | {"a": {"m": "FUNDING_FEE"}}),
        (FuturesUser, {"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "T": 1, "ac": {"s": "BTCUSDT", "l": 25}}),
    ],
)
def test_a_push_without_the_cash_tells_no_margin(feed, frame):
    (event,) = feed().on_control(json.dumps(frame), CTX).events
    assert isinstance(event, Notice)


@pytest.mark.parametrize("wrong", [{"a": "USDT"}, {"a": "USDT", "f": "much", "l": "0"}, {"a": "USDT", "f": "1"}])
def test_a_push_whose_amounts_cannot_be_read_is_no_margin(wrong):
    frame = {"subscriptionId": 0, "event": POSITION | {"B": [wrong]}}
    with pytest.raises(DecodeError):
        SpotUser().on_control(json.dumps(frame), CTX)


def test_an_acknowledgement_is_nothing_to_report():
    control = SpotMarket().on_control(b'{"result":null,"id":1}', CTX)
    assert (tuple(control.events), tuple(control.send)) == ((), ())
