"""The report: the machine, and each section as Markdown, as HTML, and as JSON for later comparison."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.measure import Curve, Effort, Finding, Row, Section, Timing, Value
from benchmarks.page import html
from benchmarks.words import HOW_TO_READ, SHOWN, bytes_or, peer_quantiles, text, verdict

RESULTS = pathlib.Path(__file__).parent / "results"
KINDS: dict[str, type[Row] | type[Value] | type[Curve]] = {"row": Row, "value": Value, "curve": Curve}


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    model = platform.processor()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    compiler = subprocess.run(
        [os.environ.get("CXX", "c++"), "--version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": compiler,
    }


def about(seconds: float, load_before: float) -> dict[str, str]:
    """Return the machine and the circumstances of this run."""
    return {
        **machine(),
        "run": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {seconds:.0f} s{', quick' if Effort.quick else ''}",
        "load": f"{load_before:.2f} before the run, {os.getloadavg()[0]:.2f} after it (averages of a minute)",
    }


def _row(row: Row) -> str:
    low, high = row.spread
    ratio = f"{row.ratio:.3g}x {row.ratio_is}{' (slower)' if row.slower else ''}"
    times = f"{text(row.ours.median_ns)} | {row.peer} | {text(row.theirs.median_ns)}"
    return f"| {row.question} | {times} | {ratio} | {low:.3g}-{high:.3g} | {row.best:.3g} | {verdict(row)} |"


def _table(*head: str) -> list[str]:
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]


def markdown(sections: Sequence[Section], facts: Mapping[str, str]) -> str:
    """Return the report as Markdown."""
    lines = ["# Benchmarks", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    lines += [line + "\n" for line in HOW_TO_READ]
    for section in sections:
        lines += [f"## {section.title}", "", section.method, ""]
        rows = [one for one in section.findings if isinstance(one, Row)]
        if rows:
            lines += _table("question", "ours", "peer", "peer's", "ratio", "spread", "best rounds", "goal")
            lines += [*map(_row, rows), ""]
        values = [one for one in section.findings if isinstance(one, Value)]
        if values:
            lines += _table("question", "found", "how", "goal")
            lines += [*(f"| {v.question} | {bytes_or(v)} | {v.note} | {verdict(v)} |" for v in values), ""]
        singly = [row for row in rows if row.ours.quantiles and row.theirs.quantiles]
        if singly:
            lines += _table("question", "whose", *(name for _, name in SHOWN))
            lines += [*(f"| {' | '.join(line)} |" for row in singly for line in peer_quantiles(row)), ""]
        for curve in (one for one in section.findings if isinstance(one, Curve)):
            lines += [f"**{curve.question}.** {curve.note}".strip(), ""]
            places = sorted({x for points in curve.lines.values() for x, _ in points})
            lines += _table(f"{curve.y}, by {curve.x}", *(f"{x:g}" for x in places))
            for name, points in curve.lines.items():
                found = dict(points)
                lines.append(f"| {name} | {' | '.join(f'{found[x]:.4g}' if x in found else '' for x in places)} |")
            lines.append("")
    return "\n".join(lines)


def to_json(sections: Sequence[Section], facts: Mapping[str, str]) -> dict[str, Any]:
    """Return a run as plain data."""
    names = {kind: name for name, kind in KINDS.items()}
    return {
        "format": 1,
        "about": dict(facts),
        "sections": [
            dataclasses.asdict(part)
            | {"findings": [{"kind": names[type(one)], **dataclasses.asdict(one)} for one in part.findings]}
            for part in sections
        ],
    }


def from_json(data: Mapping[str, Any]) -> list[Section]:
    """Return the sections of a run that `to_json` wrote.

    Raises
    ------
    ValueError
        It is of another format.
    """
    if data.get("format") != 1:
        raise ValueError(f"the format of the results is {data.get('format')!r}, expected 1")
    return [Section(**{**part, "findings": tuple(map(_finding, part["findings"]))}) for part in data["sections"]]


def _finding(data: Mapping[str, Any]) -> Finding:
    values = {name: value for name, value in data.items() if name != "kind"}
    if data["kind"] == "row":
        for side in ("ours", "theirs"):
            whole = values[side]
            pairs = tuple((share, ns) for share, ns in whole["quantiles"])
            values[side] = Timing(**{**whole, "rounds": tuple(whole["rounds"]), "quantiles": pairs})
    return KINDS[data["kind"]](**values)


def write(sections: Sequence[Section], facts: Mapping[str, str]) -> list[pathlib.Path]:
    """Write the report below `results/` in its three forms, print it, and return their paths."""
    RESULTS.mkdir(exist_ok=True)
    report = markdown(sections, facts)
    data = json.dumps(to_json(sections, facts), indent=1)
    written = {
        "report.md": report,
        "report.html": html(sections, facts),
        f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json": data,
        "latest.json": data,
    }
    for name, content in written.items():
        (RESULTS / name).write_text(content)
    print(report)
    print(f"written to {RESULTS}: {', '.join(written)}", file=sys.stderr)
    return [RESULTS / name for name in written]
