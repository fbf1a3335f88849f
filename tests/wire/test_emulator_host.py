"""The emulator host over real loopback sockets and in memory: HTTP, sockets, the beat, bugs, the end."""

from __future__ import annotations

import contextlib
import json
import logging

import pytest

from dragoman.emulator.contract import Push
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import UsageError
from dragoman.runtime.virtual import VirtualRuntime
from wire.echo_broker import EchoBroker
from wire.raw_peer import RawPeer, request
from wire.worlds import both, run_in


@contextlib.asynccontextmanager
async def serving(runtime, broker=None, *, bugs=0, **options):
    """A running host; afterwards no more bugs of the emulator were counted than the test caused."""
    host = EmulatorHost(broker or EchoBroker(), runtime, **options)
    await host.start()
    host.peers = []
    try:
        yield host
    finally:
        for peer in host.peers:
            peer.transport.abort()
        await host.close()
    assert host.counters.emulator_errors == bugs


async def peer_of(host, runtime):
    host.peers.append(await RawPeer.connect(runtime, host.port))
    return host.peers[-1]


@both
def test_a_call_reaches_the_emulator_whole_and_its_answer_comes_back(world):
    async def scenario(runtime):
        broker = EchoBroker()
        async with serving(runtime, broker) as host:
            peer = await peer_of(host, runtime)
            status, headers, body = await peer.ask(
                "POST",
                "/orders/a%20b?x=1&x=&y=%26",
                b"price=1&side=",
                X_Api="v",
                Content_Type="application/x-www-form-urlencoded",
            )
            assert status == 200
            assert headers["connection"] == "keep-alive"
            assert "date" in headers
            echoed = json.loads(body)
            assert echoed["path"] == "/orders/a b"
            call = broker.calls[0]
            assert call.query == (("x", "1"), ("x", ""), ("y", "&"))
            assert call.form == (("price", "1"), ("side", ""))
            assert call.headers["x-api"] == "v"
            assert call.peer == "127.0.0.1"
            assert abs(broker.times[0] - runtime.clock.wall_ns()) < 10_000_000_000

    run_in(world, scenario)


@both
def test_pipelined_requests_are_answered_in_order_on_one_connection(world):
    async def scenario(runtime):
        async with serving(runtime) as host:
            peer = await peer_of(host, runtime)
            peer.send(b"".join(request("POST", f"/n{i}", b"x" * i) for i in range(100)))
            paths = [json.loads((await peer.reply())[2])["path"] for _ in range(100)]
            assert paths == [f"/n{i}" for i in range(100)]
            assert host.counters.connections == 1

    run_in(world, scenario)


@both
def test_a_chunked_body_is_put_together(world):
    async def scenario(runtime):
        async with serving(runtime) as host:
            peer = await peer_of(host, runtime)
            head = request("POST", "/c", Transfer_Encoding="chunked")
            peer.send(head + b"5\r\nhello\r\n1\r\n-\r\n5\r\nthere\r\n0\r\n\r\n")
            assert json.loads((await peer.reply())[2])["body"] == "hello-there"

    run_in(world, scenario)


@both
def test_a_client_that_expects_100_continue_gets_it_before_it_sends(world):
    async def scenario(runtime):
        async with serving(runtime) as host:
            peer = await peer_of(host, runtime)
            peer.send(request("POST", "/c", Expect="100-continue", Content_Length="5"))
            assert (await peer.reply())[0] == 100
            peer.send(b"hello")
            assert json.loads((await peer.reply())[2])["body"] == "hello"

    run_in(world, scenario)


@both
def test_long_replies_are_gzipped_only_for_clients_that_take_it(world):
    async def scenario(runtime):
        async with serving(runtime) as host:
            peer = await peer_of(host, runtime)
            _, headers, body = await peer.ask("GET", "/big", Accept_Encoding="gzip, deflate")
            assert headers["content-encoding"] == "gzip"
            assert body == b"tick " * 2000
            assert int(headers["content-length"]) < 1000
            _, headers, body = await peer.ask("GET", "/big")
            assert "content-encoding" not in headers
            assert body == b"tick " * 2000
            _, headers, _ = await peer.ask("GET", "/short", Accept_Encoding="gzip")
            assert "content-encoding" not in headers

    run_in(world, scenario)


