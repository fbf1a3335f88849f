"""What a client knew is known to the next one: the journal, and the one process that may write it."""

from __future__ import annotations

import asyncio
import errno

import pytest

from dragoman.connecting import connect
from dragoman.errors import AccountBusy, ErrorKind, OutcomeUnknown, Rejected, UsageError
from dragoman.model import OrderAlert, OrderStatus, Origin
from dragoman.orders import succession
from dragoman.orders.journal import Journal
from wire.trading import INFY, play

S = OrderStatus


def again(world, **options):
    """Connect once more to the account of a world, as another process or the next run does."""
    session = world.client.session
    profile = session.profile
    overrides = {
        "hosts": dict(profile.hosts),
        "credentials": {name: world.emulator.credentials[name] for name in ("api_key", "api_secret")},
        "redirect_port": profile.redirect_port,
    }
    return connect(
        type(session.adapter)(),
        "test",
        environment="emulator",
        overrides=overrides,
        state_dir="/state",
        runtime=world.runtime,
        **({"may_log_in": False} | options),
    )


def test_a_name_is_one_order_also_after_a_restart():
    async def scenario(world):
        first = await world.rest(client_order_id="mine", tag="alpha")
        await world.client.close()
        async with again(world) as client:
            order = client.order("mine")
            assert (order.order_id, order.origin, order.tag) == (first.order_id, Origin.US, "alpha")
            terms = {"order_type": "LIMIT", "price": world.price(), "product": "INTRADAY", "tag": "alpha"}
            same = await client.place(INFY, "BUY", 10, **terms, client_order_id="mine")
            assert same.order_id == first.order_id
            with pytest.raises(UsageError, match="quantity was 10, is 11"):
                await client.place(INFY, "BUY", 11, **terms, client_order_id="mine")
            assert len(world.live) == 1
            await client.cancel("mine")
            assert (await client.wait_order("mine")).status is S.CANCELED

    play(scenario)


def test_a_name_of_long_ago_is_found_in_the_journal(monkeypatch):
    monkeypatch.setattr(succession, "_LOOKED_BACK_NS", 0)  # nothing is read back at the start

    async def scenario(world):
        first = await world.rest(client_order_id="mine")
        await world.client.cancel("mine")
        await world.client.wait_order("mine")
        await world.client.close()
        async with again(world) as client:
            terms = {"order_type": "LIMIT", "price": world.price(), "product": "INTRADAY"}
            same = await client.place(INFY, "BUY", 10, **terms, client_order_id="mine")
            assert (same.order_id, same.status) == (first.order_id, S.CANCELED)
            with pytest.raises(UsageError, match="quantity was 10, is 11"):
                await client.place(INFY, "BUY", 11, **terms, client_order_id="mine")
            fresh = await client.place(INFY, "BUY", 10, **terms, client_order_id="new")
            assert [fresh.order_id, first.order_id] == [world.live[1].order_id, world.live[0].order_id]

    play(scenario)


def test_what_works_is_carried_from_start_to_start(monkeypatch):
    async def scenario(world):
        first = await world.rest(client_order_id="mine")
        await world.client.wait_order("mine", lambda o: o.status is S.OPEN)
        await world.client.close()
        async with again(world):
            pass  # reads all of it back, and carries it on
        monkeypatch.setattr(succession, "_LOOKED_BACK_NS", 1_000_000_000)
        await world.runtime.sleep(3)
        async with again(world) as client:
            assert client.order("mine").order_id == first.order_id
            assert client.orders_service.intents.get("mine").request.quantity == 10

    play(scenario)


@pytest.mark.parametrize("arrived", [True, False])
def test_an_order_of_unknown_outcome_is_looked_for_by_the_next_run(arrived):
    async def scenario(world):
        fault = "drop_reply" if arrived else "reset_request"
        world.fault(f"drop_frames;http:503@GET /orders;{fault}@POST /orders*1")
        with pytest.raises(OutcomeUnknown):
            await world.rest(client_order_id="mine", timeout_s=2.0)
        await world.client.close()
        world.heal()
        async with again(world) as client:
            found = []
            client.on_event(found.append)
            if arrived:
                order = await client.wait_order("mine", lambda o: o.status is S.OPEN, timeout_s=5)
                assert order.order_id == world.live[0].order_id
            else:
                assert client.order("mine").status is S.UNKNOWN
                with pytest.raises(UsageError) as caught:
                    await client.place(INFY, "BUY", 10, order_type="LIMIT", price=world.price(), product="INTRADAY")
                assert caught.value.kind is ErrorKind.LOCAL_DENIED
                order = await client.wait_order("mine", timeout_s=90)
                assert (order.status, order.reject.kind) == (S.REJECTED, ErrorKind.NEVER_ARRIVED)
                assert [event.code for event in found if isinstance(event, OrderAlert)] == ["RESOLVED"]

    play(scenario)


