"""``dragoman new-adapter``: write a new adapter package."""

from __future__ import annotations

from pathlib import Path

from dragoman.errors import UsageError
from dragoman.plugin.registry import plugins
from dragoman.testing.scaffold import new_adapter


def write(name: str, folder: Path | None) -> Path:
    """Write the files of a new adapter package into a new or empty folder; return it.

    Raises
    ------
    UsageError
        The name cannot be one or is taken, or the folder holds something.
    """
    files = new_adapter(name)
    if name in plugins():
        raise UsageError(f"an adapter named {name!r} is installed", remedy="choose another name, or uninstall it")
    root = folder or Path(f"dragoman-{name}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()):
            raise UsageError(f"{root} holds something already", remedy="name a new folder")
        for path, text in files.items():
            target = root / path
            target.parent.mkdir(exist_ok=True)
            target.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{root} cannot be written: {error.strerror}") from error
    return root
