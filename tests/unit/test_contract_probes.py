"""What other brokers ask of the contract, each as a mini adapter, feed or flow with scripted replies.

A probe is short on purpose: if one needs more than forty lines or a special case in the engine, the contract is wrong.
Shapes and vectors are those of the brokers' documents; the names are theirs because the behaviour is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import pathlib
import struct
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from urllib.parse import urlencode

import pytest

from dragoman._core import FIELDS, Decoder, intern_instrument
from dragoman.errors import Effect, ErrorKind, OutcomeUnknown, Rejected, Retry
from dragoman.model import (
    AssetClass,
    DepthLevel,
    Fill,
    Instrument,
    InstrumentType,
    Mode,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    Outcome,
    Pending,
    Position,
    Product,
    Quote,
    Reject,
    Side,
)
from dragoman.orders import OrderStore
from dragoman.orders.requests import order_of
from dragoman.plugin import (
    Adapter,
    Control,
    Define,
    Endpoint,
    Failure,
    Feed,
    Field,
    FillSeen,
    Framing,
    Key,
    PackedLayout,
    PackedStream,
    Part,
    QuoteSeen,
    Ready,
    Refer,
    Request,
    Scale,
    Schema,
    Select,
    Send,
    StallRule,
    Vector,
    WirePart,
)
from dragoman.testing import ScriptedContext, drive, reply
from fixtures.zerodha.account import ADAPTER as KITE
from fixtures.zerodha.account import body, context

D = Decimal
CTX = ScriptedContext()
ITEM = Instrument("US:SPY", "SPY", "US", AssetClass.EQUITY, InstrumentType.SPOT, "SPY", "756733")
ORDER = OrderRequest(instrument_id="US:SPY", side=Side.BUY, quantity=D(1), wire_id="0000100001AB")


class Mini(Adapter):
    """The least an adapter must say: every reply without an ``error`` is a success."""

    name = "mini"

    def classify(self, answer, request):
        text = answer.json.get("error") if isinstance(answer.json, dict) else None
        return Failure(ErrorKind.EXCHANGE_REJECTED, text, "error", text) if text else None


# --- IBKR: an order that asks a question back ------------------------------------------------------------------------


class Questions(Mini):
    accepted = frozenset(("o163", "o354"))  # message ids the user agreed to beforehand

    def place(self, order, instrument, ctx):
        answer = yield Request(method="POST", path="/iserver/account/U1/orders", json={"orders": [{}]}, mutates=True)
        for _ in range(20):
            (first,) = answer.json
            if "order_id" in first:
                return Outcome.accepted(first["order_id"])
            if not self.accepted.issuperset(first["messageIds"]):
                reject = Reject(ErrorKind.LOCAL_DENIED, " ".join(first["message"]), retry=Retry.USER_ACTION)
                return Outcome.rejected(reject)
            path = f"/iserver/reply/{first['id']}"
            answer = yield Request(method="POST", path=path, json={"confirmed": True}, mutates=True)
        raise OutcomeUnknown("mini: the questions do not end", broker=self.name)


def question(ident, message_id):
    return [{"id": ident, "message": ["really?"], "messageIds": [message_id], "isSuppressed": False}]


def test_an_order_that_asks_a_question_back():
    placed = [{"order_id": "1234", "order_status": "Submitted"}]
    run = drive(Questions().place(ORDER, ITEM, CTX), [question("a", "o163"), question("b", "o354"), placed])
    assert run.result == Outcome.accepted("1234")
    assert [item.path.rsplit("/", 2)[1:] for item in run.requests[1:]] == [["reply", "a"], ["reply", "b"]]
    assert all(item.mutates for item in run.requests)
    assert drive(Questions().place(ORDER, ITEM, CTX), [question("a", "o10331")]).result.reject.text == "really?"
    with pytest.raises(OutcomeUnknown):
        drive(Questions().place(ORDER, ITEM, CTX), [question("a", "o163")] * 21)
    with pytest.raises(Rejected, match="no money"):
        drive(Questions().place(ORDER, ITEM, CTX), [{"error": "no money"}], adapter=Questions(), ctx=CTX)


# --- Fyers: topic ids, precision after the values, an acknowledgement every n frames ---------------------------------

SNAPSHOT = (pathlib.Path(__file__).parents[1] / "fixtures" / "topic_snapshot.hex").read_text()  # one frame, SBIN
ACKNOWLEDGE = bytes.fromhex("00090301010004")
UPDATE = "005f06000000020001550005150001a16200bc6164" + "80000000" * 19
TOPIC, VECTOR = WirePart("u16", 1), {"type": "i32", "unchanged": -(2**31)}
DEFINE = Define(TOPIC, WirePart("u8", 3), 4, Vector(WirePart("u8", 0), **VECTOR, after_name=True),
                precision=WirePart("u8", 4), multiplier=WirePart("u16", 2), tail_size=5, tail_texts=3)  # fmt: skip
SCRIP = (Field("last_price", "i32", 0, scaled=True), Field("volume", "u32", 4), Field("open", "i32", 76, scaled=True))


class TopicFeed(Feed):
    authenticates_in_band = True
    layouts = PackedStream(
        "topics", "big", Framing.counted(count=WirePart("u16", 7), header=9, length=None),
        Select.by_code(WirePart("u8", 0)), layouts=(
            PackedLayout("define", 0, code=0x53, merge=True, scale=Scale.topic(), define=DEFINE),
            PackedLayout("update", 0, code=0x55, merge=True, scale=Scale.topic(),
                         refer=Refer(TOPIC, Vector(WirePart("u8", 3), **VECTOR))),
        ),
        data_when=(WirePart("u8", 2), (6,)), message_number=WirePart("u32", 3), schemas=(Schema("scrip", "sf", SCRIP),),
    )  # fmt: skip
    every = frames = 0

    def on_control(self, frame, ctx):
        self.every = int.from_bytes(frame[11:15], "big")
        return Control(events=(Ready(),)) if frame[2:3] + frame[7:8] == b"\x01K" else Control()

    def on_count(self, number, ctx):
        self.frames += 1
        due = self.every and self.frames % self.every == 0
        return Control((Send(ACKNOWLEDGE + number.to_bytes(4, "big")),)) if due else Control()


def test_a_topic_feed_with_later_precision_and_an_acknowledgement_every_n_frames():
    feed, decoder = TopicFeed(), Decoder(TopicFeed.layouts.compile())
    decoder.bind_text(b"sf|nse_cm|3045", intern_instrument("NSE:SBIN"))
    auth = bytes.fromhex("000d01020100014b02000400000002")  # accepted; acknowledge every 2 frames
    assert feed.on_control(auth[slice(*decoder.decode(auth).control[0])], CTX).events == (Ready(),)
    (first,) = decoder.decode(bytes.fromhex(SNAPSHOT))
    assert (first.instrument_id, first.last_price, first.volume, first.open) == ("NSE:SBIN", 1068.45, 12345678, 1075)
    assert feed.on_count(decoder.count, CTX) == Control()
    (second,) = decoder.decode(bytes.fromhex(UPDATE))
    assert (second.last_price, second.volume, second.open) == (1068.5, 12345700, 1075)
    assert second.changed == 1 << FIELDS.index("last_price") | 1 << FIELDS.index("volume")
    assert feed.on_count(decoder.count, CTX) == Control((Send(ACKNOWLEDGE + b"\0\0\0\2"),))


# --- Noren: partial updates ------------------------------------------------------------------------------------------


class PartialFeed(Feed):
    """Text today: the feed merges, and dies with the connection, so nothing old is merged into anything new."""

    def __init__(self):
        self.rows = {}

    def on_control(self, frame, ctx):
        row = json.loads(frame)
        if row["t"] not in ("tk", "tf"):
            return Control()
        key = f"{row['e']}:{row['tk']}"
        whole = self.rows[key] = (self.rows.get(key, {}) if row["t"] == "tf" else {}) | row
        number = lambda name: float(whole[name]) if name in whole else None  # noqa: E731
        quote = Quote(
            instrument_id=key,
            mode=Mode.QUOTE,
            last_price=number("lp"),
            volume=number("v"),
            high=number("h"),
            oi=number("oi"),
            raw=row,
        )
        return Control(events=(QuoteSeen(quote),))


def test_partial_updates_of_a_text_stream():
    feed, seen = PartialFeed(), []
    for frame in (
        '{"t":"tk","e":"NSE","tk":"11630","ts":"NTPC-EQ","lp":"118.55","h":"118.65","v":"162220"}',
        '{"t":"tf","e":"NSE","tk":"11630","lp":"118.45","v":"166637"}',
        '{"t":"tf","e":"NSE","tk":"11630","v":"166638"}',
    ):
        (event,) = feed.on_control(frame, CTX).events
        seen.append((event.quote.last_price, event.quote.volume, event.quote.high, event.quote.oi))
    assert seen == [(118.55, 162220, 118.65, None), (118.45, 166637, 118.65, None), (118.45, 166638, 118.65, None)]
    assert PartialFeed().on_control('{"t":"tf","e":"NSE","tk":"11630","v":"1"}', CTX).events[0].quote.last_price is None


def test_partial_updates_of_a_binary_stream():
    fields = (Field("last_price", "u32", 4, divisor=100, unchanged=0), Field("volume", "u32", 8, unchanged=0))
    layout = PackedLayout("touchline", 12, Key(WirePart("u32", 0)), fields, merge=True)
    stream = PackedStream("partial", "little", Framing.single(), Select.by_length(), layouts=(layout,))
    decoder = Decoder(stream.compile())
    ticks = [decoder.decode(struct.pack("<3I", 7, *row))[0] for row in ((11855, 162220), (11845, 0), (0, 0))]
    assert [(tick.last_price, tick.volume) for tick in ticks] == [(118.55, 162220), (118.45, 162220), (118.45, 162220)]
    assert [tick.changed for tick in ticks] == [0b1001, 0b0001, 0]
    (fresh,) = Decoder(stream.compile()).decode(struct.pack("<3I", 7, 0, 5))
    assert (fresh.last_price, fresh.volume) == (None, 5)


# --- Upstox: a feed URL that works once ------------------------------------------------------------------------------


class OnceFeed(Feed):
    def connect(self, ctx):
        answer = yield Request(path="/v3/feed/market-data-feed/authorize", meter="default")
        return Endpoint(answer.json["data"]["authorized_redirect_uri"])


def test_a_feed_url_that_works_once_is_fetched_for_each_connection():
    urls = [f"wss://feed.example/?requestId=1&code={n}" for n in range(2)]
    runs = [drive(OnceFeed().connect(CTX), [{"data": {"authorized_redirect_uri": url}}]) for url in urls]
    assert [run.result.url for run in runs] == urls
    assert [len(run.requests) for run in runs] == [1, 1]
    assert "code" not in repr(runs[0].result)


# --- Kraken: nonce inside the body, signature over the final bytes ---------------------------------------------------


class Signing(Mini):
    def authorize(self, request, body, ctx):
        form = (("nonce", str(ctx.nonce())), *(request.form or ()))
        digest = hashlib.sha256(form[0][1].encode() + urlencode(form).encode()).digest()
        key = base64.b64decode(ctx.credentials["secret"].reveal())
        signature = base64.b64encode(hmac.digest(key, request.path.encode() + digest, "sha512")).decode()
        return replace(request, form=form, headers=(*request.headers, ("API-Sign", signature)))

    def place(self, order, instrument, ctx):
        form = (("ordertype", "limit"), ("pair", "XBTUSD"), ("price", "37500"), ("type", "buy"), ("volume", "1.25"))
        answer = yield Request(method="POST", path="/0/private/AddOrder", form=form, mutates=True)
        return Outcome.accepted(answer.json["result"]["txid"][0])


def test_nonce_and_signature_over_the_final_bytes():
    secret = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
    ctx = ScriptedContext(credentials={"secret": secret})
    ctx.nonce = iter((1616492376594, 1616492376595)).__next__
    run = drive(Signing().place(ORDER, ITEM, ctx), [{"result": {"txid": ["OU1"]}}], adapter=Signing(), ctx=ctx)
    assert run.bodies == [b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"]
    assert dict(run.requests[0].headers)["API-Sign"] == (
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    )
    assert run.result.order_id == "OU1"


# --- Binance WS API: an order over a socket --------------------------------------------------------------------------


class Socketed(Mini):
    def correlate(self, message):
        ident = json.loads(message).get("id") if isinstance(message, str) else None
        return None if ident is None else str(ident)

    def classify(self, answer, request):
        row = answer.json
        if row.get("status") == 200:
            return None
        return Failure(ErrorKind.BAD_REQUEST, row["error"]["msg"], str(row["error"]["code"]), effect=Effect.NONE)

    def authorize(self, request, body, ctx):
        params = request.json["params"] | {"apiKey": ctx.credentials["key"].reveal()}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        signature = hmac.new(ctx.credentials["secret"].reveal().encode(), payload.encode(), "sha256").hexdigest()
        return replace(request, json=request.json | {"params": params | {"signature": signature}})

    def place(self, order, instrument, ctx):
        params = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000000",
                  "price": "52000.00", "recvWindow": 100, "timestamp": 1645423376532}  # fmt: skip
        message = {"id": order.wire_id, "method": "order.place", "params": params}
        answer = yield Request(via="socket", socket="orders", correlation=order.wire_id, json=message, mutates=True)
        return Outcome.accepted(str(answer.json["result"]["orderId"]))


def test_an_order_over_a_socket_with_a_correlation_id():
    key = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    adapter, ctx = Socketed(), ScriptedContext(credentials={"key": key, "secret": secret})
    said = {"id": ORDER.wire_id, "status": 200, "result": {"orderId": 12569099453}}
    run = drive(adapter.place(ORDER, ITEM, ctx), [said], adapter=adapter, ctx=ctx)
    sent = json.loads(run.bodies[0])
    assert sent["params"]["signature"] == "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"
    assert adapter.correlate(json.dumps(said)) == run.requests[0].correlation == sent["id"]
    assert adapter.correlate('{"e":"executionReport"}') is None
    assert run.result.order_id == "12569099453"
    refused = said | {"status": 400, "error": {"code": -1013, "msg": "Filter failure"}}
    with pytest.raises(Rejected, match="Filter failure"):
        drive(adapter.place(ORDER, ITEM, ctx), [refused], adapter=adapter, ctx=ctx)


# --- OANDA: newline JSON over chunked HTTP ---------------------------------------------------------------------------


class LineFeed(Feed):
    channel = "http-stream"
    stall = StallRule(any_frame_s=10.0)
    carries_orders = True

    def connect(self, ctx):
        yield from ()
        bearer = (("Authorization", f"Bearer {ctx.credentials['token'].reveal()}"),)
        return Endpoint(f"{ctx.hosts['stream']}/v3/accounts/1/pricing/stream?instruments=EUR_USD", headers=bearer)

    def on_control(self, frame, ctx):
        row = json.loads(frame)
        if row["type"] == "PRICE":
            sides = {side: tuple(DepthLevel(float(level["price"]), level["liquidity"], 0) for level in row[side])
                     for side in ("bids", "asks")}  # fmt: skip
            quote = Quote(instrument_id="OANDA:EUR/USD", mode=Mode.FULL, last_price=None, **sides, raw=row)
            return Control(events=(QuoteSeen(quote),))
        if row["type"] == "ORDER_FILL":
            units, side = D(row["units"]), Side.SELL if row["units"].startswith("-") else Side.BUY
            fill = Fill(trade_id=row["id"], order_id=row["orderID"], instrument_id="OANDA:EUR/USD", side=side,
                        quantity=abs(units), price=D(row["price"]))  # fmt: skip
            return Control(events=(FillSeen(fill),))
        return Control()  # a heartbeat: any line keeps the stream alive


def test_newline_json_over_chunked_http():
    ctx = ScriptedContext(credentials={"token": "t"}, hosts={"stream": "https://stream.example"})
    endpoint = drive(LineFeed().connect(ctx)).result
    assert (endpoint.url.split("/")[0], dict(endpoint.headers)) == ("https:", {"Authorization": "Bearer t"})
    lines = (
        '{"type":"PRICE","time":"x","bids":[{"price":"1.1","liquidity":1000000}],"asks":[],"instrument":"EUR_USD"}\n'
        '{"type":"HEARTBEAT","time":"x"}\n'
        '{"type":"ORDER_FILL","id":"7","orderID":"6","units":"-100","price":"1.1000","instrument":"EUR_USD"}\n'
    ).splitlines()
    events = [event for line in lines for event in LineFeed().on_control(line, ctx).events]
    assert events[0].quote.bid_price == 1.1
    assert (events[1].fill.side, events[1].fill.quantity, events[1].fill.price) == (Side.SELL, 100, D("1.1000"))
    assert LineFeed.channel == "http-stream"


# --- positions in pages ----------------------------------------------------------------------------------------------


class Paged(Mini):
    def positions(self, ctx):
        found = []
        for page in range(1000):
            answer = yield Request(path=f"/portfolio/U1/positions/{page}")
            rows = [
                Position(instrument_id=f"US:{row['conid']}", product=Product.MARGIN, quantity=D(str(row["position"])))
                for row in answer.json
            ]
            found += rows
            yield Part(rows, done=len(found))
            if len(rows) < 100:
                return found
        raise AssertionError("the pages do not end")


def test_paged_positions_reach_the_caller_page_by_page():
    pages = [
        [{"conid": 100 * page + n, "position": 1.5} for n in range(size)] for page, size in enumerate((100, 100, 7))
    ]
    run = drive(Paged().positions(CTX), [reply(page) for page in pages], adapter=Paged(), ctx=CTX)
    assert len(run.result) == 207
    assert run.rows == run.result
    assert [effect.done for effect in run.effects if isinstance(effect, Part)] == [100, 200, 207]
    assert [request.path[-1] for request in run.requests] == ["0", "1", "2"]
    assert drive(Paged().positions(CTX), [reply(body=b"[]")]).result == []


# --- a master of 50 MB -----------------------------------------------------------------------------------------------

MASTER = """
import resource
from dragoman.adapters.zerodha import ZerodhaAdapter
from dragoman.adapters.zerodha.master import COLUMNS
from dragoman.testing import ScriptedContext, drive

