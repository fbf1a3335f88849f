"""A trader killed between trigger and order: whatever the journal has by then, the next run exits once."""

from __future__ import annotations

import errno
from decimal import Decimal as D

import pytest

from dragoman.errors import NotSent
from dragoman.model.rules import RuleStatus as S
from dragoman.orders import succession
from dragoman.orders.journal import Kind, read_journal
from dragoman.orders.journal.format import record_length
from dragoman.orders.journal.tail import Batch
from dragoman.rules import ScaleOut, StopLoss, TrailingStop
from dragoman.rules.model import Level, Rung
from wire.ruled import LONG, exits_at_venue, hold, move, venue_held
from wire.test_order_restart import again
from wire.trading import play


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

        monkeypatch.setattr(Batch, "perform", counted)

    def now(self, world) -> None:
        def nothing(flight):
            raise NotSent("this process is dead")

        self.dead = True
        world.client.session.sender._prepare = nothing
        world.runtime.disk.end_processes()


def trigger_and_be_killed(monkeypatch, records):
    """Arm a stop, let the price fall, be killed at a record; return how many there were, and what came of it."""

    async def scenario(world):
        rules = world.client.rules
        price = await hold(world, 100)
        await rules.add(StopLoss(**LONG, price=price - 1, rule_id="stop"))
        await world.runtime.sleep(1)
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


@pytest.mark.logs  # the dead process says that nothing leaves it
def test_a_stop_exits_once_whichever_record_of_the_journal_was_the_last(monkeypatch):
    records, exits, left, status = trigger_and_be_killed(monkeypatch, None)
    assert (exits, left, status) == (1, 0, S.DONE)
    assert records >= 6, "a firing, an intent, what came of it, and how it ended"
    for number in range(records):
        _, exits, left, status = trigger_and_be_killed(monkeypatch, number)
        assert (exits, left, status) == (1, 0, S.DONE), f"killed after {number} of {records} records"