def test_a_change_of_unknown_outcome_is_looked_for_by_the_next_run():
    async def scenario(world):
        await world.rest(client_order_id="mine")
        await world.client.wait_order("mine", lambda o: o.status is S.OPEN)
        world.fault("drop_frames;http:503@GET /orders;reset_request@DELETE /orders*1")
        with pytest.raises(OutcomeUnknown):
            await world.client.cancel("mine", timeout_s=2.0)
        await world.client.close()
        world.heal()
        async with again(world) as client:
            assert client.order("mine").pending == "CANCEL"
            await client.wait_order("mine", lambda o: o.pending == "NONE", timeout_s=90)
            assert client.order("mine").status is S.OPEN

    play(scenario)


def test_fills_are_counted_once_across_a_restart():
    async def scenario(world):
        order = await world.rest(client_order_id="mine")
        order = await world.client.wait_order("mine", lambda o: o.status is S.OPEN)
        world.sell_into(order.price, 4)
        await world.client.wait_order("mine", lambda o: o.filled_quantity == 4)
        await world.client.close()
        world.sell_into(order.price, 3)
        async with again(world) as client:
            order = await client.wait_order("mine", lambda o: o.filled_quantity == 7)
            fills = client.orders_service.store.fills.of("mine")
            assert sorted(fill.quantity for fill in fills) == [3, 4]
            await world.runtime.sleep(2)  # on a virtual clock clients do not share their limits
            assert await client.check_positions() == []

    play(scenario)


def test_a_second_client_reads_everything_and_writes_once_the_first_is_gone():
    async def scenario(world):
        await world.rest(client_order_id="mine")
        async with again(world) as second:
            await second.wait_order(
                next(o for o in second.orders_service.store).client_order_id, lambda o: o.status is S.OPEN
            )
            terms = {"order_type": "LIMIT", "price": world.price(), "product": "INTRADAY"}
            before = len(world.live)
            with pytest.raises(AccountBusy) as caught:
                await second.place(INFY, "BUY", 10, **terms)
            assert caught.value.pid > 0
            with pytest.raises(AccountBusy):
                await second.delete_gtt("1")
            assert len(world.live) == before
            await world.client.close()
            order = await second.place(INFY, "BUY", 10, **terms, client_order_id="ours")
            assert order.order_id == world.live[-1].order_id
            assert second.order("mine").origin is Origin.US, "the first one's names are known now"

    play(scenario)


def test_acts_that_meet_a_take_over_wait_for_all_of_it():
    async def scenario(world):
        first = await world.rest(client_order_id="mine")
        async with again(world) as second:
            await world.client.close()
            await world.runtime.sleep(2)
            terms = {"order_type": "LIMIT", "price": world.price(), "product": "INTRADAY"}
            placing = [second.place(INFY, "BUY", 10, **terms, client_order_id="mine") for _ in range(3)]
            orders = await asyncio.gather(*placing)
            assert {order.order_id for order in orders} == {first.order_id}
            assert len(world.live) == 1

    play(scenario)


def test_a_take_over_that_fails_takes_nothing_and_the_next_act_tries_again(monkeypatch):
    async def scenario(world):
        first = await world.rest(client_order_id="mine")
        async with again(world) as second:
            await world.client.close()
            await world.runtime.sleep(2)
            failing = [OSError(errno.EIO, "broken")]
            recent = Journal.recent

            async def once(journal, since_ns=0):
                if failing:
                    raise failing.pop()
                return await recent(journal, since_ns)

            monkeypatch.setattr(Journal, "recent", once)
            terms = {"order_type": "LIMIT", "price": world.price(), "product": "INTRADAY"}
            with pytest.raises(Rejected, match="cannot be read"):
                await second.place(INFY, "BUY", 10, **terms, client_order_id="mine")
            assert len(world.live) == 1
            await world.runtime.sleep(2)
            same = await second.place(INFY, "BUY", 10, **terms, client_order_id="mine")
            assert (same.order_id, len(world.live)) == (first.order_id, 1)

    play(scenario)


def test_a_read_only_client_keeps_nobody_from_writing():
    async def scenario(world):
        await world.client.close()
        async with again(world, read_only=True):
            await world.runtime.sleep(2)  # on a virtual clock clients do not share their limits
            await write(world)

    async def write(world):
        async with again(world) as second:
            terms = {"order_type": "LIMIT", "price": world.price(), "product": "INTRADAY"}
            assert (await second.place(INFY, "BUY", 10, **terms)).order_id

    play(scenario)
