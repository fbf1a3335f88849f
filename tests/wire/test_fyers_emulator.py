"""Whole sessions at FYERS' emulator: topics, 50 levels, order lives, lost frames, token death, what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import chain
from typing import Any

from dragoman.adapters.fyers import hsm
from dragoman.adapters.fyers.adapter import FyersAdapter
from dragoman.adapters.fyers.emulator import USER_ID, FyersEmulator

from dragoman.connecting import connect
from dragoman.emulator.contract import Push
from dragoman.emulator.host import EmulatorHost
from dragoman.emulator.venue import FUNDS, Venue, default_universe
from dragoman.model import Gap, OrderRequest, OrderStatus, OrderType, Product, Side
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.testing.emulated import browser, overrides_of
from wire.trading import World

D = Decimal
INFY, SBIN, INDEX = "NSE:INFY", "NSE:SBIN", "NSE:NIFTY_50=INDEX"
SBIN_KEY = "NSE:SBIN-EQ"


def play(scenario: Callable[[World], Awaitable[Any]], *, quiet: bool = True, **emulated: Any) -> Any:
    """Run `scenario(world)` on a virtual runtime and return what it returns."""

    async def run(runtime: VirtualRuntime) -> Any:
        now = runtime.clock.wall_ns()
        venue = Venue(7, now, quiet=quiet)
        shown = [one for one in default_universe(now, seed=7) if one.instrument.exchange in ("NSE", "NFO")]
        for listing in chain(shown[:30], (one for one in shown[30:] if one.instrument.expiry is not None)):
            venue.list(listing)
        emulator = FyersEmulator(venue, seed=7, accounts={USER_ID: FUNDS}, **emulated)
        host = EmulatorHost(emulator, runtime, poll_interval_s=0.02)
        roots = await host.start()
        line = {"rest": roots.rest, "ws": roots.ws, "login": roots.login, "extra": roots.extra}
        connecting = connect(
            FyersAdapter(),
            "test",
            environment="emulator",
            overrides=overrides_of(line | {"credentials": emulator.credentials}, FyersAdapter()),
            state_dir="/state",
            open_url=browser(runtime),
            runtime=runtime,
        )
        try:
            async with asyncio.timeout(3600), connecting as client:
                here = World(runtime, host, client)
                here.account = USER_ID
                return await scenario(here)
        finally:
            await host.close()

    with VirtualRuntime(seed=7) as runtime:
        return runtime.run(run(runtime))


def test_shares_and_indices_tick_in_their_modes():
    async def scenario(world):
        client, seen = world.client, {}
        client.on_tick(lambda tick: seen.__setitem__((tick.instrument_id, tick.kind), tick))
        client.subscribe([INFY], "full")
        client.subscribe([INDEX], "ltp")
        await world.until(lambda: len(seen) == 3)
        market = world.venue.market(INFY)
        assert seen[INFY, "quote"].price_band_high == float(market.band_high)
        assert seen[INFY, "quote"].previous_close == float(market.close)
        assert len(client.book(INFY).snapshot(5).bids) == 5
        assert seen[INDEX, "quote"].flags
        (socket,) = world.emulator.streams.markets.values()
        assert sorted(topic[:2] for topic in socket.topics) == [b"dp", b"if", b"sf"]
        await world.until(lambda: socket.acknowledged >= 3)

    play(scenario, quiet=False)


def test_fifty_levels_follow_the_market_by_differences():
    async def scenario(world):
        client, kinds = world.client, []
        client.on_tick(lambda tick: kinds.append(tick.kind) if tick.instrument_id == SBIN else None)
        client.subscribe([SBIN], "deep")
        book = client.book(SBIN)
        await world.until(lambda: not book.stale and kinds.count("depth_delta") >= 5)
        assert kinds.count("depth_snapshot") == 1
        levels = book.snapshot(50)
        market = world.venue.market(SBIN)
        assert levels.bids[0][0] < levels.asks[0][0]
        assert len(levels.bids) == len(market.bids)

    play(scenario, quiet=False)


def test_a_market_frame_that_is_lost_leaves_no_wrong_book_unmarked():
    async def scenario(world):
        client = world.client
        client.subscribe([INFY, SBIN], "full")
        world.venue.calm()
        book = client.book(INFY)
        await world.until(lambda: not book.stale)
        frames, lost = world.emulator.frames, []

        def losing(now_ns):
            pushes = list(frames(now_ns))
            data = [one for one in pushes if isinstance(one.data, bytes) and one.data[2] == hsm.DATA]
            if not lost:
                lost.extend(data[:1])
                return [one for one in pushes if one not in lost]
            return pushes

        def right():
            market = world.venue.market(INFY)
            return [row[:2] for row in book.snapshot(5).bids] == [
                (float(price), float(size)) for price, size, *_ in market.bids[:5]
            ]

        for change, samples in ((1, 100), (2, 700)):  # the second so soon that nothing is subscribed anew at once
            lost.clear()
            world.emulator.frames = losing
            bid = world.venue.market(INFY).bids[0][0]
            world.venue.place_external(INFY, Side.BUY, D(700 + change), bid)
            await world.until(lambda: lost)
            gaps = sum(isinstance(one, Gap) for one in world.events)
            ask = world.venue.market(SBIN).asks[0][0]
            world.venue.place_external(SBIN, Side.SELL, D(3), ask)  # its frame has the number after the missing one
            await world.until(lambda before=gaps: sum(isinstance(one, Gap) for one in world.events) > before)
            assert book.stale
            world.venue.place_external(INFY, Side.SELL, D(5), world.venue.market(INFY).asks[0][0])
            for _ in range(samples):
                assert book.stale or right()
                await world.runtime.sleep(0.02)
            assert not book.stale

    play(scenario, quiet=False)


def test_a_depth_message_that_is_lost_breaks_the_book_and_a_new_subscription_heals_it():
    async def scenario(world):
        client = world.client
        client.subscribe([SBIN], "deep")
        book = client.book(SBIN)
        await world.until(lambda: not book.stale)
        (socket,) = world.emulator.streams.deep.values()
        socket.numbers[SBIN_KEY] += 1
        await world.until(lambda: book.gapped)
        await world.until(lambda: not book.gapped and not book.stale)
        assert book.gaps == 1

    play(scenario, quiet=False)


def test_an_order_lives_through_a_change_a_partial_fill_and_a_cancel():
    async def scenario(world):
        client = world.client
        order = await world.rest(tag="mean7")
        name = order.client_order_id
        await world.until(lambda: world.statuses(name)[-1] == "OPEN")
        higher = world.price(-10)
        await client.modify(order.order_id, price=higher, quantity=12)
        await world.until(lambda: world.live[0].order.price == higher)
        world.sell_into(higher, 5)
        await world.until(lambda: world.statuses(name)[-1] == "PARTIALLY_FILLED")
        await client.cancel(order.order_id)
        await world.until(lambda: world.statuses(name)[-1] == "CANCELED")
        found = client.order(order.order_id)
        assert (found.filled_quantity, found.canceled_quantity, found.average_price) == (5, 7, higher)
        assert world.live[0].order.tag.endswith("mean7")
        (fill,) = await client.trades(order.order_id)
        assert (fill.quantity, fill.price) == (5, higher)

    play(scenario)


def test_several_orders_are_placed_with_one_request():
    async def scenario(world):
        client = world.client
        session, share = client.session, client.instruments.get(INFY)

        def leg(price):
            terms = {"instrument_id": INFY, "side": Side.BUY, "quantity": D(2), "product": Product.INTRADAY}
            return OrderRequest(**terms, order_type=OrderType.LIMIT, price=price), share

        legs = [leg(world.price(-9)), leg(D("0.123")), leg(world.price(-8))]
        found = await session.run(session.adapter.place_many(legs, session.ctx), timeout_s=5)
        assert [one.effect for one in found] == ["ACCEPTED", "REJECTED", "ACCEPTED"]
        await world.until(lambda: [one.status for one in world.live] == [OrderStatus.OPEN] * 2)
        assert [one.order_id for one in world.live] == [found[0].order_id, found[2].order_id]

    play(scenario)


def test_a_queued_order_is_found_by_its_tag():
    async def scenario(world):
        client = world.client
        world.venue.place_external(INFY, Side.SELL, D(50), world.price(2))
        terms = {"order_type": "LIMIT", "price": world.price(3), "product": "INTRADAY"}
        terms |= {"extras": {"fyers": {"queued": True}}, "client_order_id": "mine"}
        task = asyncio.ensure_future(client.place(INFY, "BUY", 10, **terms))
        await asyncio.wait([task], timeout=30)
        task.exception()
        await world.until(lambda: world.statuses("mine")[-1] == "FILLED")
        assert [one.order_id for one in world.venue.orders(USER_ID)] == [client.order("mine").order_id]

    play(scenario)


def test_sockets_come_back_with_everything_after_the_broker_ended_them():
    async def scenario(world):
        client, seen = world.client, []
        client.on_tick(lambda tick: seen.append(tick.instrument_id))
        client.subscribe([INFY, SBIN], "full")
        await world.until(lambda: {INFY, SBIN} <= set(seen))
        (number,) = world.emulator.streams.markets
        world.host.deliver([Push(number, close_code=1011)])
        seen.clear()
        await world.until(lambda: {INFY, SBIN} <= set(seen))
        (again,) = world.emulator.streams.markets
        assert again != number
        assert len(world.emulator.streams.markets[again].topics) == 4

    play(scenario)
