"""The files of a new adapter package."""

from __future__ import annotations

import re
from importlib.resources import files
from string import Template
from typing import Final

from dragoman.errors import UsageError

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,30}")
_FILES: Final = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "$package/__init__.py": "__init__.py",
    "$package/adapter.py": "adapter.py",
    "$package/feed.py": "feed.py",
    "$package/words.py": "words.py",
    "$package/codes.toml": "codes.toml",
    "$package/emulator.py": "emulator.py",
    "$package/differences.toml": "differences.toml",
    "tests/test_${name}_adapter.py": "test_adapter.py",
}
"""Path in the package -> template."""


def new_adapter(name: str) -> dict[str, str]:
    """Return the files of a new adapter package by their paths.

    Parameters
    ----------
    name : str
        The broker's, as users will write it: lower case letters, digits and underscores.

    Raises
    ------
    UsageError
        It cannot be a name of a package.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"adapter name {name!r}, expected 2 to 31 lower case letters, digits or underscores, a letter first",
            remedy="mybroker, for example",
        )
    words = name.split("_")
    values = {
        "name": name,
        "package": f"dragoman_{name}",
        "cls": "".join(word.capitalize() for word in words) + "Adapter",
        "title": " ".join(word.capitalize() for word in words),
    }
    folder = files(__package__) / "template"
    return {
        Template(path).substitute(values): Template((folder / f"{template}.txt").read_text("utf-8")).substitute(values)
        for path, template in _FILES.items()
    }
