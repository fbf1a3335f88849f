"""The warm connections to one origin, and the queue for them when all are busy."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from dragoman.errors import NotSent
from dragoman.runtime.base import Runtime
from dragoman.transport.base import HttpOptions, Origin
from dragoman.transport.http_conn import HttpConnection

Connect = Callable[["ConnectionPool", float], Awaitable[HttpConnection]]


class ConnectionPool:
    """Connections to one origin: the last one used is the first one reused, so the surplus can grow old and be closed.

    At most `max_connections` slots are taken, by connections open or being opened. Whoever finds none free waits in
    line; a connection or a slot that becomes free is handed to the first in line and to nobody else.

    Parameters
    ----------
    runtime : Runtime
    origin : Origin
    options : HttpOptions
    connect : callable
        Opens a connection for this pool within so many seconds, or raises NotSent.
    """

    def __init__(self, runtime: Runtime, origin: Origin, options: HttpOptions, connect: Connect) -> None:
        self._readable = runtime.net.readable
        self._origin = origin
        self._options = options
        self._idle_timeout_s = options.idle_timeout_s
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._idle: list[HttpConnection] = []
        # In order of opening, and compared by identity: a set would walk them in the order of their addresses.
        self._all: dict[HttpConnection, None] = {}
        self._leaving: dict[HttpConnection, None] = {}  # carry nothing any more, but their sockets are still open
        self._slots = 0
        self._queue: deque[asyncio.Future[HttpConnection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def size(self) -> int:
        """Connections open or being opened."""
        return self._slots

    @property
    def idle(self) -> int:
        """Connections ready for a request."""
        return len(self._idle)

    def take(self, *, drop_unread: bool = False) -> HttpConnection | None:
        """Return a connection that is ready now, or None.

        Those found closed or stale are dropped on the way. One with unread bytes is not ready: the peer may be closing
        it. It is dropped with `drop_unread`, and stops the search without.
        """
        idle, now = self._idle, self._loop.time()
        while idle:
            connection = idle.pop()
            # Also where its transport closes by itself: its number may be another socket's by now, so that is not read.
            if (
                connection.left
                or connection.transport.is_closing()
                or connection.idle_since + self._idle_timeout_s <= now
            ):
                connection.abandon()
            elif not connection.unread():
                connection.taken_at = now
                return connection
            elif drop_unread:
                connection.abandon()
            else:
                idle.append(connection)
                return None
        return None

    async def acquire(self, deadline: float) -> HttpConnection:
        """Return a connection, waiting in line or opening one.

        Parameters
        ----------
        deadline : float
            On the loop's clock.

        Raises
        ------
        NotSent
            If none can be had in time.
        """
        again = False
        while True:
            connection = self.take()
            if connection is None and self._idle:
                # Unread bytes need not be bad news (TLS session tickets). Once the loop has had its turn they are
                # read: then the connection is good, or gone.
                await self._loop_turn()
                connection = self.take(drop_unread=True)
            if connection is None:
                if self._slots < self._options.max_connections:
                    self._slots += 1
                else:
                    connection = await self._wait_in_line(deadline, first=again)
                    again = True
                if connection is None:
                    return await self._open(deadline)
            if not connection.gone:
                return connection
            # It died between being handed over and here: its slot is someone's already, so back into the line.

    async def _loop_turn(self) -> None:
        turn = self._loop.create_future()
        self._loop.call_soon(_wake, turn)
        await turn

    async def _wait_in_line(self, deadline: float, *, first: bool) -> HttpConnection | None:
        turn: asyncio.Future[HttpConnection | None] = self._loop.create_future()
        if first:
            self._queue.appendleft(turn)
        else:
            self._queue.append(turn)
        timer = self._loop.call_at(deadline, self._too_late, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                given = turn.result()
                if given is None:
                    self._free_slot()
                elif not given.gone:
                    self.release(given)
            raise
        finally:
            timer.cancel()

    def _too_late(self, turn: asyncio.Future[HttpConnection | None]) -> None:
        if not turn.done():
            turn.set_exception(
                NotSent(
                    f"all {self._options.max_connections} connections to {self._origin} stayed busy until the deadline",
                    remedy="nothing was sent; raise max_connections or send less at once",
                )
            )

    async def _open(self, deadline: float) -> HttpConnection:
        """Open a connection in a slot that is ours already."""
        try:
            if self._closed:
                raise NotSent(f"the HTTP client to {self._origin} was closed")
            left = min(deadline - self._loop.time(), self._options.connect_timeout_s)
            if left <= 0:
                raise NotSent(f"the deadline passed before a connection to {self._origin} was opened")
            connection = await self._connect(self, left)
        except BaseException:
            self._free_slot()
            raise
        self._all[connection] = None
        connection.unread = self._readable(connection.transport)
        if self._closed or connection.gone:
            connection.abandon()
            self.on_gone(connection)
            raise NotSent(f"the connection to {self._origin} was closed before the request was written")
        return connection

    def release(self, connection: HttpConnection) -> None:
        """Take back a connection that may carry another request."""
        if self._queue and (turn := self._next_in_line()) is not None:
            turn.set_result(connection)
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._options.idle_timeout_s, self._sweep)

    def on_gone(self, connection: HttpConnection) -> None:
        """Forget a connection, and give its slot to the first in line."""
        if connection not in self._all:
            return  # it never got as far as the pool, or was forgotten already
        del self._all[connection]
        if not connection.lost.done():
            self._leaving[connection] = None
            connection.lost.add_done_callback(lambda _: self._leaving.pop(connection, None))
        if connection in self._idle:
            self._idle.remove(connection)
        self._free_slot()

    def _free_slot(self) -> None:
        turn = self._next_in_line()
        if turn is None:
            self._slots -= 1
        else:
            turn.set_result(None)

    def _next_in_line(self) -> asyncio.Future[HttpConnection | None] | None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                return turn
        return None

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._loop.time()
        while self._idle and self._due(self._idle[0]) <= now:
            self._idle[0].retire()
        if self._idle:
            self._sweeper = self._loop.call_at(self._due(self._idle[0]), self._sweep)

    def _due(self, connection: HttpConnection) -> float:
        # One sum for the timer and for the check: a difference may round to before the timer that it is checked at.
        return connection.idle_since + self._idle_timeout_s

    async def warm(self, connections: int, deadline: float) -> None:
        """Open connections until so many stand, one after another."""
        while self._slots < min(connections, self._options.max_connections):
            self._slots += 1
            self.release(await self._open(deadline))

    def close(self) -> list[HttpConnection]:
        """Close everything; return the connections whose sockets are still open, for their ends to be awaited."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while (turn := self._next_in_line()) is not None:
            turn.set_exception(NotSent(f"the HTTP client to {self._origin} was closed"))
        for connection in list(self._all):
            if connection in self._idle:
                connection.retire()
            else:
                connection.abandon()
        return list(self._leaving)


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
