"""The pool: reuse, limits, waiting in line, idle connections."""

from __future__ import annotations

import asyncio
import gc
import math
import weakref

import pytest

from dragoman.errors import NotSent, OutcomeUnknown, UsageError
from dragoman.plugin import Reply
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.runtime.virtual_net import LinkFault
from dragoman.transport.base import HttpOptions, Origin, WireRequest
from dragoman.transport.http import HttpClient
from dragoman.transport.http_conn import HttpConnection
from dragoman.transport.http_pool import ConnectionPool
from wire.http_peer import OK, Peer, PeerConnection, answer_all, get, play, post


async def slow(connection: PeerConnection) -> None:
    while True:
        await connection.request()
        await asyncio.sleep(1)
        connection.send(OK)


def test_requests_one_after_another_share_a_connection():
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        for _ in range(20):
            await http.send(origin, get(), timeout_s=1)
        assert len(peer.connections) == 1

    play(answer_all, client)


def test_the_last_connection_used_is_the_first_reused():
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        await http.warm(origin, 3)
        assert len(peer.connections) == 3
        for _ in range(5):
            await http.send(origin, get(), timeout_s=1)
        assert sorted(link.to_server.delivered > 0 for link in peer.runtime.net.links) == [False, False, True]

    play(answer_all, client)


def test_warming_opens_no_more_than_is_missing():
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        await http.warm(origin, 2)
        await http.warm(origin, 2)
        assert len(peer.connections) == 2
        await http.warm(origin, 99)
        assert len(peer.connections) == 4

    play(answer_all, client, options=HttpOptions(max_connections=4))


def test_warming_a_dead_host_is_not_sent():
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        peer.runtime.net.faults.add(LinkFault(refuse=True))
        with pytest.raises(NotSent):
            await http.warm(origin)
        await http.warm(origin)
        assert len(peer.connections) == 1

    play(answer_all, client)


def test_never_more_connections_than_allowed_and_waiters_are_served_in_order():
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        await asyncio.gather(*(http.send(origin, get(f"/{i}"), timeout_s=60) for i in range(9)))
        assert len(peer.connections) == 2
        order = [int(request.split(b" ")[1][1:]) for request in peer.requests]
        assert [sorted(order[i : i + 2]) for i in range(0, 9, 2)] == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]

    play(slow, client, options=HttpOptions(max_connections=2))


def test_a_deadline_in_line_is_not_sent():
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        first = asyncio.ensure_future(http.send(origin, get(), timeout_s=10))
        await peer.runtime.sleep(0.1)
        with pytest.raises(NotSent, match=r"all 1 connections to .* stayed busy"):
            await http.send(origin, post(), timeout_s=0.5)
        assert (await first).status == 200
        assert len(peer.requests) == 1
        assert (await http.send(origin, get(), timeout_s=10)).status == 200

    play(slow, client, options=HttpOptions(max_connections=1))


def test_a_cancelled_waiter_does_not_take_a_connection_with_it():
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        requests = [asyncio.ensure_future(http.send(origin, get(f"/{i}"), timeout_s=60)) for i in range(4)]
        await peer.runtime.sleep(0.1)
        requests[1].cancel()
        results = await asyncio.gather(*requests, return_exceptions=True)
        assert isinstance(results[1], asyncio.CancelledError)
        assert [request.split(b" ")[1] for request in peer.requests] == [b"/0", b"/2", b"/3"]

    play(slow, client, options=HttpOptions(max_connections=1))


def test_a_waiter_cancelled_in_the_step_it_is_served_hands_its_connection_on(monkeypatch):
    waiting: list[asyncio.Task[Reply]] = []
    release = ConnectionPool.release

    def release_and_cancel(pool: ConnectionPool, connection: HttpConnection) -> None:
        release(pool, connection)
        if waiting:
            waiting.pop().cancel()  # it has its connection already, and has not run since

    monkeypatch.setattr(ConnectionPool, "release", release_and_cancel)

    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        first = asyncio.ensure_future(http.send(origin, get("/0"), timeout_s=60))
        await peer.runtime.sleep(0.1)
        second = asyncio.ensure_future(http.send(origin, get("/1"), timeout_s=60))
        third = asyncio.ensure_future(http.send(origin, get("/2"), timeout_s=60))
        waiting.append(second)
        assert (await third).status == 200
        assert first.done()
        assert len(peer.connections) == 1
        assert second.cancelled()

    play(slow, client, options=HttpOptions(max_connections=1))


def test_a_connection_that_dies_gives_its_slot_to_the_next_in_line():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        if connection.number == 0:
            connection.reset()
        else:
            connection.send(OK)

    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        first = asyncio.ensure_future(http.send(origin, post(), timeout_s=10))
        second = asyncio.ensure_future(http.send(origin, get(), timeout_s=10))
        with pytest.raises(OutcomeUnknown):
            await first
        assert (await second).status == 200

    play(script, client, options=HttpOptions(max_connections=1))


def test_a_connect_that_fails_gives_its_slot_to_the_next_in_line():
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        peer.runtime.net.faults.add(LinkFault(refuse=True))
        first = asyncio.ensure_future(http.send(origin, post(), timeout_s=10))
        second = asyncio.ensure_future(http.send(origin, get(), timeout_s=10))
        with pytest.raises(NotSent):
            await first
        assert (await second).status == 200

    play(answer_all, client, options=HttpOptions(max_connections=1))


