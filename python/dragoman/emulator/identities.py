"""Ids that look like the broker's and are the same in every run.

Example
-------
>>> identity("emulator.example", "order", 1)
'b4901873-1483-5881-841e-8a707fb75171'
"""

from __future__ import annotations

import uuid
from functools import cache


@cache
def _space(name: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_DNS, name)


def identity(space: str, *parts: object) -> str:
    """Return the UUID of something: `parts` say what it is, `space` whose."""
    return str(uuid.uuid5(_space(space), "/".join(map(str, parts))))
