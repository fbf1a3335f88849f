"""A market stream in topics whose clients log in and ask in frames of bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dragoman.emulator.app_emulator import AppSession
from dragoman.emulator.contract import HttpAnswer, HttpCall, Push
from dragoman.emulator.desks import StreamDesk, TableT
from dragoman.emulator.encode_topics import TopicEncoder
from dragoman.emulator.topic_sockets import Topic, TopicSocket, TopicSockets
from dragoman.emulator.venue.types import VenueProtocol


class TopicDesk(StreamDesk[TableT]):
    """Base of such a stream: all its sockets.

    Class attributes
    ----------------
    encoder : TopicEncoder
    per_frame : int
        Records of one frame of data, at most.
    """

    encoder: ClassVar[TopicEncoder]
    per_frame: ClassVar[int]

    def __init__(self, venue: VenueProtocol, names: TableT, session: AppSession, pace_ns: int) -> None:
        super().__init__(venue, names, session)
        self.now_ns = 0
        self.sockets = TopicSockets(self.encoder, self.values, self.frame, per_frame=self.per_frame, pace_ns=pace_ns)

    # -- what a broker says ------------------------------------------------------------------------------------------

    def muted(self, call: HttpCall) -> bool:
        """Say whether a socket that is opened like this is never heard."""
        return False

    def command(self, one: TopicSocket, data: bytes) -> bytes | None:
        """Do what a client says; return the answer, None where there is none.

        Raises
        ------
        ValueError, LookupError, struct.error
            For a frame that is none: it is not answered.
        """
        raise TypeError(f"{type(self).__name__} does not define command")

    def values(self, topic: Topic) -> Mapping[str, Any]:
        """Return what a topic tells, as `TopicEncoder.vector` takes it."""
        raise TypeError(f"{type(self).__name__} does not define values")

    def frame(self, number: int, records: Sequence[bytes]) -> bytes:
        """Return the `number`-th frame of data of a socket."""
        raise TypeError(f"{type(self).__name__} does not define frame")

    # -- the sockets' side -------------------------------------------------------------------------------------------

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        self.sockets[socket] = TopicSocket(muted=self.muted(call), next_ns=now_ns)
        return None

    def close(self, socket: int) -> None:
        self.sockets.pop(socket, None)

    def hear(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        one, self.now_ns = self.sockets.get(socket), now_ns
        if one is None or one.muted or isinstance(data, str):
            return ()
        try:
            answer = self.command(one, data)
        except (ValueError, LookupError, struct.error):
            return ()
        return () if answer is None else (Push(socket, answer),)

    def poll(self, now_ns: int) -> Sequence[Push]:
        """Return what became due; sockets whose token died end (unverified: brokers may let them live, mute)."""
        self.now_ns = now_ns
        return [*self.sockets.end(self.dead(now_ns)), *self.sockets.poll(now_ns, set(self.changed()))]
