"""What each injected fault looks like from outside, to a raw client and to our own WebSocket client."""

from __future__ import annotations

import contextlib
import json
import zlib

import pytest

from dragoman.emulator.contract import Push
from dragoman.emulator.faults import Action, Fault, Faults
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import UsageError
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.transport.base import HandshakeRefusedError, WsOptions
from dragoman.transport.websocket import connect_ws
from wire.echo_broker import EchoBroker
from wire.raw_peer import RawPeer, request
from wire.worlds import both, run_in
from wire.ws_server import Recorder


@contextlib.asynccontextmanager
async def faulty(runtime, spec="", *, broker=None, seed=1):
    """A host with faults, and a raw peer on it."""
    host = EmulatorHost(broker or EchoBroker(), runtime, faults=Faults.parse(spec, seed=seed))
    await host.start()
    peer = await RawPeer.connect(runtime, host.port)
    try:
        yield host, peer
    finally:
        peer.transport.abort()
        await host.close()
    assert host.counters.emulator_errors == 0


async def order(peer, path="/orders"):
    return await peer.ask("POST", path, b"quantity=1")


@both
@pytest.mark.parametrize(
    ("spec", "status", "body", "processed"),
    [
        ("http:503*1", 503, b'{"error":"injected"}', 0),
        ("429@/orders*1", 429, b'{"error":"injected"}', 0),
        ("late_http:504*1", 504, b'{"error":"injected"}', 1),
        ("empty*1", 200, b"", 0),
        ("late_empty:502*1", 502, b"", 1),
    ],
)
def test_a_status_is_answered_and_the_connection_goes_on(world, spec, status, body, processed):
    async def scenario(runtime):
        async with faulty(runtime, spec) as (host, peer):
            answer = await order(peer)
            assert (answer[0], answer[2]) == (status, body)
            assert len(host.emulator.calls) == processed
            assert (await order(peer))[0] == 200

    run_in(world, scenario)


@both
@pytest.mark.parametrize(("spec", "processed"), [("html:502", 0), ("late_html:504", 1)])
def test_an_html_page_comes_instead_of_the_brokers_own_error(world, spec, processed):
    async def scenario(runtime):
        async with faulty(runtime, spec) as (host, peer):
            status, headers, body = await order(peer)
            assert status in (502, 504)
            assert headers["content-type"] == "text/html"
            assert body.startswith(b"<html>")
            assert len(host.emulator.calls) == processed

    run_in(world, scenario)


@both
def test_a_redirect_points_elsewhere_and_nothing_is_processed(world):
    async def scenario(runtime):
        async with faulty(runtime, "redirect=http://elsewhere.invalid/take") as (host, peer):
            status, headers, _ = await order(peer)
            assert (status, headers["location"]) == (302, "http://elsewhere.invalid/take")
            assert host.emulator.calls == []

    run_in(world, scenario)


@both
def test_a_held_call_is_processed_later_though_its_sender_is_gone(world):
    async def scenario(runtime):
        async with faulty(runtime, "hold=200ms@WRITE*1") as (host, peer):
            peer.send(request("POST", "/orders", b"x"))
            await runtime.sleep(0.1)
            assert host.emulator.calls == []
            peer.transport.abort()
            await runtime.sleep(0.3)
            assert len(host.emulator.calls) == 1

    run_in(world, scenario)


@both
def test_a_fault_of_writes_leaves_reads_alone(world):
    async def scenario(runtime):
        async with faulty(runtime, "http:503@WRITE*1") as (_, peer):
            assert (await peer.ask("GET", "/orders"))[0] == 200
            assert (await order(peer))[0] == 503
            assert (await order(peer))[0] == 200

    run_in(world, scenario)


@both
@pytest.mark.parametrize(("spec", "processed"), [("drop_request*1", 0), ("drop_reply*1", 1)])
def test_a_call_that_is_never_answered_may_have_been_processed_or_not(world, spec, processed):
    async def scenario(runtime):
        async with faulty(runtime, spec) as (host, peer):
            peer.send(request("POST", "/orders", b"x"))
            await runtime.sleep(0.1)
            assert bytes(peer.data) == b""
            assert not peer.ended.done()
            assert len(host.emulator.calls) == processed

    run_in(world, scenario)


@both
@pytest.mark.parametrize(
    ("spec", "reset", "processed"),
    [
        ("reset_request", True, 0),
        ("close_request", False, 0),
        ("reset_reply", True, 1),
        ("close_reply", False, 1),
    ],
)
def test_a_connection_ends_before_any_byte_of_a_reply(world, spec, reset, processed):
    async def scenario(runtime):
        async with faulty(runtime, spec) as (host, peer):
            peer.send(request("POST", "/orders", b"x"))
            error = await peer.ended
            assert isinstance(error, ConnectionResetError) is reset
            assert bytes(peer.data) == b""
            assert len(host.emulator.calls) == processed

    run_in(world, scenario)


