"""Alpaca's streams: the page's frames decoded, in JSON and MessagePack, and what control messages lead to."""

from __future__ import annotations

import json

import pytest
from dragoman.adapters.alpaca.feed import (
    CRYPTO_STREAM,
    OPTION_STREAM,
    STOCK_STREAM,
    CryptoFeed,
    OptionFeed,
    StockFeed,
    TradeUpdates,
)

from dragoman._core import Decoder, intern_instrument
from dragoman.errors import AuthRequired, ErrorKind
from dragoman.model import AssetClass, Instrument, InstrumentType, Mode, Notice, OrderStatus
from dragoman.plugin import Fatal, Missed, OrderSeen, Raw, Ready, Reconnect, Want
from dragoman.plugin.messagepack import Moment, pack_messagepack, unpack_messagepack
from dragoman.testing.drive import ScriptedContext, drive

CTX = ScriptedContext(
    credentials={"api_key": "K", "api_secret": "S"},
    account="PA1",
    hosts={"ws": "wss://a/stream", "data_ws": "wss://d"},
)

# Protocol page, section 7: documentation, real-time stock data.
TRADE = '{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208Z","c":["@","I"],"z":"C"}'
QUOTE = (
    '{"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,"t":"2021-02-22T15:51:45.335689322Z",'
    '"c":["R"],"z":"C"}'
)
# Protocol page, section 8: vendor example of a whole frame.
UPDATE = json.loads(
    """{"stream":"trade_updates","data":{"event":"fill","execution_id":"2f63ea93-423d-4169-b3f6-3fdafc10c418",
 "price":"105.8988475","qty":"1790.86","position_qty":"0","timestamp":"2022-04-19T17:45:05.024916716Z","order":{
 "id":"a5be8f5e-fdfa-41f5-a644-7a74fe947a8f","client_order_id":"4642fd68-d59a-47d7-a9ac-e22f536828d1",
 "asset_id":"1cf35270-99ee-44e2-a77f-6fab902c7f80","asset_class":"crypto","symbol":"SOLUSD","side":"sell",
 "type":"market","order_type":"market","order_class":"","time_in_force":"gtc","qty":"1790.86","notional":null,
 "filled_qty":"1790.86","filled_avg_price":"105.8988475","status":"filled","limit_price":null,"stop_price":null,
 "trail_price":null,"trail_percent":null,"hwm":null,"extended_hours":false,"legs":null,"replaced_by":null,
 "replaces":null,"created_at":"2022-04-19T13:45:04.981350886-04:00","submitted_at":"2022-04-19T13:45:04.980944666-04:00",
 "updated_at":"2022-04-19T13:45:05.027690731-04:00","filled_at":"2022-04-19T17:45:05.024916716Z","canceled_at":null,
 "cancel_requested_at":null,"expired_at":null,"failed_at":null,"replaced_at":null}}}"""
)


def decoder(stream, *symbols):
    made = Decoder(stream.compile())
    for symbol in symbols:
        made.bind_text(symbol.encode(), intern_instrument(f"US:{symbol}"))
    return made


def share(symbol, exchange="US", **more):
    return Instrument(
        f"{exchange}:{symbol}", symbol, exchange, AssetClass.EQUITY, InstrumentType.SPOT, symbol, f"id-{symbol}", **more
    )


def test_the_trade_and_the_quote_of_the_page_decode_to_their_values():
    batch = decoder(STOCK_STREAM, "AAPL", "AMD").decode(f"[{TRADE},{QUOTE}]".encode(), 1)
    trade, quote = list(batch)
    assert (trade.instrument_id, trade.kind, trade.last_price, trade.last_quantity) == ("US:AAPL", "trade", 126.55, 1)
    assert trade.ts_event == trade.last_trade_time == 1_614_009_104_208_000_000
    assert (quote.instrument_id, quote.bid_price, quote.ask_price) == ("US:AMD", 87.66, 87.68)
    assert (quote.bid_quantity, quote.ask_quantity) == (1, 4)
    assert quote.ts_event == 1_614_009_105_335_689_322
    assert quote.last_price is None
    assert [tuple(op)[:2] for op in batch.level_ops[["price", "quantity"]].tolist()] == [(87.66, 1.0), (87.68, 4.0)]


