"""Rules at a broker: they fire once, exit what there is and no more, and come back after a restart."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from dragoman.emulator.venue.types import VenueRejectError
from dragoman.errors import ErrorKind, UsageError
from dragoman.model.rules import RuleStatus as S
from dragoman.rules import Send, StopLoss, TrailingStop
from wire.ruled import LONG, exits_at_venue, held, hold, move, venue_held
from wire.trading import INFY, play

TICK = D("0.1")


def statuses(world, rule_id):
    return [str(e.status) for e in world.events if getattr(e, "rule_id", "") == rule_id]


def statuses_with_reason(world, rule_id):
    return [(str(e.status), e.reason) for e in world.events if getattr(e, "rule_id", "") == rule_id]


def test_a_stop_exits_the_whole_position_once():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        state = await rules.add(StopLoss(**LONG, price=price - 1))
        assert (state.status, state.side, state.levels, state.durable) == (S.ARMED, "SELL", (price - 1,), True)
        assert "journal" in state.statement
        await move(world, -5)
        assert held(world) == 100, "it is not reached yet"
        await move(world, -40)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert venue_held(world) == 0
        assert [order.order.quantity for order in exits_at_venue(world)] == [100]
        assert statuses(world, state.rule_id) == ["ARMED", "FIRED", "EXITING", "DONE"]
        assert rules.list() == []
        assert rules.get(state.rule_id).exited == 100

    play(scenario)


def test_a_trailing_stop_follows_and_never_moves_away():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        state = await rules.add(TrailingStop(**LONG, price=2))
        assert state.levels == (price - 2,)
        seen = []
        for ticks in (20, 40, 25, 60, 45):
            await move(world, ticks)
            await world.runtime.sleep(1.5)
            seen.append(rules.get(state.rule_id).levels[0])
        assert seen == sorted(seen)
        assert seen[-1] == price + 60 * TICK - 2
        await move(world, 30)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert venue_held(world) == 0

    play(scenario)


def test_a_trailing_percentage_is_shown_on_the_tick():
    async def scenario(world):
        rules = world.client.rules
        await hold(world)
        await rules.add(TrailingStop(**LONG, percent="0.73", rule_id="t"))
        tick, seen = world.venue.listing(INFY).instrument.tick_size, []
        for ticks in range(0, 90, 7):
            price = await move(world, ticks)
            await world.runtime.sleep(1.1)
            state = rules.get("t")
            assert state.best == price
            assert state.levels[0] % tick == 0, "it lies on the tick"
            assert 0 <= state.levels[0] - price * (1 - D("0.0073")) < tick, "reached no later than was asked"
            seen.append(state)
        assert seen[-1].levels[0] > seen[0].levels[0]

    play(scenario)


def test_a_short_position_is_bought_back():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, -100)
        state = await rules.add(StopLoss(**LONG, ticks=20))
        assert (state.side, state.levels) == ("BUY", (world.price(20),))
        await move(world, 25)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert venue_held(world) == 0

    play(scenario)


def test_a_rule_without_a_position_is_refused():
    async def scenario(world):
        rules = world.client.rules
        with pytest.raises(UsageError, match="no such position"):
            await rules.add(StopLoss(**LONG, price=1000))
        assert rules.list() == []

    play(scenario)


def test_a_rule_ends_with_the_position_it_guards():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        state = await rules.add(StopLoss(**LONG, percent=1))
        await move(world, 0)
        await world.client.place(INFY, "SELL", 100, product="INTRADAY")
        await world.until(lambda: held(world) == 0)
        await world.until(lambda: rules.get(state.rule_id).status is S.CANCELED)
        assert "is gone" in rules.get(state.rule_id).reason
        await hold(world, -100)  # the old stop is not one of the new position
        await move(world, -200)
        assert venue_held(world) == -100

    play(scenario)


def test_an_exit_larger_than_the_freeze_quantity_is_sliced(monkeypatch):
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        found = world.client.instrument(INFY)
        object.__setattr__(found, "freeze_quantity", D(30))
        monkeypatch.setattr(world.client.instruments, "resolve", lambda name: found)
        monkeypatch.setattr(world.client.instruments, "resolve_all", lambda name: [found])
        state = await rules.add(StopLoss(**LONG, price=price - 1))
        await move(world, -40)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert sorted(order.order.quantity for order in exits_at_venue(world)) == [10, 30, 30, 30]
        assert venue_held(world) == 0
        assert rules.get(state.rule_id).orders == tuple(f"{state.rule_id}.1.{n}" for n in (1, 2, 3, 4))

    play(scenario)


def test_two_rules_that_fire_in_one_batch_do_not_exit_more_than_there_is():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        first = await rules.add(StopLoss(**LONG, price=price - 1))
        second = await rules.add(StopLoss(**LONG, price=price - 2))
        third = await rules.add(TrailingStop(**LONG, price=1, quantity=70))
        await move(world, -40)
        ids = [one.rule_id for one in (first, second, third)]
        await world.until(lambda: all(rules.get(one).status.terminal for one in ids))
        assert venue_held(world) == 0
        assert sum(order.filled_quantity for order in exits_at_venue(world)) == 100
        assert {str(rules.get(one).status) for one in ids} == {"DONE"}

    play(scenario)


def refuse(world, kind, times=10**6):
    """Let the venue refuse the next orders."""
    submit, left = world.venue.submit, [times]

    def refused(*args, **more):
        if left[0] > 0:
            left[0] -= 1
            raise VenueRejectError(kind, f"no: {kind}")
        return submit(*args, **more)

    world.venue.submit = refused
    return left


@pytest.mark.logs  # refusals are warned of, an exit that is given up is an error
def test_a_refused_exit_is_planned_again_and_given_up_after_its_tries():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        state = await rules.add(StopLoss(**LONG, price=price - 1, send=Send(tries=3)))
        refuse(world, ErrorKind.RISK_REJECTED, times=2)
        await move(world, -40)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert venue_held(world) == 0
        assert len(rules.get(state.rule_id).orders) == 3

        await hold(world, 100)
        state = await rules.add(StopLoss(**LONG, ticks=10, send=Send(tries=3)))
        refuse(world, ErrorKind.RISK_REJECTED)
        await move(world, -40)
        await world.until(lambda: rules.get(state.rule_id).status is S.FAILED)
        assert venue_held(world) == 100
        assert "refused 3 times" in rules.get(state.rule_id).reason

    play(scenario)


@pytest.mark.logs  # refusals are warned of
def test_an_exit_refused_for_margin_goes_out_in_smaller_pieces():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        state = await rules.add(StopLoss(**LONG, price=price - 1))
        refuse(world, ErrorKind.INSUFFICIENT_MARGIN, times=1)
        await move(world, -40)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        filled = [order.order.quantity for order in exits_at_venue(world) if order.filled_quantity]
        assert filled == [50, 50]
        assert venue_held(world) == 0

    play(scenario)


def test_an_exit_of_unknown_outcome_is_looked_for_and_never_sent_again():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        state = await rules.add(StopLoss(**LONG, price=price - 1))
        world.fault("drop_reply@POST /orders*1;drop_frames;http:503@GET /orders")
        rules.moved([1])  # its number: the stream says nothing now
        await world.runtime.sleep(20)
        assert len(exits_at_venue(world)) == 1
        assert rules.get(state.rule_id).status is S.EXITING
        world.heal()
        await move(world, -40)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE, 200)
        assert (venue_held(world), len(exits_at_venue(world))) == (0, 1)

    play(scenario)


def test_a_resting_order_in_the_way_of_a_stop_is_cancelled_first():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        terms = {"order_type": "LIMIT", "price": price + 20, "product": "INTRADAY"}
        target = await world.client.place(INFY, "SELL", 100, **terms)
        await world.client.wait_order(target, lambda order: order.status == "OPEN")
        state = await rules.add(StopLoss(**LONG, price=price - 1))
        await move(world, -40)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert world.client.order(target).status == "CANCELED"
        assert venue_held(world) == 0

    play(scenario)


def test_a_partly_filled_exit_goes_on_with_what_is_left():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        send = Send(order_type="LIMIT", reprice_s=2.0)
        state = await rules.add(StopLoss(**LONG, price=price - 1, send=send))
        await move(world, -40, depth=30)
        await world.until(lambda: held(world) < 100)
        await world.runtime.sleep(1)
        assert 0 < held(world) < 100
        for ticks in (-60, -80, -100):
            await world.runtime.sleep(3)
            await move(world, ticks, depth=40)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert venue_held(world) == 0
        assert sum(order.filled_quantity for order in exits_at_venue(world)) == 100

    play(scenario)


def test_a_stale_feed_suspends_a_rule_that_holds_and_fires_one_that_exits():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        await move(world, 0)
        hold_on = await rules.add(StopLoss(**LONG, price=price - 1, quantity=40, poll=False))
        out = await rules.add(StopLoss(**LONG, price=price - 1, quantity=60, on_stale="EXIT", stale_after_s=5))
        world.fault("http:503@GET /quote")
        await world.cut()
        await world.until(lambda: rules.get(hold_on.rule_id).status is S.SUSPENDED)
        assert "the stream is gone" in rules.get(hold_on.rule_id).reason
        await world.until(lambda: rules.get(out.rule_id).firing == 1)
        assert "stale" in statuses_with_reason(world, out.rule_id)[1][1]
        world.heal()
        await world.until(lambda: world.client.streams["market"].ready, 120)
        await move(world, 1)
        await world.until(lambda: rules.get(hold_on.rule_id).status is S.ARMED)
        await world.until(lambda: rules.get(out.rule_id).status is S.DONE)
        assert venue_held(world) == 40

    play(scenario)


def test_a_silent_stream_is_replaced_by_quotes():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        state = await rules.add(StopLoss(**LONG, price=price - 1))
        await world.cut()
        await move(world, -40)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert venue_held(world) == 0

    play(scenario)
