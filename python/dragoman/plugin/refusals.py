"""Replies that are no success: what they hold, and what the code table says of it.

A broker's codes are narrow in one place and wide in another (of one kind of request, of a status), so an adapter gives
the words to look up from the narrowest on, and the first that the table knows counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from dragoman.errors import DecodeError, ErrorKind
from dragoman.plugin.codes import CodeTable, Failure
from dragoman.plugin.effects import Reply, Request

SHOWN: Final = 200
"""Characters of a body that is not the broker's own which an error shows."""


SUCCESS: Final = frozenset(range(200, 300))
"""Statuses of success."""


def json_or_none(reply: Reply) -> Any:
    """Return the JSON of a reply, None where it holds none."""
    try:
        return reply.json
    except DecodeError:
        return None


def number_in(reply: Reply, header: str) -> int | None:
    """Return the whole number in a header, by its lower-case name; None where there is none."""
    text = reply.headers.get(header, "")
    return int(text) if text.isascii() and text.isdigit() else None


def failure_of(
    codes: CodeTable,
    reply: Reply,
    request: Request,
    words: Iterable[str],
    text: str,
    *,
    code: str,
    retry_after_s: float | None = None,
) -> Failure:
    """Return what a reply means: the first of `words` that the table knows, for this text, status and kind of request.

    Parameters
    ----------
    words : iterable of str
        From the narrowest on.
    text : str
        The broker's own words; where it gave none, the beginning of the body is shown.
    code : str
        What the failure is named by, whatever was looked up.
    retry_after_s : float, optional
        When to ask again; by default what the header ``Retry-After`` says.
    """
    wait = number_in(reply, "retry-after") if retry_after_s is None else retry_after_s
    found = Failure(ErrorKind.UNMAPPED, code)
    for word in words:
        found = codes.classify(code=word, text=text, status=reply.status, mutates=request.mutates, retry_after_s=wait)
        if found.kind is not ErrorKind.UNMAPPED:
            break
    text = text or reply.text[:SHOWN]
    return replace(found, code=code, text=text, message=f"{code}: {text}" if text else code)
