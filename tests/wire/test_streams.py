"""Streams subscribe, notice silence, come back with what was wanted, say what was missed, and know when to stop."""

from __future__ import annotations

import asyncio
import json
import struct
import tempfile
from contextlib import asynccontextmanager
from datetime import time

import pytest

from dragoman._core import instrument_name
from dragoman.emulator.contract import HttpAnswer, Push
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import AuthRequired, ErrorKind, NotSent, OutcomeUnknown, UsageError
from dragoman.model import Gap, Mode, Notice, StreamState
from dragoman.plugin import (
    Control,
    Correlated,
    Endpoint,
    Fatal,
    Field,
    Framing,
    Key,
    PackedLayout,
    PackedStream,
    Raw,
    Reply,
    Request,
    Select,
    Send,
    Session,
    SessionRules,
    StallRule,
    WirePart,
)
from dragoman.session.backoff import Backoff
from dragoman.session.profiles import load_profile
from dragoman.session.session import AccountSession
from reference.session_toys import TOKEN, ToyAdapter, ToyBroker, ToyFeed, tick_frame, want
from wire.worlds import both, run_in


class World:
    """A toy broker on the virtual net, a session at it, and one stream with everything it reports."""

    def __init__(self, runtime, host, session):
        self.runtime = runtime
        self.host = host
        self.broker = host.emulator
        self.session = session
        self.events = []
        self.ticks = []
        self.stream = session.stream("market", self.on_batch, self.on_event)

    def on_batch(self, batch):
        names = (instrument_name(tick.instrument) if tick.instrument >= 0 else "" for tick in batch)
        self.ticks.extend(zip(names, (tick.last_price for tick in batch), strict=True))

    def on_event(self, event):
        self.events.append(event)

    @property
    def states(self):
        return [event.state for event in self.events if isinstance(event, StreamState)]

    def seen(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition, timeout_s=120.0):
        async with asyncio.timeout(timeout_s):
            while not condition():
                await self.runtime.sleep(0.01)

    def push(self, data, close_code=None):
        self.broker.outbox += [Push(socket, data, close_code) for socket in self.broker.sockets]


def play(scenario, *, feed=ToyFeed, adapter=None, seed=4, world="virtual"):
    """Run `scenario(world)`, in memory unless the real world is asked for."""
    if adapter is None:
        adapter = ToyAdapter()
        adapter.feeds = (feed,)

    @asynccontextmanager
    async def build(runtime):
        host = EmulatorHost(ToyBroker(), runtime, poll_interval_s=0.05)
        roots = await host.start()
        overrides = {
            "hosts": {"rest": roots.rest, "ws": roots.ws, "login": roots.login},
            "credentials": host.emulator.credentials,
        }
        profile = await load_profile(runtime, adapter, environment="emulator", overrides=overrides)
        session = AccountSession(runtime, adapter, profile, state_dir=state_dir, access_token=TOKEN)
        try:
            await session.start()
            yield World(runtime, host, session)
        finally:
            await session.close()
            await host.close()

    async def main(runtime):
        async with build(runtime) as made:
            return await scenario(made)

    with tempfile.TemporaryDirectory() as folder:
        state_dir = "/state" if world == "virtual" else folder
        return run_in(world, main, seed=seed)


# -- the good day ------------------------------------------------------------------------------------------------------


@both
def test_ticks_of_what_is_subscribed_arrive_under_their_canonical_names(world):
    async def scenario(world):
        world.stream.subscribe([want(7)])  # before there is a connection
        await world.stream.start()
        world.stream.subscribe([want(8)])
        await world.until(lambda: len(world.ticks) >= 4)
        assert set(world.ticks) == {("NSE:TOY7", 100.5), ("NSE:TOY8", 100.5)}
        assert world.states == ["connecting", "ready"]
        assert world.stream.ready
        counters = world.stream.counters
        assert counters["frames"] > 0
        assert counters["messages"] >= 4
        assert counters["instruments"] == 2
        assert counters["decoder"]["unbound"] == 0
        assert counters["connects"] == 1
        assert world.seen(Gap) == []

    play(scenario, world=world)


