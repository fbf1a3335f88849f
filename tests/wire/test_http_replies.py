"""Replies: every framing and encoding, every cap, any split, any garbage."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dragoman.errors import ErrorKind, OutcomeUnknown, UsageError
from dragoman.plugin import Reply
from dragoman.transport.base import HttpOptions, Origin, WireRequest
from dragoman.transport.http import HttpClient
from dragoman.transport.http_body import BadReplyError
from dragoman.transport.http_encode import RequestEncoder
from dragoman.transport.http_parse import ReplyParser
from wire.http_peer import OK, Peer, PeerConnection, answer_all, get, play, reply_to

JSON = b'{"status": "success", "data": {"order_id": "1"}}'


def deflate(data: bytes) -> bytes:
    """Compress without the zlib header."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def framed(body: bytes, *lines: str) -> bytes:
    return head(f"Content-Length: {len(body)}", *lines) + body


def chunked(body: bytes, size: int, *lines: str) -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return (
        head("Transfer-Encoding: chunked", *lines)
        + b"".join(f"{len(piece):x};name=value\r\n".encode() + piece + b"\r\n" for piece in pieces)
        + b"0\r\nTrailer: ignored\r\n\r\n"
    )


GOOD = {
    "length": (framed(JSON), JSON),
    "empty": (framed(b""), b""),
    "chunked": (chunked(JSON, 7), JSON),
    "gzip": (framed(gzip.compress(JSON), "Content-Encoding: gzip"), JSON),
    "gzip chunked": (chunked(gzip.compress(JSON), 5, "Content-Encoding: GZIP"), JSON),
    "gzip of two members": (framed(gzip.compress(b"a") + gzip.compress(b"b"), "Content-Encoding: x-gzip"), b"ab"),
    "gzip with padding": (framed(gzip.compress(JSON) + b"\0" * 9, "Content-Encoding: gzip"), JSON),
    "gzip announced, nothing sent": (framed(b"", "Content-Encoding: gzip"), b""),
    "deflate with zlib header": (framed(zlib.compress(JSON), "Content-Encoding: deflate"), JSON),
    "deflate without": (framed(deflate(JSON), "Content-Encoding: deflate"), JSON),
    # All input is taken when the first piece of output is full, and one byte is still to come.
    "deflate that ends inside a piece": (framed(deflate(bytes(65537)), "Content-Encoding: deflate"), bytes(65537)),
    "identity": (framed(JSON, "Content-Encoding: identity"), JSON),
    "after interim replies": (head(status="100 Continue") + head("Link: x", status="103 Early Hints") + OK, b"ok"),
    "no content": (head("Content-Length: 5", status="204 No Content"), b""),
    "not modified": (head("Content-Length: 5", status="304 Not Modified"), b""),
    "one mebibyte of one byte": (framed(gzip.compress(bytes(1 << 20)), "Content-Encoding: gzip"), bytes(1 << 20)),
}

BAD = {
    "html": b"<html><body>Bad Gateway</body></html>",
    "http/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "http/2 after an interim reply": head(status="100 Continue") + b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "two lengths": head("Content-Length: 2", "Content-Length: 3") + b"okk",
    "length and chunks": head("Content-Length: 2", "Transfer-Encoding: chunked") + b"ok",
    "negative length": head("Content-Length: -1"),
    "absurd length": head(f"Content-Length: {10**30}"),
    "length over the cap": head("Content-Length: 2000000"),
    "chunk of no hexadecimal size": head("Transfer-Encoding: chunked") + b"zz\r\n",
    "other transfer encoding": head("Transfer-Encoding: gzip"),
    "other content encoding": framed(b"x", "Content-Encoding: br"),
    "damaged gzip": framed(b"\x1f\x8bnot gzip at all", "Content-Encoding: gzip"),
    "cut gzip": framed(gzip.compress(JSON)[:-9], "Content-Encoding: gzip"),
    "cut deflate": framed(zlib.compress(JSON)[:-5], "Content-Encoding: deflate"),
    "one byte of deflate": framed(b"x", "Content-Encoding: deflate"),
    "gzip with rubbish behind": framed(gzip.compress(JSON) + b"rubbish", "Content-Encoding: gzip"),
    "deflate with rubbish behind": framed(zlib.compress(JSON) + b"rubbish", "Content-Encoding: deflate"),
    "gzip bomb": framed(gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip"),
    "header without end": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 10_000,
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 10_000,
    "interim replies without end": head(status="100 Continue") * 1_000,
    "trailer without end": head("Transfer-Encoding: chunked") + b"0\r\nX: " + b"a" * 300_000,
    "chunk extension without end": head("Transfer-Encoding: chunked") + b"1;" + b"a" * 300_000,
    "body over the cap in chunks": chunked(bytes(1_500_000), 100_000),
    "unasked upgrade": head("Upgrade: x", "Connection: upgrade", status="101 Switching Protocols"),
    "folded header": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
}

SMALL = HttpOptions(max_header_bytes=4096, max_body_bytes=1_100_000)


def parse(pieces: list[bytes], *, at_end: bool = False) -> tuple[int, dict[str, str], bytes]:
    parser = ReplyParser(SMALL.max_header_bytes, SMALL.max_body_bytes)
    done = False
    for piece in pieces:
        assert not done
        done = parser.feed(piece)
    if at_end:
        done = parser.end()
    assert done
    return parser.status, parser.headers, parser.take_body()


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("seed", range(3))
def test_a_whole_reply_of_any_framing_is_read(name, seed):
    data, body = GOOD[name]
    assert reply_to(data, options=SMALL, seed=seed).body == body


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.floats(0, 1), max_size=12))
def test_any_split_gives_the_same_reply(name, cuts):
    data, body = GOOD[name]
    at = sorted({0, len(data), *(int(cut * len(data)) for cut in cuts)})
    pieces = [data[a:b] for a, b in itertools.pairwise(at)]
    assert parse(pieces) == parse([data])
    assert parse(pieces)[2] == body


