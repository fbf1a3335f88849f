"""After a gap nothing new is placed on old knowledge, cancels never wait, and orders are read until all is known."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.emulator.fault_spec import parse_faults
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import DragomanError, StaleData
from dragoman.model import OrderStatus, Origin
from wire.trading import play

S = OrderStatus


async def connected(world):
    world.heal()
    await world.until(lambda: not world.client.orders_service.stale)


def test_after_a_cut_a_new_order_waits_and_then_is_refused_with_zero_bytes():
    async def scenario(world):
        await world.cut()
        before, placed_at = len(world.emulator.orders_seen), world.runtime.clock.mono_ns()
        with pytest.raises(StaleData) as caught:
            await world.rest(client_order_id="mine")
        assert world.runtime.clock.mono_ns() - placed_at == 2_000_000_000
        assert "closed" in str(caught.value) or "lost" in str(caught.value)
        assert len(world.emulator.orders_seen) == before
        assert world.client.order("mine") is None
        assert world.live == []
        order = await world.rest(client_order_id="mine", allow_stale=True)  # the name is still free
        assert order.status is S.ACCEPTED

    play(watching(scenario))


def watching(scenario):
    """Let a scenario see each order request that reaches the broker."""

    async def run(world):
        seen = world.emulator.orders_seen = []
        handle = world.emulator.handle

        def watched(call, now_ns):
            if call.method != "GET":
                seen.append((call.method, call.path))
            return handle(call, now_ns)

        world.emulator.handle = watched
        return await scenario(world)

    return run


def test_a_new_order_goes_on_as_soon_as_the_orders_were_read_again():
    async def scenario(world):
        await world.cut()
        placing = asyncio.ensure_future(world.rest(client_order_id="mine", timeout_s=30.0))
        await world.runtime.sleep(0.1)
        assert world.live == []
        world.heal()
        assert (await placing).order_id

    play(scenario, seed=2)  # a seed whose back-off is shorter than the two seconds an order waits


def test_a_cancel_never_waits_for_the_stream():
    async def scenario(world):
        order = await world.rest()
        await world.cut()
        began = world.runtime.clock.mono_ns()
        await world.client.cancel(order)
        assert world.runtime.clock.mono_ns() - began < 1_000_000_000
        with pytest.raises(StaleData):
            await world.client.modify(order, quantity=11)
        await world.until(lambda: world.live[0].status is S.CANCELED)

    play(scenario)


def test_reconnecting_reads_what_was_missed():
    async def scenario(world):
        order = await world.rest(client_order_id="mine")
        await world.client.wait_order(order, lambda o: o.status is S.OPEN)
        assert world.client.orders_service.complete_as_of is not None
        was_complete = world.client.orders_service.complete_as_of
        await world.cut()
        world.sell_into(order.price, 10)
        other = world.place_elsewhere()
        await world.runtime.sleep(1)
        assert world.client.order("mine").status is S.OPEN
        await connected(world)
        assert world.client.order("mine").status is S.FILLED
        assert [fill.is_synthetic for fill in world.store.fills.of("mine")] == [False]
        assert world.client.order(other).origin is Origin.EXTERNAL
        assert world.client.orders_service.complete_as_of > was_complete
        assert world.client.order("mine").complete_as_of > was_complete

    play(scenario)


def test_reading_while_the_stream_is_down_shows_the_orders_and_does_not_make_them_fresh():
    async def scenario(world):
        await world.cut()
        other = world.place_elsewhere()
        assert other in [order.order_id for order in await world.client.orders()]
        assert world.client.orders_service.stale
        with pytest.raises(StaleData):
            await world.rest()

    play(scenario)


def test_a_reading_that_fails_is_reported_and_tried_again():
    async def scenario(world):
        await world.cut()
        world.heal()
        world.fault("http:400@GET /orders*6")
        await world.until(lambda: not world.client.orders_service.stale)
        errors = [event for event in world.events if isinstance(event, DragomanError)]
        assert len(errors) == 2  # a read is tried three times each
        await world.rest()

    play(scenario)


def test_a_gap_during_a_reading_makes_that_reading_old():
    async def scenario(world):
        await world.cut()
        world.heal()
        world.fault("delay_reply=2s@GET /orders*1")
        await world.until(lambda: world.client.streams["market"].ready)
        await world.cut()  # for the same reason as before
        world.fault("reset_socket")
        await world.runtime.sleep(3)
        assert world.client.orders_service.stale

    play(scenario)


def test_without_streams_what_was_read_is_fresh():
    async def scenario(world):
        order = await world.rest(client_order_id="mine")
        await world.runtime.sleep(0.1)
        assert world.client.order("mine").status is S.ACCEPTED
        await world.client.orders()
        assert world.client.order("mine").status is S.OPEN
        assert world.client.streams == {}
        await world.client.cancel(order)

    play(scenario, streams=False)


@pytest.mark.logs  # a stream that is not ready in time says so
def test_a_stream_that_comes_late_makes_the_orders_fresh_then():
    async def scenario(world):
        await world.until(lambda: not world.client.orders_service.stale, timeout_s=120)
        await world.rest()

    start = EmulatorHost.start

    async def refusing(self):
        for fault in parse_faults("refuse_upgrade:503*8"):
            self.faults.add(fault)
        return await start(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmulatorHost, "start", refusing)
        play(scenario)
