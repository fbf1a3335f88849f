"""What a feed reports itself reaches users like everything else: messages it missed, and quotes it read in Python."""

from __future__ import annotations

import asyncio
import json
import struct

import pytest
from dragoman.adapters.zerodha.adapter import ZerodhaAdapter
from dragoman.adapters.zerodha.feed import Ticker

from dragoman._core import Decoder, intern_instrument
from dragoman.emulator.contract import Push
from dragoman.market.handout import TickQueue
from dragoman.model import DepthLevel, Gap, Mode, Quote
from dragoman.plugin import (
    Control,
    Field,
    Framing,
    Key,
    Missed,
    PackedLayout,
    PackedStream,
    QuoteSeen,
    Select,
    WirePart,
)
from dragoman.runtime.dispatch import Mailbox
from dragoman.sync.iterators import put_ticks
from wire.trading import INFY, SBIN, play

NIFTY = "NSE:NIFTY_50=INDEX"
QUOTE = Quote(
    instrument_id=INFY,
    mode=Mode.FULL,
    last_price=1500.05,
    last_quantity=7,
    volume=120_000,
    open=1490.1,
    previous_close=1489.95,
    oi=None,
    price_band_high=1650.0,
    bids=(DepthLevel(1500.0, 30, 2), DepthLevel(1499.95, 10, 1)),
    asks=(DepthLevel(1500.1, 25, 3),),
    last_trade_time=1_700_000_000_000_000_000,
    ts_event=1_700_000_001_000_000_000,
    ts_recv=1_700_000_002_000_000_000,
)


class Talkative(Ticker):
    """Tells of what it missed and reads quotes, as a feed of text messages does."""

    quotes: dict[str, Quote] = {}

    def on_control(self, frame, ctx):
        message = json.loads(frame)
        match message.get("type"):
            case "missed":
                return Control(events=(Missed("7 messages were left out"),))
            case "quote":
                return Control(events=(QuoteSeen(self.quotes[message["name"]]),))
        return super().on_control(frame, ctx)


class Adapter(ZerodhaAdapter):
    feeds = (Talkative,)


def say(world, **message):
    """Send a text frame on every socket."""
    world.host.deliver([Push(number, json.dumps(message)) for number in world.emulator.ticker.sockets._clients])


def show(world, monkeypatch, **quotes):
    monkeypatch.setattr(Talkative, "quotes", quotes)
    for name in quotes:
        say(world, type="quote", name=name)


def test_what_a_feed_missed_makes_books_and_orders_stale_until_they_are_told_anew():
    async def scenario(world):
        client = world.client
        client.subscribe([INFY, SBIN], "full")
        await world.runtime.sleep(2)
        order = await world.rest()
        books = [client.book(name) for name in (INFY, SBIN)]
        assert not any(book.stale for book in books)
        world.fault("delay_reply=500ms")
        seen = []
        client.on_event(lambda event: seen.append((event, [b.stale for b in books], client.orders_service.stale)))
        requests = world.requests
        say(world, type="missed")
        await world.until(lambda: seen)
        ((gap, stale, orders_stale),) = seen
        assert isinstance(gap, Gap)
        assert (gap.stream, gap.shard, gap.reason) == ("market", 1, "7 messages were left out")
        assert stale == [True, True]
        assert orders_stale
        assert client.streams["market"].ready  # the connection stands: nothing is opened anew
        await world.until(lambda: not client.orders_service.stale)
        assert world.requests > requests  # by reading them
        assert client.order(order).status == "OPEN"
        listing = world.venue.listing(INFY)
        world.venue.set_price(INFY, listing.reference + listing.instrument.tick_size)
        await world.until(lambda: not books[0].stale)  # its next full record
        assert books[1].stale
        found = client.counters()["streams"]["market"]
        assert (found["gaps"], found["reconnects"], found["connects"]) == (1, 0, 1)
        assert 'dragoman_stream_gaps_total{broker="zerodha",account="emu_ZZ0001",stream="market",shard="1"} 1' in (
            client.metrics.prometheus()
        )

    play(scenario, adapter=Adapter)


