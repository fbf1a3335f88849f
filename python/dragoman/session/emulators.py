"""Emulators that run on this machine, and the profile that leads to one: `dragoman emulate` says where it serves.

One file for each name below the state folder, ``emulators/<broker>.<name>.json``, mode 0600, there while the emulator
runs. It holds what the emulator prints; all of its credentials are an emulator's and open nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from dragoman.errors import UsageError
from dragoman.plugin import Adapter
from dragoman.runtime.base import Runtime
from dragoman.session.tokens import default_state_dir, file_name

DEFAULT_NAME = "emulator"


def path_of(runtime: Runtime, broker: str, name: str) -> str:
    """Return where the emulator of that name says what it serves."""
    return f"{default_state_dir(runtime)}/emulators/{file_name(broker, name)}.json"


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


def served(runtime: Runtime, adapter: Adapter, name: str) -> dict[str, Any] | None:
    """Return the fields of a profile that lead to the running emulator of that name; None where none is known."""
    line = find(runtime, adapter.name, name)
    return None if line is None else overrides_of(line, adapter)


def overrides_of(line: Mapping[str, Any], adapter: Adapter) -> dict[str, Any]:
    """Return, as ``overrides`` of `dragoman.connect`, what the line that ``dragoman emulate`` prints says.

    Parameters
    ----------
    line : mapping
        With ``rest``, ``ws``, ``login`` and ``credentials``, and further hosts of the adapter under ``extra``.
    adapter : Adapter
    """
    given = line["credentials"]
    found: dict[str, Any] = {
        "hosts": {name: line[name] for name in ("rest", "ws", "login")} | dict(line.get("extra", {})),
        "credentials": {one.name: given[one.name] for one in adapter.credentials if one.name in given},
    }
    port = str(given.get("redirect_url", "")).rstrip("/").rpartition(":")[2]
    return found | ({"redirect_port": int(port)} if port.isdigit() else {})
