"""The feeds: the page's vectors, subscriptions, market status, portfolio frames, URLs that work once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from dragoman.adapters.upstox.feed import BATCH, STREAM, DeepFeed, MarketFeed, PortfolioFeed

from dragoman._core import Decoder
from dragoman.emulator.encode_protobuf import proto_field, proto_map, proto_message
from dragoman.errors import DecodeError
from dragoman.model import Mode, Notice, OrderStatus
from dragoman.plugin import OrderSeen, Raw, Want
from fixtures.upstox.account import UPDATE, context, data, run
from reference import protobuf_streams as page

CTX = context()
SHARE, INDEX, OPTION = (
    CTX.instruments.get(name) for name in ("NSE:NHPC", "NSE:NIFTY_BANK=INDEX", "NFO:NIFTY@20260127-26000CE")
)
MS = 1_000_000


def one(hex_or_bytes, decoder=None):
    raw = bytes.fromhex(hex_or_bytes) if isinstance(hex_or_bytes, str) else hex_or_bytes
    decoder = decoder or Decoder(STREAM.compile())
    batch = decoder.decode(raw)
    assert (batch.errors, decoder.counters["malformed"]) == (0, 0)
    (tick,) = batch
    return tick, batch


def test_the_pages_ltpc_vector_decodes_to_its_values():
    tick, _ = one(page.LTPC_HEX)
    assert (tick.mode, tick.last_price, tick.last_quantity, tick.previous_close) == ("ltp", 815.75, 25.0, 807.1)
    assert (tick.last_trade_time, tick.ts_event) == (1753327800000 * MS, 1753327800456 * MS)


def test_the_pages_index_vector_is_an_initial_feed_without_its_type():
    tick, batch = one(page.INDEX_HEX)
    assert (tick.mode, tick.last_price, tick.previous_close) == ("full", 24801.25, 24650.0)
    assert (tick.open, tick.high, tick.low, tick.session_close) == (24710.0, 24850.0, 24700.5, 24801.25)
    assert batch.levels(0) == ((), ())
    assert tick.volume is None


def test_the_pages_full_vector_decodes_to_its_values():
    tick, batch = one(page.FULL_HEX)
    assert (tick.mode, tick.last_price, tick.last_quantity, tick.previous_close) == ("full", 219.3, 75.0, 494.05)
    assert (tick.average_price, tick.volume, tick.oi) == (220.1, 1000.0, 5000.0)
    assert (tick.total_buy_quantity, tick.total_sell_quantity) == (100.0, 200.0)
    bids, asks = batch.levels(0)
    assert [(level[0], level[1]) for level in bids] == [(219.25, 150.0)]
    assert [(level[0], level[1]) for level in asks] == [(219.35, 75.0)]


def test_the_pages_greeks_vector_gives_the_first_level():
    tick, _ = one(page.GREEKS_HEX)
    assert (tick.mode, tick.last_price, tick.bid_price, tick.bid_quantity) == ("quote", 219.3, 219.25, 150.0)
    assert (tick.volume, tick.oi) == (1000.0, 5000.0)


def test_the_pages_market_status_is_control():
    decoder = Decoder(STREAM.compile())
    raw = bytes.fromhex(page.MARKET_INFO)
    batch = decoder.decode(raw)
    assert len(batch) == 0
    (span,) = batch.control
    (event,) = MarketFeed().on_control(raw[span[0] : span[1]], CTX).events
    assert (event.code, event.raw) == ("MARKET_STATUS", {"NSE_EQ": "NORMAL_OPEN"})


def full(*fields, mode=1):
    body = proto_message(2, proto_message(1, *fields)) + proto_field(4, "enum", mode)
    return proto_field(1, "enum", 1) + proto_map(2, {"NSE_EQ|A": body})


LTPC = proto_message(1, proto_field(1, "double", 100.5), proto_field(4, "double", 99.0))


def test_a_frame_that_tells_a_part_is_merged_into_what_was_told():
    decoder = Decoder(STREAM.compile())
    one(full(LTPC, proto_field(6, "int64", 70)), decoder)
    tick, _ = one(full(proto_field(6, "int64", 71)), decoder)
    assert (tick.last_price, tick.previous_close, tick.volume) == (100.5, 99.0, 71.0)


def test_a_lesser_mode_shows_nothing_of_the_greater_one():
    decoder = Decoder(STREAM.compile())
    one(full(LTPC, proto_field(6, "int64", 70)), decoder)
    lesser = proto_field(1, "enum", 1) + proto_map(2, {"NSE_EQ|A": LTPC})
    tick, _ = one(lesser, decoder)
    assert (tick.mode, tick.last_price, tick.volume) == ("ltp", 100.5, None)


def sent(frames):
    return [json.loads(frame.data) for frame in frames]


def test_requests_are_json_in_binary_frames_by_mode():
    feed = MarketFeed()
    frames = feed.want([Want(SHARE, Mode.FULL), Want(INDEX, Mode.LTP), Want(OPTION, Mode.QUOTE)], [], CTX)
    assert all(isinstance(frame.data, bytes) for frame in frames)
    assert [(one["method"], one["data"]["mode"], one["data"]["instrumentKeys"]) for one in sent(frames)] == [
        ("sub", "full", ["NSE_EQ|INE848E01016", "NSE_FO|45450"]),
        ("sub", "ltpc", ["NSE_INDEX|Nifty Bank"]),
    ]
    (changed,) = sent(feed.want([Want(SHARE, Mode.LTP)], [], CTX))
    assert (changed["method"], changed["data"]["mode"]) == ("change_mode", "ltpc")
    assert feed.want([Want(SHARE, Mode.LTP)], [], CTX) == []
    (gone,) = sent(feed.want([], [Want(SHARE, Mode.LTP)], CTX))
    assert gone["method"] == "unsub"
    assert gone["data"] == {"instrumentKeys": ["NSE_EQ|INE848E01016"]}
    (again,) = sent(feed.want([Want(SHARE, Mode.LTP)], [], CTX))
    names = [json.loads(one.data)["guid"] for one in frames] + [one["guid"] for one in (changed, gone, again)]
    assert len(set(names)) == len(names)
    assert again["method"] == "sub"


def test_many_keys_leave_in_several_frames():
    many = [Want(replace(SHARE, broker_token=f"NSE_EQ|{at}"), Mode.LTP) for at in range(BATCH + 1)]
    assert [len(one["data"]["instrumentKeys"]) for one in sent(MarketFeed().want(many, [], CTX))] == [BATCH, 1]


def test_thirty_levels_are_a_stream_of_their_own_on_the_plus_plan():
    assert DeepFeed.serves(SHARE, Mode.DEEP)
    assert not MarketFeed.serves(SHARE, Mode.DEEP)
    assert not DeepFeed.enabled(CTX)
    assert DeepFeed.enabled(context(settings={"plus_plan": True}))
    (frame,) = sent(DeepFeed().want([Want(SHARE, Mode.DEEP)], [], CTX))
    assert frame["data"]["mode"] == "full_d30"


@pytest.mark.parametrize("feed", [MarketFeed, PortfolioFeed])
def test_each_connection_asks_for_a_url_of_its_own(feed):
    url = "wss://example.upstox.com/feeds?requestId=1&code=once"
    found = run(feed().connect(CTX), [data({"authorized_redirect_uri": url})], CTX)
    assert found.result.url == url
    assert "once" not in repr(found.result)
    assert found.requests[0].path.endswith("/authorize")
    with pytest.raises(DecodeError):
        run(feed().connect(CTX), [data({})], CTX)


def test_the_portfolio_stream_tells_of_orders_and_gtts():
    feed = PortfolioFeed()
    (seen,) = feed.on_control(json.dumps(UPDATE), CTX).events
    assert isinstance(seen, OrderSeen)
    assert (seen.order.order_id, seen.order.status) == ("240221025997024", OrderStatus.ACCEPTED)
    rule = {"strategy": "ENTRY", "status": "FAILED", "trigger_price": 7.7, "transaction_type": "BUY", "message": "why"}
    row = {"update_type": "gtt_order", "type": "MULTIPLE", "exchange": "NSE_EQ", "quantity": 1, "product": "D"}
    row |= {"instrument_token": "NSE_EQ|INE848E01016", "gtt_order_id": "GTT-1", "rules": [rule]}
    (told,) = feed.on_control(json.dumps(row), CTX).events
    assert isinstance(told, Notice)
    assert (told.code, told.raw.legs[0].result.reason) == ("GTT", "why")
    (raw,) = feed.on_control('{"update_type": "tomorrow"}', CTX).events
    assert isinstance(raw, Raw)


@pytest.mark.parametrize("frame", ["", "[]", "{}", '{"update_type": 7}', '{"update_type": "order"}'])
def test_a_portfolio_frame_of_another_shape_is_a_decode_error(frame):
    with pytest.raises(DecodeError):
        PortfolioFeed().on_control(frame, CTX)


@pytest.mark.parametrize("frame", [b"\x08\x02", b"\x08\x02\x22\x01\xff", b"\xff", b"\x08\x02\x20\x01"])
def test_a_market_status_of_another_shape_is_a_decode_error(frame):
    with pytest.raises(DecodeError):
        MarketFeed().on_control(frame, CTX)
