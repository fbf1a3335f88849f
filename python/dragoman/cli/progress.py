"""How far something long is, on standard error."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


def say_which(what: str, name: str, number: int, of: int) -> None:
    """Say on standard error which of several long parts begins, where there are several."""
    if of > 1:
        print(f"{what}: {name} ({number} of {of}) ...", file=sys.stderr, flush=True)


class Bar:
    """Shows how many requests of a long reading are done; shows nothing where standard error is no terminal."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown: Any = None
        self._task: Any = None

    def __enter__(self) -> Bar:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._shown = Progress(console=Console(stderr=True), transient=True)
            self._shown.start()
            self._task = self._shown.add_task(self._title, total=None)
        return self

    def update(self, done: int | None, total: int | None) -> None:
        """Take how many are done, of how many."""
        if self._shown is not None:
            self._shown.update(self._task, completed=done or 0, total=total)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()
