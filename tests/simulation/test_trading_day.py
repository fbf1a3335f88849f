"""Eight hours of trading leave behind what the orders need, and nothing else."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from simulation.gauges import GROWTH, SAME, Reading, complaints
from simulation.trading_day import Day, Plan, live_through

NOTHING = Reading(**dict.fromkeys(Reading.__slots__, 0))  # type: ignore[arg-type]


@pytest.mark.slow
def test_eight_hours_of_trading_hold_nothing_but_their_orders():
    day = live_through(Plan(ticks_a_minute=4.0, orders_an_hour=24))
    assert complaints(day.marks) == []
    counters = day.client.counters()
    assert counters["streams"]["market"]["reconnects"] >= 8
    assert counters["ticks"] > 20_000
    assert counters["handler_errors"] == counters["orders"]["unknown"] == counters["orders"]["open"] == 0
    last = day.marks[-1]
    assert last.orders >= 120
    assert last.fills >= day.filled * 2 > 0


class Leaks:
    """A strategy that keeps its ticks, one view in fifty, and at each reconnect a timer, a task and a file."""

    def __init__(self, day: Day) -> None:
        self.kept: list[object] = []
        self.files: list[int] = []
        self._batches = 0
        day.client.on_tick(self.kept.append)
        day.client.on_batch(self._on_batch)
        day.client.on_event(self._on_event)

    def _on_batch(self, batch) -> None:
        self._batches += 1
        if self._batches % 50 == 0:
            self.kept.append(batch.records)

    def _on_event(self, event) -> None:
        if getattr(event, "state", "") == "ready":
            loop = asyncio.get_running_loop()
            self.kept += (loop.call_later(1e6, print), loop.create_task(asyncio.sleep(1e6)))
            self.files.append(os.open(os.devnull, os.O_RDONLY))


def test_planted_leaks_are_found():
    planted: list[Leaks] = []
    try:
        day = live_through(Plan(hours=3, orders_an_hour=6), before=lambda d: planted.append(Leaks(d)))
    finally:
        for number in planted[0].files:
            os.close(number)
    found = {line.split()[2] for line in complaints(day.marks)}
    assert found >= {"blocks", "traced", "timers", "tasks", "descriptors", "blocks_held"}


@pytest.mark.parametrize("gauge", SAME)
def test_a_count_that_changes_is_found_up_or_down(gauge):
    more = replace(NOTHING, **{gauge: 1})
    assert complaints([NOTHING, NOTHING]) == []
    assert complaints([NOTHING, more]) == [f"mark 1: {gauge} is 1, was 0"]
    assert complaints([more, NOTHING, more]) == [f"mark 1: {gauge} is 0, was 1"]


@pytest.mark.parametrize("gauge", GROWTH)
def test_an_amount_may_grow_with_orders_and_with_nothing_else(gauge):
    allowed = GROWTH[gauge]
    explained = allowed.a_mark + 3 * allowed.an_order
    assert complaints([NOTHING, replace(NOTHING, orders=3, **{gauge: explained})]) == []
    assert len(complaints([NOTHING, replace(NOTHING, orders=3, **{gauge: explained + 1})])) == 1
    assert len(complaints([NOTHING, replace(NOTHING, **{gauge: explained})])) == 1
    assert complaints([replace(NOTHING, **{gauge: explained}), NOTHING]) == []


def test_what_tracing_itself_takes_is_no_leak():
    untraced = replace(NOTHING, traced=None)
    assert complaints([untraced, replace(NOTHING, traced=10**6, native=10**6)]) == []


def test_fills_without_an_order_are_found():
    assert complaints([NOTHING, replace(NOTHING, fills=1)]) == ["mark 1: fills went from 0 to 1 without an order"]


def test_one_mark_says_nothing():
    with pytest.raises(ValueError, match="expected at least 2"):
        complaints([NOTHING])
