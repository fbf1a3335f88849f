"""Emulators that run on this machine: `dragoman emulate` says where, other commands find it.

One file for each name below the state folder, ``emulators/<broker>.<name>.json``, mode 0600, there while the emulator
runs. It holds what the emulator prints; all of its credentials are an emulator's and open nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from dragoman.errors import UsageError
from dragoman.runtime.base import Runtime
from dragoman.session.tokens import default_state_dir, file_name

DEFAULT_NAME = "emulator"
_ANSWER_S: Final = 2.0


def path_of(runtime: Runtime, broker: str, name: str) -> str:
    """Return where the emulator of that name says what it serves."""
    return f"{default_state_dir(runtime)}/emulators/{file_name(broker, name)}.json"


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


def find(runtime: Runtime, broker: str, name: str) -> dict[str, Any] | None:
    """Return what the emulator of that name serves; None where none is known."""
    path = path_of(runtime, broker, name)
    if not runtime.disk.exists(path):
        return None
    try:
        found = orjson.loads(runtime.disk.read(path))
    except orjson.JSONDecodeError:
        raise UsageError(f"{path} is damaged", remedy="start the emulator again") from None
    return found if isinstance(found, dict) else None
