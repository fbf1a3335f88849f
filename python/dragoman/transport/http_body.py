"""Content encodings, undone piece by piece with a bound on every piece."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE = 64 * 1024

_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS


class BadReplyError(Exception):
    """The bytes are no reply we can take. The text says why, never what the request was."""


class BodyDecoder:
    """Inflates one body: gzip with any number of members, or deflate in its zlib or its raw form.

    Output comes in pieces of at most `PIECE` bytes, so whoever counts them stops a bomb in time.

    Parameters
    ----------
    encoding : {"gzip", "deflate"}
    """

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding == "gzip"
        self._inflater: zlib._Decompress | None = None
        self._ended = False
        self._head = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` inflates to. Raises BadReplyError."""
        data = self._head + data
        if not self._gzip and self._inflater is None and not self._ended and len(data) < 2:
            self._head = data  # two bytes tell which form of deflate it is
            return
        self._head = b""
        more = False
        while data or more:
            inflater = self._inflater or self._next_member(data)
            if inflater is None:
                return
            try:
                piece = inflater.decompress(data, PIECE)
            except zlib.error as error:
                raise BadReplyError(f"the compressed body is damaged: {error}") from None
            if piece:
                yield piece
            if inflater.eof:
                self._inflater, self._ended = None, True
                data, more = inflater.unused_data, False
            else:
                # A full piece may leave output inside the inflater although all input is taken.
                data, more = inflater.unconsumed_tail, len(piece) == PIECE

    def _next_member(self, data: bytes) -> zlib._Decompress | None:
        if self._ended and not data.strip(b"\0"):
            return None  # padding is allowed, and written by some servers
        if self._gzip:
            self._inflater = zlib.decompressobj(_GZIP)
        elif self._ended:
            raise BadReplyError("bytes follow the end of the compressed body")
        else:
            # Servers send "deflate" with and without the zlib header.
            wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._inflater = zlib.decompressobj(_ZLIB if wrapped else _RAW)
        return self._inflater

    def finish(self) -> None:
        """Check that the body was whole; no bytes at all are whole, too. Raises BadReplyError."""
        if self._inflater is not None or self._head:
            raise BadReplyError("the compressed body ends before its end mark")
