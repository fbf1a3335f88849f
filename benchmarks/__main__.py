"""Run the benchmarks and write the report: ``python -m benchmarks [NAME ...]``."""

from __future__ import annotations

import sys

from benchmarks import bench_decode, bench_limiter
from benchmarks.report import markdown, write

ALL = {"decode": bench_decode, "limiter": bench_limiter}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"unknown benchmarks {', '.join(unknown)}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    sections = [
        (module.TITLE, module.METHOD, module.run()) for name, module in ALL.items() if not names or name in names
    ]
    write(markdown(sections))
    missed = [row.question for _, _, rows in sections for row in rows if row.met is False]
    if missed:
        print(f"goals missed: {'; '.join(missed)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