@both
@pytest.mark.parametrize(("spec", "reset"), [("reset_mid_reply", True), ("truncate_reply", False)])
def test_a_reply_breaks_off_in_its_body_after_the_call_was_processed(world, spec, reset):
    async def scenario(runtime):
        async with faulty(runtime, spec) as (host, peer):
            peer.send(request("GET", "/big"))
            assert isinstance(await peer.ended, ConnectionResetError) is reset
            head, blank, body = bytes(peer.data).partition(b"\r\n\r\n")
            assert b"Content-Length: 10000" in head
            assert blank
            assert len(body) == 5000
            assert len(host.emulator.calls) == 1

    run_in(world, scenario)


@both
@pytest.mark.parametrize(("spec", "claimed"), [("wrong_length=+10", 10_010), ("wrong_length=-7", 9_993)])
def test_a_reply_claims_another_length_than_it_has(world, spec, claimed):
    async def scenario(runtime):
        async with faulty(runtime, spec) as (_, peer):
            peer.send(request("GET", "/big"))
            await peer.until(lambda: peer.data.count(b"tick ") == 2000)
            head, _, body = bytes(peer.data).partition(b"\r\n\r\n")
            assert f"Content-Length: {claimed}".encode() in head
            assert len(body) == 10_000

    run_in(world, scenario)


@both
def test_a_bomb_is_small_on_the_wire_and_large_when_inflated(world):
    async def scenario(runtime):
        async with faulty(runtime, "bomb=4MiB") as (_, peer):
            peer.send(request("GET", "/x"))
            await peer.until(lambda: b"\r\n\r\n" in peer.data)
            size = int(peer.data.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            assert size < 50_000
            await peer.until(lambda: len(peer.data.partition(b"\r\n\r\n")[2]) == size)
            inflated = zlib.decompress(bytes(peer.data.partition(b"\r\n\r\n")[2]), 31)
            assert len(inflated) == 4 * 1024 * 1024

    run_in(world, scenario)


def test_delays_hold_a_call_back_before_or_after_it_is_processed():
    async def scenario(runtime):
        async with faulty(runtime, "delay=3s@/early;delay_reply=5s@/late") as (host, peer):
            start = runtime.clock.wall_ns()
            await order(peer, "/early")
            await order(peer, "/late")
            early, late = ((at - start) / 1e9 for at in host.emulator.times)
            assert 3.0 <= early < 3.1
            assert 3.0 <= late < 3.1
            assert 8.0 <= (runtime.clock.wall_ns() - start) / 1e9 < 8.2

    run_in("virtual", scenario)


def test_a_client_that_leaves_during_a_delay_is_no_bug():
    async def scenario(runtime):
        async with faulty(runtime, "delay=1s;delay_reply=1s") as (_, peer):
            peer.send(request("POST", "/orders", b"x"))
            await runtime.sleep(0.5)
            peer.transport.abort()
            await runtime.sleep(5)

    run_in("virtual", scenario)


# -- sockets


@contextlib.asynccontextmanager
async def streaming(runtime, spec="", *, options=None, ticking=True, seed=1):
    """A host with faults whose broker ticks, and our own client on it."""
    broker = EchoBroker(ticking=ticking)
    host = EmulatorHost(broker, runtime, faults=Faults.parse(spec, seed=seed))
    roots = await host.start()
    handler = Recorder()
    try:
        ws = await connect_ws(runtime, roots.ws, handler, options=options)
        yield host, ws, handler
        await ws.close()
    finally:
        await host.close()
    assert host.counters.emulator_errors == 0


def texts(events):
    return [event[1] for event in events if event[0] == "text"]


@both
@pytest.mark.parametrize(
    ("spec", "status"), [("refuse_upgrade", 403), ("refuse_upgrade:429@/stream", 429), ("redirect", 302), ("html", 502)]
)
def test_an_upgrade_is_refused(world, spec, status):
    async def scenario(runtime):
        with pytest.raises(HandshakeRefusedError) as refused:
            async with streaming(runtime, spec):
                pytest.fail("it was upgraded")
        assert refused.value.reply.status == status

    run_in(world, scenario)


@both
@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("close_socket:4004", 4004),
        ("oversize_frame", 1009),
        ("bad_utf8", 1007),
        ("rsv_frame", 1002),
        ("bad_opcode", 1002),
        ("reset_socket", 1006),
    ],
)
def test_a_socket_ends_as_the_fault_says_and_the_next_one_lives(world, spec, code):
    async def scenario(runtime):
        options = WsOptions(close_timeout_s=0.2)
        async with streaming(runtime, f"{spec}@after=60ms*1", options=options) as (host, _, handler):
            assert (await handler.closed())[0] == code
            assert texts(handler.events)[0] == "tick 1"
            second = Recorder()
            again = await connect_ws(runtime, host.roots.ws, second)
            await runtime.sleep(0.2)
            assert again.open
            assert len(texts(second.events)) > 1
            await again.close()

    run_in(world, scenario)


