"""What `dragoman emulate` says of itself while it runs; see `dragoman.session.emulators` for who reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from dragoman.errors import UsageError
from dragoman.runtime.base import Runtime
from dragoman.session.emulators import find, path_of

_ANSWER_S: Final = 2.0


def publish(runtime: Runtime, name: str, line: Mapping[str, Any]) -> None:
    """Say what is served. A record of the same name is replaced: see `owner` for whether it may be.

    Raises
    ------
    UsageError
        There is no folder to say it in.
    """
    path = path_of(runtime, line["broker"], name)
    try:
        runtime.disk.write_atomic(path, orjson.dumps(dict(line)))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", remedy="set DRAGOMAN_STATE") from error


async def owner(runtime: Runtime, broker: str, name: str) -> str | None:
    """Return where the emulator that has a name serves; None where the name is free, or whoever had it is gone.

    An emulator that was killed leaves its record behind, so the record alone says nothing: its port has to answer.
    """
    try:
        line = await runtime.in_worker(find, runtime, broker, name)
    except UsageError:
        return None  # damaged: it is of no use to anybody
    root = str((line or {}).get("rest", ""))
    parts = urlsplit(root)
    if parts.hostname is None or parts.port is None:
        return None
    try:
        transport, _ = await runtime.net.connect(asyncio.Protocol, parts.hostname, parts.port, timeout=_ANSWER_S)
    except OSError:
        return None
    transport.close()
    return root


def withdraw(runtime: Runtime, name: str, line: Mapping[str, Any]) -> None:
    """Take back what `publish` said, unless another emulator has taken the name since."""
    if find(runtime, line["broker"], name) == dict(line):
        runtime.disk.remove(path_of(runtime, line["broker"], name))
