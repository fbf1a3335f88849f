"""An order that stands in an exit's way for long: the exit waits until it is gone, and says so."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from dragoman.errors import OutcomeUnknown
from dragoman.model import RuleStatus
from dragoman.rules import Send, StopLoss
from wire.ruled import LONG, hold, move, venue_held
from wire.trading import INFY, play

pytestmark = [pytest.mark.logs]


async def falls(world, seconds: int) -> None:
    for _ in range(seconds):
        await move(world, -60)
        await world.runtime.sleep(1)


async def target(world, quantity: int, **more) -> None:
    terms = {"order_type": "LIMIT", "product": "INTRADAY", "client_order_id": "target"}
    await world.client.place(INFY, "SELL", quantity, price=world.price(200), **terms, **more)


def test_an_order_nobody_knows_of_holds_an_exit_up_until_it_is_proven_lost():
    async def scenario(world):
        client = world.client
        price = await hold(world, 100)
        rule = await client.rules.add(StopLoss(**LONG, price=price - 1))
        told = []
        client.rules.on_rule(lambda event: told.append(event.reason))
        world.fault("reset_request@POST /orders*1")
        with pytest.raises(OutcomeUnknown):
            await target(world, 40, timeout_s=2.0)
        world.heal()
        await falls(world, 35)
        assert client.rules.get(rule.rule_id).status is RuleStatus.EXITING
        assert venue_held(world) == 40
        assert any("an exit waits" in reason and "target" in reason for reason in told)
        await falls(world, 60)
        found = client.rules.get(rule.rule_id)
        assert (found.status, found.exited) == (RuleStatus.DONE, 100)
        assert venue_held(world) == 0

    play(scenario)


def test_an_order_that_cannot_be_cancelled_for_a_while_is_cancelled_again():
    async def scenario(world):
        client = world.client
        price = await hold(world, 100)
        await target(world, 100)
        rule = await client.rules.add(StopLoss(**LONG, price=price - 1))
        world.fault("http:503@DELETE /orders*100000")
        await falls(world, 40)
        assert client.rules.get(rule.rule_id).status in (RuleStatus.FIRED, RuleStatus.EXITING)
        assert venue_held(world) == 100
        world.heal()
        await falls(world, 15)
        assert client.rules.get(rule.rule_id).status is RuleStatus.DONE
        assert venue_held(world) == 0

    play(scenario)


def test_an_order_that_the_exit_may_not_cancel_makes_it_fail_in_the_end():
    async def scenario(world):
        client = world.client
        price = await hold(world, 100)
        await target(world, 100)
        rule = await client.rules.add(StopLoss(**LONG, price=price - 1, send=Send(clears="none")))
        await falls(world, 40)
        found = client.rules.get(rule.rule_id)
        assert found.status is RuleStatus.FAILED
        assert "target" in found.reason
        assert venue_held(world) == D(100)

    play(scenario)


def test_an_exit_waits_for_a_session_however_long_it_is_refused():
    async def scenario(world):
        client = world.client
        price = await hold(world, 100)
        rule = await client.rules.add(StopLoss(**LONG, price=price - 1))
        told = []
        client.rules.on_rule(lambda event: told.append(event.reason))
        world.fault("http:403@POST /orders*100000")
        await falls(world, 60)
        assert client.rules.get(rule.rule_id).status in (RuleStatus.FIRED, RuleStatus.EXITING)
        assert sum("the broker cannot be asked (AUTH_EXPIRED)" in reason for reason in told) == 1
        assert venue_held(world) == 100
        assert len(client.orders_service.store) <= 4  # those refused made orders, the session once over made none
        world.heal()
        await falls(world, 320)  # a dead token is asked about again ever more seldom
        assert client.rules.get(rule.rule_id).status is RuleStatus.DONE
        assert venue_held(world) == 0

    play(scenario, lasts_s=1000)