def test_subscribing_again_sends_nothing_and_another_mode_sends_the_change():
    async def scenario(world):
        await world.stream.start()
        world.stream.subscribe([want(1), want(2)])
        world.stream.subscribe([want(1), want(2)])
        world.stream.subscribe([want(2, Mode.FULL)])
        world.stream.unsubscribe([want(1), want(5)])
        world.stream.unsubscribe([want(1)])
        await world.runtime.sleep(1)
        assert world.broker.heard == [{"add": [[1, "ltp"], [2, "ltp"]]}, {"add": [[2, "full"]]}, {"drop": [1]}]
        assert {name: w.mode for name, w in world.stream.wanted.items()} == {"NSE:TOY2": Mode.FULL}

    play(scenario)


def test_more_instruments_than_a_socket_carries_are_refused_and_change_nothing():
    async def scenario(world):
        await world.stream.start()
        world.stream.subscribe([want(n) for n in range(5)])
        with pytest.raises(UsageError, match="a socket carries 5"):
            world.stream.subscribe([want(5)])
        await world.runtime.sleep(1)
        assert len(world.broker.heard) == 1
        assert len(world.stream.wanted) == 5

    play(scenario)


def test_control_messages_are_answered_reported_and_counted():
    async def scenario(world):
        await world.stream.start()
        for text in ('{"type":"ask"}', '{"type":"note","text":"hello"}', '{"type":"novel","x":1}', "{broken", '"x"'):
            world.push(text)
        await world.until(lambda: world.stream.counters["control_errors"] == 2)
        assert world.broker.heard == ["answer"]
        assert [event.kind for event in world.seen(Raw)] == ["novel"]
        notices = world.seen(Notice)
        assert notices[0] == Notice("info", "hello")
        assert [notice.level for notice in notices[1:]] == ["error", "error"]
        assert world.stream.counters["unknown_messages"] == 1
        assert world.states == ["connecting", "ready"]

    play(scenario)


def test_any_bytes_are_counted_and_the_stream_lives_on():
    async def scenario(world):
        world.stream.subscribe([want(7)])
        await world.stream.start()
        for data in (b"", b"\x00", b"\xff" * 40, tick_frame((7, 1))[:-1], tick_frame((99, 5)), bytes(range(256))):
            world.push(data)
        await world.until(lambda: len(world.ticks) >= 3)
        await world.runtime.sleep(2)
        decoder = world.stream.counters["decoder"]
        assert decoder["truncated"] + decoder["malformed"] + decoder["unknown_packets"] >= 2
        assert world.states == ["connecting", "ready"]

    play(scenario)


@pytest.mark.logs  # the handler that raises is logged
def test_a_handler_that_raises_is_counted_and_reported_and_ends_nothing(caplog):
    async def scenario(world):
        def broken(batch):
            raise LookupError("mine")

        stream = world.session.stream("market", broken, world.on_event)
        stream.subscribe([want(7)])
        await stream.start()
        await world.until(lambda: stream.counters["handler_errors"] >= 12)
        assert stream.ready
        reported = [event for event in world.seen(Notice) if "LookupError" in event.text]
        assert len(reported) == 2  # the first and the tenth

    play(scenario)
    assert caplog.text.count("broken raised") == 2


@pytest.mark.logs  # the handler that raises is logged
def test_an_event_handler_that_raises_ends_nothing(caplog):
    async def scenario(world):
        def broken(event):
            raise LookupError("mine")

        stream = world.session.stream("market", world.on_batch, broken)
        stream.subscribe([want(7)])
        await stream.start()
        await world.until(lambda: world.ticks)
        assert stream.counters["handler_errors"] == 2  # connecting, ready

    play(scenario)
    assert "LookupError" in caplog.text


# -- losing and coming back --------------------------------------------------------------------------------------------