@pytest.mark.parametrize("name", [name for name in GOOD if name != "one mebibyte of one byte"])
def test_byte_by_byte_gives_the_same_reply(name):
    data, _ = GOOD[name]
    assert parse([data[i : i + 1] for i in range(len(data))]) == parse([data])


@pytest.mark.parametrize("name", GOOD)
def test_a_reply_cut_at_any_byte_is_never_taken_for_whole(name):
    data, _ = GOOD[name]
    for end in range(0, len(data) - 1, max(1, len(data) // 200)):
        parser = ReplyParser(SMALL.max_header_bytes, SMALL.max_body_bytes)
        assert not (data[:end] and parser.feed(data[:end]))
        assert not parser.end()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_reply_is_an_unknown_outcome_and_its_connection_is_closed(name):
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(BAD[name] if connection.number == 0 else OK)

    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        with pytest.raises(OutcomeUnknown) as caught:
            await http.send(origin, get(), timeout_s=5)
        assert caught.value.kind is ErrorKind.BAD_RESPONSE
        assert len(str(caught.value)) < 300
        await peer.runtime.sleep(1)
        assert peer.connections[0].lost.is_set()
        assert (await http.send(origin, get(), timeout_s=5)).status == 200
        assert len(peer.connections) == 2

    play(script, client, options=SMALL)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400) | st.binary(max_size=200).map(lambda tail: OK[:17] + tail), size=st.integers(1, 50))
@example(data=b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n", size=50)
def test_any_bytes_give_a_reply_a_typed_error_or_a_wait_for_more(data, size):
    parser = ReplyParser(4096, 4096)
    why = ""
    try:
        for at in range(0, len(data), size):
            if parser.feed(data[at : at + size]):
                break
        parser.end()
    except BadReplyError as error:
        why = str(error)
    assert len(why) < 200
    assert bool(why) <= (not parser.done)
    assert len(parser.take_body()) <= 4096


@pytest.mark.parametrize("over", [0, 1])
def test_the_header_cap_is_exact(over):
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: "
    pad = 1000 - len(start) - 4 + over
    data = start + b"a" * pad + b"\r\n\r\nok"
    options = HttpOptions(max_header_bytes=1000)
    if over:
        with pytest.raises(OutcomeUnknown, match="the head is longer than 1000 bytes"):
            reply_to(data, options=options)
    else:
        assert reply_to(data, options=options).body == b"ok"


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("over", [0, 1])
def test_the_body_cap_is_exact(encoding, over):
    body = bytes(1000 + over)
    data = framed(gzip.compress(body), "Content-Encoding: gzip") if encoding else chunked(body, 300)
    options = HttpOptions(max_body_bytes=1000)
    if over:
        with pytest.raises(OutcomeUnknown, match="the body is longer than 1000 bytes"):
            reply_to(data, options=options)
    else:
        assert reply_to(data, options=options).body == body


def test_a_body_that_ends_with_the_connection_is_read_to_its_end():
    assert reply_to(head("Connection: close") + JSON, then_close=True).body == JSON


def test_a_body_that_ends_with_a_reset_is_a_bad_reply():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(head("Connection: close") + JSON)
        await asyncio.sleep(1)
        connection.reset()

    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        with pytest.raises(OutcomeUnknown, match="before the end of the body") as caught:
            await http.send(origin, get(), timeout_s=5)
        assert caught.value.kind is ErrorKind.BAD_RESPONSE

    play(script, client)


@pytest.mark.parametrize("data", [framed(JSON)[:-1], chunked(JSON, 9)[:-2]])
def test_a_truncated_body_is_a_bad_reply(data):
    with pytest.raises(OutcomeUnknown, match="before the end of the body") as caught:
        reply_to(data, then_close=True)
    assert caught.value.kind is ErrorKind.BAD_RESPONSE


def test_a_truncated_head_is_a_lost_connection():
    with pytest.raises(OutcomeUnknown) as caught:
        reply_to(OK[:20], then_close=True)
    assert caught.value.kind is ErrorKind.MAYBE_SENT


def test_a_reply_to_head_has_no_body_whatever_it_announces():
    reply = reply_to(head("Content-Length: 1000"), method="HEAD")
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "1000")