def test_a_muted_socket_answers_pings_and_sends_nothing_until_it_is_over():
    async def scenario(runtime):
        async with streaming(runtime, "mute_socket=2s@after=1s") as (host, ws, handler):
            await runtime.sleep(1.1)
            heard = len(handler.events)
            assert heard > 40
            ws.ping()
            ws.send_text("anyone?")
            await runtime.sleep(1)
            assert handler.events[heard:] == [("pong",)]
            assert host.counters.frames_muted > 40
            await runtime.sleep(1.5)
            assert len(handler.events) > heard + 10

    run_in("virtual", scenario)


def test_dropped_and_doubled_frames_are_missing_and_double_and_the_rest_is_in_order():
    async def scenario(runtime):
        async with streaming(runtime, "drop_frames=0.1;dup_frames=0.1") as (host, _, handler):
            await runtime.sleep(10)
            seen = [int(text.split()[1]) for text in texts(handler.events)]
            assert seen == sorted(seen)
            dropped = set(range(1, seen[-1])) - set(seen)
            doubled = len(seen) - len(set(seen))
            assert 20 < len(dropped) < 90
            assert 20 < doubled < 90
            assert host.faults.fired[Action.DROP_FRAMES] >= len(dropped)

    run_in("virtual", scenario)


def test_reordered_frames_swap_with_the_next_and_none_is_lost():
    async def scenario(runtime):
        async with streaming(runtime, "reorder_frames=0.2") as (host, _, handler):
            await runtime.sleep(5)
            host.emulator.ticking = False
            await runtime.sleep(1)
            seen = [int(text.split()[1]) for text in texts(handler.events)]
            assert seen != sorted(seen)
            assert sorted(seen) == list(range(1, host.emulator.ticks + 1))
            assert all(abs(number - place) <= 1 for place, number in enumerate(seen, 1))

    run_in("virtual", scenario)


def test_truncated_frames_are_valid_frames_with_half_a_message():
    async def scenario(runtime):
        async with streaming(runtime, "truncate_frames", ticking=False) as (host, _, handler):
            host.emulator.outbox += [Push(1, "₹" * 50), Push(1, bytes(range(100)))]
            (_, text), (_, data) = await handler.until(2)
            assert len(text) < 50
            assert set(text) <= {"₹"}
            assert bytes(range(100)).startswith(data)
            assert len(data) < 100

    run_in("virtual", scenario)


@both
def test_fragmented_frames_arrive_whole(world):
    async def scenario(runtime):
        async with streaming(runtime, "fragment_frames", ticking=False) as (host, _, handler):
            host.emulator.outbox += [Push(1, "₹" * 51), Push(1, b"\x00" * 100_001), Push(1, b"")]
            assert await handler.until(3) == [("text", "₹" * 51), ("binary", b"\x00" * 100_001), ("binary", b"")]

    run_in(world, scenario)


def test_delayed_frames_come_late_and_in_order():
    async def scenario(runtime):
        async with streaming(runtime, "delay_frames=500ms@p=0.3") as (_, _, handler):
            await runtime.sleep(0.4)
            heard = len(handler.events)
            assert heard < 15
            await runtime.sleep(5)
            seen = [int(text.split()[1]) for text in texts(handler.events)]
            assert seen == list(range(1, len(seen) + 1))
            assert len(seen) > 200

    run_in("virtual", scenario)


@both
def test_a_host_that_stops_reading_fills_the_clients_buffer_until_it_gives_up(world):
    async def scenario(runtime):
        options = WsOptions(max_buffered_bytes=100_000, close_timeout_s=0.2)
        async with streaming(runtime, "slow_reader", options=options, ticking=False) as (host, ws, handler):
            while ws.open:
                ws.send_binary(bytes(100_000))
                await runtime.sleep(0)
            assert (await handler.closed())[0] == 1008
            assert len(host.emulator.heard) < 5

    run_in(world, scenario)


def test_tokens_die_once_at_their_time():
    async def scenario(runtime):
        async with faulty(runtime, "token_death@after=2s") as (host, _):
            await runtime.sleep(1.9)
            assert host.emulator.expired == 0
            await runtime.sleep(5)
            assert host.emulator.expired == 1

    run_in("virtual", scenario)


def test_token_death_of_an_emulator_without_tokens_is_a_usage_error():
    class Tokenless(EchoBroker):
        expire_tokens = EchoBroker.__mro__[1].expire_tokens

    with VirtualRuntime() as runtime, pytest.raises(UsageError, match="does not define expire_tokens"):
        EmulatorHost(Tokenless(), runtime, faults=Faults.parse("token_death"))


def test_rules_added_while_the_host_runs_reach_open_sockets():
    async def scenario(runtime):
        async with streaming(runtime) as (host, _, handler):
            await handler.until(3)
            host.faults.add(Fault(Action.CLOSE_SOCKET, code=4009))
            assert (await handler.closed())[0] == 4009

    run_in("virtual", scenario)


def test_the_same_seed_gives_the_same_faults():
    def run(seed):
        async def scenario(runtime):
            async with streaming(runtime, "drop_frames=0.2;dup_frames=0.2;truncate_frames=0.2", seed=seed) as parts:
                await runtime.sleep(3)
                return list(parts[2].events)

        return run_in("virtual", scenario)

    assert json.dumps(run(5)) == json.dumps(run(5))
    assert run(5) != run(6)
