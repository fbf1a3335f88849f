"""Orders of unknown outcome: they end by proof, and by nothing else."""

from __future__ import annotations

import pytest

from dragoman.errors import Effect, ErrorKind, OutcomeUnknown, Rejected, Retry, UsageError
from dragoman.model import OrderAlert, OrderStatus
from wire.trading import INFY, play

S = OrderStatus
MUTE = "drop_frames"  # the stream carries nothing
NEVER_CAME = "reset_request@POST /orders*1"


def alerts(world, *codes):
    found = [event for event in world.events if isinstance(event, OrderAlert)]
    return [event for event in found if event.code in codes] if codes else found


def test_an_order_whose_reply_is_lost_is_found_without_anybody_asking():
    async def scenario(world):
        world.fault(f"{MUTE};drop_reply@POST /orders*1")
        with pytest.raises(OutcomeUnknown):
            await world.rest(client_order_id="mine", timeout_s=2.0)
        order = await world.client.wait_order("mine", lambda o: o.status is S.OPEN, timeout_s=10)
        assert order.order_id == world.live[0].order_id
        assert [event.code for event in alerts(world)] == ["RESOLVED"]
        assert len(world.live) == 1

    play(scenario)


def test_a_new_order_beside_one_of_unknown_outcome_is_refused_unless_asked_for():
    async def scenario(world):
        world.fault(f"{MUTE};http:503@GET /orders;{NEVER_CAME}")
        with pytest.raises(OutcomeUnknown):
            await world.rest(client_order_id="mine", timeout_s=2.0)
        before = world.requests
        with pytest.raises(UsageError) as caught:
            await world.rest(client_order_id="other", allow_stale=True)
        assert (caught.value.kind, caught.value.retry) == (ErrorKind.LOCAL_DENIED, Retry.RESOLVE_FIRST)
        assert caught.value.client_order_id == "mine"
        assert world.client.order("other") is None
        assert world.live == []
        sold = await world.client.place(
            INFY, "SELL", 1, order_type="LIMIT", price=world.price(20), product="INTRADAY", allow_stale=True
        )
        assert sold.order_id, "the other side is not fenced"
        again = await world.rest(client_order_id="other", allow_stale=True, allow_unknown=True)
        assert again.order_id
        assert world.requests > before

    play(scenario)


def test_an_order_that_never_arrived_is_lost_only_after_the_longest_queue_and_two_readings():
    async def scenario(world):
        world.fault(NEVER_CAME)
        with pytest.raises(OutcomeUnknown):
            await world.rest(client_order_id="mine", timeout_s=2.0)
        queue_s = world.client.session.adapter.session.queue_time_s
        await world.runtime.sleep(queue_s - 5)
        assert world.client.order("mine").status is S.UNKNOWN
        order = await world.client.wait_order("mine", timeout_s=20)
        assert order.status is S.REJECTED
        assert order.reject.kind is ErrorKind.NEVER_ARRIVED
        assert order.reject.effect is Effect.NONE
        placed = await world.rest(client_order_id="next")
        assert placed.order_id, "the fence is down"
        with pytest.raises(Rejected) as caught:
            await world.rest(client_order_id="mine")
        assert caught.value.kind is ErrorKind.NEVER_ARRIVED

    play(scenario)


@pytest.mark.parametrize("on_late", ["keep", "cancel"])
def test_an_order_taken_for_lost_that_turns_up_is_told_and_cancelled_where_asked(on_late):
    async def scenario(world):
        world.fault(NEVER_CAME)
        with pytest.raises(OutcomeUnknown):
            await world.rest(client_order_id="mine", timeout_s=2.0, on_late=on_late)
        await world.client.wait_order("mine", timeout_s=100)
        world.place_elsewhere(tag=world.client.order("mine").wire_id)  # what a broker's queue let through after all
        order = await world.client.wait_order("mine", lambda o: o.status is not S.REJECTED, timeout_s=60)
        assert order.order_id == world.live[0].order_id
        assert [event.code for event in alerts(world, "LATE_ORDER")] == ["LATE_ORDER"]
        if on_late == "cancel":
            order = await world.client.wait_order("mine", timeout_s=10)
            assert order.status is S.CANCELED
        else:
            await world.runtime.sleep(30)
            assert world.client.order("mine").status is S.OPEN

    play(scenario)


