"""Brackets whose position, entry or owner does not wait for the other."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from dragoman.model import Side
from dragoman.model.rules import RuleStatus as S
from dragoman.rules import Bracket, Level
from wire.ruled import LONG, held, move, venue_held
from wire.test_order_restart import again
from wire.trading import INFY, play

pytestmark = [pytest.mark.logs]


async def enter(world, filled: int = 40, *, stop: int = 20, target: int = 500) -> None:
    """Place an entry for 100 of which so many fill, and hang a bracket on it."""
    rules, price = world.client.rules, world.price(0)
    world.venue.set_price(INFY, price)
    if filled:
        world.venue.place_external(INFY, Side.SELL, D(filled), price)
    terms = {"order_type": "LIMIT", "price": price, "product": "INTRADAY", "client_order_id": "entry"}
    await world.client.place(INFY, "BUY", 100, **terms)
    await world.until(lambda: held(world) == filled)
    await rules.add(
        Bracket(**LONG, rule_id="b", entry="entry", stop=Level(ticks=stop), target=Level(ticks=target)),
    )
    if filled:
        await world.until(lambda: rules.get("b").levels)


async def close_by_hand(world) -> None:
    """Sell what is held in another way than by the bracket, to somebody who pays more than the entry bids."""
    price = world.price(2)
    world.venue.place_external(INFY, Side.BUY, held(world), price)
    terms = {"order_type": "LIMIT", "price": price, "product": "INTRADAY", "client_order_id": "by-hand"}
    await world.client.place(INFY, "SELL", held(world), **terms)
    await world.until(lambda: held(world) == 0)


def fill_entry(world, quantity: int) -> None:
    world.venue.place_external(INFY, Side.SELL, D(quantity), world.price(0))


def test_an_entry_is_cancelled_once_its_position_was_closed_elsewhere():
    async def scenario(world):
        await enter(world)
        await close_by_hand(world)
        await world.until(lambda: world.client.rules.get("b").status.terminal)
        entry = world.client.order("entry")
        assert "is gone" in world.client.rules.get("b").reason
        return world.client.rules.get("b").status, entry.status, entry.filled_quantity, venue_held(world)

    assert play(scenario) == (S.CANCELED, "CANCELED", 40, 0)


def test_what_an_entry_fills_before_its_cancel_arrives_is_guarded():
    async def scenario(world):
        rules = world.client.rules
        await enter(world)
        world.fault("http:503@DELETE /orders*3")
        await close_by_hand(world)
        await world.runtime.sleep(0.5)
        assert (rules.get("b").status, world.client.order("entry").status) == (S.ARMED, "PARTIALLY_FILLED")
        assert "cancelled first" in rules.get("b").reason
        fill_entry(world, 25)
        await world.until(lambda: held(world) == 25)
        await world.until(lambda: world.client.order("entry").status == "CANCELED")
        assert rules.get("b").status is S.ARMED
        await move(world, -40)
        await world.until(lambda: rules.get("b").status.terminal)
        return rules.get("b").status, rules.get("b").exited, held(world), venue_held(world)

    assert play(scenario) == (S.DONE, 25, 0, 0)


def test_what_an_entry_fills_after_the_stop_was_reached_without_a_position_exits_at_once():
    async def scenario(world):
        rules = world.client.rules
        await enter(world)
        world.fault("http:503@DELETE /orders*3")
        await close_by_hand(world)
        await world.runtime.sleep(0.2)
        rule = rules.engine.rules["b"]
        rules.engine.fire_leg(rule, rule.waiting[0])
        await world.runtime.sleep(0.2)
        assert rules.get("b").status is S.ARMED
        fill_entry(world, 25)
        await move(world, 0)
        await world.until(lambda: rules.get("b").status.terminal)
        filled = world.client.order("entry").filled_quantity
        assert filled > 40
        return rules.get("b").status, rules.get("b").exited == filled - 40, venue_held(world)

    assert play(scenario) == (S.DONE, True, 0)


def test_a_stop_reached_without_a_position_ends_the_bracket_with_its_entry():
    async def scenario(world):
        rules = world.client.rules
        await enter(world)
        world.fault("http:503@DELETE /orders*1")
        await close_by_hand(world)
        await world.runtime.sleep(0.2)
        rule = rules.engine.rules["b"]
        rules.engine.fire_leg(rule, rule.waiting[0])
        await world.until(lambda: rules.get("b").status.terminal)
        return rules.get("b").status, world.client.order("entry").status, venue_held(world)

    assert play(scenario) == (S.CANCELED, "CANCELED", 0)


@pytest.mark.parametrize("filled", [0, 40])
def test_an_entry_is_cancelled_with_its_bracket(filled):
    async def scenario(world):
        await enter(world, filled)
        await world.client.rules.cancel("b")
        await world.until(lambda: world.client.order("entry").status == "CANCELED")
        return world.client.rules.get("b").status, world.client.order("entry").filled_quantity, venue_held(world)

    assert play(scenario) == (S.CANCELED, filled, filled)


def test_what_an_entry_had_filled_when_its_owner_cancelled_it_stays_guarded():
    async def scenario(world):
        rules = world.client.rules
        await enter(world)
        await world.client.cancel("entry")
        await world.until(lambda: world.client.order("entry").status == "CANCELED")
        await world.runtime.sleep(2)
        assert rules.get("b").status is S.ARMED
        await move(world, -40)
        await world.until(lambda: rules.get("b").status.terminal)
        return rules.get("b").status, rules.get("b").exited, venue_held(world)

    assert play(scenario) == (S.DONE, 40, 0)


def test_a_stop_takes_all_that_an_entry_has_filled_in_parts():
    async def scenario(world):
        rules = world.client.rules
        await enter(world)
        for more in (30, 10):
            fill_entry(world, more)
            await world.runtime.sleep(0.5)
        assert held(world) == 80
        await move(world, -40)
        await world.until(lambda: rules.get("b").status.terminal)
        entry = world.client.order("entry")
        return rules.get("b").status, rules.get("b").exited == entry.filled_quantity, venue_held(world)

    assert play(scenario) == (S.DONE, True, 0)


def test_an_entry_whose_cancel_died_with_its_process_is_cancelled_by_the_next_run():
    async def scenario(world):
        await enter(world)
        world.fault("http:503@DELETE /orders*1")
        await world.client.rules.cancel("b")
        await world.client.close()
        assert [one.status for one in world.live][:1] == ["PARTIALLY_FILLED"]
        async with again(world) as client:
            await world.until(lambda: client.order("entry").status == "CANCELED")
            return client.rules.get("b").status

    assert play(scenario) is S.CANCELED
