"""The HTTP client on real sockets: TLS that verifies, tunnels through a proxy, both event loops."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ssl

import pytest
import trustme

from dragoman.errors import ErrorKind, NotSent, OutcomeUnknown, UsageError
from dragoman.runtime import loops
from dragoman.runtime.real import RealRuntime
from dragoman.transport.base import HttpOptions, Origin, WireRequest
from dragoman.transport.http import HttpClient
from dragoman.transport.http_connect import Proxy
from dragoman.transport.tls import client_context
from wire.http_peer import OK, get, post

HOST = "127.0.0.1"


class Server(asyncio.Protocol):
    """Answers every request with `OK`; keeps what it received for all connections together."""

    received: list[bytes]

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received.append(data)
        if data.endswith((b"\r\n\r\n", b"quantity=1")):
            self.transport.write(OK)


class ConnectProxy(asyncio.Protocol):
    """Opens a tunnel for CONNECT, or gives `answer` and nothing else."""

    heads: list[bytes]
    answer: bytes | None = None
    runtime: RealRuntime

    def connection_made(self, transport):
        self.transport = transport
        self.buffer = b""
        self.upstream = None

    def data_received(self, data):
        if self.upstream is not None:
            self.upstream.write(data)
            return
        self.buffer += data
        if b"\r\n\r\n" in self.buffer:
            self.heads.append(self.buffer)
            if self.answer is not None:
                self.transport.write(self.answer)
                if not self.answer:
                    self.transport.close()
                return
            self.task = asyncio.get_running_loop().create_task(self.open())

    async def open(self):
        port = int(self.heads[-1].split(b" ")[1].rpartition(b":")[2])
        downstream = self.transport

        class Back(asyncio.Protocol):
            def data_received(self, data):
                downstream.write(data)

            def connection_lost(self, exc):
                downstream.close()

        self.upstream, _ = await self.runtime.net.connect(Back, HOST, port, timeout=5)
        downstream.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")

    def connection_lost(self, exc):
        if self.upstream is not None:
            self.upstream.close()


class World:
    """A server with or without TLS, a proxy, and clients that trust `authority`."""

    def __init__(self, runtime: RealRuntime, authority: trustme.CA) -> None:
        self.runtime = runtime
        self.authority = authority
        self.received: list[bytes] = []
        self.proxy_heads: list[bytes] = []
        self.closing: list = []

    async def serve(self, *, tls: ssl.SSLContext | None = None, host: str = "localhost") -> Origin:
        factory = type("Serving", (Server,), {"received": self.received})
        listener = await self.runtime.net.listen(factory, HOST, 0, tls=tls)
        self.closing.append(listener)
        return Origin("https" if tls else "http", host, listener.port)

    async def proxy(self, answer: bytes | None = None) -> str:
        body = {"heads": self.proxy_heads, "answer": answer, "runtime": self.runtime}
        listener = await self.runtime.net.listen(type("Proxying", (ConnectProxy,), body), HOST, 0)
        self.closing.append(listener)
        return f"{HOST}:{listener.port}"

    def client(self, *, trusting: bool = True, **options) -> HttpClient:
        context = client_context()
        if trusting:
            self.authority.configure_trust(context)
        http = HttpClient(self.runtime, HttpOptions(**options), context)
        self.closing.insert(0, http)
        return http

    def server_context(self, certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request, authority):
    """Run a scenario in a world of its own, on either loop."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    unhandled = []

    def runner(scenario):
        async def main():
            asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
            runtime = RealRuntime()
            world = World(runtime, authority)
            try:
                async with asyncio.timeout(20):
                    return await scenario(world)
            finally:
                for thing in world.closing:
                    await thing.close()
                await runtime.sleep(0.01)
                runtime.close()

        result = (asyncio.run if request.param == "asyncio" else loops.run)(main())
        assert not unhandled
        return result

    return runner


def test_requests_share_a_connection_in_the_clear(play):
    async def scenario(world):
        origin = await world.serve()
        http = world.client()
        ports = set()
        for _ in range(5):
            reply = await http.send(origin, post(), timeout_s=5)
            assert (reply.status, reply.body) == (200, b"ok")
            assert reply.mono_sent_ns < reply.mono_recv_ns
            ports |= {id(connection) for connection in http._pools[origin]._all}
        assert len(ports) == 1
        assert sum(data.startswith(b"POST ") for data in world.received) == 5

    play(scenario)


def test_requests_share_a_connection_over_tls(play, authority):
    async def scenario(world):
        origin = await world.serve(tls=world.server_context(authority.issue_cert("localhost")))
        http = world.client()
        for _ in range(5):
            assert (await http.send(origin, post(), timeout_s=5)).body == b"ok"
        assert http._pools[origin].size == 1

    play(scenario)


def test_a_warm_tls_connection_serves_the_first_request(play, authority):
    async def scenario(world):
        origin = await world.serve(tls=world.server_context(authority.issue_cert("localhost")))
        http = world.client()
        await http.warm(origin)
        assert (await http.send(origin, post(), timeout_s=5)).body == b"ok"
        assert http._pools[origin].size == 1

    play(scenario)


