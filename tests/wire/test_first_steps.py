"""Who is told when an order is entered and taken: only those for whom it matters now."""

from __future__ import annotations

import pytest

from dragoman.model import Product
from dragoman.rules import Bracket, Level
from wire.ruled import LONG, hold, move
from wire.trading import INFY, play

pytestmark = pytest.mark.logs("exits and the kill switch tell what they do")


def waiting(world) -> int:
    """How many are told beside the one who follows all updates."""
    return len(world.store._step_listeners) - 1


def test_nobody_waits_while_nothing_goes_on():
    async def scenario(world):
        order = await world.rest()
        assert waiting(world) == 0
        assert world.statuses(order.client_order_id)[:2] == ["SUBMITTED", "ACCEPTED"]
        await world.client.cancel(order)
        await world.client.wait_order(order)
        assert waiting(world) == 0

    play(scenario)


def test_an_exit_is_told_of_orders_until_it_has_ended():
    async def scenario(world):
        await hold(world)
        await move(world, 0)
        assert waiting(world) == 0
        one = world.client.rules.exits.reduce((INFY, Product.INTRADAY, "NET"), None, "test", name="all")
        assert waiting(world) == 1
        await one
        assert waiting(world) == 0

    play(scenario)


def test_a_bracket_is_told_of_orders_until_its_entry_has_ended():
    async def scenario(world):
        order = await world.rest(client_order_id="entry")
        await world.client.rules.add(
            Bracket(**LONG, rule_id="b", entry="entry", stop=Level(ticks=20), target=Level(ticks=500))
        )
        assert waiting(world) == 1
        await world.client.rules.cancel("b")
        assert (await world.client.wait_order(order)).status == "CANCELED"
        assert waiting(world) == 0

    play(scenario)


def test_a_sweep_is_told_of_orders_until_the_switch_is_released():
    async def scenario(world):
        await world.rest()
        state = await world.client.kill("test")
        assert (state.working, waiting(world)) == ((), 1)
        await world.client.release(await world.client.release())
        await world.until(lambda: waiting(world) == 0)

    play(scenario)
