"""The kill switch: nothing new leaves, what works is cancelled, and so it stays until somebody releases it."""

from __future__ import annotations

import asyncio
import errno
import itertools
from decimal import Decimal

import pytest

from dragoman.checks.kill import KillSwitch
from dragoman.errors import ErrorKind, NotSent, OutcomeUnknown, Rejected, UsageError
from dragoman.model import KillEvent, OrderStatus, OrderType, Product, Side
from dragoman.model import OrderRequest as Request
from dragoman.orders import OrderService
from dragoman.orders.journal import Kind, read_journal
from dragoman.orders.sweep import Left
from dragoman.rules.positions import BookPositions
from wire.test_order_restart import again
from wire.trading import INFY, play

S = OrderStatus
_S = 10**9


def told(world):
    return [event.code for event in world.events if isinstance(event, KillEvent)]


def statuses(world):
    return sorted(order.status for order in world.live)


def test_a_kill_cancels_everything_within_a_second_and_refuses_what_comes_after():
    async def scenario(world):
        for _ in range(4):
            await world.rest()
        world.place_elsewhere()
        began = world.runtime.clock.mono_ns()
        state = await world.client.kill("drill")
        assert world.runtime.clock.mono_ns() - began < _S
        assert statuses(world) == [S.CANCELED] * 5
        assert (state.engaged, state.why, state.working, state.unknown) == (True, "drill", (), ())
        requests, entered = world.requests, len(world.store)
        with pytest.raises(Rejected, match=r"kill switch was engaged by process .*: drill"):
            await world.rest()
        assert (world.requests, len(world.store)) == (requests, entered)
        assert told(world) == ["ENGAGED", "CANCELLED"]
        assert "KILLED" in repr(world.client)

    play(scenario)


def test_orders_are_refused_before_the_disk_has_answered():
    async def scenario(world):
        await world.rest()
        world.runtime.disk.latency_s = 0.5
        killing = asyncio.ensure_future(world.client.kill())
        await world.runtime.sleep(0)
        with pytest.raises(Rejected, match="kill switch"):
            await world.rest()
        await killing

    play(scenario)


def test_an_order_that_waits_for_the_journal_is_dropped():
    async def scenario(world):
        await world.rest()
        world.runtime.disk.latency_s = 0.05
        placing = asyncio.ensure_future(world.rest(client_order_id="late"))
        await world.runtime.sleep(0.01)
        await world.client.kill()
        with pytest.raises(NotSent, match="dropped on its way"):
            await placing
        assert world.client.order("late").status is S.DENIED
        assert len(world.live) == 1

    play(scenario)


def test_an_order_that_waits_for_the_limit_is_dropped():
    async def scenario(world):
        placing = [asyncio.ensure_future(world.rest()) for _ in range(14)]
        await world.runtime.sleep(0.3)
        sent = len(world.live)
        assert sent < 14
        await world.client.kill()
        ended = await asyncio.gather(*placing, return_exceptions=True)
        assert sum(isinstance(error, NotSent) for error in ended) == 14 - sent
        assert len(world.live) == sent
        assert set(statuses(world)) == {S.CANCELED}

    play(scenario)


def test_cancels_and_changes_that_lower_risk_pass_and_others_do_not():
    async def scenario(world):
        order = await world.rest()
        await world.client.wait_order(order, lambda o: o.status is S.OPEN)
        world.fault("http:503@DELETE")
        killing = asyncio.ensure_future(world.client.kill(timeout_s=30))
        await world.runtime.sleep(0.3)
        for more in (
            {"quantity": 11},
            {"price": world.price(-19)},
            {"order_type": "MARKET"},
            {"quantity": 9, "price": world.price(-19)},
        ):
            with pytest.raises(Rejected, match="may raise risk"):
                await world.client.modify(order, **more)
        await world.client.modify(order, quantity=9, price=world.price(-21))
        await world.until(lambda: world.client.order(order).quantity == 9, 1)
        assert world.client.order(order).price == world.price(-21)
        world.heal()
        assert (await killing).working == ()
        assert statuses(world) == [S.CANCELED]

    play(scenario)


def test_a_cancel_that_fails_is_tried_again_while_its_order_works_and_somebody_is_told():
    async def scenario(world):
        await world.rest()
        world.fault("http:503@DELETE")
        state = await world.client.kill(timeout_s=3)
        assert len(state.working) == 1
        await world.runtime.sleep(5)
        assert "WORKING" in told(world)
        world.heal()
        await world.until(lambda: "CANCELLED" in told(world), 15)
        assert statuses(world) == [S.CANCELED]

    play(scenario)


