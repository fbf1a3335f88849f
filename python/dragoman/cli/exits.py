"""Exit statuses of the command: one for each way a script can react."""

from __future__ import annotations

from enum import IntEnum

from dragoman.errors import (
    AccountBusy,
    AuthRequired,
    DragomanError,
    NotSent,
    OutcomeUnknown,
    Rejected,
    StaleData,
    Throttled,
)


class Status(IntEnum):
    """What the exit status says.

    Attributes
    ----------
    OK
        It was done; an order is confirmed.
    NO
        The answer is no: a check failed, or the human did not confirm.
    USAGE
        The call or its input was wrong; zero bytes were sent.
    REJECTED
        The broker refused; nothing is live.
    UNKNOWN
        The request may have been carried out. Look before acting, never send it again.
    AUTH
        There is no session, or it may not do this.
    NOT_SENT
        It never left, or nothing was changed: trying again is safe.
    BUSY
        Too fast, or another process has the account: wait.
    INTERNAL
        A fault of this program.
    """

    OK = 0
    NO = 1
    USAGE = 2
    REJECTED = 3
    UNKNOWN = 4
    AUTH = 5
    NOT_SENT = 6
    BUSY = 7
    INTERNAL = 70
    INTERRUPTED = 130
    PIPE = 141


_OF: tuple[tuple[type[DragomanError], Status], ...] = (
    (Rejected, Status.REJECTED),
    (OutcomeUnknown, Status.UNKNOWN),
    (AuthRequired, Status.AUTH),
    (NotSent, Status.NOT_SENT),
    (StaleData, Status.NOT_SENT),
    (Throttled, Status.BUSY),
    (AccountBusy, Status.BUSY),
)


def status_of(error: DragomanError) -> Status:
    """Return the exit status of an error; one of no other class is a wrong call or wrong input."""
    return next((status for kind, status in _OF if isinstance(error, kind)), Status.USAGE)
