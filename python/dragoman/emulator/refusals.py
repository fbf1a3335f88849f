"""Errors as an API answers them: its word for the kind, its text, the HTTP status; made of what the venue refuses.

A broker's emulator derives one class from `ApiError`, gives it its tables and the shape of its body, and raises it
anywhere below a route.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self, TypeVar

from dragoman.emulator.bodies import json_answer
from dragoman.emulator.contract import HttpAnswer
from dragoman.emulator.counting import Meter, MeterFullError
from dragoman.emulator.listed import ListingName
from dragoman.emulator.venue.types import VenueRejectError
from dragoman.errors import ErrorKind

FoundT = TypeVar("FoundT")
Told = tuple[str, str]
"""A broker's word and its text."""


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
    causes : mapping of exception type to str
        The broker's word for errors of the shared parts (`FieldError`, `StretchError` ...), which keep their text.
    gates : mapping of int or str to (str, str)
        What a call hears that no route takes: by status (403, 404, 405, 429), or by the name of the meter that is full.
    faults : mapping of int to (str, str)
        What the broker says where it fails itself, by status; `fault` under any other.
    """

    statuses: ClassVar[Mapping[str, int]]
    other_status: ClassVar[int | None] = None
    words: ClassVar[Mapping[ErrorKind, str]]
    other: ClassVar[str]
    texts: ClassVar[Mapping[ErrorKind, str]] = {}
    causes: ClassVar[Mapping[type[Exception], str]] = {}
    gates: ClassVar[Mapping[int | str, Told]] = {}
    faults: ClassVar[Mapping[int, Told]] = {}
    fault: ClassVar[Told]

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
    def check(cls, *rules: tuple[object, str, str]) -> None:
        """Raise the error of the first rule (whether it is broken, word, text) that is broken."""
        for broken, word, text in rules:
            cls.when(broken, word, text)

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

    @classmethod
    def found(cls, value: FoundT | None, /, *words: Any, **more: Any) -> FoundT:
        """Return a value; raise the error of these arguments where it is None."""
        if value is None:
            raise cls(*words, **more)
        return value

    @classmethod
    def meant(cls, error: Exception) -> Self | None:
        """Return an exception as the broker's error, a full meter as at the gate; None of a bug of the emulator."""
        if isinstance(error, cls):
            return error
        if isinstance(error, MeterFullError):
            return cls.gated(429, error.meter)
        word = next((word for kind, word in cls.causes.items() if type(error) is kind), None)
        return None if word is None else cls(word, str(error))

    @classmethod
    def attempt(cls, act: Callable[..., FoundT], *args: Any) -> FoundT | Self:
        """Return what `act` returns, or the broker's error it ended with: the fate of one of several requests."""
        try:
            return act(*args)
        except Exception as error:
            meant = cls.meant(error)
            if meant is None:
                raise
            return meant

    @classmethod
    @contextmanager
    def turning(cls, table: Mapping[type[Exception], tuple[Any, ...]], **more: Any) -> Iterator[None]:
        """Turn errors of a book into the broker's.

        Parameters
        ----------
        table : mapping of exception type to tuple
            Word, text and perhaps status; ``{}`` in the text stands for what the book said.
        """
        try:
            yield
        except tuple(table) as error:
            word, text, *status = next(row for kind, row in table.items() if isinstance(error, kind))
            raise cls(word, text.format(error), *status, **more) from error

    @classmethod
    def gated(cls, status: int, meter: Meter | None) -> Self:
        """Return the error of a call that no route takes."""
        named = None if meter is None else cls.gates.get(meter.name)
        return cls(*(named or cls.gates[status]), status)

    @classmethod
    def failing(cls, status: int) -> Self:
        """Return the error of a failure of the broker's own."""
        return cls(*cls.faults.get(status, cls.fault), status)

    def body(self) -> Mapping[str, Any]:
        """Return the JSON of the reply."""
        raise TypeError(f"{type(self).__name__} does not define body")

    def answer(self) -> HttpAnswer:
        return json_answer(dict(self.body()), self.status)
