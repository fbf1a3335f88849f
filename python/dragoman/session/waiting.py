"""The line of those who wait for one meter: RISK before NORMAL, each first in, first out."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dragoman.plugin import Lane, Request

if TYPE_CHECKING:
    from dragoman.session.limiter import Grant


@dataclass(slots=True, eq=False)
class Waiter:
    """One request that waits, its times in monotonic ns; `served` is done once its grant is filled in."""

    request: Request
    grant: Grant
    arrival_ns: int
    deadline_ns: int
    served: asyncio.Future[None]

    @property
    def lane(self) -> Lane:
        return self.request.lane


@dataclass(slots=True)
class Line:
    """Those who wait for one meter.

    Attributes
    ----------
    waiting : tuple of deque
        By lane.
    changed : asyncio.Event
        Set where whoever serves the line has to look again.
    pump : Task or None
        Serves the line while there is one.
    """

    waiting: tuple[deque[Waiter], deque[Waiter]] = field(default_factory=lambda: (deque(), deque()))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    pump: asyncio.Task[None] | None = None

    def join(self, request: Request, grant: Grant, arrival_ns: int, deadline_ns: int) -> Waiter:
        """Put a request at the end of its lane."""
        waiter = Waiter(request, grant, arrival_ns, deadline_ns, asyncio.get_running_loop().create_future())
        self.waiting[request.lane].append(waiter)
        self.changed.set()
        return waiter

    def head(self) -> Waiter | None:
        """Return who is next."""
        for line in (self.waiting[Lane.RISK], self.waiting[Lane.NORMAL]):
            while line and line[0].served.done():
                line.popleft()  # cancelled while it waited
            if line:
                return line[0]
        return None

    def leave(self, head: Waiter) -> None:
        """Take the head out of the line."""
        self.waiting[head.lane].popleft()

    def ahead_of(self, lane: Lane) -> bool:
        """Whether someone stands before a newcomer of `lane`."""
        head = self.head()
        return head is not None and head.lane >= lane

    def everybody(self) -> list[Waiter]:
        """Return all who wait, in the order in which they are served."""
        return [*self.waiting[Lane.RISK], *self.waiting[Lane.NORMAL]]
