"""Scenarios as text: a title, what they need of a broker, and steps, one a line.

::

    scenario: a resting limit order fills in two parts
    needs: place, order_stream

    connect
    place o1 BUY 10 A LIMIT at -5%
    expect o1 OPEN
    venue trades 4 with o1
    expect o1 PARTIALLY_FILLED filled 4 remaining 6

A line that begins with ``#`` is a remark. ``needs`` names features of `dragoman.plugin.Capabilities`, values such as
``type:STOP_LIMIT``, ``validity:IOC``, ``mode:full``, ``product:INTRADAY``, ``variety:ICEBERG``, and the words of
`dragoman.testing.conformance.needs.MORE`. ``allows`` names what may be counted though nothing should be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from dragoman.errors import UsageError
from dragoman.testing.conformance.grammar import Step, StepError, read_step

FOLDERS: Final = ("data", "orders", "session")
ALLOWED: Final = frozenset(("raw events", "decode errors", "unknown words", "emulator errors"))


class ScenarioError(UsageError):
    """A scenario cannot be read; the message names its file and line."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario, read.

    Attributes
    ----------
    name : str
        Folder and file, ``orders/partial_fill``.
    title : str
        What it claims, as a sentence.
    needs : tuple of str
    allows : frozenset of str
        Of `ALLOWED`: what is not held against it at its end.
    loopback : bool
        Whether it belongs to the subset that is played over real sockets by default.
    steps : tuple of Step
    """

    name: str
    title: str
    needs: tuple[str, ...]
    allows: frozenset[str]
    loopback: bool
    steps: tuple[Step, ...]


def read_scenario(text: str, name: str) -> Scenario:
    """Read a scenario.

    Raises
    ------
    ScenarioError
        Naming file and line, what was found and what was expected.
    """
    # The steps register themselves when they are imported; they in turn import the grammar only.
    from dragoman.testing.conformance import verbs  # noqa: F401

    title, loopback = "", False
    needs: tuple[str, ...] = ()
    allows: frozenset[str] = frozenset()
    steps: list[Step] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = " ".join(raw.split())
        if not line or line.startswith("#"):
            continue
        word, colon, rest = line.partition(":")
        values = tuple(part.strip() for part in rest.split(",") if part.strip())
        match word if colon and not steps else "":
            case "scenario":
                title = rest.strip()
            case "needs":
                needs = values
            case "runs":
                if rest.strip() != "on loopback too":
                    raise _bad(name, number, f"runs: {rest.strip()!r}", "on loopback too")
                loopback = True
            case "allows":
                allows = frozenset(values)
                if allows - ALLOWED:
                    raise _bad(name, number, f"allows {sorted(allows - ALLOWED)}", f"some of {sorted(ALLOWED)}")
            case _:
                try:
                    steps.append(read_step(line, number))
                except StepError as error:
                    raise ScenarioError(f"scenario {name}, line {number}: {error}") from None
    if not title:
        raise _bad(name, 1, "no title", "'scenario: what it claims' in the first line")
    if not steps:
        raise _bad(name, 1, "no steps", "at least one")
    return Scenario(name, title, needs, allows, loopback, tuple(steps))


def read_steps(text: str, name: str) -> tuple[Step, ...]:
    """Read steps alone: those that a declared difference puts in the place of others."""
    from dragoman.testing.conformance import verbs  # noqa: F401

    found = []
    for number, raw in enumerate(text.splitlines(), 1):
        if line := " ".join(raw.split()):
            try:
                found.append(read_step(line, number))
            except StepError as error:
                raise ScenarioError(f"{name}, line {number} of instead: {error}") from None
    return tuple(found)


def load_scenarios(folder: Traversable | None = None) -> dict[str, Scenario]:
    """Return the scenarios below a folder by name, in order; by default those of this package.

    Parameters
    ----------
    folder : traversable, optional
        With the subfolders of `FOLDERS`; a `pathlib.Path` is one. Files that end in ``.txt`` are read.
    """
    return dict(_own()) if folder is None else dict(_below(folder))


@cache
def _own() -> tuple[tuple[str, Scenario], ...]:
    return tuple(_below(files(__package__) / "scenarios"))


def _below(folder: Traversable) -> Iterator[tuple[str, Scenario]]:
    for part in FOLDERS:
        below = folder / part
        if below.is_dir():
            for file in sorted(below.iterdir(), key=lambda one: one.name):
                if file.name.endswith(".txt"):
                    name = f"{part}/{file.name.removesuffix('.txt')}"
                    yield name, read_scenario(file.read_text("utf-8"), name)


def _bad(name: str, number: int, found: str, expected: str) -> ScenarioError:
    return ScenarioError(f"scenario {name}, line {number}: {found}, expected {expected}")
