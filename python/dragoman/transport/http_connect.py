"""Opening connections: directly, or through a proxy that is asked to CONNECT, with TLS end to end.

Whatever fails here is NOT_SENT: no byte of a request was written.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast
from urllib.parse import unquote, urlsplit

from dragoman.errors import NotSent, UsageError
from dragoman.runtime.base import Runtime
from dragoman.transport.base import Origin

P = TypeVar("P", bound=asyncio.Protocol)

_SAFE = "nothing was sent, so trying again is safe"
_MAX_PROXY_HEAD = 16 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where and how to ask for a tunnel. Its repr shows no credentials."""

    host: str
    port: int
    authorization: str | None = None

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Read ``http://[user:password@]host[:port]``. Raises UsageError, which does not show the address."""
        try:
            parts = urlsplit(url)
            port = parts.port or 80
        except ValueError:
            raise UsageError("the proxy address has no valid port", remedy="write http://host:port") from None
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise UsageError("the proxy address is not of the form http://host:port")
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return cls(parts.hostname, port, authorization)


class _Tunnel(asyncio.Protocol):
    """Asks the proxy for a tunnel and collects its answer, up to the blank line."""

    def __init__(self, authority: str, proxy: Proxy) -> None:
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if proxy.authorization is not None:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        self._request = "\r\n".join([*lines, "", ""]).encode("ascii")
        self._received = b""
        self._proxy = proxy
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)  # uvloop's do not inherit from asyncio's

    def data_received(self, data: bytes) -> None:
        if self.ready.done():
            return
        self._received += data
        head, blank, rest = self._received.partition(b"\r\n\r\n")
        if blank:
            self._judge(head + b"\r", rest)
        elif len(self._received) > _MAX_PROXY_HEAD:
            self._refuse("answered with something too long for a reply head")

    def _judge(self, head: bytes, rest: bytes) -> None:
        status = _STATUS_LINE.match(head)
        if status is None:
            self._refuse("did not answer in HTTP")
        elif not status[1].startswith(b"2"):
            self._refuse(f"answered {status[1].decode()} instead of opening a tunnel")
        elif rest:
            self._refuse("sent bytes of its own into the tunnel")
        else:
            self.ready.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self._refuse("closed the connection instead of opening a tunnel")

    def _refuse(self, what: str) -> None:
        self.ready.set_exception(ConnectionError(f"the proxy {self._proxy.host}:{self._proxy.port} {what}"))


async def open_connection(
    runtime: Runtime,
    origin: Origin,
    factory: Callable[[], P],
    *,
    tls: ssl.SSLContext | None,
    proxy: Proxy | None,
    source_address: str | None,
    timeout_s: float,
) -> tuple[asyncio.Transport, P]:
    """Open a connection to `origin`, ready for its first request.

    Parameters
    ----------
    runtime : Runtime
    origin : Origin
    factory : callable
        Makes the protocol; its `connection_made` has been called when this returns.
    tls : ssl.SSLContext or None
        Required where the origin speaks TLS.
    proxy : Proxy or None
    source_address : str or None
        Local address to bind.
    timeout_s : float
        For everything together.

    Raises
    ------
    NotSent
        However it fails.
    """
    context = tls if origin.tls else None
    deadline = asyncio.get_running_loop().time() + timeout_s
    try:
        if proxy is None:
            transport, protocol = await runtime.net.connect(
                factory, origin.host, origin.port, tls=context, local_addr=source_address, timeout=timeout_s
            )
            return transport, cast("P", protocol)
        return await _through(runtime, origin, factory, context, proxy, source_address, deadline)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "the handshake failed"
        raise NotSent(
            f"no TLS connection to {origin}: {reason}",
            remedy=f"check the host name, the server's certificate and the trust store; {_SAFE}",
        ) from error
    except OSError as error:
        raise NotSent(
            f"no connection to {origin}: {error.strerror or error or type(error).__name__}",
            remedy=f"check the network and the address; {_SAFE}",
        ) from error


async def _through(
    runtime: Runtime,
    origin: Origin,
    factory: Callable[[], P],
    context: ssl.SSLContext | None,
    proxy: Proxy,
    source_address: str | None,
    deadline: float,
) -> tuple[asyncio.Transport, P]:
    loop = asyncio.get_running_loop()
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    transport, tunnel = await runtime.net.connect(
        lambda: _Tunnel(f"{host}:{origin.port}", proxy),
        proxy.host,
        proxy.port,
        local_addr=source_address,
        timeout=deadline - loop.time(),
    )
    assert isinstance(tunnel, _Tunnel)
    try:
        try:
            async with asyncio.timeout_at(deadline):
                await tunnel.ready
        except TimeoutError:
            raise TimeoutError(f"the proxy {proxy.host}:{proxy.port} did not open a tunnel in time") from None
        protocol = factory()
        if context is not None:
            transport = await runtime.net.start_tls(
                transport, protocol, context, origin.host, timeout=deadline - loop.time()
            )
        else:
            transport.set_protocol(protocol)
    except BaseException:
        transport.abort()
        raise
    protocol.connection_made(transport)
    return transport, protocol
