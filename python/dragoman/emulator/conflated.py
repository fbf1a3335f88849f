"""Sockets that carry the latest packet of each subscribed instrument, at a pace, with heartbeats between.

Ticks are conflated: at every beat of the pace a socket gets frames with the latest packet of each of its instruments
that changed. What a packet and a frame look like is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from dragoman.emulator.contract import Push
from dragoman.emulator.counting import SECOND


@dataclass(slots=True)
class Client:
    """One connected socket. `token` is what it was opened with."""

    token: str
    modes: dict[int, str] = field(default_factory=dict)  # instrument key -> mode
    dirty: dict[int, None] = field(default_factory=dict)  # keys that changed since their last packet, in order
    next_ns: int = 0
    last_frame_ns: int = 0


class RequestError(ValueError):
    """A request of a client's that is refused; the text says why."""


class ConflatedSockets:
    """All sockets of one stream.

    Parameters
    ----------
    pace_ns : int
        Least time between two frames of ticks on one socket.
    packet : callable
        (key, mode) -> bytes.
    frame : callable
        Packets -> the message that carries them, at most `per_frame` of them.
    heartbeat : bytes or None
        Sent when a socket was silent for a second; None: nothing is.
    """

    def __init__(
        self,
        pace_ns: int,
        packet: Callable[[int, str], bytes],
        frame: Callable[[Sequence[bytes]], bytes],
        *,
        per_frame: int,
        heartbeat: bytes | None,
    ) -> None:
        self._pace_ns = pace_ns
        self._packet = packet
        self._frame = frame
        self._per_frame = per_frame
        self._heartbeat = heartbeat
        self._clients: dict[int, Client] = {}
        self._doomed: list[int] = []

    def __len__(self) -> int:
        return len(self._clients)

    def get(self, socket: int) -> Client | None:
        return self._clients.get(socket)

    def open(self, socket: int, token: str, now_ns: int) -> None:
        self._clients[socket] = Client(token, next_ns=now_ns, last_frame_ns=now_ns)

    def close(self, socket: int) -> None:
        self._clients.pop(socket, None)

    def drop(self, dead: Callable[[str], bool]) -> None:
        """End the sockets whose token is `dead`, at the next poll."""
        gone = [socket for socket, client in self._clients.items() if dead(client.token)]
        for socket in gone:
            del self._clients[socket]
        self._doomed += gone

    @staticmethod
    def subscribe(client: Client, keys: Iterable[int], mode: str, most: int) -> bool:
        """Add instruments in `mode`, those it has already as they are; False, and none added, above `most`."""
        fresh = [key for key in keys if key not in client.modes]
        if len(client.modes) + len(fresh) > most:
            return False
        client.modes |= dict.fromkeys(fresh, mode)
        client.dirty |= dict.fromkeys(fresh)
        return True

    def take(self, client: Client, keys: Sequence[int], mode: str, most: int) -> Sequence[int]:
        """Put as many of `keys` into `mode` as make at most `most` of it; return them: the caller tells of them."""
        room = most - sum(1 for key, had in client.modes.items() if had == mode and key not in keys)
        taken = keys[: max(room, 0)]
        client.modes |= dict.fromkeys(taken, mode)
        for key in taken:
            client.dirty.pop(key, None)
        return taken

    @staticmethod
    def unsubscribe(client: Client, keys: Iterable[int]) -> None:
        for key in keys:
            client.modes.pop(key, None)
            client.dirty.pop(key, None)

    @staticmethod
    def set_mode(client: Client, keys: Iterable[int], mode: str) -> None:
        """Change the mode of instruments it has, and send them again."""
        known = [key for key in keys if key in client.modes]
        client.modes |= dict.fromkeys(known, mode)
        client.dirty |= dict.fromkeys(known)

    def command(self, client: Client, action: str, keys: Sequence[int], mode: str, most: int) -> None:
        """Do what a client says: ``subscribe`` (to keys it has not, in `mode`), ``unsubscribe``, or ``mode``.

        Raises
        ------
        RequestError
            For any other action, and for more than `most` instruments: then none is added.
        """
        match action:
            case "subscribe":
                if not self.subscribe(client, dict.fromkeys(keys), mode, most):
                    raise RequestError(f"Maximum number of instruments per connection is {most}")
            case "unsubscribe":
                self.unsubscribe(client, keys)
            case "mode":
                self.set_mode(client, keys, mode)
            case _:
                raise RequestError(f"Invalid action {action!r}")

    def poll(self, now_ns: int, texts: Iterable[str], changed: Callable[[], Iterable[int]]) -> list[Push]:
        """Return what became due: ends, `texts` to every socket, ticks of what `changed`, heartbeats."""
        pushes = [Push(socket, close_code=1000) for socket in self._doomed]
        self._doomed.clear()
        for text in texts:
            for socket, client in self._clients.items():
                client.last_frame_ns = now_ns
                pushes.append(Push(socket, text))
        if self._clients:
            keys = list(changed())
            for client in self._clients.values():
                client.dirty.update((key, None) for key in keys if key in client.modes)
        packets: dict[tuple[int, str], bytes] = {}
        for socket, client in self._clients.items():
            if client.dirty and now_ns >= client.next_ns:
                client.next_ns = now_ns + self._pace_ns
                client.last_frame_ns = now_ns
                pushes += (Push(socket, frame) for frame in self._frames(client, packets))
            elif self._heartbeat is not None and now_ns - client.last_frame_ns >= SECOND:
                client.last_frame_ns = now_ns
                pushes.append(Push(socket, self._heartbeat))
        return pushes

    def _frames(self, client: Client, packets: dict[tuple[int, str], bytes]) -> Iterator[bytes]:
        """Empty the client's list of changes into frames. Clients of one poll share what is packed."""
        waiting = [(key, client.modes[key]) for key in client.dirty]
        client.dirty.clear()
        for key in waiting:
            if key not in packets:
                packets[key] = self._packet(*key)
        for start in range(0, len(waiting), self._per_frame):
            yield self._frame([packets[key] for key in waiting[start : start + self._per_frame]])
