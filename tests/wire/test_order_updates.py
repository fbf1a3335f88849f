"""Whoever placed an order, tells first, or listens: each order is there once, and no update is lost."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from decimal import Decimal

import pytest
from dragoman.adapters.zerodha.adapter import ZerodhaAdapter

from dragoman.errors import DragomanError, OutcomeUnknown, Rejected, StaleData, UsageError
from dragoman.model import OrderStatus, Origin, Outcome
from dragoman.orders.identity import read_wire_id
from dragoman.orders.requests import reject_of
from wire.trading import INFY, play

S = OrderStatus


def test_orders_of_other_terminals_are_adopted_as_external():
    async def scenario(world):
        ids = [world.place_elsewhere(), world.place_elsewhere(tag="theirs")]
        await world.until(lambda: all(world.client.order(name) for name in ids))
        for name in ids:
            order = world.client.order(name)
            assert (order.origin, order.client_order_id) == (Origin.EXTERNAL, f"EXT-{name}")
        assert world.client.counters()["orders"]["external"] == 2
        await world.client.cancel(ids[0])
        done = await world.client.wait_order(ids[0])
        assert (done.status, done.origin) == (S.CANCELED, Origin.EXTERNAL)

    play(scenario)


class Untagged(ZerodhaAdapter):
    """A broker that carries no tag: only the reply tells which order is ours."""

    def orders(self, ctx):
        return [order.but(tag=None, tags=()) for order in (yield from super().orders(ctx))]

    def place(self, order, instrument, ctx):
        return (yield from super().place(replace(order, wire_id="", tag=None), instrument, ctx))


def test_a_report_without_a_tag_that_was_faster_than_the_reply_becomes_ours_with_the_reply():
    async def scenario(world):
        world.fault("delay_reply=1s@POST /orders*1")
        placing = asyncio.ensure_future(world.rest(client_order_id="mine", tag="alpha"))
        await world.until(lambda: len(world.store) == 2)
        external = next(order for order in world.store if order.origin is Origin.EXTERNAL)
        world.sell_into(external.price, 4)
        await world.until(lambda: world.client.order(external.order_id).filled_quantity == 4)
        waiting = asyncio.ensure_future(world.client.wait_order(external, timeout_s=30))
        order = await placing
        assert [known.client_order_id for known in world.store] == ["mine"]
        assert (order.status, order.filled_quantity, order.origin) == (S.PARTIALLY_FILLED, 4, Origin.US)
        assert (order.tag, order.order_ids) == ("alpha", (order.order_id,))
        assert world.client.order(external.client_order_id) == order  # its old name still finds it
        world.sell_into(order.price, 6)
        assert (await waiting).client_order_id == "mine"
        await world.client.trades()
        fills = world.store.fills.all()
        assert sum(fill.quantity for fill in fills) == 10
        assert {fill.client_order_id for fill in fills} == {"mine"}
        assert world.client.counters()["orders"]["external"] == 0
        assert world.client.counters()["orders"]["joined"] == 1

    play(scenario, adapter=Untagged)


@pytest.mark.logs  # that one intent may have become two orders is said aloud
def test_a_second_order_with_our_tag_is_never_taken_for_the_first():
    async def scenario(world):
        order = await world.client.wait_order(await world.rest(client_order_id="mine"), lambda o: o.status is S.OPEN)
        again = world.place_elsewhere(tag=order.wire_id)
        await world.until(lambda: world.client.order(again))
        assert world.client.order(again).client_order_id == f"EXT-{again}"
        assert world.client.order("mine") == order
        assert world.client.counters()["orders"]["id_conflicts"] == 1

    play(scenario)


class Slicing(ZerodhaAdapter):
    """A broker that answers one order with three: two it takes, one it refuses."""

    def place(self, order, instrument, ctx):
        outcomes = []
        for quantity in (4, 6, 20_000):
            part = replace(order, quantity=Decimal(quantity), wire_id="", tag=None)
            try:
                outcomes.append((yield from super().place(part, instrument, ctx)))
            except Rejected as error:
                outcomes.append(Outcome.rejected(reject_of(error)))
        return Outcome.parent("P-1", tuple(outcomes))


def test_an_order_answered_with_several_is_a_parent_and_its_slices_are_followed():
    async def scenario(world):
        parent = await world.rest(client_order_id="mine")
        names = world.store.children("mine")
        assert names == ("mine/1", "mine/2", "mine/3")
        assert world.client.order("mine/3").status is S.REJECTED
        assert parent.order_id == "P-1"
        await world.until(lambda: world.client.order("mine").status is S.OPEN)
        assert len(world.live) == 2
        assert {world.client.order(state.order_id).client_order_id for state in world.live} == {"mine/1", "mine/2"}
        with pytest.raises(UsageError, match="mine/1"):
            await world.client.cancel("mine")
        world.sell_into(parent.price, 4)
        await world.until(lambda: world.client.order("mine").filled_quantity == 4)
        assert world.client.order("mine").status is S.PARTIALLY_FILLED
        await world.client.cancel("mine/2")
        done = await world.client.wait_order("mine")
        assert (done.status, done.filled_quantity, done.canceled_quantity) == (S.CANCELED, 4, 6)
        assert await world.client.check_positions() == []
        assert sum(fill.quantity for fill in world.store.fills.all()) == 4

    play(scenario, adapter=Slicing)


@pytest.mark.logs  # the handler is named in the log
def test_a_handler_that_raises_is_counted_and_hurts_nobody():
    async def scenario(world):
        heard = []

        def broken(_):
            raise ZeroDivisionError("a defect of the user")

        world.client.on_order(broken)
        world.client.on_order(heard.append)
        order = await world.rest(client_order_id="mine")
        await world.client.wait_order(order, lambda o: o.status is S.OPEN)
        assert len(heard) == len(world.updates) > 2
        assert world.client.counters()["handler_errors"] == len(heard)
        assert world.client.counters()["orders"]["listener_errors"] == 0

    play(scenario)


def test_iterators_hear_every_update_from_the_call_on_however_slow_they_are():
    async def scenario(world):
        updates = world.client.order_updates()
        for _ in range(3):
            await world.rest()
        await world.runtime.sleep(1)
        world.client.order_updates()  # dropped at once: it must not collect anything
        gc.collect()
        assert world.client.orders_service.updates.subscriptions == 1
        assert updates.waiting == len(world.updates)
        heard = [await anext(updates) for _ in range(len(world.updates))]
        assert heard == world.updates
        following = asyncio.ensure_future(anext(updates))
        await world.runtime.sleep(0.1)
        assert not following.done()
        await world.rest()
        assert (await following).order.status is S.SUBMITTED
        await updates.aclose()
        assert [update async for update in updates] == []
        await world.client.close()
        assert [update async for update in world.client.order_updates()] == []

    play(scenario)


def test_waiting_raises_what_the_condition_raises_and_says_what_the_order_is_when_it_is_late():
    async def scenario(world):
        order = await world.rest(client_order_id="mine")

        def wrong(order):
            if order.status is S.OPEN:
                raise LookupError("a defect of the user")
            return False

        with pytest.raises(LookupError):
            await world.client.wait_order(order, wrong)
        with pytest.raises(StaleData, match="OPEN \\(0 of 10 filled\\) after 3 s"):
            await world.client.wait_order(order, timeout_s=3)
        assert world.client.counters()["handler_errors"] == 0

    play(scenario)


def test_history_and_trades_of_one_order_are_its_own():
    async def scenario(world):
        order = await world.rest(client_order_id="mine")
        other = await world.rest()
        await world.client.wait_order(other, lambda o: o.status is S.OPEN)
        world.sell_into(order.price, 14)
        await world.client.wait_order(order)
        await world.client.wait_order(other, lambda o: o.filled_quantity == 4)
        states = await world.client.order_history("mine")
        assert [state.status for state in states][-1] is S.FILLED
        assert {state.order_id for state in states} == {order.order_id}
        assert sum(fill.quantity for fill in await world.client.trades("mine")) == 10
        assert sum(fill.quantity for fill in await world.client.trades()) == 14
        assert sum(fill.quantity for fill in world.store.fills.all()) == 14

    play(scenario)


def test_no_secret_is_in_what_a_client_shows():
    async def scenario(world):
        token = world.client.session.ctx.login["access_token"].reveal()
        world.fault("drop_frames;reset_reply@POST /orders*1")
        with pytest.raises(OutcomeUnknown) as caught:
            await world.rest(timeout_s=1)
        shown = f"{world.client!r} {caught.value!r} {caught.value} {world.client.counters()!r} {world.events!r}"
        assert token not in shown
        assert "emu_api_secret" not in shown
        assert all(isinstance(event, DragomanError) or token not in str(event) for event in world.events)

    play(scenario)


def test_our_tag_is_what_the_broker_carries():
    async def scenario(world):
        order = await world.rest(tag="a1")
        assert read_wire_id(world.live[0].order.tag) == order.wire_id
        assert world.live[0].order.instrument_id == INFY

    play(scenario)


def test_an_earlier_view_of_an_order_finds_the_latest_one():
    async def scenario(world):
        first = await world.rest(client_order_id="mine")
        await world.client.cancel(first)
        await world.until(lambda: world.client.order("mine").status is S.CANCELED)
        assert world.client.order(first) is world.client.order("mine")
        assert world.client.order(first).status is S.CANCELED

    play(scenario)
