"""Exits under attack: refused halfway, left behind by the market, in each other's way."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from dragoman.emulator.venue.types import VenueRejectError
from dragoman.errors import ErrorKind
from dragoman.model import Side
from dragoman.model.rules import RuleStatus as S
from dragoman.rules import Send, StopLoss
from wire.ruled import LONG, exits_at_venue, held, hold
from wire.trading import INFY, play

pytestmark = [pytest.mark.logs]


def drop(world, ticks: int = -40) -> None:
    """Let the market stand elsewhere with nobody there, and fire what the first rule watches."""
    world.venue.set_price(INFY, world.price(ticks))
    rule = next(iter(world.client.rules.engine.working))
    world.client.rules.engine.fire_leg(rule, rule.waiting[0])


def refuse_sells(world, kind: ErrorKind, after: int = 0, instrument: str = INFY) -> list[D]:
    """Let the venue refuse orders to sell, all but the first so many; return what was asked of it."""
    submit, asked = world.venue.submit, []

    def refuse(account, order, now):
        if order.side is Side.SELL and order.instrument_id == instrument:
            asked.append(order.quantity)
            if len(asked) > after:
                raise VenueRejectError(kind, "no")
        return submit(account, order, now)

    world.venue.submit = refuse
    return asked


def freeze(world, monkeypatch, quantity: int) -> None:
    found = world.client.instrument(INFY)
    object.__setattr__(found, "freeze_quantity", D(quantity))
    monkeypatch.setattr(world.client.instruments, "resolve", lambda name: found)
    monkeypatch.setattr(world.client.instruments, "resolve_all", lambda name: [found])


@pytest.mark.parametrize("kind", [ErrorKind.PERMISSION_DENIED, ErrorKind.INSUFFICIENT_HOLDINGS])
def test_refused_for_good_while_a_slice_works_is_not_sent_again(kind, monkeypatch):
    async def scenario(world):
        rules, price = world.client.rules, await hold(world, 100)
        freeze(world, monkeypatch, 50)
        await rules.add(
            StopLoss(**LONG, rule_id="s", price=price - 1, send=Send(order_type="LIMIT", reprice_s=20, tries=3))
        )
        asked = refuse_sells(world, kind, after=1)
        drop(world)
        await world.runtime.sleep(10)
        assert (len(asked), rules.get("s").status) == (2, S.EXITING)  # the slice that rests may still fill
        await world.runtime.sleep(20)
        assert len(asked) == 2
        assert rules.get("s").status is S.FAILED
        assert kind in rules.get("s").reason
        assert [order.status for order in exits_at_venue(world)][:1] == ["CANCELED"]
        return held(world)

    assert play(scenario) == 100
