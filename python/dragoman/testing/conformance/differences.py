"""Where a broker differs, declared beside its adapter: ``differences.toml``.

::

    [[difference]]
    scenario = "orders/market_order"
    line = "expect o1 went OPEN FILLED"
    instead = "expect o1 FILLED"
    reason = "an order that trades at once is never reported open"
    source = "documentation, order updates; seen in frame 12 of the capture of 2026-01-15"

The line is still tried first. Where it holds after all, the scenario fails: the difference is gone and its row must
go. Where it fails, what stands in `instead` must hold, one step or several. A row without `line` says that the
scenario as a whole cannot hold: it must then fail, and its message must contain `fails`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from dragoman.errors import UsageError
from dragoman.plugin import Adapter
from dragoman.testing.conformance.grammar import Step
from dragoman.testing.conformance.scenario import Scenario, read_steps

FILE = "differences.toml"
_KEYS = frozenset(("scenario", "line", "instead", "fails", "reason", "source"))


class DifferenceError(UsageError):
    """A declared difference cannot be read; the message names the file and the row."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One declared difference; `line` and `instead`, or `fails`."""

    scenario: str
    reason: str
    source: str
    line: str = ""
    instead: tuple[Step, ...] = ()
    fails: str = ""


def read_differences(text: str, where: str) -> tuple[Difference, ...]:
    """Read the rows.

    Raises
    ------
    DifferenceError
        Naming row, what was found and what was expected.
    """
    try:
        rows = tomllib.loads(text).get("difference", [])
    except tomllib.TOMLDecodeError as error:
        raise DifferenceError(f"{where}: {error}") from None
    return tuple(_row(row, f"{where}, difference {at}") for at, row in enumerate(rows, 1))


def _row(row: Mapping[str, object], where: str) -> Difference:
    unknown = sorted(set(row) - _KEYS)
    if unknown:
        raise DifferenceError(f"{where}: keys {', '.join(unknown)}, expected {', '.join(sorted(_KEYS))}")
    words = {name: " ".join(str(value).split()) for name, value in row.items() if name != "instead"}
    for name in ("scenario", "reason", "source"):
        if not words.get(name):
            raise DifferenceError(f"{where}: no {name}, expected one")
    if bool(words.get("line")) is bool(words.get("fails")):
        raise DifferenceError(f"{where}: expected either line (with instead) or fails")
    instead = read_steps(str(row.get("instead", "")), where)
    if bool(instead) is not bool(words.get("line")):
        raise DifferenceError(f"{where}: expected a line and what holds instead of it, both or neither")
    return Difference(
        words["scenario"], words["reason"], words["source"], words.get("line", ""), instead, words.get("fails", "")
    )


def differences_of(adapter: Adapter) -> tuple[Difference, ...]:
    """Return what an adapter's package declares; nothing where it has no such file.

    Raises
    ------
    DifferenceError
        The file cannot be read.
    """
    file = _file(adapter)
    return () if file is None else read_differences(file.read_text("utf-8"), f"{adapter.name}/{FILE}")


def check(found: Iterable[Difference], scenarios: Mapping[str, Scenario], where: str) -> None:
    """Raise DifferenceError where a row names what no scenario has."""
    for one in found:
        scenario = scenarios.get(one.scenario)
        if scenario is None:
            raise DifferenceError(f"{where}: there is no scenario {one.scenario!r}")
        lines = [step.text for step in scenario.steps]
        if one.line and one.line not in lines:
            raise DifferenceError(f"{where}: {one.scenario} has no line {one.line!r}, expected one of {lines}")


def _file(adapter: Adapter) -> Traversable | None:
    """Find the file in the package of the adapter's class, or of the class it was made from."""
    for cls in type(adapter).__mro__:
        package = cls.__module__.rpartition(".")[0]
        if cls is Adapter:
            return None
        if package and (file := files(package) / FILE).is_file():
            return file
    return None
