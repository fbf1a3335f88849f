"""Settings of an account that a client may change; nothing else follows from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dragoman.emulator.forms import Form


class Settings:
    """What holds now.

    Parameters
    ----------
    held : mapping
    unknown : callable
        Makes the broker's error of a setting that is none, from its name.
    """

    def __init__(self, held: Mapping[str, Any], unknown: Callable[[str], Exception]) -> None:
        self._held, self._unknown = dict(held), unknown

    def read(self, form: Form, now_ns: int) -> Mapping[str, Any]:
        return self._held

    def change(self, form: Form, now_ns: int) -> Mapping[str, Any]:
        """Take what a request names, and return all that holds; nothing changes where one name is unknown."""
        unknown = sorted(set(form.names) - self._held.keys())
        if unknown:
            raise self._unknown(unknown[0])
        self._held |= {name: form.raw(name) for name in form.names}
        return self._held
