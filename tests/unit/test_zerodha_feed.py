"""The ticker: known frames, subscriptions, text frames."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from dragoman.adapters.zerodha.feed import BATCH, STREAM, Ticker
from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import FIELDS, Decoder
from dragoman.errors import AuthRequired, DecodeError
from dragoman.model import Mode, Notice, OrderStatus
from dragoman.plugin import OrderSeen, Raw, Want
from fixtures.zerodha.account import ADAPTER, HERE, body, context, run
from reference.packed_decoder import ReferenceDecoder

CTX = context()
VECTORS = json.loads((HERE / "vectors.json").read_text("utf-8"))
INFY = CTX.instruments.get("NSE:INFY")


def expect(records, decode_levels, case):
    assert len(records) == len(case["records"])
    for at, (tick, wanted) in enumerate(zip(records, case["records"], strict=True)):
        wanted = dict(wanted)
        bids, asks = decode_levels(at)
        assert [list(level) for level in bids] == wanted.pop("bids", [])
        assert [list(level) for level in asks] == wanted.pop("asks", [])
        assert tick.pop("key") == wanted.pop("key")
        assert tick.pop("mode") == wanted.pop("mode")
        assert tick == wanted


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["case"])
def test_known_frames_decode_natively_to_their_documented_values(case):
    decoder = Decoder(STREAM.compile())
    batch = decoder.decode(bytes.fromhex(case["hex"]))
    assert (batch.errors, decoder.counters["malformed"]) == (0, 0)
    names = (*FIELDS, "ts_event", "last_trade_time")
    ticks = [
        {name: value for name in names if (value := getattr(tick, name)) is not None}
        | {"key": tick.key, "mode": tick.mode}
        for tick in batch
    ]
    expect(ticks, batch.levels, case)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["case"])
def test_known_frames_decode_to_the_same_in_plain_python(case):
    decoder = ReferenceDecoder(STREAM)
    records = decoder.decode(bytes.fromhex(case["hex"]))
    ticks = [dict(record.values) | record.times() | {"key": record.key, "mode": record.mode} for record in records]
    expect(ticks, lambda at: (records[at].bids, records[at].asks), case)


def test_prices_are_signed_so_that_a_negative_commodity_price_stays_negative():
    frame = bytes.fromhex("0001000800067b07") + (-3700).to_bytes(4, "big", signed=True)
    (tick,) = Decoder(STREAM.compile()).decode(frame)
    assert tick.last_price == -37.0


def test_an_index_says_so_in_every_mode():
    index = {"index_quote", "index_full", "ltp_index"}
    assert {layout.name for layout in STREAM.layouts if "index" in layout.flags} == index
    ltp = bytes.fromhex("000100080003e9090025d7fd")
    (tick,) = Decoder(STREAM.compile()).decode(ltp)
    assert STREAM.layouts[tick.layout].name == "ltp_index"


def test_depth_after_the_close_is_no_depth_not_a_book_of_zeros():
    full = bytearray.fromhex(next(case["hex"] for case in VECTORS if case["case"] == "full"))
    full[4 + 64 :] = bytes(120)
    batch = Decoder(STREAM.compile()).decode(bytes(full))
    (tick,) = batch
    assert batch.levels(0) == ((), ())
    assert (tick.bid_price, tick.bid_quantity, tick.ask_price, tick.ask_quantity) == (None,) * 4
    assert tick.last_price == 1573.7


def test_no_trade_yet_means_no_trade_time():
    full = bytearray.fromhex(next(case["hex"] for case in VECTORS if case["case"] == "full"))
    full[4 + 44 : 4 + 48] = bytes(4)
    (tick,) = Decoder(STREAM.compile()).decode(bytes(full))
    assert tick.last_trade_time is None
    assert tick.ts_event is not None


# --- endpoint and subscriptions --------------------------------------------------------------------------------------


def test_the_endpoint_carries_key_and_token_escaped_and_never_shows_them():
    endpoint = run(Ticker().connect(CTX), []).result
    assert endpoint.url == "wss://ws.kite.trade/?api_key=api_key&access_token=tok%2Fen"
    assert dict(parse_qsl(urlsplit(endpoint.url).query))["access_token"] == "tok/en"
    assert dict(endpoint.headers) == {"X-Kite-Version": "3"}
    assert "tok" not in repr(endpoint)


def test_a_root_with_a_path_keeps_it():
    ctx = context(hosts={"ws": "ws://127.0.0.1:1/ticker"})
    assert run(Ticker().connect(ctx), []).result.url.startswith("ws://127.0.0.1:1/ticker?api_key=")


def test_the_ticker_needs_a_session():
    with pytest.raises(AuthRequired):
        run(Ticker().connect(context(login={})), [])


def test_subscribe_comes_before_mode_and_each_mode_has_its_own():
    other = CTX.instruments.by_broker_token("779521")
    add = [Want(INFY, Mode.FULL), Want(other, Mode.LTP)]
    frames = [json.loads(send.data) for send in Ticker().want(add, [Want(INFY)], CTX)]
    assert frames == [
        {"a": "unsubscribe", "v": [408065]},
        {"a": "subscribe", "v": [408065]},
        {"a": "mode", "v": ["full", [408065]]},
        {"a": "subscribe", "v": [779521]},
        {"a": "mode", "v": ["ltp", [779521]]},
    ]


def test_many_instruments_go_out_in_batches_each_once():
    many = [Want(replace(INFY, broker_token=str(n)), Mode.QUOTE) for n in range(1, 2 * BATCH + 2)]
    frames = [json.loads(send.data) for send in Ticker().want(many, [], CTX)]
    assert [frame["a"] for frame in frames] == ["subscribe", "mode"] * 3
    tokens = [token for frame in frames if frame["a"] == "subscribe" for token in frame["v"]]
    assert tokens == list(range(1, 2 * BATCH + 2))


def test_nothing_wanted_sends_nothing():
    assert list(Ticker().want([], [], CTX)) == []


def test_an_instrument_is_named_by_its_token_on_this_stream():
    assert Ticker().keys(INFY) == (408065,)


def test_orders_ride_on_the_market_socket_and_silence_of_five_seconds_is_death():
    assert type(ADAPTER.feed("orders")) is type(ADAPTER.feed("market")) is Ticker
    assert (Ticker.stall.any_frame_s, Ticker.stall.ping_s) == (5.0, 0.0)


# --- text frames -----------------------------------------------------------------------------------------------------


def said(message):
    control = Ticker().on_control(json.dumps(message), CTX)
    assert control.send == ()
    (event,) = control.events
    return event


def test_an_order_frame_is_the_orders_state():
    event = said({"type": "order", "data": body("order")["data"] | {"status": "UPDATE", "filled_quantity": 3}})
    assert isinstance(event, OrderSeen)
    assert (event.order.status, event.order.filled_quantity) == (OrderStatus.PARTIALLY_FILLED, 3)
    assert event.order.price.as_tuple().exponent == -2


def test_errors_and_announcements_are_notices():
    assert said({"type": "error", "data": "bad mode"}) == Notice("error", "bad mode", raw="bad mode")
    assert said({"type": "message", "data": "hello"}) == Notice("info", "hello", raw="hello")


def test_a_type_nobody_knows_is_shown_raw():
    assert said({"type": "instruments_meta", "data": {"count": 1}}) == Raw("instruments_meta", {"count": 1})
    assert Ticker().on_control(b"\x01\x02", CTX).events == (Raw("binary", b"\x01\x02"),)


@pytest.mark.parametrize("frame", ["", "{", "[]", "5", '{"data": 1}', '{"type": 5}', '{"type": "order", "data": "x"}'])
def test_a_text_frame_of_the_wrong_shape_is_a_decode_error(frame):
    with pytest.raises(DecodeError):
        Ticker().on_control(frame, CTX)


@given(text=st.text() | st.recursive(st.none() | st.text(), lambda x: st.dictionaries(st.text(), x)).map(json.dumps))
def test_any_text_gives_events_or_a_decode_error(text):
    try:
        control = Ticker().on_control(text, CTX)
    except DecodeError:
        return
    assert len(control.events) == 1
