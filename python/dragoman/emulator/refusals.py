"""Errors as an API answers them: its word for the kind, its text, the HTTP status; made of what the venue refuses.

A broker's emulator derives one class from `ApiError`, gives it four tables and the shape of its body, and raises it
anywhere below a route.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self

from dragoman.emulator.bodies import json_answer
from dragoman.emulator.contract import HttpAnswer
from dragoman.emulator.listed import ListingName
from dragoman.emulator.venue.types import VenueRejectError
from dragoman.errors import ErrorKind


class ApiError(Exception):
    """An error reply.

    Class attributes
    ----------------
    statuses : mapping of str to int
        The broker's word -> HTTP status, where an error names none itself; `other_status` for every word that is
        missing, where the broker has such a one.
    words : mapping of ErrorKind to str
        The broker's word for what the venue refuses; `other` for every kind that is missing.
    texts : mapping of ErrorKind to str
        The broker's text where it has one of its own; the venue's is used otherwise, under the broker's symbol.
    """

    statuses: ClassVar[Mapping[str, int]]
    other_status: ClassVar[int | None] = None
    words: ClassVar[Mapping[ErrorKind, str]]
    other: ClassVar[str]
    texts: ClassVar[Mapping[ErrorKind, str]] = {}

    def __init__(self, word: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.word = word
        self.message = message
        self.status = status or self.statuses.get(word) or self.other_status or self.statuses[word]

    @classmethod
    def when(cls, broken: object, *words: Any, **more: Any) -> None:
        """Raise the error of these arguments where a rule is broken."""
        if broken:
            raise cls(*words, **more)

    @classmethod
    def of(cls, refused: VenueRejectError, named: ListingName) -> Self:
        """Say what the venue refused, about the instrument as the broker names it."""
        text = cls.texts.get(refused.kind) or refused.text.replace(named.instrument_id, named.symbol)
        return cls(cls.words.get(refused.kind, cls.other), text)

    @classmethod
    @contextmanager
    def refusing(cls, named: ListingName) -> Iterator[None]:
        """Turn what the venue refuses into the broker's error."""
        try:
            yield
        except VenueRejectError as refused:
            raise cls.of(refused, named) from refused

    def body(self) -> Mapping[str, Any]:
        """Return the JSON of the reply."""
        raise TypeError(f"{type(self).__name__} does not define body")

    def answer(self) -> HttpAnswer:
        return json_answer(dict(self.body()), self.status)
