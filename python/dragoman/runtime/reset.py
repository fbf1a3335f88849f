"""End a connection with a reset instead of in good order."""

from __future__ import annotations

import asyncio
import socket
import struct

from dragoman.runtime.virtual_stream import VirtualTransport, connection_reset

_NO_LINGER = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Drop a connection so that the peer sees a reset, not an end of stream; what was not sent yet is lost."""
    if isinstance(transport, VirtualTransport):
        if not transport.ended:
            transport.outgoing.push_end("rst")
            transport.lose(connection_reset())
        return
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
