"""Subscriptions, books, ticks and quotes of a client, against the emulator in memory."""

from __future__ import annotations

import asyncio
import gc

import pytest
from dragoman.adapters.zerodha.adapter import ZerodhaAdapter
from dragoman.adapters.zerodha.feed import Ticker

from dragoman.errors import ErrorKind, Rejected, UsageError
from dragoman.model import Mode
from wire.trading import INFY, SBIN, play

NIFTY = "NSE:NIFTY_50=INDEX"


class Listener:
    """Keeps the last tick of each instrument, and how many there were."""

    def __init__(self, client):
        self.last = {}
        self.count = 0
        self.stop = client.on_batch(self)

    def __call__(self, batch):
        for tick in batch:
            self.last[tick.instrument_id] = tick
            self.count += 1


async def settled(world, seconds=1.0):
    await world.runtime.sleep(seconds)


async def move(world, name=INFY, ticks=3):
    """Let the market of an instrument move, and wait until it has been streamed."""
    listing = world.venue.listing(name)
    tick = listing.instrument.tick_size
    world.venue.set_price(name, listing.reference // tick * tick + ticks * tick)
    await settled(world)


def small(most: int):
    """Return the adapter with one socket that carries `most` instruments."""
    from dataclasses import replace

    class Small(ZerodhaAdapter):
        capabilities = replace(ZerodhaAdapter.capabilities, max_instruments_per_socket=most, max_sockets=1)

    return Small


@pytest.mark.parametrize("mode", sorted(ZerodhaAdapter.capabilities.modes))
def test_each_mode_brings_what_it_carries(mode):
    async def scenario(world):
        listener = Listener(world.client)
        (instrument,) = world.client.subscribe(INFY, mode)
        await settled(world)
        tick = listener.last[INFY]
        assert (tick.mode, tick.key) == (mode.value, int(instrument.broker_token))
        assert tick.last_price == float(world.venue.market(INFY).last_price)
        assert (tick.volume is None) == (mode is Mode.LTP)
        assert (tick.ts_event is None) == (mode is not Mode.FULL)
        assert world.client.market.subscribed == {INFY: mode}

    play(scenario)


def test_a_mode_the_broker_lacks_is_refused_and_nothing_is_wanted():
    async def scenario(world):
        with pytest.raises(UsageError, match="deep"):
            world.client.subscribe(INFY, Mode.DEEP)
        assert world.client.market.subscribed == {}

    play(scenario)


def test_asking_again_changes_the_mode_and_asking_for_the_same_sends_nothing():
    async def scenario(world):
        heard = world.host.counters
        world.client.subscribe([INFY, SBIN], "ltp")
        await settled(world)
        before = heard.messages
        world.client.subscribe([INFY, SBIN, INFY], Mode.LTP)
        await settled(world)
        assert heard.messages == before
        listener = Listener(world.client)
        world.client.subscribe(INFY, "full")
        await settled(world)
        assert listener.last[INFY].mode == "full"
        assert world.client.market.subscribed == {INFY: Mode.FULL, SBIN: Mode.LTP}

    play(scenario)


def test_what_is_unsubscribed_ticks_no_more():
    async def scenario(world):
        world.client.subscribe([INFY, SBIN], "full")
        await settled(world)
        world.client.unsubscribe([SBIN])
        await settled(world)
        listener = Listener(world.client)
        await move(world, SBIN)
        await move(world, INFY)
        assert set(listener.last) == {INFY}
        world.client.unsubscribe([SBIN])  # once more is no error
        assert world.client.market.subscribed == {INFY: Mode.FULL}

    play(scenario)


@pytest.mark.parametrize("how", ["unsubscribe", "a lesser mode"])
def test_a_book_without_its_depth_reads_stale_even_if_a_frame_was_on_its_way(how):
    async def scenario(world):
        world.client.subscribe(INFY, "full")
        await settled(world)
        book = world.client.book(INFY)
        assert not book.stale
        world.fault("delay_frames=500ms")
        listing = world.venue.listing(INFY)
        world.venue.set_price(INFY, listing.reference // listing.instrument.tick_size * listing.instrument.tick_size)
        await world.runtime.sleep(0.3)  # its frame is under way now
        before = book.updates
        if how == "unsubscribe":
            world.client.unsubscribe(INFY)
        else:
            world.client.subscribe(INFY, "ltp")
        assert book.stale
        await settled(world, 2)
        assert book.updates > before  # the frame came
        assert book.stale
        world.client.subscribe(INFY, "full")
        await settled(world, 2)
        assert not book.stale

    play(scenario)


def test_books_are_live_go_stale_with_a_cut_and_come_back():
    async def scenario(world):
        world.client.subscribe([INFY, SBIN], "full")
        world.sell_into(world.price(5), 30)
        await settled(world)
        books = [world.client.book(name) for name in (INFY, SBIN)]
        assert [book.stale for book in books] == [False, False]
        assert (books[0].ask_price, books[0].ask_quantity) == (float(world.price(5)), 30)
        await world.cut()
        assert [book.stale for book in books] == [True, True]
        assert books[0].snapshot().stale
        world.heal()
        await world.until(lambda: not any(book.stale for book in books))
        assert world.client.book(INFY).ask_quantity == 30

    play(scenario)


def test_blocks_that_views_hold_are_those_of_the_open_connection():
    async def scenario(world):
        def held():
            return world.client.counters()["streams"]["market"]["decoder"]["blocks_held"]

        views = []
        stop = world.client.on_batch(lambda batch: views.append(batch.records))
        world.client.subscribe([INFY, SBIN], "full")
        await settled(world)
        await move(world)
        assert held() == len(views) > 0
        stop()
        await world.cut()
        world.heal()
        await world.until(lambda: world.client.streams["market"].ready)
        assert held() == 0
        views.clear()
        assert held() == 0

    play(scenario)


def test_closing_leaves_no_book_that_looks_live_and_says_so_to_who_subscribes():
    async def scenario(world):
        world.client.subscribe(INFY, "full")
        await settled(world)
        book, ticks = world.client.book(INFY), world.client.ticks()
        await world.client.close()
        await world.client.close()  # twice is once
        assert book.stale
        async for _ in ticks:
            pass  # ends
        with pytest.raises(UsageError, match="connect again"):
            world.client.subscribe(SBIN)

    play(scenario)


def test_reconnecting_subscribes_everything_in_its_mode():
    async def scenario(world):
        wanted = {INFY: Mode.FULL, SBIN: Mode.QUOTE, NIFTY: Mode.LTP}
        for name, mode in wanted.items():
            world.client.subscribe(name, mode)
        await settled(world)
        await world.cut()
        listener = Listener(world.client)
        world.client.subscribe("NSE:TCS", "ltp")  # asked for while it is down
        world.client.unsubscribe(SBIN)
        world.heal()
        await world.until(lambda: len(listener.last) == 3)
        assert {name: tick.mode for name, tick in listener.last.items()} == {
            INFY: "full",
            NIFTY: "ltp",
            "NSE:TCS": "ltp",
        }
        assert world.client.counters()["streams"]["market"]["reconnects"] == 1

    play(scenario)


def test_a_slow_consumer_gets_the_newest_tick_of_each_instrument():
    async def scenario(world):
        world.client.subscribe([INFY, SBIN], "ltp")
        ticks = world.client.ticks()
        await settled(world)
        for step in range(1, 6):
            await move(world, INFY, step)
        first, second = await anext(ticks), await anext(ticks)
        by_name = {tick.instrument_id: tick for tick in (first, second)}
        assert by_name[INFY].last_price == float(world.venue.market(INFY).last_price)
        assert by_name[SBIN].last_price == float(world.venue.market(SBIN).last_price)
        assert world.client.counters()["conflated"] == 5
        waiting = asyncio.ensure_future(anext(ticks))
        await world.runtime.sleep(0.1)
        assert not waiting.done()
        await move(world, SBIN)
        assert (await waiting).instrument_id == SBIN
        await ticks.aclose()
        assert world.client.counters()["conflated"] == 5  # what was counted stays counted

    play(scenario)


def test_an_iterator_nobody_holds_collects_nothing():
    async def scenario(world):
        world.client.subscribe(INFY, "ltp")
        held = world.client.ticks()
        world.client.ticks()
        gc.collect()
        await move(world)
        assert len(world.client.market._tick_queues) == 1
        assert (await anext(held)).instrument_id == INFY

    play(scenario)


def test_quotes_of_each_mode_are_read_and_what_the_broker_left_out_is_missing():
    class Forgetful(ZerodhaAdapter):
        def quotes(self, instruments, mode, ctx):
            rows = yield from super().quotes(instruments, mode, ctx)
            return [row for row in rows if row.instrument_id != SBIN]

    async def scenario(world):
        found = await world.client.quotes([INFY, SBIN, NIFTY])
        assert set(found) == {INFY, NIFTY}
        assert found[INFY].instrument == world.client.instruments.handle(world.client.instrument(INFY))
        assert await world.client.ltp("NSE:INFY") == {INFY: float(world.venue.market(INFY).last_price)}
        assert (await world.client.quote(INFY)).mode is Mode.FULL
        assert await world.client.quotes([]) == {}
        with pytest.raises(Rejected) as caught:
            await world.client.quote(SBIN)
        assert caught.value.kind is ErrorKind.INSTRUMENT_NOT_FOUND

    play(scenario, adapter=Forgetful)


@pytest.mark.parametrize("name", ["NSE:INFYY", "INFY", "", "NSE:", 42, None])
def test_an_unknown_instrument_is_refused_with_zero_bytes(name):
    async def scenario(world):
        before = (world.requests, world.host.counters.messages)
        for act in (world.client.subscribe, world.client.unsubscribe, world.client.book, world.client.instrument):
            with pytest.raises(UsageError) as caught:
                act([name] if act == world.client.subscribe else name)
            if isinstance(name, str):
                assert caught.value.kind is ErrorKind.INSTRUMENT_NOT_FOUND
        for asking in (world.client.quotes([name]), world.client.place(name, "BUY", 1)):
            with pytest.raises(UsageError):
                await asking
        assert (world.requests, world.host.counters.messages) == before
        if name == "NSE:INFYY":
            assert INFY in caught.value.remedy

    play(scenario)


@pytest.mark.logs  # the handler is named in the log
def test_a_batch_handler_that_raises_is_counted_and_the_others_hear_everything():
    async def scenario(world):
        def broken(_):
            raise ZeroDivisionError("a defect of the user")

        world.client.on_batch(broken)
        listener = Listener(world.client)
        world.client.subscribe(INFY, "full")
        for step in range(1, 4):
            await move(world, INFY, step)
        assert listener.count >= 3
        assert world.client.counters()["handler_errors"] >= 3
        assert world.client.counters()["streams"]["market"]["handler_errors"] == 0
        assert not world.client.book(INFY).stale
        listener.stop()
        before = listener.count
        await move(world)
        assert listener.count == before

    play(scenario)


def test_an_index_has_a_value_and_no_book():
    async def scenario(world):
        listener = Listener(world.client)
        world.client.subscribe(NIFTY, "full")
        await settled(world)
        tick = listener.last[NIFTY]
        assert (tick.volume, tick.bid_price, bool(tick.flags)) == (None, None, True)
        assert tick.last_price == float(world.venue.market(NIFTY).last_price)
        assert world.client.book(NIFTY).depth("bid") == 0
        before = world.requests
        with pytest.raises(UsageError) as caught:
            await world.client.place(NIFTY, "BUY", 1)
        assert caught.value.kind is ErrorKind.INSTRUMENT_NOT_TRADABLE
        assert world.requests == before

    play(scenario)


def test_currencies_have_four_decimals_and_more():
    async def scenario(world):
        listener = Listener(world.client)
        futures = [
            instrument
            for venue in ("CDS", "BCD")
            for instrument in world.client.instruments.futures(f"{venue}:USDINR")[:1]
        ]
        assert len(futures) == 2
        world.client.subscribe(futures, "full")
        await settled(world)
        for instrument in futures:
            price = world.venue.market(instrument.instrument_id).last_price
            assert listener.last[instrument.instrument_id].last_price == float(price)
            assert price % 1

    play(scenario)


def test_more_than_a_socket_carries_is_refused_and_changes_nothing():
    async def scenario(world):
        world.client.subscribe([INFY, SBIN])
        await settled(world)
        before = world.host.counters.messages
        with pytest.raises(UsageError, match="a socket carries 3"):
            world.client.subscribe(["NSE:TCS", "NSE:RELIANCE"])
        await settled(world)
        assert world.host.counters.messages == before
        assert set(world.client.market.subscribed) == {INFY, SBIN}
        world.client.subscribe([INFY, SBIN, "NSE:TCS"], "ltp")

    play(scenario, adapter=small(3))


def test_a_mode_the_broker_lacks_is_refused():
    async def scenario(world):
        for mode in ("best", "", None):
            with pytest.raises(UsageError, match="ltp"):
                world.client.subscribe(INFY, mode)
            with pytest.raises(UsageError, match="ltp"):
                await world.client.quotes(INFY, mode)

    play(scenario)


def test_without_streams_subscribing_says_what_is_missing():
    async def scenario(world):
        with pytest.raises(UsageError, match="streams=True"):
            world.client.subscribe(INFY)
        assert world.client.market.subscribed == {}

    play(scenario, streams=False)


def test_each_connection_has_its_own_feed():
    made = []

    class Counting(Ticker):
        def __init__(self):
            made.append(self)

    class Adapter(ZerodhaAdapter):
        feeds = (Counting,)

    async def scenario(world):
        await world.cut()
        world.heal()
        await world.until(lambda: world.client.streams["market"].ready)
        assert len(set(map(id, made))) == len(made) >= 2

    play(scenario, adapter=Adapter)
