"""The native exchange hands out what the reply parser reads, and leaves to the long way all that is not plain."""

from __future__ import annotations

import gc
import sys
import time
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import HttpExchange, plain_reply
from dragoman.plugin import Reply

HEAD, BODY = 200, 40
ID = b'{"order_id": "%d"}'


def reply(body: bytes, second: int = 1, more: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 200 OK\r\nDate: Mon, 05 Jan 2026 04:00:%02d GMT\r\n%s%s\r\n%s" % (second, more, length, body)


class Line:
    """An exchange and what it told."""

    def __init__(self, mono_ns=time.monotonic_ns, wall_ns=time.time_ns):
        self.told: list[object] = []
        self.free = 0
        self.long_way: list[bytes] = []
        self.written: list[bytes] = []
        self.exchange = HttpExchange(
            mono_ns, wall_ns, Reply(0, {}, b""), self.finished, self.long_way.append, HEAD, BODY
        )

    def finished(self):
        self.free += 1

    def ask(self, *, plain=True):
        self.exchange.carry(self.written.append, b"POST / HTTP/1.1\r\n", b"a=1", self.told.append, plain)


PIECES = st.one_of(
    st.builds(reply, st.integers(0, 99).map(lambda n: ID % n), st.integers(1, 3)),
    st.builds(reply, st.just(b"{}"), st.just(1), st.sampled_from([b"X: 1\r\n", b"Connection: close\r\n", b"X"])),
    st.builds(lambda data, cut: data[:cut], st.just(reply(b"{}")), st.integers(1, 90)),
    st.builds(lambda data, more: data + more, st.just(reply(b"{}")), st.sampled_from([b"x", reply(b"{}")])),
    st.binary(min_size=1, max_size=20),
)


@given(pieces=st.lists(PIECES, max_size=6))
def test_replies_in_a_row_are_read_as_each_by_itself(pieces):
    line = Line()
    for data in pieces:
        line.told.clear()
        line.long_way.clear()
        line.ask()
        line.exchange.data_received(data)
        expected = plain_reply(data, HEAD, BODY)
        if expected is None:
            assert (line.told, line.long_way) == ([], [data])
            assert line.exchange.plain
            continue
        (found,) = line.told
        assert (found.status, found.headers, found.body) == expected
        assert line.long_way == []
        assert line.exchange.on_end is None
        assert not line.exchange.plain
        assert found.mono_sent_ns <= found.mono_first_ns == found.mono_recv_ns


def test_a_head_seen_before_gives_headers_of_its_own_again():
    line = Line()
    for _ in range(3):
        line.ask()
        line.exchange.data_received(reply(b"{}"))
        line.told[-1].headers.clear()
    line.ask()
    line.exchange.data_received(reply(b"{}"))
    assert line.told[-1].headers["content-length"] == "2"


def test_a_request_leaves_in_one_piece_with_its_length():
    line = Line()
    line.ask()
    line.exchange.carry(line.written.append, b"GET / HTTP/1.1\r\n", None, line.told.append, True)
    line.exchange.carry(line.written.append, b"POST / HTTP/1.1\r\n", b"", line.told.append, True)
    assert line.written == [
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    ]


@pytest.mark.parametrize("plain", [True, False])
def test_what_nobody_asked_for_goes_the_long_way(plain):
    line = Line()
    line.exchange.plain = plain
    line.exchange.data_received(reply(b"{}"))
    assert line.long_way == [reply(b"{}")]
    line.ask(plain=False)
    line.exchange.data_received(reply(b"{}"))
    assert line.long_way == [reply(b"{}")] * 2
    assert line.told == []


def test_the_connection_is_free_before_its_reply_is_told_and_may_be_used_by_whoever_is_told():
    line = Line()
    order: list[str] = []

    def told(found):
        order.append(f"told after {line.free}")
        if line.free == 1:
            line.exchange.carry(line.written.append, b"POST / HTTP/1.1\r\n", b"a=2", told, True)

    line.exchange.carry(line.written.append, b"POST / HTTP/1.1\r\n", b"a=1", told, True)
    line.exchange.data_received(reply(b"{}"))
    line.exchange.data_received(reply(b"{}"))
    assert order == ["told after 1", "told after 2"]


def test_a_clock_of_its_own_is_asked():
    ticks = iter(range(100, 200))
    line = Line(lambda: next(ticks), lambda: 7)
    line.ask()
    line.exchange.data_received(reply(b"{}"))
    (found,) = line.told
    assert (found.mono_sent_ns, found.mono_recv_ns, found.ts_recv) == (100, 101, 7)


def test_what_a_clock_or_a_listener_raises_comes_out():
    def broken():
        raise OSError("no clock")

    with pytest.raises(OSError, match="no clock"):
        Line(broken).ask()
    line = Line()
    line.exchange.carry(line.written.append, b"", b"", lambda found: 1 // 0, True)
    with pytest.raises(ZeroDivisionError):
        line.exchange.data_received(reply(b"{}"))
    assert line.exchange.on_end is None


@pytest.mark.parametrize("arguments", [(), (print, "head", b"", print, True), (print, b"", "body", print, True)])
def test_a_request_that_is_no_bytes_is_refused_by_type_and_nobody_waits_for_it(arguments):
    line = Line()
    with pytest.raises(TypeError):
        line.exchange.carry(*arguments)
    assert line.exchange.on_end is None


@pytest.mark.parametrize("kind", [bytearray, memoryview, type("Mine", (bytes,), {})])
def test_a_body_may_be_any_bytes(kind):
    line = Line()
    line.exchange.carry(line.written.append, b"POST / HTTP/1.1\r\n", kind(b"a=1"), print, True)
    assert line.written == [b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1"]


def test_a_line_that_nobody_holds_is_collected_with_its_exchange():
    line = Line()
    line.ask()
    seen = weakref.ref(line)
    exchange = line.exchange
    del line
    assert seen() is not None  # the exchange calls it
    del exchange
    gc.collect()
    assert seen() is None


def test_a_closed_exchange_holds_nobody_and_drops_what_still_comes():
    line = Line()
    line.ask()
    line.exchange.close()
    line.exchange.data_received(reply(b"{}"))
    line.exchange.data_received(b"x")
    assert (line.told, line.long_way, line.free) == ([], [], 0)
    seen, exchange = weakref.ref(line), line.exchange
    gc.disable()
    try:
        del line
        assert seen() is None
    finally:
        gc.enable()
    exchange.data_received(b"x")


def test_whoever_is_told_may_close_the_exchange():
    line = Line()
    exchange = line.exchange
    exchange.carry(line.written.append, b"", b"", lambda found: exchange.close(), True)
    exchange.data_received(reply(b"{}"))
    assert exchange.on_end is None


def test_a_connection_that_cannot_be_freed_does_not_keep_the_reply():
    told, raised = [], []

    def stuck():
        raise OSError("stuck")

    exchange = HttpExchange(time.monotonic_ns, time.time_ns, Reply(0, {}, b""), stuck, print, HEAD, BODY)
    exchange.carry(lambda data: None, b"", b"", told.append, True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", raised.append)
        exchange.data_received(reply(b"{}"))
    assert (len(told), str(raised[0].exc_value)) == (1, "stuck")
