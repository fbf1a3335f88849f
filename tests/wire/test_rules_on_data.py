"""Rules about the account act on what comes in, not on the clock: here the clock never looks."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.model import Margin, Segment, Side
from dragoman.model.rules import RuleStatus as S
from dragoman.rules import DailyLoss, MarginFloor, looking
from wire.ruled import KEY, exits_at_venue, held, hold, move, venue_held
from wire.trading import INFY, play


@pytest.fixture(autouse=True)
def no_clock(monkeypatch):
    monkeypatch.setattr(looking, "_LOOK_S", 1e6)


async def ready(world, quantity: int = 100) -> D:
    """Hold something that is streamed and marked; return what it cost."""
    world.client.subscribe([INFY])
    price = await hold(world, quantity)
    await move(world, 0)
    live = world.client.portfolio.live
    await world.until(lambda: live.seeded and not live.row(KEY).stale)
    return price


def gross(limit, name="d", **more):
    return DailyLoss(rule_id=name, limit=limit, after_charges=False, **{"act": "flatten"} | more)


def lost(world) -> D:
    return -world.client.portfolio.live.day_made()["INR"].profit


def test_a_loss_limit_fires_with_the_batch_that_reaches_it():
    async def scenario(world):
        rules = world.client.rules
        await ready(world)
        await rules.add(gross(300))
        await move(world, -20)
        assert (rules.get("d").status, lost(world) < 300) == (S.ARMED, True)
        await move(world, -80)
        seen = []
        await world.until(lambda: seen.append((lost(world) >= 300, rules.get("d").firing)) or seen[-1][0])
        assert seen[-1] == (True, 1), "with the marks, not after them"
        await world.until(lambda: held(world) == 0)
        assert "the limit 300" in next(e.reason for e in world.events if getattr(e, "status", "") is S.FIRED)

    play(scenario)


def test_of_several_loss_limits_each_fires_when_it_is_reached():
    async def scenario(world):
        rules = world.client.rules
        await ready(world)
        for limit in (600, 200, 400):
            await rules.add(gross(limit, f"d{limit}", act="block"))
        fired = []
        for ticks in range(0, -90, -3):
            await move(world, ticks)
            fired += [one.rule_id for one in rules.list(everything=True) if one.firing or one.status.terminal]
            fired = list(dict.fromkeys(fired))
            for one in rules.list():
                assert one.rule.limit > lost(world)
        return fired

    assert play(scenario) == ["d200", "d400", "d600"]


def test_a_limit_is_watched_from_where_a_fill_has_left_it():
    async def scenario(world):
        rules = world.client.rules
        await ready(world)
        await rules.add(gross(300))
        await move(world, -20)  # ten to a unit of money: 200 are lost
        world.venue.place_external(INFY, Side.BUY, D(50), world.price(-20))
        terms = {"order_type": "LIMIT", "product": "INTRADAY"}
        await world.client.place(INFY, "SELL", 50, price=world.price(-20), **terms)
        await world.until(lambda: held(world) == 50)
        await move(world, -35)  # 100 realised, 175 not
        assert (rules.get("d").status, rules.get("d").firing) == (S.ARMED, 0)
        await move(world, -45)
        await world.until(lambda: rules.get("d").firing == 1)
        return [one.order.quantity for one in exits_at_venue(world)]

    assert play(scenario) == [50, 50]


def test_a_loss_that_a_fill_makes_fires_a_limit():
    async def scenario(world):
        rules, live = world.client.rules, world.client.portfolio.live
        await ready(world)
        await rules.add(gross(5, act="block"))
        assert lost(world) < 5
        marked = live.row(KEY).last_price
        world.venue.place_external(INFY, Side.BUY, D(100), world.price(-1))
        price = world.price(-1) if world.price(-1) < marked else marked
        terms = {"order_type": "LIMIT", "price": price, "product": "INTRADAY"}
        world.client.unsubscribe([INFY])
        await world.client.place(INFY, "SELL", 100, **terms)
        await world.until(lambda: lost(world) >= 5, 5)
        await world.until(lambda: rules.get("d").status is S.DONE, 5)

    play(scenario)


def told(net, **more):
    return Margin(segment=Segment.EQUITY, net=D(net), **more)


def test_a_floor_acts_on_the_margin_that_is_told():
    async def scenario(world):
        rules = world.client.rules
        rules._account._margins = lambda: {Segment.EQUITY: told(50_000)}
        await ready(world)
        await rules.add(MarginFloor(rule_id="f", segment="EQUITY", below=10_000))
        world.client.margin.changed(told(10_000))
        await world.runtime.sleep(0.1)
        assert exits_at_venue(world) == []
        world.client.margin.changed(replace(told(9_000), segment=Segment.COMMODITY))
        world.client.margin.changed(told(1, stale=True))
        await world.runtime.sleep(0.1)
        assert (exits_at_venue(world), rules.get("f").status) == ([], S.SUSPENDED)
        world.client.margin.changed(told(9_000))
        await world.until(lambda: venue_held(world) == 0, 5)
        assert rules.get("f").firing == 1

    play(scenario)


def test_a_floor_hears_of_margins_that_the_client_projects():
    async def scenario(world):
        rules = world.client.rules
        await ready(world)
        before = (await world.client.margin.ready())[Segment.EQUITY]
        await rules.add(MarginFloor(rule_id="f", segment="EQUITY", below=before.net - 100_000, by="pro_rata"))
        await world.runtime.sleep(3)
        assert exits_at_venue(world) == []
        for _ in range(2):
            terms = {"order_type": "LIMIT", "price": world.price(-30), "product": "INTRADAY"}
            await world.client.place(INFY, "BUY", 400, **terms)
        await world.until(lambda: rules.get("f").firing >= 1, 30)

    play(scenario)


def test_rows_are_built_by_a_floor_that_fires_alone(monkeypatch):
    async def scenario(world):
        rules = world.client.rules
        usable = [D(50_000)]
        rules._account._margins = lambda: {Segment.EQUITY: told(usable[0])}
        await ready(world)
        positions, built = rules._account._positions, []
        rows = positions.rows
        monkeypatch.setattr(positions, "rows", lambda: built.append(1) or rows())
        await rules.add(MarginFloor(segment="EQUITY", below=10_000))
        for _ in range(5):
            world.client.margin.changed(told(50_000))
            await world.runtime.sleep(0.1)
        assert built == []
        world.client.margin.changed(told(9_000))
        await world.until(lambda: venue_held(world) == 0, 5)
        assert built

    play(scenario)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.lists(st.integers(-90, 30), min_size=1, max_size=8),
    limits=st.lists(st.integers(100, 900), min_size=1, max_size=3, unique=True),
    quantity=st.sampled_from((100, -100, 37)),
)
def test_no_price_leaves_a_limit_behind_that_it_has_reached(path, limits, quantity):
    async def scenario(world):
        rules = world.client.rules
        await ready(world, quantity)
        for limit in limits:
            await rules.add(gross(limit, f"d{limit}"))
        for ticks in path:
            await move(world, ticks if quantity > 0 else -ticks)
            if world.client.portfolio.live.row(KEY).quantity != quantity:
                break  # one has fired
            for one in rules.list():
                assert one.rule.limit > lost(world) or one.firing
        for one in rules.list(everything=True):
            fired = [e for e in world.events if getattr(e, "rule_id", "") == one.rule_id and e.status is S.FIRED]
            for event in fired:
                assert D(event.reason.split()[4]) >= one.rule.limit

    play(scenario)
