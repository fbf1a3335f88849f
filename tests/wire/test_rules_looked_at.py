"""What rules do about their doubts, about each other, and about whoever takes their stream away."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import pytest

from dragoman.errors import UsageError
from dragoman.model import Margin, Mode, Position, Product, Segment, Source
from dragoman.model.rules import RuleStatus as S
from dragoman.plugin import TradingHours
from dragoman.rules import DailyLoss, Level, MarginFloor, Rung, ScaleOut, StopLoss, TimeExit
from dragoman.rules.fitting import Fitting
from wire.ruled import KEY, LONG, exits_at_venue, hold, move, venue_held
from wire.test_order_restart import again
from wire.test_rules_restart import Kill
from wire.trading import INFY, SBIN, play


def reasons(world, rule_id):
    return [e.reason for e in world.events if getattr(e, "rule_id", "") == rule_id]


def margin(net, bound=None, **more):
    source = Source.POLLED if bound is None else Source.PROJECTED
    return Margin(segment=Segment.EQUITY, net=D(net), error_bound=bound, source=source, **more)


# -- a margin that may be wrong ----------------------------------------------------------------------------------------


def floor_of(world, told):
    """Let margin floors see what the first of `told` is, and count how often a reading is asked for."""
    asked = []
    world.client.rules._account._margins = lambda: {Segment.EQUITY: told[0]}
    world.client.rules._account._hurry = lambda: asked.append(world.runtime.clock.mono_ns())
    return asked


def test_a_floor_waits_for_a_reading_where_the_margin_may_lie_on_either_side():
    async def scenario(world):
        told = [margin(9_000, D(5_000))]
        asked = floor_of(world, told)
        await hold(world, 100)
        await move(world, 0)
        state = await world.client.rules.add(MarginFloor(segment="EQUITY", below=10_000))
        await world.runtime.sleep(6)
        assert (exits_at_venue(world), bool(asked)) == ([], True)
        assert len([one for one in reasons(world, state.rule_id) if "may be off, by 5000" in one]) == 1
        told[0] = margin(13_000, D(0))  # the reading: there is room
        await world.runtime.sleep(30)
        assert exits_at_venue(world) == []
        told[0] = margin(9_000, D(5_000))  # a new doubt waits anew
        await world.runtime.sleep(6)
        assert exits_at_venue(world) == []
        told[0] = margin(9_500, D(0))
        await world.until(lambda: venue_held(world) == 0)

    play(scenario)


def test_a_floor_that_no_reading_answers_acts_after_ten_seconds():
    async def scenario(world):
        told = [margin(9_000, D(5_000))]
        floor_of(world, told)
        await hold(world, 100)
        await move(world, 0)
        await world.client.rules.add(MarginFloor(segment="EQUITY", below=10_000))
        await world.runtime.sleep(9)
        assert exits_at_venue(world) == []
        await world.until(lambda: venue_held(world) == 0, 5)

    play(scenario)


@pytest.mark.parametrize("bound", [D(500), D(0), None])
def test_a_floor_acts_at_once_where_the_error_cannot_reach_across(bound):
    async def scenario(world):
        told = [margin(9_000, bound)]
        floor_of(world, told)
        await hold(world, 100)
        await move(world, 0)
        await world.client.rules.add(MarginFloor(segment="EQUITY", below=10_000))
        await world.until(lambda: venue_held(world) == 0, 5)

    play(scenario)


def test_a_share_used_that_may_be_wrong_is_waited_for_too():
    async def scenario(world):
        base = margin(2_000, D(2_000))
        told = [replace(base, used=replace(base.used, total=D(8_000)))]  # 80 % used, give or take 20
        floor_of(world, told)
        await hold(world, 100)
        await move(world, 0)
        await world.client.rules.add(MarginFloor(segment="EQUITY", utilisation="0.7"))
        await world.runtime.sleep(6)
        assert exits_at_venue(world) == []
        told[0] = replace(told[0], error_bound=D(100))
        await world.until(lambda: venue_held(world) == 0, 5)

    play(scenario)


def test_a_floor_in_doubt_has_the_margin_read_sooner():
    async def scenario(world):
        await hold(world, 100)
        await move(world, 0)
        monitor = world.client.margin
        await monitor.ready()
        await world.runtime.sleep(10)
        account = world.client.rules._account
        account._margins = lambda: {Segment.EQUITY: replace(monitor.now()[Segment.EQUITY], net=D(1), error_bound=D(9))}
        before = monitor.counts()["polls"]
        await world.client.rules.add(MarginFloor(segment="EQUITY", below=5))
        await world.runtime.sleep(5)
        assert monitor.counts()["polls"] - before >= 2

    play(scenario)


# -- one rule and the others -------------------------------------------------------------------------------------------


@pytest.mark.logs
def test_a_rule_that_raises_does_not_stop_those_behind_it():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        await move(world, 0)
        bad = await rules.add(MarginFloor(segment="EQUITY", below=1, rule_id="bad"))
        state = await rules.add(TimeExit(**LONG, at="15:29:00"))

        def broken(rule):
            if rule.rule_id == "bad":
                raise ValueError("it cannot be worked out")

        rules.engine.looking.each.insert(0, broken)
        rules.engine.rules[state.rule_id].due_ns = world.client.session.ctx.now_ns + 5 * 10**9
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE, 20)
        assert venue_held(world) == 0
        assert len([one for one in reasons(world, bad.rule_id) if "it cannot be worked out" in one]) == 1

    play(scenario)


@pytest.mark.logs
def test_a_position_in_an_instrument_nobody_knows_does_not_stop_a_floor():
    async def scenario(world):
        rules = world.client.rules
        floor_of(world, [margin(9_000)])
        await hold(world, 100)
        await move(world, 0)
        positions = rules._account._positions
        rows, keys = positions.rows, positions.keys
        positions.rows = lambda: [*rows(), replace(rows()[0], instrument_id="NSE:NEWLYLISTED")]
        positions.keys = lambda: [*keys(), ("NSE:NEWLYLISTED", *KEY[1:])]
        state = await rules.add(MarginFloor(segment="EQUITY", below=10_000, by="pro_rata", fraction=1))
        await world.until(lambda: venue_held(world) == 0)
        assert len([one for one in reasons(world, state.rule_id) if "NEWLYLISTED is not in" in one]) == 1

    play(scenario)


@pytest.mark.logs
def test_a_rule_that_cannot_be_taken_up_again_does_not_stop_those_behind_it(monkeypatch):
    async def scenario(world):
        price = await hold(world, 100)
        for name in ("bad", "good"):
            await world.client.rules.add(StopLoss(**LONG, price=price - 1, quantity=50, rule_id=name))
        follow = Fitting.follow

        async def broken(self, rule, instrument):
            if rule.rule_id == "bad":
                raise ValueError("it cannot be followed")
            await follow(self, rule, instrument)

        monkeypatch.setattr(Fitting, "follow", broken)
        Kill.end(world)
        async with again(world) as client:
            await world.until(lambda: client.rules.get("bad").status is S.FAILED)
            assert "it cannot be followed" in client.rules.get("bad").reason
            await world.until(lambda: client.rules.engine.numbers(client.rules.engine.rules["good"]))
            await move(world, -40)
            await world.until(lambda: client.rules.get("good").status is S.DONE, 60)
        assert venue_held(world) == 50

    play(scenario)


# -- a rule that is cancelled while it exits ---------------------------------------------------------------------------


@pytest.mark.logs
def test_a_ladder_cancelled_while_it_exits_does_not_come_back():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        rungs = (Rung(level=Level(ticks=20), quantity=50), Rung(level=Level(ticks=60), quantity=50))
        await rules.add(ScaleOut(**LONG, rule_id="ladder", rungs=rungs))
        await move(world, 5)
        world.fault("drop_frames;http:503@GET /orders;drop_reply@POST /orders*1")  # it exits, and cannot see that
        tracked = rules.engine.rules["ladder"]
        rules.engine.fire_leg(tracked, tracked.legs[0])
        assert rules.get("ladder").status in (S.FIRED, S.EXITING)
        await rules.cancel("ladder")
        await world.until(lambda: venue_held(world) == 50)
        Kill.end(world)
        world.heal()
        async with again(world) as client:
            await world.until(lambda: client.rules.get("ladder").status.terminal, 60)
            assert client.rules.get("ladder").levels == ()
            await move(world, 80)
            await world.runtime.sleep(5)
            assert client.rules.get("ladder").status.terminal
        assert venue_held(world) == 50

    play(scenario)


def test_a_floor_cancelled_while_it_exits_is_over_with_its_exits():
    async def scenario(world):
        rules = world.client.rules
        floor_of(world, [margin(9_000)])
        await hold(world, 100)
        await move(world, 0)
        state = await rules.add(MarginFloor(segment="EQUITY", below=10_000, by="pro_rata"))
        await world.until(lambda: not rules.get(state.rule_id).status.watching)
        await rules.cancel(state.rule_id)
        await world.until(lambda: rules.get(state.rule_id).status is S.CANCELED)
        await world.runtime.sleep(20)
        assert venue_held(world) == 75

    play(scenario)


# -- the clock ---------------------------------------------------------------------------------------------------------


def test_a_clock_whose_exchange_is_closed_at_its_time_waits_for_it():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        await move(world, 0)
        state = await rules.add(TimeExit(**LONG, at="15:29:00"))
        calendar = world.client.session.calendar
        hours, calendar._hours = calendar._hours, (TradingHours(weekdays=frozenset()),)
        rules.engine.rules[state.rule_id].due_ns = world.client.session.ctx.now_ns
        await world.runtime.sleep(10)
        assert (rules.get(state.rule_id).status, venue_held(world)) == (S.ARMED, 100)
        calendar._hours = hours
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert venue_held(world) == 0

    play(scenario)


# -- the stream it watches ---------------------------------------------------------------------------------------------


def test_a_rule_on_the_middle_subscribes_a_mode_that_carries_the_book():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        world.client.subscribe([INFY], "ltp")
        state = await rules.add(StopLoss(**LONG, price=price - 1, source="mid"))
        assert world.client.market.subscribed[INFY] is Mode.FULL
        await move(world, 0)
        await world.runtime.sleep(3)
        await move(world, -40)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert venue_held(world) == 0

    play(scenario)


def test_a_price_that_no_stream_of_the_broker_carries_is_refused():
    async def scenario(world):
        await hold(world, 100)
        with pytest.raises(UsageError, match="streams no mark price of NSE:INFY"):
            await world.client.rules.add(StopLoss(**LONG, ticks=10, source="mark"))
        assert world.client.rules.list() == []

    play(scenario)


def test_a_middle_without_a_stream_is_refused_though_quotes_could_be_asked_for():
    async def scenario(world):
        await hold(world, 100)
        world.client.market.apply = None
        with pytest.raises(UsageError, match="no market stream"):
            await world.client.rules.add(StopLoss(**LONG, ticks=10, source="mid"))

    play(scenario)


@pytest.mark.parametrize("source", ["last", "mid"])
def test_a_stream_that_rules_watch_is_neither_dropped_nor_made_less(source):
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        world.client.subscribe([INFY, SBIN])
        state = await rules.add(StopLoss(**LONG, price=price - 1, source=source, poll=False))
        await move(world, 0)
        world.client.unsubscribe([INFY, SBIN])
        assert set(world.client.market.subscribed) == {INFY}
        world.client.subscribe(INFY, "ltp")
        await world.runtime.sleep(3)
        await move(world, -40)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert venue_held(world) == 0
        world.client.unsubscribe([INFY])  # no rule watches it any more
        assert world.client.market.subscribed == {}

    play(scenario)


def test_a_previous_close_that_positions_lack_is_asked_of_quotes_for_a_daily_loss():
    async def scenario(world):
        client, rules = world.client, world.client.rules
        world.venue.set_price(INFY, world.price(0))
        await client.positions()
        await world.until(lambda: rules._account._positions.ready)
        close = (await client.quote(INFY)).previous_close
        carried = Position(
            instrument_id=INFY,
            product=Product.INTRADAY,
            quantity=D(100),
            overnight_quantity=D(100),
            average_price=D(9_000),  # what was lost on earlier days is none of this day's
            last_price=world.price(0),
        )
        client.portfolio.live.seed([carried], [], world.runtime.clock.wall_ns())
        state = await rules.add(DailyLoss(limit=1_000, act="block"))
        client.subscribe(INFY)
        await move(world, 0)
        await world.runtime.sleep(5)
        lost = (world.price(0) - D(repr(close))) * -100
        assert lost < 1_000
        assert (rules.get(state.rule_id).status, client.portfolio.live.row(KEY).close_price) == (
            S.ARMED,
            D(repr(close)),
        )
        ticks = int((D(1_000) - lost) / 100 / world.venue.listing(INFY).instrument.tick_size) + 10
        await move(world, -ticks)
        await world.until(lambda: rules.get(state.rule_id).status is S.DONE)
        assert client.killed

    play(scenario)
