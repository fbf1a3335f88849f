"""What a kill switch tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dragoman.model.shown import Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class KillState(Shown):
    """Whether new orders of an account are stopped, and since when.

    Attributes
    ----------
    engaged : bool
    who, why : str
        Who engaged it and for what reason; of a switch that is off, who released it.
    ts_changed : int or None
        Wall clock of that, ns UTC; None for a switch that was never used.
    flatten : bool
        Positions are to be closed once the working orders are cancelled.
    epoch : int
        How often it was engaged so far, since its file was new.
    engagement : str
        Tells this engagement from all others, also where its file was damaged since or is a new one; exits that close
        positions are named after it.
    damage : str
        What is wrong with its file. A damaged switch is engaged.
    durable : bool
        It is on the disk: a restart finds it so.
    working, unknown : tuple of str
        Names of the orders that are still to be cancelled, and of those of which nobody knows whether they are live.
    positions : tuple of str
        What is still to be closed, where that was asked for and positions are known.
    flattened : bool
        Positions were to be closed, they are known, and none is left.
    """

    engaged: bool = False
    who: str = ""
    why: str = ""
    ts_changed: int | None = None
    flatten: bool = False
    epoch: int = 0
    engagement: str = ""
    damage: str = ""
    durable: bool = True
    working: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    flattened: bool = False

    def __bool__(self) -> bool:
        """Whether it is engaged, so that ``if client.killed`` asks what it seems to ask."""
        return self.engaged


@dataclass(frozen=True, slots=True)
class KillEvent:
    """The kill switch of the account was engaged, did something, or was released.

    Attributes
    ----------
    code : str
        ``ENGAGED``: no new order leaves, here or in any other process of this host; also told by a client that starts
        on an account which is stopped. ``CANCELLED``: nothing that was working works any more. ``WORKING``: something
        still does, see `text`. ``FLATTENED``: positions were to be closed, and none is left. ``NOT_FLATTENED``: one is,
        and `text` says why; it is tried again, and ``FLATTENED`` follows once none is left. ``NOT_DURABLE``: the
        stop holds now, and a restart may not find it. ``RELEASED``.
    text : str
    state : KillState
    ts : int
        Wall clock, ns UTC.
    """

    code: Literal["ENGAGED", "CANCELLED", "WORKING", "FLATTENED", "NOT_FLATTENED", "NOT_DURABLE", "RELEASED"]
    text: str
    state: KillState
    ts: int = 0
