"""The market, depth and order sockets: frames of the protocol page, made and read."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import pytest
from dragoman.adapters.fyers import hsm
from dragoman.adapters.fyers.feed import DEEP_STREAM, PACE_S, STREAM, DeepFeed, MarketFeed, OrderFeed, topic_of

from dragoman._core import Decoder, intern_instrument
from dragoman.emulator.encode_topics import TopicEncoder
from dragoman.errors import AuthRequired
from dragoman.model import AssetClass, Instrument, InstrumentType, Mode, Notice, OrderStatus
from dragoman.plugin import Control, Fatal, FillSeen, Missed, OrderSeen, Raw, Ready, Want
from dragoman.plugin.field_frames import bits_field, bits_of, fields_of, frame, names_of
from dragoman.testing.drive import ScriptedContext

SBIN = Instrument(
    instrument_id="NSE:SBIN",
    symbol="SBIN",
    exchange="NSE",
    asset_class=AssetClass.EQUITY,
    instrument_type=InstrumentType.SPOT,
    broker_symbol="NSE:SBIN-EQ",
    broker_token="10100000003045",
)
NIFTY = Instrument(
    instrument_id="NSE:NIFTY_50=INDEX",
    symbol="NIFTY_50",
    exchange="NSE",
    asset_class=AssetClass.INDEX,
    instrument_type=InstrumentType.INDEX,
    broker_symbol="NSE:NIFTY50-INDEX",
    broker_token="101000000026000",
    name="Nifty 50",
    tradable=False,
)
SCRIP = bytes.fromhex(
    "0084060000000100015300050e73667c6e73655f636d7c33303435150001a15d00bc614e697ac883697ac88500003a42000000000001a15d0000"
    "00000000001900000064000000c80001a2048000000000019f3c0001a4fa8000000080000000000173180001c1380001a3ec0001a89200000001"
    "02066e73655f636d0433303435045342494e"
)
UPDATE = bytes.fromhex("005f06000000020001550005150001a16200bc6164" + "80000000" * 19)
LITE = bytes.fromhex("000e060000000200014c00050001a167")
INDEX = bytes.fromhex(
    "0054060000000300015300091269667c6e73655f636d7c4e69667479203530060027f5ba002800a566f67748002818970027ed7700280d390000"
    "000102066e73655f636d084e69667479203530084e69667479203530"
)
DEEP = bytes.fromhex(
    "0806127c0a0b4e53453a5342494e2d4551126d2a320a0308e80712030884071a120a0408d98f04120208641a0208022202080122120a0408d48f"
    "04120208781a0208032202080132060880c0b1ce063a060881c0b1ce06420e3130313030303030303033303435482a50015a0b4e53453a534249"
    "4e2d455162060a04302e30351801"
)


def decoder_of(stream, instrument, *names):
    decoder = Decoder(stream.compile())
    for name in names:
        decoder.bind_text(name, intern_instrument(instrument.instrument_id))
    return decoder


@pytest.mark.parametrize(
    ("made", "vector"),
    [
        (
            hsm.login("deadbeef", "PythonSDK-3.2.0"),
            "002701040100086465616462656566020001500300010104000f507974686f6e53444b2d332e322e30",
        ),
        (hsm.mode((11,), hsm.FULL), "00000c02010008000000000000080002000146"),
        (hsm.mode((11,), hsm.LITE), "00000c0201000800000000000008000200014c"),
        (hsm.acknowledgement(7), "0009030101000400000007"),
        (frame(hsm.PAUSE, bits_field((11,))), "000007010100080000000000000800"),
        (
            hsm.topics(hsm.SUBSCRIBE, [b"sf|nse_cm|3045"], 11),
            "0083040201001100010e73667c6e73655f636d7c333034350200010b",
        ),
    ],
)
def test_frames_are_those_of_the_page_but_for_a_length_that_is_right(made, vector):
    assert made[2:] == bytes.fromhex(vector)[2:]
    assert int.from_bytes(made[:2], "big") == len(made) - 2


def test_fields_are_read_back_and_cut_frames_are_refused():
    sent = hsm.topics(hsm.SUBSCRIBE, [b"sf|nse_cm|3045", b"if|nse_cm|Nifty 50"], 12)
    kind, fields = fields_of(sent)
    assert (kind, names_of(fields[1]), fields[2]) == (
        hsm.SUBSCRIBE,
        [b"sf|nse_cm|3045", b"if|nse_cm|Nifty 50"],
        b"\x0c",
    )
    for cut in (*range(3), *range(4, len(sent))):
        with pytest.raises(ValueError, match="bytes"):
            fields_of(sent[:cut])
    with pytest.raises(ValueError, match="topics"):
        names_of(fields[1][:-1])
    assert bits_of(bits_field((1, 11, 63))) == [1, 11, 63]


def test_a_share_is_read_whole_then_by_its_changes_and_in_lite_mode_by_its_price():
    decoder = decoder_of(STREAM, SBIN, b"sf|nse_cm|3045")
    (tick,) = decoder.decode(SCRIP)
    assert (tick.instrument_id, tick.last_price, tick.volume) == ("NSE:SBIN", 1068.45, 12345678.0)
    assert (tick.bid_price, tick.bid_quantity, tick.average_price) == (1068.45, 14914.0, 1070.12)
    assert (tick.low, tick.high, tick.open, tick.previous_close) == (1063.0, 1077.7, 1075.0, 1086.9)
    assert (tick.price_band_low, tick.price_band_high, tick.oi) == (950.0, 1150.0, None)
    (tick,) = decoder.decode(UPDATE)
    assert (tick.last_price, tick.volume, tick.open) == (1068.5, 12345700.0, 1075.0)
    (tick,) = decoder.decode(LITE)
    assert (tick.last_price, tick.volume, tick.mode) == (1068.55, None, "ltp")
    assert decoder.count == 2


def test_an_index_is_read_to_the_end_of_its_texts():
    (tick,) = decoder_of(STREAM, NIFTY, b"if|nse_cm|Nifty 50").decode(INDEX)
    assert (tick.last_price, tick.previous_close, tick.high) == (26188.1, 26216.05, 26277.35)
    assert (tick.low, tick.open, tick.instrument_id) == (26166.95, 26248.25, "NSE:NIFTY_50=INDEX")


def test_the_encoder_writes_the_bytes_of_the_page():
    encoder = TopicEncoder(STREAM)
    values = {"last_price": 26188.1, "previous_close": 26216.05, "high": 26277.35, "low": 26166.95, "open": 26248.25}
    vector = encoder.vector(b"if|nse_cm|Nifty 50", values | {"ts_event": 0x66F67748 * 10**9}, 100)
    texts = (b"nse_cm", b"Nifty 50", b"Nifty 50")
    made = encoder.define("snapshot", 9, b"if|nse_cm|Nifty 50", vector, precision=2, texts=texts)
    # The page writes the topic's id as this library reads it.
    assert made == INDEX[9:]
    scrip = encoder.vector(b"sf|nse_cm|3045", {"last_price": 1068.5, "volume": 12345700}, 100)
    assert encoder.update("update", 5, scrip) == UPDATE[9:13][:3] + b"\x02" + UPDATE[13:21]
    assert encoder.lite("lite", 5, {"last_price": 1068.55}, 100) == LITE[9:]
    assert encoder.changes((1, 2, 3), (1, 5, 3)) == (encoder.hole, 5, encoder.hole)


def test_fifty_levels_are_read_from_the_page_s_message():
    (tick,) = (batch := decoder_of(DEEP_STREAM, SBIN, b"NSE:SBIN-EQ").decode(DEEP))
    assert batch.levels(0) == (((675.4, 120.0, 3),), ((675.45, 100.0, 2),))
    assert (tick.sequence, tick.total_buy_quantity, tick.total_sell_quantity) == (42, 1000.0, 900.0)
    assert (tick.kind, tick.ts_event) == ("depth_snapshot", 1775001600 * 10**9)


# -- what the feeds say ------------------------------------------------------------------------------------------------


@pytest.fixture
def ctx():
    return ScriptedContext(
        hosts={"ws": "wss://socket.invalid"},
        credentials={"app_id": "APP-100"},
        login={"access_token": "token", "hsm_key": "key"},
        secrets=("access_token", "hsm_key"),
    )


def frames_of(sends):
    return [(kind, names_of(fields[1]), fields[2][0]) for kind, fields in (fields_of(one.data) for one in sends)]


def test_topics_are_of_the_token_and_of_an_index_of_its_name():
    assert topic_of(SBIN, "dp") == b"dp|nse_cm|3045"
    assert topic_of(NIFTY, "sf") == b"if|nse_cm|Nifty 50"


def test_each_mode_has_its_topics_and_a_change_moves_them_between_channels(ctx):
    feed = MarketFeed()
    assert frames_of(feed.want([Want(SBIN, Mode.FULL), Want(NIFTY, Mode.FULL)], (), ctx)) == [
        (hsm.SUBSCRIBE, [b"sf|nse_cm|3045", b"dp|nse_cm|3045", b"if|nse_cm|Nifty 50"], 11)
    ]
    assert feed.want([Want(SBIN, Mode.FULL)], (), ctx) == []
    assert frames_of(feed.want([Want(SBIN, Mode.LTP)], (), ctx)) == [
        (hsm.UNSUBSCRIBE, [b"sf|nse_cm|3045", b"dp|nse_cm|3045"], 11),
        (hsm.SUBSCRIBE, [b"sf|nse_cm|3045"], 12),
    ]
    assert frames_of(feed.want((), [Want(SBIN, Mode.LTP)], ctx)) == [(hsm.UNSUBSCRIBE, [b"sf|nse_cm|3045"], 12)]


def test_the_market_socket_is_ready_after_its_key_was_taken_and_acknowledges_each_third_frame(ctx):
    feed = MarketFeed()
    assert fields_of(feed.opened(ctx)[0].data)[1][1] == b"key"
    said = feed.on_control(bytes.fromhex("000d01020100014b02000400000003"), ctx)
    assert isinstance(said.events[0], Ready)
    assert [fields_of(one.data)[1][2] for one in said.send] == [hsm.FULL, hsm.LITE]
    sent = [feed.on_count(number, ctx).send for number in (1, 2, 3, 4)]
    assert [len(one) for one in sent] == [0, 0, 1, 0]
    assert sent[2][0].data == hsm.acknowledgement(3)


def test_a_missing_frame_subscribes_everything_anew_and_not_again_at_once(ctx):
    feed, second = MarketFeed(), 10**9
    feed.want([Want(SBIN, Mode.QUOTE)], (), ctx)
    feed.on_control(frame(hsm.AUTH, hsm.GOOD, struct.pack(">I", 0)), ctx)
    now = ctx.now_ns
    for number in (1, 2):
        assert feed.on_count(number, ctx) == Control([])
    topic = b"sf|nse_cm|3045"
    anew = [(hsm.UNSUBSCRIBE, [topic], 11), (hsm.SUBSCRIBE, [topic], 11)]
    seen = feed.on_count(4, ctx)
    assert (frames_of(seen.send), tuple(seen.distrust)) == (anew, (topic,))
    assert seen.events == (Missed("data frame 4 came after 2"),)
    assert tuple(feed.on_control(frame(hsm.UNSUBSCRIBE, hsm.GOOD), ctx).trust) == (topic,)
    again = feed.on_count(6, ctx)
    assert (again.send, tuple(again.distrust), len(again.events)) == ((), (topic,), 1)
    assert not feed.tick(now + 2 * second, ctx)
    assert frames_of(feed.tick(now + 12 * second, ctx)[:-1]) == anew


def test_a_renewal_that_nobody_answers_is_asked_for_again(ctx):
    feed, second = MarketFeed(), 10**9
    feed.want([Want(SBIN, Mode.QUOTE)], (), ctx)
    feed.on_control(frame(hsm.AUTH, hsm.GOOD, struct.pack(">I", 0)), ctx)
    for number in (1, 3):
        feed.on_count(number, ctx)
    assert not feed.tick(ctx.now_ns + 2 * second, ctx)
    assert len(feed.tick(ctx.now_ns + 11 * second, ctx)) == 3
    for _ in range(2):
        feed.on_control(frame(hsm.UNSUBSCRIBE, hsm.GOOD), ctx)
    assert len(feed.tick(ctx.now_ns + 30 * second, ctx)) == 1


def test_frames_of_topics_wait_after_each_batch_whatever_they_ask_for(ctx):
    feed = MarketFeed()
    shares = [replace(SBIN, instrument_id=f"NSE:X{at}", broker_token=f"1010000000{at}") for at in range(1600)]
    frames = feed.want([Want(one, Mode.QUOTE) for one in shares], (), ctx)
    assert [one.delay_s for one in frames] == [0.0, PACE_S]
    feed.on_count(1, ctx)
    frames = feed.on_count(3, ctx).send
    assert [one.delay_s for one in frames] == [0.0, PACE_S, PACE_S, PACE_S]


def test_a_refused_key_and_a_token_without_one_ask_for_a_login(ctx):
    (event,) = MarketFeed().on_control(frame(hsm.AUTH, b"N"), ctx).events
    assert isinstance(event, Fatal)
    assert isinstance(event.error, AuthRequired)
    bare = ScriptedContext(login={"hsm_key": ""}, secrets=("hsm_key",))
    with pytest.raises(AuthRequired, match="hsm_key"):
        MarketFeed().opened(bare)


def test_other_frames_are_told(ctx):
    feed = MarketFeed()
    (notice,) = feed.on_control(bytes.fromhex("001333030100040000c7390200036c696d03000104"), ctx).events
    assert (notice.code, notice.text) == ("51001", "51001: lim")
    (refusal,) = feed.on_control(frame(hsm.SUBSCRIBE, b"N"), ctx).events
    assert isinstance(refusal, Notice)
    assert isinstance(feed.on_control(bytes((0, 1, 13)), ctx).events[0], Raw)
    assert feed.on_control(frame(hsm.SUBSCRIBE, hsm.GOOD), ctx).events == ()


def test_the_depth_socket_resumes_its_channel_once_and_tells_errors(ctx):
    feed = DeepFeed()
    first = [json.loads(one.data) for one in feed.want([Want(SBIN, Mode.DEEP)], (), ctx)]
    assert first == [
        {"type": 1, "data": {"subs": 1, "symbols": ["NSE:SBIN-EQ"], "mode": "depth", "channel": "1"}},
        {"type": 2, "data": {"resumeChannels": ["1"], "pauseChannels": []}},
    ]
    again = feed.want([Want(SBIN, Mode.DEEP)], [Want(SBIN, Mode.DEEP)], ctx)
    assert [json.loads(one.data)["data"]["subs"] for one in again] == [-1, 1]
    assert feed.on_control("pong", ctx).events == ()
    (notice,) = feed.on_control(b"\x08\x08\x22\x03bad\x28\x01", ctx).events
    assert notice.text == "depth socket: bad"
    assert not DeepFeed.serves(NIFTY, Mode.DEEP)
    assert DeepFeed.serves(SBIN, Mode.DEEP)


def test_orders_and_trades_of_the_order_socket(ctx):
    feed = OrderFeed()
    row = {
        "client_id": "XP0001", "exchange": 10, "fy_token": "10100000001628", "id": "23121800292158", "instrument": 0,
        "id_fyers": "df013f50", "offline_flag": False, "ord_source": "W", "ord_status": 20, "ord_type": 2,
        "ordertag": "2:Untagged", "org_ord_status": 4, "product_type": "CNC", "qty": 1, "qty_remaining": 1,
        "report_type": "New Ack", "segment": 10, "symbol": "NSE:BECTORFOOD-EQ", "time_oms": "18-Dec-2023 13:51:30",
        "tran_side": 1, "validity": "DAY",
    }  # fmt: skip
    (event,) = feed.on_control(json.dumps({"orders": row, "s": "ok"}), ctx).events
    assert isinstance(event, OrderSeen)
    order = event.order
    assert (order.order_id, order.status, order.filled_quantity, order.tag) == (
        "23121800292158",
        OrderStatus.ACCEPTED,
        0,
        None,
    )
    assert (order.instrument_id, order.ts_created) == ("NSE:BECTORFOOD", 1702887690 * 10**9)
    trade = {
        "id": "23121800292158", "id_fill": "T1", "symbol": "NSE:BECTORFOOD-EQ", "exchange": 10, "segment": 10,
        "tran_side": -1, "qty_traded": 3, "price_traded": 12.35, "fill_time": "18-12-2023 13:51:31",
    }  # fmt: skip
    (event,) = feed.on_control(json.dumps({"trades": trade, "s": "ok"}), ctx).events
    assert isinstance(event, FillSeen)
    assert (event.fill.trade_id, event.fill.order_id, str(event.fill.price)) == ("T1", "23121800292158", "12.35")
    assert event.fill.ts_event == 1702887691 * 10**9
    assert feed.on_control('{"code":1605,"message":"Successfully subscribed","s":"ok"}', ctx).events == ()
    assert isinstance(feed.on_control('{"edis": {}, "s": "ok"}', ctx).events[0], Raw)
