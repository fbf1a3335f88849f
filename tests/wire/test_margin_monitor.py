"""`client.margin` at the emulator, on the virtual clock: its pace, its alerts, and what it says between readings."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from dragoman.errors import StaleData, UsageError
from dragoman.model import MarginAlert, Segment, Source
from wire.trading import play

D = Decimal
READING = "GET /user/margins"


def venue_net(world) -> Decimal:
    return world.venue.funds(world.account)[Segment.EQUITY].net


def alerts(world, *codes) -> list[MarginAlert]:
    return [one for one in world.events if isinstance(one, MarginAlert) and (not codes or one.code in codes)]


def readings(world) -> int:
    return world.client.margin.counters()["polls"]


async def resting(world, **more):
    order = await world.rest(**more)
    return await world.client.wait_order(order, lambda one: one.status == "OPEN")


# -- what it says ------------------------------------------------------------------------------------------------------


def test_nothing_is_read_before_somebody_asks():
    async def scenario(world):
        await world.runtime.sleep(70)
        assert readings(world) == 0
        assert world.client.margin.now() == {}
        await world.runtime.sleep(3)
        assert world.client.margin.now()["EQUITY"].source is Source.POLLED

    play(scenario)


def test_an_order_shows_before_the_next_reading_as_the_venue_counts_it():
    async def scenario(world):
        await world.client.margin.ready()
        before = readings(world)
        await resting(world)
        now = world.client.margin.now()[Segment.EQUITY]
        assert readings(world) == before
        assert now.source is Source.PROJECTED
        assert now.net != 2_000_000
        await world.runtime.sleep(0.3)  # the calculator's answer
        now = world.client.margin.now()[Segment.EQUITY]
        assert readings(world) == before
        assert abs(now.net - venue_net(world)) <= now.error_bound <= now.used.total * D("0.05")

    play(scenario)


def test_a_fill_shows_before_the_next_reading_as_the_venue_counts_it():
    async def scenario(world):
        await world.client.margin.ready()
        order = await resting(world)
        await world.runtime.sleep(4)
        before = readings(world)
        world.sell_into(world.price(), 10)
        await world.client.wait_order(order)
        now = world.client.margin.now()[Segment.EQUITY]
        assert readings(world) == before
        assert abs(now.net - venue_net(world)) <= now.error_bound

    play(scenario)


def test_a_reading_corrects_what_was_projected_and_records_how_far_off_it_was():
    async def scenario(world):
        await world.client.margin.ready()
        await resting(world)
        await world.runtime.sleep(4)
        now = world.client.margin.now()[Segment.EQUITY]
        assert (now.source, now.error_bound, now.net) == (Source.POLLED, 0, venue_net(world))
        assert now.ts_polled is not None
        records = world.client.margin.records("EQUITY")
        assert records
        assert all(record.error <= record.bound for record in records)
        assert world.client.margin.counters()["bound_broken"] == 0

    play(scenario)


def test_money_paid_in_is_taken_over_without_a_word():
    async def scenario(world):
        await world.client.margin.ready()
        world.venue.pay_in(world.account, Segment.EQUITY, D(50_000))
        await world.runtime.sleep(70)
        now = world.client.margin.now()[Segment.EQUITY]
        assert (now.net, now.available.intraday_payin) == (2_050_000, 50_000)
        assert alerts(world) == []
        assert world.client.margin.counters()["bound_broken"] == 0

    play(scenario)


# -- the pace ----------------------------------------------------------------------------------------------------------


def test_readings_are_rare_at_rest_and_come_at_once_after_a_change():
    async def scenario(world):
        await world.client.margin.ready()
        await world.runtime.sleep(120)
        assert readings(world) == 3  # one a minute
        await resting(world)
        await world.runtime.sleep(1)
        assert readings(world) == 4
        await world.runtime.sleep(60)
        assert 14 <= readings(world) <= 16  # one in five seconds

    play(scenario)


def test_changes_in_quick_succession_bring_few_readings():
    async def scenario(world):
        await world.client.margin.ready()
        before = readings(world)
        for _ in range(40):
            order = await world.rest()
            await world.client.cancel(order)
            await world.runtime.sleep(0.2)
        assert 2 <= readings(world) - before <= 6

    play(scenario)


def test_no_reading_is_made_out_of_hours():
    async def scenario(world):
        await world.client.margin.ready()
        world.client.session.calendar._hours = ()
        before = readings(world)
        await world.runtime.sleep(600)
        assert readings(world) == before
        assert not world.client.margin.now()[Segment.EQUITY].stale

    play(scenario)


def test_readings_wait_while_others_need_the_limit():
    async def scenario(world):
        await world.client.margin.ready()
        await resting(world)
        await world.runtime.sleep(4)

        async def greedy():
            for _ in range(150):
                await world.client.margins()

        before, put_off = readings(world), world.client.margin.counters()["put_off"]
        await asyncio.gather(*(greedy() for _ in range(4)))
        assert world.client.margin.counters()["put_off"] > put_off
        assert readings(world) - before <= 4
        await world.runtime.sleep(40)
        assert not world.client.margin.now()[Segment.EQUITY].stale

    play(scenario)


# -- thresholds --------------------------------------------------------------------------------------------------------


def test_a_threshold_is_told_once_for_each_crossing_and_not_after_its_end():
    async def scenario(world):
        heard = []
        margin = world.client.margin
        await margin.ready()
        end = margin.threshold("EQUITY", below=1_999_000, hysteresis=500, name="floor", callback=heard.append)
        for _ in range(3):
            order = await resting(world)
            await world.runtime.sleep(3)
            await world.client.cancel(order)
            await world.client.wait_order(order)
            await world.runtime.sleep(3)
        assert [one.code for one in heard] == ["BELOW"] * 3
        assert alerts(world, "BELOW") == heard
        assert (heard[0].name, heard[0].level, heard[0].margin.segment) == ("floor", 1_999_000, Segment.EQUITY)
        end()
        await resting(world)
        await world.runtime.sleep(3)
        assert len(heard) == 3

    play(scenario)


def test_a_threshold_is_met_by_a_projection_before_any_reading():
    async def scenario(world):
        margin = world.client.margin
        await margin.ready()
        margin.threshold("EQUITY", utilisation_above="0.001")
        before = readings(world)
        await resting(world)
        await world.runtime.sleep(0.3)  # the calculator's answer
        assert [one.code for one in alerts(world)] == ["UTILISATION"]
        assert readings(world) == before

    play(scenario)


def test_a_fast_fall_is_told():
    async def scenario(world):
        margin = world.client.margin
        await margin.ready()
        margin.threshold("EQUITY", falling_faster=5000)
        await resting(world)
        await world.runtime.sleep(90)
        assert alerts(world, "FALLING") == []  # 3,000 of it
        await resting(world)
        await resting(world)
        await world.runtime.sleep(5)
        assert len(alerts(world, "FALLING")) == 1

    play(scenario)


@pytest.mark.logs
def test_a_callback_that_raises_hurts_nobody():
    async def scenario(world):
        def broken(alert):
            raise RuntimeError("boom")

        margin = world.client.margin
        await margin.ready()
        margin.threshold("EQUITY", below=1_999_000, callback=broken)
        await resting(world)
        await world.runtime.sleep(3)
        assert margin.counters()["callback_errors"] == 1
        assert len(alerts(world, "BELOW")) == 1

    play(scenario)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({}, "0 limits are given"),
        ({"below": 5, "falling_faster": 5}, "2 limits are given"),
        ({"utilisation_above": 80}, "is no share"),
        ({"falling_faster": 0}, "is no loss"),
        ({"below": "much"}, "is not a number"),
        ({"below": 5, "hysteresis": -1}, "is negative"),
        ({"below": 5, "callback": 7}, "callback"),
        ({"below": 5, "segment": "CURRENCY"}, "no segment CURRENCY"),
        ({"below": 5, "segment": "SOMETHING"}, "is unknown"),
    ],
)
def test_a_threshold_that_no_margin_can_cross_is_refused(terms, words):
    async def scenario(world):
        await world.client.margin.ready()
        with pytest.raises(UsageError, match=words):
            world.client.margin.threshold(**({"segment": "EQUITY"} | terms))

    play(scenario)


# -- watching ----------------------------------------------------------------------------------------------------------


def test_a_watcher_gets_what_is_there_and_then_every_change():
    async def scenario(world):
        await world.client.margin.ready()
        seen = []

        async def watch():
            async for one in world.client.margin.watch():
                seen.append(one)  # noqa: PERF401 - it is looked at meanwhile

        watching = asyncio.ensure_future(watch())
        await world.runtime.sleep(0.1)
        assert {one.segment for one in seen} == {Segment.EQUITY, Segment.COMMODITY}
        order = await resting(world)
        await world.runtime.sleep(4)
        await world.client.cancel(order)
        await world.runtime.sleep(4)
        equity = [one for one in seen if one.segment is Segment.EQUITY]
        assert Source.PROJECTED in [one.source for one in equity]
        assert (equity[-1].net, equity[-1].source) == (2_000_000, Source.POLLED)
        await world.client.close()
        await watching

    play(scenario)


# -- when the broker does not answer, or talks nonsense ----------------------------------------------------------------


def test_a_margin_the_broker_does_not_tell_is_stale_and_crosses_nothing():
    async def scenario(world):
        margin = world.client.margin
        await margin.ready()
        order = await resting(world)
        await world.runtime.sleep(4)
        world.fault(f"http:503@{READING}")
        await world.client.cancel(order)
        await world.runtime.sleep(1)
        margin.threshold("EQUITY", below=1_999_000)
        await world.runtime.sleep(120)
        assert margin.now()[Segment.EQUITY].stale
        assert margin.counters()["failed"] > 1
        assert [one.code for one in alerts(world)].count("STALE") == 2  # once for each segment
        await resting(world)
        await world.runtime.sleep(5)
        assert alerts(world, "BELOW") == []
        world.heal()
        await world.runtime.sleep(70)
        assert not margin.now()[Segment.EQUITY].stale
        assert len(alerts(world, "BELOW")) == 1

    play(scenario)


def test_who_waits_for_a_first_margin_in_vain_is_told():
    async def scenario(world):
        world.fault(f"http:503@{READING}")
        with pytest.raises(StaleData, match="no margin was read within 3 s"):
            await world.client.margin.ready(timeout_s=3)
        world.heal()
        assert (await world.client.margin.ready(timeout_s=30))["EQUITY"].net == 2_000_000

    play(scenario)


def test_a_margin_counted_from_a_broken_order_stream_is_stale():
    async def scenario(world):
        await world.client.margin.ready()
        await world.cut()
        assert world.client.margin.now()[Segment.EQUITY].stale
        world.heal()
        await world.until(lambda: not world.client.margin.now()[Segment.EQUITY].stale)

    play(scenario)


def test_a_leap_without_a_reason_is_believed_once_the_broker_stays_with_it():
    async def scenario(world):
        await world.client.margin.ready()
        await resting(world)
        await world.runtime.sleep(4)
        world.venue._account(world.account).pools[Segment.EQUITY].realised -= 900_000  # a charge nobody tells of
        await world.until(lambda: alerts(world, "DOUBTFUL"))
        now = world.client.margin.now()[Segment.EQUITY]
        assert now.stale
        assert now.net > 1_900_000
        assert alerts(world, "DOUBTFUL")[0].margin.net < 1_100_000
        await world.until(lambda: alerts(world, "DIFFERS"))
        now = world.client.margin.now()[Segment.EQUITY]
        assert (now.net, now.stale) == (venue_net(world), False)
        assert world.client.margin.counters()["bound_broken"] == 1
        assert len(alerts(world, "DOUBTFUL")) == 1

    play(scenario)


def test_a_segment_missing_from_an_answer_keeps_its_figures_until_they_are_stale():
    async def scenario(world):
        adapter = world.client.session.adapter
        whole = type(adapter).margins

        def equity_alone(ctx):
            return [row for row in (yield from whole(adapter, ctx)) if row.segment is Segment.EQUITY]

        await world.client.margin.ready()
        adapter.margins = equity_alone
        await world.runtime.sleep(70)
        assert world.client.margin.now()[Segment.COMMODITY].net == 1_000_000
        assert world.client.margin.counters()["missing_segments"] >= 1
        await world.runtime.sleep(150)
        margins = world.client.margin.now()
        assert (margins[Segment.COMMODITY].stale, margins[Segment.EQUITY].stale) == (True, False)
        assert [one.margin.segment for one in alerts(world, "STALE")] == [Segment.COMMODITY]

    play(scenario)


def test_an_order_of_unknown_outcome_counts_and_all_of_it_is_in_the_bound():
    async def scenario(world):
        await world.client.margin.ready()
        world.fault("drop_request@POST /orders*1")
        with pytest.raises(Exception, match="look"):
            await world.rest(timeout_s=1)
        now = world.client.margin.now()[Segment.EQUITY]
        assert now.net < 2_000_000
        assert now.error_bound >= 2_000_000 - now.net
        await world.until(lambda: not world.store.unknown, timeout_s=300)
        await world.runtime.sleep(5)
        now = world.client.margin.now()[Segment.EQUITY]
        assert (now.net, now.error_bound) == (venue_net(world), 0)
        assert world.client.margin.counters()["bound_broken"] == 0

    play(scenario)


def test_closing_ends_all_watching_and_reads_no_more():
    async def scenario(world):
        await world.client.margin.ready()
        queue = world.client.margin.watch()
        await world.client.close()
        assert [one.segment async for one in queue]
        before = world.requests
        await world.runtime.sleep(200)
        assert world.requests == before

    play(scenario)