@pytest.mark.parametrize("last", [b"Connection: close\r\n", b""])
def test_a_connection_the_server_will_close_is_not_reused(last):
    version = b"HTTP/1.1" if last else b"HTTP/1.0"

    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(version + b" 200 OK\r\n" + last + b"Content-Length: 2\r\n\r\nok")

    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        for _ in range(2):
            assert (await http.send(origin, get(), timeout_s=1)).body == b"ok"
        assert len(peer.connections) == 2

    play(script, client)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_returned_and_not_followed(status):
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(head("Location: http://127.0.0.1:80/elsewhere", "Content-Length: 0", status=f"{status} Go"))

    async def client(http: HttpClient, origin: Origin, peer: Peer) -> Reply:
        reply = await http.send(origin, get(), timeout_s=1)
        await peer.runtime.sleep(1)
        assert len(peer.requests) == 1
        return reply

    reply = play(script, client)
    assert (reply.status, reply.headers["location"]) == (status, "http://127.0.0.1:80/elsewhere")


def test_header_names_are_lower_case_and_repeated_ones_joined():
    reply = reply_to(framed(b"", "X-Limit: 1", "x-limit: 2", "Content-Type: text/html"))
    assert reply.headers == {"content-length": "0", "x-limit": "1, 2", "content-type": "text/html"}


def test_times_are_those_of_the_write_and_of_the_last_byte():
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(OK[:-1])
        await asyncio.sleep(3)
        connection.send(OK[-1:])

    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        clock = peer.runtime.clock
        await http.warm(origin)
        started = clock.mono_ns()
        reply = await http.send(origin, get(), timeout_s=5)
        assert reply.mono_sent_ns == started
        assert reply.mono_recv_ns == clock.mono_ns()
        assert 3_000_000_000 < reply.mono_recv_ns - reply.mono_sent_ns < 3_010_000_000
        assert reply.ts_recv == clock.wall_ns()

    play(script, client)


# Requests


def sent(request: WireRequest) -> bytes:
    async def client(http: HttpClient, origin: Origin, peer: Peer) -> bytes:
        await http.send(origin, lambda: request, timeout_s=1)
        return peer.requests[0]

    return play(answer_all, client)


def test_a_request_is_written_exactly():
    request = WireRequest("POST", "/orders?x=%20", (("Authorization", "token a:b"), ("Content-Type", "x")), b"\r\n\0")
    assert sent(request) == (
        b"POST /orders?x=%20 HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: dragoman\r\nAccept-Encoding: gzip\r\n"
        b"Authorization: token a:b\r\nContent-Type: x\r\nContent-Length: 3\r\n\r\n\r\n\0"
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_an_empty_body_is_announced_where_one_is_expected(method):
    assert b"\r\nContent-Length: 0\r\n" in sent(WireRequest(method, "/", ()))


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_no_body_is_announced_where_none_is_expected(method):
    assert b"Content-Length" not in sent(WireRequest(method, "/", ()))


def test_a_request_may_name_its_own_agent_and_encodings():
    written = sent(WireRequest("GET", "/", (("user-agent", "mine"), ("Accept-Encoding", "identity"))))
    assert written.count(b"ser-") == 1
    assert written.lower().count(b"accept-encoding") == 1
    assert b"user-agent: mine\r\n" in written


@pytest.mark.parametrize("bad", ["\r", "\n", "\r\nX: y", "\0"])
@pytest.mark.parametrize("place", ["method", "target", "name", "value"])
def test_a_line_break_anywhere_in_the_head_is_refused_with_zero_bytes_sent(bad, place):
    parts = {"method": "GET", "target": "/a", "name": "X-Key", "value": "secret"}
    parts[place] += bad
    request = WireRequest(parts["method"], parts["target"], (("A", "b"), (parts["name"], parts["value"])))

    async def client(http: HttpClient, origin: Origin, peer: Peer) -> None:
        with pytest.raises(UsageError) as caught:
            await http.send(origin, lambda: request, timeout_s=1)
        assert "secret" not in str(caught.value)
        await peer.runtime.sleep(1)
        assert peer.runtime.net.links[0].to_server.delivered == 0
        assert (await http.send(origin, get(), timeout_s=1)).status == 200
        assert len(peer.connections) == 1

    play(answer_all, client)


@pytest.mark.parametrize("target", ["", "/a b", "/ü", "/a\tb", "/\x7f"])
def test_a_target_that_is_not_printable_ascii_is_refused(target):
    with pytest.raises(UsageError, match="request target"):
        RequestEncoder(Origin("http", "h", 80), "x").encode(WireRequest("GET", target, ()))


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "CONNECTION", "Expect", "Upgrade"])
def test_headers_that_frame_the_message_cannot_be_given(name):
    with pytest.raises(UsageError, match="set by the HTTP client"):
        RequestEncoder(Origin("http", "h", 80), "x").encode(WireRequest("GET", "/", ((name, "1"),)))


