"""Exits: orders that only make a position smaller pass what holds other orders back."""

from __future__ import annotations

import errno
from decimal import Decimal

import pytest

from dragoman.errors import OutcomeUnknown, Rejected
from dragoman.model import OrderRequest, OrderStatus, OrderType, Product, Side
from dragoman.plugin import Lane, Request, Wait, urgent
from wire.trading import INFY, play


def _exit(world, **more):
    request = OrderRequest(
        instrument_id=INFY,
        side=Side.BUY,
        quantity=Decimal(5),
        order_type=OrderType.LIMIT,
        price=world.price(),
        product=Product.INTRADAY,
        **more,
    )
    service = world.client.orders_service
    return service.placing(request, world.client.instrument(INFY), 10.0, False, exits=True)


def test_an_exit_does_not_wait_for_a_stale_view():
    async def scenario(world):
        await world.cut()
        assert world.client.orders_service.stale
        began = world.runtime.clock.mono_ns()
        order = await _exit(world)
        assert order.order_id == world.live[-1].order_id
        assert world.runtime.clock.mono_ns() - began < 10**9

    play(scenario)


def test_an_exit_passes_the_fence_of_an_unknown_order_and_the_checks():
    async def scenario(world):
        asked = []

        def refuse(request, instrument):
            asked.append(request)
            raise Rejected("no")

        world.fault("drop_frames;http:503@GET /orders;drop_reply@POST /orders*1")
        with pytest.raises(OutcomeUnknown):
            await world.rest(timeout_s=2.0)
        world.client.orders_service.admit = refuse
        with pytest.raises(Rejected, match="no"):
            await world.client.place("NSE:SBIN", "BUY", 1, product="INTRADAY", allow_stale=True)
        before = len(world.live)
        await _exit(world)
        assert (len(asked), len(world.live)) == (1, before + 1)

    play(scenario)


def test_an_exit_is_sent_although_the_journal_failed_and_says_so():
    async def scenario(world):
        await world.rest()
        world.runtime.disk.fail(errno.EIO, operation="sync", times=-1)
        with pytest.raises(Rejected):
            await world.rest()
        order = await _exit(world, client_order_id="out")
        assert order.status in (OrderStatus.ACCEPTED, OrderStatus.OPEN)
        assert world.client.order("out").unjournaled
        assert [event.code for event in world.events if getattr(event, "code", "") == "UNJOURNALED"] == ["UNJOURNALED"]
        world.runtime.disk.heal()

    play(scenario)


def test_an_urgent_flow_spends_the_lane_of_risk_and_is_otherwise_the_same():
    def flow():
        first = yield Request(path="/book")
        try:
            yield Request(method="POST", path="/orders", mutates=True)
        except ValueError as error:
            yield Wait(1.0, reason=str(error))
        return first

    hurried = urgent(flow())
    assert next(hurried) == Request(path="/book")
    sent = hurried.send("reply")
    assert (sent.mutates, sent.lane) == (True, Lane.RISK)
    assert hurried.throw(ValueError("late")) == Wait(1.0, reason="late")
    with pytest.raises(StopIteration) as end:
        hurried.send(None)
    assert end.value.value == "reply"
