"""Two runs side by side: what became faster, what slower, and what is within the noise of either."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence

from benchmarks.measure import Row, Section, Value
from benchmarks.report import from_json
from benchmarks.words import bytes_or, text, verdict

Key = tuple[str, str, str]


def load(name: str) -> tuple[dict[str, str], list[Section]]:
    """Return what a run was made on, and its sections."""
    data = json.loads(pathlib.Path(name).read_text())
    return data["about"], from_json(data)


def compare(old: str, new: str) -> str:
    """Return a table in Markdown of all comparisons and figures that either run has."""
    (was, before), (now, after) = load(old), load(new)
    lines = [f"- {name}: {was.get(name, '')} -> {now.get(name, '')}" for name in {**was, **now}]
    if any(was.get(name) != now.get(name) for name in ("processor", "system", "python", "compiler")):
        lines.append("- The machines differ: compare the ratios, not the times.")
    lines += ["", "| question | peer | ours | ratio | change | goal |", "|---|---|---|---|---|---|"]
    olds, news = _found(before), _found(after)
    for key in {**olds, **news}:
        lines.append(_line(key, olds.get(key), news.get(key)))
    return "\n".join(lines)


def _found(sections: Sequence[Section]) -> dict[Key, Row | Value]:
    return {
        (part.name, one.question, one.peer if isinstance(one, Row) else ""): one
        for part in sections
        for one in part.findings
        if isinstance(one, Row | Value)
    }


def _line(key: Key, old: Row | Value | None, new: Row | Value | None) -> str:
    where = f"| {key[0]}: {key[1]} | {key[2]}"
    if old is None or new is None or type(old) is not type(new):
        only = new if old is None else old
        said = "new" if old is None else "gone" if new is None else "measured in another way"
        return f"{where} | {_ours(only)} | {_ratio(only)} | {said} | {'' if only is None else verdict(only)} |"
    ratio = f"{_ratio(old)} -> {_ratio(new)}" if isinstance(new, Row) else ""
    return f"{where} | {_ours(old)} -> {_ours(new)} | {ratio} | {change(old, new)} | {verdict(new)} |"


def change(old: Row | Value, new: Row | Value) -> str:
    """Say in which direction a figure moved; nothing where the spreads of the two runs overlap."""
    if isinstance(old, Row) and isinstance(new, Row):
        (a, b), (c, d) = old.spread, new.spread
        better = new.ratio / old.ratio if new.ratio_is == "times faster" else old.ratio / new.ratio
        if c <= b and a <= d:
            return f"{better:.2f}x, within the noise"
    else:
        assert isinstance(old, Value)
        assert isinstance(new, Value)
        better = old.value / new.value
    return f"{better:.2f}x {'better' if better > 1 else 'WORSE' if better < 1 else 'the same'}"


def _ours(one: Row | Value | None) -> str:
    if one is None:
        return ""
    return bytes_or(one) if isinstance(one, Value) else text(one.ours.median_ns)


def _ratio(one: Row | Value | None) -> str:
    return f"{one.ratio:.3g}x" if isinstance(one, Row) else ""
