"""Sockets a broker allows at once, leased: by all processes of an account in the file of its limits.

A lease is held for as long as a stream supervises its socket, reconnecting included. It is freed when the stream
closes; what a dead process held is taken back by whoever asks next. Where the limits are not shared (the virtual clock,
another system than Linux, a broker without limits) each session counts its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from dragoman.errors import Throttled, UsageError
from dragoman.runtime.process import process_id

if TYPE_CHECKING:
    from dragoman._core import SharedRateLimiter

_MOST: Final = 64  # places in the file
_log = logging.getLogger("dragoman.session")


class SocketLease:
    """The right to keep one socket open; `SocketLeases.take` gives it."""

    def __init__(self, give_back: Callable[[SocketLease], None]) -> None:
        self._give_back: Callable[[SocketLease], None] | None = give_back

    @property
    def held(self) -> bool:
        return self._give_back is not None

    def release(self) -> None:
        """Give it back; a second time changes nothing."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self)


class SocketLeases:
    """The sockets of one account.

    Parameters
    ----------
    broker : str
        For messages.
    shared : callable
        Returns the file all processes count in, or None.
    """

    def __init__(self, broker: str, shared: Callable[[], SharedRateLimiter | None]) -> None:
        self._broker = broker
        self._shared = shared
        self._own: set[SocketLease] = set()

    def take(self, most: int) -> SocketLease:
        """Lease one of `most` sockets.

        Raises
        ------
        UsageError
            All are held: it says by which processes, and what to do. Nothing was opened.
        Throttled
            A stopped process holds the file's lock.
        """
        most = min(most, _MOST)
        shared = self._shared()
        if shared is None:
            if self.own >= most:
                raise self._refused(most, self.holders())
            return self._given(SocketLease(self._own.remove))
        try:
            number = shared.lease(most)
            if number is None:
                raise self._refused(most, shared.lease_holders())
        except TimeoutError as error:
            raise Throttled(
                f"{self._broker}: {error}",
                retry_after_s=0.1,
                broker=self._broker,
                remedy="look for a stopped process that uses this account; no socket was opened",
            ) from error
        except RuntimeError as error:
            raise UsageError(f"{self._broker}: {error}", broker=self._broker) from error
        return self._given(SocketLease(lambda lease: self._release(lease, shared, number)))

    @property
    def own(self) -> int:
        """Sockets this session holds."""
        return len(self._own)

    def holders(self) -> dict[int, int]:
        """Return how many sockets each living process holds, by process id."""
        shared = self._shared()
        if shared is not None:
            return shared.lease_holders()
        return {process_id(): self.own} if self._own else {}

    def _given(self, lease: SocketLease) -> SocketLease:
        self._own.add(lease)
        return lease

    def _release(self, lease: SocketLease, shared: SharedRateLimiter, number: int) -> None:
        self._own.remove(lease)
        try:
            shared.release(number)
        except (TimeoutError, RuntimeError) as error:
            _log.warning("%s: a socket stays leased until this process ends: %s", self._broker, error)

    def _refused(self, most: int, holders: dict[int, int]) -> UsageError:
        here = process_id()
        who = ", ".join(
            f"{held} by {'this process' if pid == here else 'process'} {pid}" for pid, held in sorted(holders.items())
        )
        return UsageError(
            f"{self._broker}: all sockets the broker allows ({most}) are held: {who or 'by nobody'}",
            broker=self._broker,
            remedy="close a client there, subscribe less here, or connect with streams=False; no socket was opened",
        )
