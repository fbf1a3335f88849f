"""Sockets that are told of an account's events by kind: order updates, positions, triggers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from dragoman.emulator.contract import Push


@dataclass(frozen=True, slots=True)
class Listener:
    """One connected socket: what it was opened with, and the kinds it asked for."""

    token: str
    kinds: Collection[str]


class Listeners:
    """All sockets of one such stream."""

    def __init__(self) -> None:
        self._all: dict[int, Listener] = {}

    def __len__(self) -> int:
        return len(self._all)

    def open(self, socket: int, token: str, kinds: Collection[str]) -> None:
        self._all[socket] = Listener(token, kinds)

    def close(self, socket: int) -> None:
        self._all.pop(socket, None)

    def poll(self, dead: Callable[[str], bool], told: Iterable[tuple[str, str | bytes]]) -> list[Push]:
        """Return what became due: ends of those whose token is `dead`, and each (kind, message) to who wants it."""
        gone = [socket for socket, one in self._all.items() if dead(one.token)]
        for socket in gone:
            del self._all[socket]
        pushes = [Push(socket, close_code=1000) for socket in gone]
        for kind, message in told:
            pushes += [Push(socket, message) for socket, one in self._all.items() if kind in one.kinds]
        return pushes
