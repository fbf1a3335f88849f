"""Run the benchmarks and write the report: ``python -m benchmarks [--quick] [NAME ...]``.

``python -m benchmarks compare OLD NEW`` sets two runs side by side; each is a file below ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import sys
import time

from benchmarks.compare import compare
from benchmarks.measure import Effort, Row, Section, Value
from benchmarks.report import about, write

ALL = tuple(sorted(path.stem.removeprefix("bench_") for path in pathlib.Path(__file__).parent.glob("bench_*.py")))


def section(name: str) -> Section:
    """Run one benchmark."""
    module = importlib.import_module(f"benchmarks.bench_{name}")
    print(f"{module.TITLE} ...", file=sys.stderr, flush=True)
    started = time.monotonic()
    findings = tuple(module.run())
    return Section(name, module.TITLE, module.METHOD, findings, time.monotonic() - started)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["compare"]:
        if len(arguments) != 3:
            print("usage: python -m benchmarks compare OLD NEW", file=sys.stderr)
            return 2
        print(compare(*arguments[1:]))
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(ALL)}; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about a minute, and noisier")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in ALL]
    if unknown:
        parser.error(f"unknown benchmarks {', '.join(unknown)}; there are {', '.join(ALL)}")
    Effort.quick = given.quick
    started, load = time.monotonic(), os.getloadavg()[0]
    sections = [section(name) for name in ALL if not given.names or name in given.names]
    write(sections, about(time.monotonic() - started, load))
    found = [one for part in sections for one in part.findings if isinstance(one, Row | Value)]
    missed = [one.question for one in found if one.met is False]
    if missed:
        print(f"goals missed: {'; '.join(missed)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