@both
def test_after_a_cut_the_stream_comes_back_with_everything_wanted_and_says_what_was_missed(world):
    async def scenario(world):
        world.stream.subscribe([want(7), want(8, Mode.FULL)])
        await world.stream.start()
        world.stream.unsubscribe([want(7)])
        await world.until(lambda: world.ticks)
        cut = world.runtime.clock.wall_ns()
        world.push("", close_code=1012)
        await world.until(lambda: world.states.count("ready") == 2)
        back = world.runtime.clock.wall_ns()
        assert world.states == ["connecting", "ready", "stale", "waiting", "connecting", "ready"]
        await world.until(lambda: world.broker.heard[-1] == {"add": [[8, "full"]]})
        lost, missed = world.seen(Gap)
        assert (lost.stream, missed.stream) == ("market", "market")
        assert lost.start_ns <= lost.end_ns == missed.start_ns < missed.end_ns <= back
        assert cut - lost.start_ns < 1_000_000_000
        assert "1012" in lost.reason
        # Old data is marked old at once, and the second gap is known before "ready" is read.
        order = [type(event).__name__ for event in world.events if isinstance(event, (Gap, StreamState))]
        assert order == ["StreamState", "StreamState", "StreamState", "Gap", *["StreamState"] * 2, "Gap", "StreamState"]
        ready = [event for event in world.seen(StreamState) if event.state == "ready"]
        assert [event.attempt for event in ready] == [0, 1]
        before = len(world.ticks)
        await world.until(lambda: len(world.ticks) > before)
        assert world.stream.counters["reconnects"] == 1

    play(scenario, world=world)


def test_a_reset_without_a_close_frame_is_a_loss_like_any_other():
    async def scenario(world):
        await world.stream.start()
        await world.host.close()
        await world.until(lambda: "waiting" in world.states)
        await world.host.start()
        await world.until(lambda: world.states[-1] == "ready", 300)
        assert len(world.seen(Gap)) == 2

    play(scenario)


def test_a_mute_connection_is_given_up_after_the_brokers_heartbeat():
    async def scenario(world):
        await world.stream.start()
        await world.runtime.sleep(60)
        assert world.states == ["connecting", "ready"]  # heartbeats alone keep it alive
        world.broker.mute = True
        began = world.runtime.clock.mono_ns()
        await world.until(lambda: "stale" in world.states)
        silent_s = (world.runtime.clock.mono_ns() - began) / 1e9
        assert 4.4 <= silent_s <= 6.0
        world.broker.mute = False
        await world.until(lambda: world.states[-1] == "ready")
        assert world.stream.counters["stalls"] == 1
        assert "5 s" in world.seen(Gap)[0].reason

    play(scenario)


def test_a_short_stall_of_our_own_loop_is_not_held_against_the_broker_and_a_long_one_ends_the_connection():
    async def scenario(world):
        await world.stream.start()
        await world.runtime.sleep(10.2)
        world.runtime.loop.now_ns += 3_000_000_000  # a handler that blocks
        await world.runtime.sleep(10.2)
        assert world.states == ["connecting", "ready"]
        world.runtime.loop.now_ns += 20_000_000_000
        await world.until(lambda: "stale" in world.states)
        assert "loop stood still" in world.seen(Gap)[0].reason
        await world.until(lambda: world.states[-1] == "ready")

    play(scenario)


class DataJudged(ToyFeed):
    stall = StallRule(any_frame_s=5.0, data_s=8.0)


def test_missing_data_is_judged_only_in_an_open_market_that_has_sent_some():
    async def scenario(world):
        market = {"opened": None}

        def open_for_s(exchanges, *, continuous):
            return None if market["opened"] is None else (world.runtime.clock.mono_ns() - market["opened"]) / 1e9

        world.session.calendar.open_for_s = open_for_s
        await world.stream.start()
        await world.runtime.sleep(100)  # closed, nothing subscribed
        market["opened"] = world.runtime.clock.mono_ns()
        world.stream.subscribe([want(7)])
        await world.runtime.sleep(20)  # lively
        world.broker.sockets[1].clear()  # subscribed here, forgotten there
        began = world.runtime.clock.mono_ns()
        await world.until(lambda: "stale" in world.states)
        assert 7.0 <= (world.runtime.clock.mono_ns() - began) / 1e9 <= 9.5
        assert "no data" in world.seen(Gap)[0].reason
        seen = len(world.ticks)
        await world.until(lambda: len(world.ticks) > seen)  # subscribed afresh

    play(scenario, feed=DataJudged)


