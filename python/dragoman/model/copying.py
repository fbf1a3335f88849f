"""Copies of frozen values with other fields, for the order path: several times faster than `dataclasses.replace`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")

_READERS: dict[type, tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]] = {}


def copied(value: T, /, **changes: Any) -> T:
    """Return a copy of a dataclass value with `changes`; all its fields must be arguments of its constructor.

    Raises
    ------
    TypeError
        For a change that names no field.
    """
    kind = type(value)
    reader = _READERS.get(kind)
    if reader is None:
        names = tuple(item.name for item in fields(kind))  # type: ignore[arg-type]
        reader = _READERS[kind] = names, attrgetter(*names)
    names, read = reader
    held = dict(zip(names, read(value), strict=True))
    held.update(changes)
    return kind(**held)
