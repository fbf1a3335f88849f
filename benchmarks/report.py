"""The report: machine, method, one table."""

from __future__ import annotations

import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence

from benchmarks.measure import Row, Timing

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
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": compiler,
    }


def text(timing: Timing) -> str:
    """Return a time with a unit that suits it."""
    for unit, size in (("ms", 1e6), ("us", 1e3)):
        if timing.median_ns >= size:
            return f"{timing.median_ns / size:.2f} {unit}"
    return f"{timing.median_ns:.1f} ns"


def markdown(sections: Iterable[tuple[str, str, Sequence[Row]]]) -> str:
    """Write the report; each section is a title, its method, and rows."""
    lines = ["# Benchmarks", "", *(f"- {name}: {value}" for name, value in machine().items()), ""]
    for title, method, rows in sections:
        lines += [
            f"## {title}",
            "",
            method,
            "",
            "| question | ours | peer | peer's | ratio | goal |",
            "|---|---|---|---|---|---|",
        ]
        for row in rows:
            sign = ">=" if row.ratio_is == "times faster" else "<="
            goal = "" if row.goal is None else f"{sign} {row.goal:g}x {'met' if row.met else 'MISSED'}"
            times = f"{text(row.ours)} | {row.peer} | {text(row.theirs)}"
            lines.append(f"| {row.question} | {times} | {row.ratio:.2f}x {row.ratio_is} | {goal} |")
        lines.append("")
    return "\n".join(lines)


def write(report: str) -> pathlib.Path:
    """Write the report below `results/` and return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "report.md"
    path.write_text(report)
    print(report)
    print(f"written to {path.relative_to(pathlib.Path.cwd())}", file=sys.stderr)
    return path
