"""Peers come from the environments the judges made: pinned, unmodified, never installed beside us."""

from __future__ import annotations

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


class PeerMissing(RuntimeError):
    """The peer's environment has not been made yet."""


def add(name: str) -> None:
    """Make the packages of a judge's environment importable, behind our own.

    Raises
    ------
    PeerMissing
        Says how to make it.
    """
    found = sorted((ROOT / ".judges").glob(f"{name}-*/lib/python*/site-packages"))
    if not found:
        raise PeerMissing(f"{name} is not there yet: run `make judges` once")
    if str(found[-1]) not in sys.path:
        sys.path.append(str(found[-1]))
