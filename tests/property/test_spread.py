"""Whatever is asked for, dropped and lost: the broker sends exactly what is wanted, each instrument over one socket."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.emulator.contract import Push
from dragoman.errors import UsageError
from dragoman.model import Mode
from reference.session_toys import want
from wire.test_sharding import play

MODES = (Mode.LTP, Mode.FULL)
ROOM, SOCKETS = 5, 3
TOKENS = st.frozensets(st.integers(0, 19), min_size=1, max_size=14)
STEP = st.one_of(
    st.tuples(st.just("subscribe"), TOKENS, st.sampled_from(MODES)),
    st.tuples(st.just("unsubscribe"), TOKENS),
    st.tuples(st.just("lose"), st.integers(0, SOCKETS - 1)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.3, 61.0])),
)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEP, max_size=12))
def test_the_broker_sends_what_is_wanted_and_each_instrument_over_one_socket(steps):
    async def scenario(world):
        stream, wanted = world.stream, {}

        def place():
            return {name: shard.shard for shard in stream.shards for name in shard.wanted}

        await stream.start()
        for step in steps:
            before = place()
            match step:
                case ("subscribe", tokens, mode):
                    asked = [want(token, mode) for token in sorted(tokens)]
                    if len(wanted.keys() | tokens) > ROOM * SOCKETS:
                        with pytest.raises(UsageError, match="15 in all"):
                            stream.subscribe(asked)
                    else:
                        stream.subscribe(asked)
                        wanted |= dict.fromkeys(tokens, mode)
                case ("unsubscribe", tokens):
                    stream.unsubscribe(want(token) for token in tokens)
                    wanted = {token: mode for token, mode in wanted.items() if token not in tokens}
                case ("lose", number):
                    sockets = sorted(world.broker.sockets)
                    world.broker.outbox += [Push(socket, close_code=1012) for socket in sockets[number : number + 1]]
                case ("wait", seconds):
                    await world.runtime.sleep(seconds)
            assert {int(name.removeprefix("NSE:TOY")): w.mode for name, w in stream.wanted.items()} == wanted
            after = place()
            assert all(after[name] == before[name] for name in after.keys() & before.keys())  # nothing moves
        await world.runtime.sleep(1)
        await world.until(lambda: stream.ready)
        await world.runtime.sleep(62)  # idle sockets close, what was sent has arrived
        await world.until(lambda: stream.ready)
        await world.runtime.sleep(0.2)
        sent = [tokens for _, tokens in sorted(world.broker.sockets.items())]
        assert all(len(tokens) <= ROOM for tokens in sent)
        assert sum(map(len, sent)) == len(wanted)
        assert {token: mode for tokens in sent for token, mode in tokens.items()} == wanted
        used = sum(bool(shard.wanted) or shard.shard == 1 for shard in stream.shards)
        assert len(sent) == used == stream._session.sockets.own <= SOCKETS
        start = len(world.ticks)
        await world.runtime.sleep(1.2)
        assert {name for name, _ in world.ticks[start:]} == {f"NSE:TOY{token}" for token in wanted}

    play(scenario)