@both
def test_statuses_and_methods_without_a_body_have_none(world):
    async def scenario(runtime):
        async with serving(runtime) as host:
            peer = await peer_of(host, runtime)
            status, headers, _ = await peer.ask("GET", "/nothing")
            assert status == 204
            assert "content-length" not in headers
            peer.send(request("HEAD", "/big") + request("GET", "/next"))
            await peer.until(lambda: b"/next" in peer.data)
            head, _, rest = bytes(peer.data).partition(b"\r\n\r\n")
            assert b"Content-Length: 10000" in head
            assert rest.startswith(b"HTTP/1.1 200 ")

    run_in(world, scenario)


@both
def test_connection_close_is_obeyed(world):
    async def scenario(runtime):
        async with serving(runtime) as host:
            peer = await peer_of(host, runtime)
            _, headers, _ = await peer.ask("GET", "/x", Connection="close")
            assert headers["connection"] == "close"
            assert await peer.ended is None

    run_in(world, scenario)


@both
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01 this is TLS\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n802c80\r\n" + b"z" * 8_400_000, 413),
        (b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ],
    ids=["not-http", "long-headers", "long-body", "announced-body"],
)
def test_what_is_not_a_fair_request_is_refused_and_the_connection_ends(world, sent, status):
    async def scenario(runtime):
        broker = EchoBroker()
        async with serving(runtime, broker) as host:
            peer = await peer_of(host, runtime)
            peer.send(sent)
            assert (await peer.reply())[0] == status
            await peer.ended
            assert broker.calls == []

    run_in(world, scenario)


@both
def test_an_offer_of_another_protocol_than_websocket_is_ignored(world):
    async def scenario(runtime):
        async with serving(runtime) as host:
            peer = await peer_of(host, runtime)
            peer.send(request("GET", "/a", Upgrade="h2c", Connection="Upgrade") + request("GET", "/b"))
            assert json.loads((await peer.reply())[2])["path"] == "/a"
            assert json.loads((await peer.reply())[2])["path"] == "/b"

    run_in(world, scenario)


@both
@pytest.mark.parametrize("spelling", ["websocket", "WebSocket", "WEBSOCKET"])
def test_an_upgrade_is_taken_in_any_spelling_and_deflate_is_declined(world, spelling):
    async def scenario(runtime):
        broker = EchoBroker()
        async with serving(runtime, broker) as host:
            peer = await peer_of(host, runtime)
            headers = await peer.upgrade(
                "/stream?token=ok",
                Upgrade=spelling,
                Connection="keep-alive, Upgrade",
                Origin="http://127.0.0.1",
                Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits",
                Sec_WebSocket_Protocol="other, ticks.v2",
            )
            assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            assert "sec-websocket-extensions" not in headers
            assert headers["sec-websocket-protocol"] == "ticks.v2"
            assert broker.sockets[1].query == (("token", "ok"),)
            assert host.open_sockets == 1

    run_in(world, scenario)