def test_an_order_of_unknown_outcome_is_cancelled_when_it_turns_up():
    async def scenario(world):
        world.fault("drop_frames;http:503@GET /orders;drop_reply@POST /orders*1")
        with pytest.raises(OutcomeUnknown):
            await world.rest(client_order_id="lost", timeout_s=2.0)
        state = await world.client.kill(timeout_s=1)
        assert state.unknown == ("lost",)
        assert statuses(world) != [S.CANCELED]
        world.heal()
        await world.until(lambda: statuses(world) == [S.CANCELED], 120)
        await world.until(lambda: "CANCELLED" in told(world), 10)

    play(scenario)


def test_exits_pass_and_are_not_swept_away():
    async def scenario(world):
        await world.rest()
        await world.client.kill()
        request = Request(
            instrument_id=INFY,
            side=Side.SELL,
            quantity=Decimal(5),
            order_type=OrderType.LIMIT,
            price=world.price(20),
            product=Product.INTRADAY,
        )
        service = world.client.orders_service
        await service.placing(request, world.client.instrument(INFY), 10.0, False, exits=True)
        await world.runtime.sleep(20)
        assert statuses(world) == [S.CANCELED, S.OPEN]

    play(scenario)


def test_what_somebody_places_elsewhere_afterwards_is_left_alone():
    async def scenario(world):
        world.place_elsewhere()
        await world.client.kill()
        await world.runtime.sleep(1)
        world.place_elsewhere()
        await world.runtime.sleep(30)
        assert statuses(world) == [S.CANCELED, S.OPEN]

    play(scenario)


def test_triggers_are_refused_like_orders():
    async def scenario(world):
        from wire.test_wrong_values import LEG, replace
        from wire.test_wrong_values import GttRequest as Trigger

        price = world.price(-200)
        legs = (replace(LEG, trigger_price=price, price=price),)
        request = Trigger(instrument_id=INFY, legs=legs, last_price=world.price(0))
        gtt_id = await world.client.place_gtt(request)
        await world.client.kill()
        with pytest.raises(Rejected, match="the trigger was refused"):
            await world.client.place_gtt(request)
        with pytest.raises(Rejected, match="the trigger was refused"):
            await world.client.modify_gtt(gtt_id, request)
        await world.client.delete_gtt(gtt_id)

    play(scenario)


# -- releasing ---------------------------------------------------------------------------------------------------------


def test_a_release_takes_two_steps_and_then_orders_leave_again():
    async def scenario(world):
        with pytest.raises(UsageError, match="not engaged"):
            await world.client.release()
        await world.client.kill()
        stale = await world.client.release()
        assert world.client.killed.engaged
        await world.client.kill("again")
        with pytest.raises(UsageError, match="another engagement"):
            await world.client.release(stale)
        assert await world.client.release(await world.client.release()) is None
        assert not world.client.killed.engaged
        await world.rest()
        assert told(world) == ["ENGAGED", "CANCELLED", "ENGAGED", "CANCELLED", "RELEASED"]

    play(scenario)


def test_the_journal_has_who_engaged_and_who_released():
    async def scenario(world):
        await world.client.kill("drill", flatten=False)
        await world.client.release(await world.client.release())
        folder = world.client.orders_service.writer.folder
        await world.client.close()
        records = read_journal(world.runtime.disk, folder)
        found = [record.payload for record in records if record.kind is Kind.CONTROL]
        assert [(one["engaged"], one["epoch"]) for one in found] == [(True, 1), (False, 1)]
        assert (found[0]["why"], found[0]["what"]) == ("drill", "kill switch")

    play(scenario)


def test_what_is_killed_is_true_only_while_the_switch_is_engaged():
    async def scenario(world):
        assert not world.client.killed
        assert await world.client.kill("drill")
        assert world.client.killed
        await world.client.release(await world.client.release())
        assert not world.client.killed
        assert world.client.killed.epoch == 1  # a switch that was used, all the same

    play(scenario)


# -- restarts, other processes, disks ----------------------------------------------------------------------------------


