"""Streams that live only as long as we send something: a word or a frame of the broker's every so many seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dragoman.plugin.context import Context
from dragoman.plugin.feed import Feed, Send


class BeatingFeed(Feed):
    """A stream that is kept alive by a frame of ours.

    Class attributes
    ----------------
    beat : str or bytes
        The frame.
    beat_every_s : float
        How often it leaves.
    """

    beat: ClassVar[str | bytes]
    beat_every_s: ClassVar[float] = 10.0

    def __init__(self) -> None:
        self._beat_ns = 0

    def beaten(self, now_ns: int) -> None:
        """Count the time to the next beat from now: after a login, which says as much."""
        self._beat_ns = now_ns

    def tick(self, now_ns: int, ctx: Context) -> Sequence[Send]:
        if now_ns - self._beat_ns < self.beat_every_s * 1e9:
            return ()
        self._beat_ns = now_ns
        return (Send(self.beat),)
