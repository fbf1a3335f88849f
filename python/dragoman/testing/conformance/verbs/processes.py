"""Several clients of one account, their deaths, and what their machine does to them: clock, disk, network."""

from __future__ import annotations

import asyncio
import errno
from decimal import Decimal

from dragoman.errors import DragomanError
from dragoman.model import OrderType, Side
from dragoman.testing.conformance.grammar import Step, step
from dragoman.testing.conformance.stage import MismatchError, Stage

_SMALL_FILE = 16 * 1024
_MANY = 200


@step("connect without a journal")
async def connect_without_journal(stage: Stage) -> None:
    """Connect a client that writes nothing down: nobody is kept from acting beside it."""
    await stage.connect(journal=False)


@step("connect with a journal that is soon full")
async def connect_small(stage: Stage) -> None:
    """Connect a client, the first of its account, whose journal soon needs another file."""
    stage.journal_size = _SMALL_FILE
    await stage.connect()


@step("connect with a clock <time:seconds> ahead")
async def connect_ahead(stage: Stage, time: float) -> None:
    """Connect a client on a machine whose wall clock is wrong."""
    await stage.connect(wrong_by_s=time)


@step("connect with a clock <time:seconds> behind")
async def connect_behind(stage: Stage, time: float) -> None:
    """The same, the other way."""
    await stage.connect(wrong_by_s=-time)


@step("the clock jumps <time:seconds> ahead")
async def jump_ahead(stage: Stage, time: float) -> None:
    """Set the wall clock of the client's machine forward."""
    stage.process.clock.offset_ns += round(time * 1e9)


@step("the clock jumps <time:seconds> back")
async def jump_back(stage: Stage, time: float) -> None:
    """Set the wall clock of the client's machine back."""
    stage.process.clock.offset_ns -= round(time * 1e9)


@step("a second client connects")
async def connect_second(stage: Stage) -> None:
    """Connect another client of the account, as another process does, and act with it from now on."""
    await stage.connect(beside=True)


@step("a second client connects without streams")
async def connect_second_without_streams(stage: Stage) -> None:
    """The same, with one that needs none of the sockets that the broker allows."""
    await stage.connect(beside=True, streams=False)


@step("a second client connects read only")
async def connect_second_reader(stage: Stage) -> None:
    """The same, with one that may change nothing."""
    await stage.connect(beside=True, read_only=True)


@step("go on with the other client")
async def swap(stage: Stage) -> None:
    """Act with the client that stands beside; the one so far stays."""
    stage.swap()


@step("the client is killed")
async def kill(stage: Stage) -> None:
    """End it as ``kill -9`` does: nothing is said, finished or written; what is on its disk stays."""
    for task in stage.meanwhile:
        task.cancel()
    await stage.kill()
    if stage.meanwhile:
        await asyncio.wait(stage.meanwhile)
        stage.meanwhile.clear()


# -- at the same time ------------------------------------------------------------------------------------------------


@step("meanwhile <what:step>")
async def meanwhile(stage: Stage, what: Step) -> None:
    """Begin a step, and go on before it ends."""
    stage.meanwhile.append(stage.runtime.spawn(what.play(stage), name=what.text))
    await stage.runtime.sleep(0.05)


@step("what began ends")
async def ends(stage: Stage) -> None:
    """Wait until every step that began meanwhile has ended, and fail as it does."""
    tasks = list(stage.meanwhile)
    stage.meanwhile.clear()
    for found in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(found, BaseException):
            raise found


# -- the disk --------------------------------------------------------------------------------------------------------


@step("the disk fails")
async def disk_fails(stage: Stage) -> None:
    """From now on nothing that the client writes can be made durable."""
    stage.process.disk.failing = errno.EIO


@step("the disk is full")
async def disk_full(stage: Stage) -> None:
    """From now on the client can make no file; there is room in those it has."""
    stage.process.disk.full = True


@step("the disk has room again")
async def disk_room(stage: Stage) -> None:
    """It can make files."""
    stage.process.disk.full = False


@step("place orders of <of:role> until one is refused")
async def place_many(stage: Stage, of: str) -> None:
    """Place small orders m1, m2, ..., a second apart, until the client takes none; the venue has the others."""
    for number in range(1, _MANY):
        await stage.runtime.sleep(1.0)
        try:
            await stage.client.place(
                stage.id_of(of),
                Side.BUY,
                stage.cast.unit(of),
                order_type=OrderType.LIMIT,
                price=stage.cast.price(of, Decimal(-5), 0),
                product=stage.cast.product(of),
                client_order_id=f"m{number}",
            )
        except DragomanError:
            if (found := len(stage.venue_orders())) != number - 1:
                raise MismatchError(f"the venue has {found} orders, expected {number - 1}") from None
            raise
        stage.claim(f"m{number}", set())
    raise MismatchError(f"{_MANY} orders were taken")


# -- the line --------------------------------------------------------------------------------------------------------


@step("the broker goes away")
async def goes_away(stage: Stage) -> None:
    """Close every connection, and refuse new ones until it is back."""
    await stage.host.close()


@step("the broker is back")
async def is_back(stage: Stage) -> None:
    """Take connections again, at the same address."""
    await stage.host.start()


@step("note the connects")
async def note_connects(stage: Stage) -> None:
    """Remember how often the client has tried to connect."""
    stage.asked["connects"] = stage.process.net.connects


@step("expect at most <count:count> connects a stream")
async def expect_connects(stage: Stage, count: int) -> None:
    """How often it has tried since, for each of its streams, and one to ask with."""
    found = stage.process.net.connects - stage.asked["connects"]
    kinds = 1 + sum(bool(stream.shards) for stream in stage.client.streams.values())
    if found > count * kinds:
        raise MismatchError(f"{found} connects, expected at most {count} for each of {kinds}")


# -- the human -------------------------------------------------------------------------------------------------------


@step("nobody is there to log in")
async def nobody(stage: Stage) -> None:
    """Whoever is asked to log in does not answer."""
    stage.human = False


@step("somebody is there to log in")
async def somebody(stage: Stage) -> None:
    """A human answers again."""
    stage.human = True
