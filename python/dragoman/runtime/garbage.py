"""Keep the collector from walking over a hundred thousand new values again and again while they are made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_inside = 0
_was_enabled = False


@contextmanager
def garbage_kept() -> Iterator[None]:
    """Collect no garbage inside; may be nested, and entered by several at a time. Whoever leaves last restores it."""
    global _inside, _was_enabled
    if _inside == 0:
        _was_enabled = gc.isenabled()
        gc.disable()
    _inside += 1
    try:
        yield
    finally:
        _inside -= 1
        if _inside == 0 and _was_enabled:
            gc.enable()
