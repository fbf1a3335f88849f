"""`Net` in memory: a table of names, listeners, links between them, and faults on demand."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from dragoman.errors import UsageError
from dragoman.runtime.base import ProtocolFactory
from dragoman.runtime.virtual_loop import VirtualLoop
from dragoman.runtime.virtual_stream import Address, Link, Shape, VirtualTransport

_FIRST_PORT = 49_152
_NO_TLS = (
    "the virtual net carries no TLS: give the emulator environment plain http and ws addresses, "
    "or run against the real runtime"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFault:
    """What goes wrong with one connection; `NetFaults.add` says with which.

    Attributes
    ----------
    refuse : bool
        The connect ends in ConnectionRefusedError.
    hang : bool
        The connect is never answered; the caller's timeout ends it.
    reset_to_server_after, reset_to_client_after : int or None
        Reset instead of delivering the byte after so many (0: the first one).
    mute_to_server_after, mute_to_client_after : int or None
        Black-hole this direction after so many bytes.
    delay_s : float
        Added to the latency of both directions and of the connect.
    """

    refuse: bool = False
    hang: bool = False
    reset_to_server_after: int | None = None
    reset_to_client_after: int | None = None
    mute_to_server_after: int | None = None
    mute_to_client_after: int | None = None
    delay_s: float = 0.0

    def apply(self, link: Link) -> None:
        """Set the faults of an open link."""
        link.to_server.reset_after = self.reset_to_server_after
        link.to_client.reset_after = self.reset_to_client_after
        link.to_server.mute_after = self.mute_to_server_after
        link.to_client.mute_after = self.mute_to_client_after
        link.to_server.delay_s = link.to_client.delay_s = self.delay_s


@dataclass(slots=True)
class _Planned:
    fault: LinkFault
    host: str | None
    port: int | None
    left: int


class NetFaults:
    """Faults of connections to come. Open ones are broken through `VirtualNet.links`.

    Attributes
    ----------
    on_link : callable or None
        Called with each new `Link` before its first byte: for faults decided by code.
    """

    def __init__(self) -> None:
        self.on_link: Callable[[Link], None] | None = None
        self._planned: list[_Planned] = []

    def add(self, fault: LinkFault, *, host: str | None = None, port: int | None = None, times: int = 1) -> None:
        """Give the next `times` connects (-1: all) to this host and port (None: any) a fault, in order of adding."""
        self._planned.append(_Planned(fault, host, port, times))

    def heal(self) -> None:
        """Forget everything planned. Open links keep their faults."""
        self._planned.clear()
        self.on_link = None

    def take(self, host: str, port: int) -> LinkFault:
        """Return the fault of this connect and use it up."""
        for planned in self._planned:
            if planned.host in (None, host) and planned.port in (None, port):
                planned.left -= 1
                if planned.left == 0:
                    self._planned.remove(planned)
                return planned.fault
        return LinkFault()


class VirtualNet:
    """Connections in memory between `connect` and `listen` of one runtime.

    Attributes
    ----------
    resolve : dict of str to str
        Address by host name; literal addresses and ``localhost`` need no entry, any other name does not resolve.
    shape : Shape
        Latency and cutting; shared by all links, open ones included.
    faults : NetFaults
    links : list of Link
        Every connection made, oldest first.
    """

    def __init__(self, loop: VirtualLoop, rng: random.Random) -> None:
        self.resolve: dict[str, str] = {}
        self.shape = Shape()
        self.faults = NetFaults()
        self.links: list[Link] = []
        self._loop = loop
        self._rng = rng
        self._listeners: dict[Address, VirtualListener] = {}
        self._next_port = _FIRST_PORT

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
        """Open a connection; every failure is an OSError. `tls` is a UsageError."""
        if tls is not None:
            raise UsageError(_NO_TLS)
        fault = self.faults.take(host, port)
        try:
            async with asyncio.timeout(timeout):
                await self._round_trip(fault.delay_s)
                address = self._address(host)
                if fault.hang:
                    await self._loop.create_future()
        except TimeoutError:
            raise TimeoutError(f"no connection to {host}:{port} within {timeout:g} s") from None
        listener = self._listeners.get((address, port)) or self._listeners.get(("0.0.0.0", port))  # noqa: S104
        if fault.refuse or listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED), f"{host}:{port}")
        return self._open(factory, listener.factory, (local_addr or "127.0.0.1", self._port()), (address, port), fault)

    def _open(
        self,
        client_factory: ProtocolFactory,
        server_factory: ProtocolFactory,
        client_address: Address,
        server_address: Address,
        fault: LinkFault,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        link = Link(len(self.links) + 1, client_address, server_address, self._loop, self.shape, self._rng)
        self._loop.trace.add(self._loop.now_ns, f"link {link.number} {client_address} -> {server_address}")
        protocol = client_factory()
        client = VirtualTransport(self._loop, protocol, link.to_server, link.to_client, client_address, server_address)
        server = VirtualTransport(
            self._loop, server_factory(), link.to_client, link.to_server, server_address, client_address
        )
        link.join(client, server)
        fault.apply(link)
        if self.faults.on_link is not None:
            self.faults.on_link(link)
        self.links.append(link)
        self._loop.call_soon(server.start)
        client.start()
        return client, protocol

    async def start_tls(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
        tls: ssl.SSLContext,
        server_hostname: str,
        *,
        timeout: float,
    ) -> asyncio.Transport:
        """Raise UsageError: there is no TLS here."""
        raise UsageError(_NO_TLS)

    async def listen(
        self, factory: ProtocolFactory, host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> VirtualListener:
        """Accept connections; port 0 picks a free one. ``0.0.0.0`` takes every address of its port."""
        if tls is not None:
            raise UsageError(_NO_TLS)
        address = (self._address(host), port or self._port())
        if address in self._listeners:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), f"{host}:{port}")
        listener = VirtualListener(factory, address, self._listeners)
        self._listeners[address] = listener
        return listener

    def readable(self, transport: asyncio.Transport) -> Callable[[], object]:
        """Return what says whether bytes or an end of stream have arrived that the protocol has not been told of."""
        return lambda: not isinstance(transport, VirtualTransport) or transport.unread

    async def _round_trip(self, delay_s: float) -> None:
        await asyncio.sleep(2 * delay_s + 2 * self.shape.delay_ns(self._rng) / 1e9)

    def _address(self, host: str) -> str:
        known = self.resolve.get(host)
        if known is not None:
            return known
        if host == "localhost":
            return "127.0.0.1"
        if ":" in host or host.replace(".", "").isdigit():
            return host
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is not in the table `resolve` of the virtual net")

    def _port(self) -> int:
        self._next_port += 1
        return self._next_port - 1


class VirtualListener:
    """An address that accepts connections."""

    def __init__(self, factory: ProtocolFactory, address: Address, listeners: dict[Address, VirtualListener]) -> None:
        self.factory = factory
        self._address = address
        self._listeners = listeners

    @property
    def port(self) -> int:
        return self._address[1]

    async def close(self) -> None:
        """Stop accepting. Connections already accepted belong to their protocols and stay open."""
        if self._listeners.get(self._address) is self:
            del self._listeners[self._address]
