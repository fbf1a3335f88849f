"""Placing: whatever becomes of a request, its order is known by its true status, and there is exactly one."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from dragoman.adapters.zerodha.adapter import SECOND_SHARE, ZerodhaAdapter

from dragoman.errors import (
    AuthRequired,
    Effect,
    ErrorKind,
    NotSent,
    OutcomeUnknown,
    Rejected,
    Retry,
    Throttled,
    UsageError,
)
from dragoman.model import Order, OrderStatus, Side
from dragoman.orders import IdMint
from dragoman.runtime.virtual_net import LinkFault
from wire.trading import INFY, play

S = OrderStatus
MUTE = "drop_frames"  # the stream carries nothing
NO_BOOK = "http:503@GET /orders"  # and nobody can look
LOST = [
    "drop_reply@POST /orders*1",
    "reset_reply@POST /orders*1",
    "reset_mid_reply@POST /orders*1",
    "truncate_reply@POST /orders*1",
    "late_http:504@POST /orders*1",
    "late_html:502@POST /orders*1",
    "late_empty:200@POST /orders*1",
]


def test_an_order_is_accepted_and_the_stream_tells_its_life():
    async def scenario(world):
        order = await world.rest(client_order_id="mine", tag="alpha")
        assert order.order_id == world.live[0].order_id
        order = await world.client.wait_order(order, lambda o: o.status is S.OPEN)
        world.sell_into(order.price, 4)
        await world.client.wait_order(order, lambda o: o.filled_quantity == 4)
        world.sell_into(order.price, 6)
        order = await world.client.wait_order("mine")
        assert world.statuses("mine") == [S.SUBMITTED, S.ACCEPTED, S.OPEN, S.PARTIALLY_FILLED, S.FILLED]
        assert (order.client_order_id, order.tag, order.account_id) == ("mine", "alpha", world.account)
        assert world.live[0].order.tag == order.wire_id + "alpha"
        assert order.ts_recv is not None
        assert sum(fill.quantity for fill in world.store.fills.of("mine")) == 10

    play(scenario)


@pytest.mark.parametrize("fault", LOST)
def test_a_lost_reply_leaves_one_unknown_order_that_the_book_settles(fault):
    async def scenario(world):
        world.fault(f"{MUTE};{NO_BOOK};{fault}")
        with pytest.raises(OutcomeUnknown) as caught:
            await world.rest(client_order_id="mine", timeout_s=2.0)
        error = caught.value
        assert (error.client_order_id, error.effect, error.retry) == ("mine", Effect.UNKNOWN, Retry.RESOLVE_FIRST)
        unknown = world.client.order("mine")
        assert (unknown.status, unknown.order_id, unknown.reject.effect) == (S.UNKNOWN, "", Effect.UNKNOWN)
        assert world.store.unknown == (unknown,)
        await world.runtime.sleep(0.1)
        world.heal()
        world.fault(MUTE)
        orders = await world.client.orders()
        assert [order.client_order_id for order in orders] == ["mine"]
        assert (orders[0].status, orders[0].order_id) == (S.OPEN, world.live[0].order_id)
        assert orders[0].reject is None
        assert len(world.live) == 1
        assert world.statuses("mine") == [S.SUBMITTED, S.UNKNOWN, S.OPEN]

    play(scenario)


@pytest.mark.parametrize("fault", LOST)
def test_a_lost_reply_that_the_stream_answers_later_ends_by_the_stream(fault):
    async def scenario(world):
        world.fault(f"delay_frames=3s;{NO_BOOK};{fault}")
        with pytest.raises(OutcomeUnknown):
            await world.rest(client_order_id="mine", timeout_s=2.0)
        order = await world.client.wait_order("mine", lambda o: o.status is S.OPEN)
        assert order.order_id == world.live[0].order_id
        assert len(world.live) == 1
        assert next(u.source for u in world.updates if u.order.status is S.OPEN) == "stream"

    play(scenario)


def test_a_lost_reply_that_the_stream_has_answered_already_is_no_unknown():
    async def scenario(world):
        world.fault("drop_reply@POST /orders*1")
        order = await world.rest(client_order_id="mine", timeout_s=2.0)
        assert order.status is S.OPEN
        assert S.UNKNOWN not in world.statuses("mine")
        assert len(world.live) == 1

    play(scenario)


def test_a_lost_reply_of_an_order_the_stream_saw_rejected_raises_that():
    async def scenario(world):
        world.venue.halt(INFY)
        world.fault("drop_reply@POST /orders*1")
        with pytest.raises(Rejected) as caught:
            await world.rest(client_order_id="mine", timeout_s=2.0)
        assert caught.value.client_order_id == "mine"
        assert isinstance(caught.value.__cause__, OutcomeUnknown)
        assert world.client.order("mine").status is S.REJECTED

    play(scenario)


def test_a_lost_reply_of_an_order_that_filled_meanwhile_counts_each_fill_once():
    async def scenario(world):
        world.fault("delay_frames=3s;reset_reply@POST /orders*1")
        with pytest.raises(OutcomeUnknown):
            await world.rest(client_order_id="mine", timeout_s=2.0)
        await world.runtime.sleep(0.1)
        world.sell_into(world.price(), 10)
        await world.client.orders()
        assert world.client.order("mine").status is S.FILLED
        await world.runtime.sleep(4)  # the stream tells it all again, older states first
        order = world.client.order("mine")
        assert (order.status, order.filled_quantity) == (S.FILLED, 10)
        assert sum(fill.quantity for fill in world.store.fills.of("mine")) == 10
        assert await world.client.check_positions() == []

    play(scenario)


def test_a_reply_that_comes_after_the_stream_only_adds_what_it_knows():
    async def scenario(world):
        world.fault("delay_reply=1s@POST /orders*1")
        placing = asyncio.ensure_future(world.rest(client_order_id="mine"))
        await world.until(lambda: (order := world.client.order("mine")) and order.status is S.OPEN)
        assert not placing.done()
        assert (await placing).status is S.OPEN
        assert world.statuses("mine") == [S.SUBMITTED, S.OPEN] or S.ACCEPTED in world.statuses("mine")
        assert world.statuses("mine")[-1] is S.OPEN

    play(scenario)


def test_a_refused_connection_is_not_sent_and_denied():
    async def scenario(world):
        world.runtime.net.faults.add(LinkFault(refuse=True), times=-1)
        for link in world.runtime.net.links:
            if link.open:
                link.reset()
        with pytest.raises(NotSent) as caught:
            await world.rest(client_order_id="mine", allow_stale=True, timeout_s=1.0)
        assert caught.value.client_order_id == "mine"
        order = world.client.order("mine")
        assert (order.status, order.reject.kind, order.remaining_quantity) == (S.DENIED, ErrorKind.NOT_SENT, 0)
        assert world.live == []

    play(scenario)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"quantity": 20_000, "product": "DELIVERY"}, ErrorKind.INSUFFICIENT_MARGIN),
        ({"side": "SELL", "product": "DELIVERY"}, ErrorKind.INSUFFICIENT_HOLDINGS),
        ({"price_off_band": True}, ErrorKind.PRICE_OUT_OF_BAND),
    ],
)
def test_what_the_broker_refuses_is_rejected_and_recorded(changes, kind):
    async def scenario(world):
        terms = {"side": "BUY", "quantity": 10, "product": "INTRADAY", "price": world.price()} | changes
        if terms.pop("price_off_band", False):
            terms["price"] = world.price() * 2
        with pytest.raises(Rejected) as caught:
            await world.client.place(INFY, order_type="LIMIT", client_order_id="mine", **terms)
        assert (caught.value.kind, caught.value.effect) == (kind, Effect.NONE)
        assert caught.value.client_order_id == "mine"
        order = world.client.order("mine")
        assert (order.status, order.reject.kind) == (S.REJECTED, kind)
        assert order.ts_closed is not None

    play(scenario)


def test_a_tag_beside_the_wire_id_comes_back_with_the_order_after_a_lost_reply():
    async def scenario(world):
        world.fault(f"{MUTE};reset_reply@POST /orders*1")
        with pytest.raises(OutcomeUnknown):
            await world.rest(client_order_id="mine", tag="strat123", timeout_s=2.0)
        await world.runtime.sleep(0.1)
        (order,) = await world.client.orders()
        assert (order.client_order_id, order.tag, order.status) == ("mine", "strat123", S.OPEN)

    play(scenario)


def test_a_tag_that_the_wire_cannot_carry_is_refused_and_no_order_is_made():
    async def scenario(world):
        before = world.requests
        with pytest.raises(UsageError, match="cannot carry tag"):
            await world.rest(client_order_id="mine", tag="a" * 30)
        assert world.client.order("mine") is None
        assert world.requests == before

    play(scenario)


def test_a_limit_that_is_farther_than_the_deadline_is_throttled_and_nothing_is_sent():
    async def scenario(world):
        for _ in range(SECOND_SHARE):
            await world.rest()
        before = world.requests
        with pytest.raises(Throttled) as caught:
            await world.rest(client_order_id="mine", timeout_s=0.01)
        assert caught.value.retry_after_s > 0
        assert world.client.order("mine").status is S.DENIED
        assert world.requests == before
        assert len(world.live) == SECOND_SHARE

    play(scenario)


def test_an_order_whose_own_deadline_passed_in_the_line_is_dropped():
    async def scenario(world):
        for _ in range(SECOND_SHARE):
            await world.rest()
        deadline = world.runtime.clock.mono_ns() + 10_000_000
        with pytest.raises(NotSent):
            await world.rest(client_order_id="mine", deadline_ns=deadline)
        assert world.client.order("mine").status is S.DENIED
        assert len(world.live) == SECOND_SHARE

    play(scenario)


def test_a_session_that_is_over_denies_the_order_with_zero_bytes():
    async def scenario(world):
        world.emulator.expire_tokens()
        with pytest.raises(AuthRequired):
            await world.client.margins()
        before = world.requests
        with pytest.raises(AuthRequired):
            await world.rest(client_order_id="mine", allow_stale=True)
        assert world.client.order("mine").status is S.DENIED
        assert world.requests == before

    play(scenario)


@pytest.mark.parametrize("reply", ["kept", "lost"])
@pytest.mark.logs  # the failure that nobody waits for any more is logged
def test_a_caller_that_is_cancelled_leaves_the_order_to_its_outcome(reply):
    async def scenario(world):
        world.fault("delay_reply=1s@POST /orders*1")
        if reply == "lost":
            world.fault(f"{MUTE};{NO_BOOK};late_http:504@POST /orders*1")
        placing = asyncio.ensure_future(world.rest(client_order_id="mine"))
        await world.until(lambda: world.live)
        placing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await placing
        if reply == "lost":
            await world.until(lambda: world.client.order("mine").status is S.UNKNOWN)
        else:
            await world.until(lambda: world.client.order("mine").order_id)
            assert world.client.order("mine").status is S.OPEN
        assert len(world.live) == 1

    play(scenario)


def test_a_client_order_id_is_one_order():
    async def scenario(world):
        await world.rest(client_order_id="mine")
        before = world.requests
        assert (await world.rest(client_order_id="mine")).order_id == world.live[0].order_id
        for taken in ("EXT-1", "mine/1"):
            with pytest.raises(UsageError, match="taken"):
                await world.rest(client_order_id=taken)
        assert world.requests == before
        world.client.orders_service.mark_stale("a test")  # both wait: neither is in the store yet
        both = await asyncio.gather(
            world.rest(client_order_id="twin"), world.rest(client_order_id="twin"), return_exceptions=True
        )
        assert [getattr(one, "kind", None) for one in both] == [ErrorKind.STALE_DATA, ErrorKind.DUPLICATE_ORDER]

    play(scenario)


def test_a_read_only_session_refuses_every_change():
    async def scenario(world):
        order_id = world.place_elsewhere()
        await world.client.orders()
        before = world.requests
        for act in (world.rest(), world.client.cancel(order_id), world.client.modify(order_id, quantity=5)):
            with pytest.raises(UsageError, match="read-only"):
                await act
        assert world.requests == before
        assert len(world.live) == 1

    play(scenario, read_only=True)


@pytest.mark.parametrize("when", ["before the request", "after the reply"])
def test_a_defect_of_an_adapter_never_leaves_an_order_in_between(when):
    class Broken(ZerodhaAdapter):
        def place(self, order, instrument, ctx):
            if when == "before the request":
                raise ZeroDivisionError("a defect")
            outcome = yield from super().place(order, instrument, ctx)
            return outcome.no_such_attribute

    async def scenario(world):
        with pytest.raises((ZeroDivisionError, OutcomeUnknown)):
            await world.rest(client_order_id="mine")
        order = world.client.order("mine")
        if when == "before the request":
            assert (order.status, world.live) == (S.DENIED, [])
        else:
            await world.client.wait_order("mine", lambda o: o.status is S.OPEN)

    play(scenario, adapter=Broken)


def test_closing_the_client_waits_for_what_is_under_way_and_iterators_hear_it():
    async def scenario(world):
        updates = world.client.order_updates()
        world.fault("delay_reply=1s@POST /orders*1;drop_frames")
        placing = asyncio.ensure_future(world.rest(client_order_id="mine"))
        await world.until(lambda: world.live)
        await world.client.close()
        assert (await placing).status is S.ACCEPTED
        heard = [update.order.status async for update in updates]
        assert heard == [S.SUBMITTED, S.ACCEPTED]

    play(scenario)


def test_an_order_reported_under_the_next_name_of_this_run_is_not_written_over():
    async def scenario(world):
        mint = IdMint((await world.rest()).client_order_id[:5])
        names = [mint.wire_id() for _ in range(50)]
        following = names[names.index(next(iter(world.store)).client_order_id) + 1]
        seen = Order(
            instrument_id=INFY,
            side=Side.BUY,
            quantity=Decimal(5),
            order_id="424242",
            order_ids=("424242",),
            tag=following,
            status=S.OPEN,
        )
        world.store.see(seen, "poll")
        placed = len(world.live)
        with pytest.raises(UsageError, match="used before"):
            await world.rest()
        assert world.store.get("424242").quantity == 5
        assert len(world.live) == placed
        assert (await world.rest()).order_id != "424242"  # the one after it

    play(scenario)
