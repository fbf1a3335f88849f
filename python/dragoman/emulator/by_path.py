"""Several kinds of sockets of one broker, told apart by the path they are opened at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dragoman.emulator.contract import HttpAnswer, HttpCall, Push
from dragoman.emulator.rest import SocketSide


class SocketsByPath:
    """One `SocketSide` of several. What is said on a socket is for all of them: each knows its own.

    Parameters
    ----------
    by_path : mapping of str to SocketSide
        Frames become due in its order.
    unknown : callable
        Makes the answer to any other path.
    """

    def __init__(self, by_path: Mapping[str, SocketSide], unknown: Callable[[], HttpAnswer]) -> None:
        self._by_path = by_path
        self._unknown = unknown
        self._kinds = tuple(dict.fromkeys(by_path.values()))

    def open(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        kind = self._by_path.get(call.path)
        return self._unknown() if kind is None else kind.open(call, socket, now_ns)

    def hear(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        return [push for kind in self._kinds for push in kind.hear(socket, data, now_ns)]

    def close(self, socket: int) -> None:
        for kind in self._kinds:
            kind.close(socket)

    def poll(self, now_ns: int) -> Sequence[Push]:
        return [push for kind in self._kinds for push in kind.poll(now_ns)]
