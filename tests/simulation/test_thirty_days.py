"""Thirty days at a broker whose tokens die every morning and that wants a human for each new one, without a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dragoman.connecting import connect
from dragoman.errors import AuthRequired
from dragoman.testing.emulated import browser
from simulation.trials import NS
from wire.trading import INFY, REDIRECT_PORT, play

DAYS = 30
INDIA = ZoneInfo("Asia/Kolkata")


def jump(world, hour, minute):
    """Let the night pass in no time: set everybody's clock to the next such moment in India."""
    now = datetime.fromtimestamp(world.runtime.clock.wall_ns() / NS, UTC).astimezone(INDIA)
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if then <= now:
        then += timedelta(days=1)
    world.runtime.clock.step((then - now).total_seconds())


async def somebody_logs_in(world):
    """Log in from another process, as a human does in the morning."""
    session = world.client.session
    overrides = {
        "hosts": dict(session.profile.hosts),
        "credentials": {name: world.emulator.credentials[name] for name in ("api_key", "api_secret")},
        "redirect_port": REDIRECT_PORT,
    }
    quick = {"load_instruments": False, "load_orders": False, "streams": False, "journal": False}
    async with connect(
        type(session.adapter)(),
        "test",
        environment="emulator",
        overrides=overrides,
        state_dir="/state",
        open_url=browser(world.runtime),
        runtime=world.runtime,
        **quick,
    ):
        pass


@pytest.mark.slow
def test_thirty_mornings_are_met_without_a_restart():
    async def scenario(world):
        client, runtime = world.client, world.runtime
        client.subscribe(INFY)
        took = []
        for day in range(DAYS):
            jump(world, 5, 58)
            await runtime.sleep(180)  # the token dies at six
            before = world.requests
            with pytest.raises(AuthRequired):
                await world.rest(client_order_id=f"early-{day}")
            await runtime.sleep(600)
            assert world.requests - before <= 11, "more than one try a minute without a token"
            await somebody_logs_in(world)
            began = runtime.clock.mono_ns()
            await world.until(lambda: client.streams["market"].ready and not client.orders_service.stale, 90)
            took.append((runtime.clock.mono_ns() - began) / NS)
            order = await world.rest(client_order_id=f"day-{day}")
            assert (await client.wait_order(order, lambda one: one.status == "OPEN")).order_id
            await client.cancel(order)
            await client.wait_order(order)
        return took, client.counters()

    took, counters = play(scenario, lasts_s=DAYS * 3600, most=20, poll_interval_s=0.5)
    print(f"\n{DAYS} mornings: trading again {min(took):.1f} to {max(took):.1f} s after a token existed")
    assert len(took) == DAYS
    assert max(took) <= 60
    assert counters["orders"]["unknown"] == 0
