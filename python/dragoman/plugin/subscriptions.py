"""What a connection is subscribed to, and what has to be said when somebody wants something else.

An instrument is carried by topics: a stream's name, a name and a channel, a mode. Which ones a mode takes is the
adapter's to say; what to leave and what to join follows from it, the same way for every broker.

Example
-------
>>> held = Subscriptions[str]()
>>> held.change([("X", ["x@trade", "x@depth"])], [])
([], ['x@trade', 'x@depth'])
>>> held.change([("X", ["x@trade", "x@quote"])], [])
(['x@depth'], ['x@quote'])
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Subscriptions(Generic[T]):
    """Topics by the instrument they are for. One object belongs to one connection: it ends with it."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[T, ...]] = {}

    def change(self, add: Iterable[tuple[str, Iterable[T]]], drop: Iterable[str]) -> tuple[list[T], list[T]]:
        """Take over what is wanted from now on, and return what to leave and what to join.

        Parameters
        ----------
        add : iterable of key and topics
            All topics that an instrument is to have: those it has besides are left.
        drop : iterable of keys
            Instruments nobody wants any more; one that is not held is nothing to leave.

        Returns
        -------
        gone, fresh : list, list
            In the order of asking. Where the broker changes a mode by naming the new one, a key of `fresh` that also
            stands in `gone` is such a change.
        """
        wishes: list[tuple[str, tuple[T, ...]]] = [(key, ()) for key in drop]
        wishes += [(key, tuple(topics)) for key, topics in add]
        gone: list[T] = []
        fresh: list[T] = []
        for key, topics in wishes:
            had = self._held.pop(key, ())
            gone += (topic for topic in had if topic not in topics)
            fresh += (topic for topic in topics if topic not in had)
            if topics:
                self._held[key] = topics
        return gone, fresh

    def topics(self) -> list[T]:
        """Return every topic that is held: what to ask for again where messages were lost."""
        return [topic for topics in self._held.values() for topic in topics]
