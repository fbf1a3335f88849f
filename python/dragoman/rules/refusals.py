"""What follows from an exit that was refused. A table: which refusals are worth another try, and how it differs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dragoman.errors import ErrorKind

_FIRST_S: Final = 0.5
_LONGEST_S: Final = 8.0


class Act(StrEnum):
    """What to do about what is left of an exit.

    Attributes
    ----------
    AGAIN
        The same, under a new name, after a pause.
    SMALLER
        In pieces of half the size.
    LIMIT
        As a limit order, within the day's band.
    STOP
        Nothing more: somebody has to look.
    """

    AGAIN = "AGAIN"
    SMALLER = "SMALLER"
    LIMIT = "LIMIT"
    STOP = "STOP"


@dataclass(frozen=True, slots=True)
class Next:
    """What to do, after how many seconds, and whether the refusal counts against the tries there are."""

    act: Act
    wait_s: float = 0.0
    counts: bool = True


_ACTS: Final[dict[ErrorKind, Act]] = {
    ErrorKind.INSUFFICIENT_MARGIN: Act.SMALLER,
    ErrorKind.FREEZE_QTY_EXCEEDED: Act.SMALLER,
    ErrorKind.PRICE_OUT_OF_BAND: Act.LIMIT,
    ErrorKind.INVALID_PRICE_TICK: Act.LIMIT,
    ErrorKind.NOT_SUPPORTED: Act.LIMIT,
    ErrorKind.INVALID_QUANTITY: Act.STOP,
    ErrorKind.MARKET_CLOSED: Act.STOP,
    ErrorKind.DAILY_LIMIT_REACHED: Act.STOP,
    ErrorKind.INSUFFICIENT_HOLDINGS: Act.STOP,
    ErrorKind.PERMISSION_DENIED: Act.STOP,
    ErrorKind.IP_NOT_ALLOWED: Act.STOP,
    ErrorKind.ALGO_NOT_REGISTERED: Act.STOP,
    ErrorKind.AUTH_INVALID: Act.STOP,
    ErrorKind.INSTRUMENT_NOT_FOUND: Act.STOP,
    ErrorKind.INSTRUMENT_NOT_TRADABLE: Act.STOP,
    ErrorKind.USAGE: Act.STOP,
    ErrorKind.ACCOUNT_BUSY: Act.STOP,
}
"""All others are tried again: the same order may pass a moment later."""


UNREACHED: Final = frozenset((ErrorKind.AUTH_EXPIRED, ErrorKind.NOT_SENT, ErrorKind.CONNECTION_LOST))
"""The broker has not been asked: a position stays to be closed until there is a session and a connection again."""
UNREACHED_S: Final = 2.0


def after(kind: ErrorKind, tries: int, *, retry_after_s: float | None = None) -> Next:
    """Return what to do about a refusal.

    Parameters
    ----------
    kind : ErrorKind
    tries : int
        Which refusal in a row it is, from 1: pauses double from half a second to eight.
    retry_after_s : float, optional
        How long the broker, or the limiter, said to wait.
    """
    act = _ACTS.get(kind, Act.AGAIN)
    if act is Act.STOP:
        return Next(act)
    if kind is ErrorKind.RATE_LIMITED:
        return Next(act, retry_after_s or 1.0, counts=False)
    if kind in UNREACHED:
        return Next(act, max(retry_after_s or 0.0, UNREACHED_S), counts=False)
    if kind is ErrorKind.NEVER_ARRIVED:
        return Next(act, 0.0)  # it has waited long enough until that was proven
    if act is Act.LIMIT:
        return Next(act, 0.0)
    return Next(act, max(retry_after_s or 0.0, min(_LONGEST_S, _FIRST_S * 2.0 ** (tries - 1))))
