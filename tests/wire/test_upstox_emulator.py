"""Whole sessions at Upstox's emulator: data, order lives, GTT, token death, reconnects, what it refuses."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from dragoman.adapters.upstox.emulator_session import PATHS, USER_ID

from dragoman.emulator.contract import HttpCall
from dragoman.errors import AuthRequired, ErrorKind, Rejected
from dragoman.model import (
    Gap,
    GttLeg,
    GttRequest,
    GttStatus,
    Notice,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    Side,
)
from dragoman.plugin import Request
from wire.upstox_world import INDEX, INFY, SBIN, play

D = Decimal
RESTS = ["SUBMITTED", "ACCEPTED", "OPEN"]


def test_ticks_of_shares_options_and_indices_reach_the_client_in_each_mode():
    async def scenario(world):
        client, seen = world.client, {}
        option = next(one for one in client.instruments if one.strike is not None and one.exchange == "NFO")
        client.on_tick(lambda tick: seen.__setitem__(tick.instrument_id, tick))
        client.subscribe([INFY, option.instrument_id], "full")
        client.subscribe([INDEX], "ltp")
        await world.until(lambda: len(seen) == 3)
        market = world.venue.market(INFY)
        assert (seen[INFY].last_price, seen[INFY].volume or 0) == (float(market.last_price), float(market.volume))
        assert (seen[INFY].average_price or 0) == float(round(market.average_price, 2))
        assert (seen[INDEX].mode, seen[INDEX].volume) == ("ltp", None)
        assert seen[option.instrument_id].oi == float(world.venue.market(option.instrument_id).oi)
        notices = [one for one in world.events if isinstance(one, Notice) and one.code == "MARKET_STATUS"]
        assert notices[0].raw["NSE_EQ"] == "NORMAL_OPEN"

    play(scenario)


def test_a_change_of_an_order_at_the_market_without_protection_gives_it_the_brokers_own():
    async def scenario(world):
        client, stop = world.client, world.price(3)
        terms = {"order_type": "STOP_MARKET", "trigger_price": stop, "product": "INTRADAY", "market_protection": 5}
        order = await client.place(INFY, "BUY", 1, **terms)
        await world.until(lambda: world.live[0].status is OrderStatus.TRIGGER_PENDING)

        def modify(**more):
            body = {"order_id": order.order_id, "order_type": "SL-M", "validity": "DAY", "price": 0}
            body |= {"trigger_price": float(stop), **more}
            yield Request(method="PUT", host="order", path="/v3/order/modify", json=body, mutates=True)

        for more, expected in (({"market_protection": 8}, 8), ({}, D("0.5")), ({"market_protection": 5}, 5)):
            await client.session.run(modify(**more), timeout_s=5)
            await world.until(lambda percent=expected: world.live[0].order.protection == percent)

    play(scenario)


def test_several_orders_are_placed_canceled_and_closed_with_one_request_each():
    async def scenario(world):
        client = world.client
        session, ctx = client.session, client.session.ctx
        adapter, share = session.adapter, client.instruments.get(INFY)

        def leg(**more):
            given = {"instrument_id": INFY, "side": Side.BUY, "quantity": D(2), "product": Product.INTRADAY}
            return OrderRequest(**(given | {"order_type": OrderType.LIMIT, "price": world.price(-9)} | more)), share

        def working():
            return [one.order_id for one in world.live if not one.status.terminal]

        legs = [leg(wire_id="0000100001AA"), leg(price=D("0.123")), leg(wire_id="0000100001AC", quantity=D(3))]
        first, second, third = await session.run(adapter.place_many(legs, ctx), timeout_s=5)
        assert [one.effect for one in (first, second, third)] == ["ACCEPTED", "REJECTED", "ACCEPTED"]
        assert second.reject.code.startswith("UDAPI")
        await world.until(lambda: [one.status for one in world.live] == [OrderStatus.OPEN] * 2)
        assert sorted((one.order_id, one.order.quantity) for one in world.live) == sorted(
            ((first.order_id, 2), (third.order_id, 3))
        )
        gone = await session.run(adapter.cancel_many(ctx, tag="0000100001AC"), timeout_s=5)
        assert [(one.effect, one.order_id) for one in gone] == [("ACCEPTED", third.order_id)]
        await world.until(lambda: working() == [first.order_id])
        gone = await session.run(adapter.cancel_many(ctx, exchange="NSE"), timeout_s=5)
        assert [one.order_id for one in gone] == [first.order_id]
        await world.until(lambda: not working())
        assert await session.run(adapter.cancel_many(ctx), timeout_s=5) == []

        world.venue.place_external(INFY, Side.SELL, D(50), world.price(2))
        world.venue.place_external(INFY, Side.BUY, D(50), world.price(-2))
        await client.place(INFY, "BUY", 10, order_type="LIMIT", price=world.price(3), product="INTRADAY")
        await world.until(lambda: any(one.quantity for one in world.venue.positions(USER_ID)))
        (closing,) = await session.run(adapter.exit_all(ctx), timeout_s=5)
        assert closing.effect == "ACCEPTED"
        await world.until(lambda: not any(one.quantity for one in world.venue.positions(USER_ID)))
        assert await session.run(adapter.exit_all(ctx, exchange="NSE"), timeout_s=5) == []

    play(scenario)


def test_an_order_lives_through_a_change_a_partial_fill_and_a_cancel():
    async def scenario(world):
        client = world.client
        order = await world.rest(tag="mean7")
        name = order.client_order_id
        await world.until(lambda: world.statuses(name) == RESTS)
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
        states = await client.order_history(order.order_id)
        assert (states[0].raw_status, states[-1].raw_status) == ("put order req received", "cancelled")

    play(scenario)


def test_a_market_order_without_protection_is_refused_and_ours_always_carry_it():
    async def scenario(world):
        world.venue.place_external(INFY, Side.SELL, D(50), world.price(2))
        order = await world.client.place(INFY, "BUY", 10, product="INTRADAY")
        await world.until(lambda: world.statuses(order.client_order_id)[-1] == "FILLED")
        assert world.live[0].order.protection == D("0.5")
        body = {"quantity": 1, "product": "I", "validity": "DAY", "price": 0, "order_type": "MARKET"}
        body |= {"instrument_token": world.client.instrument(INFY).broker_token, "transaction_type": "BUY"}

        def bare():
            yield Request(method="POST", host="order", path="/v3/order/place", json=body)

        with pytest.raises(Rejected) as refusal:
            await world.client.session.run(bare(), timeout_s=5)
        assert refusal.value.code == "UDAPI1158"

    play(scenario)


def test_a_large_order_is_sliced_and_its_parts_add_up():
    async def scenario(world):
        options = (one for one in world.client.instruments if one.strike is not None and one.exchange == "NFO")
        option = min(options, key=lambda one: world.venue.market(one.instrument_id).last_price)
        whole = (option.freeze_quantity // option.lot_size + 1) * option.lot_size
        price = option.tick_size
        terms = {"order_type": "LIMIT", "price": price, "product": "INTRADAY", "extras": {"upstox": {"slice": True}}}
        band_low = world.venue.market(option.instrument_id).band_low
        terms["price"] = max(price, -(-band_low // option.tick_size) * option.tick_size)
        order = await world.client.place(option.instrument_id, "BUY", whole, **terms)
        await world.until(lambda: len(world.live) == 2 and all(one.status == "OPEN" for one in world.live))
        assert sum(one.order.quantity for one in world.live) == whole
        await world.until(lambda: all(world.client.order(one.order_id).status == "OPEN" for one in world.live))
        parents = {world.client.order(one.order_id).client_order_id.rpartition("/")[0] for one in world.live}
        assert parents == {order.client_order_id}

    play(scenario)


def test_a_gtt_fires_and_its_order_is_seen():
    async def scenario(world):
        client, last = world.client, world.venue.market(INFY).last_price
        leg = GttLeg(
            trigger_price=world.price(-10),
            side=Side.BUY,
            quantity=D(3),
            price=D(0),
            order_type=OrderType.MARKET,
            product=Product.INTRADAY,
        )
        number = await client.place_gtt(GttRequest(instrument_id=INFY, legs=(leg,), last_price=last))
        (found,) = await client.gtts()
        assert (found.gtt_id, found.status, found.legs[0].trigger_price) == (
            number,
            GttStatus.ACTIVE,
            leg.trigger_price,
        )
        world.venue.place_external(INFY, Side.BUY, D(5), world.price(-10))
        world.sell_into(world.price(-10), 5)
        await world.until(lambda: world.live)
        told = [one for one in world.events if isinstance(one, Notice) and one.code == "GTT"]
        await world.until(lambda: any("TRIGGERED" in one.text for one in world.events if isinstance(one, Notice)))
        assert told[0].raw.gtt_id == number
        (after,) = await client.gtts()
        assert after.legs[0].result.order_id == world.live[0].order_id

    play(scenario)


def test_a_lost_connection_comes_back_by_a_new_url_and_orders_are_read_again():
    async def scenario(world):
        client = world.client
        client.subscribe([INFY], "full")
        order = await world.rest()
        await world.until(lambda: world.statuses(order.client_order_id) == RESTS)
        world.fault("reset_socket*2;refuse_upgrade:503")
        await world.until(lambda: not any(stream.ready for stream in client.streams.values()))
        world.sell_into(order.price, 10)
        await world.runtime.sleep(1)
        world.heal()
        await world.until(lambda: all(stream.ready for stream in client.streams.values()))
        await world.until(lambda: world.statuses(order.client_order_id)[-1] == "FILLED")
        assert any(isinstance(one, Gap) for one in world.events)
        assert sum(stream.counters["reconnects"] for stream in client.streams.values()) >= 2

    play(scenario)


def test_a_streams_url_opens_one_socket_once():
    async def scenario(world):
        emulator, now = world.emulator, world.runtime.clock.wall_ns()
        ctx = world.client.session.ctx
        driven = emulator.session.single_use("market", HttpCall("GET", "/", (), {}, b""), now)
        path, _, query = driven.partition("?")
        assert path == PATHS["market"]
        pairs = tuple(tuple(pair.split("=", 1)) for pair in query.split("&"))
        call = HttpCall("GET", path, pairs, {}, b"")
        assert emulator.session.admit(call, now) == "market"
        assert emulator.session.admit(call, now).status == 403
        assert ctx.login["access_token"].reveal() not in driven

    play(scenario)


def test_a_third_market_socket_is_refused():
    async def scenario(world):
        emulator, now = world.emulator, world.runtime.clock.wall_ns()

        def opened(number):
            path, _, query = emulator.session.single_use("market", HttpCall("GET", "/", (), {}, b""), now).partition(
                "?"
            )
            pairs = tuple(tuple(pair.split("=", 1)) for pair in query.split("&"))
            return emulator.open_socket(HttpCall("GET", path, pairs, {}, b""), number, now)

        assert opened(1001) is None
        assert opened(1002).status == 403

    play(scenario)


def test_a_token_that_died_asks_for_a_new_login_and_streams_go_on_after_it():
    async def scenario(world):
        client = world.client
        world.emulator.expire_tokens()
        with pytest.raises(AuthRequired):
            await client.orders_service.refresh()
        await client.session.login()
        assert (await client.profile()).account_id == world.account
        await world.until(lambda: all(stream.ready for stream in client.streams.values()))

    play(scenario)


def test_orders_are_taken_from_registered_addresses_only():
    async def scenario(world):
        with pytest.raises(AuthRequired) as refusal:
            await world.rest()
        assert refusal.value.kind is ErrorKind.IP_NOT_ALLOWED
        assert world.live == []
        assert len(await world.client.holdings()) == 1

    play(scenario, emulator={"allowed_ips": ("192.0.2.1",)})


def test_what_only_the_settings_confirm_is_refused_until_they_do():
    async def scenario(world):
        future = next(one for one in world.client.instruments if one.exchange == "CDS" and one.strike is None)
        price = world.venue.market(future.instrument_id).last_price
        terms = {"order_type": "LIMIT", "price": price, "product": "CARRY"}
        return await world.client.place(future.instrument_id, "BUY", future.lot_size, **terms), world.live

    with pytest.raises(Exception, match="quantity_unit"):
        play(scenario)
    order, live = play(scenario, overrides={"settings": {"quantity_unit": {"CDS": "LOTS"}}})
    assert order.status is OrderStatus.ACCEPTED
    assert live[0].order.quantity == order.quantity


def test_money_agrees_with_the_venue():
    async def scenario(world):
        client = world.client
        world.venue.place_external(INFY, Side.SELL, D(50), world.price(2))
        order = await client.place(INFY, "BUY", 10, product="INTRADAY")
        await world.until(lambda: world.statuses(order.client_order_id)[-1] == "FILLED")
        (position,) = await client.positions()
        await client.convert(position, Product.DELIVERY, 4)
        sizes = {one.product: one.quantity for one in await client.positions()}
        assert sizes == {Product.INTRADAY: 6, Product.DELIVERY: 4}
        (holding,) = await client.holdings()
        assert (holding.instrument_id, holding.t1_quantity, holding.pledged_quantity) == (SBIN, 10, 30)
        (margin,) = (await client.margins()).values()
        assert margin.net == sum(one.net for one in world.venue.funds(world.account).values())
        (charges,) = await client.charges(await client.trades())
        assert charges.total > 0

    play(scenario)


def test_candles_of_any_stretch_join_what_was_and_today():
    async def scenario(world):
        now = datetime.fromtimestamp(world.runtime.clock.wall_ns() / 1e9, UTC)
        days = await world.client.candles(INFY, "1d", now - timedelta(days=60), now)
        assert all(a.ts_open < b.ts_open for a, b in itertools.pairwise(days))
        assert 38 <= len(days) <= 45
        fine = await world.client.candles(INFY, "5m", now - timedelta(days=40), now)
        assert len({one.ts_open for one in fine}) == len(fine) > 1500
        assert max(one.high for one in fine) <= max(one.high for one in days) + 20

    play(scenario)


def test_an_order_given_elsewhere_is_seen():
    async def scenario(world):
        order_id = world.place_elsewhere()
        await world.until(lambda: any(one.order.order_id == order_id for one in world.updates))
        assert world.client.order(order_id).origin == "EXTERNAL"

    play(scenario)
