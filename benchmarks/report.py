"""The report: machine, method, one table."""

from __future__ import annotations

import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.measure import Curve, Row, Section, Timing, Value

RESULTS = pathlib.Path(__file__).parent / "results"


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
    load = os.getloadavg()[0]
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": compiler,
        "load": f"{load:.2f} (average of the last minute, at the end of the run)",
    }


def text(ns: float) -> str:
    """Return a time with a unit that suits it."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.2f} {unit}"
    return f"{ns:.1f} ns"


def _row(row: Row) -> str:
    sign = ">=" if row.ratio_is == "times faster" else "<="
    goal = "" if row.goal is None else f"{sign} {row.goal:g}x {'met' if row.met else 'MISSED'}"
    low, high = row.spread
    lost = " (lost)" if row.lost else ""
    ratio = f"{row.ratio:.2f}x {row.ratio_is}{lost} | {low:.2f}-{high:.2f} | {row.best:.2f}"
    return f"| {row.question} | {text(row.ours.median_ns)} | {row.peer} | {text(row.theirs.median_ns)} | {ratio} | {goal} |"


def _value(value: Value) -> str:
    goal = "" if value.goal is None else f"<= {value.goal:g} {value.unit} {'met' if value.met else 'MISSED'}"
    return f"| {value.question} | {value.value:.4g} {value.unit} | {value.note} | {goal} |"


def _quantile(timing: Timing, share: float) -> str:
    found = timing.quantile(share)
    return "" if found is None else text(found)


def markdown(sections: Sequence[Section]) -> str:
    """Return the report as Markdown."""
    lines = ["# Benchmarks", "", *(f"- {name}: {value}" for name, value in machine().items()), ""]
    for section in sections:
        lines += [f"## {section.title}", "", section.method, ""]
        rows = [one for one in section.findings if isinstance(one, Row)]
        if rows:
            lines += [
                "| question | ours | peer | peer's | ratio | p10-p90 | best | goal |",
                "|---|---|---|---|---|---|---|---|",
            ]
            lines += [*map(_row, rows), ""]
        values = [one for one in section.findings if isinstance(one, Value)]
        if values:
            lines += ["| question | found | how | goal |", "|---|---|---|---|", *map(_value, values), ""]
        for curve in (one for one in section.findings if isinstance(one, Curve)):
            lines += [f"{curve.question} ({curve.y}, by {curve.x}) {curve.note}", ""]
            for name, points in curve.lines.items():
                lines.append(f"- {name}: " + ", ".join(f"{x:g}: {y:.4g}" for x, y in points))
            lines.append("")
    return "\n".join(lines)


def write(sections: Sequence[Section]) -> pathlib.Path:
    """Write the report below `results/` and return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "report.md"
    report = markdown(sections)
    path.write_text(report)
    print(report)
    print(f"written to {path.relative_to(pathlib.Path.cwd())}", file=sys.stderr)
    return path