def test_an_instrument_that_trades_now_and_then_is_no_dead_stream():
    async def scenario(world):
        world.session.calendar.open_for_s = lambda exchanges, *, continuous: 3600.0
        await world.stream.start()
        for pause in (30, 5, 90, 300):
            world.stream.subscribe([want(7)])  # a tick, and one more
            await world.runtime.sleep(1)
            world.broker.sockets[1].clear()
            await world.runtime.sleep(pause)
        assert world.states == ["connecting", "ready"]

    play(scenario, feed=DataJudged)


def test_silence_of_a_closed_market_or_of_a_holiday_is_no_stall():
    async def scenario(world):
        opened = {"at": None}

        def open_for_s(exchanges, *, continuous):
            return None if opened["at"] is None else (world.runtime.clock.mono_ns() - opened["at"]) / 1e9

        world.session.calendar.open_for_s = open_for_s
        await world.stream.start()
        world.stream.subscribe([want(7)])
        await world.runtime.sleep(60)
        world.broker.sockets[1].clear()
        await world.runtime.sleep(1200)
        opened["at"] = world.runtime.clock.mono_ns()  # by the calendar; nothing comes, for it is a holiday
        await world.runtime.sleep(600)
        assert world.states == ["connecting", "ready"]

    play(scenario, feed=DataJudged)


def test_an_outage_of_ten_minutes_is_met_with_patience():
    async def scenario(world):
        await world.stream.start()
        await world.host.close()
        before = world.stream.counters["connects"]
        await world.runtime.sleep(600)
        tries = world.stream.counters["connects"] - before
        waits = [event for event in world.seen(StreamState) if event.state == "waiting"]
        assert 15 <= tries <= 40
        assert [event.attempt for event in waits] == list(range(1, len(waits) + 1))
        await world.host.start()
        began = world.runtime.clock.mono_ns()
        await world.until(lambda: world.states[-1] == "ready")
        assert (world.runtime.clock.mono_ns() - began) / 1e9 <= 46

    play(scenario)


def test_backoff_knocks_at_most_forty_times_in_ten_minutes_whatever_the_dice_say():
    backoff = Backoff(lambda low, high: low)
    waited, tries = 0.0, 0
    while waited <= 600:
        waited += backoff.next()
        tries += 1
    assert tries <= 40


def test_backoff_doubles_to_its_cap_with_jitter_and_starts_over_after_a_healthy_minute():
    bounds = []
    backoff = Backoff(lambda low, high: bounds.append((low, high)) or 0.0)
    for _ in range(30):
        backoff.next()
    assert [high for _, high in bounds[:8]] == [0.5, 1, 2, 4, 8, 16, 32, 45]
    assert all(low == high / 2 for low, high in bounds)
    assert max(high for _, high in bounds) == 45

    async def scenario(world):
        await world.stream.start()
        for _ in range(3):  # flapping: each life is short, so patience grows
            world.push("", close_code=1012)
            count = world.states.count("ready")
            await world.until(lambda count=count: world.states.count("ready") > count)
        assert world.seen(StreamState)[-1].attempt == 3
        await world.runtime.sleep(61)
        world.push("", close_code=1012)
        count = world.states.count("ready")
        await world.until(lambda: world.states.count("ready") > count)
        assert world.seen(StreamState)[-1].attempt == 1

    play(scenario)


# -- knowing when to stop ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        HttpAnswer(403, (("Content-Type", "application/json"),), b'{"error": "expired"}'),
        HttpAnswer(403, (("Content-Type", "text/html"),), b"<h1>Forbidden</h1>"),
        HttpAnswer(401, (), b""),
        HttpAnswer(403, (), b'{"error": "ip"}'),
    ],
)
def test_a_refused_token_stops_the_stream_without_hammering(answer):
    async def scenario(world):
        world.broker.refuse = answer
        with pytest.raises(AuthRequired):
            await world.stream.start()
        assert world.states == ["connecting", "fatal"]
        assert len(world.seen(Fatal)) == 1
        await world.runtime.sleep(600)
        # The token itself is good when asked about, so the stream is tried again: after 10 s, a minute, five minutes.
        assert world.broker.upgrades <= 4
        assert TOKEN not in str(world.events)

    play(scenario)


