"""Market streams whose clients subscribe in JSON and hear conflated packets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from dragoman.emulator.app_emulator import AppSession
from dragoman.emulator.conflated import Client, ConflatedSockets, RequestError
from dragoman.emulator.contract import Push
from dragoman.emulator.desks import StreamDesk, TableT
from dragoman.emulator.venue.types import VenueProtocol


class TickDesk(StreamDesk[TableT]):
    """Base of such a stream: all its sockets.

    Class attributes
    ----------------
    per_frame : int
        Packets of one frame, at most.
    heartbeat : bytes or None
        Sent when a socket was silent for a second; None: nothing is.
    """

    per_frame: ClassVar[int]
    heartbeat: ClassVar[bytes | None] = None

    def __init__(self, venue: VenueProtocol, names: TableT, session: AppSession, pace_ns: int) -> None:
        super().__init__(venue, names, session)
        self.now_ns = 0
        self.sockets = ConflatedSockets(
            pace_ns, self.entry, self.frame, per_frame=self.per_frame, heartbeat=self.heartbeat
        )

    # -- what a broker says ------------------------------------------------------------------------------------------

    def entry(self, token: int, mode: str) -> bytes:
        """Return the packet of an instrument in a mode."""
        raise TypeError(f"{type(self).__name__} does not define entry")

    def frame(self, packets: Sequence[bytes]) -> bytes:
        """Return the message that carries packets."""
        raise TypeError(f"{type(self).__name__} does not define frame")

    def command(self, socket: int, client: Client, message: Mapping[str, Any]) -> Sequence[Push]:
        """Do what a client says. Raises RequestError, and KeyError, TypeError or ValueError for what is no message."""
        raise TypeError(f"{type(self).__name__} does not define command")

    def unread(self, why: str) -> str | bytes | None:
        """Return what a client hears of a message that is wrong; None: nothing."""
        return None

    def texts(self) -> Iterable[str]:
        """Return what every socket is told beside its ticks."""
        return ()

    # -- the sockets' side -------------------------------------------------------------------------------------------

    def close(self, socket: int) -> None:
        self.sockets.close(socket)

    def hear(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        client, self.now_ns = self.sockets.get(socket), now_ns
        if client is None:
            return ()
        try:
            return self.command(socket, client, json.loads(data))
        except RequestError as refused:
            answer = self.unread(str(refused))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            answer = self.unread("Invalid message")
        return () if answer is None else (Push(socket, answer),)

    def poll(self, now_ns: int) -> Sequence[Push]:
        """Return what became due; sockets whose token died end (unverified: brokers may let them live)."""
        self.now_ns = now_ns
        self.sockets.drop(self.dead(now_ns))
        return self.sockets.poll(now_ns, self.texts(), self.changed)
