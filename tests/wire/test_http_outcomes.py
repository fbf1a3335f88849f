"""NOT_SENT or MAYBE_SENT: for every way a request can end, which one it is, and what happens to the connection."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.errors import Effect, ErrorKind, NotSent, OutcomeUnknown, Retry, UsageError
from dragoman.runtime.virtual_net import LinkFault
from dragoman.transport.base import HttpOptions, Origin, WireRequest
from dragoman.transport.http import HttpClient
from wire.http_peer import OK, Peer, PeerConnection, answer_all, get, play, post

Client = HttpClient


async def never_called(connection: PeerConnection) -> None:
    raise AssertionError("the request must not get here")


def written(peer: Peer) -> int:
    """Bytes that reached the server."""
    return sum(link.to_server.delivered for link in peer.runtime.net.links)


def counting(calls: list[int]):
    def prepare() -> WireRequest:
        calls.append(1)
        return post()()

    return prepare


def test_a_refused_connection_is_not_sent_and_prepares_nothing():
    calls: list[int] = []

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        peer.runtime.net.faults.add(LinkFault(refuse=True))
        with pytest.raises(NotSent) as caught:
            await http.send(origin, counting(calls), timeout_s=1)
        assert (caught.value.kind, caught.value.effect) == (ErrorKind.NOT_SENT, Effect.NONE)
        assert caught.value.remedy
        assert calls == []

    play(never_called, client)


def test_a_host_that_does_not_resolve_is_not_sent():
    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        with pytest.raises(NotSent, match=r"no connection to http://nowhere\.example: .*resolve"):
            await http.send(Origin("http", "nowhere.example", 80), post(), timeout_s=1)

    play(never_called, client)


@pytest.mark.parametrize(("timeout_s", "connect_timeout_s", "expected_s"), [(3.0, 10.0, 3), (30.0, 10.0, 10)])
def test_a_connect_that_hangs_is_not_sent_at_the_nearer_deadline(timeout_s, connect_timeout_s, expected_s):
    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        peer.runtime.net.faults.add(LinkFault(hang=True))
        started = peer.runtime.clock.mono_ns()
        with pytest.raises(NotSent, match="no connection to"):
            await http.send(origin, post(), timeout_s=timeout_s)
        assert (peer.runtime.clock.mono_ns() - started) // 1_000_000_000 == expected_s

    play(never_called, client, options=HttpOptions(connect_timeout_s=connect_timeout_s))


def test_what_prepare_raises_comes_out_with_nothing_sent_and_the_connection_kept():
    class NoKeyError(Exception):
        pass

    def prepare() -> WireRequest:
        raise NoKeyError

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        with pytest.raises(NoKeyError):
            await http.send(origin, prepare, timeout_s=1)
        assert written(peer) == 0
        assert (await http.send(origin, get(), timeout_s=1)).body == b"ok"
        assert len(peer.connections) == 1

    play(answer_all, client)


def test_prepare_runs_after_the_connection_stands():
    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        seen: list[int] = []

        def prepare() -> WireRequest:
            seen.append(len(peer.runtime.net.links))
            return post()()

        await http.send(origin, prepare, timeout_s=1)
        assert seen == [1]

    play(answer_all, client)


def test_a_deadline_that_has_passed_is_not_sent_on_an_open_connection_too():
    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        await http.warm(origin)
        with pytest.raises(NotSent, match="deadline"):
            await http.send(origin, post(), timeout_s=0)
        assert written(peer) == 0
        assert (await http.send(origin, get(), timeout_s=1)).status == 200

    play(answer_all, client)


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_a_connection_lost_under_a_request_is_maybe_sent(ending):
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        getattr(connection, ending)()

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        with pytest.raises(OutcomeUnknown) as caught:
            await http.send(origin, post(), timeout_s=1)
        assert caught.value.kind is ErrorKind.MAYBE_SENT
        assert (caught.value.effect, caught.value.retry) == (Effect.UNKNOWN, Retry.RESOLVE_FIRST)
        assert len(peer.requests) == 1

    play(script, client)


def test_a_reset_before_the_first_byte_arrives_is_maybe_sent_because_it_left():
    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        peer.runtime.net.faults.add(LinkFault(reset_to_server_after=0))
        with pytest.raises(OutcomeUnknown) as caught:
            await http.send(origin, post(), timeout_s=1)
        assert caught.value.kind is ErrorKind.MAYBE_SENT

    play(never_called_with_request, client)


async def never_called_with_request(connection: PeerConnection) -> None:
    await connection.request()
    raise AssertionError("the request must not get here whole")


@pytest.mark.parametrize("after", [0, 1, 17, 60])
def test_a_request_cut_at_any_byte_is_maybe_sent_and_never_repeated(after):
    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        peer.runtime.net.faults.add(LinkFault(reset_to_server_after=after))
        with pytest.raises(OutcomeUnknown) as caught:
            await http.send(origin, post(), timeout_s=1)
        assert caught.value.kind is ErrorKind.MAYBE_SENT
        assert written(peer) == after
        assert len(peer.connections) == 1

    play(never_called_with_request, client)


def test_a_reused_connection_that_dies_under_a_request_is_maybe_sent():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(OK)
        await connection.request()
        connection.reset()

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        assert (await http.send(origin, get(), timeout_s=1)).status == 200
        with pytest.raises(OutcomeUnknown) as caught:
            await http.send(origin, post(), timeout_s=1)
        assert caught.value.kind is ErrorKind.MAYBE_SENT
        assert len(peer.requests) == 2
        assert len(peer.connections) == 1

    play(script, client)


def test_a_kept_connection_found_closed_is_left_for_a_fresh_one():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(OK)
        connection.close()

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        await http.send(origin, get(), timeout_s=1)
        await peer.runtime.sleep(1)
        assert (await http.send(origin, post(), timeout_s=1)).status == 200
        assert len(peer.connections) == 2
        assert len(peer.requests) == 2

    play(script, client)


def test_a_close_that_waits_unread_in_the_kernel_is_seen_before_the_write():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(OK)
        await connection.request()
        connection.send(OK)

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        await http.send(origin, get(), timeout_s=1)
        first = peer.runtime.net.links[0].to_client
        first.sink.pause_reading()  # bytes and ends arrive, and the loop has not looked yet
        peer.connections[0].close()
        await peer.runtime.sleep(1)
        assert peer.runtime.net.readable(first.sink)()
        assert (await http.send(origin, post(), timeout_s=1)).status == 200
        assert len(peer.connections) == 2

    play(script, client)


def test_a_silent_server_is_a_timeout_and_its_connection_is_never_reused():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        if connection.number == 0:
            await asyncio.sleep(2)
            connection.send(OK.replace(b"ok", b"NO"))  # the late reply must not answer the next request
        else:
            connection.send(OK)

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        with pytest.raises(OutcomeUnknown, match=r"no reply within 1\.5 s") as caught:
            await http.send(origin, post(), timeout_s=1.5)
        assert caught.value.kind is ErrorKind.TIMEOUT
        assert caught.value.effect is Effect.UNKNOWN
        assert (await http.send(origin, post(), timeout_s=5)).body == b"ok"
        assert len(peer.connections) == 2

    play(script, client)


def test_a_reply_that_stops_in_its_body_is_a_timeout():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(OK[:-1])

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        with pytest.raises(OutcomeUnknown, match="no end of the reply") as caught:
            await http.send(origin, post(), timeout_s=1)
        assert caught.value.kind is ErrorKind.TIMEOUT

    play(script, client)


def test_a_reply_that_drips_is_bounded_by_the_whole_deadline():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            await asyncio.sleep(0.1)
            connection.send(b"x")

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        started = peer.runtime.clock.mono_ns()
        with pytest.raises(OutcomeUnknown) as caught:
            await http.send(origin, post(), timeout_s=2)
        assert caught.value.kind is ErrorKind.TIMEOUT
        assert peer.runtime.clock.mono_ns() - started == 2_000_000_000

    play(script, client)


def test_a_black_holed_request_is_a_timeout():
    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        peer.runtime.net.faults.add(LinkFault(mute_to_server_after=0))
        with pytest.raises(OutcomeUnknown) as caught:
            await http.send(origin, post(), timeout_s=1)
        assert caught.value.kind is ErrorKind.TIMEOUT

    play(never_called_with_request, client)


def test_cancelling_the_caller_closes_the_connection():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        await connection.lost.wait()

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await http.send(origin, post(), timeout_s=10)
        await peer.runtime.sleep(1)
        assert peer.connections[0].lost.is_set()
        peer.script = answer_all
        assert (await http.send(origin, get(), timeout_s=1)).status == 200
        assert len(peer.connections) == 2

    play(script, client)


def test_unasked_bytes_on_an_idle_connection_close_it():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(OK)
        await asyncio.sleep(1)
        if connection.number == 0:
            connection.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        await http.send(origin, get(), timeout_s=1)
        await peer.runtime.sleep(2)
        assert peer.connections[0].lost.is_set()
        assert (await http.send(origin, post(), timeout_s=1)).status == 200

    play(script, client)


def test_a_second_reply_glued_to_the_first_is_dropped_with_the_connection():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(OK + OK.replace(b"ok", b"NO"))
        connection.close()

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        for _ in range(3):
            assert (await http.send(origin, get(), timeout_s=1)).body == b"ok"
            await peer.runtime.sleep(1)
        assert len(peer.connections) == 3

    play(script, client)


def test_closing_the_client_ends_requests_as_a_lost_connection_does():
    async def script(connection: PeerConnection) -> None:
        await connection.request()

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        request = asyncio.ensure_future(http.send(origin, post(), timeout_s=10))
        await peer.runtime.sleep(1)
        await http.close()
        with pytest.raises(OutcomeUnknown) as caught:
            await request
        assert caught.value.kind is ErrorKind.MAYBE_SENT
        with pytest.raises(UsageError, match="closed"):
            await http.send(origin, get(), timeout_s=1)

    play(script, client)


def test_closing_the_client_while_it_connects_is_not_sent():
    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        peer.runtime.net.faults.add(LinkFault(delay_s=1))
        request = asyncio.ensure_future(http.send(origin, post(), timeout_s=10))
        await peer.runtime.sleep(0.5)
        await http.close()
        with pytest.raises(NotSent):
            await request
        assert written(peer) == 0

    play(answer_all, client)


def test_errors_show_no_query_no_header_and_no_body():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(b"nonsense")

    secrets = ("q-secret", "h-secret", "b-secret")

    def prepare() -> WireRequest:
        return WireRequest("POST", f"/orders/regular?t={secrets[0]}", (("Authorization", secrets[1]),), b"b-secret")

    async def client(http: Client, origin: Origin, peer: Peer) -> None:
        with pytest.raises(OutcomeUnknown, match=r"POST /orders/regular to http://127\.0\.0\.1: ") as caught:
            await http.send(origin, prepare, timeout_s=1)
        error: BaseException | None = caught.value
        while error is not None:
            assert not any(secret in f"{error!s}{error!r}" for secret in secrets)
            error = error.__cause__ or error.__context__
        assert not any(secret in repr(prepare()) for secret in secrets)

    play(script, client)