def test_asking_twice_under_one_name_places_once():
    async def scenario(world):
        first = await world.rest(client_order_id="mine")
        again = await world.rest(client_order_id="mine")
        assert again.order_id == first.order_id
        assert len(world.live) == 1
        with pytest.raises(UsageError, match="quantity was 10, is 11") as caught:
            await world.client.place(
                INFY, "BUY", 11, order_type="LIMIT", price=world.price(), product="INTRADAY", client_order_id="mine"
            )
        assert caught.value.kind is ErrorKind.DUPLICATE_ORDER
        assert len(world.live) == 1

    play(scenario)


def test_asking_again_while_the_first_is_on_its_way_waits_for_its_outcome():
    async def scenario(world):
        world.fault("delay_reply=1s@POST /orders*1")
        first = world.runtime.spawn(world.rest(client_order_id="mine"), name="first")
        await world.runtime.sleep(0.1)
        again = await world.rest(client_order_id="mine")
        assert again.order_id == (await first).order_id == world.live[0].order_id

    play(scenario)


def test_a_lost_cancel_is_settled_by_readings_without_anybody_asking():
    async def scenario(world):
        await world.rest(client_order_id="mine")
        await world.client.wait_order("mine", lambda o: o.status is S.OPEN)
        world.fault("reset_request@DELETE /orders*1")
        with pytest.raises(OutcomeUnknown):
            await world.client.cancel("mine", timeout_s=2.0)
        assert world.client.order("mine").pending == "CANCEL"
        queue_s = world.client.session.adapter.session.queue_time_s
        await world.runtime.sleep(queue_s + 15)
        order = world.client.order("mine")
        assert (order.status, order.pending) == (S.OPEN, "NONE")
        await world.client.cancel("mine")
        assert (await world.client.wait_order("mine")).status is S.CANCELED

    play(scenario)


def test_the_user_says_what_became_of_an_order_nobody_can_find():
    async def scenario(world):
        world.fault(f"http:503@GET /orders;{NEVER_CAME}")
        with pytest.raises(OutcomeUnknown):
            await world.rest(client_order_id="mine", timeout_s=2.0)
        await world.runtime.sleep(400)
        assert world.client.order("mine").status is S.UNKNOWN
        assert [event.order.client_order_id for event in alerts(world, "UNRESOLVED")] == ["mine"]
        order = world.client.resolve_order("mine", None)
        assert (order.status, order.reject.kind) == (S.REJECTED, ErrorKind.NEVER_ARRIVED)
        with pytest.raises(UsageError, match="not one of unknown outcome"):
            world.client.resolve_order("mine", None)

    play(scenario)


def test_a_fill_that_the_stream_leaves_out_is_found_by_the_audit_and_the_stream_begins_anew():
    async def scenario(world):
        order = await world.rest(client_order_id="mine")
        order = await world.client.wait_order("mine", lambda o: o.status is S.OPEN)
        world.fault("drop_frames")
        world.sell_into(order.price, 10)
        await world.runtime.sleep(1)
        world.heal()
        assert world.client.order("mine").status is S.OPEN
        order = await world.client.wait_order("mine", timeout_s=30)
        assert (order.status, order.filled_quantity) == (S.FILLED, 10)
        assert [event.order.client_order_id for event in alerts(world, "MISSED_UPDATE")] == ["mine"]
        assert world.client.counters()["audit"]["missed"] == 1
        await world.until(lambda: world.client.streams["market"].counters["reconnects"] == 1)

    play(scenario)
