"""In a day of orders, fills, price moves and faults, at every broker, no margin is further off than it says."""

from __future__ import annotations

from decimal import Decimal

import pytest

from simulation.margin_day import BROKERS, Day, live_through

REFERENCE = "zerodha"
STEPS = {REFERENCE: 150, "binance": 45}
D = Decimal


@pytest.mark.logs("faults are told of, as they should be")
@pytest.mark.parametrize("name", BROKERS)
def test_every_reading_of_a_day_lies_within_the_projections_own_bound(name):
    def check(day: Day) -> None:
        counters, records = day.client.margin.counters(), day.records()
        assert len(records) >= 30
        assert day.placed >= 30
        assert day.faults >= 3
        assert [one for one in records if one.error > one.bound] == []
        assert counters["bound_broken"] == 0
        assert (counters["beyond_bound"], counters["doubted"]) == (0, 0)  # what is doubted is in no record
        assert counters["judged"] >= len(records)
        if name == REFERENCE:
            close = [one for one in records if one.bound <= abs(one.used or D(0)) * D("0.05")]
            assert len(close) >= 0.95 * len(records)
        assert day.differences() == []
        now, funds = day.client.margin.now(), day.venue.funds(day.account)
        for segment, pools in day.broker.segments.items():
            assert not now[segment].stale
            assert abs(now[segment].net - sum(funds[one].net for one in pools if one in funds)) <= D("0.01")

    live_through(name, steps=STEPS.get(name, 60), check=check)
