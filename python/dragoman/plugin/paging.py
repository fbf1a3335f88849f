"""Lists that a broker tells in pages, each of which says where the next begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from dragoman.errors import DecodeError
from dragoman.plugin.effects import Flow, Part, Reply, Request
from dragoman.plugin.records import Records
from dragoman.plugin.values import Pairs, Row

T = TypeVar("T")

MOST_PAGES: Final = 1000


def pages(
    records: Records,
    request: Request,
    following: Callable[[Reply, Sequence[T]], Pairs | None],
    *,
    read: Callable[[Reply], Sequence[T]] | None = None,
    key: str | None = None,
    tell: bool = False,
) -> Flow[list[T]]:
    """Ask page after page and return all of their rows in order; use it with ``yield from``.

    Parameters
    ----------
    records : Records
        In whose name a page that cannot be read is a DecodeError.
    request : Request
        What asks for the first page.
    following : callable
        Returns what the query of the next page has instead, or beside; None after the last. A page that would be asked
        for once more in the same words is the last as well.
    read : callable, optional
        Returns the rows of a page; by default those of its JSON, decimals exact.
    key : str, optional
        Under which key of the page they stand, where `read` is left out.
    tell : bool
        Whether the rows of each page leave at once (`Part`).

    Raises
    ------
    DecodeError
        There is no end to them after `MOST_PAGES`.
    """
    found: list[T] = []
    asked: Pairs = ()
    for _ in range(MOST_PAGES):
        fixed = tuple(pair for pair in request.query if pair[0] not in dict(asked))
        reply = yield request.but(query=(*fixed, *asked))
        with records.reading(f"page of {request.path}"):
            rows = read(reply) if read else records.as_rows(request.path, records.loads(reply.body), key)
            more = following(reply, rows)
        found += rows
        if tell:
            yield Part(rows)
        if more is None or more == asked:
            return found
        asked = more
    raise DecodeError(
        f"{records.broker}: {request.path} has no end after {MOST_PAGES} pages",
        broker=records.broker,
        remedy="ask for less",
    )


def by_token(told: str, asked: str) -> Callable[[Reply, Sequence[Any]], Pairs | None]:
    """Return the way of brokers whose page holds a token under `told` that the next is asked for under `asked`."""

    def following(reply: Reply, rows: Sequence[Any]) -> Pairs | None:
        token = reply.json.get(told)
        return ((asked, str(token)),) if token else None

    return following


def after_last(
    asked: str, key: str, size: int, write: Callable[[Any], str] = str
) -> Callable[[Reply, Sequence[Row]], Pairs | None]:
    """Return the way of brokers whose next page is asked for, under `asked`, by what the last row has at `key`.

    `size` is how many rows a page has that is not the last; `write` makes the query of the row's value.
    """

    def following(reply: Reply, rows: Sequence[Row]) -> Pairs | None:
        return ((asked, write(rows[-1][key])),) if len(rows) >= size else None

    return following
