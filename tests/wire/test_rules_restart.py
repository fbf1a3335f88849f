"""A trader killed between trigger and order: whatever the journal has by then, the next run exits once."""

from __future__ import annotations

import errno
from decimal import Decimal as D

import pytest

from dragoman.emulator.venue.types import VenueOrder
from dragoman.errors import AccountBusy, NotSent, Rejected
from dragoman.model import OrderType, Product, Side
from dragoman.model.rules import RuleStatus as S
from dragoman.orders import succession
from dragoman.orders.journal.format import record_length
from dragoman.orders.journal.tail import Batch, Tail
from dragoman.rules import DailyLoss, ScaleOut, StopLoss, TimeExit, TrailingStop
from dragoman.rules.model import Level, Rung
from wire.ruled import LONG, exits_at_venue, hold, move, venue_held
from wire.test_order_restart import again
from wire.trading import INFY, play


class Kill:
    """Ends a client once so many records are in its journal, in the middle of a write: no byte leaves any more."""

    def __init__(self, monkeypatch, world, records: int | None) -> None:
        self.records = 0
        self.dead = False
        perform = Batch.perform

        def counted(batch):
            if self.dead or records is None or self.records + len(batch.entries) <= records:
                self.records += len(batch.entries)
                perform(batch)  # in the end, the next process's
                return
            ((file, offset, data),) = batch.segments
            kept = batch.entries[: records - self.records]
            file.write(offset, data[: sum(record_length(entry.payload) for entry in kept)])
            file.sync()
            self.now(world)
            raise OSError(errno.EIO, "killed")

        put = Tail.put

        def put_counted(tail, waiting):
            if not self.dead and records is not None and self.records + len(waiting) > records:
                return False  # by `perform`, which is cut
            took = put(tail, waiting)
            self.records += len(waiting) if took else 0
            return took

        monkeypatch.setattr(Batch, "perform", counted)
        monkeypatch.setattr(Tail, "put", put_counted)

    def now(self, world) -> None:
        self.dead = True
        self.end(world)

    @staticmethod
    def end(world) -> None:
        """Let nothing more leave a client, neither to the broker nor to its journal."""

        def nothing(*about):
            raise NotSent("this process is dead")

        sender = world.client.session.sender
        sender._prepare = sender._signed = nothing  # whichever way a request goes
        world.runtime.disk.end_processes()


def trigger_and_be_killed(monkeypatch, records, latency_s):
    """Arm a stop, let the price fall, be killed at a record; return how many there were, and what came of it."""

    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        await rules.add(StopLoss(**LONG, price=price - 1, rule_id="stop"))
        await world.runtime.sleep(1)
        world.runtime.disk.latency_s = latency_s
        kill = Kill(monkeypatch, world, records)
        await move(world, -40)
        await world.runtime.sleep(2)
        if not kill.dead:
            return kill.records, len(exits_at_venue(world)), venue_held(world), rules.get("stop").status
        async with again(world) as client:
            rules = client.rules
            for _ in range(120):
                await move(world, -40)
                await world.runtime.sleep(1)
                if rules.get("stop").status.terminal:
                    break
            return kill.records, len(exits_at_venue(world)), venue_held(world), rules.get("stop").status

    monkeypatch.undo()
    return play(scenario)


@pytest.mark.parametrize("latency_s", [0.0, 0.001])
@pytest.mark.logs  # the dead process says that nothing leaves it
def test_a_stop_exits_once_whichever_record_of_the_journal_was_the_last(monkeypatch, latency_s):
    records, exits, left, status = trigger_and_be_killed(monkeypatch, None, latency_s)
    assert (exits, left, status) == (1, 0, S.DONE)
    assert records >= 6, "a firing, an intent, what came of it, and how it ended"
    for number in range(records):
        _, exits, left, status = trigger_and_be_killed(monkeypatch, number, latency_s)
        assert (exits, left, status) == (1, 0, S.DONE), f"killed after {number} of {records} records"


@pytest.mark.logs  # the dead process says that nothing leaves it
def test_a_trail_never_loosens_across_a_restart():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        await rules.add(TrailingStop(**LONG, price=2, rule_id="trail"))
        await move(world, 40)
        await world.runtime.sleep(2)
        level = rules.get("trail").levels[0]
        assert level == world.price(40) - 2
        await move(world, 50)  # not noted yet when it is killed
        Kill.end(world)
        await move(world, 25)
        async with again(world) as client:
            rules = client.rules
            await world.until(lambda: client.market.subscribed)
            await world.runtime.sleep(2)
            assert rules.get("trail").levels[0] >= level
            assert rules.get("trail").best >= world.price(40)
            await move(world, 19)  # above the level that a new trail would have, below the one that was kept
            await world.until(lambda: rules.get("trail").status is S.DONE)
            assert venue_held(world) == 0

    play(scenario)


def test_rules_that_are_over_do_not_come_back_and_working_ones_are_carried(monkeypatch):
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        await rules.add(StopLoss(**LONG, price=price - 5, rule_id="gone"))
        await rules.add(StopLoss(**LONG, price=price - 1, rule_id="kept", quantity=30))
        await rules.cancel("gone")
        await world.client.close()
        await world.runtime.sleep(3)
        async with again(world) as client:
            assert [one.rule_id for one in client.rules.list()] == ["kept"]
            assert str(client.rules.get("gone").status) == "CANCELED"
        monkeypatch.setattr(succession, "_LOOKED_BACK_NS", 1_000_000_000)
        await world.runtime.sleep(3)
        async with again(world) as client:
            await world.until(lambda: client.rules.list())
            await world.until(lambda: client.market.subscribed)
            assert [one.rule_id for one in client.rules.list(everything=True)] == ["kept"]
            assert client.rules.get("kept").rule.quantity == 30
            await move(world, -40)
            await world.until(lambda: client.rules.get("kept").status is S.DONE)
            assert venue_held(world) == 70

    play(scenario)


