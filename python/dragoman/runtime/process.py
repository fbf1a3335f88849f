"""Which process this is: what belongs to one must not be used by a fork of it."""

from __future__ import annotations

from os import getpid


def process_id() -> int:
    """Return the id of the running process; in a forked child another than in its parent."""
    return getpid()
