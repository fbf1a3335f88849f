"""Order updates that the broker posts to a URL its user registered; here a server of the user's on loopback.

The emulator writes the bodies (`Emulator.posts`), the host delivers them, one after the other, without another try:
no broker promises one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from dragoman.emulator.contract import Post
from dragoman.emulator.updates import OrderChanges
from dragoman.emulator.venue.types import OrderState, VenueProtocol
from dragoman.errors import UsageError

Write = Callable[[OrderState | None, OrderState], Iterable[bytes]]
"""(state before, state after) -> the bodies to post, often none."""


class Postbacks:
    """What is still to be posted of one account.

    Parameters
    ----------
    url : str
        ``http`` and a literal loopback address; empty: nothing is posted.
    write : callable

    Raises
    ------
    UsageError
        For any other URL: an emulator reaches nobody else.
    """

    def __init__(self, venue: VenueProtocol, account: str, url: str, write: Write) -> None:
        if url and not _is_loopback(url):
            raise UsageError(
                f"emulator: postbacks go to {url!r}, expected http:// and a loopback address",
                remedy="listen on http://127.0.0.1:PORT/ and register that",
            )
        self._url = url
        self._write = write
        self._changes = OrderChanges(venue, account)

    def take(self) -> list[Post]:
        """Return what became due since the last call."""
        if not self._url:
            return []
        headers = (("Content-Type", "application/json"),)
        return [
            Post(self._url, headers, body)
            for before, after in self._changes.fresh()
            for body in self._write(before, after)
        ]


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