@both
@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/stream?token=bad", {}, 403),
        ("/stream", {"Sec_WebSocket_Version": "8"}, 426),
        ("/stream", {"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
    ],
)
def test_a_refused_upgrade_is_a_plain_reply_and_the_connection_speaks_http_on(world, target, headers, status):
    async def scenario(runtime):
        async with serving(runtime) as host:
            peer = await peer_of(host, runtime)
            fields = {"Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers}
            peer.send(
                request("GET", target, Upgrade="websocket", Connection="Upgrade", **fields) + request("GET", "/b")
            )
            assert (await peer.reply())[0] == status
            assert json.loads((await peer.reply())[2])["path"] == "/b"
            assert host.open_sockets == 0

    run_in(world, scenario)


@both
def test_messages_go_both_ways_fragmented_ones_too_and_pings_are_answered(world):
    async def scenario(runtime):
        broker = EchoBroker()
        async with serving(runtime, broker) as host:
            peer = await peer_of(host, runtime)
            await peer.upgrade()
            peer.send_frame(1, b"hello")
            assert await peer.frame() == (1, b"hello")
            peer.send_frame(2, b"\x00\x01", fin=False)
            peer.send_frame(9, b"are you there")
            peer.send_frame(0, b"\x02")
            assert await peer.frame() == (10, b"are you there")
            assert await peer.frame() == (2, b"\x00\x01\x02")
            peer.send_frame(2, bytes(200_000))
            assert await peer.frame() == (2, bytes(200_000))
            assert broker.heard == ["hello", b"\x00\x01\x02", bytes(200_000)]

    run_in(world, scenario)


@both
def test_frames_that_follow_the_upgrade_at_once_are_not_lost(world):
    async def scenario(runtime):
        async with serving(runtime) as host:
            peer = await peer_of(host, runtime)
            task = runtime.spawn(peer.upgrade(), name="upgrade")
            await runtime.sleep(0)
            peer.send_frame(1, b"early")
            await task
            assert await peer.frame() == (1, b"early")

    run_in(world, scenario)


@both
@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(1, b"\xff\xfe", {})], 1007),
        ([(0, b"of nothing", {})], 1002),
        ([(1, b"a", {"fin": False}), (2, b"b", {})], 1002),
        ([(2, b"x", {"rsv": 4})], 1002),
        ([(0xB, b"", {})], 1002),
        ([(9, b"x" * 126, {})], 1002),
        ([(8, b"\x03", {})], 1002),
        ([(8, (1006).to_bytes(2, "big"), {})], 1002),
        ([(2, bytes(2_000_000), {})], 1009),
        ([(2, bytes(600_000), {"fin": False}), (0, bytes(600_000), {})], 1009),
    ],
)
def test_a_client_that_breaks_the_protocol_is_closed_with_the_code_that_says_how(world, frames, code):
    async def scenario(runtime):
        async with serving(runtime) as host:
            peer = await peer_of(host, runtime)
            await peer.upgrade()
            for op, payload, options in frames:
                peer.send_frame(op, payload, **options)
            assert await peer.close_code() == code
            await peer.ended
            assert host.counters.protocol_faults == 1

    run_in(world, scenario)


@both
def test_a_clients_close_is_answered_and_the_emulator_is_told_once(world):
    async def scenario(runtime):
        broker = EchoBroker()
        async with serving(runtime, broker) as host:
            peer = await peer_of(host, runtime)
            await peer.upgrade()
            peer.send_frame(8, (1000).to_bytes(2, "big") + b"done")
            assert await peer.close_code() == 1000
            await peer.ended
            await runtime.sleep(0.05)
            assert broker.closed == [1]
            assert host.open_sockets == 0

    run_in(world, scenario)


@both
def test_the_emulator_can_end_a_socket_with_its_own_code_after_a_last_frame(world):
    async def scenario(runtime):
        async with serving(runtime) as host:
            peer = await peer_of(host, runtime)
            await peer.upgrade()
            peer.send_frame(1, b"leave")
            assert await peer.frame() == (1, b"bye")
            assert await peer.close_code() == 4001

    run_in(world, scenario)


@both
def test_polled_frames_reach_their_socket_and_those_for_gone_sockets_are_counted(world):
    async def scenario(runtime):
        broker = EchoBroker()
        async with serving(runtime, broker) as host:
            peer = await peer_of(host, runtime)
            await peer.upgrade()
            broker.outbox += [Push(1, b"\x01tick"), Push(99, "to nobody"), Push(1, "order")]
            assert await peer.frame() == (2, b"\x01tick")
            assert await peer.frame() == (1, b"order")
            assert host.counters.pushes_dropped == 1

    run_in(world, scenario)


