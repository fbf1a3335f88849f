"""The short ways of the order path read and write what the long ones do."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import plain_form, plain_reply
from dragoman.transport import http_parse
from dragoman.transport.http_body import BadReplyError
from dragoman.transport.http_parse import ReplyParser

HEAD, BODY = 200, 40
GOOD = b"HTTP/1.1 200 OK\r\nDate: Mon, 05 Jan 2026 04:00:00 GMT\r\nX-A:  b \r\nContent-Length: 2\r\n\r\n{}"

LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 503 ", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No"]
)
NAMES = st.sampled_from(
    [b"Date", b"X-A", b"x-a", b"Content-Type", b"Connection", b"Proxy-Connection", b"Content-Encoding", b"X A", b""]
)
VALUES = st.sampled_from(
    [b"", b"a", b" a b\t", b"keep-alive", b"close", b"gzip", b"a\x01b", b"\xe9", b"a\rb", b"Upgrade"]
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
LENGTHS = st.sampled_from(
    [
        b"Content-Length: %d\r\n",
        b"content-length:%d\r\n",
        b"Content-Length: 0%d\r\n",
        b"Content-Length: +%d\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"",
    ]
)


@st.composite
def replies(draw):
    body = draw(st.sampled_from([b"", b"{}", b'{"a": 1}', b"2\r\n{}\r\n0\r\n\r\n", b"x" * 50]))
    length = draw(LENGTHS)
    if b"%d" in length:
        length = length % max(0, len(body) + draw(st.sampled_from([0, 0, 0, 1, -1])))
    lines = b"".join(b"%s: %s\r\n" % header for header in draw(HEADERS))
    return draw(LINES) + b"\r\n" + lines + length + b"\r\n" + body + draw(st.sampled_from([b"", b"", b"HTTP/1.1"]))


def told(data):
    """Return all that a parser says of one reply."""
    parser = ReplyParser(HEAD, BODY)
    parser.begin(head=False, sink=None)
    try:
        done = parser.feed(data)
    except BadReplyError as error:
        return str(error)
    return done, parser.status, parser.headers, parser.take_body(), parser.reusable, parser.started


@given(data=replies())
def test_a_plain_reply_is_read_as_httptools_reads_it(data):
    short = told(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_parse, "plain_reply", lambda *_: None)
        assert short == told(data)


def test_the_usual_reply_is_plain():
    status, headers, body = plain_reply(GOOD, HEAD, BODY)
    assert (status, body) == (200, b"{}")
    assert headers == {"date": "Mon, 05 Jan 2026 04:00:00 GMT", "x-a": "b", "content-length": "2"}


@pytest.mark.parametrize("cut", range(len(GOOD)))
def test_a_piece_of_a_reply_is_not_plain(cut):
    assert plain_reply(GOOD[:cut], HEAD, BODY) is None


@pytest.mark.parametrize(("head", "body"), [(len(GOOD) - 3, BODY), (HEAD, 1)])
def test_a_reply_over_a_cap_is_not_plain(head, body):
    assert plain_reply(GOOD, head, body) is None


def test_what_is_no_reply_is_refused_by_type():
    with pytest.raises(TypeError):
        plain_reply("HTTP/1.1", HEAD, BODY)  # type: ignore[arg-type]


@given(
    pairs=st.lists(st.tuples(st.text(max_size=4), st.text(st.sampled_from("a1Z &=+%~é/.-_\0"), max_size=6)), max_size=5)
)
def test_a_plain_form_is_what_urlencode_writes(pairs):
    written = plain_form(tuple(pairs))
    assert written in (None, urlencode(pairs).encode())
    if all(
        text.replace("~", "").replace(".", "").replace("-", "").replace("_", "").isalnum() and text.isascii()
        for pair in pairs
        for text in pair
    ):
        assert written is not None
