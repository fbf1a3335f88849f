"""RFC 6455 frames as bytes: written here, read through wsproto, put together into messages under a cap.

Both ends use it: the in-memory client, the emulator host, and the picows client for its fragments and its checks of
close codes. Nothing in it does I/O.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from enum import IntEnum

from wsproto.frame_protocol import FrameDecoder, ParseFailed

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_SENDABLE = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


class Op(IntEnum):
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class ProtocolFault(Exception):
    """The peer broke the protocol; `code` is what the connection is closed with."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def accept_key(key: str) -> str:
    """Return the Sec-WebSocket-Accept that proves the peer read `key` (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()).decode("ascii")


def is_close_code(code: int) -> bool:
    """Say whether a close frame may carry `code` (RFC 6455, section 7.4, and the IANA registry up to 1014)."""
    return code in _SENDABLE or 3000 <= code <= 4999


def encode_frame(op: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = None) -> bytes:
    """Write one frame.

    Parameters
    ----------
    op : int
        Opcode; anything of 4 bits, so that faults can send what nobody should.
    payload : bytes
    fin : bool
        Last frame of its message.
    rsv : int
        The three reserved bits, 0 to 7.
    mask : bytes or None
        4 bytes, from a client; None, from a server.
    """
    size = len(payload)
    masked = 0x80 if mask is not None else 0
    head = bytes(((0x80 if fin else 0) | rsv << 4 | op,))
    if size < 126:
        head += bytes((masked | size,))
    elif size < 1 << 16:
        head += bytes((masked | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((masked | 127,)) + size.to_bytes(8, "big")
    if mask is None:
        return head + payload
    # One XOR of two big integers: linear, and far faster than a loop over bytes.
    key = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)


def encode_close(code: int, reason: str = "") -> bytes:
    """Write the payload of a close frame; the reason is cut to what a control frame holds."""
    return code.to_bytes(2, "big") + reason.encode()[:123].decode("utf-8", "ignore").encode()


def parse_close(payload: bytes) -> tuple[int, str]:
    """Read the payload of a close frame; (1005, "") where it is empty.

    Raises
    ------
    ProtocolFault
        1002 for a code that may not be on the wire or half a code, 1007 for a reason that is not UTF-8.
    """
    if not payload:
        return 1005, ""
    if len(payload) == 1:
        raise ProtocolFault(1002, "a close frame with half a code")
    code = int.from_bytes(payload[:2], "big")
    if not is_close_code(code):
        raise ProtocolFault(1002, f"a close frame with code {code}")
    try:
        return code, payload[2:].decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolFault(1007, "a close reason that is not UTF-8") from None


class FrameReader:
    """Cut a byte stream into frames.

    A data frame whose bytes have not all come is handed out in pieces, as if it were fragmented: nothing is buffered
    here, and `Assembler` has the one cap on memory.

    Parameters
    ----------
    client : bool
        Whether this end is the client: clients refuse masked frames, servers unmasked ones.
    max_frame_bytes : int
        A header that announces more is a fault, before any of it is kept.
    """

    def __init__(self, *, client: bool, max_frame_bytes: int) -> None:
        self._decoder = FrameDecoder(client)
        self._max = max_frame_bytes

    def feed(self, data: bytes) -> Iterator[tuple[int, bool, bytes]]:
        """Yield (opcode, last piece of its message, payload) for what `data` completes.

        Raises
        ------
        ProtocolFault
            The reader is of no use afterwards.
        """
        decoder = self._decoder
        decoder.receive_bytes(data)
        while True:
            try:
                frame = decoder.process_buffer()
            except ParseFailed as failed:
                raise ProtocolFault(int(failed.code), str(failed)) from None
            announced = decoder.header.payload_len if decoder.header is not None else 0
            if announced > self._max or (frame is not None and len(frame.payload) > self._max):
                raise ProtocolFault(1009, f"a frame of more than {self._max} bytes")
            if frame is None:
                return
            assert isinstance(frame.payload, bytes)  # only FrameProtocol, a layer above, makes others
            yield int(frame.opcode), frame.frame_finished and frame.message_finished, frame.payload


class Assembler:
    """Put data frames together into whole messages, never holding more than `max_message_bytes`."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max = max_message_bytes
        self._op: int | None = None
        self._parts = bytearray()

    @property
    def busy(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._op is not None

    def add(self, op: int, fin: bool, payload: bytes | memoryview) -> str | bytes | memoryview | None:
        """Take a data frame; return the message it completes, text decoded, or None.

        A message of a single frame is returned as it came, without a copy.

        Raises
        ------
        ProtocolFault
            1002 for a frame out of order, 1007 for text that is not UTF-8, 1009 over the cap.
        """
        if op == Op.CONTINUATION:
            if self._op is None:
                raise ProtocolFault(1002, "a continuation of nothing")
        elif self._op is not None:
            raise ProtocolFault(1002, "a new message inside a fragmented one")
        elif fin:
            if len(payload) > self._max:
                raise ProtocolFault(1009, f"a message of more than {self._max} bytes")
            return _text(payload) if op == Op.TEXT else payload
        else:
            self._op = op
        if len(self._parts) + len(payload) > self._max:
            raise ProtocolFault(1009, f"a message of more than {self._max} bytes")
        self._parts += payload
        if not fin:
            return None
        op, whole = self._op, bytes(self._parts)
        self._op = None
        self._parts = bytearray()
        return _text(whole) if op == Op.TEXT else whole


def _text(payload: bytes | memoryview) -> str:
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        raise ProtocolFault(1007, "text that is not UTF-8") from None
