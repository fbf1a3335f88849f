"""A broker's error and status codes as data, and the one way to read them.

A code table is a TOML file beside the adapter: one ``[[code]]`` per row with ``code``, ``match`` (``exact``,
``prefix`` or ``contains``, on the code or, with ``on = "text"``, on the message), ``http`` (statuses it applies to,
empty: any), ``kind``, optionally ``effect`` and ``retry``, ``meaning`` and ``source``. Rows are tried in order, so the
narrow ones stand first. What no row matches is UNMAPPED, and is counted.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Generic, Literal, TypeVar

from dragoman.errors import KIND_DEFAULTS, Effect, ErrorKind, Retry, UsageError
from dragoman.model import Outcome, Reject

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Code:
    """One row."""

    code: str
    kind: ErrorKind
    meaning: str
    source: str
    match: Literal["exact", "prefix", "contains"] = "exact"
    on: Literal["code", "text"] = "code"
    http: tuple[int, ...] = ()
    effect: Effect = Effect.NONE
    retry: Retry = Retry.NEVER
    remedy: str = ""
    mutates: bool | None = None
    """Only for requests that do (or do not) mutate: a 503 on a read is not a 503 on an order."""

    def matches(self, code: str, text: str, status: int, *, mutates: bool) -> bool:
        if self.http and status not in self.http:
            return False
        if self.mutates is not None and self.mutates != mutates:
            return False
        subject = code if self.on == "code" else text
        match self.match:
            case "exact":
                return subject == self.code
            case "prefix":
                return subject.startswith(self.code)
            case "contains":
                return self.code.lower() in subject.lower()


@dataclass(frozen=True, slots=True)
class Failure:
    """A reply that is not a success, classified. The engine raises the error of its kind."""

    kind: ErrorKind
    message: str
    code: str | None = None
    text: str | None = None
    effect: Effect | None = None
    retry: Retry | None = None
    retry_after_s: float | None = None
    remedy: str = ""

    def outcome(self, order_id: str | None = None, *, raw: Any = None) -> Outcome:
        """Return what it makes of one order of a reply: REJECTED where nothing happened, otherwise UNKNOWN."""
        effect, retry = KIND_DEFAULTS[self.kind]
        effect, retry = self.effect or effect, self.retry or retry
        reject = Reject(self.kind, self.text or self.message, self.code, effect, retry, self.remedy)
        return Outcome("REJECTED" if effect is Effect.NONE else "UNKNOWN", order_id, reject, raw=raw)


class CodeTable:
    """Rows of a broker's codes, in order of trial."""

    def __init__(self, rows: tuple[Code, ...]) -> None:
        self.rows = rows

    @classmethod
    def load(cls, package: str, name: str = "codes.toml") -> CodeTable:
        """Read the table that lies beside an adapter.

        Raises
        ------
        ValueError
            Names the row and the field that is wrong.
        """
        document = tomllib.loads(resources.files(package).joinpath(name).read_text("utf-8"))
        return cls(tuple(_row(package, i, dict(row)) for i, row in enumerate(document.get("code", []))))

    def find(self, *, code: str, text: str, status: int, mutates: bool) -> Code | None:
        """Return the first row that matches, or None: then the reply is UNMAPPED."""
        return next((row for row in self.rows if row.matches(code, text, status, mutates=mutates)), None)

    def rejection(self, text: str | None, code: str = "rejected") -> Reject:
        """Say why an order in the book was rejected: its fate is certain, also where the words are new to us.

        The rows of such words have `code` as their code, or match the text.
        """
        text = text or "no reason given"
        row = self.find(code=code, text=text, status=0, mutates=True)
        if row is None:
            return Reject(ErrorKind.UNMAPPED, text, code)
        return Reject(row.kind, text, code, Effect.NONE, row.retry, row.remedy)

    def classify(
        self, *, code: str, text: str, status: int, mutates: bool, retry_after_s: float | None = None
    ) -> Failure:
        """Turn a broker's code and words into a `Failure`; unknown ones become UNMAPPED with both kept."""
        row = self.find(code=code, text=text, status=status, mutates=mutates)
        label = f"{code or status}: {text}" if text else f"{code or status}"
        if row is None:
            return Failure(ErrorKind.UNMAPPED, label, code or str(status), text)
        return Failure(row.kind, label, code or str(status), text, row.effect, row.retry, retry_after_s, row.remedy)


_KEYS = {"code", "kind", "meaning", "source", "match", "on", "http", "effect", "retry", "remedy", "mutates"}


def _row(package: str, index: int, row: dict[str, object]) -> Code:
    where = f"{package} codes row {index + 1} ({row.get('code')!r})"
    unknown = set(row) - _KEYS
    if unknown:
        raise ValueError(f"{where}: unknown keys {sorted(unknown)}")
    for key in ("code", "kind", "meaning", "source"):
        if key not in row:
            raise ValueError(f"{where}: {key} is missing")
    try:
        kind = ErrorKind(str(row["kind"]))
        effect, retry = KIND_DEFAULTS[kind]
        effect = Effect(str(row.get("effect", effect)))
        retry = Retry(str(row.get("retry", retry)))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    match, on, http, mutates = row.get("match", "exact"), row.get("on", "code"), row.get("http", []), row.get("mutates")
    if match not in ("exact", "prefix", "contains") or on not in ("code", "text"):
        raise ValueError(f"{where}: match {match!r} on {on!r}: expected exact, prefix or contains on code or text")
    if not isinstance(http, list) or not (mutates is None or isinstance(mutates, bool)):
        raise ValueError(f"{where}: http is a list of statuses, mutates true or false")
    return Code(
        str(row["code"]),
        kind,
        str(row["meaning"]),
        str(row["source"]),
        match,
        on,
        tuple(int(status) for status in http),
        effect,
        retry,
        str(row.get("remedy", "")),
        mutates,
    )


class EnumMap(Generic[E]):
    """A broker's words for one of our enums, both ways.

    Parameters
    ----------
    inward : mapping of str to E
        Every word the broker may send. Unknown words give `unknown`, never an exception; the engine counts them
        by the raw text that every record keeps.
    outward : mapping of E to str, optional
        What we send; where it is left out, the first inward word of each value.
    prefixes : mapping of str to E
        Words matched by their beginning, after the exact ones.
    """

    def __init__(
        self,
        inward: Mapping[str, E],
        *,
        unknown: E,
        outward: Mapping[E, str] | None = None,
        prefixes: Mapping[str, E] | None = None,
    ) -> None:
        self.inward = dict(inward)
        self.unknown = unknown
        self.prefixes = dict(prefixes or {})
        self.outward: dict[E, str] = dict(outward or {})
        if outward is None:
            for word, value in self.inward.items():
                self.outward.setdefault(value, word)

    def read(self, word: str | None) -> E:
        """Return our value of the broker's word; an unknown one is `unknown`."""
        if word is None:
            return self.unknown
        value = self.inward.get(word)
        if value is not None:
            return value
        for prefix, prefixed in self.prefixes.items():
            if word.startswith(prefix):
                return prefixed
        return self.unknown

    def write(self, value: E) -> str:
        """Return the broker's word.

        Raises
        ------
        UsageError
            Where the broker has none. The engine checks what a caller asks for against the capabilities first; what a
            change has to repeat of an order placed elsewhere may be a word that nobody here knows.
        """
        word = self.outward.get(value)
        if word is None:
            raise UsageError(
                f"{type(value).__name__} {value} is nothing this broker takes, or nothing known here",
                kind=ErrorKind.NOT_SUPPORTED,
                remedy=f"it takes {', '.join(sorted(map(str, self.outward)))}",
            )
        return word
