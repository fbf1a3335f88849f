"""The table of adapters and scenarios, and what is behind each cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

from dragoman.testing.conformance.grammar import PLACE, VERBS
from dragoman.testing.conformance.runner import Result

SIGNS: Final = {"passed": "ok", "differs": "differs", "not offered": "-", "failed": "FAILED"}


def as_rows(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Return results as plain objects."""
    return [asdict(result) for result in results]


def table(results: Sequence[Result]) -> str:
    """Return a table, scenarios down, adapters across; below it the reasons of what is not plainly ``ok``.

    Signs: ``ok``; ``differs`` (holds but for a declared difference); ``-`` (not offered); ``FAILED``.
    """
    adapters = list(dict.fromkeys(result.adapter for result in results))
    scenarios = list(dict.fromkeys(result.scenario for result in results))
    cells = {(result.adapter, result.scenario): result for result in results}
    wide = max(map(len, scenarios), default=8)
    heads = [max(len(name), 7) for name in adapters]

    def line(first: str, words: Iterable[str]) -> str:
        rest = (word.ljust(room) for word, room in zip(words, heads, strict=True))
        return "  ".join([first.ljust(wide), *rest]).rstrip()

    lines = [line("scenario", adapters)]
    for scenario in scenarios:
        found = [cells.get((adapter, scenario)) for adapter in adapters]
        lines.append(line(scenario, (SIGNS[one.status] if one else "" for one in found)))
    lines.append("")
    lines += [f"{adapter}: {summary([one for one in results if one.adapter == adapter])}" for adapter in adapters]
    told = [result for result in results if result.status in ("differs", "failed")]
    lines += ["", *map(str, told)] if told else []
    lines += _not_offered(results)
    return "\n".join(lines)


def summary(results: Iterable[Result]) -> str:
    """Return counts by status: ``122 passed, 3 differ, 5 not offered, 0 failed``."""
    count = Counter(result.status for result in results)
    return (
        f"{count['passed']} passed, {count['differs']} differ, {count['not offered']} not offered,"
        f" {count['failed']} failed"
    )


def _not_offered(results: Sequence[Result]) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.status == "not offered":
            reasons.setdefault((result.adapter, result.detail), []).append(result.scenario)
    lines = [f"{adapter} does not offer {', '.join(names)}: {why}" for (adapter, why), names in reasons.items()]
    return ["", *lines] if lines else []


_GROUPS: Final = {
    "session": "Sessions, streams, events, counters",
    "processes": "Several clients, and what their machines do",
    "faults": "What goes wrong in between",
    "acts": "What goes wrong with one act",
    "market": "Market data",
    "orders": "Orders",
    "known": "Orders as the client knows them",
    "fills": "Trades and fills",
    "doubt": "Orders in doubt",
    "account": "Money and positions",
}


def steps_page() -> str:
    """Return every step with its meaning, as Markdown tables: the last part of docs/conformance.md."""
    from dragoman.testing.conformance import verbs  # noqa: F401 - they register themselves

    lines: list[str] = []
    for module, title in _GROUPS.items():
        lines += [f"### {title}", "", "| step | meaning |", "|---|---|"]
        for verb in VERBS:
            if verb.play.__module__.endswith(f".{module}"):
                shown = PLACE.sub(lambda found: f"<{_SHOWN.get(found[1], found[1])}>", verb.pattern)
                lines.append(f"| `{shown}` | {verb.meaning} |")
        lines.append("")
    return "\n".join(lines)


_SHOWN: Final = {"of": "role", "kind": "type"}