@both
def test_a_client_that_does_not_read_is_closed_and_others_are_not_held_up(world):
    async def scenario(runtime):
        broker = EchoBroker()
        async with serving(runtime, broker) as host:
            slow, quick = await peer_of(host, runtime), await peer_of(host, runtime)
            await slow.upgrade()
            await quick.upgrade()
            slow.transport.pause_reading()
            while not host.counters.slow_readers:
                broker.outbox += [Push(1, bytes(500_000)), Push(2, b"still here")]
                assert await quick.frame() == (2, b"still here")
            while host.open_sockets > 1:
                await runtime.sleep(0.05)
            assert broker.closed == [1]

    run_in(world, scenario)


@both
@pytest.mark.logs  # the trace is what it is about
def test_a_bug_in_the_emulator_is_a_500_a_counter_and_one_trace_in_the_log(world, caplog):
    async def scenario(runtime):
        broker = EchoBroker()
        async with serving(runtime, broker, bugs=6) as host:
            peer = await peer_of(host, runtime)
            for _ in range(2):
                status, headers, body = await peer.ask("GET", "/fail")
                assert (status, headers["content-type"]) == (500, "text/plain; charset=utf-8")
                assert b"ZeroDivision" not in body
            fields = {"Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}
            status, _, _ = await peer.ask("GET", "/s?token=fail", Upgrade="websocket", Connection="Upgrade", **fields)
            assert status == 500
            broker.fail_poll = True
            await peer.upgrade()
            peer.send_frame(1, b"fail")
            assert await peer.close_code() == 1011
            other = await peer_of(host, runtime)
            assert (await other.ask("GET", "/fail"))[0] == 500
            while host.counters.emulator_errors < 6:
                await runtime.sleep(0.02)

    with caplog.at_level(logging.ERROR, logger="dragoman.emulator.host"):
        run_in(world, scenario)
    traces = [record for record in caplog.records if record.exc_info]
    assert sorted(record.args[1] for record in traces) == ["handle", "on_message", "open_socket", "poll"]
    assert len(caplog.records) == 6


@both
def test_closing_the_host_says_goodbye_to_sockets_and_frees_the_port(world):
    async def scenario(runtime):
        async with serving(runtime) as host:
            peer, idle = await peer_of(host, runtime), await peer_of(host, runtime)
            await peer.upgrade()
            closing = runtime.spawn(host.close(), name="close")
            assert await peer.close_code() == 1001
            peer.send_frame(8, (1001).to_bytes(2, "big"))
            await closing
            await idle.ended
            with pytest.raises(ConnectionRefusedError):
                await peer_of(host, runtime)
            again = EmulatorHost(EchoBroker(), runtime, port=host.port)
            await again.start()
            await again.close()

    run_in(world, scenario)


def test_closing_the_host_drops_a_client_that_does_not_answer():
    async def scenario(runtime):
        broker = EchoBroker()
        async with serving(runtime, broker) as host:
            peer = await RawPeer.connect(runtime, host.port)
            await peer.upgrade()
        await peer.ended
        assert broker.closed == [1]

    run_in("virtual", scenario)


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.2", "localhost", "example.com", "::", ""])
def test_only_literal_loopback_addresses_are_served(address):
    with VirtualRuntime() as runtime, pytest.raises(UsageError, match=r"127\.0\.0\.0/8 or ::1"):
        EmulatorHost(EchoBroker(), runtime, host=address)


def test_ipv6_loopback_is_served_with_brackets_in_the_roots():
    async def scenario(runtime):
        async with serving(runtime, host="::1") as host:
            assert host.roots.rest == f"http://[::1]:{host.port}/api"
            peer = await RawPeer.connect(runtime, host.port, "::1")
            assert (await peer.ask("GET", "/x"))[0] == 200

    run_in("virtual", scenario)


def test_the_same_seed_gives_the_same_run():
    async def scenario(runtime):
        async with serving(runtime, EchoBroker(ticking=True)) as host:
            peer = await peer_of(host, runtime)
            await peer.upgrade()
            for _ in range(20):
                await peer.frame()

    def trace(seed):
        with VirtualRuntime(seed=seed) as runtime:
            runtime.run(scenario(runtime))
            return runtime.trace_hash()

    assert trace(3) == trace(3)
    assert trace(3) != trace(4)
