"""Every call of a client has a deadline, and its caller may set it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from dragoman.client import Client
from dragoman.errors import DragomanError, UsageError
from dragoman.model import GttLeg, GttRequest, OrderRequest, OrderStatus, OrderType, Product, Side
from dragoman.portfolio import AccountServices
from wire.trading import INFY, World, play

BOUNDED = {"start", "close", "logout"}
"""They end by themselves within seconds, whatever the broker does."""
ASKS = sorted(
    name
    for name, member in inspect.getmembers_static(Client)
    if inspect.iscoroutinefunction(member) and not name.startswith("_") and name not in BOUNDED
)
ELSEWHERE = {"place", "modify", "cancel", "quote", "quotes", "ltp", "load_instruments", "wait_order", "balances"}
"""Their deadlines have tests of their own, or the broker played here does not offer them."""
TELLS = {"kill", "place_many", "release"}
"""They tell what they know by then, and raise nothing: see below."""
TIMEOUT_S = 0.5


def test_every_await_takes_a_deadline_of_some_seconds_by_default():
    methods = [getattr(Client, name) for name in ASKS]
    methods += [member for member in vars(AccountServices).values() if inspect.iscoroutinefunction(member)]
    asked = {one.__qualname__: inspect.signature(one).parameters for one in methods if one.__name__ != "_ask"}
    assert [name for name, parameters in asked.items() if "timeout_s" not in parameters] == []
    defaults = {name: parameters["timeout_s"].default for name, parameters in asked.items()}
    assert [name for name, default in defaults.items() if not 0 < default <= 600] == []


def requests(world: World, order: Any, position: Any, fills: Any) -> dict[str, Callable[..., Any]]:
    client, price = world.client, world.price()
    wanted = OrderRequest(
        instrument_id=INFY, side=Side.BUY, quantity=Decimal(1), order_type=OrderType.LIMIT, price=price
    )
    leg = GttLeg(trigger_price=price, side=Side.BUY, quantity=Decimal(1), price=price)
    last = Decimal(str(client.instrument(INFY).tick_size)) * 20 + price
    gtt = GttRequest(instrument_id=INFY, last_price=last, legs=(leg,))
    end = datetime.fromtimestamp(world.runtime.clock.wall_ns() / 1e9, UTC)
    given: dict[str, tuple[Any, ...]] = {
        "basket_margin": ([wanted],),
        "candles": (INFY, "1m", end - timedelta(hours=1), end),
        "charges": (fills,),
        "convert": (position, Product.DELIVERY),
        "delete_gtt": ("1",),
        "modify_gtt": ("1", gtt),
        "order_history": (order,),
        "order_margin": ([wanted],),
        "place_gtt": (gtt,),
    }
    return {
        name: lambda name=name, **more: getattr(client, name)(*given.get(name, ()), **more)  # type: ignore[misc]
        for name in ASKS
        if name not in ELSEWHERE | TELLS
    }


def test_a_silent_broker_keeps_a_caller_no_longer_than_it_allows():
    async def scenario(world: World) -> dict[str, float]:
        order = await world.rest()
        world.sell_into(world.price(), 10)
        await world.client.wait_order(order)
        (position,) = await world.client.positions()
        fills = await world.client.trades()
        calls = requests(world, order, position, fills)
        world.fault("delay=300s")
        took = {}
        for name, call in calls.items():
            began = world.runtime.clock.mono_ns()
            with pytest.raises(DragomanError):
                await call(timeout_s=TIMEOUT_S)
            took[name] = (world.runtime.clock.mono_ns() - began) / 1e9
        return took

    took = play(scenario)
    assert set(took) == set(ASKS) - ELSEWHERE - TELLS
    assert [(name, seconds) for name, seconds in took.items() if not TIMEOUT_S <= seconds <= TIMEOUT_S * 1.1] == []


def test_several_orders_and_a_kill_tell_what_they_know_when_their_time_is_over():
    async def scenario(world: World) -> None:
        order = await world.rest()
        terms = {"order_type": OrderType.LIMIT, "price": world.price(), "product": Product.INTRADAY}
        wanted = OrderRequest(instrument_id=INFY, side=Side.BUY, quantity=Decimal(1), **terms)
        world.fault("delay=300s")
        now = world.runtime.clock.mono_ns
        began = now()
        (unknown,) = await world.client.place_many([wanted], timeout_s=TIMEOUT_S)
        assert unknown.status is OrderStatus.UNKNOWN
        assert now() - began <= TIMEOUT_S * 1.1e9
        began = now()
        state = await world.client.kill(timeout_s=TIMEOUT_S)
        assert state.engaged
        assert order.client_order_id in {one.client_order_id for one in world.client.orders_service.store.open}
        assert now() - began <= TIMEOUT_S * 1.1e9
        began = now()
        assert await world.client.release(await world.client.release(), timeout_s=TIMEOUT_S) is None
        assert not world.client.killed.engaged
        assert now() - began <= TIMEOUT_S * 1.1e9

    play(scenario)


def test_waiting_for_ever_is_refused():
    async def scenario(world: World) -> None:
        order = await world.rest()
        for never in (None, float("inf"), float("nan")):
            with pytest.raises(UsageError, match="timeout_s"):
                await world.client.wait_order(order, timeout_s=never)

    play(scenario)