def test_a_client_that_starts_on_a_killed_account_is_stopped_says_so_and_cancels_what_it_finds():
    async def scenario(world):
        await world.rest()
        world.fault("http:503@DELETE")
        await world.client.kill("before the restart", timeout_s=1)
        await world.client.close()
        world.heal()
        async with again(world) as client:
            events = []
            client.on_event(events.append)
            assert client.killed.why == "before the restart"
            assert "KILLED" in repr(client)
            first = next(event for event in events if isinstance(event, KillEvent))
            assert (first.code, first.state.epoch) == ("ENGAGED", 1)
            with pytest.raises(Rejected, match="before the restart"):
                await client.place(INFY, "BUY", 1, product="INTRADAY")
            await world.until(lambda: statuses(world) == [S.CANCELED], 5)
            await client.release(await client.release())
            await client.place(INFY, "BUY", 1, product="INTRADAY", order_type="LIMIT", price=world.price())

    play(scenario)


def test_a_power_cut_right_after_the_answer_finds_it_engaged():
    async def scenario(world):
        await world.client.kill("cut")
        world.runtime.disk.crash()
        path = world.client.orders_service.stopping.path
        from dragoman.checks.kill import KillSwitch

        assert KillSwitch.open(world.runtime.disk, path).state().why == "cut"

    play(scenario)


def test_another_process_kills_and_the_one_that_writes_stops_at_once_and_cancels():
    async def scenario(world):
        for _ in range(3):
            await world.rest()
        async with again(world) as other:
            assert not other.orders_service.writer.ready
            began = world.runtime.clock.mono_ns()
            killing = asyncio.ensure_future(other.kill("from elsewhere", timeout_s=10))
            await world.runtime.sleep(0)
            with pytest.raises(Rejected, match="kill switch"):
                await world.rest()
            await world.until(lambda: statuses(world) == [S.CANCELED] * 3, 5)
            assert world.runtime.clock.mono_ns() - began < _S
            assert (await killing).working == ()
            assert not other.orders_service.writer.ready
            assert told(world)[0] == "ENGAGED"
            await other.release(await other.release())
            await world.until(lambda: told(world)[-1] == "RELEASED", 1)
            await world.rest()

    play(scenario)


def test_where_the_process_that_writes_ends_the_one_that_killed_takes_over_and_cancels():
    async def scenario(world):
        await world.rest()
        async with again(world) as other:
            world.fault("http:503@DELETE")
            killing = asyncio.ensure_future(other.kill(timeout_s=30))
            await world.runtime.sleep(1)
            await world.client.close()
            world.heal()
            assert (await killing).working == ()
            assert statuses(world) == [S.CANCELED]
            assert other.orders_service.writer.ready

    play(scenario)


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_disk_that_fails_keeps_no_order_at_work_and_is_told(operation):
    async def scenario(world):
        await world.rest()
        path = world.client.orders_service.stopping.path
        world.runtime.disk.fail(errno.EIO, operation=operation, path=path, times=-1)
        with pytest.raises(Rejected, match="could not be written"):
            await world.client.kill()
        with pytest.raises(Rejected, match="kill switch"):
            await world.rest()
        await world.until(lambda: statuses(world) == [S.CANCELED], 2)
        assert "NOT_DURABLE" in told(world)
        assert world.client.killed.engaged

    play(scenario)


@pytest.mark.logs("the file of the switch is gone")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_process_whose_switch_was_removed_stops_because_no_kill_would_reach_it(replaced):
    async def scenario(world):
        await world.rest()
        path = world.client.orders_service.stopping.path
        world.runtime.disk.remove(path)
        if replaced:
            KillSwitch.open(world.runtime.disk, path)
        await world.until(lambda: world.client.killed.engaged, 1)
        assert "removed or replaced" in world.client.killed.why
        with pytest.raises(Rejected, match="removed or replaced"):
            await world.rest()
        await world.until(lambda: statuses(world) == [S.CANCELED], 2)
        with pytest.raises(UsageError, match="start it again"):
            await world.client.release()
        await world.client.close()
        async with again(world) as client:
            assert not client.killed.engaged
            await client.place(INFY, "BUY", 1, product="INTRADAY", order_type="LIMIT", price=world.price())

    play(scenario)