def test_the_same_in_messagepack_is_the_same():
    ns = 1_614_009_105_335_689_322
    messages = [
        {"T": "t", "S": "AAPL240621C00190000", "p": 2.05, "s": 3, "t": Moment(ns), "x": "N", "c": "I"},
        {"T": "q", "S": "AAPL240621C00190000", "bp": 2.0, "bs": 10, "ap": 2.1, "as": 7, "t": Moment(ns), "c": "R"},
    ]
    batch = decoder(OPTION_STREAM, "AAPL240621C00190000").decode(pack_messagepack(messages), 1)
    trade, quote = list(batch)
    assert (trade.last_price, trade.last_quantity, trade.ts_event) == (2.05, 3, ns)
    assert (quote.bid_price, quote.ask_quantity, quote.ts_event) == (2.0, 7, ns)


def test_a_book_message_replaces_with_r_and_changes_without():
    book = {"T": "o", "S": "BTC/USD", "t": "2024-03-12T10:38:50.79613221Z"}
    whole = book | {"b": [{"p": 71859.53, "s": 0.27994}], "a": [{"p": 71939.7, "s": 1e-07}], "r": True}
    change = book | {"b": [{"p": 71859.53, "s": 0}], "a": []}
    made = decoder(CRYPTO_STREAM, "BTC/USD")
    first = made.decode(json.dumps([whole]).encode(), 1)
    assert [tick.kind for tick in first] == ["depth_snapshot"]
    assert sorted(first.level_ops["quantity"].tolist())[-2:] == [1e-07, 0.27994]
    second = made.decode(json.dumps([change]).encode(), 2)
    assert [tick.kind for tick in second] == ["depth_delta"]
    assert len(second.level_ops) == 1
    assert made.counters["rejected_values"] == 0


def test_the_taker_of_a_pair_is_told():
    frame = '[{"T":"t","S":"BTC/USD","p":71000,"s":0.5,"t":"2024-03-12T10:38:50Z","i":1,"tks":"B"}]'
    batch = decoder(CRYPTO_STREAM, "BTC/USD").decode(frame.encode(), 1)
    assert batch.records["flags"][0] & 32


@pytest.mark.parametrize("feed", [StockFeed(), OptionFeed()])
def test_the_server_speaks_first_and_is_answered(feed):
    pack = pack_messagepack if feed.packed else lambda value: json.dumps(value).encode()
    read = unpack_messagepack if feed.packed else json.loads
    (sent,) = feed.on_control(pack([{"T": "success", "msg": "connected"}]), CTX).send
    assert read(sent.data) == {"action": "auth", "key": "K", "secret": "S"}
    assert feed.on_control(pack([{"T": "success", "msg": "authenticated"}]), CTX).events == [Ready()]
    wants = [Want(share("AAPL"), Mode.LTP), Want(share("MSFT"), Mode.QUOTE)]
    (sent,) = feed.want(wants, (), CTX)
    bars = {} if feed.packed else {"dailyBars": ["MSFT"]}
    assert read(sent.data) == {"action": "subscribe", "trades": ["AAPL", "MSFT"], "quotes": ["MSFT"]} | bars
    (less,) = feed.want([Want(share("MSFT"), Mode.LTP)], [Want(share("AAPL"), Mode.LTP)], CTX)
    assert read(less.data)["trades"] == ["AAPL"]
    assert read(less.data)["quotes"] == ["MSFT"]
    (more,) = feed.want([Want(share("AAPL"), Mode.LTP)], (), CTX)
    assert read(more.data) == {"action": "subscribe", "trades": ["AAPL"]}


def error(feed, code):
    return feed.on_control(json.dumps([{"T": "error", "code": code, "msg": "no"}]).encode(), CTX)


def test_a_taken_connection_is_asked_for_again_ever_later_and_then_left():
    feed = StockFeed()
    delays = []
    for _ in range(15):
        control = error(feed, 406)
        delays += [send.delay_s for send in control.send]
        assert isinstance(control.events[0], Notice)
    assert delays == [0.5 * min(number, 10) for number in range(1, 16)]
    assert isinstance(error(feed, 406).events[0], Reconnect)


