"""How a venue lets a book prove that it is whole, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class BookSync:
    """The sync rule of one stream's depth.

    Parameters
    ----------
    rule : {"none", "plain", "ranged", "linked"}
        How messages are numbered. ``plain``: n, n + 1. ``ranged``: a message covers first..last and starts right after
        the last before it; the layout puts ``first - 1`` into ``prev_sequence``. ``linked``: each names the number of
        the one before it in ``prev_sequence``.
    snapshot : {"stream", "fetch"}
        Where a book starts from, and again after a gap: the stream sends a snapshot by itself, or after `resubscribe`;
        or the session runs the adapter's `depth` flow, and deltas are held until its answer comes. The quote that
        flow returns carries `Quote.sequence`.
    resubscribe : bool
        With ``"stream"``: the session drops and subscribes the instrument again to get a snapshot.
    levels : int
        Levels a side that a fetched snapshot should hold (0: the broker's default).
    """

    rule: Literal["none", "plain", "ranged", "linked"] = "none"
    snapshot: Literal["stream", "fetch"] = "stream"
    resubscribe: bool = False
    levels: int = 0

    @property
    def hold(self) -> bool:
        return self.snapshot == "fetch"