@pytest.mark.parametrize("case", ["untrusted", "self-signed", "wrong host", "expired", "old protocol", "no tls"])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_a_server_that_cannot_be_verified_is_refused_with_zero_request_bytes(play, authority, case):
    async def scenario(world):
        prepared = []
        certificate = authority.issue_cert("localhost")
        if case == "untrusted":
            certificate = trustme.CA().issue_cert("localhost")
        elif case == "wrong host":
            certificate = authority.issue_cert("other.example")
        elif case == "expired":
            yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
            certificate = authority.issue_cert("localhost", not_after=yesterday)
        context = world.server_context(certificate)
        if case == "self-signed":
            context = self_signed_context()
        elif case == "old protocol":
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        origin = await world.serve(tls=None if case == "no tls" else context)
        origin = Origin("https", origin.host, origin.port)

        def prepare():
            prepared.append(True)
            return WireRequest("POST", "/orders?secret", (), b"")

        with pytest.raises(NotSent) as caught:
            await world.client(connect_timeout_s=1).send(origin, prepare, timeout_s=5)
        assert caught.value.kind is ErrorKind.NOT_SENT
        assert caught.value.remedy
        assert prepared == []
        assert not any(b"POST" in data for data in world.received)

    play(scenario)


def self_signed_context() -> ssl.SSLContext:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.private_key_pem.tempfile() as key, authority.cert_pem.tempfile() as certificate:
        context.load_cert_chain(certificate, key)
    return context


def test_the_context_verifies_and_a_private_root_only_adds_trust(tmp_path, authority):
    path = tmp_path / "root.pem"
    authority.cert_pem.write_to_path(str(path))
    plain, private = client_context(), client_context(str(path))
    for context in (plain, private):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert private.cert_store_stats()["x509_ca"] == plain.cert_store_stats()["x509_ca"] + 1
    with pytest.raises(OSError):
        client_context(str(tmp_path / "absent.pem"))


@pytest.mark.parametrize("switch", ["check_hostname", "verify_mode"])
def test_a_context_that_does_not_verify_is_refused(switch):
    context = client_context()
    context.check_hostname = False
    if switch == "verify_mode":
        context.verify_mode = ssl.CERT_NONE
    with pytest.raises(UsageError, match="does not verify"):
        HttpClient(RealRuntime(), HttpOptions(), context)


def test_tls_goes_end_to_end_through_a_proxy(play, authority):
    async def scenario(world):
        origin = await world.serve(tls=world.server_context(authority.issue_cert("localhost")))
        http = world.client(proxy=f"http://user:pass%40word@{await world.proxy()}")
        for _ in range(3):
            assert (await http.send(origin, post(), timeout_s=5)).body == b"ok"
        authority_part = f"localhost:{origin.port}".encode()
        assert world.proxy_heads == [
            b"CONNECT " + authority_part + b" HTTP/1.1\r\nHost: " + authority_part + b"\r\n"
            b"Proxy-Authorization: Basic dXNlcjpwYXNzQHdvcmQ=\r\n\r\n"
        ]

    play(scenario)


def test_a_plain_origin_is_tunnelled_too(play):
    async def scenario(world):
        origin = await world.serve()
        http = world.client(proxy=f"http://{await world.proxy()}")
        assert (await http.send(origin, post(), timeout_s=5)).body == b"ok"
        assert len(world.proxy_heads) == 1

    play(scenario)


def test_a_server_behind_a_proxy_is_verified_as_any_other(play, authority):
    async def scenario(world):
        origin = await world.serve(tls=world.server_context(authority.issue_cert("other.example")))
        http = world.client(proxy=f"http://{await world.proxy()}")
        with pytest.raises(NotSent, match="Hostname mismatch"):
            await http.send(origin, post(), timeout_s=5)
        assert not world.received

    play(scenario)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "answered 407"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "answered 502"),
        (b"SSH-2.0-x\r\n\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\nextra", "bytes of its own"),
        (b"a" * 20_000, "too long"),
        (b"", "closed the connection"),
        (b"HTTP/1.1 200 OK\r\n", "did not open a tunnel in time"),
    ],
)
def test_a_proxy_that_opens_no_tunnel_is_not_sent(play, answer, message):
    async def scenario(world):
        origin = await world.serve()
        http = world.client(proxy=f"http://user:hush@{await world.proxy(answer)}", connect_timeout_s=0.3)
        with pytest.raises(NotSent, match=message) as caught:
            await http.send(origin, post(), timeout_s=5)
        assert "hush" not in f"{caught.value} {caught.value.__cause__!r}"
        assert not world.received

    play(scenario)


def test_a_proxy_shows_no_credentials():
    proxy = Proxy.parse("http://user:hush@proxy.example:3128")
    assert (proxy.host, proxy.port) == ("proxy.example", 3128)
    assert "hush" not in repr(proxy)
    assert "user" not in repr(proxy)