def test_a_damaged_file_stops_the_account_at_the_next_start():
    async def scenario(world):
        await world.rest()
        path = world.client.orders_service.stopping.path
        await world.client.close()
        content = bytearray(world.runtime.disk.files[path][0])
        content[100] ^= 4
        world.runtime.disk.files[path] = (content, 0o600)
        async with again(world) as client:
            assert "damaged" in client.killed.why
            with pytest.raises(Rejected, match="damaged"):
                await client.place(INFY, "BUY", 1, product="INTRADAY")
            await world.until(lambda: statuses(world) == [S.CANCELED], 2)
            await client.release(await client.release())
            assert not client.killed.damage
            await client.place(INFY, "BUY", 1, product="INTRADAY", order_type="LIMIT", price=world.price())

    play(scenario)


def test_a_read_only_client_sees_the_switch_and_may_not_touch_it():
    async def scenario(world):
        async with again(world, read_only=True) as reader:
            with pytest.raises(UsageError, match="read-only"):
                await reader.kill()
            await world.client.kill("seen")
            assert reader.killed.why == "seen"
            with pytest.raises(UsageError, match="read-only"):
                await reader.release()

    play(scenario)


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_positions_are_closed_and_the_reason_is_kept_although_the_disk_fails(operation):
    async def scenario(world):
        order = await world.rest()
        world.sell_into(order.price, 30_000)
        await world.client.wait_order(order)
        world.venue.place_external(INFY, Side.BUY, Decimal(30_000), world.price(-40))
        path = world.client.orders_service.stopping.path
        world.runtime.disk.fail(errno.EIO, operation=operation, path=path, times=-1)
        with pytest.raises(Rejected, match="could not be written"):
            await world.client.kill("fat finger", flatten=True)
        await world.until(lambda: "FLATTENED" in told(world), 20)
        assert [one.order.side for one in world.live] == [Side.BUY, Side.SELL]
        state = world.client.killed
        assert (state.why, state.flatten, state.damage) == ("fat finger", True, "")

    play(scenario)


# -- flattening --------------------------------------------------------------------------------------------------------


def test_positions_are_closed_after_the_cancels_and_again_after_a_late_fill():
    async def scenario(world):
        seen = []

        async def flatten(state):
            seen.append((state.epoch, statuses(world)))
            return Left(())

        world.client.orders_service.stopping.flatten = flatten
        await world.rest()
        await world.client.kill(flatten=True)
        await world.runtime.sleep(0.1)
        assert seen == [(1, [S.CANCELED])]
        assert told(world) == ["ENGAGED", "CANCELLED", "FLATTENED"]

    play(scenario)


def test_a_kill_that_flattens_closes_the_position_and_its_exit_is_not_swept_away():
    async def scenario(world):
        order = await world.rest()
        world.sell_into(order.price, 30_000)
        await world.client.wait_order(order)
        await world.rest(price=world.price(-60))
        world.venue.place_external(INFY, Side.BUY, Decimal(30_000), world.price(-40))
        await world.client.kill("drill", flatten=True)
        live = world.client.portfolio.live
        await world.until(lambda: live.seeded and not live.keys(), 20)
        ended = [(order.order.side, order.status, order.filled_quantity) for order in world.live]
        assert ended == [(Side.BUY, S.FILLED, 10), (Side.BUY, S.CANCELED, 0), (Side.SELL, S.FILLED, 10)]
        assert "FLATTENED" in told(world)
        with pytest.raises(Rejected, match="kill switch"):
            await world.rest()

    play(scenario)


@pytest.mark.logs("the file of the switch is damaged")
@pytest.mark.parametrize("harm", ["damaged", "removed"])
def test_positions_are_closed_under_a_new_name_after_the_switch_has_lost_its_count(harm):
    async def scenario(world):
        await hold(world)
        assert (await world.client.kill("one", flatten=True, timeout_s=20)).flattened
        path = world.client.orders_service.stopping.switch.path
        await world.client.close()
        if harm == "removed":
            world.runtime.disk.remove(path)
        else:
            KillSwitch.open(world.runtime.disk, path).marks[4] ^= 1
        async with again(world) as client:
            assert bool(client.killed.damage) is (harm == "damaged")
            if client.killed.engaged:
                await client.release(await client.release())
            order = await client.place(INFY, "BUY", 10, order_type="LIMIT", price=world.price(), product="INTRADAY")
            world.sell_into(order.price, 30_000)
            await client.wait_order(order)
            world.venue.place_external(INFY, Side.BUY, Decimal(30_000), world.price(-40))
            await world.until(lambda: client.portfolio.live.keys(), 20)
            state = await client.kill("two", flatten=True, timeout_s=20)
            assert (state.epoch, state.flattened) == (1, True)
            names = [one.client_order_id for one in client.orders_service.store if one.side is Side.SELL]
            return len(names), len(set(names)), sold(world)

    assert play(scenario) == (2, 2, 20)


