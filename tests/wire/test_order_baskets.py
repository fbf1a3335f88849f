"""Several orders placed together: each has its own fate, and none is sent where one cannot be."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest

from dragoman.errors import ErrorKind, Rejected, UsageError
from dragoman.model import OrderRequest, OrderStatus, OrderType, Product, Side
from wire import trading, upstox_world

INFY, SBIN = "NSE:INFY", "NSE:SBIN"
WORLDS = {"one request for all": upstox_world.play, "a request each": trading.play}
CALLS = {"one request for all": ("POST", "/v2/order/multi/place"), "a request each": ("POST", "/orders/regular")}

worlds = pytest.mark.parametrize("how", WORLDS)


def leg(world, instrument_id=INFY, **more):
    listing = world.venue.listing(instrument_id)
    tick = listing.instrument.tick_size
    terms = {
        "instrument_id": instrument_id,
        "side": Side.BUY,
        "quantity": Decimal(1),
        "order_type": OrderType.LIMIT,
        "price": listing.reference // tick * tick - 20 * tick,
        "product": Product.INTRADAY,
    }
    return OrderRequest(**terms | more)


def asked(world):
    """Note the method of every request from here on that is not a reading."""
    plan, found = world.host.plan, []

    def noted(call, *, upgrade):
        if call.method != "GET":
            found.append(call.method)
        return plan(call, upgrade=upgrade)

    world.host.plan = noted
    return found


def taken(world):
    return Counter(one.order.instrument_id for one in world.live)


@worlds
def test_orders_go_out_together_and_come_back_in_order(how):
    async def scenario(world):
        legs = [leg(world), leg(world, SBIN, side=Side.SELL, price=None, order_type=OrderType.MARKET), leg(world)]
        orders = await world.client.place_many(legs)
        assert [(order.instrument_id, order.side) for order in orders] == [(x.instrument_id, x.side) for x in legs]
        assert taken(world) == {INFY: 2, SBIN: 1}
        assert {order.order_id for order in orders} == {one.order_id for one in world.live}
        for order in orders:
            await world.client.wait_order(order, lambda one: one.status is OrderStatus.OPEN)

    WORLDS[how](scenario)


def test_twelve_orders_take_two_requests_where_a_request_holds_ten():
    async def scenario(world):
        requests = asked(world)
        orders = await world.client.place_many([leg(world, quantity=Decimal(n)) for n in range(1, 13)], timeout_s=30)
        assert requests == ["POST", "POST"]
        assert [order.quantity for order in orders] == list(range(1, 13))
        assert all(order.order_id for order in orders)
        by_id = {one.order_id: one.order.quantity for one in world.live}
        assert [by_id[order.order_id] for order in orders] == list(range(1, 13))

    upstox_world.play(scenario)


@worlds
def test_a_leg_that_the_broker_refuses_leaves_the_others_alive(how):
    async def scenario(world):
        dear = leg(world, SBIN, quantity=Decimal(50_000))
        first, second, third = await world.client.place_many([leg(world), dear, leg(world)])
        assert (first.status, third.status) == (OrderStatus.ACCEPTED, OrderStatus.ACCEPTED)
        assert (second.status, second.reject.kind) == (OrderStatus.REJECTED, ErrorKind.INSUFFICIENT_MARGIN)

    WORLDS[how](scenario)


@worlds
def test_one_leg_that_cannot_be_keeps_all_from_being_sent(how):
    async def scenario(world):
        requests = asked(world)
        with pytest.raises(UsageError, match=r"orders\[1\]") as caught:
            await world.client.place_many([leg(world), leg(world, price=Decimal("0.013"))])
        assert caught.value.kind is ErrorKind.INVALID_PRICE_TICK
        assert (requests, len(world.live), len(list(world.store))) == ([], 0, 0)

    WORLDS[how](scenario)


@worlds
def test_what_the_checks_refuse_denies_the_legs_entered_before(how):
    async def scenario(world):
        seen = []

        def most_two(request, instrument):
            seen.append(len(world.store.open) + 1 + sum(o.status is OrderStatus.SUBMITTED for o in world.store))
            if len(seen) > 2:
                raise Rejected("too many open orders", kind=ErrorKind.LOCAL_DENIED)

        world.client.orders_service.admit = most_two
        with pytest.raises(Rejected, match="too many") as caught:
            await world.client.place_many([leg(world, client_order_id=name) for name in "abc"])
        assert any("orders[2]" in note for note in caught.value.__notes__)
        assert [world.client.order(name).status for name in "ab"] == [OrderStatus.DENIED] * 2
        assert not world.live

    WORLDS[how](scenario)


@worlds
def test_a_name_used_before_returns_what_became_of_it_and_sends_nothing(how):
    async def scenario(world):
        mine = leg(world, client_order_id="mine")
        (first,) = await world.client.place_many([mine])
        again, other = await world.client.place_many([mine, leg(world, SBIN)])
        assert (again.order_id, len(world.live)) == (first.order_id, 2)
        assert other.instrument_id == SBIN
        with pytest.raises(UsageError, match="for another order"):
            await world.client.place_many([leg(world, SBIN), replace(mine, quantity=Decimal(2))])
        with pytest.raises(UsageError, match="used before"):
            await world.client.place_many([leg(world, client_order_id="twin"), leg(world, client_order_id="twin")])
        assert len(world.live) == 2

    WORLDS[how](scenario)


@worlds
@pytest.mark.parametrize("fault", ["drop_reply", "late_http:504"])
def test_legs_whose_reply_is_lost_are_unknown_and_then_found_once(how, fault):
    async def scenario(world):
        method, path = CALLS[how]
        world.fault(f"drop_frames;http:503@GET /*;{fault}@{method} {path}")
        orders = await world.client.place_many([leg(world), leg(world, SBIN)], timeout_s=3)
        assert [order.status for order in orders] == [OrderStatus.UNKNOWN] * 2
        world.heal()
        for order in orders:
            found = await world.client.wait_order(order, lambda one: one.status is OrderStatus.OPEN, timeout_s=120)
            assert found.order_id in {one.order_id for one in world.live}
        assert taken(world) == {INFY: 1, SBIN: 1}

    WORLDS[how](scenario)


@worlds
def test_intents_of_all_legs_are_durable_before_any_is_sent(how):
    async def scenario(world):
        world.runtime.disk.fail(operation="sync", times=-1)
        requests = asked(world)
        orders = await world.client.place_many([leg(world), leg(world, SBIN)])
        assert [order.status for order in orders] == [OrderStatus.DENIED] * 2
        assert (requests, len(world.live)) == ([], 0)
        world.runtime.disk.heal()

    WORLDS[how](scenario)


def test_no_orders_are_no_request():
    async def scenario(world):
        requests = asked(world)
        assert await world.client.place_many([]) == []
        assert requests == []

    trading.play(scenario)


@worlds
def test_a_basket_tried_again_sends_what_is_new_and_tells_of_the_rest(how):
    async def scenario(world):
        def refuse(request, instrument):
            if request.instrument_id == SBIN and not world.live:
                raise Rejected("not yet", kind=ErrorKind.LOCAL_DENIED)

        world.client.orders_service.admit = refuse
        legs = [leg(world, client_order_id="a"), leg(world, SBIN, client_order_id="b")]
        with pytest.raises(Rejected, match="not yet"):
            await world.client.place_many(legs)
        world.client.orders_service.admit = None
        first, second = await world.client.place_many(legs)
        assert (first.status, first.reject.kind) == (OrderStatus.DENIED, ErrorKind.LOCAL_DENIED)
        assert second.status is OrderStatus.ACCEPTED
        assert taken(world) == {SBIN: 1}

    WORLDS[how](scenario)


@worlds
def test_a_basket_over_an_unknown_order_returns_it_as_it_is(how):
    async def scenario(world):
        method, path = CALLS[how]
        world.fault(f"drop_frames;http:503@GET /*;drop_reply@{method} {path}")
        terms = [leg(world, client_order_id="a"), leg(world, SBIN, client_order_id="b")]
        await world.client.place_many(terms, timeout_s=2)
        again = await world.client.place_many(
            [*terms, leg(world, "NSE:RELIANCE")], timeout_s=2, allow_stale=True, allow_unknown=True
        )
        assert [order.status for order in again[:2]] == [OrderStatus.UNKNOWN] * 2
        assert taken(world) == {INFY: 1, SBIN: 1, "NSE:RELIANCE": 1}

    WORLDS[how](scenario)


def test_a_leg_with_a_time_of_its_own_does_not_take_the_others_with_it():
    async def scenario(world):
        late = world.runtime.clock.mono_ns() - 1
        legs = [leg(world), leg(world, SBIN, deadline_ns=late), leg(world)]
        orders = await world.client.place_many(legs)
        assert [order.status for order in orders] == [OrderStatus.ACCEPTED, OrderStatus.DENIED, OrderStatus.ACCEPTED]
        assert taken(world) == {INFY: 2}

    upstox_world.play(scenario)


def test_a_disk_that_hangs_or_fails_keeps_no_basket_longer_than_its_caller_allows():
    async def scenario(world):
        service = world.client.orders_service
        service.intents.older = object()

        async def hang(name):
            await world.runtime.sleep(600)

        async def fail(name):
            raise OSError("input/output error")

        for recall in (hang, fail):
            service.succession.recall = recall
            began = world.runtime.clock.mono_ns()
            with pytest.raises(Rejected, match="used before"):
                await world.client.place_many([leg(world, client_order_id="mine")], timeout_s=2)
            assert world.runtime.clock.mono_ns() - began <= 2.1e9
            began = world.runtime.clock.mono_ns()
            instrument = world.client.instrument(INFY)
            await service.placing(
                leg(world, client_order_id=f"out-{recall.__name__}"), instrument, 10, False, exits=True
            )
            assert world.runtime.clock.mono_ns() - began <= 1e9
        assert len(world.live) == 2

    trading.play(scenario)
