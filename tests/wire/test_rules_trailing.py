"""Trailing stops in percent, from the price on the wire to the level that is shown."""

from __future__ import annotations

from decimal import Decimal as D

from dragoman.model import Side
from dragoman.model.rules import RuleStatus as S
from dragoman.rules import TrailingStop
from wire.ruled import KEY, LONG, hold, venue_held
from wire.trading import INFY, play


async def trade_at(world, price) -> None:
    """Let the market trade at a price, and the client see it."""
    world.venue.set_price(INFY, price)
    await world.until(lambda: world.client.portfolio.live.row(KEY).last_price == price)


def test_a_trailing_percentage_fires_at_the_very_level_that_is_shown():
    async def scenario(world):
        rules = world.client.rules
        world.client.subscribe([INFY])
        await hold(world, 100)
        await trade_at(world, world.price(1))
        await rules.add(TrailingStop(**LONG, percent="0.73", rule_id="t"))
        tick = world.venue.listing(INFY).instrument.tick_size
        await trade_at(world, world.price(33))
        await world.until(lambda: rules.get("t").best == world.price(33))
        (level,) = rules.get("t").levels
        await trade_at(world, level + tick)
        await world.runtime.sleep(1)
        assert (rules.get("t").status, rules.get("t").levels) == (S.ARMED, (level,))
        world.venue.place_external(INFY, Side.BUY, D(1000), level - 5 * tick)
        await trade_at(world, level)
        await world.until(lambda: rules.get("t").status is S.DONE)
        assert f"at {level} was reached" in next(e.reason for e in world.events if getattr(e, "status", "") is S.FIRED)
        return venue_held(world)

    assert play(scenario) == 0
