"""After a day of orders, rules, price moves and faults, at every broker, the money is what the venue's ledger says."""

from __future__ import annotations

from decimal import Decimal

import pytest

from simulation.margin_day import BROKERS, Day, live_through
from simulation.money_day import MoneyDay

SEEDS = (1, 2)


def lived(name, seed, check):
    return live_through(name, seed=seed, steps=60, check=check, kind=MoneyDay)


@pytest.mark.logs("faults and refusals are told of, as they should be")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", BROKERS)
def test_a_day_with_rules_and_faults_ends_with_the_venues_own_money(name, seed):
    def check(day: Day) -> None:
        assert isinstance(day, MoneyDay)
        assert day.placed >= 15
        assert day.faults >= 4
        assert sum(day.armed.values()) >= 5
        assert sum(day.fired.values()) >= 1
        assert day.differences() == []

    lived(name, seed, check)


@pytest.mark.logs("faults and refusals are told of, as they should be")
def test_a_planted_exit_too_much_and_a_lost_coin_are_found():
    def check(day: Day) -> None:
        assert isinstance(day, MoneyDay)
        assert day.differences() == []
        pools = day.venue._accounts[day.account].pools
        next(iter(pools.values())).realised += 1
        (*_, changed) = day.venue._accounts[day.account].positions.values()
        changed.realised += 1
        exits = [one for one in day.client.rules.list(everything=True) if one.exited]
        order = day.client.order(exits[0].orders[0])
        for at, fill in enumerate(fills := day.venue._accounts[day.account].fills):
            if day.host.emulator.order_name(fill.order_id) == order.order_id:
                fills[at] = type(fill)(**{**_fields(fill), "quantity": fill.quantity + Decimal(10**6)})
                break
        found = "\n".join(day.differences())
        assert "usable here" in found
        assert "realised here" in found
        assert f"exit {order.client_order_id}" in found
        assert "exited, the venue" in found

    lived("zerodha", 1, check)


def _fields(value):
    return {name: getattr(value, name) for name in value.__slots__}
