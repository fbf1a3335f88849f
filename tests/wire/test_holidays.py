"""Holidays in a running client: what is refused, what waits, and what goes on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal as D
from zoneinfo import ZoneInfo

import pytest

from dragoman.checks.risk import RiskLimits
from dragoman.errors import ErrorKind, Rejected
from dragoman.model import RuleStatus
from dragoman.rules import TimeExit
from dragoman.runtime.virtual import VirtualRuntime
from wire.ruled import LONG, hold, move
from wire.trading import INFY, world

IST = ZoneInfo("Asia/Kolkata")


def play(scenario, *when, **options):
    """Run `scenario(world)` from a time in India on."""

    async def run(runtime):
        async with asyncio.timeout(600_000), world(runtime, **options) as here:
            return await scenario(here)

    with VirtualRuntime(7, start_wall_ns=int(datetime(*when, tzinfo=IST).timestamp()) * 10**9) as runtime:
        return runtime.run(run(runtime))


async def ask(here):
    return await here.client.place(INFY, "BUY", 1, order_type="LIMIT", price=here.price() - D(5), product="INTRADAY")


@pytest.mark.parametrize(
    ("when", "kind"),
    [
        ((2026, 1, 26, 11), ErrorKind.MARKET_CLOSED),  # Republic Day
        ((2031, 1, 27, 11), ErrorKind.LOCAL_DENIED),  # a year nobody has told of
    ],
)
def test_market_hours_refuse_a_holiday_and_a_day_nobody_has_told_of(when, kind):
    async def scenario(here):
        before = len(here.live)
        with pytest.raises(Rejected) as caught:
            await ask(here)
        assert caught.value.kind is kind
        assert len(here.live) == before

    play(scenario, *when, risk=RiskLimits(market_hours=True))


def test_market_hours_let_orders_through_on_the_day_after():
    async def scenario(here):
        assert (await ask(here)).is_open

    play(scenario, 2026, 1, 27, 11, risk=RiskLimits(market_hours=True))


def test_an_exit_by_the_clock_waits_over_a_holiday():
    async def scenario(here):
        await hold(here, 100)
        await move(here, 0)
        state = await here.client.rules.add(TimeExit(**LONG, at="15:15"))
        due = datetime.fromtimestamp(here.client.rules.engine.rules[state.rule_id].due_ns / 1e9, UTC).astimezone(IST)
        assert (due.date().isoformat(), due.hour, due.minute) == ("2026-01-27", 15, 15)
        assert state.status is RuleStatus.ARMED

    play(scenario, 2026, 1, 23, 15, 20)  # a Friday; Monday is Republic Day
