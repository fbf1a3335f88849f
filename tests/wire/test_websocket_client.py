"""The WebSocket client: one suite for picows on real sockets and for the twin in memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from dragoman.errors import DecodeError, NotSent, UsageError
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.transport.base import HandshakeRefusedError, WsOptions
from dragoman.transport.websocket import connect_ws
from wire.worlds import both, run_in
from wire.ws_server import Recorder, WsServer


@contextlib.asynccontextmanager
async def opened(runtime, *, fail_on="", options=None, greeting=b"", **more):
    """A server, its link, a client and its handler; the client is closed at the end, whatever happened."""
    handler = Recorder(fail_on)
    async with WsServer(runtime, greeting=greeting) as server:
        ws = await connect_ws(runtime, server.url, handler, options=options, **more)
        try:
            yield server.link, ws, handler
        finally:
            server.link.transport.abort()
            await ws.close()
    assert [event[0] for event in handler.events].count("closed") == 1


# -- messages


@both
def test_messages_of_both_kinds_go_both_ways_with_arrival_times(world):
    async def scenario(runtime):
        async with opened(runtime) as (link, ws, handler):
            before = runtime.clock.wall_ns()
            link.send(2, b"\x00\x01tick")
            link.send(1, "Größe ₹".encode())
            link.send(2, b"")
            assert await handler.until(3) == [("binary", b"\x00\x01tick"), ("text", "Größe ₹"), ("binary", b"")]
            assert all(before <= stamp <= runtime.clock.wall_ns() for stamp in handler.stamps)
            ws.send_text("₹")
            ws.send_binary(b"\xff\x00" * 40_000)
            assert await link.frame(1) == "₹".encode()
            while sum(len(frame[2]) for frame in link.frames) < 80_000:
                await runtime.sleep(0.001)

    run_in(world, scenario)


@both
def test_fragments_become_one_message_and_control_frames_may_come_between(world):
    async def scenario(runtime):
        async with opened(runtime) as (link, _, handler):
            text = "ab₹cd".encode()
            link.send(1, text[:3], fin=False)  # cuts the character in two
            link.send(9, b"still there?")
            link.send(0, b"", fin=False)
            link.send(0, text[3:])
            link.send(2, b"x" * 70_000, fin=False)
            link.send(0, b"y" * 70_000)
            assert await link.frame(10) == b"still there?"
            events = await handler.until(2)
            assert events == [("text", "ab₹cd"), ("binary", b"x" * 70_000 + b"y" * 70_000)]

    run_in(world, scenario)


@both
def test_frames_that_come_with_the_upgrade_reach_the_handler_after_the_caller_holds_the_connection(world):
    async def scenario(runtime):
        greeting = b"\x82\x05hello" * 3000
        async with opened(runtime, greeting=greeting) as (_, ws, handler):
            assert handler.events == []
            assert ws.open
            assert await handler.until(3000) == [("binary", b"hello")] * 3000

    run_in(world, scenario)


@both
def test_a_greeting_and_an_immediate_close_are_both_reported(world):
    async def scenario(runtime):
        greeting = b"\x81\x02no" + b"\x88\x06" + (4003).to_bytes(2, "big") + b"full"
        async with opened(runtime, greeting=greeting) as (_, _, handler):
            assert await handler.closed() == (4003, "full")
            assert handler.events[0] == ("text", "no")

    run_in(world, scenario)


# -- what the peer must not do

BAD = [
    ("reserved-bit", [(2, b"x", {"rsv": 4})], 1002),
    ("unknown-opcode", [(0x3, b"x", {})], 1002),
    ("unknown-control", [(0xB, b"x", {})], 1002),
    ("masked", [(2, b"x", {"mask": b"abcd"})], 1002),
    ("fragmented-ping", [(9, b"x", {"fin": False})], 1002),
    ("long-ping", [(9, b"x" * 126, {})], 1002),
    ("reserved-bit-on-ping", [(9, b"x", {"rsv": 1})], 1002),
    ("continuation-of-nothing", [(0, b"x", {})], 1002),
    ("message-inside-message", [(1, b"a", {"fin": False}), (2, b"b", {})], 1002),
    ("half-a-close-code", [(8, b"\x03", {})], 1002),
    ("close-code-0", [(8, b"\x00\x00", {})], 1002),
    ("close-code-1005", [(8, (1005).to_bytes(2, "big"), {})], 1002),
    ("close-code-1006", [(8, (1006).to_bytes(2, "big"), {})], 1002),
    ("close-code-2000", [(8, (2000).to_bytes(2, "big"), {})], 1002),
    ("close-code-5000", [(8, (5000).to_bytes(2, "big"), {})], 1002),
    ("close-reason-not-utf8", [(8, (1000).to_bytes(2, "big") + b"\xff", {})], 1007),
    ("text-not-utf8", [(1, b"ok \xff\xfe", {})], 1007),
    ("fragmented-text-not-utf8", [(1, b"\xe2\x82", {"fin": False}), (0, b"x", {})], 1007),
    ("long-frame", [(2, bytes(5001), {})], 1009),
    ("long-message", [(2, bytes(4000), {"fin": False}), (0, bytes(4000), {})], 1009),
    ("endless-message", [(2, b"x" * 1000, {"fin": False}), *[(0, b"x" * 1000, {"fin": False})] * 10], 1009),
]


@both
@pytest.mark.parametrize(("frames", "code"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_peer_that_breaks_the_protocol_is_closed_with_the_code_that_says_how(world, frames, code):
    async def scenario(runtime):
        options = WsOptions(max_frame_bytes=5000, max_message_bytes=6000, close_timeout_s=0.2)
        async with opened(runtime, options=options) as (link, ws, handler):
            for op, payload, more in frames:
                link.send(op, payload, **more)
            assert int.from_bytes((await link.frame(8))[:2], "big") == code
            link.send(2, b"must not arrive")
            assert (await handler.closed())[0] == code
            assert not ws.open
            assert [event[0] for event in handler.events] == ["closed"]

    run_in(world, scenario)


@both
def test_a_frame_within_the_frame_cap_but_over_the_message_cap_is_refused_too(world):
    async def scenario(runtime):
        options = WsOptions(max_frame_bytes=5000, max_message_bytes=100, close_timeout_s=0.2)
        async with opened(runtime, options=options) as (link, _, handler):
            link.send(2, bytes(101))
            assert (await handler.closed())[0] == 1009

    run_in(world, scenario)


@both
def test_a_frame_that_only_announces_a_huge_length_is_refused_on_its_header(world):
    async def scenario(runtime):
        async with opened(runtime) as (link, _, handler):
            link.transport.write(b"\x82\x7f" + (1 << 40).to_bytes(8, "big"))
            assert (await handler.closed())[0] == 1009

    run_in(world, scenario)


# -- handlers that fail


@both
@pytest.mark.parametrize("where", ["binary", "text", "pong"])
@pytest.mark.logs  # the log line is what it is about
def test_a_failing_handler_is_counted_and_logged_once_without_its_text_and_the_connection_lives_on(
    world, where, caplog
):
    async def scenario(runtime):
        async with opened(runtime, fail_on=where) as (link, ws, handler):
            for _ in range(5):
                link.send(2, b"secret payload")
                link.send(1, b"secret payload")
                link.send(10, b"")
            await handler.until(15)
            assert ws.handler_errors == 5
            assert ws.open
            ws.send_text("alive")
            assert await link.frame(1) == b"alive"

    with caplog.at_level(logging.DEBUG, logger="dragoman"):
        run_in(world, scenario)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    message = record.getMessage()
    assert f"Recorder.on_{where} raised ValueError" in message
    assert "ws_server.py" in message
    assert "secret" not in message
    assert record.exc_info is None


@both
def test_a_handler_that_fails_at_the_end_does_not_stop_the_end(world, caplog):
    async def scenario(runtime):
        async with opened(runtime, fail_on="closed") as (_, ws, handler):
            await ws.close()
            assert ws.handler_errors == 1
            assert handler.events == [("closed", 1000, "")]

    with caplog.at_level(logging.CRITICAL, logger="dragoman"):
        run_in_answering(world, scenario)


@both
def test_a_message_kept_beyond_the_call_cannot_be_read_any_more(world):
    async def scenario(runtime):
        async with opened(runtime, fail_on="keep") as (link, ws, handler):
            link.send(2, b"gone after the call")
            await handler.until(1)
            await runtime.sleep(0)
            with pytest.raises(ValueError, match="released"):
                bytes(handler.kept[0])
            assert ws.handler_errors == 0

    run_in(world, scenario)


@both
@pytest.mark.logs  # the handler that keeps its view is logged
def test_a_buffer_of_a_message_held_open_beyond_the_call_is_counted_as_an_error(world, caplog):
    async def scenario(runtime):
        async with opened(runtime, fail_on="buffer") as (link, ws, handler):
            link.send(2, b"gone after the call")
            await handler.until(1)
            await runtime.sleep(0)
            assert ws.handler_errors == 1
            handler.kept.clear()

    with caplog.at_level(logging.ERROR, logger="dragoman"):
        run_in(world, scenario)
    assert "on_binary kept its view" in caplog.text


def run_in_answering(world, scenario):
    """Run a scenario against servers that answer close frames."""

    async def answering(runtime):
        plain = runtime.net.listen

        async def listen(factory, *args, **options):
            def answer():
                link = factory()
                received = link.data_received

                def data_received(data):
                    received(data)
                    for op, _, payload in link.frames:
                        if op == 8:
                            link.send(8, payload[:2])
                            link.transport.close()

                link.data_received = data_received
                return link

            return await plain(answer, *args, **options)

        runtime.net.listen = listen
        return await scenario(runtime)

    return run_in(world, answering)


# -- liveness


@both
def test_our_pings_keep_a_connection_that_answers_them(world):
    async def scenario(runtime):
        options = WsOptions(ping_interval_s=0.02, ping_timeout_s=0.5)
        async with opened(runtime, options=options) as (link, ws, handler):
            for _ in range(5):
                link.send(10, await link.frame(9))
            await handler.until(5)
            assert handler.events[:5] == [("pong",)] * 5
            assert ws.open

    run_in(world, scenario)


@both
def test_a_peer_that_stops_answering_pings_is_given_up_with_1011(world):
    async def scenario(runtime):
        options = WsOptions(ping_interval_s=0.02, ping_timeout_s=0.05, close_timeout_s=0.05)
        async with opened(runtime, options=options) as (link, _, handler):
            link.send(10, await link.frame(9))
            assert await handler.closed() == (1011, "no pong within 0.05 s")
            assert int.from_bytes((await link.frame(8))[:2], "big") == 1011

    run_in(world, scenario)


@both
def test_pings_of_the_peer_are_left_alone_where_the_options_say_so(world):
    async def scenario(runtime):
        async with opened(runtime, options=WsOptions(auto_pong=False)) as (link, ws, handler):
            link.send(9, b"x")
            link.send(1, b"after")
            await handler.until(1)
            ws.send_text("done")
            await link.frame(1)
            assert link.frames == []

    run_in(world, scenario)


@both
def test_a_ping_by_hand_is_heard_of(world):
    async def scenario(runtime):
        async with opened(runtime) as (link, ws, handler):
            ws.ping()
            link.send(10, await link.frame(9))
            assert await handler.until(1) == [("pong",)]

    run_in(world, scenario)


# -- the end


@both
def test_closing_shakes_hands_and_reports_once(world):
    async def scenario(runtime):
        async with opened(runtime) as (link, ws, handler):
            closing = [runtime.spawn(ws.close(4000), name=f"close {i}") for i in range(3)]
            assert await link.frame(8) == (4000).to_bytes(2, "big")
            link.send(2, b"too late")
            link.send(8, (4000).to_bytes(2, "big"))
            await asyncio.gather(*closing)
            await ws.close()
            assert handler.events == [("closed", 4000, "")]
            await link.gone()

    run_in(world, scenario)


@both
def test_closing_a_connection_whose_peer_is_dead_does_not_wait_longer_than_told(world):
    async def scenario(runtime):
        async with opened(runtime, options=WsOptions(close_timeout_s=0.1)) as (link, ws, handler):
            link.transport.pause_reading()
            await ws.close()
            assert handler.events == [("closed", 1006, "the connection was lost without a close frame")]

    run_in(world, scenario)


@both
def test_a_close_of_the_peer_is_answered_and_reported_with_its_code_and_reason(world):
    async def scenario(runtime):
        async with opened(runtime) as (link, ws, handler):
            link.send(8, (1012).to_bytes(2, "big") + "Neustart ₹".encode())
            assert await handler.closed() == (1012, "Neustart ₹")
            assert await link.frame(8) == (1012).to_bytes(2, "big")
            assert not ws.open

    run_in(world, scenario)


@both
def test_a_close_without_a_code_is_1005(world):
    async def scenario(runtime):
        async with opened(runtime) as (link, _, handler):
            link.send(8)
            assert await handler.closed() == (1005, "")
            assert await link.frame(8) == (1000).to_bytes(2, "big")

    run_in(world, scenario)


@both
def test_a_connection_lost_without_a_close_frame_is_1006(world):
    async def scenario(runtime):
        async with opened(runtime) as (link, ws, handler):
            link.send(1, b"last words")
            await handler.until(1)
            link.transport.abort()
            assert (await handler.closed())[0] == 1006
            for send in (lambda: ws.send_text("x"), lambda: ws.send_binary(b"x"), ws.ping):
                with pytest.raises(NotSent, match="is closed"):
                    send()

    run_in(world, scenario)


@both
def test_a_peer_that_does_not_read_is_given_up_at_the_buffered_cap(world):
    async def scenario(runtime):
        options = WsOptions(max_buffered_bytes=200_000)
        async with opened(runtime, options=options) as (link, ws, handler):
            link.transport.pause_reading()
            for _ in range(1000):
                if not ws.open:
                    break
                ws.send_binary(bytes(100_000))
            with pytest.raises(NotSent):
                ws.send_binary(b"more")
            code, reason = await handler.closed()
            assert code == 1008
            assert "does not read" in reason

    run_in(world, scenario)


@both
def test_a_handler_may_close_and_send_from_inside_its_callbacks(world):
    class Busy(Recorder):
        def on_text(self, data, ts_recv):
            super().on_text(data, ts_recv)
            self.ws.send_text(data.upper())
            self.task = asyncio.ensure_future(self.ws.close(1001))

    async def scenario(runtime):
        handler = Busy()
        async with WsServer(runtime) as server:
            handler.ws = await connect_ws(runtime, server.url, handler, options=WsOptions(close_timeout_s=0.1))
            server.link.send(1, b"hi")
            server.link.send(1, b"again")
            assert await server.link.frame(1) == b"HI"
            assert await server.link.frame(8) == (1001).to_bytes(2, "big")
            await handler.task

    run_in(world, scenario)


# -- the opening


@both
def test_the_upgrade_carries_our_headers_and_subprotocol_and_offers_no_extension(world):
    async def scenario(runtime):
        headers = [("X-Api-Version", "3"), ("Authorization", "token emu_a:emu_b")]
        async with opened(runtime, headers=headers, subprotocol="ticks.v2") as (link, _, _):
            assert link.request.startswith(b"GET /stream?token=emu_secret HTTP/1.1\r\n")
            assert link.header("x-api-version") == "3"
            assert link.header("authorization") == "token emu_a:emu_b"
            assert link.header("sec-websocket-protocol") == "ticks.v2"
            assert link.header("user-agent") == "dragoman"
            assert link.header("host") == f"127.0.0.1:{link.server.port}"
            assert b"extensions" not in link.request.lower()

    run_in(world, scenario)


def refusal(status, body=b"", *headers):
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@both
@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (refusal("403 Forbidden", b'{"error":"token"}', "Content-Type: application/json"), 403, b'{"error":"token"}'),
        (refusal("429 Too Many Requests", b"", "Retry-After: 3"), 429, b""),
        (refusal("302 Found", b"", "Location: ws://127.0.0.1:1/elsewhere"), 302, b""),
        (refusal("200 OK", b"x" * 50_000), 200, b"x" * 50_000),
        (refusal("499 Odd", b"y"), 499, b"y"),
        (b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", 503, b"abcdef"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + refusal("401 Unauthorized", b"no"), 401, b"no"),
        (refusal("500 Big", b"z" * 200_000), 500, b"z" * 65_536),
    ],
    ids=["json", "retry-after", "redirect", "ok", "odd-status", "chunked", "after-interim", "capped"],
)
def test_any_answer_but_101_is_a_refusal_with_the_whole_reply_and_nothing_is_followed(world, answer, status, body):
    async def scenario(runtime):
        async with WsServer(runtime, answer=answer) as server:
            with pytest.raises(HandshakeRefusedError) as refused:
                await connect_ws(runtime, server.url, Recorder())
            assert refused.value.reply.status == status
            assert refused.value.reply.body == body
            assert "secret" not in str(refused.value)
            assert len(server.links) == 1
            return refused.value.reply.headers

    headers = run_in(world, scenario)
    if status == 429:
        assert headers["retry-after"] == "3"


@both
@pytest.mark.parametrize("length", [b"", b"Content-Length: 99\r\n"], ids=["no-length", "cut-short"])
def test_a_refusal_whose_body_ends_with_the_connection_is_still_a_refusal(world, length):
    async def scenario(runtime):
        async with WsServer(runtime, answer=b"HTTP/1.1 403 No\r\n" + length + b"\r\nall of ") as server:
            asking = runtime.spawn(connect_ws(runtime, server.url, Recorder()), name="connect")
            while not (server.links and b"\r\n\r\n" in server.link.request):
                await runtime.sleep(0.005)
            server.link.transport.write(b"it")
            server.link.transport.close()
            with pytest.raises(HandshakeRefusedError) as refused:
                await asking
            assert (refused.value.reply.status, refused.value.reply.body) == (403, b"all of it")

    run_in(world, scenario)


UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
GOOD = UPGRADED + b"Sec-WebSocket-Accept: {accept}\r\n"


@both
@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"220 mail.example.com ESMTP\r\n\r\n", "is not HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46 not HTTP at all", "is not HTTP"),
        (GOOD + b"X: " + b"y" * 20_000 + b"\r\n\r\n", "16384 bytes"),
        (UPGRADED + b"\r\n", "upgrade"),
        (UPGRADED + b"Sec-WebSocket-Accept: d3Jvbmc=\r\n\r\n", "upgrade"),
        (GOOD.replace(b"Upgrade: websocket\r\n", b"") + b"\r\n", "Upgrade: websocket"),
        (GOOD.replace(b"Connection: Upgrade\r\n", b"") + b"\r\n", "Connection: Upgrade"),
        (GOOD + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "extension"),
        (GOOD + b"Sec-WebSocket-Protocol: other\r\n\r\n", "subprotocol"),
    ],
    ids="smtp tls long-head no-accept wrong-accept no-upgrade no-connection extension subprotocol".split(),
)
def test_an_answer_that_neither_upgrades_nor_refuses_is_a_decode_error(world, answer, what):
    async def scenario(runtime):
        async with WsServer(runtime, answer=answer) as server:
            with pytest.raises(DecodeError, match=what) as bad:
                await connect_ws(runtime, server.url, Recorder())
            assert "secret" not in str(bad.value)
            assert bad.value.effect == "NONE"
            await server.link.gone()

    run_in(world, scenario)


@both
def test_a_server_that_does_not_answer_the_upgrade_in_time_is_not_sent(world):
    async def scenario(runtime):
        async with WsServer(runtime, silent=True) as server:
            with pytest.raises(NotSent, match=r"did not answer .* within 0.1 s") as lost:
                await connect_ws(runtime, server.url, Recorder(), options=WsOptions(handshake_timeout_s=0.1))
            assert "secret" not in str(lost.value)
            await server.link.gone()

    run_in(world, scenario)


@both
def test_a_server_that_hangs_up_instead_of_answering_is_not_sent(world):
    async def scenario(runtime):
        async with WsServer(runtime, silent=True) as server:
            asking = runtime.spawn(connect_ws(runtime, server.url, Recorder()), name="connect")
            while not (server.links and server.link.request):
                await runtime.sleep(0.005)
            server.link.transport.close()
            with pytest.raises(NotSent, match="closed the connection before it answered"):
                await asking

    run_in(world, scenario)


@both
def test_nobody_listening_is_not_sent_and_the_error_shows_no_token(world):
    async def scenario(runtime):
        async with WsServer(runtime) as server:
            url = server.url
        with pytest.raises(NotSent) as refused:
            await connect_ws(runtime, url, Recorder(), headers=[("Authorization", "emu_secret")])
        shown = f"{refused.value!s} {refused.value!r} {refused.value.__cause__!r}"
        assert "secret" not in shown
        assert "/stream" not in shown

    run_in(world, scenario)


@both
def test_a_caller_that_gives_up_during_the_opening_leaves_no_connection_behind(world):
    async def scenario(runtime):
        async with WsServer(runtime, silent=True) as server:
            asking = runtime.spawn(connect_ws(runtime, server.url, Recorder()), name="connect")
            while not (server.links and server.link.request):
                await runtime.sleep(0.005)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await server.link.gone()

    run_in(world, scenario)


@both
def test_the_source_address_is_bound(world):
    async def scenario(runtime):
        async with opened(runtime, options=WsOptions(source_address="127.0.0.2")) as (link, _, _):
            assert link.transport.get_extra_info("peername")[0] == "127.0.0.2"

    run_in(world, scenario)


class Proxy(asyncio.Protocol):
    """Answers CONNECT, then joins the two ends."""

    def __init__(self, runtime, answer=b"HTTP/1.1 200 Connection established\r\n\r\n"):
        self.runtime, self.answer, self.heard, self.far = runtime, answer, b"", None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.far is not None:
            self.far.transport.write(data)
            return
        self.heard += data
        if b"\r\n\r\n" in self.heard:
            self.task = self.runtime.spawn(self.join(), name="proxy")

    async def join(self):
        proxy = self

        class Far(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport

            def data_received(self, data):
                proxy.transport.write(data)

            def connection_lost(self, exc):
                proxy.transport.close()

        if b" 200 " in self.answer:
            host, port = self.heard.split()[1].decode().rsplit(":", 1)
            _, self.far = await self.runtime.net.connect(Far, host, int(port), timeout=5)
        self.transport.write(self.answer)

    def connection_lost(self, exc):
        if self.far is not None:
            self.far.transport.close()


@both
def test_a_proxy_is_asked_to_connect_and_then_passed_through(world):
    async def scenario(runtime):
        proxies = []
        listener = await runtime.net.listen(lambda: proxies.append(Proxy(runtime)) or proxies[-1], "127.0.0.1", 0)
        options = WsOptions(proxy=f"http://127.0.0.1:{listener.port}")
        async with opened(runtime, options=options) as (link, ws, handler):
            assert proxies[0].heard.startswith(f"CONNECT 127.0.0.1:{link.server.port} HTTP/1.1\r\n".encode())
            assert b"secret" not in proxies[0].heard
            link.send(1, b"through")
            assert await handler.until(1) == [("text", "through")]
            ws.send_text("back")
            assert await link.frame(1) == b"back"
        await listener.close()

    run_in(world, scenario)


@both
def test_a_proxy_that_refuses_is_not_sent(world):
    async def scenario(runtime):
        listener = await runtime.net.listen(
            lambda: Proxy(runtime, b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), "127.0.0.1", 0
        )
        options = WsOptions(proxy=f"http://127.0.0.1:{listener.port}")
        with pytest.raises(NotSent, match="407"):
            await connect_ws(runtime, "ws://127.0.0.1:9/x?secret", Recorder(), options=options)
        await listener.close()

    run_in(world, scenario)


# -- what is refused before a byte is sent


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("http://127.0.0.1/secret", {}),
        ("ws://user:secret@127.0.0.1/", {}),
        ("ws://127.0.0.1/#secret", {}),
        ("ws://127.0.0.1:99999/secret", {}),
        ("ws:///secret", {}),
        ("ws://127.0.0.1/a secret", {}),
        ("ws://127.0.0.1/a\r\nX: secret", {}),
        ("ws://127.0.0.1/\tsecret", {}),
        ("ws://127.0.0.1/sécret", {}),
        ("ws://127.0.0.1/", {"headers": [("X", "secret\r\nY: z")]}),
        ("ws://127.0.0.1/", {"headers": [("X y", "secret")]}),
        ("ws://127.0.0.1/", {"headers": [("Sec-WebSocket-Key", "secret")]}),
        ("ws://127.0.0.1/", {"headers": [("HOST", "secret")]}),
        ("ws://127.0.0.1/", {"subprotocol": "a, b"}),
        ("ws://127.0.0.1/", {"options": WsOptions(max_redirects=1)}),
        ("ws://127.0.0.1/", {"options": WsOptions(compression=True)}),
        ("ws://127.0.0.1/", {"options": WsOptions(close_timeout_s=0)}),
        ("ws://127.0.0.1/", {"options": WsOptions(ping_interval_s=-1)}),
        ("ws://127.0.0.1/", {"options": WsOptions(max_frame_bytes=1)}),
        ("ws://127.0.0.1/", {"options": WsOptions(proxy="socks5://secret@127.0.0.1:1")}),
    ],
)
def test_what_could_not_be_sent_as_it_stands_is_a_usage_error_that_shows_no_secret(url, more):
    with VirtualRuntime() as runtime:
        with pytest.raises(UsageError) as wrong:
            runtime.run(connect_ws(runtime, url, Recorder(), **more))
        assert "secret" not in str(wrong.value)
        assert runtime.net.links == []


@both
def test_text_that_utf8_cannot_carry_and_close_codes_that_may_not_be_sent_are_usage_errors(world):
    async def scenario(runtime):
        async with opened(runtime) as (_, ws, _):
            with pytest.raises(UsageError, match="surrogate"):
                ws.send_text("a\ud800b")
            for code in (0, 999, 1005, 1006, 1015, 2000, 5000):
                with pytest.raises(UsageError, match="close code"):
                    await ws.close(code)
            assert ws.open

    run_in(world, scenario)
