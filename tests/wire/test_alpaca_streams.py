"""Alpaca's streams against its emulator: three of a kind, binary order updates, limits, reconnects."""

from __future__ import annotations

import pytest

from dragoman.errors import UsageError
from dragoman.model import Mode, Notice, OrderStatus
from wire.alpaca_world import AAPL, BTC, play

S = OrderStatus
OPTIONS = {"option_underlyings": ["AAPL"]}


def option_of(w):
    return next(one for one in w.client.instruments if one.option_type)


def test_shares_pairs_and_options_each_come_on_a_stream_of_their_own():
    async def scenario(w):
        option = option_of(w)
        batches = []
        w.client.on_batch(lambda batch: batches.extend(batch))
        w.client.subscribe([AAPL, BTC, option], Mode.FULL)
        await w.until(lambda: {AAPL, BTC, option.instrument_id} <= {tick.instrument_id for tick in batches})
        assert {name for name, one in w.client.streams.items() if one.ready and one.wanted} == {
            "stocks",
            "crypto",
            "options",
        }
        for name, digits in ((AAPL, 1), (option.instrument_id, 1), (BTC, 20)):
            book, market = w.client.book(name), w.venue.market(name)
            await w.until(lambda book=book: book.bid_price is not None)
            assert (book.bid_price, book.ask_price) == (float(market.bids[0][0]), float(market.asks[0][0]))
            assert len(book.snapshot(50).bids) == digits
        trade = next(tick for tick in batches if tick.kind == "trade" and tick.instrument_id == AAPL)
        assert trade.last_price == float(w.venue.market(AAPL).last_price)

    play(scenario, settings=OPTIONS)


def test_a_book_of_a_pair_follows_its_changes_level_by_level():
    async def scenario(w):
        w.client.subscribe(BTC, Mode.FULL)
        book = w.client.book(BTC)
        await w.until(lambda: book.bid_price is not None)
        for percent in (1, -1, 2):
            w.venue.set_price(BTC, w.price(percent, BTC))
            market = w.venue.market(BTC)
            wanted = [(float(price), float(size)) for price, size, _ in market.bids]
            await w.until(lambda wanted=wanted: [tuple(row[:2]) for row in book.snapshot(50).bids] == wanted)
        assert not book.stale

    play(scenario)


def test_leaving_a_mode_ends_what_it_carried():
    async def scenario(w):
        w.client.subscribe(AAPL, Mode.QUOTE)
        await w.until(lambda: w.client.book(AAPL).bid_price is not None)
        w.client.subscribe(AAPL, Mode.LTP)
        await w.runtime.sleep(1)
        (socket,) = (one for one in w.emulator.data.sockets.values() if w.emulator.data.kind(one) == "us_equity")
        assert {name: names for name, names in socket.listener.wanted.items() if names} == {"trades": {"AAPL"}}
        w.client.unsubscribe(AAPL)
        await w.runtime.sleep(1)
        assert not any(socket.listener.wanted.values())

    play(scenario)


def test_after_a_drop_the_books_and_orders_are_read_again():
    async def scenario(w):
        order = await w.rest(10)
        w.client.subscribe([AAPL, BTC], Mode.FULL)
        await w.until(lambda: w.client.book(BTC).bid_price is not None)
        w.fault("reset_socket*3")
        await w.until(lambda: not w.client.streams["orders"].ready)
        w.venue.set_price(AAPL, w.price(-3))
        found = await w.client.wait_order(order, timeout_s=60)
        assert found.status is S.FILLED
        await w.until(lambda: all(one.ready for one in w.client.streams.values()))
        await w.until(lambda: not w.client.book(BTC).stale)
        assert w.client.book(BTC).bid_price == float(w.venue.market(BTC).bids[0][0])

    play(scenario)


def test_a_connection_that_another_still_holds_is_waited_for():
    async def scenario(w):
        other = next(iter(w.emulator.data.sockets.values()))  # stands in for a session that did not end cleanly
        w.emulator.data.sockets[99_999] = other
        await w.client.streams["stocks"].close()
        opening = w.runtime.spawn(w.client.streams["stocks"].start(timeout_s=30), name="again")
        said = await w.until(
            lambda: [one for one in w.events if isinstance(one, Notice) and "connection limit exceeded" in one.text]
        )
        assert said[0].code == "406"
        del w.emulator.data.sockets[99_999]
        await opening
        assert w.client.streams["stocks"].ready

    play(scenario)


def test_a_full_plan_is_told_and_leaves_what_there_is():
    async def scenario(w):
        w.emulator.data._limit = 1
        w.client.subscribe(AAPL)
        await w.until(lambda: w.client.book(AAPL).bid_price is not None)
        w.client.subscribe("US:MSFT")
        notice = await w.until(lambda: [one for one in w.events if isinstance(one, Notice) and one.code == "405"])
        assert "symbol limit exceeded" in notice[0].text
        assert w.client.streams["stocks"].ready

    play(scenario)


def test_deep_books_are_not_offered():
    async def scenario(w):
        with pytest.raises(UsageError, match="deep"):
            w.client.subscribe(AAPL, Mode.DEEP)

    play(scenario)


def test_quotes_candles_and_the_book_agree_with_the_market():
    async def scenario(w):
        option = option_of(w)
        quotes = await w.client.quotes([AAPL, BTC, option])
        for name, quote in quotes.items():
            market = w.venue.market(name)
            assert (quote.last_price, quote.bid_price) == (float(market.last_price), float(market.bids[0][0]))
        assert len(quotes[BTC].bids) == 20
        assert quotes[AAPL].previous_close == float(w.venue.market(AAPL).close)
        assert quotes[option.instrument_id].previous_close is None

    play(scenario, settings=OPTIONS)