def test_a_token_that_dies_under_a_live_stream_stops_it_and_the_session_knows():
    async def scenario(world):
        await world.stream.start()
        heard = []
        world.session.on_event(heard.append)
        world.broker.tokens.clear()
        world.push("", close_code=1008)
        await world.until(lambda: world.stream.state == "fatal")
        upgrades = world.broker.upgrades
        await world.runtime.sleep(600)
        assert world.broker.upgrades == upgrades == 2
        assert isinstance(heard[0], AuthRequired)
        calls = len(world.broker.calls)
        with pytest.raises(AuthRequired, match="nothing was sent"):
            await world.session.driver.run(fetch(), timeout_s=5)
        assert len(world.broker.calls) == calls
        assert len(world.seen(Gap)) == 1  # the end of what was seen is told, there is no return to tell of

    play(scenario)


def fetch(**more):
    reply = yield Request(**{"path": "/orders", **more})
    return reply.json


def test_a_new_login_brings_back_a_stream_that_had_ended_for_want_of_it():
    class Unattended(ToyAdapter):
        session = SessionRules(time_zone="UTC", expires_at=time(6), refresh="token")

        def refresh(self, ctx):
            reply = yield Request(path="/me", headers=(("Authorization", "token emu_fresh"),), auth=False)
            return self.import_result(reply)

        def import_result(self, reply):
            return Session("emu_fresh", reply.json["account"], {})

    async def scenario(world):
        world.stream.subscribe([want(7)])
        await world.stream.start()
        world.broker.tokens.clear()
        world.broker.tokens.add("emu_fresh")
        world.push("", close_code=1008)
        await world.until(lambda: "fatal" in world.states)
        await world.until(lambda: world.states[-1] == "ready")
        before = len(world.ticks)
        await world.until(lambda: len(world.ticks) > before)
        assert (await world.session.run(fetch()))["ok"]

    play(scenario, adapter=Unattended())


@pytest.mark.parametrize("status", [500, 503, 404, 302, 200])
@pytest.mark.logs  # a stream that is not ready in time says so
def test_other_refusals_are_tried_again(status):
    async def scenario(world):
        world.broker.refuse = HttpAnswer(status, (("Location", "https://elsewhere.example"),), b"{}")
        await world.stream.start(timeout_s=5)
        assert world.stream.state in ("waiting", "connecting")
        world.broker.refuse = None
        await world.until(lambda: world.states[-1] == "ready")

    play(scenario)


@pytest.mark.logs  # a stream that is not ready in time says so
def test_retry_after_of_a_refusal_is_waited_for():
    async def scenario(world):
        world.broker.refuse = HttpAnswer(429, (("Retry-After", "90"),), b'{"error": "slow"}')
        await world.stream.start(timeout_s=1)
        await world.runtime.sleep(80)
        assert world.broker.upgrades == 1
        world.broker.refuse = None
        await world.until(lambda: world.states[-1] == "ready", 60)

    play(scenario)


def test_a_feed_that_says_fatal_is_believed_whatever_the_reason():
    class Doomed(ToyFeed):
        def on_control(self, frame, ctx):
            error = UsageError("subscription plan ended") if "plan" in frame else AuthRequired("kicked out")
            return Control(events=(Fatal(error),))

    for text, kind in (("plan", UsageError), ("kick", AuthRequired)):

        async def scenario(world, text=text, kind=kind):
            await world.stream.start()
            world.push(text)
            await world.until(lambda: world.stream.state == "fatal")
            assert type(world.stream.error) is kind
            await world.runtime.sleep(5)
            assert world.broker.upgrades == 1
            await world.runtime.sleep(100)
            # About the login it is asked again, after 10 s and a minute; a reason of its own is for good.
            assert world.broker.upgrades <= (1 if kind is UsageError else 3)

        play(scenario, feed=Doomed)


@pytest.mark.logs  # the defect is logged with its trace
def test_a_feed_that_cannot_connect_for_a_defect_of_its_own_ends_with_a_typed_error(caplog):
    class Broken(ToyFeed):
        def connect(self, ctx):
            raise ZeroDivisionError
            yield

    async def scenario(world):
        with pytest.raises(UsageError, match="ZeroDivisionError"):
            await world.stream.start()
        assert world.states == ["connecting", "fatal"]

    play(scenario, feed=Broken)
    assert "the feed raised" in caplog.text


