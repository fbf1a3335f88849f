"""Sockets that are told of an account's events by kind: order updates, positions, triggers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from dragoman.emulator.contract import Push
from dragoman.emulator.topic_sockets import Sockets


@dataclass(slots=True)
class KindSocket:
    """One connected socket: what it was opened with, and the kinds it asked for."""

    token: str
    kinds: Collection[str] = ()


class Listeners:
    """All sockets of one such stream."""

    def __init__(self) -> None:
        self._all: Sockets[KindSocket] = Sockets()

    def __len__(self) -> int:
        return len(self._all)

    def open(self, socket: int, token: str, kinds: Collection[str]) -> None:
        self._all[socket] = KindSocket(token, kinds)

    def close(self, socket: int) -> None:
        self._all.pop(socket, None)

    def ask(self, socket: int, kinds: Iterable[str], *, more: bool) -> None:
        """Tell a socket of further kinds, or of these no more. Raises KeyError where it is none of these."""
        one = self._all[socket]
        one.kinds = {*one.kinds, *kinds} if more else set(one.kinds) - set(kinds)

    def poll(self, dead: Callable[[str], bool], told: Iterable[tuple[str, str | bytes]]) -> list[Push]:
        """Return what became due: ends of those whose token is `dead`, and each (kind, message) to who wants it."""
        pushes = self._all.end(dead)
        for kind, message in told:
            pushes += [Push(socket, message) for socket, one in self._all.items() if kind in one.kinds]
        return pushes
