"""`Net` over asyncio's transports on the running loop."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

from dragoman.runtime.base import Listener, ProtocolFactory


class RealNet:
    """Real sockets, with TLS where a context is given."""

    async def connect(
        self,
        factory: ProtocolFactory,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        local_addr: str | None = None,
        timeout: float,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Open a connection; every failure is an OSError (`ssl.SSLError` and `TimeoutError` are)."""
        options: dict[str, Any] = {}
        if tls is not None:
            options = {"ssl": tls, "server_hostname": server_hostname or host}
        if local_addr is not None:
            options["local_addr"] = (local_addr, 0)
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.get_running_loop().create_connection(factory, host, port, **options)
        except TimeoutError:
            raise TimeoutError(f"no connection to {host}:{port} within {timeout:g} s") from None
        except ValueError as error:  # a host name that cannot be encoded; certificate errors are ValueErrors, too
            if isinstance(error, OSError):
                raise
            raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is not a host name") from error

    async def start_tls(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
        tls: ssl.SSLContext,
        server_hostname: str,
        *,
        timeout: float,
    ) -> asyncio.Transport:
        """Upgrade a connection to TLS. `connection_made` is not called on `protocol`."""
        try:
            async with asyncio.timeout(timeout):
                upgraded = await asyncio.get_running_loop().start_tls(
                    transport, protocol, tls, server_hostname=server_hostname
                )
        except TimeoutError:
            transport.abort()
            raise TimeoutError(f"no TLS handshake with {server_hostname} within {timeout:g} s") from None
        if upgraded is None:
            raise ConnectionResetError(f"{server_hostname} closed the connection during the TLS handshake")
        return upgraded

    async def listen(
        self, factory: ProtocolFactory, host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> Listener:
        """Accept connections; port 0 picks a free one."""
        return RealListener(await asyncio.get_running_loop().create_server(factory, host, port, ssl=tls))

    def readable(self, transport: asyncio.Transport) -> Callable[[], object]:
        """Return what is true where bytes or an end of stream wait in the kernel that the protocol has not seen yet."""
        sock = transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return lambda: True
        poller = select.poll()
        poller.register(sock.fileno(), select.POLLIN)
        return partial(poller.poll, 0)  # what it finds: nothing, or something


class RealListener:
    """A listening socket."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        self._port: int = server.sockets[0].getsockname()[1]

    @property
    def port(self) -> int:
        return self._port

    async def close(self) -> None:
        """Stop accepting. Connections already accepted belong to their protocols and stay open."""
        # Not `wait_closed`: from Python 3.12 on it waits for every accepted connection to end.
        self._server.close()
        await asyncio.sleep(0)