def test_an_unused_port_is_not_sent(play):
    async def scenario(world):
        origin = await world.serve()
        await world.closing.pop().close()
        with pytest.raises(NotSent, match="no connection to http://localhost"):
            await world.client().send(origin, post(), timeout_s=5)

    play(scenario)


def test_a_source_address_is_bound_and_one_that_is_not_ours_is_not_sent(play):
    async def scenario(world):
        origin = await world.serve(host=HOST)
        reply = await world.client(source_address="127.0.0.3").send(origin, get(), timeout_s=5)
        assert reply.status == 200
        with pytest.raises(NotSent):
            await world.client(source_address="203.0.113.7").send(origin, get(), timeout_s=5)

    play(scenario)


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_dies_under_a_request_leaves_it_maybe_sent(play, authority, tls):
    async def scenario(world):
        class Dying(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport

            def data_received(self, data):
                self.transport.abort()

        context = world.server_context(authority.issue_cert("localhost")) if tls else None
        listener = await world.runtime.net.listen(Dying, HOST, 0, tls=context)
        world.closing.append(listener)
        with pytest.raises(OutcomeUnknown) as caught:
            await world.client().send(
                Origin("https" if tls else "http", "localhost", listener.port), post(), timeout_s=5
            )
        assert caught.value.kind is ErrorKind.MAYBE_SENT

    play(scenario)


WITHOUT_LENGTH = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
ZIPPED = gzip.compress(b'{"status":"success"}', mtime=0)  # the same in every process: it names tests


@pytest.mark.parametrize("ending", ["close", "abort"])
@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"\r\nok", None),
        (b"\r\n", None),
        (b"Content-Length: 2\r\n\r\nok", b"ok"),
        (b"Content-Encoding: gzip\r\n\r\n" + ZIPPED, b'{"status":"success"}'),
        (b"Content-Encoding: gzip\r\n\r\n" + ZIPPED[:-3], None),
    ],
)
def test_over_tls_a_body_that_may_have_been_cut_off_is_no_whole_reply(play, authority, data, body, ending):
    async def scenario(world):
        class Ending(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport

            def data_received(self, received):
                self.transport.write(WITHOUT_LENGTH + data)
                # Later, so that the reply is out before the connection goes.
                asyncio.get_running_loop().call_later(0.05, getattr(self.transport, ending))

        context = world.server_context(authority.issue_cert("localhost"))
        listener = await world.runtime.net.listen(Ending, HOST, 0, tls=context)
        world.closing.append(listener)
        asked = world.client().send(Origin("https", "localhost", listener.port), post(), timeout_s=5)
        if body is not None:
            assert (await asked).body == body
            return
        with pytest.raises(OutcomeUnknown) as caught:
            await asked
        assert caught.value.kind is ErrorKind.BAD_RESPONSE

    play(scenario)


@pytest.mark.parametrize("tls", [False, True])
def test_a_kept_connection_the_server_closed_is_noticed_before_the_next_write(play, authority, tls):
    async def scenario(world):
        closed = asyncio.Event()

        class Once(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport

            def data_received(self, data):
                self.transport.write(OK)
                self.transport.close()

            def connection_lost(self, exc):
                closed.set()

        context = world.server_context(authority.issue_cert("localhost")) if tls else None
        listener = await world.runtime.net.listen(Once, HOST, 0, tls=context)
        world.closing.append(listener)
        origin = Origin("https" if tls else "http", "localhost", listener.port)
        http = world.client()
        for _ in range(20):
            closed.clear()
            assert (await http.send(origin, post(), timeout_s=5)).body == b"ok"
            await closed.wait()

    play(scenario)


def test_a_large_download_streams(play, authority):
    async def scenario(world):
        body = bytes(range(256)) * 40_000

        class Big(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport

            def data_received(self, data):
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

        listener = await world.runtime.net.listen(
            Big, HOST, 0, tls=world.server_context(authority.issue_cert("localhost"))
        )
        world.closing.append(listener)
        pieces = []
        http = world.client(max_body_bytes=1000)
        origin = Origin("https", "localhost", listener.port)
        reply = await http.download(origin, get(), pieces.append, timeout_s=5)
        assert reply.status == 200
        assert b"".join(pieces) == body

    play(scenario)


@pytest.mark.parametrize("tls", [False, True])
def test_closing_the_client_ends_within_its_bound_on_a_dead_peer(play, authority, tls):
    async def scenario(world):
        peers = []

        class Deaf(Server):
            received = world.received

            def connection_made(self, transport):
                super().connection_made(transport)
                peers.append(transport)

            def data_received(self, data):
                super().data_received(data)
                self.transport.pause_reading()  # will not answer the closing of TLS either

        context = world.server_context(authority.issue_cert("localhost")) if tls else None
        listener = await world.runtime.net.listen(Deaf, HOST, 0, tls=context)
        world.closing.append(listener)
        http = world.client()
        await http.send(Origin("https" if tls else "http", "localhost", listener.port), get(), timeout_s=5)
        async with asyncio.timeout(4):
            await http.close()
        for peer in peers:
            peer.abort()

    play(scenario)
