"""Changing and cancelling: what is in flight stands beside the firm status, and goes when its fate is known."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from dragoman.adapters.zerodha.adapter import SECOND_SHARE, ZerodhaAdapter

from dragoman.errors import Effect, ErrorKind, OutcomeUnknown, Rejected, Throttled, UsageError
from dragoman.model import OrderStatus, Outcome, Pending, Reject
from dragoman.plugin import Request
from wire.trading import play

S = OrderStatus


async def resting(world, **more):
    order = await world.rest(client_order_id="mine", **more)
    return await world.client.wait_order(order, lambda o: o.status is S.OPEN)


def test_a_change_is_pending_until_the_stream_confirms_it():
    async def scenario(world):
        order = await resting(world)
        world.fault("delay_frames=1s")
        changed = await world.client.modify(order, price=world.price(-10), quantity="12")
        assert (changed.status, changed.pending, changed.price) == (S.OPEN, Pending.MODIFY, order.price)
        done = await world.client.wait_order(order, lambda o: o.pending is Pending.NONE)
        assert (done.status, done.price, done.quantity, done.modified) == (S.OPEN, world.price(-10), 12, True)
        assert done.order_id == order.order_id
        assert done.ts_submitted == order.ts_submitted

    play(scenario)


def test_a_change_while_another_has_no_answer_is_refused_with_zero_bytes():
    async def scenario(world):
        order = await resting(world)
        world.fault("delay=1s@PUT /orders*1")
        first = asyncio.ensure_future(world.client.modify(order, price=world.price(-10)))
        await world.until(lambda: world.client.order("mine").pending is Pending.MODIFY)
        requests = world.requests
        with pytest.raises(UsageError, match="no answer yet") as caught:
            await world.client.modify("mine", price=world.price(-20))
        assert (caught.value.kind, caught.value.effect) == (ErrorKind.LOCAL_DENIED, Effect.NONE)
        assert world.requests == requests
        first.cancel()  # its caller is gone, the change is still on its way
        await asyncio.sleep(0.1)
        with pytest.raises(UsageError, match="no answer yet"):
            await world.client.modify("mine", price=world.price(-20))
        await world.client.wait_order("mine", lambda o: o.price == world.price(-10) and o.pending is Pending.NONE)
        await world.until(lambda: not world.client.orders_service._amender._changing)
        second = await world.client.modify("mine", price=world.price(-20))
        done = await world.client.wait_order(second, lambda o: o.pending is Pending.NONE)
        assert done.price == world.price(-20)

    play(scenario)


def test_a_change_after_one_whose_fate_nobody_knows_is_refused_until_it_is_read():
    async def scenario(world):
        order = await resting(world)
        world.fault("drop_frames;drop_request@PUT /orders*1")
        with pytest.raises(OutcomeUnknown):
            await world.client.modify(order, price=world.price(-10), timeout_s=1.0)
        requests = world.requests
        with pytest.raises(UsageError, match="nobody knows"):
            await world.client.modify("mine", price=world.price(-20))
        assert world.requests == requests
        canceled = await world.client.cancel("mine")  # what reduces risk does not wait for it
        assert canceled.pending is Pending.CANCEL or canceled.status.terminal

    play(scenario)


def test_a_cancel_is_pending_until_the_stream_confirms_it():
    async def scenario(world):
        order = await resting(world)
        world.fault("delay_frames=1s")
        canceled = await world.client.cancel("mine")
        assert (canceled.status, canceled.pending) == (S.OPEN, Pending.CANCEL)
        done = await world.client.wait_order(order)
        assert (done.status, done.pending, done.remaining_quantity, done.canceled_quantity) == (
            S.CANCELED,
            Pending.NONE,
            0,
            10,
        )
        with pytest.raises(UsageError) as caught:
            await world.client.cancel("mine")
        assert caught.value.kind is ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL

    play(scenario)


def test_a_fill_that_comes_before_the_cancel_stands():
    async def scenario(world):
        order = await resting(world)
        world.fault("delay=1s@DELETE /orders*1")
        canceling = asyncio.ensure_future(world.client.cancel(order))
        await world.until(lambda: world.client.order("mine").pending is Pending.CANCEL)
        world.sell_into(order.price, 10)
        with pytest.raises(Rejected) as caught:
            await canceling
        assert caught.value.kind is ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL
        order = await world.client.wait_order("mine")
        assert (order.status, order.filled_quantity, order.pending) == (S.FILLED, 10, Pending.NONE)

    play(scenario)


@pytest.mark.parametrize("act", ["modify", "cancel"])
def test_a_refused_act_returns_to_the_firm_status(act):
    async def scenario(world):
        order = await resting(world)
        world.fault("http:400@PUT /orders*1;http:400@DELETE /orders*1")
        with pytest.raises((Rejected, OutcomeUnknown)) as caught:
            await (world.client.cancel(order) if act == "cancel" else world.client.modify(order, quantity=11))
        known = world.client.order("mine")
        assert known.status is S.OPEN
        assert caught.value.client_order_id == "mine"
        assert (known.pending is Pending.NONE) == (caught.value.effect is Effect.NONE)

    play(scenario)


def test_an_act_that_was_never_sent_leaves_no_trace():
    async def scenario(world):
        order = await resting(world)
        for _ in range(SECOND_SHARE - 1):
            await world.rest()
        with pytest.raises(Throttled):
            await world.client.modify(order, quantity=11, timeout_s=0.01)
        assert world.client.order("mine").pending is Pending.NONE
        await world.client.cancel(order)  # the lane of what reduces risk has room of its own

    play(scenario)


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("act", ["modify", "cancel"])
def test_a_lost_reply_leaves_the_act_pending_until_a_reading_settles_it(act, arrived):
    async def scenario(world):
        order = await resting(world)
        how = "drop_reply" if arrived else "drop_request"
        world.fault(f"drop_frames;{how}@PUT /orders*1;{how}@DELETE /orders*1")
        work = world.client.cancel if act == "cancel" else world.change
        with pytest.raises(OutcomeUnknown) as caught:
            await work(order, timeout_s=1.0)
        assert caught.value.client_order_id == "mine"
        pending = Pending.CANCEL if act == "cancel" else Pending.MODIFY
        assert world.client.order("mine").pending is pending
        world.heal()
        await world.client.orders()
        known = world.client.order("mine")
        if not arrived:
            assert (known.status, known.pending) == (S.OPEN, pending)  # it may sit in a queue at the broker
            await world.runtime.sleep(61)
            await world.client.orders()
            known = world.client.order("mine")
            assert (known.status, known.pending, known.quantity) == (S.OPEN, Pending.NONE, 10)
        elif act == "cancel":
            assert (known.status, known.pending) == (S.CANCELED, Pending.NONE)
        else:
            assert (known.status, known.pending, known.quantity) == (S.OPEN, Pending.NONE, 11)

    play(with_change(scenario))


def with_change(scenario):
    async def run(world):
        world.change = lambda order, **more: world.client.modify(order, quantity=11, **more)
        return await scenario(world)

    return run


def test_a_change_that_fails_does_not_hide_the_cancel_that_is_under_way():
    async def scenario(world):
        order = await resting(world)
        world.fault("delay=500ms@PUT /orders*1;delay=2s@DELETE /orders*1;http:400@PUT /orders*1")
        changing = asyncio.ensure_future(world.client.modify(order, quantity=11))
        await world.until(lambda: world.client.order("mine").pending is Pending.MODIFY)
        canceling = asyncio.ensure_future(world.client.cancel(order))
        await world.until(lambda: world.client.order("mine").pending is Pending.CANCEL)
        await asyncio.wait((changing,))
        assert changing.exception() is not None
        assert world.client.order("mine").pending is Pending.CANCEL
        await canceling
        assert (await world.client.wait_order("mine")).status is S.CANCELED

    play(scenario)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, ErrorKind.USAGE),
        ({"price": "1500.03"}, ErrorKind.INVALID_PRICE_TICK),
        ({"quantity": 0}, ErrorKind.INVALID_QUANTITY),
        ({"quantity": 2}, ErrorKind.INVALID_QUANTITY),
        ({"trigger_price": 1500}, ErrorKind.BAD_REQUEST),
        ({"order_type": "MARKET", "price": 1500}, ErrorKind.BAD_REQUEST),
        ({"order_type": "STOP_LIMIT"}, ErrorKind.BAD_REQUEST),
        ({"order_type": "TRAILING_STOP_LIMIT"}, ErrorKind.NOT_SUPPORTED),
        ({"order_type": "BETTER"}, ErrorKind.USAGE),
        ({"time_in_force": "GTC"}, ErrorKind.NOT_SUPPORTED),
        ({"display_quantity": 11}, ErrorKind.INVALID_QUANTITY),
        ({"lots": 0}, ErrorKind.INVALID_QUANTITY),
        ({"lots": 3, "quantity": 3}, ErrorKind.USAGE),
        ({"leverage": 3}, ErrorKind.USAGE),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_zero_bytes(change, kind):
    async def scenario(world):
        order = await resting(world)
        world.sell_into(order.price, 4)
        await world.client.wait_order(order, lambda o: o.filled_quantity == 4)
        before = world.requests
        with pytest.raises(UsageError) as caught:
            await world.client.modify("mine", **change)
        assert caught.value.kind is kind
        assert world.requests == before
        assert world.client.order("mine").pending is Pending.NONE

    play(scenario)


def test_an_order_nobody_knows_is_refused_with_zero_bytes():
    async def scenario(world):
        before = world.requests
        for act in (
            world.client.cancel("nope"),
            world.client.modify("nope", quantity=1),
            world.client.wait_order("nope"),
            world.client.order_history("nope"),
            world.client.trades("nope"),
        ):
            with pytest.raises(UsageError) as caught:
                await act
            assert caught.value.kind is ErrorKind.ORDER_NOT_FOUND
        assert world.requests == before

    play(scenario)


@pytest.mark.parametrize("state", ["denied", "unknown"])
def test_an_order_without_a_broker_id_is_asked_about_by_nobody(state):
    async def scenario(world):
        if state == "denied":
            for _ in range(SECOND_SHARE):
                await world.rest()
        world.fault("drop_frames;reset_request@POST /orders*1")
        with pytest.raises((OutcomeUnknown, Throttled)):
            await world.rest(client_order_id="mine", timeout_s=0.01 if state == "denied" else 2.0)
        before = world.requests
        for act in (world.client.cancel, world.client.order_history, world.client.trades):
            with pytest.raises(UsageError, match="no broker id"):
                await act("mine")
        assert world.requests == before

    play(scenario)


@pytest.mark.parametrize("effect", ["UNKNOWN", "REJECTED"])
def test_an_outcome_that_an_adapter_returns_is_raised_as_one_it_raises(effect):
    reject = Reject(ErrorKind.EXCHANGE_REJECTED, "no")

    class Answering(ZerodhaAdapter):
        def cancel(self, order, ctx):
            yield from super().cancel(order, ctx)
            return Outcome.unknown(reject) if effect == "UNKNOWN" else Outcome.rejected(reject)

    async def scenario(world):
        order = await resting(world)
        world.fault("drop_frames")
        with pytest.raises(OutcomeUnknown if effect == "UNKNOWN" else Rejected):
            await world.client.cancel(order)
        assert world.client.order("mine").pending is (Pending.CANCEL if effect == "UNKNOWN" else Pending.NONE)

    play(scenario, adapter=Answering)


def test_a_replace_that_changes_the_id_keeps_the_order_whoever_tells_first():
    class Replacing(ZerodhaAdapter):
        def modify(self, order, change, instrument, ctx):
            yield from super().modify(order, change, instrument, ctx)
            return Outcome.accepted("R-1", replaces=order.order_id)

    async def scenario(world):
        order = await resting(world)
        changed = await world.client.modify(order, quantity=11)
        assert changed.order_id == "R-1"
        assert changed.order_ids == (order.order_id, "R-1")
        assert world.client.order(order.order_id) == world.client.order("R-1") == world.client.order("mine")
        assert world.updates[-1].order.order_id == "R-1" or "R-1" in world.updates[-1].order.order_ids

    play(scenario, adapter=Replacing)


@pytest.mark.parametrize("act", ["modify", "cancel"])
def test_without_a_stream_the_reading_after_the_answer_settles_what_was_asked(act):
    class Lazy(ZerodhaAdapter):
        """A broker that takes the request and lets nothing come of it."""

        def modify(self, order, change, instrument, ctx):
            yield Request(path="/orders")
            return Outcome.accepted(order.order_id)

        def cancel(self, order, ctx):
            yield Request(path="/orders")
            return Outcome.accepted(order.order_id)

    async def scenario(world):
        order = await world.rest(client_order_id="mine", allow_stale=True)
        await world.client.orders()
        more = {"price": order.price} if act == "modify" else {}
        asked = await getattr(world.client, act)("mine", **more)
        assert asked.pending is Pending[act.upper()]
        await world.client.orders()
        done = world.client.order("mine")
        assert (done.status, done.pending) == (S.OPEN, Pending.NONE)

    play(scenario, adapter=Lazy, streams=False)


def test_a_flow_that_says_usage_after_its_order_left_leaves_the_order_unknown():
    class Wrong(ZerodhaAdapter):
        def place(self, order, instrument, ctx):
            yield from super().place(order, instrument, ctx)
            raise UsageError("nothing was sent")

    async def scenario(world):
        world.fault("drop_frames")
        with pytest.raises(OutcomeUnknown):
            await world.rest(client_order_id="mine")
        assert world.client.order("mine").status is S.UNKNOWN
        await world.client.orders()
        assert world.client.order("mine").order_id == world.live[0].order_id
        assert world.client.order("mine").status in (S.ACCEPTED, S.OPEN)

    play(scenario, adapter=Wrong)


def test_positions_are_checked_against_the_fills_of_today_only():
    async def scenario(world):
        order = await resting(world)
        world.sell_into(order.price, 10)
        await world.client.wait_order(order)
        (mine,) = world.store.fills.of("mine")
        yesterday = replace(mine, trade_id="old", order_id="old", ts_event=mine.ts_event - 86_400_000_000_000)
        world.store.fills.add(yesterday, "old")
        assert await world.client.check_positions() == []

    play(scenario)