@pytest.mark.parametrize("value", ["₹", "\u2028"])
def test_values_outside_latin_1_are_refused(value):
    with pytest.raises(UsageError, match="Latin-1"):
        RequestEncoder(Origin("http", "h", 80), "x").encode(WireRequest("GET", "/", (("X", value),)))


@given(
    st.lists(
        st.tuples(st.text(max_size=8), st.text(max_size=8) | st.sampled_from(["a\r\nB: c", "\n", "x\r"])), max_size=4
    ),
    st.text(min_size=1, max_size=8),
)
def test_what_is_encoded_has_exactly_the_lines_that_were_given(headers, target):
    try:
        data = RequestEncoder(Origin("http", "h", 80), "x").encode(WireRequest("GET", target, tuple(headers)))
    except UsageError:
        return
    own = sum(name.lower() in ("user-agent", "accept-encoding") for name in {name.lower() for name, _ in headers})
    assert len(data.decode("latin-1").split("\n")) - 1 == 1 + 3 - own + len(headers) + 1


@pytest.mark.parametrize("host", ["a b", "h\r\nX: y", "", "h/path", "u@h"])
def test_a_host_that_is_none_is_refused(host):
    with pytest.raises(UsageError, match="not a host name"):
        RequestEncoder(Origin("http", host, 80), "x")


# Downloads


def download(reply: bytes, *, sink=None, timeout_s: float = 5, then_close: bool = False):
    pieces: list[bytes] = []

    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(reply)
        if then_close:
            connection.close()

    async def client(http: HttpClient, origin: Origin, peer: Peer) -> Reply:
        return await http.download(origin, get(), sink or pieces.append, timeout_s=timeout_s)

    return play(script, client, options=SMALL), pieces


def test_a_download_goes_to_the_sink_beyond_the_cap_and_is_not_kept():
    body = bytes(range(256)) * 20_000
    for data in (framed(body), chunked(body, 9_999), framed(gzip.compress(body, 1), "Content-Encoding: gzip")):
        reply, pieces = download(data)
        assert b"".join(pieces) == body
        assert (reply.status, reply.body) == (200, b"")
        assert max(map(len, pieces)) <= 256 * 1024


def test_a_download_of_another_status_comes_back_whole():
    reply, pieces = download(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    assert (reply.status, reply.body, pieces) == (403, b"no", [])


def test_a_download_that_is_cut_is_a_bad_reply():
    with pytest.raises(OutcomeUnknown) as caught:
        download(framed(JSON)[:-1], then_close=True)
    assert caught.value.kind is ErrorKind.BAD_RESPONSE


def test_what_the_sink_raises_ends_the_download():
    class FullError(Exception):
        pass

    def sink(data: bytes) -> None:
        raise FullError

    with pytest.raises(FullError):
        download(framed(JSON), sink=sink)


@pytest.mark.parametrize(("pause_s", "fails"), [(1.5, False), (2.5, True)])
def test_the_timeout_of_a_download_bounds_each_silence_not_the_whole(pause_s, fails):
    async def script(connection: PeerConnection) -> None:
        await connection.request()
        connection.send(head("Content-Length: 10"))
        for _ in range(10):
            await asyncio.sleep(pause_s)
            connection.send(b"x")

    async def client(http: HttpClient, origin: Origin, peer: Peer) -> int:
        pieces: list[bytes] = []
        if fails:
            with pytest.raises(OutcomeUnknown) as caught:
                await http.download(origin, get(), pieces.append, timeout_s=2)
            assert caught.value.kind is ErrorKind.TIMEOUT
        else:
            await http.download(origin, get(), pieces.append, timeout_s=2)
        return len(pieces)

    assert play(script, client) == (0 if fails else 10)
