"""Ladders, pairs, clocks, limits of the account, and rules that rest at the broker."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal as D

import pytest

from dragoman.errors import UsageError
from dragoman.model import Margin, Position, Product, Segment, Side
from dragoman.model.rules import RuleStatus as S
from dragoman.rules import (
    Bracket,
    DailyLoss,
    Level,
    MarginFloor,
    Oco,
    Rung,
    ScaleOut,
    StopLoss,
    TakeProfit,
    TimeExit,
    TrailingStop,
)
from wire.ruled import KEY, LONG, exits_at_venue, held, hold, move, venue_held
from wire.trading import INFY, play

FEW = {"product": "INTRADAY"}


def sizes(world):
    return [order.order.quantity for order in exits_at_venue(world)]


def test_a_ladder_takes_each_rung_once_and_the_last_takes_the_rest():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        rungs = (
            Rung(level=Level(ticks=10), fraction=D("0.33")),
            Rung(level=Level(ticks=20), fraction="0.33"),
            Rung(level=Level(ticks=30)),
        )
        state = await rules.add(ScaleOut(**LONG, rungs=rungs))
        assert state.levels == tuple(world.price(ticks) for ticks in (10, 20, 30))
        await move(world, 12)
        await world.until(lambda: held(world) == 67)
        await world.until(lambda: rules.get(state.rule_id).status is S.ARMED)
        await move(world, 8)
        await move(world, 35)  # through two rungs at once
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert sorted(sizes(world)) == [33, 33, 34]
        assert venue_held(world) == 0

    play(scenario)


@pytest.mark.parametrize(("ticks", "what"), [(-30, "stop"), (30, "target")])
def test_one_of_a_pair_fires_and_the_other_is_void(ticks, what):
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        state = await rules.add(Oco(**LONG, stop=Level(ticks=20), target=Level(ticks=20), quantity=40))
        await move(world, ticks)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert what in [e.reason for e in world.events if getattr(e, "rule_id", "") == state.rule_id][1]
        await move(world, -ticks)
        await world.runtime.sleep(2)
        assert sizes(world) == [40]
        assert venue_held(world) == 60

    play(scenario)


def test_a_bracket_guards_what_its_entry_fills():
    async def scenario(world):
        rules = world.client.rules
        price = world.price(0)
        world.venue.set_price(INFY, price + 1)
        await world.client.place(
            INFY, "BUY", 50, order_type="LIMIT", price=price, product="INTRADAY", client_order_id="in"
        )
        state = await rules.add(Bracket(**LONG, entry="in", stop=Level(ticks=20), target=Level(ticks=20)))
        assert state.levels == ()
        world.sell_into(price, 20)
        await world.until(lambda: rules.get(state.rule_id).levels)
        assert rules.get(state.rule_id).levels == (world.price(-20), world.price(20))
        world.sell_into(price, 30)
        await world.until(lambda: held(world) == 50)
        await move(world, 25)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert venue_held(world) == 0

    play(scenario)


def test_a_bracket_ends_with_an_entry_that_filled_nothing():
    async def scenario(world):
        rules = world.client.rules
        await world.rest(client_order_id="in")
        state = await rules.add(Bracket(**LONG, entry="in", stop=Level(ticks=20), target=Level(ticks=20)))
        await world.client.cancel("in")
        await world.until(lambda: rules.get(state.rule_id).status is S.CANCELED)
        assert "nothing filled" in rules.get(state.rule_id).reason

    play(scenario)


def test_a_clock_exits_at_its_time_in_the_exchanges_zone():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        now = world.client.session.ctx.now_ns // 10**9
        at = (now + 90 + 19_800) % 86_400
        state = await rules.add(TimeExit(**LONG, at=f"{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}"))
        assert abs(state.due_ns // 10**9 - now - 90) <= 1
        await move(world, 0)
        await world.runtime.sleep(80)
        assert venue_held(world) == 100
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE, 30)
        assert venue_held(world) == 0

    play(scenario)


@pytest.mark.parametrize("by", ["largest_loser", "pro_rata", "half"])
def test_a_margin_floor_makes_positions_smaller_until_there_is_room(by):
    async def scenario(world):
        rules = world.client.rules
        usable = [D(50_000)]
        rules._account._margins = lambda: {Segment.EQUITY: Margin(segment=Segment.EQUITY, net=usable[0])}
        await hold(world, 100)
        await move(world, 0)
        rules.plan("half", lambda rows, margin: {KEY: rows[0].quantity / 2})
        state = await rules.add(MarginFloor(segment="EQUITY", below=10_000, by=by))
        await world.runtime.sleep(3)
        assert exits_at_venue(world) == []
        usable[0] = D(9_000)
        await world.until(lambda: exits_at_venue(world))
        usable[0] = D(20_000)
        await world.until(lambda: rules.get(state.rule_id).status is S.ARMED)
        await world.runtime.sleep(10)
        assert sizes(world) == [{"largest_loser": 100, "pro_rata": 25, "half": 50}[by]]

    play(scenario)


def test_a_margin_floor_that_cannot_tell_is_suspended_and_fires_on_nothing():
    async def scenario(world):
        rules = world.client.rules
        known = {}
        rules._account._margins = lambda: known
        await hold(world, 100)
        state = await rules.add(MarginFloor(segment="EQUITY", below=10_000))
        await world.until(lambda: rules.get(state.rule_id).status is S.SUSPENDED)
        known[Segment.EQUITY] = Margin(segment=Segment.EQUITY, net=D(1), stale=True)
        await world.runtime.sleep(3)
        assert rules.get(state.rule_id).status is S.SUSPENDED
        assert exits_at_venue(world) == []

    play(scenario)


def test_a_daily_loss_flattens_and_stops_the_account():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        await move(world, 0)
        state = await rules.add(DailyLoss(limit=500, act="both"))
        await move(world, -20)  # 200 lost
        await world.runtime.sleep(3)
        assert venue_held(world) == 100
        await move(world, -80)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        await world.until(lambda: venue_held(world) == 0)
        assert world.client.orders_service.stopping.state().engaged

    play(scenario)


@pytest.mark.parametrize("after_charges", [True, False])
def test_a_daily_loss_counts_charges_unless_told_otherwise(after_charges):
    async def scenario(world):
        rules, live = world.client.rules, world.client.portfolio.live
        await hold(world, 100)
        await move(world, -20)
        await world.until(lambda: live.day_made()["INR"].profit < -50)
        lost, charged = -live.day_made()["INR"].profit, live.day_charges()["INR"]
        assert charged == live.totals()["INR"].charges > 1
        await rules.add(
            DailyLoss(rule_id="d", limit=lost + charged / 2, act="block", after_charges=after_charges),
        )
        await world.runtime.sleep(3)
        state = rules.get("d")
        if after_charges:
            assert f"the day's loss is {lost + charged} INR" in state.reason
            assert f"{charged} of it are charges" in state.reason
        return state.status, bool(world.client.killed.engaged)

    assert play(scenario) == ((S.DONE, True) if after_charges else (S.ARMED, False))


def carried(world, *, close):
    """Have the day begin with 100 units that cost far more than now, and closed at `close` ticks off the reference."""
    position = Position(
        instrument_id=INFY,
        product=Product.INTRADAY,
        quantity=D(100),
        overnight_quantity=D(100),
        average_price=world.price(4000),
        close_price=None if close is None else world.price(close),
    )
    world.client.portfolio.live.seed([position], [], world.runtime.clock.wall_ns())


def test_a_daily_loss_is_of_the_day_and_not_since_the_position_was_bought():
    async def scenario(world):
        rules = world.client.rules
        await world.until(lambda: world.client.portfolio.live.seeded)
        carried(world, close=None)
        await move(world, 0)
        state = await rules.add(DailyLoss(limit=1000, act="block"))
        await world.until(lambda: rules.get(state.rule_id).status is S.SUSPENDED)
        assert "the previous close of NSE:INFY" in rules.get(state.rule_id).reason
        carried(world, close=-40)
        await move(world, 0)
        await world.until(lambda: rules.get(state.rule_id).status is S.ARMED)
        await world.runtime.sleep(5)
        assert rules.get(state.rule_id).status is S.ARMED
        await move(world, -150)  # 1100 lost since the close
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert "the day's loss is 1100" in rules.get(state.rule_id).reason

    play(scenario)


def test_a_stop_rests_at_the_broker_where_asked_and_is_withdrawn_with_its_position():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        await move(world, 0)
        state = await rules.add(Oco(**LONG, stop=Level(ticks=50), target=Level(ticks=50), where="broker"))
        (gtt,) = await world.client.gtts()
        assert (gtt.gtt_id, len(gtt.legs)) == (state.broker_id, 2)
        assert "whether or not this process lives" in state.statement
        await world.client.place(INFY, "SELL", 100, product="INTRADAY")
        await world.until(lambda: rules.get(state.rule_id).status is S.CANCELED)
        assert all(one.status != "ACTIVE" for one in await world.client.gtts())

    play(scenario)


def test_a_local_exit_takes_a_trigger_of_the_broker_away_first():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        await move(world, 0)
        at_broker = await rules.add(StopLoss(**LONG, price=price - 20, where="broker"))
        local = await rules.add(StopLoss(**LONG, price=price - 1))
        await move(world, -40)
        await world.until(lambda: rules.get(local.rule_id).status is S.DONE)
        await world.until(lambda: rules.get(at_broker.rule_id).status is S.CANCELED)
        await move(world, -190)
        await world.runtime.sleep(30)
        assert venue_held(world) == 0

    play(scenario)


def test_what_a_broker_does_not_have_is_refused_with_its_reason():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        with pytest.raises(UsageError, match="no such order type"):
            await rules.add(TrailingStop(**LONG, ticks=10, where="broker"))
        with pytest.raises(UsageError, match="MarginFloor"):
            await rules.add(MarginFloor(segment="EQUITY", below=1, where="broker"))
        assert rules.list() == []

    play(scenario)


def test_a_target_is_reached_from_the_other_side():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, -100)
        state = await rules.add(TakeProfit(**LONG, percent=1))
        assert state.side == "BUY"
        assert state.levels[0] < world.price(0)
        await move(world, -200)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert venue_held(world) == 0

    play(scenario)


def test_a_kill_that_flattens_closes_positions_through_exits_and_leaves_them_alone():
    async def scenario(world):
        await hold(world, 100)
        await move(world, 0)
        terms = {"order_type": "LIMIT", "price": world.price(80), "product": "INTRADAY"}
        target = await world.client.place(INFY, "SELL", 100, **terms)
        stop = await world.client.rules.add(StopLoss(**LONG, ticks=50))
        await world.client.kill("drill", flatten=True)
        await world.until(lambda: venue_held(world) == 0)
        assert world.client.order(target).status == "CANCELED"
        (out,) = [order for order in exits_at_venue(world) if order.filled_quantity]
        assert out.filled_quantity == 100
        await world.until(lambda: world.client.rules.get(stop.rule_id).status is S.CANCELED)

    play(scenario)


def test_where_a_broker_refuses_market_orders_exits_are_limits_through_the_market():
    async def scenario(world):
        adapter = world.client.session.adapter
        adapter.capabilities = replace(adapter.capabilities, market_orders="refused")
        price = await hold(world, 100)
        await move(world, 0)
        state = await world.client.rules.add(StopLoss(**LONG, price=price - 1))
        await move(world, -40)
        await world.until(lambda: world.client.rules.get(state.rule_id).status is S.DONE)
        (out,) = exits_at_venue(world)
        assert (out.order.order_type, out.filled_quantity) == ("LIMIT", 100)
        assert world.price(-45) - 8 < out.order.price < world.price(-40)

    play(scenario)


def test_without_a_journal_a_rule_works_and_says_that_it_dies_with_its_process():
    async def scenario(world):
        price = await hold(world, 100)
        state = await world.client.rules.add(StopLoss(**LONG, price=price - 1))
        assert not state.durable
        assert "if the process dies, nothing guards the position" in state.statement
        await move(world, -40)
        await world.until(lambda: world.client.rules.get(state.rule_id).status is S.DONE)
        assert venue_held(world) == 0

    play(scenario, journal=False)


def test_a_ladder_watches_on_for_staleness_between_its_rungs():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        rungs = (Rung(level=Level(ticks=10), fraction="0.5"), Rung(level=Level(ticks=60)))
        state = await rules.add(ScaleOut(**LONG, rungs=rungs, poll=False))
        await move(world, 12)
        await world.until(lambda: rules.get(state.rule_id).exited == 50)
        await world.until(lambda: rules.get(state.rule_id).status is S.ARMED)
        await world.runtime.sleep(5)
        await world.cut()
        await world.until(lambda: rules.get(state.rule_id).status is S.SUSPENDED)

    play(scenario)


def test_a_stop_on_shares_for_delivery_ends_with_their_day_and_says_so_before_and_then():
    async def scenario(world):
        client, price = world.client, world.price(0)
        world.venue.set_price(INFY, price)
        world.venue.place_external(INFY, Side.SELL, D(100), price)
        order = await client.place(INFY, "BUY", 100, order_type="LIMIT", price=price, product="DELIVERY")
        await client.wait_order(order)
        live = client.portfolio.live
        await world.until(lambda: live.quantity((INFY, "DELIVERY", "NET")) == 100)
        rule = await client.rules.add(StopLoss(instrument_id=INFY, product="DELIVERY", price=price - 1))
        assert "holdings from the next day on" in rule.statement
        live.roll(str(date.fromisoformat(live.day) + timedelta(days=1)))
        await world.until(lambda: client.rules.get(rule.rule_id).status.terminal)
        ended = client.rules.get(rule.rule_id)
        assert ended.status is S.CANCELED
        assert "a holding now that its day is over" in ended.reason

    play(scenario, lasts_s=200_000)