@pytest.mark.parametrize(
    ("code", "event"),
    [
        (400, Notice),
        (401, Fatal),
        (402, Fatal),
        (403, Notice),
        (404, Reconnect),
        (405, Notice),
        (407, Missed),
        (408, Fatal),
        (409, Fatal),
        (410, Notice),
        (411, Fatal),
        (412, Fatal),
        (413, Notice),
        (500, Reconnect),
    ],
)
def test_every_error_of_the_streams_leads_somewhere(code, event):
    found = error(StockFeed(), code).events[0]
    assert isinstance(found, event)
    if isinstance(found, Fatal):
        assert found.error.kind is not ErrorKind.UNMAPPED


def test_a_correction_is_shown_as_it_came():
    correction = {"T": "c", "S": "AAPL", "op": 1, "cp": 2}
    batch = decoder(STOCK_STREAM).decode(json.dumps([correction]).encode(), 1)
    assert len(batch.control) == 1
    assert StockFeed().on_control(json.dumps(correction).encode(), CTX).events == [Raw("c", correction)]


def test_each_kind_of_instrument_is_served_by_its_own_stream():
    pair = share("BTC/USD", exchange="ALPACA")
    for feed, mine, other in ((StockFeed, share("AAPL"), pair), (CryptoFeed, pair, share("AAPL"))):
        assert feed.serves(mine, Mode.FULL)
        assert not feed.serves(other, Mode.FULL)
        assert not feed.serves(mine, Mode.DEEP)
    ends = [drive(feed().connect(CTX)).result.url for feed in (StockFeed, CryptoFeed, OptionFeed, TradeUpdates)]
    assert ends == ["wss://d/v2/iex", "wss://d/v1beta3/crypto/us", "wss://d/v1beta1/indicative", "wss://a/stream"]


# -- the order stream --------------------------------------------------------------------------------------------------


def told(stream, data):
    return TradeUpdates().on_control(json.dumps({"stream": stream, "data": data}).encode(), CTX)


def test_the_order_stream_authenticates_listens_and_is_ready():
    (sent,) = TradeUpdates().opened(CTX)
    assert json.loads(sent.data) == {"action": "authenticate", "data": {"key_id": "K", "secret_key": "S"}}
    (sent,) = told("authorization", {"status": "authorized", "action": "authenticate"}).send
    assert json.loads(sent.data) == {"action": "listen", "data": {"streams": ["trade_updates"]}}
    assert told("listening", {"streams": ["trade_updates"]}).events == (Ready(),)
    assert isinstance(told("listening", {"streams": []}).events[0], Reconnect)
    (fatal,) = told("authorization", {"status": "unauthorized", "action": "listen"}).events
    assert isinstance(fatal.error, AuthRequired)
    assert told("weather", {"sun": 1}).events == (Raw("weather", {"sun": 1}),)


@pytest.mark.parametrize("as_text", [True, False])
def test_the_fill_of_the_page_is_an_order_and_a_fill(as_text):
    frame = json.dumps(UPDATE)
    (event,) = TradeUpdates().on_control(frame if as_text else frame.encode(), CTX).events
    assert isinstance(event, OrderSeen)
    assert (event.order.instrument_id, event.order.status) == ("ALPACA:SOL/USD", OrderStatus.FILLED)
    (fill,) = event.fills
    assert fill.trade_id == "a5be8f5e-fdfa-41f5-a644-7a74fe947a8f:1790.86"
    assert fill.ts_event == 1_650_390_305_024_916_716
    assert event.order.ts_event == 1_650_390_305_027_690_731


def test_an_event_nobody_knows_is_shown_and_its_order_read():
    seen, raw = told("trade_updates", UPDATE["data"] | {"event": "trade_bust"}).events
    assert isinstance(seen, OrderSeen)
    assert not seen.fills
    assert raw.kind == "trade_bust"


def test_a_rejected_change_has_the_book_read_again():
    row = UPDATE["data"]["order"] | {"status": "rejected", "replaces": "A"}
    notice, missed = told("trade_updates", {"event": "rejected", "order": row}).events
    assert isinstance(missed, Missed)
    assert "A" in notice.text