def test_closing_idle_connections_does_not_spin_where_times_round():
    idle_s = 30.0

    def early(now: float) -> bool:
        """Whether the timer's instant less the time-out falls before `now`, from which it was computed."""
        return math.ceil((now + idle_s) * 1e9) / 1e9 - idle_s < now

    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(2048 - idle_s / 2 - loop.time())  # from here on, floats are coarser where the timer is set
        await http.send(origin, get(), timeout_s=1)
        while not early(loop.time()):
            await http.send(origin, get(), timeout_s=1)
        await asyncio.sleep(idle_s + 1)
        assert all(connection.lost.is_set() for connection in peer.connections)

    play(answer_all, client, options=HttpOptions(idle_timeout_s=idle_s))


def test_idle_connections_are_closed_and_not_reused():
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        await http.send(origin, get(), timeout_s=1)
        await peer.runtime.sleep(29)
        await http.send(origin, get(), timeout_s=1)
        assert len(peer.connections) == 1
        await peer.runtime.sleep(31)
        assert peer.connections[0].lost.is_set()
        await http.send(origin, get(), timeout_s=1)
        assert len(peer.connections) == 2

    play(answer_all, client, options=HttpOptions(idle_timeout_s=30))


def test_origins_do_not_share_connections():
    runtime = VirtualRuntime()

    async def main() -> None:
        peers = [Peer(runtime, answer_all), Peer(runtime, answer_all)]
        origins = [await peer.start(port) for peer, port in zip(peers, (8001, 8002), strict=True)]
        http = HttpClient(runtime)
        for origin in origins * 2:
            await http.send(origin, get(), timeout_s=1)
        assert [len(peer.connections) for peer in peers] == [1, 1]
        assert b"\r\nHost: 127.0.0.1:8001\r\n" in peers[0].requests[0]
        await http.close()

    runtime.run(main())


def test_the_source_address_is_bound():
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        await http.send(origin, get(), timeout_s=1)
        assert peer.connections[0].transport.get_extra_info("peername")[0] == "127.0.0.9"

    play(answer_all, client, options=HttpOptions(source_address="127.0.0.9"))


@pytest.mark.parametrize(
    "options",
    [
        HttpOptions(max_connections=0),
        HttpOptions(proxy="https://proxy:1"),
        HttpOptions(proxy="http://proxy:port"),
        HttpOptions(proxy="http://proxy:1/path"),
    ],
)
def test_unusable_options_are_usage_errors(options):
    with pytest.raises(UsageError):
        HttpClient(VirtualRuntime(), options)


def test_other_schemes_are_usage_errors():
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        with pytest.raises(UsageError, match="expected http or https"):
            await http.send(Origin("ws", "127.0.0.1", 80), get(), timeout_s=1)

    play(answer_all, client)


def test_the_same_seed_gives_the_same_trace():
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> str:
        await asyncio.gather(*(http.send(origin, post(f"/{i}"), timeout_s=60) for i in range(30)))
        return peer.runtime.trace_hash()

    options = HttpOptions(max_connections=4)
    traces = [play(answer_all, client, options=options, seed=seed) for seed in (7, 7, 8)]
    assert traces[0] == traces[1] != traces[2]


@pytest.mark.parametrize(("answers", "connections"), [([True, True, False], 1), ([True, True, True], 2)])
def test_unread_bytes_are_given_one_turn_of_the_loop_to_prove_harmless(answers, connections):
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        await http.send(origin, get(), timeout_s=1)
        left = list(answers)
        http._pools[origin]._idle[0].unread = lambda: left.pop(0)
        await http.send(origin, get(), timeout_s=1)
        assert left == []
        assert len(peer.connections) == connections

    play(answer_all, client)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_request_that_cannot_be_written_gives_its_connection_back(method):
    async def client(http, origin, peer):
        for _ in range(3):
            with pytest.raises(TypeError):
                await http.send(origin, lambda: WireRequest(method, "/", (), "text"), timeout_s=5)
        assert (await http.send(origin, get("/"), timeout_s=5)).status == 200
        assert len(peer.connections) == 1

    play(answer_all, client, options=HttpOptions(max_connections=1))


def test_a_write_that_raises_half_way_costs_the_connection_and_not_its_slot(monkeypatch):
    async def client(http, origin, peer):
        await http.warm(origin)
        (connection,) = http._pools[origin]._idle
        whole = connection.transport.write

        def half(data):
            whole(data[:10])
            raise OSError("the other half is lost")

        monkeypatch.setattr(connection.transport, "write", half)
        with pytest.raises(OSError, match="the other half"):
            await http.send(origin, get("/"), timeout_s=5)
        assert (await http.send(origin, get("/"), timeout_s=5)).status == 200

    play(answer_all, client, options=HttpOptions(max_connections=1))


def test_an_idle_connection_holds_no_request():
    async def client(http, origin, peer):
        await http.send(origin, post(body=b"password=secret"), timeout_s=5)
        (connection,) = http._pools[origin]._idle
        return connection._request

    assert play(answer_all, client) is None


def test_a_connection_that_is_gone_needs_no_collection():
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()

    async def main(runtime):
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        http, origin = HttpClient(runtime), Origin("http", *server.sockets[0].getsockname()[:2])
        await http.send(origin, get(), timeout_s=5)
        (connection,) = http._pools[origin]._all
        lost, seen = connection.lost, weakref.ref(connection.lost)
        gc.disable()
        try:
            del connection
            await lost
            del lost
            await asyncio.sleep(0.05)
            return seen() is None
        finally:
            gc.enable()
            await http.close()
            server.close()

    runtime = RealRuntime()
    try:
        assert run(main(runtime))
    finally:
        runtime.close()
