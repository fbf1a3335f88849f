"""Subscribing anew after messages were lost, for streams that send a snapshot first and then only what changed.

After a lost change old values stand among new ones, and nothing but a new snapshot helps: everything is unsubscribed
and subscribed again. Until the broker has answered an unsubscription, what still arrives belongs to the old
subscription; from its answer on, its topics can be trusted. Answers come in the order of the requests.

Example
-------
>>> renewal = Renewal[str](least_ns=10)
>>> renewal.lost(), renewal.due(100), renewal.due(105)
(None, True, False)
>>> renewal.left(["x"]), renewal.answered(good=True)
(None, ('x',))
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Renewal(Generic[T]):
    """Whether everything is to be subscribed anew, and which topics an answer makes good.

    Parameters
    ----------
    least_ns : int
        Least time between two renewals.
    """

    def __init__(self, least_ns: int) -> None:
        self._least_ns = least_ns
        self._renewed_ns = -least_ns
        self._broken = self._renewing = False
        self._leaving: deque[tuple[T, ...]] = deque()

    def lost(self) -> None:
        """Take note that a message is missing."""
        self._broken = True

    def due(self, now_ns: int) -> bool:
        """Whether to renew now, which is then taken as done: call it only where the frames leave.

        A renewal whose unsubscriptions were never answered is repeated as well.
        """
        unheard = self._renewing and bool(self._leaving)
        if not (self._broken or unheard) or now_ns - self._renewed_ns < self._least_ns:
            return False
        self._broken, self._renewing, self._renewed_ns = False, True, now_ns
        return True

    def left(self, topics: Iterable[T]) -> None:
        """Take note of a request to unsubscribe topics, for a renewal or because nobody wants them any more."""
        self._leaving.append(tuple(topics))

    def answered(self, *, good: bool) -> tuple[T, ...]:
        """Take note of the answer to the oldest such request; return the topics that can be trusted from here on.

        A refusal is as bad as a lost message: the old subscription goes on.
        """
        topics = self._leaving.popleft() if self._leaving else ()
        self._renewing = self._renewing and bool(self._leaving)
        self._broken = self._broken or not good
        return topics if good else ()