def pieces(total):
    rest, sent, row = ",".join(COLUMNS).encode() + b"\\n", 0, 0
    while sent < total:
        while len(rest) < 65536:
            row += 1
            rest += f'{row},{row},S{row},"{"name " * 60}",0,,0,0.05,1,EQ,NSE,NSE\\n'.encode()
        yield rest[:65536]
        rest, sent = rest[65536:], sent + 65536
    yield rest

def load(total):
    rows = 0
    def sink(found):
        nonlocal rows
        rows += len(found)
    flow = ZerodhaAdapter().instruments(ScriptedContext())
    return drive(flow, [pieces(total)], sink=sink).result, rows

load(1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
counted, rows = load(50 << 20)
assert counted == rows > 150_000, rows
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_streamed_master_of_50_mb_grows_memory_by_less_than_30_mb():
    done = subprocess.run([sys.executable, "-c", MASTER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 30 * 1024  # ru_maxrss counts KiB


# --- Alpaca: a replace that changes the id ---------------------------------------------------------------------------


class Replacing(Mini):
    def modify(self, order, change, instrument, ctx):
        path, changes = f"/v2/orders/{order.order_id}", {"limit_price": str(change.price)}
        answer = yield Request(method="PATCH", path=path, json=changes, mutates=True, limit_key=order.order_id)
        return Outcome.accepted(answer.json["id"], replaces=answer.json["replaces"])


def test_a_replace_that_changes_the_id():
    store = OrderStore(str)
    sent = Order(instrument_id="US:SPY", side=Side.BUY, quantity=D(1), client_order_id="mine", price=D(10),
                 status=OrderStatus.SUBMITTED)  # fmt: skip
    store.create(sent)
    order = store.settle("mine", Outcome.accepted("old"), 1)
    store.ask("mine", Pending.MODIFY, {"price": D("10.5")})
    flow = Replacing().modify(order, OrderChange(price=D("10.5")), ITEM, CTX)
    outcome = drive(flow, [{"id": "new", "replaces": "old", "status": "accepted"}]).result
    store.rename("mine", outcome.order_id, outcome.replaces)
    done = replace(sent, client_order_id="", order_id="new", status=OrderStatus.OPEN, price=D("10.5"))
    store.see(done, "stream")
    store.see(replace(done, order_id="old", status=OrderStatus.CANCELED), "stream")
    after = store.get("old")
    assert (after.client_order_id, after.order_id, after.order_ids) == ("mine", "new", ("old", "new"))
    assert (after.status, after.price, after.pending) == (OrderStatus.OPEN, D("10.5"), Pending.NONE)


# --- Kite: a slice with one failed child -----------------------------------------------------------------------------


def test_a_slice_with_one_failed_child():
    ctx = context()
    infy = ctx.instruments.get("NSE:INFY")
    order = replace(ORDER, instrument_id="NSE:INFY", extras={"zerodha": {"autoslice": True}}, client_order_id="mine")
    run = drive(KITE.place(KITE.check_order(order, infy), infy, ctx), [body("autoslice")], adapter=KITE, ctx=ctx)
    assert [child.effect for child in run.result.children] == ["ACCEPTED", "REJECTED", "ACCEPTED"]
    store = OrderStore(str)
    store.create(order_of(order, "zerodha", 1))
    parent = store.settle("mine", run.result, 2)
    assert parent.status is OrderStatus.ACCEPTED
    assert [store.get(name).status for name in store.children("mine")] == ["ACCEPTED", "REJECTED", "ACCEPTED"]
    failed = store.get("mine/2")
    assert (failed.order_id, failed.reject.kind) == ("", ErrorKind.INSUFFICIENT_MARGIN)