def test_a_quote_read_in_python_reaches_ticks_batches_and_books_as_a_native_one(monkeypatch):
    async def scenario(world):
        client, ticks, batches, events = world.client, [], [], []
        client.on_tick(ticks.append)
        client.on_batch(lambda batch: batches.append(batch.records["last_price"].tolist()))
        client.on_event(events.append)
        iterator = client.ticks()
        show(world, monkeypatch, infy=QUOTE)
        tick = await anext(iterator)
        assert [tick] == ticks
        assert batches == [[1500.05]]
        assert (tick.instrument_id, tick.kind, tick.mode) == (INFY, "quote", "full")
        assert tick.as_dict() == {
            "ts_event": QUOTE.ts_event,
            "last_trade_time": QUOTE.last_trade_time,
            "last_price": 1500.05,
            "last_quantity": 7.0,
            "volume": 120_000.0,
            "open": 1490.1,
            "previous_close": 1489.95,
            "bid_price": 1500.0,
            "bid_quantity": 30.0,
            "ask_price": 1500.1,
            "ask_quantity": 25.0,
            "price_band_high": 1650.0,
        }
        assert tick.ts_recv == QUOTE.ts_recv
        book = client.book(INFY)
        assert (book.stale, book.bid_price, book.bid_quantity, book.ask_price) == (False, 1500.0, 30, 1500.1)
        assert [book.depth("bid"), book.depth("ask")] == [2, 1]
        assert client.counters()["ticks"] == 1
        assert client.metrics.latencies()["frame_to_handler"]["count"] == 1
        assert not any(isinstance(event, QuoteSeen) for event in events)
        assert client.counters()["streams"]["market"]["data_age_s"] is not None

    play(scenario, adapter=Adapter)


def test_a_quote_read_in_python_brings_a_book_only_where_there_is_one(monkeypatch):
    async def scenario(world):
        client, ticks = world.client, []
        client.on_tick(ticks.append)
        emptied = Quote(instrument_id=INFY, mode=Mode.FULL, last_price=1500.0)
        price = Quote(instrument_id=SBIN, mode=Mode.LTP, last_price=800.5)
        index = Quote(instrument_id=NIFTY, mode=Mode.FULL, last_price=24_800.15)
        best = QUOTE.bids[:1]
        unknown = Quote(instrument_id="NSE:UNLISTED", mode=Mode.QUOTE, last_price=None, volume=5.0, bids=best)
        before = world.runtime.clock.wall_ns()
        show(world, monkeypatch, full=QUOTE, emptied=emptied, price=price, index=index, unknown=unknown)
        await world.until(lambda: len(ticks) == 5)
        assert [tick.instrument_id for tick in ticks] == [INFY, INFY, SBIN, NIFTY, "NSE:UNLISTED"]
        assert [tick.mode for tick in ticks] == ["full", "full", "ltp", "full", "quote"]
        assert ticks[4].as_dict() == {"volume": 5.0, "bid_price": 1500.0, "bid_quantity": 30.0}
        assert before <= ticks[2].ts_recv <= world.runtime.clock.wall_ns()
        assert (client.book(INFY).stale, client.book(INFY).depth("bid")) == (False, 0)
        assert client.book(SBIN).stale
        assert client.book(NIFTY).stale
        await client.close()
        world.client.market.on_quote(QUOTE)  # after the end nobody hears it
        assert len(ticks) == 5

    play(scenario, adapter=Adapter)


# -- what waits for a slow consumer ------------------------------------------------------------------------------------

TRADES_AND_QUOTES = PackedStream(
    "both",
    "big",
    Framing.back_to_back(),
    Select.by_code(WirePart("u8", 0)),
    layouts=tuple(
        PackedLayout(kind, 9, Key(WirePart("u32", 1)), (Field("last_price", "i32", 5),), code=code, kind=kind)
        for code, kind in enumerate(("quote", "trade"))
    ),
)


def frame(*ticks):
    return b"".join(struct.pack(">BIi", *tick) for tick in ticks)


@pytest.fixture
def decoder():
    decoder = Decoder(TRADES_AND_QUOTES.compile())
    for key in (1, 2):
        decoder.bind(key, intern_instrument(f"NSE:KIND{key}"))
    return decoder


WAITING = [
    ("quote", "NSE:KIND1", 12.0),
    ("trade", "NSE:KIND1", 11.0),
    ("quote", "NSE:KIND2", 20.0),
    ("trade", None, 31.0),
]
FRAMES = (frame((0, 1, 10), (1, 1, 11), (0, 2, 20), (1, 3, 30)), frame((0, 1, 12), (1, 3, 31)))


def shown(tick):
    return (tick.kind, tick.instrument_id, tick.last_price)


def test_a_trade_does_not_replace_a_quote_that_waits(decoder):
    async def main():
        queue = TickQueue()
        for data in FRAMES:
            queue.put(decoder.decode(data, 1))
        queue.close()
        assert queue.conflated == 2
        return [shown(tick) async for tick in queue]

    assert asyncio.run(main()) == WAITING


def test_nor_does_it_in_the_queues_of_the_blocking_face(decoder):
    box = Mailbox()
    for data in FRAMES:
        put_ticks(box, decoder.decode(data, 1))
    assert box.conflated == 2
    assert [shown(box.take()) for _ in range(4)] == WAITING