@pytest.mark.logs  # the dead process says that nothing leaves it
def test_a_ladder_goes_on_with_the_rungs_that_are_left():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        rungs = tuple(Rung(level=Level(ticks=ticks), quantity=25) for ticks in (10, 20, 30, 40))
        await rules.add(ScaleOut(**LONG, rungs=rungs, rule_id="ladder"))
        await move(world, 22)
        await world.until(lambda: venue_held(world) == 50)
        Kill.end(world)
        async with again(world) as client:
            await world.until(lambda: client.market.subscribed)
            assert len(client.rules.get("ladder").levels) == 2
            await move(world, 45)
            await world.until(lambda: client.rules.get("ladder").status is S.DONE)
            assert [order.filled_quantity for order in exits_at_venue(world)] == [25] * 4
            assert client.rules.get("ladder").exited == 100

    play(scenario)


def test_an_old_stop_does_not_take_a_position_that_has_turned():
    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        await rules.add(StopLoss(**LONG, price=price - 1, rule_id="old"))
        await world.client.close()
        await move(world, 0)
        elsewhere = VenueOrder(
            instrument_id=INFY, side=Side.SELL, quantity=D(250), order_type=OrderType.MARKET, product=Product.INTRADAY
        )
        world.venue.submit(world.account, elsewhere, world.runtime.clock.wall_ns())
        await world.runtime.sleep(1)
        assert venue_held(world) == -150
        async with again(world) as client:
            await world.until(lambda: client.rules.get("old").status is S.CANCELED)
            assert "turned to -150" in client.rules.get("old").reason
            await move(world, -40)
            await world.runtime.sleep(3)
            assert venue_held(world) == -150

    play(scenario)


def test_a_process_that_only_reads_sees_the_rules_and_has_none_of_its_own():
    async def scenario(world):
        price = await hold(world, 100)
        await world.client.rules.add(StopLoss(**LONG, price=price - 1, rule_id="stop"))
        await world.runtime.sleep(1)
        async with again(world) as second:
            assert second.rules.list() == []
            (seen,) = await second.rules.read()
            assert (seen.rule_id, str(seen.status), seen.levels) == ("stop", "ARMED", (price - 1,))
            with pytest.raises(AccountBusy):
                await second.rules.cancel("stop")
            await move(world, -40)
            await world.until(lambda: venue_held(world) == 0)
            await world.runtime.sleep(2)
            assert len(exits_at_venue(world)) == 1

    play(scenario)


@pytest.mark.logs  # one that acts too late is an error
def test_a_clock_that_was_missed_acts_late_or_says_that_it_is_too_late():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        await move(world, 0)
        now = world.client.session.ctx.now_ns // 10**9
        at = (now + 60 + 19_800) % 86_400
        text = f"{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}"
        await rules.add(TimeExit(**LONG, at=text, quantity=40, rule_id="late"))
        await rules.add(TimeExit(**LONG, at=text, quantity=40, late_s=30, rule_id="too late"))
        await world.client.close()
        await world.runtime.sleep(120)
        async with again(world) as client:
            await world.until(lambda: client.rules.get("late").status is S.DONE)
            assert client.rules.get("too late").status is S.FAILED
            assert venue_held(world) == 60

    play(scenario)


@pytest.mark.logs  # the dead process says that nothing leaves it
def test_a_loss_limit_killed_before_it_stopped_the_account_stops_it_after_a_restart():
    async def scenario(world):
        await hold(world, 100)
        await move(world, 0)

        async def never(who, why, closes):
            await world.runtime.sleep(3600)

        world.client.rules._account._kill = never
        await world.client.rules.add(DailyLoss(limit=500, act="both", rule_id="limit"))
        await move(world, -80)
        await world.until(lambda: world.client.rules.get("limit").status is S.FIRED)
        await world.runtime.sleep(1)
        Kill.end(world)
        async with again(world) as client:
            await world.until(lambda: client.rules.get("limit").status is S.DONE)
            await world.until(lambda: venue_held(world) == 0)
            assert client.counters()["rules"]["done"] == 1

    play(scenario)


def test_a_rule_that_cannot_be_written_down_is_not_armed():
    async def scenario(world):
        price = await hold(world, 100)
        world.runtime.disk.fail(errno.EIO, operation="sync", times=-1)
        with pytest.raises(Rejected, match="cannot be written"):
            await world.client.rules.add(StopLoss(**LONG, price=price - 1, rule_id="stop"))
        assert world.client.rules.list() == []
        await move(world, -40)
        assert venue_held(world) == 100
        world.runtime.disk.heal()

    play(scenario)


def test_a_rule_fires_although_the_journal_has_failed_since():
    async def scenario(world):
        price = await hold(world, 100)
        await world.client.rules.add(StopLoss(**LONG, price=price - 1, rule_id="stop"))
        world.runtime.disk.fail(errno.EIO, operation="sync", times=-1)
        await move(world, -40)
        await world.until(lambda: world.client.rules.get("stop").status is S.DONE)
        assert (venue_held(world), len(exits_at_venue(world))) == (0, 1)
        assert world.client.order("stop.1.1").unjournaled
        world.runtime.disk.heal()

    play(scenario)
