"""The words of scenarios: each step is a pattern of words and typed places, and the function that plays it.

A pattern is text with places, ``place <order:name> <side:side> <quantity:number> <of:role>``. A place takes one word,
or all that is left where its kind says so. Every line of a scenario must fit a pattern, of several the one with the
most words of its own; that, and what its places take, is checked when the file is read, so that a scenario that
cannot be played never starts.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dragoman.errors import ErrorKind
from dragoman.model import Mode, OrderStatus, OrderType, Product, Side, TimeInForce, Variety

if TYPE_CHECKING:
    from dragoman.testing.conformance.stage import Stage

StepFunction = Callable[..., Awaitable[None]]
F = TypeVar("F", bound=StepFunction)

PLACE = re.compile(r"<(\w+):(\w+)>")
_PRICE = re.compile(
    r"(?P<sign>[+-]?)(?P<size>\d+(?:\.\d+)?)(?P<unit>%|t)|(?P<plain>\d+(?:\.\d+)?)|market|(?P<order>o\d+)"
)
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SCALE: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Price:
    """A price relative to the instrument's reference: ``-5%``, ``+3t`` (ticks), ``0%``; or ``o1``: that order's."""

    text: str
    percent: Decimal = Decimal(0)
    ticks: int = 0
    plain: Decimal | None = None
    order: str = ""


def _price(text: str) -> Price:
    found = _PRICE.fullmatch(text)
    if found is None:
        raise ValueError("a price such as -5%, +3t (ticks), market, o1 (that order's) or 1500.05")
    if found["plain"]:
        return Price(text, plain=Decimal(found["plain"]))
    if found["order"]:
        return Price(text, order=found["order"])
    if text == "market":
        return Price(text)
    size = Decimal(found["sign"] + found["size"])
    if found["unit"] == "%":
        return Price(text, percent=size)
    if size != int(size):
        raise ValueError("a whole number of ticks such as +3t")
    return Price(text, ticks=int(size))


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("a number") from None


def _count(text: str) -> int:
    if not text.isdigit():
        raise ValueError("a whole number")
    return int(text)


def _seconds(text: str) -> float:
    found = _SECONDS.fullmatch(text)
    if found is None:
        raise ValueError("a duration such as 200ms, 3s or 2m")
    return float(found[1]) * _SCALE[found[2]]


def _role(text: str) -> str:
    if text not in ROLES:
        raise ValueError(f"one of {', '.join(ROLES)}")
    return text


def _roles(text: str) -> tuple[str, ...]:
    return tuple(_role(word) for word in text.split("+"))


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z]\d+", text):
        raise ValueError("a letter and a number such as o1")
    return text


def _kinds(text: str) -> tuple[ErrorKind, ...]:
    return tuple(ErrorKind(word) for word in text.split("|"))


def _statuses(text: str) -> tuple[OrderStatus, ...]:
    return tuple(OrderStatus(word) for word in text.split())


def _one_of(text: str) -> tuple[OrderStatus, ...]:
    return tuple(OrderStatus(word) for word in text.split("|"))


def _step(text: str) -> Step:
    return read_step(text, 0)


def _word_of(*words: str) -> Callable[[str], Any]:
    """Return what reads one of these words; "allowed" is True."""

    def read(text: str) -> Any:
        if text not in words:
            raise ValueError(" or ".join(words))
        return True if text == "allowed" else text

    return read


_TERMS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "at": ("price", _price),
    "trigger": ("trigger_price", _price),
    "validity": ("time_in_force", TimeInForce),
    "product": ("product", Product),
    "variety": ("variety", Variety),
    "tag": ("tag", str),
    "display": ("display_quantity", _number),
    "protection": ("market_protection", _number),
    "quantity": ("quantity", _number),
    "type": ("order_type", OrderType),
    "within": ("timeout_s", _seconds),
    "late": ("on_late", _word_of("keep", "cancel")),
    "stale": ("allow_stale", _word_of("allowed")),
    "unknown": ("allow_unknown", _word_of("allowed")),
}


def _terms(text: str) -> dict[str, Any]:
    words, found = text.split(), {}
    if len(words) % 2:
        raise ValueError("pairs of a term and its value")
    for word, value in zip(words[::2], words[1::2], strict=True):
        if word not in _TERMS:
            raise ValueError(f"terms {', '.join(_TERMS)}; {word!r} is none")
        name, kind = _TERMS[word]
        found[name] = kind(value)
    return found


_FACTS: Final[Mapping[str, Callable[[str], Any]]] = {
    "filled": _number,
    "remaining": _number,
    "canceled": _number,
    "average": _price,
    "reject": _kinds,
    "price": _price,
    "quantity": _number,
    "pending": str,
    "tag": str,
}


def _facts(text: str) -> dict[str, Any]:
    words, found = text.split(), {}
    if len(words) % 2:
        raise ValueError("pairs of a field and its value")
    for word, value in zip(words[::2], words[1::2], strict=True):
        if word not in _FACTS:
            raise ValueError(f"fields {', '.join(_FACTS)}; {word!r} is none")
        found[word] = _FACTS[word](value)
    return found


ROLES: Final[Mapping[str, str]] = {
    "A": "a liquid instrument to hold: a share, or a pair",
    "B": "a second one",
    "C": "a third one",
    "P": "one that makes a position: A, or F where what is bought of A is simply owned",
    "F": "a future or perpetual",
    "E": "an option",
    "I": "an index",
}

KINDS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "name": (r"\S+", _name),
    "word": (r"\S+", str),
    "text": (r".+", str),
    "number": (r"\S+", _number),
    "count": (r"\S+", _count),
    "seconds": (r"\S+", _seconds),
    "role": (r"\S+", _role),
    "roles": (r"\S+", _roles),
    "side": (r"\S+", Side),
    "type": (r"\S+", OrderType),
    "mode": (r"\S+", Mode),
    "price": (r"\S+", _price),
    "statuses": (r".+", _statuses),
    "status": (r"\S+", _one_of),
    "kinds": (r"\S+", _kinds),
    "terms": (r".+", _terms),
    "facts": (r".+", _facts),
    "step": (r".+", _step),
}
"""Kind of a place -> the text it takes, and what reads it (ValueError says what was expected)."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A pattern and what plays it."""

    pattern: str
    regex: re.Pattern[str]
    kinds: Mapping[str, str]
    play: StepFunction

    @property
    def meaning(self) -> str:
        """The first line of the function's text."""
        return (self.play.__doc__ or "").strip().splitlines()[0]


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a scenario, ready to be played.

    Attributes
    ----------
    text : str
    number : int
        Of its line in the file, from 1.
    fails : tuple of ErrorKind
        What it must fail with, one of them; empty where it must succeed.
    may : bool
        It may succeed all the same.
    """

    text: str
    number: int
    verb: Verb
    arguments: Mapping[str, Any]
    fails: tuple[ErrorKind, ...] = ()
    may: bool = False

    async def play(self, stage: Stage) -> None:
        await self.verb.play(stage, **self.arguments)


class StepError(ValueError):
    """A line that no pattern takes; `expected` says what would be."""

    def __init__(self, text: str, expected: str) -> None:
        super().__init__(f"{text!r}, expected {expected}")


VERBS: Final[list[Verb]] = []


def step(pattern: str) -> Callable[[F], F]:
    """Register what plays the lines of a pattern; its places become keyword arguments."""
    kinds: dict[str, str] = dict(PLACE.findall(pattern))
    parts = PLACE.split(pattern)
    written = "".join(
        re.escape(part) if at % 3 == 0 else f"(?P<{part}>{KINDS[parts[at + 1]][0]})" if at % 3 == 1 else ""
        for at, part in enumerate(parts)
    )

    def register(function: F) -> F:
        VERBS.append(Verb(pattern, re.compile(written), kinds, function))
        return function

    return register


def read_step(text: str, number: int) -> Step:
    """Read one line.

    Raises
    ------
    StepError
        No pattern fits, or a place does not take its word.
    """
    may = " may fail with " in text
    body, marked, kinds = text.partition(" may fail with " if may else " fails with ")
    fails: tuple[ErrorKind, ...] = ()
    if marked:
        try:
            fails = _kinds(kinds)
        except ValueError:
            raise StepError(kinds, f"kinds of errors joined by |: {_near(kinds, ErrorKind)}") from None
    found: list[Step] = []
    problem: StepError | None = None
    for verb in VERBS:
        match = verb.regex.fullmatch(body)
        if match is None:
            continue
        try:
            arguments = {name: _read(KINDS[kind][1], match[name]) for name, kind in verb.kinds.items()}
        except StepError as error:
            problem = problem or error
            continue
        found.append(Step(text, number, verb, arguments, fails, may))
    if found:
        # A place that takes all that is left gives way to words.
        return max(found, key=lambda one: len(PLACE.sub("", one.verb.pattern)))
    if problem is not None:
        raise problem
    near = difflib.get_close_matches(body, [verb.pattern for verb in VERBS], 3, 0.3)
    raise StepError(body, " or ".join(near) or "a step; see docs/conformance.md")


def _read(kind: Callable[[str], Any], text: str) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        raise StepError(text, str(error)) from None


def _near(text: str, words: Any) -> str:
    every = [str(word) for word in words]
    return ", ".join(difflib.get_close_matches(text, every, 3, 0.3) or every)
