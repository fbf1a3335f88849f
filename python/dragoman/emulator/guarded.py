"""Sockets of JSON messages that must show who they are before they may listen, and how much of a quota is left."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from dragoman.emulator.contract import HttpAnswer, HttpCall, Push
from dragoman.emulator.counting import SECOND, Meter


class GuardedSockets:
    """All sockets of one stream: what is said on them is the broker's (`framed`, `shows`, `due`).

    Clients say ``{"action": "authenticate", "data": {...}}``, and then ``{"action": "listen", "data": {"streams":
    [...]}}``.

    Class attributes
    ----------------
    streams : collection of str
        What may be listened to, all of it together.

    Attributes
    ----------
    accepted : dict of int to bool
        Socket -> whether it has shown who it is.
    listening : dict of int to None
        Sockets that are told what happens, in the order they asked.
    """

    streams: ClassVar[Collection[str]]

    def __init__(self) -> None:
        self.accepted: dict[int, bool] = {}
        self.listening: dict[int, None] = {}

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        self.accepted[socket] = False
        return None

    def close(self, socket: int) -> None:
        self.accepted.pop(socket, None)
        self.listening.pop(socket, None)

    def listen(self, socket: int, *, more: bool) -> None:
        """Tell a socket what happens from now on, or no more."""
        if more:
            self.listening[socket] = None
        else:
            self.listening.pop(socket, None)

    def hear(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        """Answer a message; nothing on a socket that is not of this stream."""
        if socket not in self.accepted:
            return ()
        try:
            return [Push(socket, self.answer(socket, json.loads(data)))]
        except (ValueError, KeyError, TypeError, AttributeError):
            return [Push(socket, self.malformed())]

    def poll(self, now_ns: int) -> Sequence[Push]:
        """Tell what is due to everyone who listens."""
        return [Push(socket, message) for message in self.due() for socket in self.listening]

    def due(self) -> Sequence[str | bytes]:
        """Return the messages that became due since the last call."""
        raise TypeError(f"{type(self).__name__} does not define due")

    def answer(self, socket: int, message: Mapping[str, Any]) -> str | bytes:
        """Return the answer to a message. Raises KeyError, TypeError or ValueError for one that is none."""
        action, data = message["action"], message.get("data") or {}
        if action in ("authenticate", "auth"):
            self.accepted[socket] = self.shows(data)
            status = "authorized" if self.accepted[socket] else "unauthorized"
            return self.framed("authorization", {"status": status, "action": "authenticate"})
        if action != "listen" or not self.accepted[socket]:
            return self.framed("authorization", {"status": "unauthorized", "action": action})
        streams = [name for name in data["streams"] if name in self.streams]
        self.listen(socket, more=bool(streams))
        return self.framed("listening", {"streams": streams})

    def shows(self, data: Mapping[str, Any]) -> bool:
        """Say whether the credentials in a message are the account's."""
        raise TypeError(f"{type(self).__name__} does not define shows")

    def framed(self, stream: str, data: Mapping[str, Any]) -> str | bytes:
        """Write a message."""
        raise TypeError(f"{type(self).__name__} does not define framed")

    def malformed(self) -> str | bytes:
        """Return the answer to what is no message."""
        return self.framed("error", {"error": "invalid message"})


class Quota:
    """Counts requests in each unit of a meter, to tell a client how many are left; it refuses none."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._unit = 0
        self.used = 0

    def count(self, now_ns: int) -> dict[str, int]:
        """Count one; return ``limit``, ``remaining`` and ``reset``, when the next unit starts in UNIX seconds."""
        unit = now_ns // self._meter.span_ns
        self.used = self.used + 1 if unit == self._unit else 1
        self._unit = unit
        limit = self._meter.count
        reset = (unit + 1) * self._meter.span_ns // SECOND
        return {"limit": limit, "remaining": max(0, limit - self.used), "reset": reset}
