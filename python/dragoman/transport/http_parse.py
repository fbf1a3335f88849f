"""Replies from bytes: httptools finds the structure, this module keeps the caps and decides what is whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httptools

from dragoman._core import plain_reply
from dragoman.transport.http_body import BadReplyError, BodyDecoder

Sink = Callable[[bytes], None]

# Servers send the same few names in every reply. Only names seen are kept, and only so many: they are the sender's.
_KEYS: dict[bytes, str] = {}
_MAX_KEYS = 512


def _key(name: bytes) -> str:
    """Return a header name as it is looked up: text, in lower case."""
    key = name.decode("latin-1").lower()
    if len(_KEYS) < _MAX_KEYS and len(name) < 64:
        _KEYS[name] = key
    return key


class ReplyParser:
    """Parses the replies of one connection, one at a time; the object httptools calls back.

    Theory: `done` is set by the first whole message that is not interim (1xx). A message is whole when httptools says
    so (length, chunks, statuses without a body), when the head of a HEAD reply is, or, where nothing announces a
    length, when the peer closes and nobody else can have (`end`). Bytes after `done` make the connection unfit for
    another request (`reusable` False), not the reply bad.

    Parameters
    ----------
    max_header_bytes, max_body_bytes : int
        The first bounds everything up to the end of the head, interim replies included, and each run of chunk framing
        and trailers without a byte of body; the second the decoded body.
    """

    __slots__ = (
        "_body_size",
        "_chunks",
        "_decoder",
        "_error",
        "_head_bytes",
        "_head_reply",
        "_idle_framing",
        "_in_body",
        "_interim",
        "_max_body",
        "_max_header",
        "_message_headers",
        "_parser",
        "_sink",
        "_sinking",
        "_until_close",
        "_version_seen",
        "done",
        "reusable",
        "status",
    )

    def __init__(self, max_header_bytes: int, max_body_bytes: int) -> None:
        self._max_header = max_header_bytes
        self._max_body = max_body_bytes
        self._parser: Any = httptools.HttpResponseParser(self)
        self.begin(head=False, sink=None)

    def begin(self, *, head: bool, sink: Sink | None) -> None:
        """Expect a new reply.

        Parameters
        ----------
        head : bool
            The request was a HEAD: the reply has no body whatever it says.
        sink : callable or None
            Takes the decoded body of a 2xx reply instead of `take_body`.
        """
        self.done = False
        self.reusable = True
        self.status = 0
        self._message_headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._body_size = 0
        self._decoder: BodyDecoder | None = None
        self._error: BaseException | None = None
        self._head_bytes = 0
        self._head_reply = head
        self._idle_framing = 0
        self._in_body = False
        self._interim = False
        self._sink = sink
        self._sinking = False
        self._until_close = False
        self._version_seen = False

    @property
    def started(self) -> bool:
        """Whether the head of the reply is complete."""
        return self._in_body

    @property
    def headers(self) -> dict[str, str]:
        return self._message_headers

    def take_body(self) -> bytes:
        """Return the body and let go of it: an idle connection must not hold the last reply."""
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def feed(self, data: bytes) -> bool:
        """Take bytes; return whether the reply is whole.

        Raises
        ------
        BadReplyError
            If they are no reply, or one over a cap.
        Exception
            What the sink raised.
        """
        if self._in_body:
            size = self._body_size
            self._parse(data)
            if self._body_size == size and not self.done:
                self._idle_framing += len(data)
                if self._idle_framing > self._max_header:
                    raise BadReplyError(f"more than {self._max_header} bytes of chunk framing or trailers")
            else:
                self._idle_framing = 0
            return self.done
        if self._head_bytes == 0:
            if self._sink is None and not self._head_reply:
                plain = plain_reply(data, self._max_header, self._max_body)
                if plain is not None:  # most replies are, and httptools would call back a dozen times
                    self.status, self._message_headers, body = plain
                    self._chunks.append(body)
                    self._in_body = self.done = True
                    return True
            self._version_seen = data.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "))
        room = self._max_header - self._head_bytes
        self._head_bytes += len(data)
        if len(data) <= room:
            self._parse(data)
            return self.done
        self._parse(data[:room])
        if not self.started:
            raise BadReplyError(f"the head is longer than {self._max_header} bytes")
        self._parse(data[room:])
        return self.done

    def end(self, *, tls: bool = False) -> bool:
        """Take the end of the stream; return whether the reply is whole.

        Parameters
        ----------
        tls : bool
            The stream is encrypted. Anybody on the way can end one (the transports do not tell a TLS goodbye from a cut
            connection), so a body that only the end of the stream delimits is not believed, unless its compression has
            an end mark of its own.

        Raises
        ------
        BadReplyError
            The body ends early, or nothing says that it does not.
        """
        if not self.done and self._in_body and self._until_close:
            if tls and self._decoder is None:
                raise BadReplyError("the body has neither length nor end mark, so it may have been cut off")
            self._finish(reusable=False)
        return self.done

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            if self.done:
                self.reusable = False
            elif self._error is not None:
                raise self._error from None
            else:
                raise BadReplyError(f"the reply could not be read: {error}") from error
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.done:
                raise BadReplyError(f"not an HTTP/1.1 reply: {error}") from None
            self.reusable = False

    def _fail(self, text: str) -> BadReplyError:
        self._error = BadReplyError(text)
        return self._error

    # Called by httptools. An exception here comes back out of feed_data as HttpParserCallbackError.

    def on_message_begin(self) -> None:
        if self.done:
            raise self._fail("bytes after the reply")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:  # a trailer; nothing in it is ever needed
            return
        headers = self._message_headers
        key = _KEYS.get(name) or _key(name)
        if key in headers:
            headers[key] = f"{headers[key]}, {value.decode('latin-1')}"
        else:
            headers[key] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status: int = self._parser.get_status_code()
        if not self._version_seen and self._parser.get_http_version() not in ("1.1", "1.0"):
            raise self._fail(f"HTTP version {self._parser.get_http_version()}, expected 1.1")
        if status < 200:
            self._version_seen = False
            if status == 101:
                raise self._fail("the server switched protocols unasked")
            self._interim = True
            self._message_headers = {}
            return
        self.status = status
        self._in_body = True
        headers = self._message_headers
        if self._head_reply:
            # httptools would wait for the body that the head announces, so its parser is of no further use.
            self.done = True
            self.reusable = False
            raise self._fail("end of a HEAD reply")
        self._sinking = self._sink is not None and status < 300
        transfer = headers.get("transfer-encoding")
        length = headers.get("content-length")
        if transfer is not None and transfer.lower() != "chunked":
            raise self._fail(f"transfer encoding {transfer[:40]!r}, expected chunked")
        if length is not None:
            if not self._sinking and int(length) > self._max_body and status not in (204, 304):
                raise self._fail(f"a body of {int(length)} bytes was announced, the cap is {self._max_body}")
        elif transfer is None:
            self._until_close = True  # a status without a body is complete before that matters
        encoding = headers.get("content-encoding")
        if encoding is not None:
            self._decoder = self._decoder_for(encoding.strip().lower())

    def _decoder_for(self, encoding: str) -> BodyDecoder | None:
        if encoding in ("", "identity"):
            return None
        if encoding in ("gzip", "x-gzip"):
            return BodyDecoder("gzip")
        if encoding == "deflate":
            return BodyDecoder("deflate")
        raise self._fail(f"content encoding {encoding[:40]!r}, expected gzip or deflate")

    def on_body(self, data: bytes) -> None:
        if self._decoder is None:
            if self._sinking:
                self._take(data)
                return
            self._body_size += len(data)
            if self._body_size > self._max_body:
                raise self._fail(f"the body is longer than {self._max_body} bytes")
            self._chunks.append(data)
            return
        try:
            for piece in self._decoder.feed(data):
                self._take(piece)
        except BadReplyError as error:
            self._error = error
            raise

    def _take(self, data: bytes) -> None:
        self._body_size += len(data)
        if self._sinking and self._sink is not None:
            try:
                self._sink(data)
            except BaseException as error:
                self._error = error
                raise
            return
        if self._body_size > self._max_body:
            raise self._fail(f"the body is longer than {self._max_body} bytes")
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            return
        if self._decoder is None:
            self.reusable = self._parser.should_keep_alive()
            self.done = True
        else:
            self._finish(reusable=self._parser.should_keep_alive())

    def _finish(self, *, reusable: bool) -> None:
        if self._decoder is not None:
            try:
                self._decoder.finish()
            except BadReplyError as error:
                self._error = error
                raise
        self.reusable = reusable
        self.done = True
