"""Which profiles there are, read without checking them: for defaults and completion."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path


def profiles_path() -> Path | None:
    """Return where the profiles file would be; `dragoman.session.profiles` reads the same place."""
    if named := os.environ.get("DRAGOMAN_CONFIG"):
        return Path(named)
    home = os.environ.get("HOME")
    return Path(home, ".config/dragoman/profiles.toml") if home else None


def profiles_of(broker: str) -> list[str]:
    """Return the names of a broker's profiles; none where the file cannot be read, which whoever needs it will say."""
    path = profiles_path()
    try:
        tables = tomllib.loads(path.read_text("utf-8")) if path is not None else {}
    except (OSError, ValueError):
        return []
    found = tables.get(broker, {})
    return [name for name, table in found.items() if isinstance(table, dict)] if isinstance(found, dict) else []
