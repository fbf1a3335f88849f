"""Asking the human at the terminal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from dragoman.errors import UsageError


def is_interactive() -> bool:
    """Whether a human can be asked: standard input and standard error are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> bool:
    """Ask and return whether the answer is yes; anything else, also none, is no.

    Raises
    ------
    UsageError
        Nobody can be asked.
    """
    if not is_interactive():
        raise UsageError(
            f"not asked at a terminal: {question}", remedy="nothing was sent; --yes goes ahead without asking"
        )
    try:
        return _typed(lambda: input(), f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def ask(kind: str, text: str, hidden: bool) -> str:
    """Return what a login wants typed; the prompt goes to standard error.

    Raises
    ------
    UsageError
        Nobody can be asked.
    """
    if not is_interactive():
        raise UsageError(f"the login asks for {kind}: {text}", remedy="run it at a terminal")
    if hidden:
        from getpass import getpass

        return _typed(lambda: getpass("", stream=sys.stderr), f"{text}: ")
    return _typed(lambda: input(), f"{text}: ")


def _typed(read: Callable[[], str], prompt: str) -> str:
    # A running loop keeps Ctrl-C for itself, and would not see it before the line has ended. Before the prompt, because
    # whoever sees that may press it at once.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        print(prompt, end="", file=sys.stderr, flush=True)
        return read()
    finally:
        signal.signal(signal.SIGINT, before)
