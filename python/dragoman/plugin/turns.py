"""Long readings in pieces: a flow runs on the loop that also reads the sockets."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from dragoman.plugin.effects import Flow, Wait

T = TypeVar("T")

PIECE = 2_500


def in_turns(values: Iterable[T], piece: int = PIECE) -> Flow[list[T]]:
    """Return what `values` makes as a list, with a turn for the loop between pieces; use it with ``yield from``.

    Parameters
    ----------
    values : iterable
        Made while it is read, such as a generator that reads the rows of a reply.
    piece : int
        Values between two turns: as many as are made in some ten ms.
    """
    source, found = iter(values), list[T]()
    while part := list(islice(source, piece)):
        found += part
        if len(part) == piece:
            yield Wait(reason="a turn for the loop")
    return found
