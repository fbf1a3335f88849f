"""More instruments than a socket carries, at the real adapter's emulator: three sockets of 3,000, the loss of one."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from dragoman.adapters.zerodha.adapter import ZerodhaAdapter
from dragoman.adapters.zerodha.emulator import FUNDS, USER_ID, ZerodhaEmulator
from dragoman.adapters.zerodha.emulator_ticks import MOST_INSTRUMENTS, MOST_SOCKETS

from dragoman.cli.demo import browser
from dragoman.connecting import connect
from dragoman.emulator.contract import Push
from dragoman.emulator.host import EmulatorHost
from dragoman.emulator.venue import Venue, default_universe
from dragoman.errors import UsageError
from dragoman.model import Gap, Mode, Notice, StreamState
from dragoman.plugin import FillSeen, OrderSeen
from dragoman.runtime.virtual import VirtualRuntime
from wire import trading
from wire.trading import INFY, SBIN, World

MANY = 7_500


def share(like, number):
    """Return the listing of one of thousands of shares."""
    symbol = f"T{number:05d}"
    instrument = replace(
        like.instrument,
        instrument_id=f"NSE:{symbol}",
        symbol=symbol,
        broker_symbol=symbol,
        broker_token=str(1_000_000 + number),
        exchange_token=str(1_000_000 + number),
        name=symbol,
        isin=None,
    )
    return replace(like, instrument=instrument)


@asynccontextmanager
async def crowded(runtime, count, adapter):
    """Build a world whose exchange lists `count` shares, and never moves by itself."""
    now = runtime.clock.wall_ns()
    venue = Venue(7, now, quiet=True)
    like = next(listing for listing in default_universe(now, seed=7) if listing.instrument.instrument_id == INFY)
    for number in range(count):
        venue.list(share(like, number))
    emulator = ZerodhaEmulator(venue, seed=7, accounts={USER_ID: FUNDS})
    host = EmulatorHost(emulator, runtime)
    roots = await host.start()
    overrides = {
        "hosts": {"rest": roots.rest, "ws": roots.ws, "login": roots.login},
        "credentials": {name: emulator.credentials[name] for name in ("api_key", "api_secret")},
        "redirect_port": trading.REDIRECT_PORT,
    }
    connecting = connect(
        adapter(),
        "test",
        environment="emulator",
        overrides=overrides,
        state_dir="/state",
        open_url=browser(runtime),
        runtime=runtime,
    )
    try:
        async with connecting as client:
            yield World(runtime, host, client)
    finally:
        await host.close()


def play(scenario, count, adapter=ZerodhaAdapter):
    async def main(runtime):
        async with asyncio.timeout(3600), crowded(runtime, count, adapter) as world:
            return await scenario(world)

    with VirtualRuntime(seed=7) as runtime:
        return runtime.run(main(runtime))


def sizes(world):
    """Return how many instruments the broker sends on each socket, the fullest first."""
    return sorted((len(client.modes) for client in world.emulator.ticker.sockets._clients.values()), reverse=True)


def end_socket(world, name):
    """Let the broker end the socket that carries an instrument."""
    token = world.emulator.names.by_id[name].token
    sockets = world.emulator.ticker.sockets._clients
    (number,) = (number for number, client in sockets.items() if token in client.modes)
    world.host.deliver([Push(number, close_code=1011)])


def test_thousands_of_instruments_tick_over_three_sockets_and_the_loss_of_one_touches_only_its_own():
    async def scenario(world):
        client, seen, last = world.client, Counter(), {}

        def count(batch):
            for tick in batch:
                seen[tick.instrument] += 1
                last[tick.instrument_id] = tick.mode

        client.on_batch(count)
        names = [f"NSE:T{number:05d}" for number in range(MANY)]
        full, quote, ltp = names[::3], names[1::3], names[2::3]
        client.subscribe(names, "quote")  # in the order of names, so that each socket gets all three modes
        client.subscribe(full, "full")
        client.subscribe(ltp, "ltp")
        await world.until(lambda: len(last) == MANY and Counter(last.values())["quote"] == len(quote))
        assert sizes(world) == [3000, 3000, 1500]
        assert client.streams["market"].ready
        assert -1 not in seen

        books = {name: client.book(name) for name in full}
        await world.until(lambda: not any(book.stale for book in books.values()))
        second = {want.instrument.instrument_id for want in client.streams["market"].wanted_on(2)}
        assert second == set(names[3000:6000])
        world.fault("refuse_upgrade:503")
        end_socket(world, names[3000])
        await world.until(lambda: not client.streams["market"].ready)
        assert {name for name, book in books.items() if book.stale} == second & set(full)
        assert not client.orders_service.stale  # order updates come over the first socket
        last.clear()
        for name in (names[0], names[3000], names[7400]):
            world.venue.set_price(
                name, world.venue.listing(name).reference + world.venue.listing(name).instrument.tick_size
            )
        await world.runtime.sleep(2)
        assert set(last) == {names[0], names[7400]}

        last.clear()
        world.heal()
        await world.until(lambda: len(last) == 3000)
        assert set(last) == second
        assert all(last[name] == mode for mode, group in (("full", full), ("quote", quote), ("ltp", ltp))
                   for name in group if name in second)  # fmt: skip
        assert not any(book.stale for book in books.values())
        assert sizes(world) == [3000, 3000, 1500]
        gaps = [event for event in world.events if isinstance(event, Gap)]
        assert {(gap.stream, gap.shard) for gap in gaps} == {("market", 2)}
        assert [event.text for event in world.events if isinstance(event, Notice) and event.level == "error"] == []
        shards = client.counters()["streams"]["market"]["shards"]
        assert [shards[number]["reconnects"] for number in "123"] == [0, 1, 0]

    play(scenario, MANY)


def test_beyond_the_last_socket_nothing_is_sent_and_the_numbers_are_named():
    async def scenario(world):
        client = world.client
        names = [f"NSE:T{number:05d}" for number in range(9_001)]
        client.subscribe(names[:9_000], "ltp")
        await world.until(lambda: sizes(world) == [3000, 3000, 3000])
        messages, upgrades = world.host.counters.messages, world.host.counters.upgrades
        with pytest.raises(
            UsageError,
            match="9001 instruments on the market stream, a socket carries 3000 and a key has 3: 9000 in all",
        ):
            client.subscribe(names[9_000], "ltp")
        await world.runtime.sleep(2)
        assert (world.host.counters.messages, world.host.counters.upgrades) == (messages, upgrades)
        assert len(client.market.subscribed) == 9_000
        client.unsubscribe(names[17])
        client.subscribe(names[9_000], "ltp")
        await world.until(lambda: sizes(world) == [3000, 3000, 3000])

    play(scenario, 9_001)


def small(most):
    """Return the adapter with sockets of a few instruments each."""

    class Small(ZerodhaAdapter):
        capabilities = replace(ZerodhaAdapter.capabilities, max_instruments_per_socket=most)

    return Small


def test_the_emulator_holds_the_brokers_own_limits():
    assert (MOST_INSTRUMENTS, MOST_SOCKETS) == (3000, 3)
    capabilities = ZerodhaAdapter.capabilities
    assert (capabilities.max_instruments_per_socket, capabilities.max_sockets) == (3000, 3)

    class Greedy(ZerodhaAdapter):
        capabilities = replace(ZerodhaAdapter.capabilities, max_instruments_per_socket=1, max_sockets=4)

    async def scenario(world):
        client = world.client
        client.subscribe([INFY, SBIN, "NSE:TCS", "NSE:RELIANCE"], "full")
        await world.until(lambda: sizes(world) == [1, 1, 1])
        await world.runtime.sleep(30)
        stream = client.streams["market"]
        (refused,) = (shard for shard in stream.shards if not shard.ready)
        assert stream.state == refused.state in ("waiting", "connecting")
        reasons = {
            event.reason for event in world.events if isinstance(event, StreamState) and event.state == "waiting"
        }
        assert all("Too many connections" in reason for reason in reasons)
        assert sum(client.book(name).stale for name in (INFY, SBIN, "NSE:TCS", "NSE:RELIANCE")) == 1

    trading.play(scenario, adapter=Greedy)


def test_the_emulator_takes_three_thousand_instruments_a_socket_and_says_so():
    class Greedy(ZerodhaAdapter):
        capabilities = replace(ZerodhaAdapter.capabilities, max_instruments_per_socket=4000)

    async def scenario(world):
        names = [f"NSE:T{number:05d}" for number in range(3_001)]
        world.client.subscribe(names, "ltp")
        await world.until(lambda: any(isinstance(event, Notice) for event in world.events))
        (notice,) = (event for event in world.events if isinstance(event, Notice))
        assert "Maximum number of instruments per connection is 3000" in notice.text
        assert sizes(world) == [3000]

    play(scenario, 3_001, adapter=Greedy)


def test_order_updates_count_once_however_many_sockets_carry_them():
    async def scenario(world):
        client = world.client
        client.subscribe([INFY, SBIN, "NSE:TCS", "NSE:RELIANCE", "NSE:WIPRO"], "full")
        await world.runtime.sleep(2)
        order = await world.rest()
        world.sell_into(world.price(-25), 10)
        order = await client.wait_order(order)
        await world.runtime.sleep(2)
        assert order.filled_quantity == 10
        assert not any(isinstance(event, (OrderSeen, FillSeen)) for event in world.events)
        told = [update.order.status for update in world.updates]
        stream = client.counters()["streams"]["market"]
        return told, len(stream["shards"]), stream["repeated_orders"]

    told, sockets, repeated = trading.play(scenario, adapter=small(2))
    assert (told, 1, 0) == trading.play(scenario)
    assert sockets == 3
    assert repeated > 0
    assert repeated % 2 == 0  # of two further sockets


def test_orders_go_stale_with_the_first_socket_and_not_with_another():
    async def scenario(world):
        client = world.client
        client.subscribe([INFY, SBIN, "NSE:TCS"], "full")
        await world.until(lambda: sizes(world) == [2, 1])
        world.fault("refuse_upgrade:503")
        end_socket(world, "NSE:TCS")
        await world.until(lambda: not client.streams["market"].shards[1].ready)
        assert not client.orders_service.stale
        assert (await world.rest()).order_id
        end_socket(world, INFY)
        await world.until(lambda: not client.streams["market"].primary.ready)
        assert client.orders_service.stale
        world.heal()
        await world.until(lambda: client.streams["market"].ready and not client.orders_service.stale)
        assert client.market.subscribed == dict.fromkeys([INFY, SBIN, "NSE:TCS"], Mode.FULL)

    trading.play(scenario, adapter=small(2))
