"""Instruments spread over sockets: where each goes, what one socket's loss touches, and what is refused."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace

import pytest

from dragoman.emulator.contract import HttpAnswer, Push
from dragoman.errors import AuthRequired, UsageError
from dragoman.model import Gap, Mode, StreamState
from dragoman.plugin import Control, Fatal, Missed
from reference.session_toys import TOKEN, ToyAdapter, ToyFeed, want
from wire.test_streams import play as play_streams
from wire.worlds import both


class Wide(ToyAdapter):
    """Three sockets of five instruments."""

    capabilities = replace(ToyAdapter.capabilities, max_sockets=3)


def play(scenario, *, feed=ToyFeed, **more):
    adapter = Wide()
    adapter.feeds = (feed,)
    return play_streams(scenario, adapter=adapter, **more)


def wants(*tokens, mode=Mode.LTP):
    return [want(token, mode) for token in tokens]


def carried(world):
    """Return what the broker sends on each socket, in the order the sockets were opened."""
    return [sorted(tokens) for _, tokens in sorted(world.broker.sockets.items())]


def drop_socket(world, position):
    """Let the broker end one of its sockets."""
    world.broker.outbox.append(Push(sorted(world.broker.sockets)[position], close_code=1012))


async def filled(world, count=12):
    """Subscribe `count` instruments and wait until each ticks."""
    await world.stream.start()
    world.stream.subscribe(wants(*range(count)))
    await world.until(lambda: {name for name, _ in world.ticks} == {f"NSE:TOY{n}" for n in range(count)})


@both
def test_what_one_socket_does_not_carry_goes_to_the_next_and_every_tick_arrives(world):
    async def scenario(world):
        await filled(world)
        assert carried(world) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]
        assert [len(world.stream.wanted_on(shard)) for shard in (1, 2, 3, 4, 0)] == [5, 5, 2, 0, 0]
        assert world.stream.ready
        assert len(world.stream.wanted) == 12
        counters = world.stream.counters
        assert [counters["shards"][shard]["instruments"] for shard in "123"] == [5, 5, 2]
        assert counters["frames"] == sum(own["frames"] for own in counters["shards"].values()) >= 3
        assert counters["decoder"]["records"] == len(world.ticks)
        assert 0 <= counters["data_age_s"] <= counters["shards"]["3"]["data_age_s"] < 1
        assert repr(world.stream) == "<ShardedStream toy/market ready, 12 instruments on 3 sockets>"
        assert world.session.sockets.holders() == {os.getpid(): 3}

    play(scenario, world=world)


def test_instruments_asked_for_before_the_start_are_spread_too():
    async def scenario(world):
        world.stream.subscribe(wants(*range(7)))
        assert world.session.sockets.holders() == {}
        await world.stream.start()
        await world.until(lambda: sorted(carried(world)) == [[0, 1, 2, 3, 4], [5, 6]])

    play(scenario)


def test_an_instrument_stays_on_its_socket_when_its_mode_changes_and_when_it_comes_back():
    async def scenario(world):
        await filled(world)
        world.broker.heard.clear()
        world.stream.subscribe(wants(11, 1, mode=Mode.FULL))
        await world.runtime.sleep(1)
        modes = [tokens for _, tokens in sorted(world.broker.sockets.items())]
        assert (modes[0][1], modes[2][11]) == ("full", "full")
        assert carried(world) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]
        assert len(world.broker.heard) == 2
        world.stream.unsubscribe(wants(0, 6, 7, 99))
        world.stream.subscribe(wants(7))  # to the second, where it was, although the first has room
        world.stream.subscribe(wants(20, 21))  # the holes are filled, from the first on
        await world.runtime.sleep(1)
        assert carried(world) == [[1, 2, 3, 4, 20], [5, 7, 8, 9, 21], [10, 11]]

    play(scenario)


def test_an_extra_socket_without_instruments_closes_after_a_while_and_opens_again():
    async def scenario(world):
        await filled(world, 7)
        world.stream.unsubscribe(wants(5, 6))
        await world.runtime.sleep(40)
        assert carried(world) == [[0, 1, 2, 3, 4], []]
        world.stream.subscribe(wants(5))  # in time: nothing is closed
        await world.runtime.sleep(40)
        assert carried(world) == [[0, 1, 2, 3, 4], [5]]
        world.stream.unsubscribe(wants(5))
        held = world.session.sockets.holders()
        await world.runtime.sleep(61)
        assert carried(world) == [[0, 1, 2, 3, 4]]
        assert sum(held.values()) - sum(world.session.sockets.holders().values()) == 1
        assert world.stream.state == "ready"
        world.stream.unsubscribe(wants(0, 1, 2, 3, 4))
        await world.runtime.sleep(120)
        assert carried(world) == [[]]  # the first stays: order updates come over it
        frames = world.stream.counters["shards"]["2"]["frames"]
        world.stream.subscribe(wants(*range(6)))
        await world.until(lambda: carried(world) == [[0, 1, 2, 3, 4], [5]])
        await world.until(lambda: world.stream.counters["shards"]["2"]["frames"] > frames)
        assert [state for state in world.states if state == "closed"] == ["closed"]
        assert world.seen(Gap) == []

    play(scenario)


def test_a_close_that_is_cut_short_gives_the_socket_back_all_the_same():
    async def scenario(world):
        await filled(world, 7)

        async def never():
            await world.runtime.sleep(3600)

        for shard in world.stream.shards:
            shard._connection.close = never
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await world.stream.close()
        assert world.session.sockets.holders() == {}

    play(scenario)


def test_a_socket_needed_again_while_it_closes_comes_back_with_what_is_wanted():
    async def scenario(world):
        await filled(world, 7)
        second = world.stream.shards[1]
        world.stream.unsubscribe(wants(5, 6))
        closing = world.runtime.spawn(second.close(), name="closing")
        await world.runtime.sleep(0)
        world.stream.subscribe(wants(6))
        await closing
        await world.until(lambda: second.ready and carried(world) == [[0, 1, 2, 3, 4], [6]])
        assert sum(world.session.sockets.holders().values()) == 2
        before = len(world.ticks)
        await world.runtime.sleep(2)
        assert ("NSE:TOY6", 100.5) in world.ticks[before:]

    play(scenario)


def test_a_lost_socket_is_a_gap_of_its_own_instruments_and_comes_back_with_their_modes():
    async def scenario(world):
        await filled(world)
        world.stream.subscribe(wants(6, mode=Mode.FULL))
        await world.runtime.sleep(1)
        world.broker.refuse = HttpAnswer(503)
        drop_socket(world, 1)
        await world.until(lambda: not world.stream.ready)
        assert [shard.ready for shard in world.stream.shards] == [True, False, True]
        assert world.stream.state in ("stale", "waiting")
        assert [(gap.stream, gap.shard) for gap in world.seen(Gap)] == [("market", 2)]
        before = len(world.ticks)
        await world.runtime.sleep(2)
        assert {name for name, _ in world.ticks[before:]} == {f"NSE:TOY{n}" for n in (0, 1, 2, 3, 4, 10, 11)}
        world.stream.subscribe(wants(12))
        world.stream.unsubscribe(wants(9))
        world.broker.refuse = None
        await world.until(lambda: world.stream.ready)
        await world.until(lambda: carried(world) == [[0, 1, 2, 3, 4], [10, 11, 12], [5, 6, 7, 8]])
        assert sorted(world.broker.sockets.items())[2][1][6] == "full"
        assert [(gap.shard, gap.reason) for gap in world.seen(Gap)][1:] == [(2, "reconnected")]
        assert {event.shard for event in world.seen(StreamState) if event.state == "stale"} == {2}
        shards = world.stream.counters["shards"]
        assert [shards[number]["reconnects"] for number in "123"] == [0, 1, 0]
        assert world.stream.counters["gaps"] == 2

    play(scenario)


def test_more_than_all_sockets_carry_is_refused_with_the_numbers_and_zero_bytes():
    async def scenario(world):
        await filled(world)
        heard, upgrades = len(world.broker.heard), world.broker.upgrades
        with pytest.raises(
            UsageError, match="16 instruments on the market stream, a socket carries 5 and a key has 3: 15 in all"
        ) as e:
            world.stream.subscribe(wants(1, *range(20, 24), mode=Mode.FULL))
        assert "unsubscribe 1 first" in e.value.remedy
        await world.runtime.sleep(1)
        assert (len(world.broker.heard), world.broker.upgrades) == (heard, upgrades)
        assert len(world.stream.wanted) == 12
        world.stream.subscribe(wants(20, 21, 22))

    play(scenario)


def test_where_others_hold_the_sockets_nothing_changes_and_it_says_who():
    async def scenario(world):
        await world.stream.start()
        elsewhere = world.session.sockets.take(3)
        with pytest.raises(UsageError, match=r"allows \(3\) are held: \d by this process \d+") as e:
            world.stream.subscribe(wants(*range(12)))
        assert "close a client" in e.value.remedy
        assert world.stream.wanted == {}
        await world.runtime.sleep(1)
        assert world.broker.upgrades == 1
        world.stream.subscribe(wants(*range(7)))  # needs one more only
        elsewhere.release()
        elsewhere.release()
        world.stream.subscribe(wants(*range(12)))
        await world.until(lambda: world.broker.upgrades == 3)
        await world.stream.close()
        assert world.session.sockets.holders() == {}

    play(scenario)


def test_a_stream_that_cannot_lease_its_first_socket_says_so_and_begins_once_it_can():
    async def scenario(world):
        taken = [world.session.sockets.take(3) for _ in range(3)]
        with pytest.raises(UsageError, match="are held: 3 by this process"):
            await world.stream.start()
        assert world.broker.upgrades == 0
        taken[0].release()
        await world.stream.start()
        assert world.stream.ready

    play(scenario)


def test_a_dead_token_ends_all_sockets_and_a_new_one_brings_them_back():
    async def scenario(world):
        await filled(world, 7)
        world.broker.tokens.clear()
        drop_socket(world, 0)
        drop_socket(world, 1)
        await world.until(lambda: world.stream.state == "fatal" and not any(s.open for s in world.stream.shards))
        assert isinstance(world.stream.error, AuthRequired)
        assert world.session.sockets.holders() == {}  # others may have them meanwhile
        upgrades = world.broker.upgrades
        world.stream.subscribe(wants(6, mode=Mode.FULL))
        await world.runtime.sleep(5)
        assert world.broker.upgrades == upgrades  # nobody hammers a dead token
        world.broker.tokens.add(TOKEN)
        await world.stream.restart()
        await world.until(lambda: sorted(carried(world)) == [[0, 1, 2, 3, 4], [5, 6]])
        assert sum(world.session.sockets.holders().values()) == 2

    play(scenario)


def test_a_feed_that_refuses_a_change_leaves_all_sockets_as_they_were():
    class Picky(ToyFeed):
        def want(self, add, drop, ctx):
            if any(wish.instrument.instrument_id == "NSE:TOY66" for wish in add):
                raise UsageError("66 is out of bounds")
            return super().want(add, drop, ctx)

    async def scenario(world):
        await filled(world, 7)
        world.stream.unsubscribe(wants(0))
        await world.runtime.sleep(1)
        heard = len(world.broker.heard)
        with pytest.raises(UsageError, match="out of bounds"):
            world.stream.subscribe([*wants(5, mode=Mode.FULL), *wants(66)])
        await world.runtime.sleep(1)
        assert len(world.broker.heard) == heard
        assert world.stream.wanted["NSE:TOY5"].mode is Mode.LTP
        assert "NSE:TOY66" not in world.stream.wanted

    play(scenario, feed=Picky)


class Attentive(ToyFeed):
    """Says what it missed, and that its stream is over, when the broker does."""

    def on_control(self, frame, ctx):
        message = json.loads(frame)
        match message["type"]:
            case "skipped":
                return Control(events=(Missed("the broker left out 3 messages", message.get("since")),))
            case "over":
                return Control(events=(Fatal(UsageError("over")),))
        return super().on_control(frame, ctx)


def test_a_gap_that_a_feed_sees_is_one_of_its_socket_and_the_connection_stands():
    async def scenario(world):
        await filled(world, 7)
        second = sorted(world.broker.sockets)[1]
        world.broker.outbox.append(Push(second, json.dumps({"type": "skipped"})))
        world.broker.outbox.append(Push(second, json.dumps({"type": "skipped", "since": 5})))
        await world.until(lambda: len(world.seen(Gap)) == 2)
        first, second = world.seen(Gap)
        assert (first.stream, first.shard, first.reason) == ("market", 2, "the broker left out 3 messages")
        assert 0 < first.end_ns - first.start_ns <= 10**9  # from the frame before
        assert second.start_ns == 5
        assert world.stream.ready
        assert world.stream.counters["gaps"] == 2
        assert world.stream.counters["reconnects"] == 0

    play(scenario, feed=Attentive)


def test_a_socket_that_ended_for_good_is_named_by_the_whole():
    async def scenario(world):
        await filled(world, 7)
        world.broker.outbox.append(Push(sorted(world.broker.sockets)[1], json.dumps({"type": "over"})))
        await world.until(lambda: world.stream.state == "fatal")
        assert str(world.stream.error) == "over"
        assert [shard.state for shard in world.stream.shards] == ["ready", "fatal"]
        assert not world.stream.ready

    play(scenario, feed=Attentive)