def test_plain_ws_to_a_host_that_is_not_loopback_is_refused():
    class Elsewhere(ToyFeed):
        def connect(self, ctx):
            yield from ()
            return Endpoint("ws://192.0.2.1/feed?token=emu_token_1")

    async def scenario(world):
        with pytest.raises(UsageError, match="not encrypted") as raised:
            await world.stream.start()
        assert "emu_token" not in str(raised.value)

    play(scenario, feed=Elsewhere)


def test_a_channel_that_is_not_built_is_said():
    class Lines(ToyFeed):
        channel = "http-stream"

    async def scenario(world):
        with pytest.raises(UsageError, match="http-stream") as raised:
            await world.stream.start()
        assert raised.value.kind is ErrorKind.NOT_SUPPORTED

    play(scenario, feed=Lines)


# -- in-band authentication, pace, acknowledgements --------------------------------------------------------------------


class InBand(ToyFeed):
    authenticates_in_band = True

    def opened(self, ctx):
        return (Send('{"login": true}'),)


def test_subscriptions_wait_until_the_broker_accepted_the_connection():
    async def scenario(world):
        world.stream.subscribe([want(7)])
        started = world.runtime.spawn(world.stream.start(), name="start")
        await world.runtime.sleep(2)
        assert world.broker.heard == [{"login": True}]
        world.stream.subscribe([want(8)])
        world.push('{"type":"ready"}')
        await started
        await world.runtime.sleep(1)
        assert world.broker.heard[1:] == [{"add": [[7, "ltp"], [8, "ltp"]]}]

    play(scenario, feed=InBand)


@pytest.mark.logs  # a stream that is not ready in time says so
def test_a_connection_that_is_never_accepted_is_tried_again():
    async def scenario(world):
        await world.stream.start(timeout_s=60)
        assert world.broker.upgrades >= 3
        assert "ready" not in world.states

    play(scenario, feed=InBand)


def test_frames_leave_in_order_at_the_pace_the_feed_asks_for():
    class Paced(ToyFeed):
        def want(self, add, drop, ctx):
            return [
                Send(json.dumps({"add": [[int(w.instrument.broker_token), "ltp"]]}), delay_s=0.5 if i else 0.0)
                for i, w in enumerate(add)
            ]

    async def scenario(world):
        await world.stream.start()
        world.stream.subscribe([want(1), want(2), want(3)])
        world.stream.subscribe([want(4)])
        await world.runtime.sleep(0.25)
        assert len(world.broker.heard) == 1
        await world.runtime.sleep(0.5)
        assert len(world.broker.heard) == 2
        await world.runtime.sleep(2)
        assert [message["add"][0][0] for message in world.broker.heard] == [1, 2, 3, 4]

    play(scenario, feed=Paced)


def test_ticks_of_the_clock_and_message_counts_are_asked_for():
    class Counting(ToyFeed):
        layouts = PackedStream(
            "counting",
            "big",
            Framing.counted(count=WirePart("u16", 0), header=6, length="u16", min_frame=4),
            Select.by_length(),
            layouts=(PackedLayout("ltp", 8, Key(WirePart("u32", 0)), (Field("last_price", "i32", 4),)),),
            message_number=WirePart("u32", 2),
        )

        def on_count(self, number, ctx):
            return Control((Send(json.dumps({"ack": number})),)) if number % 2 == 0 else Control()

        def tick(self, now_ns, ctx):
            assert now_ns == ctx.now_ns
            return (Send('{"beat": 1}'),)

    async def scenario(world):
        world.broker.mute = True
        await world.stream.start()
        for number in (1, 2, 3, 4):
            world.push(struct.pack(">HIHIi", 1, number, 8, 7, 100))
        await world.runtime.sleep(3.5)
        acks = [message["ack"] for message in world.broker.heard if "ack" in message]
        beats = [message for message in world.broker.heard if "beat" in message]
        assert acks == [2, 4]
        assert len(beats) == 3

    play(scenario, feed=Counting)


def test_a_feed_that_raises_while_ticking_is_counted_and_lives_on():
    class Broken(ToyFeed):
        def tick(self, now_ns, ctx):
            raise ZeroDivisionError

    async def scenario(world):
        await world.stream.start()
        await world.until(lambda: world.stream.counters["control_errors"] == 3)
        assert world.states == ["connecting", "ready"]

    play(scenario, feed=Broken)


