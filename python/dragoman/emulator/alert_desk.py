"""Requests for alerts: made, read, changed and deleted, whatever a broker's words for their terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from dragoman.emulator.alerts import Alert, AlertBook, Terms
from dragoman.emulator.desks import Desk, TableT
from dragoman.emulator.venue.types import VenueProtocol


class AlertDesk(Desk[TableT]):
    """Alerts of one account.

    Class attributes
    ----------------
    refusals : mapping of exception type to tuple
        What the broker says of `LookupError`, where there is none, and `ValueError`, of terms that cannot be.
    """

    refusals: ClassVar[Mapping[type[Exception], tuple[Any, ...]]]

    def __init__(self, venue: VenueProtocol, names: TableT, account: str, seed: int = 1) -> None:
        super().__init__(venue, names, account, seed)
        self.book = AlertBook(venue, account, self.key)

    def key(self, number: int) -> str:
        """Return what the broker calls its alert of this number, from 1."""
        return str(number)

    def find(self, key: str) -> Alert:
        """Return an alert. Raises the broker's error where there is none."""
        with self.errors.turning(self.refusals):
            return self.book.get(key)

    def act(self, method: str, key: str | None, read: Callable[[], Terms], now_ns: int) -> Alert:
        """Read (GET), make or change an alert."""
        if method == "GET":
            return self.find(key or "")
        with self.errors.turning(self.refusals):
            return self.book.save(key, read(), now_ns)

    def remove(self, keys: Iterable[str], now_ns: int) -> int:
        """Delete all that are named, or none where one is unknown; return how many."""
        found = [self.find(key) for key in keys]
        for alert in found:
            self.book.delete(alert, now_ns)
        return len(found)
