"""Carry an emulator's bytes, time and faults: on loopback for real clients, in memory for simulations.

The host owns what an `Emulator` must not: connections, the clock, the beat of `Emulator.poll`, and every way in which a
network and a broker misbehave (`dragoman.emulator.faults`). It runs over `Runtime.net`, so the same code serves a
broker's official SDK on loopback and a thousand simulated days on a virtual clock.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from dragoman.emulator.contract import Emulator, HttpAnswer, HttpCall, Push, Roots
from dragoman.emulator.faults import Action, Faults, Plan, Scope
from dragoman.emulator.host_http import HttpConnection
from dragoman.emulator.host_posts import PostOffice
from dragoman.emulator.host_replies import plain
from dragoman.emulator.host_socket import ServerSocket
from dragoman.errors import UsageError
from dragoman.runtime.base import Listener, Runtime

T = TypeVar("T")

_log = logging.getLogger("dragoman.emulator.host")
_CLOSE_TIMEOUT_S = 1.0


@dataclass(slots=True)
class HostCounters:
    """What a host saw. `emulator_errors` above 0 is a bug in the emulator."""

    connections: int = 0
    requests: int = 0
    replies: int = 0
    bad_requests: int = 0
    upgrades: int = 0
    messages: int = 0
    frames_out: int = 0
    frames_muted: int = 0
    pushes_dropped: int = 0
    slow_readers: int = 0
    protocol_faults: int = 0
    posts: int = 0
    posts_failed: int = 0
    emulator_errors: int = 0


class EmulatorHost:
    """Serve one emulator.

    Parameters
    ----------
    emulator : Emulator
    runtime : Runtime
    faults : Faults, optional
    host : str
        A literal loopback address: emulators accept well-known credentials, so nobody else may reach them.
    port : int
        0 picks a free one.
    poll_interval_s : float
        How often `Emulator.poll` is asked, and faults of sockets are looked at.
    tls : ssl.SSLContext, optional
        Serve https and wss with it.

    Attributes
    ----------
    counters : HostCounters
    faults : Faults
        Rules may be added while the host runs.

    Raises
    ------
    UsageError
        For an address that is not loopback, or a fault the emulator cannot play.
    """

    def __init__(
        self,
        emulator: Emulator,
        runtime: Runtime,
        *,
        faults: Faults | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        poll_interval_s: float = 0.02,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not _is_loopback(host):
            raise UsageError(f"emulator host: address {host!r}, expected one in 127.0.0.0/8 or ::1")
        if poll_interval_s <= 0:
            raise UsageError(f"emulator host: poll_interval_s {poll_interval_s}, expected more than 0")
        self.emulator = emulator
        self.faults = faults if faults is not None else Faults()
        if self.faults.needs(Action.TOKEN_DEATH) and type(emulator).expire_tokens is Emulator.expire_tokens:
            raise UsageError(f"fault token_death: the {emulator.name} emulator does not define expire_tokens")
        self.counters = HostCounters()
        self._runtime = runtime
        self._address = host
        self._port = port
        self._poll_interval_s = poll_interval_s
        self._tls = tls
        self._listener: Listener | None = None
        self._beat: asyncio.Task[None] | None = None
        # In order of arrival: a set would close them in another order at every run.
        self._connections: dict[HttpConnection, None] = {}
        self._sockets: dict[int, ServerSocket] = {}
        self._numbers = 0
        self._started_ns = 0
        self._had: set[int] = set()
        self._gone = asyncio.Event()
        self._logged: set[tuple[str, type[Exception]]] = set()
        self._posts = PostOffice(runtime, self.counters)

    async def start(self) -> Roots:
        """Listen and begin to beat; return what clients are pointed at."""
        if self._listener is not None:
            raise UsageError("emulator host: started already")
        self._started_ns = self.mono_ns()
        self._listener = await self._runtime.net.listen(
            lambda: HttpConnection(self), self._address, self._port, tls=self._tls
        )
        self._port = self._listener.port
        self._beat = self._runtime.spawn(self._run(), name=f"emulator {self.emulator.name}")
        return self.roots

    async def close(self) -> None:
        """Stop listening, say good-bye to every socket, and drop what does not answer within a second."""
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.wait({self._beat})
        await listener.close()
        await self._posts.close()
        for connection in tuple(self._connections):
            connection.close()
        if not await self._drained(_CLOSE_TIMEOUT_S):
            for connection in tuple(self._connections):
                connection.abort()
            await self._drained(_CLOSE_TIMEOUT_S)

    async def _drained(self, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                while self._connections:
                    self._gone.clear()
                    await self._gone.wait()
        except TimeoutError:
            return False
        return True

    @property
    def port(self) -> int:
        """Where it listens; the port asked for, before `start`."""
        return self._port

    @property
    def roots(self) -> Roots:
        """What clients are pointed at."""
        name = f"[{self._address}]" if ":" in self._address else self._address
        secure = "s" if self._tls is not None else ""
        return self.emulator.roots(f"http{secure}://{name}:{self._port}", f"ws{secure}://{name}:{self._port}")

    @property
    def open_sockets(self) -> int:
        return len(self._sockets)

    def now_ns(self) -> int:
        return self._runtime.clock.wall_ns()

    def mono_ns(self) -> int:
        return self._runtime.clock.mono_ns()

    # -- the beat

    async def _run(self) -> None:
        while True:
            await self._runtime.sleep(self._poll_interval_s)
            age_s = (self.mono_ns() - self._started_ns) / 1e9
            for fault in self.faults.due(Scope.BROKER, "", age_s, self._had):
                assert fault.action is Action.TOKEN_DEATH
                self._guard("expire_tokens", self.emulator.expire_tokens, None)
            for socket in tuple(self._sockets.values()):
                socket.tick()
            self.deliver(self._guard("poll", lambda: self.emulator.poll(self.now_ns()), ()))
            self._posts.send(self._guard("posts", self.emulator.posts, ()))

    def deliver(self, pushes: Iterable[Push]) -> None:
        """Send frames to their sockets; those for sockets that are gone are counted and dropped."""
        for push in pushes:
            socket = self._sockets.get(push.socket)
            if socket is None:
                self.counters.pushes_dropped += 1
                continue
            if push.close_code is None or push.data:
                socket.push(push.data)
            if push.close_code is not None:
                socket.close(push.close_code)

    # -- what connections ask for

    def connected(self, connection: HttpConnection) -> None:
        self._connections[connection] = None
        self.counters.connections += 1

    def disconnected(self, connection: HttpConnection) -> None:
        self._connections.pop(connection, None)
        self._gone.set()

    def plan(self, call: HttpCall, *, upgrade: bool) -> Plan:
        """Draw the faults of a call."""
        self.counters.requests += 1
        age_s = (self.mono_ns() - self._started_ns) / 1e9
        return self.faults.plan(call.method, call.path, age_s, upgrade=upgrade)

    def handle(self, call: HttpCall) -> HttpAnswer:
        """Have the emulator answer a call; where it fails, 500."""
        return self._guard("handle", lambda: self.emulator.handle(call, self.now_ns()), self._failed())

    def error_answer(self, status: int, call: HttpCall) -> HttpAnswer:
        """Have the emulator word an error that did not happen."""
        return self._guard("error_answer", lambda: self.emulator.error_answer(status, call), self._failed())

    def next_socket(self) -> int:
        self._numbers += 1
        return self._numbers

    def open_socket(self, call: HttpCall, number: int) -> HttpAnswer | None:
        """Ask the emulator whether it takes a socket."""

        def step() -> HttpAnswer | None:
            return self.emulator.open_socket(call, number, self.now_ns())

        refused: HttpAnswer | None = self._failed()
        return self._guard("open_socket", step, refused)

    def opened(self, socket: ServerSocket) -> None:
        self._sockets[socket.number] = socket
        self.counters.upgrades += 1
        socket.tick()

    def message(self, socket: ServerSocket, data: str | bytes) -> None:
        """Give the emulator a client's message; where it fails, that socket is closed with 1011."""
        self.counters.messages += 1
        failed = [Push(socket.number, close_code=1011)]
        self.deliver(
            self._guard("on_message", lambda: self.emulator.on_message(socket.number, data, self.now_ns()), failed)
        )

    def closed(self, socket: ServerSocket) -> None:
        if self._sockets.pop(socket.number, None) is not None:
            self._guard("on_close", lambda: self.emulator.on_close(socket.number), None)

    def _failed(self) -> HttpAnswer:
        return plain(500, f"the {self.emulator.name} emulator failed; its log says why")

    def _guard(self, where: str, step: Callable[[], T], failed: T) -> T:
        """Run a step of the emulator; a bug in it is counted, logged with its trace once, and answered."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - the emulator is foreign code; the host outlives it
            self.counters.emulator_errors += 1
            if (where, type(error)) in self._logged:
                _log.error("%s emulator: %s failed again: %s", self.emulator.name, where, type(error).__name__)
            else:
                self._logged.add((where, type(error)))
                _log.exception("%s emulator: %s failed", self.emulator.name, where)
            return failed


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