# -- requests over the socket ------------------------------------------------------------------------------------------


def ask(number="17", **more):
    reply = yield Request(
        **{"json": {"id": number, "method": "order"}, "via": "socket", "correlation": number, "mutates": True} | more
    )
    return reply.json


@both
def test_a_request_over_the_socket_is_answered_by_its_correlation_id(world):
    async def scenario(world):
        await world.stream.start()
        replies = await asyncio.gather(*(world.session.run(ask(str(n))) for n in range(5)))
        assert [reply["id"] for reply in replies] == [str(n) for n in range(5)]
        assert world.session.latencies()["default"]["count"] >= 5

    play(scenario, world=world)


def test_a_feed_may_correlate_by_event_and_a_late_reply_is_reported():
    class ByEvent(ToyFeed):
        def on_control(self, frame, ctx):
            message = json.loads(frame)
            return Control(events=(Correlated(str(message["re"]), Reply(200, {}, b'{"ok": true, "id": "9"}')),))

    class Uncorrelated(ToyAdapter):
        feeds = (ByEvent,)

        def correlate(self, message):
            return None

    async def scenario(world):
        await world.stream.start()
        task = world.runtime.spawn(world.session.run(ask("17", json={"method": "x"})), name="caller")
        await world.runtime.sleep(0.5)
        world.push('{"re": 17}')
        assert (await task)["id"] == "9"
        world.push('{"re": 18}')
        await world.until(lambda: world.seen(Notice))
        assert "18" in world.seen(Notice)[0].text

    play(scenario, adapter=Uncorrelated())


def test_a_socket_lost_under_a_request_leaves_its_outcome_unknown_and_one_that_is_down_sends_nothing():
    async def scenario(world):
        with pytest.raises(NotSent):
            await world.session.run(ask())
        await world.stream.start()
        task = world.runtime.spawn(world.session.run(ask(json={"quiet": 1})), name="caller")
        await world.runtime.sleep(0.5)
        world.push("", close_code=1012)
        with pytest.raises(OutcomeUnknown):
            await task
        assert world.broker.heard == [{"quiet": 1}]
        await world.until(lambda: world.states[-1] == "ready")
        with pytest.raises(OutcomeUnknown) as raised:
            await world.session.run(ask(json={"quiet": 2}, timeout_s=3.0))
        assert raised.value.kind is ErrorKind.TIMEOUT
        assert world.broker.heard.count({"quiet": 2}) == 1
        with pytest.raises(UsageError, match="correlation"):
            await world.session.run(ask(correlation=None))

    play(scenario)


# -- the end -----------------------------------------------------------------------------------------------------------


def test_closing_is_prompt_in_every_state_and_final():
    async def scenario(world):
        await world.stream.close()  # never started
        for prepare in ("ready", "waiting", "mute"):
            await world.stream.start()
            if prepare == "waiting":
                await world.host.close()
                await world.until(lambda: world.stream.state == "waiting")
            world.broker.mute = prepare == "mute"
            began = world.runtime.clock.mono_ns()
            await world.stream.close()
            assert (world.runtime.clock.mono_ns() - began) / 1e9 <= 2.5
            assert world.stream.state == "closed"
            if prepare == "waiting":
                await world.host.start()
        await world.runtime.sleep(100)
        assert world.states[-1] == "closed"
        assert not world.stream.ready

    play(scenario)


def test_the_whole_life_of_a_stream_is_the_same_for_the_same_seed():
    def trace(seed):
        stamps = []

        async def scenario(world):
            world.stream.subscribe([want(7)])
            await world.stream.start()
            world.broker.refuse = HttpAnswer(503, (), b"{}")
            world.push("", close_code=1012)
            await world.runtime.sleep(60)
            world.broker.refuse = None
            await world.until(lambda: world.states[-1] == "ready")
            stamps.extend((event.state, event.ts) for event in world.seen(StreamState))

        play(scenario, seed=seed)
        return tuple(stamps)

    assert len({trace(11) for _ in range(4)}) == 1
    assert len({trace(seed) for seed in range(4)}) == 4
