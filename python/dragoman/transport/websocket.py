"""Open a WebSocket as a client: picows on real sockets, its twin in memory, one table of options for both.

The table is `WsOptions`. No redirect is followed, no extension offered, TLS is always verified, plain ``ws`` goes to
literal loopback addresses only. Errors name scheme, host and port, never path, query or headers, since those carry
tokens.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from dragoman.errors import NotSent, UsageError
from dragoman.runtime.base import Runtime
from dragoman.transport.base import Origin, WebSocket, WsHandler, WsOptions
from dragoman.transport.http_connect import Proxy, open_connection
from dragoman.transport.tls import client_context
from dragoman.transport.ws_connection import Connection, Wire
from dragoman.transport.ws_memory import MemoryWire
from dragoman.transport.ws_upgrade import Upgrade

WireFactory = Callable[[Runtime, Origin, str, list[tuple[str, str]], WsOptions], Wire]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[0-9A-Za-z._:%\-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OURS = frozenset(
    "host upgrade connection content-length transfer-encoding sec-websocket-key sec-websocket-version "
    "sec-websocket-protocol sec-websocket-extensions sec-websocket-accept".split()
)


async def connect_ws(
    runtime: Runtime,
    url: str,
    handler: WsHandler,
    *,
    options: WsOptions | None = None,
    headers: Iterable[tuple[str, str]] = (),
    subprotocol: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> WebSocket:
    """Open a WebSocket.

    Nothing reaches the handler before the caller that awaits this has had its turn, so there is time to store the
    connection.

    Parameters
    ----------
    runtime : Runtime
        A real one gives a picows connection, a virtual one its twin in memory.
    url : str
        ``wss://host[:port]/path?query``, percent-encoded. ``ws`` is for literal loopback addresses; in a virtual
        runtime, which has no TLS and no wire to listen on, for any.
    handler : WsHandler
    options : WsOptions, optional
    headers : iterable of (str, str)
        Sent with the upgrade, beside the protocol's own.
    subprotocol : str, optional
        Offered; `DecodeError` if the server selects another.
    tls : ssl.SSLContext, optional
        Must verify; made by `client_context` where absent.

    Raises
    ------
    UsageError
        The URL, a header, the options or the context cannot be used; zero bytes were sent.
    NotSent
        No connection, no TLS, no answer in time, or closed before an answer: there is no socket.
    HandshakeRefusedError
        The server answered something else than 101, a redirect included. Carries its reply.
    DecodeError
        The answer is neither an upgrade nor a refusal.
    """
    options = options or WsOptions()
    _check_options(options)
    origin, target = _parse(url)
    if not origin.tls and not runtime.virtual and not _is_loopback(origin.host):
        raise UsageError(f"{origin} is not encrypted, expected wss", remedy="ws is for literal loopback addresses")
    if origin.tls:
        tls = tls or client_context()
        if tls.verify_mode != ssl.CERT_REQUIRED or not tls.check_hostname:
            raise UsageError("the TLS context does not verify the server", remedy="use transport.tls.client_context")
    sent = _check_headers(headers, subprotocol, options.user_agent)
    proxy = Proxy.parse(options.proxy) if options.proxy else None

    make: WireFactory = MemoryWire if runtime.virtual else _picows_wire()
    wire = make(runtime, origin, target, sent, options)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + options.handshake_timeout_s
    transport, upgrade = await open_connection(
        runtime,
        origin,
        lambda: Upgrade(runtime.clock, origin, wire, subprotocol),
        tls=tls,
        proxy=proxy,
        source_address=options.source_address,
        timeout_s=options.handshake_timeout_s,
    )
    try:
        async with asyncio.timeout_at(deadline):
            rest = await upgrade.answered
    except TimeoutError:
        transport.abort()
        raise NotSent(
            f"{origin} did not answer the WebSocket upgrade within {options.handshake_timeout_s:g} s",
            remedy="no socket was opened, so trying again is safe",
        ) from None
    except BaseException:
        transport.abort()
        raise
    connection = Connection(runtime, origin, wire, handler, options)
    loop.call_soon(connection.begin, rest)
    return connection


def _picows_wire() -> WireFactory:
    from dragoman.transport.ws_picows import PicowsWire  # on first use: picows and what it loads are for real sockets

    return PicowsWire


def _check_options(options: WsOptions) -> None:
    if options.max_redirects != 0:
        raise UsageError(f"max_redirects is {options.max_redirects}, expected 0: it would give the token away")
    if options.compression:
        raise UsageError("compression is True, expected False: it is not implemented")
    if options.max_frame_bytes < 125 or options.max_message_bytes < 1 or options.max_buffered_bytes < 1:
        raise UsageError("max_frame_bytes, max_message_bytes and max_buffered_bytes: expected at least 125, 1 and 1")
    if options.handshake_timeout_s <= 0 or options.close_timeout_s <= 0 or options.ping_timeout_s <= 0:
        raise UsageError("handshake_timeout_s, close_timeout_s and ping_timeout_s: expected more than 0")
    if options.ping_interval_s < 0:
        raise UsageError(f"ping_interval_s is {options.ping_interval_s}, expected 0 (none) or more")


def _parse(url: str) -> tuple[Origin, str]:
    """Split a URL into where to connect and what to ask for. Errors do not show it: it may carry a token."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError("the WebSocket URL has no valid host and port") from None
    if parts.scheme not in ("ws", "wss"):
        raise UsageError(f"the scheme of the WebSocket URL is {parts.scheme!r}, expected wss or ws")
    if not _HOST.fullmatch(host):
        raise UsageError("the WebSocket URL has no valid host")
    if parts.username is not None or parts.password is not None:
        raise UsageError("the WebSocket URL holds a user name", remedy="send credentials in a header or the query")
    if parts.fragment:
        raise UsageError("the WebSocket URL holds a fragment (#...), which is never sent")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _TARGET.fullmatch(url) or not _TARGET.fullmatch(target):
        raise UsageError(
            "the WebSocket URL holds a blank, a control character or something that is not ASCII",
            remedy="percent-encode it",
        )
    return Origin(parts.scheme, host, port or (443 if parts.scheme == "wss" else 80)), target


def _check_headers(
    headers: Iterable[tuple[str, str]], subprotocol: str | None, user_agent: str
) -> list[tuple[str, str]]:
    sent = []
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise UsageError(f"{name!r} is not a header name", remedy="letters, digits and dashes only")
        if name.lower() in _OURS:
            raise UsageError(f"the header {name} is set by the WebSocket client and cannot be given")
        if not _VALUE.fullmatch(value):
            raise UsageError(f"the value of the header {name} holds a control character or is not ASCII")
        sent.append((name, value))
    if not any(name.lower() == "user-agent" for name, _ in sent):
        if not _VALUE.fullmatch(user_agent):
            raise UsageError("the user agent must be printable ASCII")
        sent.append(("User-Agent", user_agent))
    if subprotocol is not None:
        if not _TOKEN.fullmatch(subprotocol):
            raise UsageError(f"{subprotocol!r} is not a subprotocol name")
        sent.append(("Sec-WebSocket-Protocol", subprotocol))
    return sent


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