def test_orders_that_cannot_be_cancelled_do_not_keep_positions_open():
    async def scenario(world):
        seen = []

        async def flatten(state):
            seen.append(world.runtime.clock.mono_ns())
            return Left(())

        world.client.orders_service.stopping.flatten = flatten
        await world.rest()
        world.fault("http:503@DELETE")
        began = world.runtime.clock.mono_ns()
        await world.client.kill(flatten=True, timeout_s=10)
        assert len(seen) == 1
        assert seen[0] - began < 6 * _S

    play(scenario)


async def hold(world):
    """Hold ten, with somebody there to take them."""
    order = await world.rest()
    world.sell_into(order.price, 30_000)
    await world.client.wait_order(order)
    world.venue.place_external(INFY, Side.BUY, Decimal(30_000), world.price(-40))
    await world.until(lambda: world.client.portfolio.live.seeded, 20)


def sold(world):
    return sum(one.filled_quantity for one in world.live if one.order.side is Side.SELL)


@pytest.mark.logs("exits are refused")
@pytest.mark.parametrize("kind", [ErrorKind.MARKET_CLOSED, ErrorKind.MAINTENANCE])
def test_positions_whose_exits_were_refused_are_told_of_and_closed_once_the_broker_takes_orders(kind, monkeypatch):
    async def scenario(world):
        await hold(world)
        placing, tried = OrderService.placing, []

        def refuse(self, request, *args, exits=False, **options):
            tried.append(world.runtime.clock.mono_ns())
            raise Rejected("not now", kind=kind)

        monkeypatch.setattr(OrderService, "placing", refuse)
        state = await world.client.kill("drill", flatten=True, timeout_s=40)
        assert (state.flattened, state.positions) == (False, ("NSE:INFY INTRADAY",))
        assert told(world) == ["ENGAGED", "CANCELLED", "NOT_FLATTENED"]
        text = next(event.text for event in world.events if getattr(event, "code", "") == "NOT_FLATTENED")
        assert "NSE:INFY INTRADAY" in text
        assert "not now" in text
        await world.runtime.sleep(3600)
        began = [a for a, b in itertools.pairwise(tried) if b - a > 60 * _S]
        assert 10 < len(began) < 60, "it goes on, and not every second"
        monkeypatch.setattr(OrderService, "placing", placing)
        await world.until(lambda: told(world)[-1] == "FLATTENED", 400)
        assert (sold(world), world.client.killed.flattened) == (10, True)

    play(scenario, lasts_s=20_000)


@pytest.mark.logs("an exit ends")
def test_a_position_that_cannot_be_exited_keeps_no_other_from_it(monkeypatch):
    async def scenario(world):
        await hold(world)
        keys = BookPositions.keys
        stuck = ("NSE:DELISTED", Product.INTRADAY, "NET")
        monkeypatch.setattr(BookPositions, "keys", lambda self: [stuck, *keys(self)])
        state = await world.client.kill(flatten=True, timeout_s=10)
        assert sold(world) == 10
        assert (state.flattened, state.positions) == (False, ("NSE:DELISTED INTRADAY",))
        assert told(world)[-1] == "NOT_FLATTENED"
        monkeypatch.undo()
        await world.until(lambda: told(world)[-1] == "FLATTENED", 20)

    play(scenario)


def test_a_client_that_only_kills_returns_once_positions_are_closed():
    async def scenario(world):
        await hold(world)
        await world.client.close()
        async with again(world) as client:
            state = await client.kill("from a shell", flatten=True, timeout_s=15)
            assert (state.flattened, state.positions) == (True, ())
        assert sold(world) == 10

    play(scenario)


def test_one_that_kills_beside_the_process_that_trades_waits_for_its_exits():
    async def scenario(world):
        await hold(world)
        async with again(world) as other:
            state = await other.kill("from a shell", flatten=True, timeout_s=15)
            assert (state.flattened, sold(world)) == (True, 10)
            assert not other.orders_service.writer.ready

    play(scenario)


def test_positions_are_closed_by_a_client_that_read_none_before():
    async def scenario(world):
        await hold(world)
        await world.client.close()
        async with again(world, load_orders=False) as client:
            assert (await client.kill(flatten=True, timeout_s=15)).flattened
        assert sold(world) == 10

    play(scenario)
