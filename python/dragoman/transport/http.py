"""The HTTP/1.1 client of the order path: warm connections, deadlines on all of it, no guess about what was sent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial

from dragoman.errors import UsageError
from dragoman.plugin import Reply
from dragoman.runtime.base import Runtime
from dragoman.transport.base import HttpOptions, Origin, Prepare
from dragoman.transport.http_conn import HttpConnection
from dragoman.transport.http_connect import Proxy, open_connection
from dragoman.transport.http_encode import RequestEncoder
from dragoman.transport.http_parse import Sink
from dragoman.transport.http_pool import ConnectionPool
from dragoman.transport.tls import client_context

_CLOSE_S = 1.0


class HttpClient:
    """`HttpTransport` over the runtime's net. It belongs to the loop it is first used on.

    It retries nothing, follows no redirect, keeps no cookie. The one thing it repeats is taking a connection from the
    pool: one found closed before anything was written is left for another.

    Parameters
    ----------
    runtime : Runtime
    options : HttpOptions
        `max_connections` counts for each origin.
    tls : ssl.SSLContext or None
        For https origins; made by `client_context` if absent.

    Raises
    ------
    UsageError
        If the options cannot be used.
    """

    def __init__(self, runtime: Runtime, options: HttpOptions | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._runtime = runtime
        self._options = options or HttpOptions()
        self._tls = tls
        if tls is not None and (tls.verify_mode != ssl.CERT_REQUIRED or not tls.check_hostname):
            raise UsageError("the TLS context does not verify the server", remedy="use transport.tls.client_context")
        if self._options.max_connections < 1:
            raise UsageError(f"max_connections is {self._options.max_connections}, expected at least 1")
        self._proxy = Proxy.parse(self._options.proxy) if self._options.proxy else None
        self._pools: dict[Origin, ConnectionPool] = {}
        self._last_origin: Origin | None = None
        self._take: Callable[[], HttpConnection | None] = lambda: None
        self._closed = False

    def take(self, origin: Origin) -> HttpConnection | None:
        """Return a connection that is ready now; see `HttpTransport.take`."""
        # An origin is hashed by its parts, and in a row it is the same one.
        if origin is not self._last_origin:
            pool = self._pools.get(origin)
            if pool is None:
                return None
            self._last_origin, self._take = origin, pool.take
        return self._take()

    async def send(self, origin: Origin, prepare: Prepare, *, timeout_s: float) -> Reply:
        """Send one request and return the whole reply; see `HttpTransport.send`.

        Parameters
        ----------
        origin : Origin
        prepare : callable
            Makes the request, at the last moment. What it raises is passed on; nothing was sent.
        timeout_s : float
            From here to the last byte of the reply.
        """
        return await self._perform(origin, prepare, timeout_s, None)

    async def download(
        self, origin: Origin, prepare: Prepare, sink: Callable[[bytes], None], *, timeout_s: float
    ) -> Reply:
        """Hand the decoded body of a 2xx reply to `sink`, piece by piece; see `HttpTransport.download`.

        Nothing more is read while `sink` runs, so a slow one slows the server down. What it raises ends the download
        and is passed on.
        """
        return await self._perform(origin, prepare, timeout_s, sink)

    async def _perform(self, origin: Origin, prepare: Prepare, timeout_s: float, sink: Sink | None) -> Reply:
        pool = self._pools.get(origin) or self._new_pool(origin)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        connection = pool.take() or await pool.acquire(deadline)
        # No await from here to the write: what is prepared now leaves now.
        waiter: asyncio.Future[Reply] = loop.create_future()
        connection.send(prepare, partial(_settle, waiter), timeout_s=timeout_s, deadline=deadline, sink=sink)
        try:
            return await waiter
        except asyncio.CancelledError:
            connection.abandon()
            raise

    async def warm(self, origin: Origin, connections: int = 1) -> None:
        """Open connections ahead of need, until so many stand. Raises NotSent."""
        pool = self._pools.get(origin) or self._new_pool(origin)
        deadline = asyncio.get_running_loop().time() + self._options.connect_timeout_s
        await pool.warm(connections, deadline)

    async def close(self) -> None:
        """Close all connections, within about a second; requests in flight end as on a lost connection."""
        self._closed = True
        leaving = [connection for pool in self._pools.values() for connection in pool.close()]
        self._pools.clear()
        self._last_origin, self._take = None, lambda: None
        if leaving:
            await asyncio.wait([connection.lost for connection in leaving], timeout=_CLOSE_S)
        for connection in leaving:
            connection.abandon()  # a dead peer never answers the closing of TLS

    def _new_pool(self, origin: Origin) -> ConnectionPool:
        if self._closed:
            raise UsageError("this HTTP client is closed")
        if origin.scheme not in ("http", "https"):
            raise UsageError(f"the scheme of {origin} is {origin.scheme}, expected http or https")
        if origin.tls and self._tls is None:
            self._tls = client_context()

        encoder = RequestEncoder(origin, self._options.user_agent)

        async def connect(pool: ConnectionPool, timeout_s: float) -> HttpConnection:
            _, connection = await open_connection(
                self._runtime,
                origin,
                lambda: HttpConnection(self._runtime.clock, origin, self._options, encoder, pool.release, pool.on_gone),
                tls=self._tls,
                proxy=self._proxy,
                source_address=self._options.source_address,
                timeout_s=timeout_s,
            )
            return connection

        pool = self._pools[origin] = ConnectionPool(self._runtime, origin, self._options, connect)
        return pool


def _settle(waiter: asyncio.Future[Reply], outcome: Reply | Exception) -> None:
    if waiter.done():  # the caller was cancelled
        return
    if isinstance(outcome, Reply):
        waiter.set_result(outcome)
    else:
        waiter.set_exception(outcome)
