"""Sockets that tell topics: a topic's whole vector when it is subscribed, and then what changed of it, at a pace.

A socket is told in channels that can be paused or made lite. How a frame looks is the broker's; the records in it are
written by `TopicEncoder`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dragoman.emulator.contract import Push
from dragoman.emulator.encode_topics import TopicEncoder, Vector
from dragoman.emulator.listed import ListingName

SocketT = TypeVar("SocketT", bound=Any)


class Sockets(dict[int, SocketT]):
    """Sockets by number; each has a `token`, None until it was shown one."""

    def end(self, dead: Callable[[str], bool]) -> list[Push]:
        """Forget the sockets whose token is `dead`, and return their ends."""
        gone = [number for number, one in self.items() if one.token is not None and dead(one.token)]
        for number in gone:
            del self[number]
        return [Push(number, close_code=1000) for number in gone]


@dataclass(slots=True)
class Topic:
    """A subscribed topic: its id and channel, and what the socket was told of it.

    Attributes
    ----------
    texts : tuple of bytes
        What is told beside the vector when the topic is defined.
    lite : bool
        Whether it has a short form.
    """

    kind: str
    named: ListingName
    texts: tuple[bytes, ...]
    lite: bool = True
    number: int = 0
    channel: int = 0
    told: Vector | None = None
    dirty: bool = True


@dataclass(slots=True)
class TopicSocket:
    """One socket.

    Attributes
    ----------
    token : str, optional
        What it was accepted with.
    lite, paused : set of int
        Channels.
    message : int
        Number of the last frame of data.
    acknowledged : int
        The last one the client acknowledged.
    """

    token: str | None = None
    muted: bool = False
    topics: dict[bytes, Topic] = field(default_factory=dict)
    lite: set[int] = field(default_factory=set)
    paused: set[int] = field(default_factory=set)
    given: int = 0
    message: int = 0
    acknowledged: int = 0
    next_ns: int = 0

    def subscribe(self, topics: Mapping[bytes, Topic], channel: int) -> None:
        """Add topics, each under the next id."""
        for name, topic in topics.items():
            self.given += 1
            topic.number, topic.channel = self.given, channel
            self.topics[name] = topic

    def unsubscribe(self, names: Collection[bytes]) -> None:
        for name in names:
            self.topics.pop(name, None)


class TopicSockets(Sockets[TopicSocket]):
    """All sockets of one such stream.

    Parameters
    ----------
    values : callable
        Topic -> its values, as `TopicEncoder.vector` takes them.
    frame : callable
        (number of the frame, at most `per_frame` records) -> the message that carries them.
    pace_ns : int
        Least time between two frames of data on one socket.
    """

    def __init__(
        self,
        encoder: TopicEncoder,
        values: Callable[[Topic], Mapping[str, Any]],
        frame: Callable[[int, Sequence[bytes]], bytes],
        *,
        per_frame: int,
        pace_ns: int,
    ) -> None:
        super().__init__()
        self._encoder = encoder
        self._values = values
        self._frame = frame
        self._per_frame = per_frame
        self._pace_ns = pace_ns

    def poll(self, now_ns: int, changed: Collection[int]) -> list[Push]:
        """Return the frames that became due; `changed` are tokens of instruments."""
        pushes: list[Push] = []
        for number, one in self.items():
            for topic in one.topics.values():
                topic.dirty = topic.dirty or topic.named.token in changed
            if now_ns >= one.next_ns:
                frames = list(self._frames(one))
                one.next_ns = now_ns + self._pace_ns if frames else one.next_ns
                pushes += (Push(number, frame) for frame in frames)
        return pushes

    def _frames(self, one: TopicSocket) -> Iterator[bytes]:
        found: list[bytes] = []
        for name, topic in one.topics.items():
            if topic.dirty and topic.channel not in one.paused:
                topic.dirty = False
                found += self._records(name, topic, lite=topic.channel in one.lite)
        for at in range(0, len(found), self._per_frame):
            one.message += 1
            yield self._frame(one.message, found[at : at + self._per_frame])

    def _records(self, name: bytes, topic: Topic, *, lite: bool) -> Iterator[bytes]:
        encoder, precision, values = self._encoder, topic.named.decimals, self._values(topic)
        vector = encoder.vector(name, values, 10**precision)
        before, topic.told = topic.told, vector
        if before is None:
            yield encoder.define("snapshot", topic.number, name, vector, precision=precision, texts=topic.texts)
        elif lite:
            if topic.lite and before[0] != vector[0]:
                yield encoder.lite("lite", topic.number, values, 10**precision)
        elif before != vector:
            yield encoder.update("update", topic.number, encoder.changes(before, vector))
