"""Sockets of named channels: a greeting, a login in the band, subscriptions, and at a pace what is new.

A message is a list of records, in JSON or MessagePack; clients say ``{"action": "auth", ...}`` and
``{"action": "subscribe", channel: [symbols]}``. `ChannelSockets` keeps who may listen to what; what a broker answers,
and of which markets it tells, is its own (`success`, `fault`, `subscription`, `news`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias

from dragoman.emulator.bodies import rfc3339
from dragoman.emulator.channels import ALL, Listener
from dragoman.emulator.contract import HttpAnswer, HttpCall, Push
from dragoman.emulator.counting import SECOND
from dragoman.errors import DecodeError
from dragoman.plugin.messagepack import Moment, pack_messagepack, unpack_messagepack

Record: TypeAlias = dict[str, Any]
Asked: TypeAlias = Mapping[str, Collection[str]]
"""Channel -> symbols."""


class ChannelFault(StrEnum):
    """Why a message, or a socket, is refused."""

    MALFORMED = "malformed"
    STRANGER = "has not shown who it is"
    DENIED = "wrong credentials"
    TWICE = "has shown who it is already"
    CROWDED = "another socket of the user listens there"
    LATE = "did not show in time who it is"
    UNKNOWN = "no such channel"
    LIMIT = "more symbols than the plan has"


@dataclass(slots=True)
class ChannelSocket:
    """One connection, and what it was told last.

    Attributes
    ----------
    packed : bool
        Whether it speaks MessagePack.
    waiting : list
        Records to be told before anything else, each in a message of its own.
    """

    path: str
    packed: bool
    opened_ns: int
    accepted: bool = False
    listener: Listener = field(default_factory=Listener)
    waiting: list[Record] = field(default_factory=list)

    def push(self, number: int, records: Sequence[Record]) -> Push:
        """Write one message; the times in it (``t``, ns UTC) as its format has them."""
        write = Moment if self.packed else rfc3339
        dated = [one | {"t": write(one["t"])} if "t" in one else one for one in records]
        return Push(number, pack_messagepack(dated) if self.packed else json.dumps(dated))


class ChannelSockets:
    """Base of a broker's streams of this kind: all their connections.

    Class attributes
    ----------------
    channels : mapping of str to collection of str
        Kind of markets -> the channels there are.
    counted : collection of str
        The channels whose symbols are counted.

    Parameters
    ----------
    tick_rate : float
        Messages per second and socket, at most.
    login_ns : int
        How long a socket may be open before it has shown who it is.
    most : int, optional
        Symbols of a socket, of all counted channels together; None takes any number.

    Raises
    ------
    ValueError
        For a tick rate that is not above 0.
    """

    channels: ClassVar[Mapping[str, Collection[str]]]
    counted: ClassVar[Collection[str]] = ()

    def __init__(self, tick_rate: float, login_ns: int, most: int | None = None) -> None:
        if tick_rate <= 0:
            raise ValueError(f"emulator: tick_rate is {tick_rate}, expected messages per second above 0")
        self._pace_ns = int(SECOND / tick_rate)
        self._login_ns = login_ns
        self._limit = most
        self.sockets: dict[int, ChannelSocket] = {}

    # -- what a broker says ------------------------------------------------------------------------------------------

    def shows(self, message: Mapping[str, Any]) -> bool:
        """Say whether the credentials in a message are the account's."""
        raise TypeError(f"{type(self).__name__} does not define shows")

    def success(self, text: str) -> Record:
        """Return the record of a socket that is ``connected`` or ``authenticated``."""
        raise TypeError(f"{type(self).__name__} does not define success")

    def fault(self, fault: ChannelFault) -> Record:
        """Return the record of a refusal."""
        raise TypeError(f"{type(self).__name__} does not define fault")

    def subscription(self, channels: Mapping[str, Sequence[str]]) -> Record:
        """Return the record of what a socket hears now."""
        raise TypeError(f"{type(self).__name__} does not define subscription")

    def greeting(self, socket: ChannelSocket, call: HttpCall) -> list[Record]:
        """Return what a socket is told when it opens, each record in a message of its own."""
        return [self.success("connected")]

    def forbidden(self, socket: ChannelSocket, asked: Asked) -> Record | None:
        """Return the record of a rule of the broker's own that a subscription breaks."""
        return None

    def symbols(self, kind: str) -> Iterable[str]:
        """Return every symbol there is of a kind of markets."""
        raise TypeError(f"{type(self).__name__} does not define symbols")

    def changed(self, now_ns: int) -> Iterable[tuple[str, str]]:
        """Return (kind of markets, symbol) of everything that changed since the last call."""
        raise TypeError(f"{type(self).__name__} does not define changed")

    def news(self, socket: ChannelSocket, symbol: str, now_ns: int) -> Iterator[Record]:
        """Yield what a socket has not been told of a market yet (`Listener.news`, `Listener.book`)."""
        raise TypeError(f"{type(self).__name__} does not define news")

    def kind(self, socket: ChannelSocket) -> str:
        """Return of which markets a socket may hear: what `changed` calls them."""
        raise TypeError(f"{type(self).__name__} does not define kind")

    # -- logging in, asking ------------------------------------------------------------------------------------------

    def admit(self, socket: ChannelSocket, *, known: bool) -> Record:
        """Accept a socket whose credentials are `known`, or say why not."""
        if socket.accepted:
            return self.fault(ChannelFault.TWICE)
        if not known:
            return self.fault(ChannelFault.DENIED)
        if any(one.accepted and one.path == socket.path for one in self.sockets.values()):
            return self.fault(ChannelFault.CROWDED)
        socket.accepted = True
        return self.success("authenticated")

    def answer(self, socket: ChannelSocket, message: Mapping[str, Any]) -> Record:
        """Do what a message asks. Raises ValueError, TypeError or AttributeError for one of none."""
        action = message.get("action")
        if action == "auth":
            return self.admit(socket, known=self.shows(message))
        if action not in ("subscribe", "unsubscribe"):
            return self.fault(ChannelFault.MALFORMED)
        asked = {name: set(map(str, names)) for name, names in message.items() if name != "action" and names}
        known = self.channels[self.kind(socket)]
        fault = self._listen(socket, asked, known, more=action == "subscribe")
        return fault or self.subscription({name: sorted(socket.listener.wanted.get(name, ())) for name in known})

    def _listen(self, socket: ChannelSocket, asked: Asked, known: Collection[str], *, more: bool) -> Record | None:
        """Add to what a socket hears (`more`) or take away from it; return the record of why not."""
        if not socket.accepted:
            return self.fault(ChannelFault.STRANGER)
        if more and (forbidden := self.forbidden(socket, asked)):
            return forbidden
        if set(asked) - set(known):
            return self.fault(ChannelFault.UNKNOWN)
        wanted = socket.listener.asked(asked, more=more)
        counted = set().union(*(wanted.get(name, ()) for name in self.counted))
        if self._limit is not None and len(counted) > self._limit:
            return self.fault(ChannelFault.LIMIT)
        socket.listener.wanted = wanted
        if more:
            fresh = set().union(*asked.values())
            every = self.symbols(self.kind(socket))
            socket.listener.refresh(asked, [one for one in every if one in fresh or ALL in fresh])
        return None

    # -- the contract ------------------------------------------------------------------------------------------------

    def open(self, call: HttpCall, number: int, now_ns: int) -> HttpAnswer | None:
        packed = "msgpack" in call.headers.get("content-type", "")
        socket = self.sockets[number] = ChannelSocket(call.path, packed, now_ns)
        socket.waiting = self.greeting(socket, call)
        return None

    def close(self, number: int) -> None:
        self.sockets.pop(number, None)

    def hear(self, number: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        socket = self.sockets.get(number)
        if socket is None:
            return ()
        try:
            binary = data if isinstance(data, bytes) else data.encode()
            told = self.answer(socket, unpack_messagepack(binary) if socket.packed else json.loads(data))
        except (ValueError, TypeError, AttributeError, DecodeError):
            told = self.fault(ChannelFault.MALFORMED)
        greeted, socket.waiting = socket.waiting, []
        return [socket.push(number, [one]) for one in (*greeted, told)]

    def poll(self, now_ns: int) -> Sequence[Push]:
        pushes, changed = [], list(self.changed(now_ns))
        for number, socket in list(self.sockets.items()):
            if socket.waiting:
                pushes.append(socket.push(number, [socket.waiting.pop(0)]))
                continue
            if not socket.accepted and now_ns - socket.opened_ns >= self._login_ns:
                pushes += [socket.push(number, [self.fault(ChannelFault.LATE)]), Push(number, close_code=1000)]
                del self.sockets[number]
                continue
            socket.listener.changed(symbol for kind, symbol in changed if kind == self.kind(socket))
            due = socket.listener.due(now_ns, self._pace_ns)
            records = [one for symbol in due for one in self.news(socket, symbol, now_ns)]
            if records:
                pushes.append(socket.push(number, records))
        return pushes
