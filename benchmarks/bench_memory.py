"""What does a tick weigh that is kept, and a level of a live book?"""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.bench_decode import decoder
from benchmarks.frames import stream
from benchmarks.measure import Effort, Finding, Value
from benchmarks.stage import ROOT

TITLE = "Memory"
METHOD = (
    "A process of its own keeps many of a thing; the figure is by how much its resident set grew for each, so that raw"
    " native memory and what allocators add is in it. The list that keeps them is not. Ticks carry 24 fields and come"
    " from full packets; books have five levels a side."
)
RUNS = 3


def weigh(what: str, count: int) -> list[float]:
    """Return bytes each, of some runs."""
    command = [sys.executable, "-m", "benchmarks.kept", what, str(Effort.count(count))]
    found = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True) for _ in range(RUNS)]
    return sorted(float(one.stdout) for one in found)


def value(question: str, found: list[float], note: str, goal: float | None = None) -> Value:
    return Value(question, statistics.median(found), "bytes", goal, found[0], found[-1], note)


def run() -> list[Finding]:
    """Weigh everything."""
    size = sys.getsizeof(decoder().decode(stream(1, 1)[0], 1)[0])
    million = f"{Effort.count(1_000_000):,}"
    return [
        value("a kept tick", weigh("ticks", 1_000_000), f"{million} kept; {size} bytes the object itself", 320.0),
        value("a kept tick of the official SDK", weigh("dicts", 50_000), f"{Effort.count(50_000):,} dicts kept"),
        value("a level of a live book", weigh("levels", 50_000), f"{Effort.count(50_000):,} books of 10 levels"),
    ]
